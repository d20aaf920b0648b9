// Asks the server whether it is there, while the page is looked at. A server that takes its time is not gone: only an answer
// that fails, twice, counts.
const HEALTH = "_stcore/health";
const EVERY_MS = 5000;
const AGAIN_MS = 1000;
const OWN = new Set(["localhost", "127.0.0.1", "[::1]"]); // who looks at the page can start the server

const there = async () => {
  try {
    return (await fetch(new URL(HEALTH, document.baseURI), { cache: "no-store" })).ok;
  } catch { return false; }
};

const say = (root) => {
  const own = root.command && OWN.has(location.hostname);
  const port = location.port ? ` --port ${location.port}` : "";
  root.replaceChildren(append(
    Object.assign(el("div", "gone"), { role: "alert" }),
    el("b", "", "The server does not answer."),
    el("p", "", own ? "If it has stopped, start it again:" : "It may have stopped, or the connection is lost. Whoever runs it can start it again."),
    own && el("code", "", root.command + port),
    el("p", "", "This page then continues by itself. What you typed is kept in this browser."),
  ));
};

const watch = (root) => {
  let timer = 0;
  let missed = 0;
  let asking = false;
  const soon = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(look, ms);
  };
  const look = async () => {
    if (asking || document.hidden || !root.isConnected) return; // looks again once the page is seen
    asking = true;
    const answered = await there();
    asking = false;
    if (answered) {
      if (missed > 1) greet(root);
      missed = 0;
    } else if ((missed += 1) === 2) say(root);
    soon(missed ? AGAIN_MS : EVERY_MS);
  };
  document.addEventListener("visibilitychange", look);
  soon(EVERY_MS);
  return () => {
    clearTimeout(timer);
    clearTimeout(root.greeting);
    document.removeEventListener("visibilitychange", look);
  };
};

// A server that was started again knows nothing of this page until it is asked for something, and takes the first click on a
// button for an old one. Streamlit connects by itself, but not at once, and drops what is sent before.
const greet = (root) => {
  clearTimeout(root.greeting);
  root.greeted = { session: root.session, n: root.heard + 1 };
  const send = (wait) => {
    if (!root.greeted) return;
    root.tell("greeting", root.greeted.n);
    root.greeting = setTimeout(send, wait, 2 * wait);
  };
  send(AGAIN_MS);
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".root");
  root.command = data.command;
  root.session = data.session;
  root.heard = data.heard;
  root.tell = setStateValue;
  if (root.greeted && (root.session !== root.greeted.session || root.heard >= root.greeted.n)) {
    root.greeted = null;
    root.replaceChildren();
  }
  root.watching = root.watching || watch(root);
  return root.watching;
}
