const logits = (side, title, rows, view) => {
  const box = append(el("div", side), el("h4", "", title));
  const top = Math.max(...rows.map((row) => Math.abs(row[2])), 1e-9);
  for (const [id, text, value, label] of rows) {
    const bar = el("span", "bar");
    bar.style.width = (100 * Math.abs(value)) / top + "%";
    const token = el("span", "t", glyphs(text, false) || "∅");
    const line = append(el("div", "logit"), bar, token, el("span", "value", label));
    line.title = `id ${id}`;
    append(box, line);
  }
  // A direction may move all logits one way.
  if (!rows.length) append(box, el("div", "note", side === "promoted" ? "None: all are lowered" : "None: all are raised"));
  return box;
};

// What a neighbour is said to respond to, and its score: one line, whole as a tooltip.
const explained = (row) => {
  const says = el("span", "says", row.says.text || row.says.none);
  says.title = [row.says.whole || row.says.text, row.says.help].filter(Boolean).join("\n");
  const line = append(el("div", "about"), says);
  if (!row.score) return line;
  const value = el("span", "num" + (row.score.weak ? " weak" : ""), row.score.value);
  value.title = row.score.help;
  return append(line, value);
};

// Tabs over several ways to look, of which one is shown.
const tabbed = (ways, shown, choose) => {
  const tabs = el("div", "tabs");
  tabs.setAttribute("role", "tablist");
  for (const way of ways) {
    const tab = el("button", "", way.title);
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", String(way === shown));
    tab.title = way.help;
    tab.onclick = () => { if (way !== shown) choose(way.key); };
    append(tabs, tab);
  }
  return tabs;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  // The list of the address, but where a click is on its way there.
  if (root.asked === data.near) root.asked = undefined;
  if (root.asked === undefined) root.tab = data.near;
  if (root.askedBy === data.others.by) root.askedBy = undefined;
  if (root.askedBy === undefined) root.by = data.others.by;
  // Another coder's nearest features: the best of each, the next ones on demand.
  const counterpart = (coder, row) => {
    const params = { a: data.coder, latent_a: data.latent, b: coder, latent_b: row.latent };
    const compare = link("act", "compare", address("compare", { view: "pair", ...params }), () => setTriggerValue("open", { compare: params }));
    compare.setAttribute("aria-label", `Compare with ${coder} #${row.latent}`);
    return append(
      el("div", "near"),
      link("", "#" + row.latent, address("feature", { coder, latent: row.latent }), () => setTriggerValue("open", { coder, latent: row.latent })),
      el("span", "num", row.value),
      append(el("span", "dim"), el("span", "", row.density + "  "), el("span", "t", row.token)),
      compare,
      row.says ? explained(row) : null,
    );
  };
  const elsewhere = () => {
    const { measures, alone } = data.others;
    if (alone || !measures.length) return null;
    const section = append(el("section", "others"), el("h4", "", "Nearest in the other coders"));
    const chosen = measures.find((measure) => measure.key === root.by) || measures[0];
    append(section, tabbed(measures, chosen, (key) => {
      root.by = root.askedBy = key;
      draw();
      setTriggerValue("near", "other_" + key);
    }));
    root.open = root.open || new Set();
    for (const { coder, rows, none } of chosen.coders) {
      const all = root.open.has(coder);
      const head = append(el("div", "coder"), el("span", "", coder));
      if (!rows.length) append(head, el("span", "note", none));
      else if (rows.length > 1) {
        const more = el("button", "", all ? "less" : `${rows.length - 1} more`);
        more.setAttribute("aria-expanded", String(all));
        more.setAttribute("aria-label", all ? `Only the nearest of ${coder}` : `${rows.length - 1} more of ${coder}`);
        more.onclick = () => { all ? root.open.delete(coder) : root.open.add(coder); draw(); };
        append(head, more);
      }
      append(section, head);
      for (const row of all ? rows : rows.slice(0, 1)) append(section, counterpart(coder, row));
    }
    return section;
  };
  const draw = () => {
    const fragment = document.createDocumentFragment();
    append(fragment, append(el("section"), facts(data.facts, data, (place) => setTriggerValue("open", { coder: data.coder, latent: data.latent, ...place }))));
    const promoted = el("section");
    if (data.promoted.length || data.suppressed.length) {
      append(promoted, append(el("div", "pair"), logits("promoted", "Promoted", data.promoted), logits("suppressed", "Suppressed", data.suppressed)));
      promoted.title = data.logit_unit;
    } else append(promoted, el("h4", "", "Promoted and suppressed tokens"), el("div", "note", data.no_logits));
    append(fragment, promoted);

    const with_ = { a: data.coder, latent_a: data.latent };
    const beside = link("act", "compare with…", address("compare", { view: "pair", ...with_ }), () => setTriggerValue("open", { compare: with_ }));
    beside.title = "See this feature side by side with any other";
    const near = append(el("section"), append(el("h4", "headed"), el("span", "", "Nearest features"), beside));
    const names = data.neighbours.filter((relation) => relation.rows.length);
    if (!names.length) append(near, el("div", "note", data.no_neighbours));
    else {
      const shown = names.find((relation) => relation.key === root.tab) || names[0];
      append(near, tabbed(names, shown, (key) => {
        root.tab = root.asked = key;
        draw();
        setTriggerValue("near", key);
      }));
      for (const row of shown.rows) {
        const open = () => setTriggerValue("open", { coder: data.coder, latent: row.latent });
        const peeked = data.peek && data.peek.latent === row.latent;
        const button = el("button", "", peeked ? "close" : "peek");
        button.setAttribute("aria-expanded", String(peeked));
        button.setAttribute("aria-label", (peeked ? "Close the preview of feature " : "Preview feature ") + row.latent);
        button.onclick = () => setTriggerValue("peek", peeked ? -1 : row.latent);
        append(near, append(
          el("div", "near"),
          link("", "#" + row.latent, address("feature", { coder: data.coder, latent: row.latent }), open),
          el("span", "num", row.value),
          append(el("span", "dim"), el("span", "", row.density + "  "), el("span", "t", row.token)),
          button,
          row.says ? explained(row) : null,
        ));
        if (peeked) {
          const box = append(el("div", "peek"), el("div", "note", data.peek.note));
          const view = { whitespace: false, breaks: false };
          for (const example of data.peek.rows) append(box, append(el("div", "text"), tokens(example, data.peek.table, data.peek.max, view)));
          append(near, box);
        }
      }
    }
    const others = elsewhere();
    if (near.querySelector(".weak")) append(near, el("div", "note", WEAK_LEGEND));
    append(fragment, near, others);
    root.replaceChildren(fragment);
    root.dataset.latent = data.latent;
  };
  draw();
}
