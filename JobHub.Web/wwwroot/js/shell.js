// What every page has: the connection to the server, theme, keys.
const root = document.documentElement;

if (window.Blazor) {
  // Tries for as long as the page is open; 1, 2, 4 … 15 s apart.
  window.Blazor.start({ circuit: { reconnectionOptions: { maxRetries: 1e6, retryIntervalMilliseconds: n => Math.min(15000, 1000 * 2 ** Math.min(n, 4)) } } });
  // The server was started anew: it knows nothing of this page, so the page is loaded again.
  const modal = document.getElementById("components-reconnect-modal");
  new MutationObserver(() => {
    if (modal.classList.contains("components-reconnect-rejected") || modal.classList.contains("components-reconnect-failed")) location.reload();
  }).observe(modal, { attributes: true, attributeFilter: ["class"] });
}

for (const sheet of document.querySelectorAll("link[data-late]")) sheet.media = "all";

document.addEventListener("click", e => {
  if (e.target.closest("[data-theme-switch]")) switchTheme();
  else if (e.target.closest("[data-keys]")) help();
  else for (const menu of document.querySelectorAll("details.account[open]")) if (!menu.contains(e.target)) menu.open = false;
});

function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  keep("theme", root.dataset.theme = dark ? "light" : "dark");
  dispatchEvent(new Event("jobhub:theme"));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("jobhub:theme")));

function keep(name, value) { document.cookie = `${name}=${value};path=/;max-age=31536000;samesite=lax`; }

window.jobhub = { density(value) { root.dataset.density = value; keep("density", value); } };

function help() {
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const off = dialog.querySelector("[data-keys-off]");
  off.checked = localStorage.getItem("keys") === "off";
  off.onchange = () => localStorage.setItem("keys", off.checked ? "off" : "on");
  if (!dialog.open) dialog.showModal();
}

// Keys. What a page answers to, it marks: data-key="f" on what is pressed, data-list on lists, data-row on their rows.
let went = 0;
document.addEventListener("keydown", e => {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]");
  if (e.key === "Escape") { if (typing) typing.blur(); else press("Escape"); return; }
  if (typing || document.querySelector("dialog[open], .rz-dialog")) return;
  const row = e.target.closest?.("[data-row]");
  if (e.key === "Enter" && row === e.target) { row.querySelector("a[data-open]")?.click(); return; }
  if (localStorage.getItem("keys") === "off" && e.key !== "?") return;
  if (went > performance.now()) {
    went = 0;
    const place = document.querySelector(`.nav [data-go="${CSS.escape(e.key)}"]`);
    if (place) { e.preventDefault(); place.click(); }
    return;
  }
  if (e.key === "g") { went = performance.now() + 1500; return; }
  if (e.key === "?") { e.preventDefault(); help(); return; }
  if (e.key === "/") { const find = document.querySelector("[data-find]") ?? document.getElementById("find"); if (find) { e.preventDefault(); find.focus(); find.select?.(); } return; }
  if (e.key === "c") { const submit = document.querySelector("[data-go=c]"); if (submit) { e.preventDefault(); submit.click(); } return; }
  if (list(e, row)) { e.preventDefault(); return; }
  if (press(e.key)) e.preventDefault();
});

function press(key) {
  const found = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  found?.click();
  return !!found;
}

function list(e, row) {
  const place = row?.closest("[data-list]") ?? document.querySelector("[data-list]");
  if (!place) return false;
  const rows = [...place.querySelectorAll("[data-row]")];
  const at = rows.indexOf(row);
  const move = { j: 1, ArrowDown: row ? 1 : 0, k: -1, ArrowUp: row ? -1 : 0 }[e.key] ?? (e.shiftKey && { J: 1, K: -1 }[e.key]);
  if (move) {
    const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + move))];
    if (!next) return false;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
    if (e.shiftKey) next.querySelector("input[type=checkbox]:not(:checked)")?.click();
    return true;
  }
  if (!row) return false;
  const inRow = { x: "input[type=checkbox]", l: "[data-branch=closed]", ArrowRight: "[data-branch=closed]", h: "[data-branch=open]", ArrowLeft: "[data-branch=open]" }[e.key];
  const found = inRow && row.querySelector(inRow);
  found?.click();
  return !!found;
}
