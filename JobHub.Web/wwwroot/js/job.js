// The task squares of a job: one canvas, a byte a task. In task order, or grouped by state, worker or attempts; in task order a range is brushed.
import { codes, marks, style } from "./marks.js";

const words = ["Blocked", "Ready", "Waits for its next attempt", "Leased", "Running", "Running, two attempts", "Paused", "Succeeded", "Failed", "Timed out", "Out of memory", "Canceled", "Skipped", "Lost"];
const mostGroups = 40;
const grids = new WeakMap();

// grouping: null in task order, else { by, names, values }: names of the groups, and which one each task is in, as base64 of two bytes a task.
export function show(box, page, phases, bytes, grouping, brush) {
  let grid = grids.get(box);
  if (!grid) grids.set(box, grid = new Grid(box, page));
  grid.set(phases, bytes, grouping, brush);
}

// Only what has changed: indexes as four bytes each, and a byte for each of them.
export function change(box, indexes, values) { grids.get(box)?.change(new Uint32Array(indexes.slice().buffer), values); }

export function drop(box) { grids.get(box)?.drop(); }

class Grid {
  constructor(box, page) {
    this.box = box;
    this.page = page;
    [this.canvas, this.over] = box.querySelectorAll("canvas");
    this.tip = box.querySelector(".tip");
    this.draw = this.draw.bind(this);
    this.theme = () => { this.atlas = null; this.later(); };
    addEventListener("jobhub:theme", this.theme);
    this.sizes = new ResizeObserver(() => this.later());
    this.sizes.observe(box);
    this.canvas.addEventListener("pointerdown", e => this.down(e));
    this.canvas.addEventListener("pointermove", e => this.move(e));
    this.canvas.addEventListener("pointerup", e => this.up(e));
    this.canvas.addEventListener("pointercancel", () => this.pressed = null);
    this.canvas.addEventListener("pointerleave", () => this.hover(-1));
    this.canvas.addEventListener("keydown", e => this.key(e));
    this.canvas.addEventListener("keyup", e => { if (e.key === "Shift") this.tell(); });
    this.canvas.addEventListener("blur", () => { this.hover(-1); this.tell(); });
    this.on = -1;
  }

  drop() {
    removeEventListener("jobhub:theme", this.theme);
    this.sizes.disconnect();
    grids.delete(this.box);
  }

  set(phases, bytes, grouping, brush) {
    this.phases = phases;
    this.bytes = bytes;
    this.by = grouping?.by ?? "order";
    this.group(grouping);
    this.range = this.rangeOf(brush);
    this.later();
  }

  change(indexes, values) {
    indexes.forEach((index, n) => this.bytes[index] = values[n]);
    if (this.by === "order" && this.atlas && !this.waits) {
      for (const index of indexes) this.square(index);
      if (this.on >= 0) this.mark(this.on);
    } else {
      if (this.by === "state") this.group({ by: "state" });
      this.later();
    }
  }

  // Places are in the order of drawing; without a grouping that is the order of tasks.
  group(grouping) {
    this.order = null;
    if (this.by === "order") { this.groups = this.phases.map(phase => ({ name: phase.kind, count: phase.count })); return; }
    const values = this.by === "state" ? this.bytes : pairs(grouping.values);
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    const name = value => this.by === "state" ? words[value] : this.by === "attempts" ? value === 0 ? "Not run yet" : value === 1 ? "One attempt" : `${value} attempts` : value === 0 ? "No worker" : grouping.names[value - 1];
    // By state and attempts in their order, workers by name; of too many the smallest are one group.
    let keys = [...counts.keys()].sort((a, b) => (a === 0) - (b === 0) || a - b);
    if (this.by === "attempts") keys.reverse();
    const kept = new Set(keys.length <= mostGroups ? keys : [...keys].sort((a, b) => counts.get(b) - counts.get(a)).slice(0, mostGroups - 1));
    const rest = keys.filter(key => !kept.has(key));
    keys = keys.filter(key => kept.has(key));
    this.groups = keys.map(key => ({ name: name(key), count: counts.get(key) }));
    if (rest.length) this.groups.push({ name: `${rest.length.toLocaleString("en")} others`, count: rest.reduce((sum, key) => sum + counts.get(key), 0) });
    const next = new Map();
    let at = 0;
    for (const key of keys) { next.set(key, at); at += counts.get(key); }
    let others = at;
    this.order = new Uint32Array(values.length);
    values.forEach((value, task) => { const place = next.get(value); if (place === undefined) this.order[others++] = task; else { this.order[place] = task; next.set(value, place + 1); } });
  }

  later() {
    if (!this.bytes || this.waits) return;
    this.waits = requestAnimationFrame(() => { this.waits = 0; this.draw(); });
  }

  // All squares as pixels at once: a hundred thousand images drawn one by one take many times as long.
  squares(scale) {
    if (!Number.isInteger(scale)) {
      for (const band of this.bands) for (let i = 0; i < band.count; i++) this.square(band.first + i, band);
      return;
    }
    const tile = this.size * scale, step = this.step * scale, wide = this.canvas.width, { width: row, height: tall } = this.atlas.image;
    const from = new Uint32Array(this.atlas.image.getContext("2d").getImageData(0, 0, row, tall).data.buffer);
    const image = this.g.createImageData(wide, this.canvas.height), to = new Uint32Array(image.data.buffer);
    for (const band of this.bands) {
      for (let i = 0; i < band.count; i++) {
        let at = (band.top * scale + Math.floor(i / this.columns) * step) * wide + i % this.columns * step;
        let of = Math.min(this.bytes[this.order ? this.order[band.first + i] : band.first + i], codes.length - 1) * tile;
        for (let y = 0; y < tile; y++, at += wide, of += row) for (let x = 0; x < tile; x++) to[at + x] = from[of + x];
      }
    }
    this.g.putImageData(image, 0, 0);
  }

  // 12 px squares as long as they fit in about 320 px, then smaller, down to 3 px.
  layout(width) {
    const total = this.bytes.length, most = Math.max(320, this.groups.length * 40);
    for (const size of [12, 10, 8, 6, 5, 4, 3]) {
      const step = size + (size > 8 ? 2 : 1);
      const columns = Math.max(1, Math.floor((width + step - size) / step));
      const rows = this.groups.reduce((sum, group) => sum + Math.ceil(group.count / columns), 0);
      if (rows * step <= most || size === 3) { Object.assign(this, { size, step, columns }); break; }
    }
    let top = 0, first = 0;
    this.bands = this.groups.map(group => {
      const band = { ...group, first, top: top + 18 };
      top = band.top + Math.ceil(group.count / this.columns) * this.step + 6;
      first += group.count;
      return band;
    });
    return total ? top : 0;
  }

  draw() {
    const width = this.box.clientWidth;
    if (!width) return;
    const height = this.layout(width), scale = window.devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.over]) {
      canvas.width = width * scale;
      canvas.height = height * scale;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      canvas.getContext("2d").scale(scale, scale);
    }
    this.g = this.canvas.getContext("2d");
    this.atlas = marks(this.size, scale);
    this.squares(scale);
    this.g.fillStyle = style("--ink-2");
    this.g.font = `12px ${style("--sans")}`;
    this.g.textBaseline = "top";
    for (const band of this.bands) this.g.fillText(`${band.name}, ${band.count.toLocaleString("en")}`, 0, band.top - 16);
    Object.assign(this.canvas.dataset, { drawn: this.bytes.length, by: this.by, groups: this.bands.length });
    if (this.on >= 0) this.mark(this.on);
    this.outline();
  }

  band(i) { return this.bands.find(band => i < band.first + band.count); }

  place(i, band = this.band(i)) {
    const n = i - band.first;
    return [n % this.columns * this.step, band.top + Math.floor(n / this.columns) * this.step];
  }

  task(i) { return this.order ? this.order[i] : i; }

  square(i, band) {
    const [x, y] = this.place(i, band), { size } = this, scale = this.atlas.scale;
    this.g.clearRect(x - 1, y - 1, size + 2, size + 2);
    this.g.drawImage(this.atlas.image, Math.min(this.bytes[this.task(i)], codes.length - 1) * size * scale, 0, size * scale, size * scale, x, y, size, size);
  }

  mark(i) {
    const [x, y] = this.place(i);
    this.g.strokeStyle = style("--ink");
    this.g.lineWidth = 1.5;
    this.g.strokeRect(x - .25, y - .25, this.size + .5, this.size + .5);
  }

  // Around what is brushed: from a square to another over whole rows.
  outline() {
    const g = this.over.getContext("2d");
    g.clearRect(0, 0, this.over.width, this.over.height);
    this.over.dataset.brush = this.range ? this.text() : "";
    if (!this.range || this.by !== "order") return;
    const { step, columns, range: { from, to } } = this, half = (step - this.size) / 2;
    const [x1, y1] = this.place(from), [x2, y2] = this.place(to);
    const [left, right, wide] = [x1 - half, x2 + this.size + half, columns * step - half], [top, bottom] = [y1 - half, y2 + this.size + half];
    const points = y1 === y2 ? [[left, top], [right, top], [right, bottom], [left, bottom]]
      : [[left, top], [wide, top], [wide, bottom - step], [right, bottom - step], [right, bottom], [0, bottom], [0, top + step], [left, top + step]];
    g.beginPath();
    points.forEach(([x, y], n) => n ? g.lineTo(x, y) : g.moveTo(x, y));
    g.closePath();
    g.globalAlpha = .12;
    g.fillStyle = style("--accent");
    g.fill();
    g.globalAlpha = 1;
    g.strokeStyle = style("--accent");
    g.setLineDash([3, 2]);
    g.stroke();
    g.setLineDash([]);
  }

  rangeOf(text) {
    const parts = /^([a-z])-(\d+)\.\.\1-(\d+)$/.exec(text ?? "");
    let first = 0;
    for (const phase of this.phases) {
      if (parts && phase.kind[0].toLowerCase() === parts[1]) {
        const [from, to] = [+parts[2], Math.min(+parts[3], phase.count - 1)];
        return from <= to ? { from: first + from, to: first + to } : null;
      }
      first += phase.count;
    }
    return null;
  }

  text() { return `${this.name(this.range.from)}..${this.name(this.range.to)}`; }

  // From one square to another of its phase.
  brush(anchor, i) {
    const band = this.band(anchor), end = Math.max(band.first, Math.min(band.first + band.count - 1, i));
    this.range = { from: Math.min(anchor, end), to: Math.max(anchor, end) };
    this.untold = true;
    this.outline();
  }

  tell() {
    if (!this.untold) return;
    this.untold = false;
    this.page.invokeMethodAsync("Brush", this.range ? this.text() : null);
  }

  down(e) {
    if (e.button !== 0 || !this.bands) return;
    this.pressed = { i: this.at(e), x: e.clientX, y: e.clientY, brushes: false };
  }

  move(e) {
    const i = this.at(e), from = this.pressed;
    if (from && from.i >= 0 && this.by === "order" && e.pointerType !== "touch" && (from.brushes || Math.hypot(e.clientX - from.x, e.clientY - from.y) > 5)) {
      if (!from.brushes) { from.brushes = true; this.canvas.setPointerCapture(e.pointerId); this.hover(-1); }
      const near = i >= 0 ? i : this.near(e);
      if (near >= 0) this.brush(from.i, near);
    } else this.hover(i);
  }

  up(e) {
    const from = this.pressed, i = this.at(e);
    this.pressed = null;
    if (from?.brushes) this.tell();
    else if (from && i >= 0 && i === from.i) this.open(i);
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

  // The nearest square of a place outside of all.
  near(e) {
    const box = this.canvas.getBoundingClientRect(), band = this.band(this.pressed.i);
    const x = Math.max(0, Math.min(this.columns - 1, Math.floor((e.clientX - box.left) / this.step))), row = Math.max(0, Math.floor((e.clientY - box.top - band.top) / this.step));
    return band.first + Math.min(band.count - 1, row * this.columns + x);
  }

  name(i) {
    let n = this.task(i);
    for (const phase of this.phases) {
      if (n < phase.count) return `${phase.kind[0].toLowerCase()}-${n}`;
      n -= phase.count;
    }
    return "";
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
    this.tip.replaceChildren(bold(this.name(i)), ` ${words[this.bytes[this.task(i)]] ?? ""}`);
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(x, this.box.clientWidth - wide))}px`;
    this.tip.style.top = `${y > 44 ? y - 42 : y + this.size + 8}px`;
  }

  key(e) {
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[e.key];
    if (by) {
      e.preventDefault();
      const from = Math.max(0, this.on), to = Math.max(0, Math.min(this.bytes.length - 1, this.on < 0 ? 0 : this.on + by));
      if (e.shiftKey && this.by === "order") this.brush(this.anchor ??= from, to);
      else this.anchor = null;
      this.hover(to);
    } else if (e.key === "Enter" && this.on >= 0) {
      e.preventDefault();
      this.open(this.on);
    } else if (e.key === "Escape") this.anchor = null;
  }

  open(i) { this.page.invokeMethodAsync("OpenTask", this.name(i)); }
}

function pairs(base64) {
  const text = atob(base64), values = new Uint16Array(text.length / 2);
  for (let i = 0; i < values.length; i++) values[i] = text.charCodeAt(2 * i) | text.charCodeAt(2 * i + 1) << 8;
  return values;
}

function bold(text) {
  const b = document.createElement("b");
  b.textContent = text;
  return b;
}
