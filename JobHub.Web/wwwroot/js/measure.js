// Tells the server how wide a box is, so that what it draws is never scaled.
export function watch(box, page) {
  let told = 0;
  const observer = new ResizeObserver(entries => {
    const width = Math.floor(entries[entries.length - 1].contentRect.width);
    if (width === told || width === 0) return;
    told = width;
    page.invokeMethodAsync("Resized", width).catch(() => {});
  });
  observer.observe(box);
  return { stop() { observer.disconnect(); } };
}
