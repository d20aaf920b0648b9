// A typed text, token by token, and the features that fire on it. A click on a token ranks by it; a row shows its feature on
// the text above while the pointer is over it, and opens it.
const labelled = (label, text) => {
  const td = el("td", "num", text);
  td.dataset.label = label.toLowerCase();
  return td;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const view = { whitespace: false, breaks: true };
  const ids = data.table.map((_, i) => i);
  const strip = el("div", "text strip");
  strip.dir = "ltr";
  const whole = { s: 0, t: ids, p: [], v: [], k: -1 };
  append(strip, tokens(whole, data.table, 0, view));
  const nodes = [...strip.children];
  const choose = (node) => {
    if (node) setTriggerValue("token", data.by_token && node.at === data.token ? -1 : node.at);
  };
  nodes.forEach((node, i) => {
    node.tabIndex = 0;
    node.setAttribute("role", "button");
    node.setAttribute("aria-pressed", String(data.by_token && i === data.token));
    if (data.by_token && i === data.token) node.classList.add("chosen");
  });
  strip.onclick = (event) => choose(event.target.closest(".t"));
  strip.onkeydown = (event) => {
    const node = event.target.closest(".t");
    if (!node) return;
    if (event.key === "Enter" || event.key === " ") choose(node);
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") (nodes[node.at + (event.key === "ArrowRight" ? 1 : -1)] || node).focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  let painted = [];
  let max = 0;
  const paint = (row) => {
    for (const node of painted) {
      node.className = node.className.replace(/ a\d+/, "").replace(" peak", "");
      node.value = 0;
    }
    painted = row ? row.p.map((position) => nodes[position]) : [];
    max = row ? row.max : 0;
    painted.forEach((node, i) => {
      node.value = row.v[i];
      node.classList.add("a" + level(node.value, max));
      if (node.at === row.peak) node.classList.add("peak");
    });
  };

  const tip = el("div", "tip");
  tip.setAttribute("role", "tooltip");
  const hint = append(el("div", "hint"), el("span", "", "Click a token to rank by it; hover over a row to see the feature on the text."));
  if (data.by_token && data.token >= 0) {
    const clear = el("button", "", "whole text");
    clear.onclick = () => setTriggerValue("token", -1);
    append(hint, clear);
  }
  const fragment = append(document.createDocumentFragment(), strip, hint, el("div", "summary", data.summary));

  const byNode = new Map([[strip, whole]]);
  if (data.rows.length) {
    const head = el("tr");
    for (const [title, cls, help] of [
      ["Feature", ""],
      [data.value, "num", "On this text"],
      ["Of max", "num", "Activation at the boxed token, as a share of the maximum in the corpus"],
      ["Density", "num", "Share of the corpus's tokens on which it fires"],
      ["Explanation", ""],
      ["On the text", ""],
    ]) {
      const th = el("th", cls, title);
      th.scope = "col";
      if (help) th.title = help;
      append(head, th);
    }
    const body = el("tbody");
    for (const row of data.rows) {
      const tr = el("tr", "go");
      const open = () => setTriggerValue("open", row.go);
      tr.onclick = open;
      tr.onpointerenter = () => paint(row);
      tr.onpointerleave = () => paint(null);
      const why = el("td", "why");
      if (row.explanation === null) append(why, el("span", "dim", "not explained"));
      else append(why, el("div", "", row.explanation), row.score ? el("div", "score", row.score) : null);
      const excerpt = { s: 0, t: ids, p: row.p, v: row.v, k: row.peak, max: row.max };
      const text = append(el("div", "text"), row.from > data.added ? el("span", "dim", "… ") : null, tokens(excerpt, data.table, row.max, { whitespace: false, breaks: false }, row.from, row.to), row.to < ids.length ? el("span", "dim", " …") : null);
      text.dir = "ltr";
      byNode.set(text, excerpt);
      append(body, append(
        tr,
        append(el("td", "name"), link("", row.name, address("feature", { ...row.go, text: data.text }), open)),
        labelled(data.value, row.value),
        labelled("of max", row.share),
        labelled("density", row.density),
        why,
        append(el("td", "on"), text),
      ));
    }
    append(fragment, append(el("div", "wide"), append(el("table"), append(el("thead"), head), body)));
  }
  append(fragment, tip);
  root.replaceChildren(fragment);
  root.dataset.probed = String(data.rows.length);
  hover(root, tip, data.table, (row) => row.max || max, (node) => byNode.get(node.closest(".text")), null);
}
