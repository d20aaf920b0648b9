// Two features beside each other, and windows of the corpus with the activations of both: each token stands twice, one under the other,
// coloured by the first and by the second.
const side = (data, name, open) => {
  const box = append(el("div", "side " + name), link("title", data.title, address("feature", data.go), open));
  const says = el("div", "says" + (data.says.none ? " dim" : ""), data.says.none || data.says.text);
  if (data.says.help) says.title = data.says.help;
  append(box, says, el("div", "note", data.facts));
  let any = false;
  for (const [verb, tokens] of data.tokens) {
    if (!tokens.length) continue;
    any = true;
    const line = append(el("div", "list"), el("span", "dim", verb));
    for (const [text, value] of tokens) {
      const node = el("span", "t", glyphs(text, false) || "∅");
      node.title = value;
      append(line, node);
    }
    append(box, line);
  }
  if (!any) append(box, el("div", "note", data.no_tokens));
  return box;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const drawn = JSON.stringify(data);
  if (root.drawn === drawn) return;
  root.drawn = drawn;
  const view = { whitespace: false, breaks: false };
  const names = ["upper", "lower"];
  const open = (go) => setTriggerValue("open", go);
  const fragment = document.createDocumentFragment();
  const both = el("div", "pair");
  data.sides.forEach((each, i) => append(both, side(each, names[i], () => open(each.go))));
  const key = el("div", "key");
  data.sides.forEach((each, i) => append(key, append(el("span", names[i]), el("span", "t a7", i ? "lower" : "upper"), document.createTextNode(each.title))));
  append(key, el("span", "", "colour: share of its maximum, log scale"));
  append(fragment, both, key);

  const stacked = (row) => {
    const text = el("div", "text");
    text.dir = "ltr";
    const layers = row.layers.map((layer, i) => ({ row: { ...row, ...layer, k: -1, max: data.max[i] }, nodes: null }));
    for (const layer of layers) layer.nodes = [...tokens(layer.row, data.table, layer.row.max, view).children];
    layers[0].nodes.forEach((first, at) => {
      const stack = el("span", "stack");
      layers.forEach((layer, i) => {
        const node = layer.nodes[at];
        node.classList.add(names[i]);
        node.of = layer.row;
        if (i) node.setAttribute("aria-hidden", "true");
        append(stack, node);
      });
      append(text, stack);
    });
    return text;
  };
  for (const group of data.groups) {
    const section = append(el("section", "group"), append(el("header"), el("h4", "", group.title), el("span", "dim", group.note)));
    for (const row of group.rows) {
      const values = el("div", "values");
      row.layers.forEach((layer, i) => append(values, append(el("div"), el("span", "dim", (i ? "lower " : "upper ")), el("b", "", layer.m))));
      append(section, append(el("div", "row"), values, stacked(row)));
    }
    if (!group.rows.length) append(section, el("div", "empty", "None."));
    append(fragment, section);
  }
  const tip = el("div", "tip");
  tip.setAttribute("role", "tooltip");
  append(fragment, tip);
  root.replaceChildren(fragment);
  hover(root, tip, data.table, (row) => row.max, (node) => node.of, null);
}
