// A text in columns, one a token: the token, and under it the strongest features of each coder, coloured by their share of their
// maximum. The pointer over one marks it wherever it fires; a click opens it; a click on the token lists all that fires there.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const drawn = JSON.stringify(data);
  if (root.drawn === drawn) return;
  root.drawn = drawn;
  const tip = el("div", "tip");
  tip.setAttribute("role", "tooltip");
  const key = el("div", "key");
  data.layers.forEach((layer, i) => append(key, append(el("span", "layer" + i), el("span", "swatch"), document.createTextNode(layer.name))));
  append(key, el("span", "", "colour: share of the feature's maximum, log scale; click a token for all that fires on it"));
  const columns = el("div", "columns");
  columns.dir = "ltr";
  const byFeature = new Map();
  const hide = () => {
    tip.style.visibility = "hidden";
    for (const node of root.querySelectorAll(".same")) node.classList.remove("same");
  };
  const point = (node, layer, place, value) => {
    hide();
    for (const other of byFeature.get(layer.coder + "#" + place)) other.classList.add("same");
    tip.replaceChildren(
      el("b", "", `${layer.name} #${layer.latents[place]}`), el("span", "says", layer.says[place]),
      el("i", "", "activation "), document.createTextNode(digits(value)),
      ...(layer.max[place] > 0 ? [el("i", "", ""), document.createTextNode(percent(value / layer.max[place]) + " of maximum")] : []),
    );
    const box = node.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(box.left, window.innerWidth - size.width - 8)) + "px";
    tip.style.top = (box.bottom + size.height + 8 > window.innerHeight ? box.top - size.height - 5 : box.bottom + 5) + "px";
    tip.style.visibility = "visible";
  };
  data.table.forEach((entry, at) => {
    const chosen = at === data.token;
    const column = el("div", "column" + (chosen ? " chosen" : ""));
    const word = el("button", "t word" + (entry[2] ? " sp" : ""), glyphs(entry[1], false) || "∅");
    word.title = `id ${entry[0]}, position ${data.start + at}` + (data.context === null ? "" : `, context ${data.context}`);
    word.setAttribute("aria-pressed", String(chosen));
    word.onclick = () => setTriggerValue("token", chosen ? -1 : at);
    append(column, word);
    data.layers.forEach((layer, i) => {
      const box = el("div", "layer layer" + i);
      const cells = layer.cells[at];
      for (let k = 0; k < data.depth; k++) {
        if (k >= cells.length) {
          append(box, el("span", "cell none", k ? "" : "–"));
          continue;
        }
        const [place, value] = cells[k];
        const go = { coder: layer.coder, latent: layer.latents[place] };
        const node = link("cell t a" + level(value, layer.max[place] || value), "#" + go.latent, address("feature", go), () => setTriggerValue("open", go));
        node.setAttribute("aria-label", `${layer.name} #${go.latent}: ${layer.says[place]}`);
        node.onpointerenter = node.onfocus = () => point(node, layer, place, value);
        node.onpointerleave = node.onblur = hide;
        const name = layer.coder + "#" + place;
        byFeature.set(name, [...(byFeature.get(name) || []), node]);
        append(box, node);
      }
      append(column, box);
    });
    append(columns, column);
  });
  root.replaceChildren(key, columns, tip);
}
