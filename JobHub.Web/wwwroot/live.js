// Keeps the parts marked data-live up to date: asks for the same page and takes over what changed, in place.
const dot = document.getElementById("live");
let wait = 1000;

async function refresh() {
  if (!document.hidden && !selecting()) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      // The session has ended: the sign-in page says so and leads back here.
      if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { location.assign(answer.url); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const next = fresh.getElementById(part.id);
        if (next && next.innerHTML !== part.innerHTML) patch(part, next);
      }
      say("Live", false);
      wait = 1000;
    } catch {
      say("Away", true);
      wait = Math.min(15000, wait * 2);
    }
  }
  setTimeout(refresh, wait);
}

// Nodes that are equal stay, so that focus, scrolling and hover are kept.
function patch(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) { old.replaceWith(document.importNode(next, true)); return; }
  if (old.nodeType === Node.TEXT_NODE) { if (old.data !== next.data) old.data = next.data; return; }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const now = [...old.childNodes], then = [...next.childNodes];
  then.forEach((child, i) => now[i] ? patch(now[i], child) : old.append(document.importNode(child, true)));
  now.slice(then.length).forEach(child => child.remove());
}

function selecting() { const s = getSelection(); return s !== null && !s.isCollapsed; }

function say(word, away) {
  if (dot.textContent !== word) dot.textContent = word;
  dot.classList.toggle("away", away);
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme};path=/;max-age=31536000;samesite=lax`;
});

if (document.querySelector("[data-live]")) setTimeout(refresh, wait);
