// The dialog of a cell (all that is known of it) and of an entry (the cells behind a number).
function drawDetail() {
  const dialog = document.getElementById("detail");
  const cell = state.cell ? page.cells.find((each) => each.id === state.cell) : null;
  const entry = !cell && state.entry ? entryOf(state.entry) : null;
  if (!cell && !entry) {
    if (dialog.open) dialog.close();
    return;
  }
  document.getElementById("detail-h").textContent = cell ? cell.id : entry.title;
  fill("detail", cell ? cellBody(cell) : entryBody(entry));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

// An entry is "LINE.RATIO" by their places; "LINE+LINE.RATIO" and "LINE." are sets of cells, of several
// lines or of all ratios, behind a number of a table that was taken over.
function entryOf(text) {
  const [names, place] = text.split(".");
  const found = selection();
  const lines = names.split("+").map(Number).filter((line) => found?.lines[line]);
  const ratios = place ? [Number(place)] : (found?.ratios ?? []).map((_, at) => at);
  const entries = lines.flatMap((line) => ratios.map((ratio) => found.metrics[metricKey()]?.entries[line]?.[ratio])).filter(Boolean);
  if (!entries.length) return null;
  const where = place ? `at ${found.headings[place]} labels` : "at all shares of labels";
  const title = `${lines.map((line) => found.lines[line].label).join(" and ")} ${where}`;
  return { entry: entries.length === 1 ? entries[0] : null, cells: entries.flatMap((entry) => entry[6]), title };
}

function entryBody({ entry, cells }) {
  const table = cellsTable(cells, entry ? "The cells behind this number" : "The cells of these methods; the number is of those runs that all have, as its table says");
  if (!entry) return [table];
  const [value, spread, n, low, high, kind] = entry;
  const name = METRIC[metricKey()].name;
  return [facts([[name, isNumber(value) ? fixed(value, 2) : kind], ["standard deviation over runs", fixed(spread, 2)],
    ["95 % interval", isNumber(low) ? `${fixed(low, 2)} to ${fixed(high, 2)}` : ""], ["runs", n === null ? "" : String(n)],
    ["state", kind]]), table];
}

function cellsTable(cells, caption) {
  const columns = ["cell", "fold", "seed", "state", "F1", "AUC"].map((text, at) => ({ name: text, numeric: [1, 2, 4, 5].includes(at) }));
  const rows = cells.map((place) => {
    const cell = page.cells[place];
    const scores = cell.scores?.[state.select];
    const [f1, auc] = scores?.means ?? [];
    return { cells: [{ text: cell.id, href: address({ cell: cell.id, entry: "" }) },
      { text: String(cell.place.fold), value: cell.place.fold }, { text: String(cell.place.seed), value: cell.place.seed }, { text: cell.state },
      { text: fixed(f1, 2), value: f1, numeric: true }, { text: fixed(auc, 2), value: auc, numeric: true }] };
  });
  return dataTable("entry", caption, columns, rows);
}

function cellBody(cell) {
  const { place } = cell;
  const environment = isNumber(cell.environment) ? page.pool[cell.environment] : {};
  const code = page.pool[cell.code];
  return [
    facts([
      ["state", cell.state], ["reason", cell.reason], ["progress", cell.running?.of ? `step ${cell.running.step} of ${cell.running.of}` : ""],
      ["dataset", place.dataset], ["method", place.method], ["labels", percent(place.ratio)], ["rule", place.rule],
      ["fold", String(place.fold)], ["seed", String(place.seed)], ["preset", place.preset], ["recipe", cell.recipe],
      ["warnings", cell.warnings ? make("ul", {}, cell.warnings.map((at) => make("li", {}, page.pool[at]))) : null],
    ]),
    cell.traceback === undefined ? null : make("details", {}, make("summary", {}, "Traceback"), make("pre", {}, page.pool[cell.traceback])),
    ...Object.entries(cell.scores ?? {}).map(([rule, scores]) => cellScores(cell, rule, scores)),
    cell.history ? historyCharts(cell) : null,
    cell.unshown ? make("p", { class: "notes" }, `Its history (${cell.unshown} rows) is left out, for there are many cells here: runs/${cell.id}/history.jsonl`) : null,
    make("h3", {}, "How it was made"),
    facts([
      ["command", environment.command ?? (cell.asked === undefined ? "" : page.pool[cell.asked])], ["commit", environment.commit], ["device", environment.device],
      ["host", environment.host], ["versions", Object.entries(environment.versions ?? {}).map(([name, value]) => `${name} ${value}`).join(", ")],
      ["started", cell.times?.started], ["finished", cell.times?.finished],
      ["seconds", Object.entries(cell.seconds ?? {}).map(([name, value]) => `${name} ${value}`).join(", ")],
      ["rates (a second)", Object.entries(cell.rates ?? {}).map(([name, value]) => `${name.replace("_per_second", "")} ${value}`).join(", ")],
      ["frames", isNumber(cell.frames) ? Object.entries(page.pool[cell.frames]).map(([name, value]) => `${name} ${value}`).join(", ") : ""],
      ["parameters", cell.parameters ? cell.parameters.toLocaleString("en") : ""], ["peak memory", cell.memory ? `${cell.memory} MiB` : ""],
      ["trained weights", cell.weights],
    ]),
    pairsTable("Knobs", page.pool[cell.knobs].map(([name, value]) => [name, String(value)])),
    pairsTable("Hashes", Object.entries(cell.hashes).map(([name, at]) => [name, page.pool[at]])),
    Object.keys(code).length ? pairsTable("Code", Object.entries(code)) : null,
    make("p", {}, "More: ", make("code", {}, `python -m bench explain ${cell.id}`)),
  ];
}

function cellScores(cell, rule, scores) {
  const aus = page.pool[cell.aus];
  const columns = [{ name: "score" }, ...aus.map((au) => ({ name: `AU${au}`, numeric: true })), { name: "mean", numeric: true }];
  const row = (name, values, whole) => ({ cells: [{ text: name }, ...[...values, whole].map((value) =>
    ({ text: isNumber(value) ? fixed(value) : "–", value, numeric: true, shade: isNumber(value) ? value / 100 : null }))] });
  const rows = [row("F1", scores.f1, scores.means[0]), row("AUC", scores.auc, scores.means[1])];
  return dataTable(`scores-${rule}`, `Test scores (%), ${page.selections[rule] ?? rule}, step ${scores.step}`, columns, rows);
}

function historyCharts(cell) {
  const { rows, of } = cell.history;
  const columns = page.pool[cell.history.columns];
  const step = columns.indexOf("step");
  const names = columns.filter((name) => !["step", "epoch", "lr"].includes(name));
  const shares = names.filter((name) => name.startsWith("pseudo labels"));
  const losses = names.filter((name) => !shares.includes(name));
  const lines = (chosen, factor) => chosen.map((name, at) => ({
    name, look: { colour: `var(--c${at % 6})`, marker: at % 6, dash: at >= 6 ? "5 3" : "" },
    points: rows.map((row) => ({ x: row[step], y: row[columns.indexOf(name)] })).filter((point) => isNumber(point.y))
      .map((point) => ({ ...point, y: factor * point.y, spoken: `${name}, step ${point.x}: ${fixed(factor * point.y, 3)}` })),
  })).filter((line) => line.points.length);
  const chart = (title, drawn) => (drawn.length ? [make("h4", {}, title), make("p", { class: "legend" }, drawn.map((line) =>
    make("span", {}, swatch(line.look), ` ${line.name} `))),
  lineChart(title, drawn, { width: Math.min(620, window.innerWidth - 64), height: 220, plain: true, xText: String, xLabel: "step", yLabel: "" })] : []);
  return make("div", {}, make("h3", {}, "Training"), rows.length < of ? make("p", { class: "notes" }, `${rows.length} of ${of} rows of its history`) : null,
    chart("Losses and the method's own metrics", lines(losses, 1)), chart("Pseudo labels (%)", lines(shares, 100)));
}

function pairsTable(title, pairs) {
  return make("details", {}, make("summary", {}, `${title} (${pairs.length})`),
    dataTable(title.toLowerCase(), title, [{ name: "name" }, { name: "value" }], pairs.map(([name, value]) => ({ cells: [{ text: name }, { text: value }] }))));
}
