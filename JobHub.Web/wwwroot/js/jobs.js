// The list of jobs is a window over pages: near its ends the next or an earlier one is asked for.
export function watch(place, page) {
  let asked = 0;
  const look = async () => {
    if (asked || !place.isConnected) return;
    const rows = place.querySelectorAll("tr[data-row]");
    if (!rows.length) return;
    const above = rows[0].getBoundingClientRect().top, below = rows[rows.length - 1].getBoundingClientRect().bottom;
    const call = below < innerHeight * 2 ? "MoreAsync" : above > -innerHeight ? "EarlierAsync" : null;
    if (!call || (call === "EarlierAsync" && !place.querySelector("tr.room"))) return;
    asked = 1;
    try { await page.invokeMethodAsync(call); } catch { /* The page is gone, or away. */ }
    // The answer is drawn with the next frames; a list that is read to its end is not asked again until it is scrolled.
    setTimeout(() => { asked = 0; }, 150);
  };
  addEventListener("scroll", look, { passive: true });
  return { stop() { removeEventListener("scroll", look); } };
}
