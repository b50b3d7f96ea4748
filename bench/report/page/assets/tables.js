// Tables that are sorted by their headings' buttons. A cell is {text, value, note, href, shade, state}.
const PAGE_ROWS = 200;
const sorting = {};

function tableBody(rows, columns, limit) {
  return rows.slice(0, limit).map((row) =>
    make("tr", { class: row.kind },
      row.cells.map((cell, place) => {
        const inner = cell.href
          ? make("a", { href: cell.href, "aria-label": cell.spoken }, cell.text)
          : document.createTextNode(cell.text ?? "");
        const attributes = {
          class: [cell.state, columns[place].numeric ? "number" : ""].filter(Boolean).join(" ") || null,
          style: isNumber(cell.shade) ? `--shade:${(100 * cell.shade).toFixed(0)}%` : null,
          title: cell.title,
        };
        const note = cell.note ? make("small", {}, ` ${cell.note}`) : null;
        return place === 0
          ? make("th", { scope: "row", ...attributes }, inner, note)
          : make("td", attributes, inner, note);
      })));
}

function compare(a, b, direction) {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  const order = isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return direction * order;
}

function ordered(rows, sort) {
  if (!sort) return rows;
  const key = (row) => row.cells[sort.column].value ?? (row.cells[sort.column].numeric ? null : row.cells[sort.column].text);
  return [...rows].sort((a, b) => compare(key(a), key(b), sort.direction));
}

// Draw a table; `id` keeps its order when the page is drawn again.
function dataTable(id, caption, columns, rows) {
  const holder = make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": caption });
  let limit = PAGE_ROWS;
  const redraw = (focus) => {
    const sort = sorting[id];
    const heads = columns.map((column, place) => {
      const mine = sort?.column === place;
      const direction = mine ? (sort.direction > 0 ? "ascending" : "descending") : null;
      const press = () => {
        const first = column.numeric ? -1 : 1;
        sorting[id] = { column: place, direction: mine ? -sort.direction : first };
        redraw(place);
        say(`${caption}: sorted by ${column.name}, ${sorting[id].direction > 0 ? "ascending" : "descending"}`);
      };
      const arrow = mine ? (sort.direction > 0 ? " ▲" : " ▼") : "";
      return make("th", { scope: "col", "aria-sort": direction, class: column.numeric ? "number" : null },
        make("button", { type: "button", onclick: press, title: column.title }, column.name + arrow));
    });
    const body = tableBody(ordered(rows, sort), columns, limit);
    const more = rows.length > limit
      ? make("button", { type: "button", class: "more", onclick: () => { limit = rows.length; redraw(); } },
        `Show all ${rows.length} rows (${limit} are shown)`)
      : null;
    const table = make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, heads)), make("tbody", {}, body));
    holder.replaceChildren(table, ...(more ? [more] : []));
    if (isNumber(focus)) holder.querySelectorAll("thead button")[focus].focus();
  };
  redraw();
  return holder;
}

// A list of names and values; a value may be an element.
function facts(pairs) {
  return make("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function chooser(label, name, options, chosen) {
  const select = make("select", { name, onchange: (event) => change({ [name]: event.target.value }) },
    options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  return make("label", {}, `${label} `, select);
}

function checkbox(label, name, isOn) {
  const box = make("input", {
    type: "checkbox", name, checked: isOn, onchange: (event) => change({ [name]: event.target.checked ? "1" : "" }),
  });
  return make("label", {}, box, ` ${label}`);
}
