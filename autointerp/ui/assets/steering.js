// A prompt's continuations side by side: by the model as it is, and at each strength, with what it makes likelier and less likely.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const record = JSON.stringify(data);
  if (root.record === record) return; // a rerun changes nothing here, not even what is selected
  const entry = (index) => data.table[index];
  const written = (text) => (text === "" ? "" : shown(text, { whitespace: false, breaks: true }));
  const prompt = () => {
    const span = el("span", "prompt");
    for (const index of data.prompt) append(span, el("span", "t", written(entry(index)[1])));
    return span;
  };
  const nats = (value) => (value < 0 ? "−" : value > 0 ? "+" : "") + Math.abs(value).toFixed(2);
  const text = (made, steered) => {
    const box = append(el("div", "text made"), prompt());
    box.dir = "ltr";
    made.t.forEach((index, i) => {
      const [id, piece, special] = entry(index);
      const change = made.d[i];
      const node = el("span", `t a${level(Math.abs(change), data.strong)}${change < 0 ? " down" : ""}${special ? " sp" : ""}`, written(piece) || (piece === "" ? "" : piece));
      node.title = `${glyphs(piece, false)}  id ${id}\nlog probability ${nats(made.l[i])}` + (steered ? `\nas it is ${nats(made.l[i] - change)}\nchange ${nats(change)} nats` : "");
      append(box, node);
    });
    return box;
  };
  const list = (title, rows, heads) => {
    const table = append(el("table"), append(el("thead"), append(el("tr"), el("th", "", title), ...heads.map((head) => el("th", "num", head)))));
    const body = el("tbody");
    for (const [token, ...values] of rows) append(body, append(el("tr"), append(el("td"), el("span", "t", token)), ...values.map((value) => el("td", "num", value))));
    if (!rows.length) append(body, append(el("tr"), el("td", "dim", "none")));
    return append(table, body);
  };
  const direct = () =>
    data.direct.map((of) => {
      const head = append(el("h5", "", data.direct.length > 1 ? `Direct effect of ${of.of}` : "Direct effect"), el("span", "dim", data.unit));
      return append(el("section"), head, append(el("div", "moved"), list("Raises", of.raised, ["logit"]), list("Lowers", of.lowered, ["logit"])));
    });
  const grid = el("div", "cards");
  data.cards.forEach((card, number) => {
    const box = append(el("section", "card"), append(el("h4", "", card.title), ...card.notes.map((note) => el("span", "dim", note))));
    if (card.failed) append(box, el("div", "failed", card.failed));
    for (const made of card.texts) append(box, text(made, number > 0));
    if (number === 0) append(box, ...direct());
    if (!card.failed && card.raised)
      append(box, append(el("div", "moved"), list("Likelier next", card.raised, ["as it is", "steered", "change"]), list("Less likely next", card.lowered, ["as it is", "steered", "change"])));
    append(grid, box);
  });
  const fragment = append(document.createDocumentFragment(), grid);
  append(fragment, append(el("div", "legend"), el("span", "swatch a9"), document.createTextNode("likelier when steered"), el("span", "swatch down a9"), document.createTextNode(`less likely; colour: change of the token's log probability, log scale up to ${data.strong} nats`)));
  root.replaceChildren(fragment);
  root.record = record;
  root.dataset.steering = "";
}
