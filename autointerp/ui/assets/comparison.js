const at = (node, name, fraction) => { node.style[name] = 100 * fraction + "%"; return node; };

const plot = (p) => {
  const box = append(el("div", "plot"), el("i", "base"), el("i", "zero"));
  if (p.l !== null && p.h !== null) append(box, at(at(el("i", "ci"), "left", p.l), "width", Math.max(p.h - p.l, 0.004)));
  return append(box, at(el("i", "dot"), "left", p.v));
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const fragment = document.createDocumentFragment();
  const sides = el("div", "sides");
  for (const side of data.sides) {
    const say = el("div", "say");
    say.dir = "auto";
    for (const [kind, text] of side.pieces) append(say, el(kind === "cut" ? "del" : kind === "new" ? "ins" : "span", kind, text));
    append(sides, append(el("div"), append(el("h4", "", side.title), el("span", "dim", side.meta)), say));
  }
  append(fragment, sides);
  if (!data.scores.length) append(fragment, el("div", "small", data.empty));
  else {
    const table = el("table");
    const head = el("tr");
    for (const title of ["Score", data.sides[0].title, data.sides[1].title, "Difference"]) append(head, el("th", "", title));
    append(head, append(el("th"), append(el("div", "axis"), el("span", "", "−1"), el("span", "", "0"), el("span", "", "+1"))), el("th", "", "On the same examples"));
    append(table, append(el("thead"), head));
    const body = el("tbody");
    const cell = (figures) => {
      if (!figures) return el("td", "dim", "–");
      const open = link("", figures.value, address("feature", { ...data.params, score: figures.id }), () => setTriggerValue("open", { score: figures.id }));
      return append(el("td"), append(el("b"), open), el("div", "small", figures.ci), el("div", "small", `floor ${figures.floor} · n ${figures.n}`));
    };
    for (const row of data.scores) {
      const what = append(el("td"), el("b", "", row.name), el("div", "small", row.judge), el("div", "small", row.against));
      const tr = append(el("tr", row.clear ? "clear" : ""), what, cell(row.a), cell(row.b));
      if (row.difference) append(tr, append(el("td"), el("b", "", row.difference), el("div", "small", row.ci), el("div", "small", "n " + row.n)), append(el("td"), plot(row.plot)));
      else append(tr, el("td", "dim", "–"), el("td"));
      append(body, append(tr, el("td", "said", row.said)));
    }
    append(table, body);
    append(fragment, append(el("div", "wide"), table));
  }
  root.replaceChildren(fragment);
  root.dataset.sides = data.sides.map((side) => side.id).join(" ");
  reveal(root, root.dataset.sides);
}
