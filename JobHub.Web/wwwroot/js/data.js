// Uploads: files that are dropped or chosen go straight to the hub, one after the other, with their progress. Names from outside are text and nothing else.
const units = ["B", "KiB", "MiB", "GiB", "TiB"];

function size(bytes) {
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1024; unit++; }
  return unit ? `${bytes.toFixed(bytes < 10 ? 2 : bytes < 100 ? 1 : 0)} ${units[unit]}` : `${bytes} B`;
}

function shown(name) { return name.length > 300 ? `${name.slice(0, 300)}…` : name.replace(/[\u0000-\u001f\u007f-\u009f]/g, "␛"); }

function element(tag, look, text) {
  const made = document.createElement(tag);
  if (look) made.className = look;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Makes a zone of a page take files. Where they go is said by its attributes at the time, `data-address` with `{name}` for the file's name. */
export function takeFiles(zone, page) {
  const input = zone.querySelector("input[type=file]");
  const list = zone.querySelector("[data-uploads]");
  const waiting = [];
  let running = false, depth = 0, gone = false;

  const add = files => {
    for (const file of files) waiting.push(lineOf(file));
    if (!running) run();
  };

  function lineOf(file) {
    const line = element("li", "up");
    const bar = element("div", "bar h4");
    const fill = element("i", "f-live");
    fill.style.width = "0%";
    bar.append(fill);
    const says = element("span", "sm m2", `waits, ${size(file.size)}`);
    const stop = element("button", "btn quiet s28", "Stop");
    stop.type = "button";
    stop.setAttribute("aria-label", `Stop the upload of ${shown(file.name)}`);
    line.append(element("bdi", "ell", shown(file.name)), bar, says, stop);
    list.append(line);
    const upload = { file, line, fill, says, stop, address: zone.dataset.address, method: zone.dataset.method };
    stop.onclick = () => end(upload, "Stopped.", false);
    return upload;
  }

  async function run() {
    running = true;
    let done = 0;
    while (waiting.length && !gone) {
      const upload = waiting.shift();
      if (upload.ended) continue;
      if (await send(upload)) done++;
      // The page shows what is there while more is on its way.
      if (done && !gone) await page.invokeMethodAsync("Uploaded", upload.file.name, upload.answer ?? "").catch(() => {});
    }
    running = false;
  }

  function end(upload, says, good) {
    if (upload.ended) return;
    upload.ended = true;
    upload.request?.abort();
    upload.says.textContent = says;
    upload.says.className = good ? "sm good" : "sm bad";
    upload.fill.className = good ? "f-good" : "f-bad";
    upload.stop.textContent = good ? "Hide" : "Again";
    upload.stop.setAttribute("aria-label", `${upload.stop.textContent}: ${shown(upload.file.name)}`);
    upload.stop.onclick = () => { upload.line.remove(); if (!good) add([upload.file]); };
    if (!good) upload.line.setAttribute("role", "alert");
    upload.settle?.(good);
  }

  async function send(upload) {
    let shownToken;
    try {
      const answer = await fetch("/transfer/token", { cache: "no-store" });
      if (!answer.ok) throw new Error();
      shownToken = await answer.json();
    } catch {
      end(upload, "The dashboard does not answer. Press Again in a moment.", false);
      return false;
    }
    if (upload.ended) return false;
    return new Promise(settle => {
      upload.settle = settle;
      const request = upload.request = new XMLHttpRequest();
      request.open(upload.method, upload.address.replaceAll("{name}", encodeURIComponent(upload.file.name)));
      request.setRequestHeader(shownToken.header, shownToken.token);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      const begun = performance.now();
      request.upload.onprogress = e => {
        if (!e.lengthComputable || upload.ended) return;
        const share = e.total ? e.loaded / e.total : 1;
        const speed = e.loaded / Math.max(.1, (performance.now() - begun) / 1000);
        upload.fill.style.width = `${(100 * share).toFixed(1)}%`;
        upload.says.textContent = share < 1 ? `${size(e.loaded)} of ${size(e.total)}, ${size(Math.round(speed))}/s` : "All sent; the hub stores it";
      };
      request.onload = () => {
        if (request.status >= 200 && request.status < 300) {
          upload.fill.style.width = "100%";
          upload.answer = request.responseText.length < 16000 ? request.responseText : "";
          end(upload, `Stored, ${size(upload.file.size)}`, true);
        } else end(upload, problemOf(request), false);
      };
      request.onerror = () => end(upload, "The connection broke. Press Again to send it once more.", false);
      request.send(upload.file);
    });
  }

  function problemOf(request) {
    try { return shown(JSON.parse(request.responseText).detail ?? `Refused with ${request.status}.`); } catch { return `Refused with ${request.status}.`; }
  }

  const events = {
    dragenter: e => { if (holdsFiles(e)) { depth++; zone.classList.add("over"); e.preventDefault(); } },
    dragover: e => { if (holdsFiles(e)) { e.preventDefault(); e.dataTransfer.dropEffect = "copy"; } },
    dragleave: () => { if (--depth <= 0) { depth = 0; zone.classList.remove("over"); } },
    drop: e => {
      if (!holdsFiles(e)) return;
      e.preventDefault();
      depth = 0;
      zone.classList.remove("over");
      // A folder comes as a file without a type that cannot be read; what it holds is not sent by itself.
      add([...e.dataTransfer.items].filter(i => i.kind === "file" && !i.webkitGetAsEntry?.()?.isDirectory).map(i => i.getAsFile()).filter(f => f));
    },
  };
  for (const [name, handle] of Object.entries(events)) zone.addEventListener(name, handle);
  const chosen = () => { add([...input.files]); input.value = ""; };
  input.addEventListener("change", chosen);
  zone.dataset.ready = "";
  const leaving = e => { if (running) e.preventDefault(); };
  addEventListener("beforeunload", leaving);
  return {
    dispose() {
      gone = true;
      removeEventListener("beforeunload", leaving);
      input.removeEventListener("change", chosen);
      for (const [name, handle] of Object.entries(events)) zone.removeEventListener(name, handle);
    },
  };
}

function holdsFiles(e) { return [...(e.dataTransfer?.types ?? [])].includes("Files"); }
