// Jobs, one row each. The element is fed again every second while something runs, so it changes only the cells that differ:
// a button does not vanish under the pointer, and a row keeps its focus.
const bar = (value) => {
  const track = el("div", "track" + (value.busy ? " busy" : ""));
  track.setAttribute("role", "progressbar");
  track.setAttribute("aria-valuenow", String(Math.round(100 * (value.done + value.failed))));
  track.setAttribute("aria-valuetext", value.text);
  const part = (cls, share) => {
    const node = el("i", cls);
    node.style.width = Math.min(100, 100 * share).toFixed(2) + "%";
    return node;
  };
  return append(el("div", "progress"), append(track, part("ok", value.done), part("no", value.failed)),
    append(el("div", "figures"), el("span", "", value.text), value.note ? el("span", "dim", value.note) : null));
};

const cell = (kind, value, send) => {
  const box = document.createDocumentFragment();
  if (value === null || value === undefined) return box;
  if (kind === "state") {
    append(box, append(el("span", "state " + value.tone), el("b", "", value.sign), el("span", "", value.word)));
  } else if (kind === "job") {
    append(box, value.href ? link("name", value.label, value.href, () => send("open")) : el("span", "name", value.label));
    if (value.kind) append(box, el("span", "badge", value.kind));
    if (value.note) {
      const note = el("div", "note", value.note);
      note.title = value.note;
      append(box, note);
    }
  } else if (kind === "bar") append(box, bar(value));
  else if (kind === "actions") {
    // Each action has a place of its own, taken or not: after Cancel, Retry does not stand where Cancel was.
    const slots = append(el("div", "slots"), ...["cancel", "retry", ...(value.some(([act]) => act === "dismiss") ? ["dismiss"] : [])].map((act) => el("div", "slot " + act)));
    append(box, slots);
    for (const [act, label, help, note] of value) {
      const slot = slots.querySelector("." + act);
      const button = el("button", "act", label);
      button.type = "button";
      button.title = help;
      button.onclick = (event) => {
        event.stopPropagation();
        send(act);
      };
      append(slot, button);
      if (note) append(slot, el("div", "note whom", note));
    }
  } else if (Array.isArray(value)) {
    const text = el("span", "", value[0]);
    text.title = value[1];
    append(box, text);
  } else append(box, el("span", "", value));
  return box;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const layout = JSON.stringify(data.columns) + data.head;
  if (root.layout !== layout) {
    const table = el("table", "jobs" + (data.head ? "" : " strip"));
    if (data.head) {
      const head = el("tr");
      for (const column of data.columns) {
        const th = el("th", column.num ? "num" : "", column.title);
        th.scope = "col";
        if (column.help) th.title = column.help;
        append(head, th);
      }
      append(table, append(el("thead"), head));
    }
    root.body = el("tbody");
    root.rows = new Map();
    root.layout = layout;
    root.replaceChildren(append(el("div", "wide"), append(table, root.body)));
  }
  const wanted = new Set(data.rows.map((row) => row.id));
  for (const [id, tr] of root.rows) {
    if (wanted.has(id)) continue;
    tr.remove();
    root.rows.delete(id);
  }
  data.rows.forEach((row, place) => {
    let tr = root.rows.get(row.id);
    if (!tr) {
      tr = el("tr");
      tr.cells_ = [];
      tr.dataset.job = row.id;
      data.columns.forEach((column, i) => {
        const td = el("td", `${column.num ? "num " : ""}${column.cls || ""} is-${column.kind || "figure"}`);
        if (column.title && (column.kind || "text") === "text") td.dataset.label = column.title;
        append(tr, td);
      });
      root.rows.set(row.id, tr);
    }
    tr.dataset.state = row.state;
    data.columns.forEach((column, i) => {
      const drawn = JSON.stringify(row.cells[i]);
      if (tr.cells_[i] === drawn) return;
      tr.cells_[i] = drawn;
      tr.children[i].classList.toggle("blank", [row.cells[i]].flat()[0] === "–");
      tr.children[i].replaceChildren(cell(column.kind, row.cells[i], (act) => setTriggerValue("act", { act, id: row.id })));
    });
    if (root.body.children[place] !== tr) root.body.insertBefore(tr, root.body.children[place] || null);
  });
}
