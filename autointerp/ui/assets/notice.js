// What a click came to, for some seconds, in the free part of the page's head: above everything, over no button.
const SECONDS = 5;
let said = "";

export default function ({ data, parentElement }) {
  if (!data.text || said === data.once) return;
  said = data.once;
  const box = el("div", "notice", data.text);
  box.popover = "manual";
  box.title = data.text;
  box.setAttribute("role", "status");
  parentElement.querySelector(".root").replaceChildren(box);
  box.showPopover();
  setTimeout(() => box.remove(), 1000 * SECONDS);
}
