// The chosen store, in the address of every page: for a reload, a bookmark, a link that is copied from the address bar.
export default function ({ data }) {
  if (named() === data.store) return;
  const url = new URL(location.href);
  if (data.store) url.searchParams.set(STORE, data.store);
  else url.searchParams.delete(STORE);
  history.replaceState(history.state, "", url);
}
