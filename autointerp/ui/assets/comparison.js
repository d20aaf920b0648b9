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
      return append(el("td"), append(el("b"), open), el("div", "small", figures.ci), el("div", "small", `${figures.reference} · n ${figures.n}`));
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
    if (data.scores.some((row) => row.difference)) append(fragment, el("div", "small", "● difference, filled where it is clear   ━ 95 % interval   ┊ no difference"));
  }

  for (const scorer of data.flips || []) {
    append(fragment, append(el("h4", "part", scorer.name), el("span", "dim", scorer.said)));
    for (const group of scorer.groups) {
      append(fragment, el("div", "small", group.title));
      for (const row of group.rows) {
        const text = el("div", "text");
        text.dir = "ltr";
        if (row.t.length) append(text, tokens(row, data.table, 0, { whitespace: false, breaks: false }));
        for (const token of text.children) if ((row.mk || []).includes(token.at)) token.classList.add("mk");
        if (!row.t.length) append(text, el("span", "dim", "This text is no longer in the store's corpus."));
        const place = { context: row.c, start: row.s };
        const open = link("", "context", address("feature", { ...data.params, ...place }), () => setTriggerValue("open", place));
        const said = append(el("div", "small"), append(el("div"), el("b", row.ok ? "right" : "wrong", (row.ok ? "✓ " : "✕ ") + row.said)), el("div", "", row.true));
        append(fragment, append(el("div", "flip"), said, text, append(el("div", "small"), open)));
      }
    }
  }
  if (data.settings && data.settings.length) {
    append(fragment, el("h4", "part", "Settings that differ"));
    const table = append(el("table"), append(el("thead"), append(el("tr"), ...["", "Setting", data.sides[0].title, data.sides[1].title].map((title) => el("th", "", title)))));
    const body = el("tbody");
    for (const row of data.settings) append(body, append(el("tr"), ...row.map((cell) => el("td", "setting", cell))));
    append(fragment, append(el("div", "wide"), append(table, body)));
  }
  root.replaceChildren(fragment);
  root.dataset.sides = data.sides.map((side) => side.id).join(" ");
  reveal(root, root.dataset.sides);
}
