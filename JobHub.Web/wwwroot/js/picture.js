// A picture to look into: wheel and keys zoom, dragging and arrows pan. The picture itself is an <img>, so nothing in it runs.
export function lookInto(frame) {
  const picture = frame.querySelector("img");
  const says = frame.querySelector("[data-zoom]");
  let scale = 1, x = 0, y = 0, drag = null;

  function show() {
    picture.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    if (says) says.textContent = `${Math.round(scale * 100)} %`;
  }

  function zoom(by, at) {
    const box = frame.getBoundingClientRect();
    const to = Math.min(40, Math.max(.25, scale * by));
    const [px, py] = at ? [at.clientX - box.left, at.clientY - box.top] : [box.width / 2, box.height / 2];
    x = px - (px - x) * to / scale;
    y = py - (py - y) * to / scale;
    scale = to;
    show();
  }

  function whole() { [scale, x, y] = [1, 0, 0]; show(); }

  const keys = { "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(.8), 0: whole, ArrowLeft: () => { x += 40; show(); }, ArrowRight: () => { x -= 40; show(); }, ArrowUp: () => { y += 40; show(); }, ArrowDown: () => { y -= 40; show(); } };
  frame.addEventListener("wheel", e => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 400), e); }, { passive: false });
  frame.addEventListener("keydown", e => { if (!e.target.closest("button") && keys[e.key]) { e.preventDefault(); e.stopPropagation(); keys[e.key](); } });
  frame.addEventListener("pointerdown", e => { if (e.target.closest("button") || e.button) return; drag = [e.clientX - x, e.clientY - y]; frame.setPointerCapture(e.pointerId); frame.classList.add("held"); });
  frame.addEventListener("pointermove", e => { if (drag) { [x, y] = [e.clientX - drag[0], e.clientY - drag[1]]; show(); } });
  for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, () => { drag = null; frame.classList.remove("held"); });
  frame.querySelector("[data-in]")?.addEventListener("click", () => zoom(1.5));
  frame.querySelector("[data-out]")?.addEventListener("click", () => zoom(1 / 1.5));
  frame.querySelector("[data-whole]")?.addEventListener("click", whole);
  picture.draggable = false;
  show();
}
