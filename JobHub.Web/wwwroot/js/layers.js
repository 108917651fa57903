// Where things stand that wait for each other: in layers from left to right.
// items and the edges between them; each stands a layer behind what it waits for, and a layer that would be too high goes on beside itself.
// boxes: [x, y, width, height] of each item, of which the size counts. Puts [x, y] of each into places and answers width and height of all.
export function layers(items, edges, boxes, places, across, between) {
  const layer = new Map(items.map(i => [i, 0])), waits = new Map(items.map(i => [i, 0])), after = new Map(), before = new Map();
  for (const [a, b] of edges) {
    waits.set(b, waits.get(b) + 1);
    (after.get(a) ?? after.set(a, []).get(a)).push(b);
    (before.get(b) ?? before.set(b, []).get(b)).push(a);
  }
  // Groups may wait for each other by different jobs; what stays in a circle is taken as it comes.
  const ready = items.filter(i => waits.get(i) === 0), done = new Set();
  for (let n = 0, rest = 0; done.size < items.length; n++) {
    if (n === ready.length) {
      while (done.has(items[rest])) rest++;
      ready.push(items[rest]);
    }
    const i = ready[n];
    if (done.has(i)) continue;
    done.add(i);
    for (const b of after.get(i) ?? []) {
      if (done.has(b)) continue;
      layer.set(b, Math.max(layer.get(b), layer.get(i) + 1));
      waits.set(b, waits.get(b) - 1);
      if (waits.get(b) === 0) ready.push(b);
    }
  }
  const columns = [];
  for (const i of items) (columns[layer.get(i)] ??= []).push(i);
  const area = items.reduce((sum, i) => sum + (boxes[i][2] + across / 2) * (boxes[i][3] + between), 0), limit = Math.max(420, Math.sqrt(area / 2));
  let x = 0, height = 0;
  for (const column of columns) {
    if (!column) continue;
    // Near to what they wait for.
    const middle = i => { const above = before.get(i); return above ? above.reduce((sum, a) => sum + (places.get(a)?.[1] ?? 0), 0) / above.length : Infinity; };
    const keyed = column.map((i, n) => [middle(i), n, i]).sort((a, b) => a[0] === b[0] ? a[1] - b[1] : a[0] - b[0]);
    let y = 0, widest = 0;
    for (const [, , i] of keyed) {
      const [, , w, h] = boxes[i];
      if (y > 0 && y + h > limit) { x += widest + between * 2; y = 0; widest = 0; }
      places.set(i, [x, y]);
      y += h + between;
      widest = Math.max(widest, w);
      height = Math.max(height, y - between);
    }
    x += widest + across;
  }
  return [Math.max(0, x - across), height];
}
