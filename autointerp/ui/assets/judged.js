// The judged examples of one score. `row.t`, `row.p`, `row.v` as everywhere (true activations only when asked for);
// `row.mk`: marked positions; `row.after`: what was written after a prompt, and how; `row.pr`: predicted strengths 0 to 10 per token.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  if (root.rev === data.rev) return;
  root.rev = data.rev;
  const { table } = data;
  const view = { whitespace: false, breaks: false };
  const byNode = new Map();
  const fragment = document.createDocumentFragment();

  if (data.bars.length) {
    const box = append(el("div", "bars"), el("div", "about", data.bars_note));
    for (const bar of data.bars) {
      const negatives = bar.quantile === undefined;
      const node = el(negatives ? "div" : "button", "bar" + (negatives ? " negatives" : "") + (bar.quantile === data.quantile ? " on" : ""));
      const fill = el("i");
      fill.style.height = bar.value === null ? "0" : 100 * Math.max(0, Math.min(1, bar.value)) + "%";
      node.title = bar.title;
      node.setAttribute("aria-label", bar.title);
      append(node, el("b", "", bar.text), append(el("div", "col"), fill), el("div", "", bar.label), el("div", "", "n " + bar.n));
      if (!negatives) node.onclick = () => setTriggerValue("act", { quantile: bar.quantile });
      append(box, node);
    }
    append(fragment, box);
  }
  if (data.key) {
    const key = el("div", "key");
    for (const [cls, text] of data.key) {
      const node = el("span", cls, text);
      if (cls.includes("pr")) node.style.setProperty("--share", "80%");
      append(key, node);
    }
    append(fragment, key);
  }

  const draw = (row) => {
    const state = row.ok === true ? "right" : row.ok === false ? "wrong" : data.judges ? "unread" : "";
    const node = el("div", "row " + state);
    node.dataset.i = row.i;
    const sign = el("div", "sign", { right: "✓", wrong: "✕", unread: "?" }[state] || "");
    sign.setAttribute("aria-label", { right: "right", wrong: "wrong", unread: "unparsed" }[state] || "");
    const gutter = append(el("div", "gut"), append(el("div"), el("b", "", row.said)), row.rank ? el("div", "rank", row.rank) : null, el("div", "", [row.true, row.where].filter(Boolean).join(" · ")));
    gutter.title = [row.said, row.true, row.where].filter(Boolean).join(" · ");
    const text = el("div", "text");
    text.dir = "ltr";
    if (row.gone) append(text, el("span", "issue", row.gone));
    else {
      append(text, tokens(row, table, data.max, view));
      const marked = new Set(row.mk || []), found = new Set(row.found || []);
      for (const token of text.children) {
        if (marked.has(token.at)) token.classList.add("mk");
        if (found.has(token.at)) token.classList.add("hit");
        if (row.pr && row.pr[token.at] > 0) {
          token.classList.add("pr");
          token.style.setProperty("--share", 10 * row.pr[token.at] + "%");
        }
      }
      byNode.set(text, row);
    }
    const body = append(el("div"), text);
    for (const [how, written] of row.after || []) append(body, append(el("div", "after"), el("span", "dim", how), el("span", "", written)));
    if (row.error) append(body, el("div", "issue", row.error));
    const acts = el("div", "acts");
    if (row.reply) {
      const reply = link("reply", "prompt", address("feature", { ...data.params, example: row.i }), () => setTriggerValue("act", { example: row.i }));
      reply.title = "Exact prompt and raw reply";
      append(acts, reply);
    }
    if (row.c === undefined) return append(node, sign, gutter, body, acts); // a text from no context
    const context = link("", "context", address("feature", { ...data.home, context: row.c, start: row.s }), () => setTriggerValue("act", { context: row.c, start: row.s }));
    context.title = `Show it among the feature's contexts (context ${row.c}, token ${row.s})`;
    append(acts, context);
    return append(node, sign, gutter, body, acts);
  };

  for (const note of [data.empty, data.none]) if (note) append(fragment, el("div", "empty", note));
  for (const group of data.groups) {
    const section = el("section", "group");
    section.dataset.group = group.key;
    append(section, append(el("header"), el("h4", "", group.title), el("span", "dim", group.note)));
    for (const row of group.rows) append(section, draw(row));
    append(fragment, section);
  }
  const tip = el("div", "tip");
  tip.setAttribute("role", "tooltip");
  append(fragment, tip);
  root.replaceChildren(fragment);
  root.dataset.score = data.score;
  reveal(root, data.score);
  if (data.overlay) hover(root, tip, table, data.max, (node) => byNode.get(node.closest(".text")), null);
}
