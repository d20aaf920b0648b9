const at = (node, name, fraction) => { node.style[name] = 100 * fraction + "%"; return node; };

const plot = (p, label) => {
  const box = append(el("div", "plot"), el("i", "base"), el("i", "half"));
  if (p.l !== null && p.h !== null) append(box, at(at(el("i", "ci"), "left", p.l), "width", Math.max(p.h - p.l, 0.004)));
  if (p.f !== null) append(box, at(el("i", "floor"), "left", p.f));
  append(box, at(el("i", "dot"), "left", p.v));
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", label);
  return box;
};

const brief = (score) => {
  const node = append(el("div", "brief" + (score.said ? " weak" : "")), el("span", "", `${score.name} · ${score.judge}`), append(el("span", "value"), el("b", "", score.value), el("span", "small", " " + score.ci)), el("span", "small", score.under));
  node.title = score.help;
  return node;
};

const cause = (text, name = "failed") => append(el("div", "cause"), el("b", "", `✕ ${name}: `), document.createTextNode(text));

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const send = (record) => () => setTriggerValue("open", record);
  const href = (more) => address("feature", { ...data.params, ...more });
  const fragment = document.createDocumentFragment();
  const failure = (failed, record) => append(cause(failed.cause, failed.name), document.createTextNode(" "), link("", "details", href(record), send(record)));

  if (data.only) root.dataset.only = data.only;
  else if (data.failed) append(fragment, cause(data.failed));
  else if (data.text) {
    const say = el("div", "say clamp", data.text);
    say.dir = "auto";
    const more = el("button", "more", "more");
    more.hidden = true;
    more.setAttribute("aria-expanded", "false");
    more.onclick = () => {
      const open = say.classList.toggle("clamp");
      more.textContent = open ? "more" : "less";
      more.setAttribute("aria-expanded", String(!open));
    };
    append(fragment, say, more);
    requestAnimationFrame(() => { more.hidden = say.scrollHeight <= say.clientHeight + 2; });
  } else append(fragment, el("div", "say none", data.id ? "(empty)" : "Not explained."));

  const meta = el("div", "meta");
  for (const part of data.meta) append(meta, el("span", "", part));
  append(fragment, meta);
  for (const note of data.notes) append(fragment, el("div", "remark", note));
  if (data.failure) append(fragment, failure(data.failure, { version: data.failure.id }));

  if (data.no_scores) append(fragment, el("div", "remark", data.no_scores));
  if (data.scores.length) {
    const box = el("div", "scores");
    const head = append(el("div", "score head"), el("div", "small" + (data.usual ? " usual" : ""), data.scored_on), append(el("div", "axis"), ...data.axis.map((tick) => el("span", "", tick))), el("div", "small figures", "value, 95 %"));
    append(box, head);
    for (const row of data.scores) {
      const node = link("score" + (row.open ? " open" : "") + (row.said && row.standing !== "unknown" ? " weak" : ""), undefined, href({ score: row.id }), send({ score: row.id }));
      const name = append(el("div"), el("b", "", row.name), el("span", "opens", "examples\u00a0›"));
      if (row.said) append(name, el("span", "small said", (row.standing === "unknown" ? "" : "⚠ ") + row.said));
      const how = [row.judge, row.against, row.protocol].filter(Boolean).join(" ");
      const who = append(el("div", "who"), name, el("div", "small", [row.judge, row.against].filter(Boolean).join(" ")), row.protocol ? el("div", "small protocol", row.protocol) : null);
      node.title = [row.meaning, row.metric, how, `On ${row.examples}`, `${row.when} UTC`, row.older ? `Replaces ${row.older} older` : "", "Click for the judged examples"].filter(Boolean).join("\n");
      append(node, who);
      if (row.failed) append(node, cause(row.failed));
      else {
        const label = `${row.name} ${row.value}, 95 % interval ${row.ci}, ${row.reference}`;
        append(
          node,
          plot(row.plot, label),
          append(
            el("div", "figures"),
            append(el("div"), el("b", "", row.value), el("span", "small", "  " + row.ci)),
            el("div", "small", `${row.reference} · n ${row.n}`),
            row.uncounted ? el("div", "small", row.uncounted) : null,
          ),
        );
      }
      append(box, node, row.failure ? failure(row.failure, { score: row.failure.id }) : null);
    }
    if (data.scores.some((row) => row.plot)) append(box, el("div", "small marks", SCORE_LEGEND));
    append(fragment, box);
  }

  if (data.news) {
    const news = el("div", "news");
    const title = link("", data.news.title, href({ against: data.news.against }), send({ against: data.news.against }));
    append(news, append(el("div"), title, data.news.said ? el("span", "small", "  " + data.news.said) : null));
    for (const line of data.news.lines) {
      append(news, append(el("div", "delta"), el("span", "", line.name), el("b", "", line.difference || "–"), el("span", "small", [line.judge, line.ci, line.n, line.said].filter(Boolean).join("; "))));
    }
    append(fragment, news);
  }

  if (data.versions) {
    const box = el("div", "versions");
    for (const row of data.versions) {
      const text = link("line", row.failed ? undefined : row.text || "(empty)", href({ version: row.id }), send({ version: row.id }));
      text.dir = "auto";
      if (row.failed) append(text, el("b", "", "✕ failed: "), document.createTextNode(row.failed));
      const marks = [row.pinned ? "pinned" : row.shown ? "shown" : "", row.current ? "open" : ""].filter(Boolean).join(", ");
      const acts = append(el("div", "acts"), marks ? el("span", "badge", marks) : null);
      if (row.comparable) append(acts, link("", row.compared ? "compared" : "compare", href({ against: row.id }), send({ against: row.id })));
      append(box, append(
        el("div", "version" + (row.current ? " current" : "")),
        el("div", "number", String(row.number)),
        append(el("div"), text, el("div", "small", row.meta)),
        acts,
        row.scores.length ? append(el("div", "briefs"), ...row.scores.map(brief)) : null,
      ));
    }
    if (data.versions.some((row) => row.scores.some((score) => score.said))) append(box, el("div", "small marks", WEAK_LEGEND));
    append(fragment, box);
  }
  root.replaceChildren(fragment);
  root.dataset.version = data.id || "";
}
