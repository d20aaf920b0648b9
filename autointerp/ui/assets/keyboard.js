// The page's shortcuts. They work whenever no text is being typed and never while it is; every key that is none of them goes
// its way. A shortcut that opens a text box takes the focus at once and hands over what was typed before the box came.
const LOAD = String(Math.random()).slice(2); // of this document: numbers of presses begin anew with it
const sent = []; // names of shortcuts pressed, the newest of them
let pressed = 0;
let byTab = false; // how the focus came to where it is
let typedNumber = null; // the number field that has been typed into since it was entered

const NO_TEXT = new Set(["button", "checkbox", "color", "file", "image", "radio", "range", "reset", "submit"]);
const ARROWS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);
const MOVES = new Set(["combobox", "gridcell", "menuitem", "option", "radio", "slider", "spinbutton", "tab"]); // roles with arrows of their own
const isNumber = (node) => node.tagName === "INPUT" && node.type === "number";

const takesText = (node) => {
  if (!(node instanceof HTMLElement) || node.disabled || node.readOnly) return false;
  if (node.isContentEditable || node.tagName === "TEXTAREA") return true;
  if (node.tagName === "SELECT") return byTab;
  if (node.tagName !== "INPUT" || NO_TEXT.has(node.type)) return false;
  if (isNumber(node)) return node === typedNumber;
  // A box to choose from takes text while its list is open, and for those who came to type.
  if (node.getAttribute("role") === "combobox") return byTab || node.getAttribute("aria-expanded") === "true";
  return true;
};
const ownsArrows = (node) => byTab && node instanceof HTMLElement && (MOVES.has(node.getAttribute("role")) || isNumber(node) || node.type === "range");
const modal = () => document.querySelector('[role="dialog"][aria-modal="true"], [data-testid="stDialog"] [role="dialog"]');
const overlay = () => document.querySelector('[role="listbox"], [role="menu"], [role="dialog"]');

// A dialog that asks for a text is typed into at once.
const enter = (frames) => {
  const box = modal()?.querySelector("input");
  if (box) box.focus();
  else if (frames) requestAnimationFrame(() => enter(frames - 1));
};

const listen = (root) => {
  let escapes = false; // whether this press of Escape has nothing to close
  const press = (name) => {
    pressed += 1;
    sent.push(name);
    if (sent.length > 50) sent.shift();
    root.tell("pressed", { load: LOAD, n: pressed, names: [...sent] });
  };
  const run = (event, shortcut) => {
    event.preventDefault();
    event.stopPropagation();
    if (shortcut.here) {
      document.dispatchEvent(new CustomEvent("autointerp-key", { detail: { name: shortcut.name, repeat: event.repeat } }));
      return;
    }
    // A key held down repeats as fast as the server answers, and only where it steps.
    if (event.repeat && (pressed > root.handled || !ARROWS.has(shortcut.key))) return;
    if (shortcut.types) {
      const open = new CustomEvent("autointerp-focus", { cancelable: true });
      if (!document.dispatchEvent(open)) return; // the box is there
      root.catcher.value = "";
      root.catcher.focus({ preventScroll: true });
      root.catching = pressed + 1;
    }
    press(shortcut.name);
  };
  const down = (event) => {
    const node = event.composedPath()[0];
    if (event.key === "Tab") byTab = true;
    // A click on nothing leaves the focus on the page's frame, around which any key would draw a ring.
    else if (!byTab && node instanceof HTMLElement && node.tagName === "MAIN") node.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.keyCode === 229) return;
    escapes = false;
    if (root.sheet.open) {
      if (event.key === "?") { event.preventDefault(); root.sheet.close(); }
      return;
    }
    if (node instanceof HTMLElement && isNumber(node)) {
      if (event.key === "Enter") typedNumber = null;
      else if (/^[0-9.,+-]$/.test(event.key) || event.key === "Backspace" || event.key === "Delete") typedNumber = node;
    }
    if (event.key === "Escape") {
      escapes = !overlay();
      return;
    }
    if (takesText(node) || modal()) return;
    if (event.key === "?") {
      event.preventDefault();
      event.stopPropagation();
      root.open();
      return;
    }
    if (event.shiftKey || (ARROWS.has(event.key) && ownsArrows(node))) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const shortcut = root.shortcuts.find((one) => one.key === key);
    if (shortcut) run(event, shortcut);
  };
  // Escape comes last: whatever is open and takes it, takes it first.
  const up = (event) => {
    if (event.key !== "Escape" || !escapes || event.defaultPrevented) return;
    escapes = false;
    const node = event.composedPath()[0];
    if (takesText(node)) {
      node.blur();
      return;
    }
    const shortcut = root.shortcuts.find((one) => one.key === "Escape");
    if (shortcut) run(event, shortcut);
  };
  const pointed = () => { byTab = false; };
  const left = () => { typedNumber = null; };
  const pasted = (event) => {
    const node = event.composedPath()[0];
    if (node instanceof HTMLElement && isNumber(node)) typedNumber = node;
  };
  const claimed = (event) => {
    event.preventDefault();
    root.give(event.detail.take);
  };
  window.addEventListener("keydown", down, true);
  window.addEventListener("keydown", up);
  window.addEventListener("pointerdown", pointed, true);
  window.addEventListener("focusout", left, true);
  window.addEventListener("paste", pasted, true);
  document.addEventListener("autointerp-claim", claimed);
  return () => {
    window.removeEventListener("keydown", down, true);
    window.removeEventListener("keydown", up);
    window.removeEventListener("pointerdown", pointed, true);
    window.removeEventListener("focusout", left, true);
    window.removeEventListener("paste", pasted, true);
    document.removeEventListener("autointerp-claim", claimed);
  };
};

// A text area out of sight that has the focus until the box it was asked for takes over.
const catching = (root) => {
  const catcher = el("textarea", "catcher");
  catcher.setAttribute("aria-label", "Your explanation, opening");
  catcher.tabIndex = -1;
  let composing = false;
  let take = null;
  const hand = () => {
    const text = catcher.value;
    catcher.value = "";
    root.catching = 0;
    const to = take;
    take = null;
    to(text);
  };
  catcher.oncompositionstart = () => { composing = true; };
  catcher.oncompositionend = () => { composing = false; if (take) hand(); };
  root.give = (to) => { take = to; if (!composing) hand(); };
  return catcher;
};

const rows = (list) => {
  const table = el("dl");
  for (const [keys, says] of list) {
    const dt = el("dt");
    for (const key of keys) append(dt, el("kbd", "", key));
    append(table, dt, el("dd", "", says));
  }
  return table;
};

const fill = (sheet, data) => {
  const close = el("button", "close", "Close");
  close.onclick = () => sheet.close();
  const groups = [];
  if (data.shortcuts.length) groups.push(el("h4", "", data.title), rows(data.shortcuts.map((one) => [[one.shown], one.says])));
  groups.push(el("h4", "", "Everywhere"), rows(data.everywhere), el("p", "", data.rules));
  sheet.replaceChildren(append(el("div", "body"), append(el("header"), el("b", "", "Keyboard shortcuts"), close), ...groups));
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".root");
  root.shortcuts = data.shortcuts;
  root.tell = setStateValue;
  root.handled = data.load === LOAD ? data.handled : 0;
  if (data.asks && !root.asks) enter(300);
  root.asks = data.asks;
  if (root.listening) {
    if (root.catching && root.handled >= root.catching && !data.typing) { // no box came
      root.catching = 0;
      root.catcher.blur();
    }
    root.open = () => { fill(root.sheet, data); root.sheet.showModal(); };
    return root.listening; // the last one returned is what is called when the element goes
  }
  root.catcher = catching(root);
  root.sheet = el("dialog", "sheet");
  root.sheet.setAttribute("aria-label", "Keyboard shortcuts");
  root.sheet.onclick = (event) => { if (event.target === root.sheet) root.sheet.close(); };
  root.open = () => { fill(root.sheet, data); root.sheet.showModal(); };
  const hint = el("button", "hint", "?");
  hint.title = "Keyboard shortcuts (?)";
  hint.setAttribute("aria-label", hint.title);
  hint.onclick = () => root.open();
  root.replaceChildren(root.catcher, root.sheet, hint);
  root.listening = listen(root);
  return root.listening;
}
