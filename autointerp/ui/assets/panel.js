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
  says.title = [row.says.text, row.says.help].filter(Boolean).join("\n");
  const line = append(el("div", "about"), says);
  if (!row.score) return line;
  const value = el("span", "num" + (row.score.weak ? " weak" : ""), row.score.value);
  value.title = row.score.help;
  return append(line, value);
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  // The list of the address, but where a click is on its way there.
  if (root.asked === data.near) root.asked = undefined;
  if (root.asked === undefined) root.tab = data.near;
  const draw = () => {
    const fragment = document.createDocumentFragment();
    append(fragment, append(el("section"), facts(data.facts, data, (place) => setTriggerValue("open", { coder: data.coder, latent: data.latent, ...place }))));
    const promoted = el("section");
    if (data.promoted.length || data.suppressed.length) {
      append(promoted, append(el("div", "pair"), logits("promoted", "Promoted", data.promoted), logits("suppressed", "Suppressed", data.suppressed)));
      promoted.title = data.logit_unit;
    } else append(promoted, el("h4", "", "Promoted and suppressed tokens"), el("div", "note", data.no_logits));
    append(fragment, promoted);

    const near = append(el("section"), el("h4", "", "Nearest features"));
    const names = data.neighbours.filter((relation) => relation.rows.length);
    if (!names.length) append(near, el("div", "note", data.no_neighbours));
    else {
      const shown = names.find((relation) => relation.key === root.tab) || names[0];
      const tabs = el("div", "tabs");
      tabs.setAttribute("role", "tablist");
      for (const relation of names) {
        const tab = el("button", "", relation.title);
        tab.setAttribute("role", "tab");
        tab.setAttribute("aria-selected", String(relation === shown));
        tab.title = relation.help;
        tab.onclick = () => {
          if (relation === shown) return;
          root.tab = root.asked = relation.key;
          draw();
          setTriggerValue("near", relation.key);
        };
        append(tabs, tab);
      }
      append(near, tabs);
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
    if (near.querySelector(".weak")) append(near, el("div", "note", WEAK_LEGEND));
    append(fragment, near);
    root.replaceChildren(fragment);
    root.dataset.latent = data.latent;
  };
  draw();
}
