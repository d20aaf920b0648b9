// A table whose cells are text (or a link, or a token, or a row of tokens); a click on a row opens what it stands for.
const place = (node, name, fraction) => { node.style[name] = 100 * fraction + "%"; return node; };

// A score: its value and interval on a line from 0 to 1, the floor dotted, the figures beside and below.
const scored = (cell) => {
  const [value, low, high, floor] = cell.at;
  const line = append(el("div", "line"), el("i", "base"), place(el("i", "half"), "left", 0.5));
  if (low !== null && high !== null) append(line, place(place(el("i", "ci"), "left", low), "width", Math.max(high - low, 0.005)));
  if (floor !== null) append(line, place(el("i", "floor"), "left", floor));
  append(line, place(el("i", "dot"), "left", value));
  line.setAttribute("role", "img");
  line.setAttribute("aria-label", `${cell.value}, 95 % interval ${cell.ci}, ${cell.under}`);
  const box = el("div", "scored" + (cell.weak ? " weak" : ""));
  append(box, append(el("div", "value"), el("b", "", cell.value), line), append(el("div", "under"), el("span", "", cell.ci), el("span", "", cell.under)));
  box.title = cell.help;
  return box;
};

const explained = (cell) => {
  const box = el("div", "says" + (cell.none ? " dim" : ""));
  if (cell.none) box.textContent = cell.none;
  else {
    for (const mark of cell.marks) append(box, el("span", "badge", mark), document.createTextNode(" "));
    const text = el("span", "text-of");
    let from = 0;
    for (const [start, stop] of cell.hits || []) {
      append(text, document.createTextNode(cell.text.slice(from, start)), el("mark", "found", cell.text.slice(start, stop)));
      from = stop;
    }
    append(box, append(text, document.createTextNode(cell.text.slice(from))));
    if (cell.hits) box.classList.add("whole");
    box.title = cell.help;
  }
  return box;
};

// Where there is room for half of the columns only: the button that shows the other half.
const turner = (table) => {
  const button = el("button", "turn", "more ›");
  button.title = "Show the other columns";
  button.onclick = () => { button.textContent = table.classList.toggle("turned") ? "‹ back" : "more ›"; };
  return button;
};

// A row as text: its cells under their titles, and its address.
const spoken = (column, cell) => {
  if (cell === null || cell === undefined) return "";
  if (column.kind === "explanation") return (cell.none || cell.whole || cell.text).replace(/\s+/g, " ").trim();
  if (column.kind === "score") return `${cell.value} (${cell.ci}, ${cell.under})`;
  if (column.kind === "token") return cell.join(" ");
  return Array.isArray(cell) ? cell[0] : String(cell);
};
const copies = (data, row, tr) => {
  const href = new URL(address(data.page, row.go), window.location.href).href;
  const words = () => data.columns.filter((column) => column.kind !== "tokens")
    .map((column) => [column, spoken(column, row.cells[data.columns.indexOf(column)])])
    .map(([column, text], i) => (i && column.kind !== "explanation" ? `${column.title}: ${text || "none"}` : text)).join(" · ");
  const box = el("td", "copies");
  for (const [label, help, text] of [["text", "Copy this row as text, with its link", () => `${words()}\n${href}`], ["link", "Copy a link to this feature", () => href]]) {
    const button = el("button", "copy", label);
    button.type = "button";
    button.title = help;
    button.setAttribute("aria-label", help);
    button.onclick = async (event) => {
      event.stopPropagation();
      const done = await copy(text());
      button.textContent = done ? "✓" : "✕";
      if (!done) button.title = "The browser refused: copy the address instead";
      setTimeout(() => (button.textContent = label), 1500);
    };
    append(box, button);
  }
  return box;
};

// Stars: a click shows at once, and is told with all clicks before it, as clicks in quick succession are one message.
const LOAD = String(Math.random()).slice(2); // of this document: numbers of clicks begin anew with it
const clicked = [];
let nClicked = 0;
const draw = (button, on) => {
  button.on = on;
  button.textContent = on ? "★" : "☆";
  button.classList.toggle("on", on);
  button.setAttribute("aria-pressed", String(on));
  button.title = on ? "Starred: click to remove the star" : "Star this feature";
};
const star = (row, tell) => {
  const button = el("button", "star");
  button.type = "button";
  button.setAttribute("aria-label", `Star ${row.go.coder} #${row.go.latent}`);
  draw(button, row.star);
  button.onclick = (event) => {
    event.stopPropagation();
    draw(button, !button.on);
    nClicked += 1;
    clicked.push([row.go.coder, row.go.latent, button.on]);
    if (clicked.length > 50) clicked.shift();
    tell("star", { load: LOAD, n: nClicked, changes: [...clicked] });
  };
  return button;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const drawn = JSON.stringify(data, (name, value) => (name === "told" || (name === "star" && typeof value === "boolean") ? true : value));
  if (root.drawn === drawn) {
    // The same as before: a row must not be replaced under the pointer.
    data.rows.forEach((row, i) => { if (root.stars[i] && root.stars[i].on !== row.star) draw(root.stars[i], row.star); });
    return;
  }
  root.drawn = drawn;
  root.stars = [];
  const table = el("table", "list" + (data.cls ? " " + data.cls : "") + (data.sticky ? " sticky" : ""));
  const head = el("tr");
  const halved = data.columns.some((column) => column.aside);
  const half = (cell, column) => { if (column !== data.columns[0]) cell.classList.add(column.aside ? "aside" : "main"); };
  for (const column of data.columns) {
    const th = el("th", column.num ? "num" : "");
    th.scope = "col";
    if (column.sort) {
      const active = data.sort === column.sort;
      const button = el("button", "", column.title + (active ? (data.descending ? " ↓" : " ↑") : ""));
      button.setAttribute("aria-pressed", String(active));
      if (column.help) button.title = column.help;
      button.onclick = () => setTriggerValue("sort", column.sort);
      append(th, button);
    } else {
      th.textContent = column.title;
      if (column.help) th.title = column.help;
    }
    if (column.kind === "score") append(th, el("div", "marks", SCORE_LEGEND));
    if (halved) half(th, column);
    append(head, th);
  }
  if (halved) append(head.firstChild, turner(table));
  if (data.sticky) append(head, el("th", "copies", "copy"));
  append(table, append(el("thead"), head));
  const body = el("tbody");
  const byNode = new Map();
  for (const row of data.rows) {
    const tr = el("tr", (row.go ? "go" : "") + (row.dead ? " dead" : ""));
    const open = () => setTriggerValue("open", row.go);
    if (row.go) tr.onclick = open;
    data.columns.forEach((column, i) => {
      const cell = row.cells[i];
      const td = el("td", column.num ? "num" : column.cls || "");
      if (column.kind === "link" && row.go) {
        if (row.star !== undefined) append(td, (root.stars[data.rows.indexOf(row)] = star(row, setTriggerValue)));
        append(td, link("", cell, address(data.page, row.go), open));
      } else if (column.kind === "badge") append(td, el("span", "badge", cell));
      else if (column.kind === "explanation") {
        td.className = "explanation";
        append(td, explained(cell));
      } else if (column.kind === "score") {
        td.className = "score";
        if (cell) append(td, scored(cell));
        else append(td, el("span", "dim", "not scored"));
      } else if (column.kind === "token") {
        td.className = "tok";
        if (cell) append(td, el("span", "t", cell[0]), el("span", "dim", " " + cell[1]));
      } else if (column.kind === "tokens") {
        const text = el("div", "text", typeof cell === "string" ? cell : undefined);
        td.className = "kwic";
        if (typeof cell === "string") text.className = "dim";
        else if (cell) {
          halves(text, cell, data.table, cell.max, { whitespace: false, breaks: false });
          if (cell.mk) for (const token of text.querySelectorAll(".t")) if (cell.mk.includes(token.at)) token.classList.add("mk");
          byNode.set(text, cell);
        }
        append(td, text);
      } else if (column.kind === "snippet") {
        const clean = (part) => glyphs(part, false).replace(/·/g, " ");
        td.className = "kwic snippet";
        append(td, append(el("div", "text"), append(el("div", "half"), el("span", "t", clean(cell[0]))), append(el("div", "half"), el("span", "t hit", clean(cell[1])), el("span", "t", clean(cell[2])))));
      } else {
        const [text, help] = Array.isArray(cell) ? cell : [cell, column.help]; // a cell may have a help of its own
        td.textContent = text;
        if (help) td.title = help;
      }
      if (halved) half(td, column);
      append(tr, td);
    });
    if (data.sticky) append(tr, copies(data, row, tr));
    append(body, tr);
  }
  append(table, body);
  const turned = root.place !== undefined && root.place !== data.place;
  root.place = data.place;
  const tip = el("div", "tip");
  root.replaceChildren(append(el("div", data.sticky ? "" : "wide"), table), tip);
  if (turned) requestAnimationFrame(() => root.scrollIntoView({ block: "start" })); // another page is read from its top
  if (data.table) {
    const find = (node) => byNode.get(node.closest(".text"));
    hover(root, tip, data.table, (row) => row.max, find, null);
  }
}
