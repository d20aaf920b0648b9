// Keeps what is typed anywhere on the page, at every keystroke, and tells the server what it does not have. Texts of one's own
// are kept for all tabs, everything else for this one.
const storage = (kind) => {
  const here = new Map(); // what the browser does not keep (full, or not allowed): for as long as the page is open
  let kept = null;
  try { kept = window[kind]; } catch { /* not allowed */ }
  const removeItem = (name) => {
    here.delete(name);
    try { kept.removeItem(name); } catch { /* nothing is there */ }
  };
  return {
    names: () => [...new Set([...Object.keys(kept || {}), ...here.keys()])],
    getItem: (name) => here.get(name) ?? (kept ? kept.getItem(name) : null),
    setItem: (name, value) => {
      removeItem(name); // an older text must not be taken for this one
      try { kept.setItem(name, value); } catch { here.set(name, value); }
    },
    removeItem,
  };
};
const shared = storage("localStorage");
const own = storage("sessionStorage");
const done = new Set(); // numbers of drops that were carried out, with the session's own start
const read = (storage, name) => {
  try { return JSON.parse(storage.getItem(name)); } catch { return undefined; } // damaged
};
const write = (storage, name, value) => storage.setItem(name, JSON.stringify(value));
const entries = (storage, slot) => {
  const all = {};
  for (const name of storage.names()) {
    const value = name.startsWith(slot) ? read(storage, name) : undefined;
    if (value !== undefined) all[name.slice(slot.length)] = value;
  }
  return all;
};
const focused = () => {
  let node = document.activeElement;
  while (node && node.shadowRoot && node.shadowRoot.activeElement) node = node.shadowRoot.activeElement;
  return node;
};
const path = (node) => {
  const all = [];
  for (let at = node; at; at = at.parentNode || at.host) all.push(at);
  return all;
};
// The field's key, as Streamlit's class for it says.
const keyOf = (path) => {
  for (const node of path) {
    for (const cls of node.classList || []) if (cls.startsWith("st-key-")) return cls.slice(7).replace(/__\d+$/, "");
  }
  return "";
};

// What was typed into a field of the address belongs to the address that it was typed at.
const MARK = " at ";
// What lasts belongs to the browser, whichever store is looked at.
const AGAIN_MS = 3000;
const TRIES = 3;
const LASTING = "autointerp for all stores ";

const listen = (root) => {
  let timer = 0;
  const soon = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(root.tell, ms);
  };
  const typed = (event) => {
    const node = event.composedPath()[0];
    if (!(node instanceof HTMLInputElement || node instanceof HTMLTextAreaElement)) return;
    if (node.dataset.slot) {
      if (node.value === node.dataset.base) shared.removeItem(node.dataset.slot);
      else write(shared, node.dataset.slot, node.value);
      soon(400);
      return;
    }
    const key = keyOf(event.composedPath());
    if (!root.keys.has(key) || node.getAttribute("role") === "combobox") return;
    const name = key.startsWith("url_") ? key + MARK + root.at : key;
    root.confirmed.delete(name);
    if (root.lasting.has(key)) write(shared, LASTING + key, node.value);
    else write(own, root.slot + name, node.value);
  };
  const confirmed = (event) => { // as Streamlit takes it: by Enter, or by going elsewhere
    if (event.type === "keydown" && (event.key !== "Enter" || (event.composedPath()[0].tagName === "TEXTAREA" && !event.ctrlKey && !event.metaKey))) return;
    const key = keyOf(event.composedPath());
    if (key.startsWith("url_")) root.confirmed.add(key + MARK + root.at);
  };
  // Streamlit leaves what is being typed in a field that stays on the page, though it belongs to the address that was left: such
  // a field is drawn anew.
  const moved = () => {
    for (const name of Object.keys(entries(own, root.slot))) {
      const [key, address] = name.split(MARK);
      if (address === root.at && root.keys.has(key) && !root.confirmed.has(name)) root.anew[key] = (root.drawn[key] || 0) + 1;
    }
  };
  const left = (event) => {
    const node = event.composedPath()[0];
    if (!node.dataset || !node.dataset.slot) return;
    clearTimeout(timer);
    root.tell(); // at once: a click on Save may be what it was left for
  };
  const clicked = (event) => {
    const name = root.discards[keyOf(event.composedPath())];
    const button = event.composedPath().find((node) => node.tagName === "BUTTON");
    if (name !== undefined && button && !button.disabled) shared.removeItem(root.slot + name);
  };
  const elsewhere = (event) => {
    if (event.key && event.key.startsWith(root.slot)) soon(400);
  };
  document.addEventListener("input", typed, true);
  document.addEventListener("keydown", confirmed, true);
  document.addEventListener("focusout", confirmed, true);
  document.addEventListener("focusout", left, true);
  document.addEventListener("click", clicked, true);
  window.addEventListener("storage", elsewhere);
  window.addEventListener("popstate", moved);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("input", typed, true);
    document.removeEventListener("keydown", confirmed, true);
    document.removeEventListener("focusout", confirmed, true);
    document.removeEventListener("focusout", left, true);
    document.removeEventListener("click", clicked, true);
    window.removeEventListener("storage", elsewhere);
    window.removeEventListener("popstate", moved);
  };
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".root");
  root.slot = data.slot;
  root.keys = new Set(data.keys);
  root.lasting = new Set(data.lasting);
  root.discards = data.discards;
  root.confirmed = root.confirmed || new Set();
  root.at = location.pathname + location.search;
  root.anew = root.anew || {};
  root.drawn = data.drawn;
  for (const [number, key, value] of data.dropped) {
    const once = `${data.session} ${number}`;
    if (done.has(once)) continue;
    done.add(once);
    if (key.endsWith("*")) {
      for (const name of Object.keys(entries(own, data.slot))) if (name.startsWith(key.slice(0, -1))) own.removeItem(data.slot + name);
    } else if (read(shared, data.slot + key) === value) shared.removeItem(data.slot + key);
  }
  const before = root.forms || {};
  root.forms = data.forms;
  for (const [key, value] of Object.entries(data.forms)) {
    // What a click changed; a field that is being typed into is ahead of the server.
    if (JSON.stringify(before[key]) !== JSON.stringify(value) && !(root.keys.has(key) && keyOf(path(focused())) === key && focused().value !== value)) {
      // An empty field of a new session is one that has not heard of this browser yet.
      if (root.lasting.has(key)) { if (value) write(shared, LASTING + key, value); }
      else write(own, data.slot + key, value);
    }
  }
  root.heard = new Set(data.heard);
  root.untold = () => {
    const texts = Object.fromEntries(Object.entries(entries(shared, data.slot)).filter(([, text]) => typeof text === "string"));
    const forms = {};
    const addressed = {};
    const busy = keyOf(path(focused())); // what is being typed there is on its way
    const anew = Object.entries(root.anew).filter(([key, n]) => n > (root.drawn[key] || 0));
    for (const key of root.lasting) {
      const value = read(shared, LASTING + key);
      if (typeof value === "string" && value && !root.forms[key] && !root.heard.has(key) && key !== busy) forms[key] = value;
    }
    for (const [name, value] of Object.entries(entries(own, data.slot))) {
      const [key, address] = name.split(MARK);
      if (!key.startsWith("url_")) {
        if (!(key in root.forms) && !root.heard.has(key) && key !== busy) forms[key] = value;
      } else if (address !== root.at) {
        if (root.confirmed.delete(name)) own.removeItem(data.slot + name);
      } else if (typeof value === "string" && key !== busy) addressed[key] = value;
    }
    const found = JSON.stringify([data.session, texts, forms, addressed, anew]);
    const same = JSON.stringify(Object.entries(texts).sort()) === JSON.stringify(Object.entries(data.texts).sort());
    const nothing = same && !anew.length && !Object.keys(forms).length && !Object.keys(addressed).length;
    return nothing ? null : [found, { session: data.session, texts, forms, typed: addressed, anew: Object.fromEntries(anew) }];
  };
  // A server that is busy starting may lose what it is told: it is told again until it has heard, a few times.
  const say = (found, told, tries) => {
    setStateValue("found", { ...told, tries });
    setTimeout(() => {
      const still = root.isConnected && root.found === found && tries < TRIES ? root.untold() : null;
      if (still && still[0] === found) say(found, still[1], tries + 1);
    }, AGAIN_MS);
  };
  root.tell = () => {
    const [found, told] = root.untold() || [""]; // once all is heard, what is lost later is told again
    if (root.found === found) return;
    root.found = found;
    if (told) say(found, told, 0);
  };
  root.tell();
  root.listening = root.listening || listen(root);
  return root.listening;
}
