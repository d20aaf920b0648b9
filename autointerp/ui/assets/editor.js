// A text box that can be given the focus: what was typed before it came is put into it. Its text is kept under `slot` by the
// page's element for drafts; Ctrl+Enter saves.
let focusedFor = 0;

const kept = (slot) => {
  try {
    const text = JSON.parse(localStorage.getItem(slot));
    return typeof text === "string" ? text : null;
  } catch { return null; }
};
const atEnd = (box) => {
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  let box = root.box;
  if (!box) {
    box = root.box = el("textarea");
    const label = el("label", "", data.label);
    box.id = "text";
    label.htmlFor = box.id;
    root.replaceChildren(label, box);
  }
  root.firstChild.textContent = data.label;
  box.placeholder = data.placeholder;
  box.dataset.base = data.base;
  if (box.dataset.slot !== data.slot) {
    box.dataset.slot = data.slot;
    box.value = kept(data.slot) ?? data.value;
  } else if (root.value !== data.value && root.getRootNode().activeElement !== box) box.value = data.value; // discarded, or typed in another tab
  root.value = data.value;
  box.onkeydown = (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    box.blur();
    setTriggerValue("save", true);
  };
  const insert = (text) => {
    atEnd(box);
    if (!text) return;
    box.setRangeText(text, box.value.length, box.value.length, "end");
    box.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
  };
  if (data.focus && data.focus !== focusedFor) {
    focusedFor = data.focus;
    requestAnimationFrame(() => {
      const claim = new CustomEvent("autointerp-claim", { cancelable: true, detail: { take: insert } });
      if (document.dispatchEvent(claim)) insert(""); // nobody has caught anything
    });
  }
  if (!root.listening) {
    const focus = (event) => {
      event.preventDefault();
      atEnd(box);
    };
    document.addEventListener("autointerp-focus", focus);
    root.listening = () => document.removeEventListener("autointerp-focus", focus);
  }
  return root.listening;
}
