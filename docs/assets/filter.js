// A field above each long table keeps the rows that hold every word typed into it.
const LONG = 12;
const chinese = document.documentElement.lang.startsWith("zh");

for (const table of document.querySelectorAll("article table:not([class])")) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < LONG) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.className = "filter";
  field.placeholder = chinese ? `筛选 ${rows.length} 行` : `Filter ${rows.length} rows`;
  field.setAttribute("aria-label", field.placeholder);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, at) => { row.hidden = !words.every((word) => texts[at].includes(word)); });
  });
  (table.closest(".md-typeset__scrollwrap") ?? table).before(field);
}
