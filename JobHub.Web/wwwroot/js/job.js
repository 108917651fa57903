// The task squares of a job: one canvas, a byte a task. Marks are drawn once a theme and size, and copied from there.
const codes = ["blocked", "ready", "backoff", "leased", "running", "straggler", "paused", "succeeded", "failed", "timedout", "outofmemory", "canceled", "skipped", "lost"];
const words = ["Blocked", "Ready", "Waits for its next attempt", "Leased", "Running", "Running, two attempts", "Paused", "Succeeded", "Failed", "Timed out", "Out of memory", "Canceled", "Skipped", "Lost"];
const grids = new WeakMap();

export function show(box, page, phases, bytes) {
  let grid = grids.get(box);
  if (!grid) grids.set(box, grid = new Grid(box, page));
  grid.set(phases, bytes);
}

export function drop(box) { grids.get(box)?.drop(); }

class Grid {
  constructor(box, page) {
    this.box = box;
    this.page = page;
    this.canvas = box.querySelector("canvas");
    this.tip = box.querySelector(".tip");
    this.draw = this.draw.bind(this);
    this.theme = () => { this.atlas = null; this.later(); };
    addEventListener("jobhub:theme", this.theme);
    this.sizes = new ResizeObserver(() => this.later());
    this.sizes.observe(box);
    this.canvas.addEventListener("pointermove", e => this.hover(this.at(e)));
    this.canvas.addEventListener("pointerleave", () => this.hover(-1));
    this.canvas.addEventListener("click", e => { const i = this.at(e); if (i >= 0) this.open(i); });
    this.canvas.addEventListener("keydown", e => this.key(e));
    this.canvas.addEventListener("blur", () => this.hover(-1));
    this.on = -1;
  }

  drop() {
    removeEventListener("jobhub:theme", this.theme);
    this.sizes.disconnect();
    grids.delete(this.box);
  }

  set(phases, bytes) {
    this.phases = phases;
    // Same shape: only what has changed is drawn.
    if (this.bytes?.length === bytes.length && this.atlas) {
      const before = this.bytes;
      this.bytes = bytes;
      for (let i = 0; i < bytes.length; i++) if (bytes[i] !== before[i]) this.square(i);
      if (this.on >= 0) this.mark(this.on);
      this.canvas.dataset.drawn = bytes.length;
    } else {
      this.bytes = bytes;
      this.later();
    }
  }

  later() {
    if (!this.bytes || this.waits) return;
    this.waits = requestAnimationFrame(() => { this.waits = 0; this.draw(); });
  }

  // 12 px squares as long as they fit in about 320 px, then smaller, down to 3 px.
  layout(width) {
    const total = this.bytes.length;
    for (const size of [12, 10, 8, 6, 5, 4, 3]) {
      const step = size + (size > 8 ? 2 : 1);
      const columns = Math.max(1, Math.floor((width + step - size) / step));
      const rows = this.phases.reduce((sum, phase) => sum + Math.ceil(phase.count / columns), 0);
      if (rows * step <= 320 || size === 3) { Object.assign(this, { size, step, columns }); break; }
    }
    let top = 0, first = 0;
    this.bands = this.phases.map(phase => {
      const band = { ...phase, first, top: top + 18 };
      top = band.top + Math.ceil(phase.count / this.columns) * this.step + 6;
      first += phase.count;
      return band;
    });
    return total ? top : 0;
  }

  draw() {
    const width = this.box.clientWidth;
    if (!width) return;
    const height = this.layout(width), scale = window.devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.g = this.canvas.getContext("2d");
    this.g.scale(scale, scale);
    this.atlas = marks(this.size, scale);
    this.g.fillStyle = style("--ink-2");
    this.g.font = `12px ${style("--sans")}`;
    this.g.textBaseline = "top";
    for (const band of this.bands) {
      this.g.fillText(`${band.kind}, ${band.count.toLocaleString("en")}`, 0, band.top - 16);
      for (let i = 0; i < band.count; i++) this.square(band.first + i, band);
    }
    this.canvas.dataset.drawn = this.bytes.length;
    if (this.on >= 0) this.mark(this.on);
  }

  band(i) { return this.bands.find(band => i < band.first + band.count); }

  place(i, band = this.band(i)) {
    const n = i - band.first;
    return [n % this.columns * this.step, band.top + Math.floor(n / this.columns) * this.step];
  }

  square(i, band) {
    const [x, y] = this.place(i, band), { size } = this, scale = this.atlas.scale;
    this.g.clearRect(x - 1, y - 1, size + 2, size + 2);
    this.g.drawImage(this.atlas.image, Math.min(this.bytes[i], codes.length - 1) * size * scale, 0, size * scale, size * scale, x, y, size, size);
  }

  mark(i) {
    const [x, y] = this.place(i);
    this.g.strokeStyle = style("--ink");
    this.g.lineWidth = 1.5;
    this.g.strokeRect(x - .25, y - .25, this.size + .5, this.size + .5);
  }

  at(e) {
    const box = this.canvas.getBoundingClientRect(), x = Math.floor((e.clientX - box.left) / this.step), y = e.clientY - box.top;
    if (!this.bands || x < 0 || x >= this.columns) return -1;
    for (const band of this.bands) {
      const n = Math.floor((y - band.top) / this.step) * this.columns + x;
      if (y >= band.top && n < band.count) return band.first + n;
    }
    return -1;
  }

  name(i) {
    const band = this.band(i);
    return `${band.kind[0].toLowerCase()}-${i - band.first}`;
  }

  hover(i) {
    if (i === this.on || !this.atlas) return;
    if (this.on >= 0 && this.on < this.bytes.length) this.square(this.on);
    this.on = i;
    this.canvas.style.cursor = i < 0 ? "" : "pointer";
    this.tip.hidden = i < 0;
    if (i < 0) return;
    this.mark(i);
    const [x, y] = this.place(i);
    this.tip.replaceChildren(bold(this.name(i)), ` ${words[this.bytes[i]] ?? ""}`);
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(x, this.box.clientWidth - wide))}px`;
    this.tip.style.top = `${y > 44 ? y - 42 : y + this.size + 8}px`;
  }

  key(e) {
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[e.key];
    if (by) {
      e.preventDefault();
      this.hover(Math.max(0, Math.min(this.bytes.length - 1, this.on < 0 ? 0 : this.on + by)));
    } else if (e.key === "Enter" && this.on >= 0) {
      e.preventDefault();
      this.open(this.on);
    }
  }

  open(i) { this.page.invokeMethodAsync("OpenTask", this.name(i)); }
}

function bold(text) {
  const b = document.createElement("b");
  b.textContent = text;
  return b;
}

function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// One row of marks: what each state looks like, as in icons.svg; below 8 px the fill alone.
function marks(size, scale) {
  const image = document.createElement("canvas");
  image.width = codes.length * size * scale;
  image.height = size * scale;
  const g = image.getContext("2d");
  const [live, bad, rest, hold, lost, surface] = ["--live-fill", "--bad-fill", "--rest-fill", "--hold-fill", "--lost-fill", "--surface"].map(style);
  codes.forEach((code, n) => {
    g.setTransform(size * scale / 12, 0, 0, size * scale / 12, n * size * scale, 0);
    const small = size < 8;
    const fill = colour => { g.fillStyle = colour; g.fillRect(0, 0, 12, 12); };
    const edge = (colour, dash = []) => { if (small) { fill(colour); return; } g.setLineDash(dash); g.strokeStyle = colour; g.lineWidth = 1.5; g.strokeRect(.75, .75, 10.5, 10.5); g.setLineDash([]); };
    const line = (colour, wide, ...points) => { if (small) return; g.strokeStyle = colour; g.lineWidth = wide; g.beginPath(); points.forEach(([x, y], i) => i ? g.lineTo(x, y) : g.moveTo(x, y)); g.stroke(); };
    switch (code) {
      case "succeeded": fill(style("--good-soft")); break;
      case "blocked": g.fillStyle = rest; g.fillRect(4, 4, 4, 4); break;
      case "ready": if (small) { g.fillStyle = style("--line-strong"); g.fillRect(0, 0, 12, 12); } else edge(rest); break;
      case "backoff": edge(bad); line(bad, 1.3, [6, 3], [6, 6], [8, 7.4]); break;
      case "leased": edge(live); if (!small) { g.fillStyle = live; g.fillRect(4.5, 4.5, 3, 3); } break;
      case "running": if (!small) fill(style("--live-wash")); edge(live); if (!small) { g.fillStyle = live; g.beginPath(); g.moveTo(4, 3); g.lineTo(4, 9); g.lineTo(9, 6); g.fill(); } break;
      case "straggler": fill(live); line(surface, 1.4, [3.4, 3], [3.4, 9]); if (!small) { g.fillStyle = surface; g.beginPath(); g.moveTo(5.6, 3); g.lineTo(5.6, 9); g.lineTo(10, 6); g.fill(); } break;
      case "paused": edge(hold); line(hold, 1.6, [4.3, 3.5], [4.3, 8.5]); line(hold, 1.6, [7.7, 3.5], [7.7, 8.5]); break;
      case "failed": fill(bad); line(surface, 1.6, [3.4, 3.4], [8.6, 8.6]); line(surface, 1.6, [8.6, 3.4], [3.4, 8.6]); break;
      case "timedout": fill(bad); line(surface, 1.5, [6, 3], [6, 6.3], [8.2, 7.6]); break;
      case "outofmemory": fill(bad); line(surface, 1.5, [3.5, 9], [3.5, 6.5]); line(surface, 1.5, [6, 9], [6, 4.8]); line(surface, 1.5, [8.5, 9], [8.5, 3]); break;
      case "canceled": edge(rest); line(rest, 1.25, [2, 10], [10, 2]); break;
      case "skipped": g.fillStyle = rest; g.fillRect(2, 5, 8, 2); break;
      case "lost": edge(lost, [2.6, 2]); break;
    }
  });
  return { image, scale };
}
