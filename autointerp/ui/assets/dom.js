// Shared by every element. Data never becomes markup: text reaches the page through textContent only.
const LEVELS = 12;

const el = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
};

const append = (parent, ...children) => {
  for (const child of children) if (child) parent.appendChild(child);
  return parent;
};

// On a narrow screen what was asked for is drawn below everything else, or far above what was clicked: bring it into view, once for each thing asked for.
const reveal = (root, what) => {
  const before = root.revealed;
  root.revealed = what;
  if (before === what) return;
  requestAnimationFrame(() => {
    const { top, bottom } = root.getBoundingClientRect();
    if (top > window.innerHeight || bottom < 160) root.scrollIntoView({ block: "start" });
  });
};

// Log-like: a tenth of the maximum is already half way up the scale.
const level = (value, max) =>
  value > 0 && max > 0 ? Math.max(1, Math.min(LEVELS, Math.round((LEVELS * Math.log1p((9 * value) / max)) / Math.LN10))) : 0;

// What fires is in one piece at the end of a line, " import" too, unless it is so long that it might not fit into one.
const WHOLE = 24;

const BLANK = /^[ \u00a0]+$/;
const glyphs = (text, breaks) =>
  text
    .replace(/ /g, "·")
    .replace(/[\u00a0\u2000-\u200a\u202f\u205f\u3000]/g, "⍽")
    .replace(/\t/g, "→\t")
    .replace(/\n/g, breaks ? "↵\n" : "↵");

const shown = (text, view) => {
  if (view.whitespace) return glyphs(text, view.breaks);
  if (text.indexOf("\n") < 0 && text.indexOf("\t") < 0) return text;
  const flat = text.replace(/\t/g, "  ");
  return view.breaks ? flat : flat.replace(/\n/g, "↵");
};

// One row of tokens: `row.t` indexes the table of unique [id, text, special]; `row.p` and `row.v` are the positions
// (within the row) and values of what fires. Handlers find a token's facts on the node itself.
const tokens = (row, table, max, view, from = 0, to = row.t.length) => {
  const fragment = document.createDocumentFragment();
  const fires = row.f || (row.f = new Map(row.p.map((position, i) => [position, row.v[i]])));
  for (let i = from; i < to; i++) {
    const entry = table[row.t[i]];
    const value = fires.get(i) || 0;
    const text = shown(entry[1], view);
    const node = document.createElement("span");
    let cls = "t";
    if (value) cls += " a" + level(value, max);
    if (i === row.k) cls += " peak";
    if (value && text.length <= WHOLE && text.indexOf("\n") < 0) cls += " whole";
    if (entry[2]) cls += " sp";
    else if (text === "") cls += " gap";
    else if (!value && (view.whitespace ? BLANK.test(entry[1]) || entry[1] === "\n" : text === "↵")) cls += " ws";
    if (row.hit && i >= row.hit[0] && i < row.hit[1]) cls += " hit";
    node.className = cls;
    node.textContent = text;
    node.at = i;
    node.value = value;
    fragment.appendChild(node);
  }
  return fragment;
};

// Keyword in context: two cells that meet at the peak, so that the peaks of all rows stand under one another.
const halves = (text, row, table, max, view) => {
  const pivot = row.k < 0 ? row.t.length >> 1 : row.k;
  for (const half of [tokens(row, table, max, view, 0, pivot), tokens(row, table, max, view, pivot)]) append(text, append(el("div", "half"), half));
  return text;
};

const percent = (fraction) => (fraction >= 0.1 ? (100 * fraction).toFixed(0) : (100 * fraction).toPrecision(2)) + " %";
const digits = (value) => String(Math.fround(value)).length > 12 ? String(Number(value.toPrecision(9))) : String(value);

// One tooltip and one handler for all tokens under `scope`; `find(node)` gives the row that a token belongs to.
const hover = (scope, tip, table, max, find, moved) => {
  let current = null;
  const hide = () => {
    if (!current) return;
    current.classList.remove("on");
    current = null;
    tip.style.visibility = "hidden";
    if (moved) moved(0);
  };
  scope.onpointerover = (event) => {
    const node = event.target.closest ? event.target.closest(".t") : null;
    if (node === current) return;
    hide();
    const row = node && find(node);
    if (!row) return;
    current = node;
    node.classList.add("on");
    const entry = (row.table || table)[row.t[node.at]];
    const [context, position] = row.len ? [row.c + Math.floor((row.s + node.at) / row.len), (((row.s + node.at) % row.len) + row.len) % row.len] : [row.c, row.s + node.at];
    tip.replaceChildren(
      el("b", "", glyphs(entry[1], false) || "(continues the character before it)"),
      el("br"),
      el("i", "", "id "), document.createTextNode(String(entry[0])),
      el("i", "", "position "), document.createTextNode(String(position)),
      ...(context === undefined ? [] : [el("i", "", "context "), document.createTextNode(String(context))]), // a typed text is in none
      el("br"),
      el("i", "", "activation "), document.createTextNode(node.value ? digits(node.value) : "0"),
    );
    const top = typeof max === "function" ? max(row) : max;
    if (node.value && top > 0) append(tip, el("i", "", ""), document.createTextNode(percent(node.value / top) + " of maximum"));
    const box = node.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(box.left, window.innerWidth - size.width - 8)) + "px";
    tip.style.top = (box.bottom + size.height + 8 > window.innerHeight ? box.top - size.height - 5 : box.bottom + 5) + "px";
    tip.style.visibility = "visible";
    if (moved) moved(node.value);
  };
  scope.onpointerleave = hide;
};

// Links are real addresses (open in a new tab, copy), but a plain click stays in this session.
const link = (cls, text, href, act) => {
  const node = el("a", cls, text);
  node.href = href;
  node.onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  return node;
};

// Addresses name the store where another than the server's own is looked at.
const STORE = "store";
const named = () => new URLSearchParams(location.search).get(STORE) || "";
const address = (page, params) => page + "?" + new URLSearchParams(named() ? { ...params, [STORE]: named() } : params).toString();

const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not a secure origin, or refused
  }
};

// What the marks of a score mean, wherever they stand.
const SCORE_LEGEND = "●\u00a0value   ━\u00a095\u00a0%   ┊\u00a0floor\u00a0or\u00a0chance   ○\u00a0not\u00a0clearly\u00a0above\u00a0it";

// The same for a value alone, in bold or dashed underneath.
const WEAK_LEGEND = "dashed underneath: not clearly above its floor or chance";

// Named values: [name, value, meaning, two columns wide, place]; `show` goes to the place in the feature of `here`.
const facts = (rows, here, show) => {
  const list = el("dl", "facts");
  list.style.margin = "0";
  for (const [name, value, help, wide, place] of rows) {
    const said = place ? append(el("dd"), link("", value, address("feature", { coder: here.coder, latent: here.latent, ...place }), () => show(place))) : el("dd", "", value);
    const cell = append(el("div", wide ? "wide" : ""), el("dt", "", name), said);
    if (help) cell.title = help;
    append(list, cell);
  }
  return list;
};
