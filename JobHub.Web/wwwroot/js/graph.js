// Jobs and what they wait for, or the phases of one, on a canvas: layers from left to right, groups as boxes around what is in them, closed or open.
import { layers } from "./layers.js";
import { codes, marks, style } from "./marks.js";

const wide = 184, high = 40, across = 48, between = 10, edge = 14, title = 30, most = 560;
const squares = { Queued: "ready", Ready: "ready", Blocked: "blocked", Leased: "leased", Running: "running", Paused: "paused", Canceling: "paused", Succeeded: "succeeded", Failed: "failed", Canceled: "canceled", Skipped: "skipped" };
const graphs = new WeakMap();

// data: keys, parents (indexes, -1), groups (0 or 1), titles, words (what stands below the title), states, edges (pairs of indexes: from, to), self (index, -1).
export function show(box, page, data) {
  let graph = graphs.get(box);
  if (!graph) graphs.set(box, graph = new Graph(box, page));
  graph.set(data);
}

export function act(box, what) { graphs.get(box)?.act(what); }

export function drop(box) { graphs.get(box)?.drop(); }

class Graph {
  constructor(box, page) {
    this.box = box;
    this.page = page;
    this.canvas = box.querySelector("canvas");
    this.closed = new Set();
    this.on = -1;
    this.theme = () => this.later();
    addEventListener("jobhub:theme", this.theme);
    this.sizes = new ResizeObserver(() => { if (!this.moved) this.fits = true; this.later(); });
    this.sizes.observe(box);
    const on = (kind, what) => this.canvas.addEventListener(kind, what);
    on("pointerdown", e => { if (e.button === 0) { this.pressed = { x: e.clientX, y: e.clientY, left: this.left, top: this.top, drags: false }; this.canvas.setPointerCapture(e.pointerId); } });
    on("pointermove", e => this.move(e));
    on("pointerup", e => this.up(e));
    on("pointercancel", () => this.pressed = null);
    on("wheel", e => { if (e.ctrlKey || document.activeElement === this.canvas) { e.preventDefault(); this.zoom(Math.exp(-e.deltaY / 400), ...this.point(e)); } });
    on("keydown", e => this.key(e));
    on("focus", () => { if (this.on < 0) this.on = this.data.self >= 0 && this.boxes[this.data.self] ? this.data.self : this.visible[0] ?? -1; this.later(); });
    on("blur", () => { this.on = -1; this.later(); });
  }

  drop() {
    removeEventListener("jobhub:theme", this.theme);
    this.sizes.disconnect();
    graphs.delete(this.box);
  }

  set(data) {
    const same = this.data && this.data.keys.length === data.keys.length && this.data.edges.length === data.edges.length && data.keys.every((key, i) => key === this.data.keys[i]);
    const before = this.data;
    this.data = data;
    if (!same) {
      const known = new Set(before?.keys);
      const open = new Set();
      for (let i = data.self; i >= 0; i = data.parents[i]) open.add(i);
      this.children = new Map([[-1, []]]);
      data.groups.forEach((group, i) => { if (group) this.children.set(i, []); });
      data.parents.forEach((parent, i) => this.children.get(this.children.has(parent) ? parent : -1).push(i));
      // Of a large graph groups begin closed, but for those around the job.
      this.closed = new Set([...this.children.keys()].filter(i => i >= 0 && (this.children.get(i).length === 0 || (known.has(data.keys[i]) ? this.wasClosed?.has(data.keys[i]) : data.keys.length > 300 && !open.has(i)))));
      this.arrange();
      if (!this.moved) this.fits = true;
    }
    this.later();
  }

  inside(i) { return this.children.has(this.data.parents[i]) ? this.data.parents[i] : -1; }

  // Where everything stands. A box is [x, y, width, height].
  arrange() {
    const { data } = this, count = data.keys.length;
    this.wasClosed = new Set([...this.closed].map(i => data.keys[i]));
    // What stands for a job: itself, or the outermost closed group around it.
    const stands = new Int32Array(count), depth = new Int32Array(count), order = [];
    for (let level = [...this.children.get(-1)], d = 0; level.length; d++) {
      const next = [];
      for (const i of level) {
        const parent = this.inside(i);
        depth[i] = d;
        stands[i] = parent >= 0 && (this.closed.has(parent) || stands[parent] !== parent) ? stands[parent] : i;
        order.push(i);
        for (const child of this.children.get(i) ?? []) next.push(child);
      }
      level = next;
    }
    // Edges between what is seen, each once, and lifted to where both ends stand side by side.
    this.edges = [];
    const inner = new Map(), seen = new Set();
    for (let e = 0; e < data.edges.length; e += 2) {
      let from = stands[data.edges[e]], to = stands[data.edges[e + 1]];
      if (from === to || seen.has(from * count + to)) continue;
      seen.add(from * count + to);
      this.edges.push([from, to]);
      while (depth[from] > depth[to]) from = this.inside(from);
      while (depth[to] > depth[from]) to = this.inside(to);
      if (from === to) continue;
      while (this.inside(from) !== this.inside(to)) { from = this.inside(from); to = this.inside(to); }
      const holder = this.inside(from);
      if (!inner.has(holder)) inner.set(holder, []);
      inner.get(holder).push([from, to]);
    }
    this.boxes = new Array(count).fill(null);
    const places = new Map();
    for (let n = order.length - 1; n >= -1; n--) {
      const i = n < 0 ? -1 : order[n];
      if (i >= 0 && stands[i] !== i) continue;
      if (i >= 0 && (!this.children.has(i) || this.closed.has(i))) { this.boxes[i] = [0, 0, wide, high]; continue; }
      const [width, height] = layers(this.children.get(i), inner.get(i) ?? [], this.boxes, places, across, between);
      if (i < 0) this.extent = [width, height];
      else this.boxes[i] = [0, 0, Math.max(wide, width + 2 * edge), height + title + edge];
    }
    this.visible = [];
    for (const i of order) {
      if (!this.boxes[i]) continue;
      const parent = this.inside(i), [x, y] = places.get(i);
      this.boxes[i][0] = x + (parent < 0 ? 0 : this.boxes[parent][0] + edge);
      this.boxes[i][1] = y + (parent < 0 ? 0 : this.boxes[parent][1] + title);
      this.visible.push(i);
    }
    this.from = new Map();
    this.to = new Map();
    for (const [a, b] of this.edges) {
      if (!this.from.has(a)) this.from.set(a, []);
      if (!this.to.has(b)) this.to.set(b, []);
      this.from.get(a).push(b);
      this.to.get(b).push(a);
    }
    this.canvas.dataset.drawn = this.visible.length;
    this.canvas.dataset.edges = this.edges.length;
  }

  later() {
    if (!this.data || this.waits) return;
    this.waits = requestAnimationFrame(() => { this.waits = 0; this.draw(); });
  }

  fit() {
    const [width, height] = this.extent, room = this.box.clientWidth;
    this.scale = Math.min(1, (room - 2 * edge) / Math.max(1, width), (most - 2 * edge) / Math.max(1, height));
    this.height = Math.max(72, Math.min(most, Math.ceil(height * this.scale) + 2 * edge));
    this.left = edge;
    this.top = edge;
    this.fits = false;
  }

  draw() {
    const width = this.box.clientWidth;
    if (!width) return;
    if (this.fits || !this.scale) this.fit();
    const ratio = window.devicePixelRatio || 1, { canvas, height, scale, left, top } = this;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const g = this.g = canvas.getContext("2d");
    this.atlas = marks(12, ratio);
    this.colours = Object.fromEntries(["--line", "--line-strong", "--control", "--surface", "--raised", "--ink", "--ink-2", "--accent", "--accent-wash", "--sans"].map(name => [name, style(name)]));
    const [live, hold, rest] = ["--live-fill", "--hold-fill", "--rest-fill"].map(style);
    this.fills = { Running: live, Leased: live, Paused: hold, Canceling: hold, Succeeded: style("--good-soft"), Failed: style("--bad-fill"), Canceled: rest, Queued: style("--line-strong") };
    const text = scale >= .4;
    const [x1, y1, x2, y2] = [-left / scale, -top / scale, (width - left) / scale, (height - top) / scale];
    g.setTransform(ratio * scale, 0, 0, ratio * scale, left * ratio, top * ratio);
    // Open groups first, outermost first, then edges, then what is in front of them.
    const shown = this.visible.filter(i => { const [x, y, w, h] = this.boxes[i]; return x < x2 && x + w > x1 && y < y2 && y + h > y1; });
    for (const i of shown) if (this.isOpen(i)) this.frame(i);
    this.lines(x1, y1, x2, y2);
    if (text) for (const i of shown) if (this.isOpen(i)) this.head(i);
    for (const i of shown) if (!this.isOpen(i)) this.node(i, text);
    if (this.on >= 0 && this.boxes[this.on]) {
      const [x, y, w, h] = this.boxes[this.on];
      g.strokeStyle = this.colours["--ink"];
      g.lineWidth = 2 / Math.min(1, scale);
      g.strokeRect(x - 2, y - 2, w + 4, h + 4);
    }
    canvas.dataset.on = this.on >= 0 ? this.data.keys[this.on] : "";
    canvas.dataset.shown = shown.length;
  }

  isOpen(i) { return this.children.has(i) && !this.closed.has(i); }

  frame(i) {
    const [x, y, w, h] = this.boxes[i], { g, colours } = this;
    g.fillStyle = colours["--surface"];
    g.fillRect(x, y, w, h);
    g.lineWidth = 1;
    g.strokeStyle = colours[i === this.data.self ? "--accent" : "--line-strong"];
    g.strokeRect(x, y, w, h);
  }

  // In front of lines that pass.
  head(i) {
    const [x, y, w] = this.boxes[i];
    const end = this.words(i, x, y + 15, w, this.data.titles[i], this.data.words[i]);
    this.g.fillStyle = this.colours["--surface"];
    this.g.fillRect(x + 1, y + 1, Math.min(w - 2, end - x), title - 4);
    this.words(i, x, y + 15, w, this.data.titles[i], this.data.words[i]);
  }

  lines(x1, y1, x2, y2) {
    const { g, colours } = this, near = this.on >= 0 ? this.on : -2;
    const path = mine => {
      g.beginPath();
      for (const [a, b] of this.edges) {
        if ((a === near || b === near) !== mine) continue;
        const [ax, ay, aw, ah] = this.boxes[a], [bx, by, , bh] = this.boxes[b];
        const sx = ax + aw, sy = ay + (this.isOpen(a) ? title / 2 : ah / 2), ex = bx, ey = by + (this.isOpen(b) ? title / 2 : bh / 2);
        if (Math.max(sx, ex) < x1 || Math.min(sx, ex) > x2 || Math.max(sy, ey) < y1 || Math.min(sy, ey) > y2) continue;
        const bend = Math.max(20, Math.min(90, Math.abs(ex - sx) / 2));
        g.moveTo(sx, sy);
        g.bezierCurveTo(sx + bend, sy, ex - bend, ey, ex - 5, ey);
        g.moveTo(ex - 6, ey - 3.5);
        g.lineTo(ex - .5, ey);
        g.lineTo(ex - 6, ey + 3.5);
      }
      g.stroke();
    };
    g.lineWidth = 1;
    g.globalAlpha = this.edges.length > 4000 ? .35 : 1;
    g.strokeStyle = colours["--control"];
    path(false);
    g.globalAlpha = 1;
    g.lineWidth = 2;
    g.strokeStyle = colours["--accent"];
    path(true);
  }

  node(i, text) {
    const [x, y, w, h] = this.boxes[i], { g, colours, data } = this;
    g.fillStyle = colours[i === data.self ? "--accent-wash" : "--raised"];
    g.fillRect(x, y, w, h);
    if (this.children.has(i)) {
      g.strokeStyle = colours["--line-strong"];
      g.lineWidth = 1;
      g.strokeRect(x + 3, y + 3, w, h);
      g.fillRect(x, y, w, h);
    }
    g.lineWidth = i === data.self ? 1.5 : 1;
    g.strokeStyle = colours[i === data.self ? "--accent" : "--line-strong"];
    g.strokeRect(x, y, w, h);
    if (text) this.words(i, x, y + 14, w, data.titles[i], data.words[i], y + 29);
    else {
      // Too small for words: the colour of the state alone.
      g.fillStyle = this.fills[this.data.states[i]] ?? this.fills.Queued;
      g.fillRect(x, y, w, h);
    }
  }

  // Title and what is so, in one line or two, behind the mark of the state.
  words(i, x, y, w, name, says, second) {
    const { g, colours } = this;
    let left = x + 10;
    if (this.children.has(i) && this.children.get(i).length) {
      g.strokeStyle = colours["--ink-2"];
      g.lineWidth = 1.5;
      g.beginPath();
      if (this.closed.has(i)) { g.moveTo(left, y - 4); g.lineTo(left + 4, y); g.lineTo(left, y + 4); } else { g.moveTo(left - 1, y - 2); g.lineTo(left + 3, y + 2); g.lineTo(left + 7, y - 2); }
      g.stroke();
      left += 14;
    }
    this.square(i, left, y - 6, 12);
    left += 18;
    g.textBaseline = "middle";
    g.fillStyle = colours["--ink"];
    g.font = `600 12px ${colours["--sans"]}`;
    const line = cut(g, name, x + w - 8 - left);
    g.fillText(line, left, y);
    g.fillStyle = colours["--ink-2"];
    if (second) {
      g.font = `11px ${colours["--sans"]}`;
      g.fillText(cut(g, says, x + w - 8 - left), left, second);
    } else {
      left += g.measureText(line).width + 10;
      g.font = `11px ${colours["--sans"]}`;
      if (x + w - left > 30) {
        const rest = cut(g, says, x + w - 8 - left);
        g.fillText(rest, left, y);
        left += g.measureText(rest).width + 6;
      }
    }
    return left;
  }

  square(i, x, y, size) {
    const code = Math.max(0, codes.indexOf(squares[this.data.states[i]] ?? "ready")), side = 12 * this.atlas.scale;
    this.g.drawImage(this.atlas.image, code * side, 0, side, side, x, y, size, size);
  }

  point(e) { const box = this.canvas.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; }

  // The innermost that stands at a place.
  at(e) {
    const [px, py] = this.point(e), x = (px - this.left) / this.scale, y = (py - this.top) / this.scale;
    for (let n = this.visible.length - 1; n >= 0; n--) {
      const i = this.visible[n], box = this.boxes[i];
      if (x >= box[0] && x < box[0] + box[2] && y >= box[1] && y < box[1] + (this.isOpen(i) ? title : box[3])) return [i, x - box[0]];
    }
    return [-1, 0];
  }

  move(e) {
    const from = this.pressed;
    if (!from) { const [i] = this.at(e); this.canvas.style.cursor = i < 0 ? "grab" : "pointer"; this.canvas.title = i < 0 ? "" : `${this.data.titles[i]}\n${this.data.words[i]}`; return; }
    if (!from.drags && Math.hypot(e.clientX - from.x, e.clientY - from.y) < 5) return;
    from.drags = this.moved = true;
    this.left = from.left + e.clientX - from.x;
    this.top = from.top + e.clientY - from.y;
    this.later();
  }

  up(e) {
    const from = this.pressed;
    this.pressed = null;
    if (!from || from.drags) return;
    const [i, x] = this.at(e);
    if (i < 0) return;
    if (this.children.get(i)?.length && x < 24) this.toggle(i);
    else this.open(i);
  }

  open(i) { if (i !== this.data.self) this.page.invokeMethodAsync("OpenNode", this.data.keys[i]); }

  toggle(i) {
    if (!this.children.get(i)?.length) return;
    if (!this.closed.delete(i)) this.closed.add(i);
    this.arrange();
    if (!this.moved) this.fits = true;
    this.later();
  }

  act(what) {
    const groups = [...this.children.keys()].filter(i => i >= 0);
    if (what === "open") this.closed = new Set(groups.filter(i => this.children.get(i).length === 0));
    if (what === "close") this.closed = new Set(groups);
    if (what === "open" || what === "close" || what === "fit") { this.arrange(); this.moved = false; this.fits = true; this.later(); }
    if (what === "in" || what === "out") this.zoom(what === "in" ? 1.4 : 1 / 1.4, this.box.clientWidth / 2, this.height / 2);
  }

  zoom(by, x, y) {
    const scale = Math.max(.02, Math.min(2, this.scale * by));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.moved = true;
    this.height = most > this.height && this.extent[1] * scale > this.height ? most : this.height;
    this.later();
  }

  key(e) {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[e.key];
    if (step) this.walk(...step);
    else if (e.key === "Enter" && this.on >= 0) this.open(this.on);
    else if (e.key === " " && this.on >= 0) this.toggle(this.on);
    else if (e.key === "+") this.act("in");
    else if (e.key === "-") this.act("out");
    else if (e.key === "0") this.act("fit");
    else return;
    e.preventDefault();
  }

  // The nearest in a direction.
  walk(dx, dy) {
    const middle = i => { const [x, y, w, h] = this.boxes[i]; return [this.isOpen(i) ? x + wide / 2 : x + w / 2, y + (this.isOpen(i) ? title : h) / 2]; };
    if (this.on < 0 || !this.boxes[this.on]) { this.on = this.visible[0] ?? -1; this.later(); return; }
    const [x, y] = middle(this.on);
    let best = -1, least = Infinity;
    for (const i of this.visible) {
      if (i === this.on) continue;
      const [mx, my] = middle(i), along = (mx - x) * dx + (my - y) * dy, aside = Math.abs((mx - x) * dy) + Math.abs((my - y) * dx);
      if (along > 1 && along + 2 * aside < least) { least = along + 2 * aside; best = i; }
    }
    if (best < 0) return;
    this.on = best;
    const [bx, by, bw, bh] = this.boxes[best], room = [this.box.clientWidth, this.height];
    const [px, py] = [bx * this.scale + this.left, by * this.scale + this.top];
    if (px < 0 || px + Math.min(bw, wide) * this.scale > room[0]) { this.left += room[0] / 2 - px; this.moved = true; }
    if (py < 0 || py + Math.min(bh, high) * this.scale > room[1]) { this.top += room[1] / 2 - py; this.moved = true; }
    this.later();
  }
}

// A text as far as it fits.
function cut(g, text, room) {
  if (room < 12) return "";
  if (g.measureText(text).width <= room) return text;
  let [few, many] = [0, text.length];
  while (few < many - 1) { const half = few + many >> 1; if (g.measureText(text.slice(0, half) + "…").width <= room) few = half; else many = half; }
  return text.slice(0, few) + "…";
}
