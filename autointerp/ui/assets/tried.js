// A typed text with one feature's activations: the verdict, the text, the strongest tokens with their exact values.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const [fires, headline, detail] = data.verdict;
  const verdict = append(el("div", "verdict " + (fires ? "fires" : "inactive")), el("b", "", (fires ? "● " : "○ ") + headline));
  if (detail) append(verdict, document.createTextNode(" " + detail));
  const text = append(el("div", "text tried"), tokens(data.row, data.table, data.max, { whitespace: false, breaks: true }));
  text.dir = "ltr";
  const values = el("div", "values");
  for (const [at, token, value, share] of data.listed) {
    const name = el("span", "t", token);
    name.title = `position ${at}`;
    append(values, name, el("span", "num", value), el("span", "num dim", share));
  }
  const tip = el("div", "tip");
  tip.setAttribute("role", "tooltip");
  const fragment = append(document.createDocumentFragment(), verdict, text, data.listed.length ? values : null);
  if (data.more) append(fragment, el("div", "note", `${data.more} more: hover over the text`));
  for (const note of data.notes) append(fragment, el("div", "note", note));
  append(fragment, tip);
  root.replaceChildren(fragment);
  root.dataset.tried = data.latent;
  hover(root, tip, data.table, data.max, (node) => (text.contains(node) ? data.row : null));
}
