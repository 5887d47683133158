"use strict";
// Filters over the items and the rejects: what does not fit is hidden, how many fit is said. Nothing is sent; the address holds
// what is chosen (#discipline=0533&text=force), so that a link can say it.
const form = document.querySelector("form");
if (form) {
  const rows = [...document.querySelectorAll("[data-text]")];
  const said = document.querySelector("#fitting");
  for (const row of rows) row.dataset.text = row.textContent.toLowerCase();
  const fromAddress = () => {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1)))
      if (form.elements[name]) form.elements[name].value = value;
  };
  const apply = () => {
    const wanted = [...form.elements].filter((field) => field.name && field.value.trim());
    const fits = (row) => wanted.every((field) => field.name === "text"
      ? field.value.trim().toLowerCase().split(/\s+/).every((word) => row.dataset.text.includes(word))
      : row.dataset[field.name] === field.value);
    for (const row of rows) row.hidden = !fits(row);
    const shown = (kind) => rows.filter((row) => row.dataset.kind === kind && !row.hidden).length;
    const all = (kind) => rows.filter((row) => row.dataset.kind === kind).length;
    said.textContent = `${shown("item")} of ${all("item")} items, ${shown("reject")} of ${all("reject")} rejects shown`;
    for (const group of document.querySelectorAll("[data-group]"))
      group.hidden = ![...group.querySelectorAll("[data-text]")].some((row) => !row.hidden);
    return wanted;
  };
  const choose = () => {
    const chosen = new URLSearchParams(apply().map((field) => [field.name, field.value.trim()]));
    history.replaceState(null, "", `#${chosen}`);
  };
  form.hidden = false;
  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(choose));
  document.querySelector("#open").addEventListener("click", (event) => {
    const open = event.target.textContent === "Open all";
    for (const row of rows) row.open = open;
    event.target.textContent = open ? "Close all" : "Open all";
  });
  fromAddress();
  apply();
}
