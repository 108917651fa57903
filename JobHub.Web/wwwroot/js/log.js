// A log is a window over what was printed: near its ends earlier and later lines are asked for, and what is looked at stays where it is.
const placed = new WeakMap();

export function watch(box, page) {
  let asked = false;
  const first = () => [...box.querySelectorAll("[data-offset]")].find(row => row.getBoundingClientRect().bottom > box.getBoundingClientRect().top);
  const look = async () => {
    if (asked || !box.isConnected) return;
    const up = box.scrollTop < 300, down = box.scrollHeight - box.scrollTop - box.clientHeight < 300;
    const call = up && box.querySelector(".edge:first-child") ? "EarlierAsync" : down && box.querySelector(".edge:last-child") ? "LaterAsync" : null;
    if (!call) return;
    asked = true;
    const seen = first(), before = placed.get(box), top = seen?.getBoundingClientRect().top;
    try { await page.invokeMethodAsync(call); } catch { /* The page is gone, or away. */ }
    requestAnimationFrame(() => {
      // What was shown on purpose meanwhile stays shown, and else what was looked at.
      if (placed.get(box) !== before) show(box, placed.get(box).place);
      else if (seen?.isConnected) box.scrollTop += seen.getBoundingClientRect().top - top;
      setTimeout(() => { asked = false; }, 100);
    });
  };
  const hold = e => { if (e.type === "keydown" ? ["ArrowUp", "PageUp", "Home"].includes(e.key) : e.type !== "wheel" || e.deltaY < 0) page.invokeMethodAsync("Hold").catch(() => { }); };
  // The strip shows where the view is in all that was printed, and leads there.
  const strip = box.closest(".logwrap")?.querySelector(".strip");
  const view = () => {
    if (!strip?.isConnected) return;
    const size = Number(strip.dataset.size), edges = box.getBoundingClientRect();
    const seen = [...box.querySelectorAll("[data-offset]")].filter(row => { const r = row.getBoundingClientRect(); return r.bottom > edges.top && r.top < edges.bottom; });
    if (!seen.length || !size) return;
    const last = seen.at(-1).nextElementSibling?.dataset.offset ?? (seen.at(-1).nextElementSibling ? seen.at(-1).dataset.offset : size);
    const from = Number(seen[0].dataset.offset) / size, to = Number(last) / size;
    Object.assign(strip.lastElementChild.style, { top: `${Math.min(from, .99) * 100}%`, height: `max(6px, ${Math.max(0, to - from) * 100}%)` });
  };
  const grown = new MutationObserver(() => requestAnimationFrame(view));
  grown.observe(box, { childList: true });
  const lead = e => { const edges = strip.getBoundingClientRect(); page.invokeMethodAsync("ToShareAsync", (e.clientY - edges.top) / edges.height).catch(() => { }); };
  strip?.addEventListener("click", lead);
  box.addEventListener("scroll", view, { passive: true });
  view();
  box.addEventListener("scroll", look, { passive: true });
  for (const name of ["wheel", "touchmove", "keydown"]) box.addEventListener(name, hold, { passive: true });
  return { stop() { box.removeEventListener("scroll", look); box.removeEventListener("scroll", view); grown.disconnect(); strip?.removeEventListener("click", lead); } };
}

// Shows a place: the end, or the line with an offset.
export function show(box, place) {
  placed.set(box, { place });
  if (place === "end") { box.scrollTop = box.scrollHeight; return; }
  if (place === "start") { box.scrollTop = 0; return; }
  const at = place === "at" && box.querySelector(".ln.at");
  if (at) { box.scrollTop += at.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3; return; }
  const rows = [...box.querySelectorAll("[data-offset]")];
  const row = rows.findLast(r => Number(r.dataset.offset) <= Number(place)) ?? rows[0];
  if (row) box.scrollTop += row.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
}
