const IN_SIGHT = 30; // rows of a line, on a high screen
const SVG = "http://www.w3.org/2000/svg";
const shape = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

// Each bar answers: its values under the pointer or the focus (Tab to the bars, Up and Down along them), its contexts on a click or Enter.
const histogram = (data, tip, choose) => {
  const { counts, names, low, high, chosen } = data.hist;
  const wide = 600, tall = 58;
  const top = Math.log1p(Math.max(...counts, 1));
  const svg = shape("svg", { class: "hist", viewBox: `0 0 ${wide} ${tall}`, preserveAspectRatio: "none", role: "group" });
  svg.setAttribute("aria-label", "Histogram of this feature's activations, counts on a logarithmic scale");
  const step = wide / counts.length;
  const bars = [];
  counts.forEach((count, i) => {
    if (!count) return;
    const height = Math.max(1.5, ((tall - 2) * Math.log1p(count)) / top);
    const bar = shape("g", { class: "bin" + (i === chosen ? " on" : ""), role: "button", tabindex: -1, "aria-pressed": i === chosen, "aria-label": names[i].join(": ") });
    bar.dataset.bin = i;
    bar.appendChild(shape("rect", { class: "all", x: i * step, y: 0, width: step, height: tall }));
    bar.appendChild(shape("rect", { class: "bar", x: i * step + 0.4, y: tall - height, width: Math.max(step - 0.8, 0.5), height }));
    const show = () => {
      const box = bar.getBoundingClientRect();
      tip.replaceChildren(el("span", "", names[i][0]), el("br"), el("i", "", names[i][1]), el("br"), el("i", "", i === chosen ? "click: close" : "click: contexts with such a token"));
      tip.style.left = Math.max(4, Math.min(box.left, window.innerWidth - tip.offsetWidth - 8)) + "px";
      tip.style.top = box.bottom + 5 + "px";
      tip.style.visibility = "visible";
    };
    const hide = () => (tip.style.visibility = "hidden");
    bar.onpointerenter = show;
    bar.onpointerleave = hide;
    bar.onfocus = show;
    bar.onblur = hide;
    bar.onclick = () => choose(i);
    bar.onkeydown = (event) => {
      const to = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") choose(i);
      else if (to) bars[(bars.indexOf(bar) + to + bars.length) % bars.length].focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    bars.push(bar);
    svg.appendChild(bar);
  });
  const first = bars.find((bar) => Number(bar.dataset.bin) === chosen) || bars[0];
  if (first) first.setAttribute("tabindex", 0);
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

// A text that scrolls begins at what its row is about: the peak, or the window in which nothing fires.
const centre = (text, row) => {
  const about = row.k >= 0 ? row.k : row.w ? Math.floor((row.w[0] + row.w[1]) / 2) : 0;
  const token = [...text.querySelectorAll(".t")].find((node) => node.at === about);
  if (!token || text.scrollHeight <= text.clientHeight) return;
  const inside = token.getBoundingClientRect().top - text.getBoundingClientRect().top + text.scrollTop;
  text.scrollTop = inside - text.clientHeight / 2;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const open = (latent) => setTriggerValue("open", { coder: data.coder, latent });
  const act = (record) => setTriggerValue("act", record);
  const key = (c, a) => `${c}.${a}`;

  const write = (text, row, table, view) => {
    text.replaceChildren();
    if (view.align) halves(text, row, table, data.max, view);
    else append(text, tokens(row, table, data.max, view));
    if (row.w) for (const token of text.querySelectorAll(".t")) if (!token.value && (token.at < row.w[0] || token.at >= row.w[1])) token.classList.add("out");
    root.byNode.set(text, { ...row, table });
  };

  const draw = (row) => {
    const { view } = data;
    root.rows += 1;
    const node = el("div", "row" + (root.rows > IN_SIGHT ? " late" : "") + (row.linked ? " linked" : "") + (view.align ? " kwic" : "") + (view.breaks ? " full" : ""));
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
    write(text, row, data.table, view);
    const note = el("div", "note dim");
    const href = data.params && address("feature", { ...data.params, context: row.c, start: row.a });
    const share = data.params && link("copy", "link", href, async () => {
      share.textContent = (await copy(share.href)) ? "copied" : "failed";
      setTimeout(() => (share.textContent = "link"), 1200);
    });
    if (share) {
      share.title = `Copy a link to this example (context ${row.c}, token ${row.a})`;
      share.setAttribute("aria-label", share.title);
    }
    const wider = el("button", "wider");
    node.reset = () => {
      node.classList.remove("wide");
      node.wide = null;
      note.textContent = "";
      write(text, row, root.table, root.view);
      offer("");
      if (root.view.breaks) centre(text, row);
    };
    const offer = (to, last) => {
      const next = last ? "" : to === "context" || (!to && root.view.full) ? "document" : to ? "" : "context";
      wider.textContent = next ? (next === "document" ? "document" : "wider") : "less";
      wider.title = next ? `Show the whole ${next} here` : "Show the example alone";
      wider.onclick = () => {
        if (next) act({ wide: `${next}.${row.c}.${row.a}` });
        else {
          node.reset();
          act({ wide: "" });
        }
      };
    };
    node.widen = (wide) => {
      node.classList.add("wide");
      node.wide = wide;
      note.textContent = wide.note;
      write(text, wide.row, wide.table, { ...root.view, align: false, breaks: true });
      offer(wide.to, wide.to === "document" || !wide.document);
      centre(text, wide.row);
    };
    offer("");
    node.dataset.example = key(row.c, row.a);
    if (view.breaks) root.centring.observe(node);
    node.centre = () => centre(text, row);
    return append(node, gutter, append(el("div"), note, text), append(el("div", "acts"), wider, data.params && share)); // whose contexts they are may be hidden
  };

  const begin = () => {
    root.byNode = new Map();
    root.rows = 0;
    root.view = data.view;
    root.table = data.table;
    // Only what comes into view is measured: an element that is skipped has no places yet.
    if (root.centring) root.centring.disconnect();
    root.centring = new IntersectionObserver((seen) => {
      for (const entry of seen) {
        if (!entry.isIntersecting) continue;
        root.centring.unobserve(entry.target);
        if (!entry.target.wide) entry.target.centre();
      }
    }, { rootMargin: "300px" });
    const fragment = document.createDocumentFragment();
    const tip = el("div", "tip");
    tip.setAttribute("role", "tooltip");
    let moved = null;
    if (data.hist) {
      const [box, mark] = histogram(data, tip, (bin) => act({ bin }));
      moved = mark;
      append(fragment, append(el("div", "top"), box, legend(data)));
    }
    root.groups = new Map();
    for (const group of data.groups) {
      const section = el("section", "group");
      section.dataset.group = group.key;
      const rows = el("div", "rows");
      const foot = el("div", "foot");
      append(section, append(el("header"), el("h4", "", group.title), el("span", "dim", "")), rows, foot);
      root.groups.set(group.key, { section, rows, foot });
      append(fragment, section);
    }
    append(fragment, tip);
    root.replaceChildren(fragment);
    hover(root, tip, data.table, data.max, (node) => root.byNode.get(node.closest(".text")), moved);
  };

  // What a group goes on with is added below what is there, so that nothing moves.
  const fill = (group) => {
    const { section, rows, foot } = root.groups.get(group.key);
    section.querySelector("header .dim").textContent = group.note;
    while (rows.children.length > group.rows.length) rows.lastChild.remove();
    for (const row of group.rows.slice(rows.children.length)) append(rows, draw(row));
    if (!group.rows.length) rows.replaceChildren(el("div", "empty", group.empty));
    if (!foot.firstChild && group.more) {
      const more = el("button", "", "more");
      more.setAttribute("aria-label", `More: ${group.title}`);
      append(foot, more);
    }
    if (foot.firstChild) {
      foot.firstChild.hidden = !group.more;
      foot.firstChild.onclick = () => act({ more: group.key });
    }
  };

  if (root.rev !== data.rev) {
    root.rev = data.rev;
    root.drawn = "";
    begin();
    // Read from the start, after whatever was there before; where the start is in sight below the header, nothing moves.
    if (data.from_top) requestAnimationFrame(() => {
      if (root.getBoundingClientRect().top < 60) root.scrollIntoView({ block: "start", behavior: "instant" });
    });
    if (data.linked) reveal(root, data.linked);
  }
  const drawn = data.groups.map((group) => [group.key, group.rows.length, group.more].join()).join(";");
  if (root.drawn !== drawn) {
    root.drawn = drawn;
    root.table = data.table; // of the rows added now; those before keep theirs
    for (const group of data.groups) fill(group);
  }
  if (data.wide) {
    for (const row of root.querySelectorAll(`[data-example="${key(data.wide.c, data.wide.a)}"]`)) if (!row.wide || row.wide.to !== data.wide.to) row.widen(data.wide);
  }
  root.dataset.coder = data.coder ?? "";
  root.dataset.latent = data.latent ?? "";
}
