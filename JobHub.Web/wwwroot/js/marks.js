// What states look like on a canvas: one row of marks as in icons.svg, drawn once a theme and size, and copied from there.
export const codes = ["blocked", "ready", "backoff", "leased", "running", "straggler", "paused", "succeeded", "failed", "timedout", "outofmemory", "canceled", "skipped", "lost"];

// The value of a token.
export function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// Below 8 px the fill alone.
export function marks(size, scale) {
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
