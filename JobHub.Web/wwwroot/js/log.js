// A log is a window over what was printed: near its ends earlier and later lines are asked for, and what is looked at stays where it is.
export function watch(box, page) {
  let asked = false;
  const first = () => [...box.querySelectorAll("[data-offset]")].find(row => row.getBoundingClientRect().bottom > box.getBoundingClientRect().top);
  const look = async () => {
    if (asked || !box.isConnected) return;
    const up = box.scrollTop < 300, down = box.scrollHeight - box.scrollTop - box.clientHeight < 300;
    const call = up && box.querySelector(".edge:first-child") ? "EarlierAsync" : down && box.querySelector(".edge:last-child") ? "LaterAsync" : null;
    if (!call || box.classList.contains("merged") && call === "EarlierAsync") return;
    asked = true;
    const seen = first(), top = seen?.getBoundingClientRect().top;
    try { await page.invokeMethodAsync(call); } catch { /* The page is gone, or away. */ }
    requestAnimationFrame(() => {
      if (seen?.isConnected) box.scrollTop += seen.getBoundingClientRect().top - top;
      setTimeout(() => { asked = false; }, 100);
    });
  };
  const hold = e => { if (e.type === "keydown" ? ["ArrowUp", "PageUp", "Home"].includes(e.key) : e.type !== "wheel" || e.deltaY < 0) page.invokeMethodAsync("Hold").catch(() => { }); };
  box.addEventListener("scroll", look, { passive: true });
  for (const name of ["wheel", "touchmove", "keydown"]) box.addEventListener(name, hold, { passive: true });
  return { stop() { box.removeEventListener("scroll", look); } };
}

// Shows a place: the end, or the line with an offset.
export function show(box, place) {
  if (place === "end") { box.scrollTop = box.scrollHeight; return; }
  const rows = [...box.querySelectorAll("[data-offset]")];
  const row = rows.findLast(r => Number(r.dataset.offset) <= Number(place)) ?? rows[0];
  if (row) box.scrollTop += row.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
}
