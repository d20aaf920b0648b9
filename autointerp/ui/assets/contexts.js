const SVG = "http://www.w3.org/2000/svg";
const shape = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

const histogram = (data) => {
  const { counts, low, high } = data.hist;
  const wide = 600, tall = 58;
  const top = Math.log1p(Math.max(...counts, 1));
  const svg = shape("svg", { class: "hist", viewBox: `0 0 ${wide} ${tall}`, preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", "Histogram of this feature's activations, counts on a logarithmic scale");
  const step = wide / counts.length;
  counts.forEach((count, i) => {
    if (!count) return;
    const height = Math.max(1.5, ((tall - 2) * Math.log1p(count)) / top);
    svg.appendChild(shape("rect", { x: i * step + 0.4, y: tall - height, width: Math.max(step - 0.8, 0.5), height }));
  });
  svg.appendChild(shape("line", { class: "axis", x1: 0, x2: wide, y1: tall, y2: tall }));
  const mark = svg.appendChild(shape("line", { class: "mark", y1: 0, y2: tall }));
  const box = append(el("div"), svg, append(el("div", "ticks"), el("span", "", data.hist.left), el("span", "", data.hist.title), el("span", "", data.hist.right)));
  const moved = (value) => {
    mark.style.visibility = value > 0 ? "visible" : "hidden";
    if (value > 0 && high > low) {
      const x = (wide * Math.min(Math.max(value - low, 0), high - low)) / (high - low);
      mark.setAttribute("x1", x);
      mark.setAttribute("x2", x);
    }
  };
  return [box, moved];
};

const legend = (data) => {
  const scale = el("span", "scale");
  for (let i = 1; i <= LEVELS; i++) append(scale, el("span", "a" + i));
  const peak = el("span", "t peak a12", "peak");
  return append(
    el("div", "legend"),
    append(el("div"), el("span", "", "0"), scale, el("span", "", data.top)),
    append(el("div"), el("span", "", "Colour: share of maximum, log scale "), peak),
  );
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  if (root.rev === data.rev) return;
  root.rev = data.rev;
  const { table, view } = data;
  const byNode = new Map();
  const fragment = document.createDocumentFragment();
  let moved = null;
  if (data.hist) {
    const [box, mark] = histogram(data);
    moved = mark;
    append(fragment, append(el("div", "top"), box, legend(data)));
  }
  const open = (latent) => setTriggerValue("open", { coder: data.coder, latent });

  const draw = (row) => {
    const node = el("div", "row" + (row.linked ? " linked" : "") + (view.align ? " kwic" : "") + (view.breaks ? " full" : ""));
    const gutter = append(el("div", "gut"), append(el("div"), el("b", "", row.m), row.tag ? el("span", "", " " + row.tag) : null));
    if (row.label) append(gutter, el("div", "", row.label));
    if (row.h !== undefined) {
      const hard = append(el("div"), el("span", "hard", "hard"));
      if (row.h !== null) append(hard, document.createTextNode(" "), link("", "#" + row.h, address("feature", { coder: data.coder, latent: row.h }), () => open(row.h)));
      hard.title = "Hard negative: a similar feature fires here, this one does not";
      append(gutter, hard);
    }
    const text = el("div", "text");
    text.dir = "ltr";
    if (view.align) {
      halves(text, row, table, data.max, view);
    } else append(text, tokens(row, table, data.max, view));
    const href = address("feature", { ...data.params, context: row.c, start: row.s });
    const share = link("copy", "link", href, async () => {
      share.textContent = (await copy(share.href)) ? "copied" : "failed";
      setTimeout(() => (share.textContent = "link"), 1200);
    });
    share.title = `Copy a link to this example (context ${row.c}, token ${row.s})`;
    share.setAttribute("aria-label", share.title);
    byNode.set(text, row);
    return append(node, gutter, text, share);
  };

  for (const group of data.groups) {
    const section = el("section", "group");
    section.dataset.group = group.key;
    append(section, append(el("header"), el("h4", "", group.title), el("span", "dim", group.note)));
    if (!group.rows.length) append(section, el("div", "empty", group.empty));
    for (const row of group.rows) append(section, draw(row));
    append(fragment, section);
  }
  const tip = el("div", "tip");
  tip.setAttribute("role", "tooltip");
  append(fragment, tip);
  root.replaceChildren(fragment);
  root.dataset.coder = data.coder;
  root.dataset.latent = data.latent;
  hover(root, tip, table, data.max, (node) => byNode.get(node.closest(".text")), moved);
}
