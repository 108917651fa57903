// The list of jobs is a window over pages: near its ends the next or an earlier one is asked for. Beside it a thumb stands for the place in the whole order.
export function watch(place, page) {
  let asked = 0, grip = null, wanted = null;
  const rows = () => place.querySelectorAll("tr[data-row]");
  const head = () => place.querySelector("thead th")?.getBoundingClientRect().bottom ?? 0;
  const extent = () => { const all = rows(); return all.length ? `${all[0].ariaRowIndex} ${all[all.length - 1].ariaRowIndex}` : ""; };
  const bar = () => place.querySelector(".jobs-place");

  const look = async () => {
    draw();
    if (asked || !place.isConnected) return;
    const all = rows();
    if (!all.length) return;
    const above = all[0].getBoundingClientRect().top, below = all[all.length - 1].getBoundingClientRect().bottom;
    const call = below < innerHeight * 2 ? "MoreAsync" : above > -innerHeight ? "EarlierAsync" : null;
    if (!call || (call === "EarlierAsync" && !place.querySelector("tr.room"))) return;
    asked = 1;
    const before = extent();
    try { await page.invokeMethodAsync(call); } catch { /* The page is gone, or away. */ }
    // Whoever has reached the end of what is shown scrolls no further: what could not be read is asked for again, unless the list is read to its end.
    setTimeout(() => {
      asked = 0;
      if (extent() !== before) look();
      else if (place.parentElement?.querySelector("p.more")) setTimeout(look, 2000);
    }, 150);
  };

  const jump = async to => {
    asked = 1;
    // The rows of that place are there before the answer is.
    try { show(await page.invokeMethodAsync("JumpAsync", to)); } catch { /* As above. */ }
    // What stands before it is asked for next.
    setTimeout(() => { asked = 0; look(); }, 150);
  };

  function show(where) {
    const all = rows(), row = where === "end" ? all[all.length - 1] : all[0];
    if (!where || !row) return;
    if (where === "begin") scrollTo(0, 0);
    else if (where === "end") scrollTo(0, document.documentElement.scrollHeight);
    else scrollBy(0, row.getBoundingClientRect().top - head());
    if (where !== "place") row.focus({ preventScroll: true });
  }

  // Rows in view of all rows: where the thumb is and how long.
  function draw() {
    const track = bar();
    if (!track || grip) return;
    const all = [...rows()], top = head(), total = Number(track.dataset.rows);
    const seen = all.filter(r => { const at = r.getBoundingClientRect(); return at.bottom > top && at.top < innerHeight; });
    if (!seen.length) return;
    const from = Number(seen[0].getAttribute("aria-rowindex")) - 2;
    set(track, Math.min(1, Math.max(0, from / Math.max(1, total - seen.length))), seen.length / total);
  }

  function set(track, at, share) {
    const long = track.clientHeight, thumb = track.firstElementChild;
    const size = share === undefined ? thumb.offsetHeight : Math.max(28, long * share);
    thumb.style.height = `${size}px`;
    thumb.style.transform = `translateY(${at * (long - size)}px)`;
    track.setAttribute("aria-valuenow", String(Math.round(at * 100)));
    track.setAttribute("aria-valuetext", `About row ${(1 + Math.round(at * (Number(track.dataset.rows) - 1))).toLocaleString("en")} of ${Number(track.dataset.rows).toLocaleString("en")}`);
  }

  const down = e => {
    const track = e.target.closest?.(".jobs-place");
    if (!track || !place.contains(track) || !track.dataset.jumps || e.button) return;
    e.preventDefault();
    track.setPointerCapture(e.pointerId);
    track.focus({ preventScroll: true });
    const thumb = track.firstElementChild.getBoundingClientRect();
    grip = e.target === track.firstElementChild ? e.clientY - thumb.top : thumb.height / 2;
    move(e);
  };
  const move = e => {
    const track = bar();
    if (grip === null || !track) return;
    const box = track.getBoundingClientRect(), thumb = track.firstElementChild.offsetHeight, label = track.lastElementChild;
    wanted = Math.min(1, Math.max(0, (e.clientY - grip - box.top) / (box.height - thumb)));
    set(track, wanted);
    label.hidden = false;
    label.textContent = `${Math.round(wanted * 100)} %`;
    label.style.transform = `translateY(${wanted * (box.height - thumb)}px)`;
  };
  const up = async () => {
    if (grip === null) return;
    const to = wanted, track = bar();
    if (track) track.lastElementChild.hidden = true;
    wanted = null;
    await jump(to);
    grip = null;
    draw();
  };

  const keys = e => {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || !place.isConnected || e.target.closest?.("input:not([type=checkbox]), textarea, select") || document.querySelector("dialog[open], .rz-dialog")) return;
    const to = { Home: 0, End: 1 }[e.key];
    if (to !== undefined && bar()) { e.preventDefault(); jump(to); return; }
    const step = e.target.closest?.(".jobs-place") && { ArrowDown: 0.05, ArrowUp: -0.05, PageDown: 0.9, PageUp: -0.9 }[e.key];
    if (step) { e.preventDefault(); scrollBy(0, innerHeight * step); }
  };

  addEventListener("scroll", look, { passive: true });
  addEventListener("keydown", keys);
  place.addEventListener("pointerdown", down);
  place.addEventListener("pointermove", move);
  place.addEventListener("pointerup", up);
  place.addEventListener("pointercancel", up);
  const changed = new MutationObserver(() => requestAnimationFrame(draw));
  changed.observe(place, { childList: true, subtree: true });
  draw();
  return { stop() { removeEventListener("scroll", look); removeEventListener("keydown", keys); changed.disconnect(); } };
}

// The visitor's own views, kept by this browser under his name.
export const views = user => localStorage.getItem(`views:${user}`);
export const keepViews = (user, list) => localStorage.setItem(`views:${user}`, list);
