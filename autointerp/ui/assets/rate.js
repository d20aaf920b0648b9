// One explanation to judge: a bar at the foot of the window with the text, what can be said about it, and the ways on. Where
// the task is a judge's, the questions stand above it. Whatever is said leaves as one record with an id of its own; the browser
// keeps it until the server has it, and what is not said yet, too.
const memory = new Map(); // where the browser keeps nothing
const load = (name) => {
  try { return JSON.parse(localStorage.getItem(name)) ?? memory.get(name); } catch { return memory.get(name); }
};
const keep = (name, value) => {
  memory.set(name, value);
  try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* full, or not allowed */ }
};
const drop = (name) => {
  memory.delete(name);
  try { localStorage.removeItem(name); } catch { /* not allowed */ }
};

const button = (key, label, act, help, cls = "") => {
  const node = append(el("button", "key " + cls), el("kbd", "", key), el("span", "", label));
  if (help) node.title = help;
  node.onclick = () => act();
  return node;
};

// Seconds that an item was looked at.
const clock = () => {
  let sum = 0;
  let since = performance.now();
  const stop = () => {
    if (since !== null) sum += performance.now() - since;
    since = null;
  };
  return { hide: stop, show: () => { since ??= performance.now(); }, seconds: () => (sum + (since === null ? 0 : performance.now() - since)) / 1000 };
};

// A box that takes a text of any length. `limit`: the most characters of each of its `parts`, and what is said beside it of a
// part that has more.
const field = (tag, label, key, limit, value, changed, parts = (text) => [text]) => {
  const box = el(tag);
  const said = el("div", "over");
  said.setAttribute("role", "alert");
  const check = () => {
    const most = Math.max(...parts(box.value).map((part) => [...part.trim()].length));
    said.textContent = most > limit.most ? limit.says.replace("{n}", most.toLocaleString("en-US")) : "";
    box.setAttribute("aria-invalid", String(most > limit.most));
    return most <= limit.most;
  };
  box.value = value;
  box.id = key;
  box.setAttribute("aria-label", label);
  box.oninput = () => {
    changed(box.value);
    check();
  };
  check();
  // Whether the text can be kept; if not, it is in sight, with what is wrong.
  const fits = () => {
    const well = check();
    if (!well) box.focus();
    return well;
  };
  return { box, said, fits };
};

const ask = (root, data, s) => {
  const { questions } = data;
  const list = el("ol", "questions");
  const go = (at) => {
    s.at = Math.max(0, Math.min(questions.rows.length - 1, at));
    mark();
    list.children[s.at].scrollIntoView({ block: "center", behavior: "instant" });
  };
  const answer = (yes) => {
    if (root.pending || !data.writable) return;
    s.answers[s.at] = yes;
    root.save();
    const open = s.answers.findIndex((said, i) => said === null && i > s.at);
    const first = s.answers.indexOf(null);
    if (first < 0) mark();
    else go(open < 0 ? first : open);
  };
  questions.rows.forEach((row, i) => {
    const text = append(el("div", "text"), tokens({ ...row, p: [], v: [], k: -1 }, questions.table, 0, { whitespace: false, breaks: false }));
    const marked = new Set(row.mk || []);
    for (const token of text.children) if (marked.has(token.at)) token.classList.add("mk");
    text.dir = "ltr";
    const said = append(el("div", "said"), ...[true, false].map((yes) => {
      const node = el("button", "", yes ? "Yes" : "No");
      node.onclick = () => { s.at = i; answer(yes); };
      return node;
    }));
    const line = append(el("li"), el("div", "number", String(i + 1)), text, said);
    line.onclick = (event) => { if (!event.target.closest("button")) { s.at = i; mark(); } };
    append(list, line);
  });
  const mark = () => {
    [...list.children].forEach((line, i) => {
      line.className = (i === s.at ? "here" : "") + (s.answers[i] === null ? "" : " done");
      [...line.querySelectorAll(".said button")].forEach((node, no) => node.setAttribute("aria-pressed", String(s.answers[i] === !no)));
    });
    const left = s.answers.filter((said) => said === null).length;
    if (root.done) {
      root.done.disabled = left > 0 || !data.writable;
      root.left.textContent = left ? `question ${s.at + 1} of ${questions.rows.length}, ${left} left` : "all answered: press D to save them";
    }
  };
  return { list, mark, go, answer };
};

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const unsent = data.slot + " unsent";
  const entry = `${data.slot} ${data.entry.item}.${data.entry.round}.${data.entry.task}${data.questions ? "." + data.questions.plan : ""}`;
  const edited = `${data.slot} edit ${data.entry.item}`;
  const known = load(data.slot + " revealed") || [];
  if (data.revealed.some((item) => !known.includes(item))) keep(data.slot + " revealed", [...new Set([...known, ...data.revealed])]);

  // What was said last has arrived, or was refused with a message.
  const waiting = load(unsent);
  if (waiting && waiting.id === data.heard) drop(unsent);
  if (root.pending === data.heard) {
    if (root.pending && !data.refused) {
      drop(root.pendingFor);
      // What else the browser sent at that moment, with the address it still had, came after: back where the answer was.
      if (root.pendingFor === entry) setTriggerValue("act", { act: "on", place: data.place });
    }
    root.pending = "";
  }
  if (root.sentEdit && root.sentEdit === data.heard_edit) {
    if (!data.refused_edit) drop(edited);
    root.sentEdit = "";
    root.rev = "";
  }
  const send = (answer) => {
    root.pending = answer.id;
    root.pendingFor = answer.draft;
    keep(unsent, answer);
    setStateValue("answer", answer);
    root.classList.add("saving");
  };
  if (waiting && waiting.id !== data.heard && !root.pending) send(waiting); // the network or the server was gone
  root.classList.toggle("saving", Boolean(root.pending));
  if (root.rev === data.rev) return root.listening;
  const anew = root.entry !== entry;
  root.rev = data.rev;
  root.entry = entry;

  const standing = data.standing || {};
  const s = { confidence: null, note: "", tags: "", at: 0, answers: (data.questions?.rows || []).map(() => null), ...standing, ...load(entry) };
  if (data.questions) s.at = Math.max(0, s.answers.indexOf(null));
  if (anew) root.clock = clock();
  root.save = () => keep(entry, { confidence: s.confidence, note: s.note, tags: s.tags, answers: s.answers });
  const act = (name) => () => setTriggerValue("act", { act: name, place: data.place, about: name === "last" ? data.ended : data.last });
  const commit = (more) => {
    if (root.pending || !(more.skipped ? data.can_skip : data.writable)) return;
    const revealed = (load(data.slot + " revealed") || []).includes(data.entry.item);
    if (note && !(note.fits() && tags.fits())) return;
    const { confidence } = s;
    send({ id: data.id, draft: entry, ...data.entry, revises: data.revises, confidence, note: s.note, tags: s.tags, seconds: root.clock.seconds(), revealed, ...more });
  };

  const dock = el("section", "dock");
  dock.setAttribute("aria-label", "Your verdict");
  const bar = append(el("div", "progress"), el("i"));
  bar.firstChild.style.width = 100 * data.progress.share + "%";
  const ways = el("div", "ways");
  const acts = {};
  for (const [name, key, label, help, on] of data.ways) {
    acts[name] = () => {
      if (on && name === "skip") commit({ skipped: true });
      else if (on) act(name)();
    };
    const node = button(key, label, acts[name], help);
    node.disabled = !on;
    append(ways, node);
  }
  append(dock, bar, append(el("div", "line foot"), append(el("div", "pace"), el("b", "", data.progress.place), document.createTextNode(" " + data.progress.pace), el("span", "wait", " · saving …")), ways));

  // The explanation, or a box to correct it in.
  const about = el("div", "about");
  const correct = (open) => {
    const text = el("div", "say", data.text);
    text.dir = "auto";
    if (!open) {
      const edit = button("E", load(edited) === undefined || load(edited) === null ? "Correct it" : "Your draft", () => correct(true), "Write a better one: a new version by you. Your verdict still applies to the one shown.");
      edit.disabled = !data.can_edit;
      about.replaceChildren(el("div", "head", "Explanation"), append(el("div", "body"), text, data.corrected ? el("div", "fixed", data.corrected) : null), edit);
      return;
    }
    const { box, said, fits } = field("textarea", "Your correction", "correction", data.limits.text, load(edited) ?? data.text, (value) => keep(edited, value));
    const save = () => {
      if (root.sentEdit || !box.value.trim() || !fits()) return;
      root.sentEdit = data.edit_id;
      keep(edited, box.value);
      setStateValue("edit", { id: data.edit_id, item: data.entry.item, text: box.value });
    };
    box.onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); if (fits()) box.blur(); save(); }
      else if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); correct(false); }
    };
    const close = () => { drop(edited); correct(false); };
    about.replaceChildren(el("div", "head", "Correction"), append(el("div", "body"), box, said), append(el("div", "column"), button("Ctrl ⏎", "Save", save), button("Esc", "Later", () => correct(false), "Keeps the draft in this browser"), button("", "Discard", close)));
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  };
  correct(false);
  append(dock, about);

  const verdicts = {};
  let note = null, tags = null, confident = () => {}, questions = null;
  if (data.questions) {
    questions = ask(root, data, s);
    root.left = el("div", "hint-line");
    root.done = button("D", "Done: save the answers", () => commit({ answers: s.answers, plan: data.questions.plan }), "", "main");
    append(dock, append(el("div", "line"), el("b", "", data.questions.ask), root.left), append(el("div", "verdicts few"), button("Y", "Yes", () => questions.answer(true)), button("N", "No", () => questions.answer(false)), root.done));
  } else {
    const grid = el("div", "verdicts");
    for (const { name, key, label, help } of data.verdicts) {
      verdicts[name] = () => commit({ verdict: name });
      const node = button(key, label, verdicts[name], help);
      node.setAttribute("aria-pressed", String(standing.verdict === name));
      node.disabled = !data.writable;
      append(grid, node);
    }
    const levels = el("div", "levels");
    confident = (value) => {
      s.confidence = s.confidence === value ? null : value;
      root.save();
      [...levels.children].forEach((node) => node.setAttribute("aria-pressed", String(node.value_ === s.confidence)));
    };
    for (const [value, key, label] of data.confidences) {
      const node = button(key, label, () => confident(value), `Confidence: ${label.toLowerCase()}`);
      node.value_ = value;
      node.setAttribute("aria-pressed", String(value === s.confidence));
      append(levels, node);
    }
    note = field("textarea", "Note", "note", data.limits.note, s.note, (value) => { s.note = value; root.save(); });
    note.box.rows = 1;
    note.box.placeholder = "Note";
    note.box.onkeydown = (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); note.box.blur(); } };
    tags = field("input", "Tags", "tags", data.limits.tag, s.tags, (value) => { s.tags = value; root.save(); }, (text) => text.split(","));
    tags.box.placeholder = "Tags, comma-separated";
    tags.box.setAttribute("list", "known");
    tags.box.onkeydown = (event) => { if (event.key === "Enter") tags.box.blur(); };
    const known = el("datalist");
    known.id = "known";
    for (const tag of data.tags) append(known, Object.assign(el("option"), { value: tag }));
    append(
      dock, append(el("div", "line asked"), el("b", "", data.ask), el("div", "hint-line", data.hint)), grid,
      append(el("div", "more"), append(el("div", "levels-box"), el("span", "dim", "Confidence"), levels), append(el("label", "boxed"), el("kbd", "", "N"), note.box), append(el("label", "boxed short"), el("kbd", "", "T"), tags.box), known, note.said, tags.said),
    );
  }

  // On a phone, what goes with a verdict is folded away until it is wanted, or holds something.
  const fold = button("", "Confidence, note", () => unfold(!dock.classList.contains("open")), "", "fold");
  const unfold = (open) => {
    dock.classList.toggle("open", open);
    fold.setAttribute("aria-expanded", String(open));
  };
  if (note) append(ways, fold);
  unfold(Boolean(s.confidence || s.note || s.tags));
  const focus = (box) => {
    if (!box) return;
    unfold(true);
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  };
  root.hears = (name, repeat) => {
    if (questions && (name === "back" || name === "next")) {
      const to = s.at + (name === "next" ? 1 : -1);
      if (to >= 0 && to < s.answers.length) return questions.go(to);
      if (repeat) return undefined;
    }
    if (repeat) return undefined;
    if (name in verdicts) verdicts[name]();
    else if (name in acts) acts[name]();
    else if (name.startsWith("confidence_")) confident(Number(name.slice(11)));
    else if (name === "note") focus(note?.box);
    else if (name === "tags") focus(tags?.box);
    else if (name === "edit") { if (data.can_edit) correct(true); }
    else if (questions && (name === "yes" || name === "no")) questions.answer(name === "yes");
    else if (name === "done" && root.done && !root.done.disabled) root.done.click();
    return undefined;
  };
  root.replaceChildren(...[questions && questions.list, dock].filter(Boolean));
  if (!data.questions) root.done = null;
  if (questions) {
    questions.mark();
    if (anew) requestAnimationFrame(() => questions.go(s.at));
  }
  root.dataset.entry = `${data.entry.item}.${data.entry.round}.${data.entry.task}`;
  root.dataset.place = data.progress.place;

  // The page ends above the bar, so that it covers nothing for good.
  if (root.watched) root.watched.disconnect();
  root.watched = new ResizeObserver(() => { root.style.paddingBottom = dock.offsetHeight + 12 + "px"; });
  root.watched.observe(dock);
  if (!root.listening) {
    const hear = (event) => {
      const [own, name] = event.detail.name.split(/_(.*)/);
      if (own === "rate" && root.hears) root.hears(name, event.detail.repeat);
    };
    const seen = () => (document.hidden ? root.clock.hide() : root.clock.show());
    document.addEventListener("autointerp-key", hear);
    document.addEventListener("visibilitychange", seen);
    root.listening = () => {
      document.removeEventListener("autointerp-key", hear);
      document.removeEventListener("visibilitychange", seen);
    };
  }
  return root.listening;
}
