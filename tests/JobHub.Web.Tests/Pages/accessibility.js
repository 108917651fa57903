// What is wrong with the page as it stands, a line each; run in it by AccessibilityTests. Ratios and sizes are those of WCAG 2.2, AA.
async () => {
  await Promise.all(document.getAnimations().filter(a => a.effect.getComputedTiming().endTime !== Infinity).map(a => a.finished.catch(() => {})));
  const wrong = new Map();
  const pixel = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const say = (what, element) => {
    const where = element.closest('[id]')?.id;
    const line = `${what}: ${element.outerHTML.replace(/\s+/g, ' ').slice(0, 140)}${where ? ` (in #${where})` : ''}`;
    const key = what.replace(/[\d.]+/g, '') + element.className + element.tagName;
    if (!wrong.has(key)) wrong.set(key, line);
  };
  const parse = css => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = css;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, ground) => [0, 1, 2].map(i => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
  const light = colour => [0, 1, 2].map(i => colour[i] / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const ground = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      const colour = parse(style.backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const clear = element => { let opacity = 1; for (let at = element; at; at = at.parentElement) opacity *= +getComputedStyle(at).opacity; return opacity; };
  const seen = element => {
    if (!element.checkVisibility({ opacityProperty: false, visibilityProperty: true })) return false;
    const box = element.getBoundingClientRect();
    // What is only for ears is a pixel, cut away.
    return box.width > 1 && box.height > 1 && !element.closest('.vh, .skip:not(:focus)');
  };
  const off = element => element.closest(':disabled, [aria-disabled=true]') !== null;
  const enough = (element, colour, least, what, below) => {
    const under = ground(below ?? element);
    const [r, g, b, a] = parse(colour);
    const got = ratio(over([r, g, b, a * clear(element)], under), under);
    if (got < least - 0.005) say(`${what} has a contrast of ${got.toFixed(2)}, not ${least}`, element);
  };

  // Text.
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const done = new Set();
  for (let node; (node = walk.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || done.has(element) || ['SCRIPT', 'STYLE', 'OPTION', 'TITLE', 'NOSCRIPT', 'TEMPLATE'].includes(element.tagName) || !seen(element) || off(element)) continue;
    done.add(element);
    const style = getComputedStyle(element);
    enough(element, element.closest('svg') ? style.fill : style.color, parseFloat(style.fontSize) >= 24 ? 3 : 4.5, 'Text');
  }

  // Marks, edges of controls and what they say before they are filled in.
  for (const mark of document.querySelectorAll('svg.s, svg.i')) if (seen(mark) && !off(mark)) enough(mark, getComputedStyle(mark).color, 3, 'A mark');
  for (const field of document.querySelectorAll('input, textarea, select')) {
    if (['hidden', 'file', 'checkbox', 'radio', 'range'].includes(field.type)) continue;
    if (!seen(field) || off(field)) continue;
    if (field.placeholder) enough(field, getComputedStyle(field, '::placeholder').color, 4.5, 'A placeholder');
    // A field within a drawn one has that one's edge; a chooser without an edge is known by its arrow.
    const edged = [field, field.parentElement, field.parentElement.parentElement].find(e => parseFloat(getComputedStyle(e).borderTopWidth) > 0);
    if (edged && !field.matches('.pick')) enough(edged, getComputedStyle(edged).borderTopColor, 3, 'The edge of a field', edged.parentElement);
    else if (!field.matches('.pick')) say('A field has no edge', field);
  }

  // Names.
  const named = element => {
    const by = (element.getAttribute('aria-labelledby') ?? '').split(' ').filter(Boolean);
    if (by.some(id => !document.getElementById(id))) say('A name that is not there', element);
    return by.map(id => document.getElementById(id)?.textContent ?? '').join('').trim() || element.getAttribute('aria-label')?.trim()
      || [...(element.labels ?? [])].map(l => l.textContent).join('').trim();
  };
  for (const field of document.querySelectorAll('input:not([type=hidden]), textarea, select')) if (field.checkVisibility() && !named(field)) say('A field without a label', field);
  for (const button of document.querySelectorAll('button, a[href], summary, [role=button], [role=switch]')) {
    if (button.checkVisibility() && !named(button) && !button.textContent.trim() && !button.title.trim() && !button.querySelector('img[alt]:not([alt=""])')) say('A button or link without a name', button);
  }
  for (const picture of document.querySelectorAll('img:not([alt])')) say('A picture without words', picture);
  for (const canvas of document.querySelectorAll('canvas:not([aria-label]):not([aria-hidden=true]), svg[role=img]:not([aria-label]):not([aria-labelledby])')) say('A drawing without words', canvas);
  for (const svg of document.querySelectorAll('svg:not([aria-hidden=true]):not([role=img])')) if (!svg.closest('[aria-hidden=true], [role=img]')) say('A drawing that is neither hidden nor named', svg);
  for (const hidden of document.querySelectorAll('[aria-hidden=true] :is(a[href], button, input, [tabindex="0"]), [aria-hidden=true]:is(a[href], button, input, [tabindex="0"])')) say('A hidden thing that takes the focus', hidden);
  for (const early of document.querySelectorAll('[tabindex]')) if (early.tabIndex > 0) say('An order of its own', early);

  // Structure.
  const headings = [...document.querySelectorAll('h1')].filter(h => h.checkVisibility());
  if (headings.length !== 1) say(`${headings.length} main headings`, document.body);
  if (document.querySelectorAll('main').length !== 1) say('Not one main landmark', document.body);
  if (!document.querySelector('header')) say('No header landmark', document.body);
  for (const nav of document.querySelectorAll('nav, aside')) if (nav.checkVisibility() && !named(nav)) say('A landmark without a name', nav);
  for (const head of document.querySelectorAll('th:not([scope])')) say('A table head without a scope', head);
  for (const table of document.querySelectorAll('table')) if (!table.querySelector('th')) { if (table.checkVisibility() && !table.matches('[role=presentation]') && !named(table) && !table.closest('section[aria-labelledby], aside')) say('A table without heads', table); }
  if (!document.documentElement.lang) say('No language', document.documentElement);
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  for (const twice of ids.filter((id, i) => ids.indexOf(id) !== i)) say(`The id ${twice} twice`, document.getElementById(twice));

  // Targets: 24 pixels, or in a line of text, or with as much room around.
  const targets = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button], [role=switch]')].filter(t => seen(t) && !off(t));
  const boxes = new Map(targets.map(t => [t, (t.labels?.length && t.labels[0].contains(t) ? t.labels[0] : t).getBoundingClientRect()]));
  const small = targets.filter(t => boxes.get(t).width < 23.9 || boxes.get(t).height < 23.9);
  const middle = t => { const b = boxes.get(t); return [b.x + b.width / 2, b.y + b.height / 2]; };
  for (const target of small) {
    // A bar of a chart is as long as its time, and the number of a log's line as high as the line; both are reached elsewhere too.
    if (target.closest('svg, .ln, .lane')) continue;
    const inLine = getComputedStyle(target).display === 'inline' && [...target.parentElement.childNodes].some(n => n !== target && n.textContent.trim());
    if (inLine) continue;
    const [x, y] = middle(target);
    const crowded = targets.some(other => {
      if (other === target || other.closest('.tabbar, .top, .nav') !== target.closest('.tabbar, .top, .nav') || other.contains(target) || target.contains(other)) return false;
      const b = boxes.get(other);
      if (small.includes(other)) { const [p, q] = middle(other); return Math.hypot(p - x, q - y) < 24; }
      return Math.hypot(Math.max(b.left - x, 0, x - b.right), Math.max(b.top - y, 0, y - b.bottom)) < 12;
    });
    if (crowded) say(`A target of ${Math.round(boxes.get(target).width)} × ${Math.round(boxes.get(target).height)} without room`, target);
  }

  // The ring of the focus.
  const before = document.activeElement;
  const tried = new Set();
  for (const target of targets) {
    const key = target.tagName + target.className + (target.parentElement?.className ?? '');
    if (tried.has(key) || target.type === 'file') continue;
    tried.add(key);
    target.focus({ focusVisible: true, preventScroll: true });
    const ring = [target, target.parentElement, target.parentElement?.parentElement].find(e => e && clear(e) > 0 && getComputedStyle(e).outlineStyle !== 'none' && parseFloat(getComputedStyle(e).outlineWidth) > 0);
    if (!ring) say('No ring of the focus', target);
    else enough(ring, getComputedStyle(ring).outlineColor, 3, 'The ring of the focus', ring.parentElement);
  }
  before?.focus?.({ preventScroll: true });
  if (document.activeElement !== before) document.activeElement?.blur();
  return [...wrong.values()];
}
