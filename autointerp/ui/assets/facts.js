export default function ({ data, parentElement }) {
  parentElement.querySelector(".root").replaceChildren(facts(data));
}
