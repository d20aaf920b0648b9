// To another page as one step of the browser's history, which Streamlit follows as it follows Back and Forward.
let gone = "";

export default function ({ data }) {
  if (gone === data.once) return;
  gone = data.once;
  history[data.instead ? "replaceState" : "pushState"]({}, "", new URL(address(data.page, data.params), document.baseURI));
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}
