// The sections of the page, each drawn anew whenever a choice is changed.
const STATES = ["done", "running", "stale", "unfinished", "failed", "skipped", "missing"];

const cellsHere = () => page.cells.map((cell, place) => [cell, place])
  .filter(([cell]) => String(cell.condition) === state.condition);

function counted(cells) {
  const counts = {};
  for (const [cell] of cells) counts[cell.state] = (counts[cell.state] ?? 0) + 1;
  return STATES.filter((name) => counts[name]).map((name) => [name, counts[name]]);
}

const inWords = (counts) => counts.map(([name, count]) => `${count} ${name}`).join(", ");

function drawOverview() {
  const here = cellsHere();
  const methods = [...new Set(here.map(([cell]) => cell.place.method))].sort();
  const ratios = [...new Set(here.map(([cell]) => cell.place.ratio))].sort((a, b) => a - b);
  const tiles = make("ul", { class: "tiles" }, counted(here).map(([name, count]) =>
    make("li", { class: name }, make("a", { href: address({ state: name }) + "&at=cells", "data-to": "cells" },
      make("strong", {}, String(count)), ` ${name}`))));
  const columns = [{ name: "method" }, ...ratios.map((ratio) => ({ name: percent(ratio), numeric: true }))];
  const rows = methods.map((method) => ({
    cells: [{ text: method }, ...ratios.map((ratio) => {
      const mine = here.filter(([cell]) => cell.place.method === method && cell.place.ratio === ratio);
      const done = mine.filter(([cell]) => cell.state === "done").length;
      if (!mine.length) return { text: "–", title: "never asked for", state: "missing" };
      const whole = done === mine.length;
      return { text: whole ? String(done) : `${done} of ${mine.length}`, value: done / mine.length,
        title: inWords(counted(mine)), state: whole ? null : "partial" };
    })],
  }));
  const problems = [...condition().problems, ...page.problems].map((text) => make("p", { class: "problem" }, text));
  const kinds = condition().name;
  fill("overview", problems,
    make("p", {}, `${kinds[0]}, label rule ${kinds[1]}, preset ${kinds[2]}. `,
      "A number is of runs that are done; “2 of 3”: one failed, was skipped, is running or was never begun; –: never asked for."),
    tiles, dataTable("overview", "Runs by method and share of labels", columns, rows));
}

function entryCell(entry, line, ratio, extra) {
  const [value, spread, n, low, high, condition_, cells] = entry;
  const { label } = selection().lines[line];
  const name = `${label} at ${percent(selection().ratios[ratio])}`;
  const href = cells.length ? address({ entry: `${line}.${ratio}`, cell: "" }) : null;
  if (!isNumber(value)) {
    return { text: SIGNS[condition_] ?? "–", href, spoken: `${name}: ${condition_}`, state: condition_, numeric: true };
  }
  const sign = condition_ === "partial" ? " †" : "";
  const gap = metricKey() === "f1" && !extra?.audit ? selection().paper.gaps?.[line]?.[ratio] : null;
  const note = [isNumber(spread) ? `± ${fixed(spread)}` : "", n === null ? "" : `(${n})`,
    isNumber(gap) ? `Δ${gap > 0 ? "+" : ""}${fixed(gap)}` : ""].filter(Boolean).join(" ");
  const interval = isNumber(low) && state.intervals ? ` [${fixed(low)}, ${fixed(high)}]` : "";
  return { text: fixed(value) + sign, note: note + interval, value, href, state: condition_, numeric: true,
    spoken: `${name}: ${fixed(value)} ${note}${interval}${sign ? ", partial" : ""}`, ...extra };
}

function scoresTable(key, id) {
  const found = selection();
  const metric = found.metrics[key];
  const { name } = METRIC[key];
  const columns = [{ name: "method" }, ...found.headings.map((text) => ({ name: text, numeric: true }))];
  const rows = shownLines().map((line) => ({
    cells: [{ text: found.lines[line].label },
      ...metric.entries[line].map((entry, ratio) => entryCell(entry, line, ratio, { audit: METRIC[key].audit }))],
  }));
  for (const [label, entries] of metric.baselines ?? []) {
    rows.push({ kind: "baseline", cells: [{ text: `${label} (baseline)` }, ...entries.map(([value, condition_]) =>
      ({ text: isNumber(value) ? fixed(value) : SIGNS[condition_] ?? "–", value, numeric: true }))] });
  }
  if (key === "f1") rows.push(...paperRows(found.paper.rows));
  return dataTable(id, `${name} by share of labelled frames`, columns, rows.filter((row) =>
    row.kind || row.cells.slice(1).some((cell) => isNumber(cell.value) || (cell.href && !METRIC[key].audit))));
}

// The paper's rows; what could not be read in it stays blank, what was hard to read has a question mark.
function paperRows(printed) {
  const text = ([value, kind]) => (isNumber(value) ? fixed(value) + (kind === "check" ? " ?" : "") : kind === "unread" ? "" : "–");
  return Object.entries(printed ?? {}).map(([label, entries]) => ({ kind: "paper", cells: [{ text: `${label} (paper)` },
    ...entries.map((entry) => ({ text: text(entry), value: entry[0], numeric: true }))] }));
}

function paperNote(key) {
  const { paper } = selection();
  if (key !== "f1") return null;
  return make("p", { class: "notes" }, paper.note ?? "(paper): as printed by Li et al., ICCV 2023; Δ: measured minus what the "
    + "paper prints for the same method and share of labels; ?: hard to read there; blank: could not be read.");
}

const nothing = () => make("p", { class: "none" }, "No run of this choice is done.");

function drawScores() {
  const found = selection();
  if (!found) return fill("scores", nothing());
  const key = metricKey();
  fill("scores",
    make("p", {}, `${METRIC[key].meaning}. Each number: mean over folds, then seeds ± standard deviation (runs); `,
      "in brackets the 95 % interval for other test subjects, where it is known; † some runs are missing. ",
      "Choose a number to see the cells behind it; choose a heading to sort."),
    scoresTable(key, "scores"), paperNote(key),
    make("ul", { class: "notes" }, found.notes.map((note) => make("li", {}, note))));
}

// The points of a line: of all AUs, or of one.
function pointsOf(line, key, au) {
  const found = selection();
  return found.ratios.map((ratio, at) => {
    const entry = found.metrics[key].entries[line][at];
    const value = au < 0 ? entry[0] : found.metrics[key].aus[line][at][au][0];
    if (!isNumber(value)) return null;
    const [low, high] = au < 0 ? [entry[3], entry[4]] : [null, null];
    const interval = isNumber(low) ? `, 95 % interval ${fixed(low)} to ${fixed(high)}` : "";
    return { x: ratio, y: value, low, high, href: address({ entry: `${line}.${at}`, cell: "" }),
      spoken: `${found.lines[line].label}, ${percent(ratio)} labels: ${fixed(value)}${interval}` };
  }).filter(Boolean);
}

function drawCurves() {
  const found = selection();
  if (!found) return fill("curves", nothing());
  const key = metricKey();
  const au = found.aus.indexOf(Number(state.au));
  const hidden = new Set(state.hidden.split("|").filter(Boolean));
  const lines = shownLines().filter((line) => pointsOf(line, key, au).length);
  const toggle = (label, on) => {
    if (on) hidden.delete(label); else hidden.add(label);
    change({ hidden: [...hidden].join("|") });
  };
  const legend = make("fieldset", { class: "legend" }, make("legend", {}, "Lines"), lines.map((line) => {
    const { label } = found.lines[line];
    const box = make("input", { type: "checkbox", checked: !hidden.has(label), onchange: (event) => toggle(label, event.target.checked) });
    return make("label", {}, box, swatch(look(line)), ` ${label}`);
  }));
  const name = `${METRIC[key].name}${au < 0 ? ", mean over the AUs" : ` of AU${found.aus[au]}`}`;
  const chart = lineChart(`${name}, by share of labels; arrow keys go from point to point`,
    lines.filter((line) => !hidden.has(found.lines[line].label))
      .map((line) => ({ name: found.lines[line].label, look: look(line), points: pointsOf(line, key, au) })),
    { log: true, bands: Boolean(state.intervals), xText: (ratio) => `${Number((100 * ratio).toPrecision(4))}`,
      xLabel: "labelled frames (%)", yLabel: name });
  fill("curves", make("div", { class: "options" },
    chooser("Action unit", "au", [["", "mean over all"], ...found.aus.map((each) => [String(each), `AU${each}`])], au < 0 ? "" : String(found.aus[au])),
    checkbox("95 % intervals", "intervals", Boolean(state.intervals))), legend, chart);
}

function ratioChooser() {
  const found = selection();
  return chooser("Share of labels", "ratio", found.ratios.map((ratio, at) => [String(ratio), found.headings[at]]),
    String(found.ratios[ratioPlace()]));
}

function drawAus() {
  const found = selection();
  if (!found) return fill("aus", nothing());
  const [key, ratio] = [metricKey(), ratioPlace()];
  const metric = found.metrics[key];
  const columns = [{ name: "method" }, ...found.aus.map((au) => ({ name: `AU${au}`, numeric: true })), { name: "mean", numeric: true }];
  const rows = shownLines().filter((line) => metric.entries[line][ratio][6].length).map((line) => ({
    cells: [{ text: found.lines[line].label },
      ...metric.aus[line][ratio].map(([value, condition_], au) => ({
        text: isNumber(value) ? fixed(value) + (condition_ === "partial" ? " †" : "") : SIGNS[condition_] ?? "–",
        value, shade: isNumber(value) ? value / 100 : null, numeric: true, state: condition_,
        href: address({ entry: `${line}.${ratio}`, cell: "" }),
        spoken: `${found.lines[line].label}, AU${found.aus[au]}: ${fixed(value)}`,
      })), entryCell(metric.entries[line][ratio], line, ratio)],
  }));
  if (key === "f1") rows.push(...paperRows(found.paper.aus?.[ratio]));
  fill("aus", make("div", { class: "options" }, ratioChooser()),
    dataTable("aus", `${METRIC[key].name} by action unit at ${found.headings[ratio]} labels`, columns, rows),
    make("p", {}, "One action unit by share of labels: ", found.aus.flatMap((au) =>
      [make("a", { href: address({ au }), "data-to": "curves" }, `AU${au}`), " "])));
}

function drawSubjects() {
  const found = selection();
  if (!found) return fill("subjects", nothing());
  const ratio = ratioPlace();
  const lines = shownLines().filter((line) => Object.keys(found.subjects[line][ratio]).length);
  const names = [...new Set(lines.flatMap((line) => Object.keys(found.subjects[line][ratio])))].sort();
  const chosen = names.includes(state.subject) ? state.subject : "";
  const rows = lines.map((line) => ({
    name: found.lines[line].label, look: look(line),
    points: Object.entries(found.subjects[line][ratio]).filter(([, values]) => isNumber(values[0])).map(([subject, values]) => ({
      x: values[0], chosen: subject === chosen, href: address({ subject }), spoken: `${found.lines[line].label}, subject ${subject}: F1 ${fixed(values[0])} %`,
    })).sort((a, b) => a.x - b.x),
  }));
  const columns = [{ name: "subject" }, ...lines.map((line) => ({ name: found.lines[line].label, numeric: true }))];
  const table = names.map((subject) => ({
    kind: subject === chosen ? "chosen" : null,
    cells: [{ text: subject, href: address({ subject }), spoken: `subject ${subject}: by action unit` },
      ...lines.map((line) => { const value = found.subjects[line][ratio][subject]?.[0];
        return { text: isNumber(value) ? fixed(value) : "–", value, numeric: true, shade: isNumber(value) ? value / 100 : null }; })],
  }));
  fill("subjects",
    make("p", {}, "F1 of one test subject, outcomes of all action units and runs pooled: who is served badly? ",
      "(Always F1, whatever the metric above: records keep counts by subject.)"),
    make("div", { class: "options" }, ratioChooser(),
      chooser("Subject", "subject", [["", "(none)"], ...names.map((name) => [name, name])], chosen)),
    chosen ? subjectTable(chosen, lines, ratio) : null,
    dotChart("F1 by subject, a row a method; arrow keys go from dot to dot", rows, { xText: (value) => String(value), xLabel: "F1 of a subject (%)" }),
    dataTable("subjects", `F1 (%) by subject at ${found.headings[ratio]} labels`, columns, table));
}

function subjectTable(subject, lines, ratio) {
  const found = selection();
  const columns = [{ name: "method" }, { name: "all", numeric: true }, ...found.aus.map((au) => ({ name: `AU${au}`, numeric: true }))];
  const rows = lines.filter((line) => found.subjects[line][ratio][subject]).map((line) => ({
    cells: [{ text: found.lines[line].label }, ...found.subjects[line][ratio][subject].map((value) => (
      { text: isNumber(value) ? fixed(value) : "–", value, numeric: true, shade: isNumber(value) ? value / 100 : null }))],
  }));
  return dataTable("subject", `Subject ${subject}: F1 (%) by action unit at ${found.headings[ratio]} labels`, columns, rows);
}

function drawPseudo() {
  const found = selection();
  const keys = page.metrics.filter((metric) => metric.audit && found?.metrics[metric.key]).map((metric) => metric.key);
  if (!keys.length) return fill("pseudo", make("p", { class: "none" }, "No run of this choice used pseudo labels."));
  fill("pseudo",
    make("p", {}, "Pseudo labels held against the hidden labels, over the whole training; nothing of it flows back. ",
      "An accuracy says little beside that of a constant. By action unit, or as curves: choose the metric above."),
    keys.flatMap((key) => [scoresTable(key, key), make("p", { class: "notes" }, METRIC[key].meaning)]));
}

// Tables as `bench table` prints them. A number leads to the cells of its row's method, and of its column's.
function drawMore() {
  const parts = page.tables.filter((part) => String(part.condition) === state.condition);
  if (!parts.length) return fill("more", make("p", { class: "none" }, "The records give no such table here."));
  fill("more", parts.flatMap((part) => [make("h3", {}, part.heading),
    ...(part.why ? [make("p", { class: "none" }, part.why)] : []),
    ...part.tables.flatMap((table, at) => [takenOver(table, `more-${part.heading}-${at}`),
      make("ul", { class: "notes" }, table.notes.map((note) => make("li", {}, note)))])]));
}

function takenOver(table, id) {
  const lineOf = (label) => (selection()?.lines ?? []).findIndex((line) => line.label === label);
  const columns = [{ name: table.corner }, ...table.columns.map((name, at) =>
    ({ name, numeric: table.rows.some((row) => isNumber(row.entries[at][1])) }))];
  const ratio = (selection()?.ratios ?? []).findIndex((each) => String(each) === table.ratio);
  const rows = table.rows.map((row) => ({ kind: row.source, cells: [{ text: row.heading },
    ...row.entries.map(([text, value], at) => {
      const lines = [lineOf(row.label), lineOf(table.columns[at].replace(/^over /, ""))].filter((line) => line >= 0);
      const known = isNumber(value) && row.source !== "paper" && lineOf(row.label) >= 0;
      const href = known ? address({ entry: `${lines.join("+")}.${ratio < 0 ? "" : ratio}`, cell: "" }) : null;
      return { text, value, href, numeric: columns[at + 1].numeric, spoken: `${row.heading}, ${table.columns[at]}: ${text}` };
    })] }));
  return dataTable(id, table.title, columns, rows);
}

function drawFailures() {
  const broken = cellsHere().filter(([cell]) => ["failed", "skipped", "stale"].includes(cell.state));
  if (!broken.length) return fill("failures", make("p", { class: "none" }, "Nothing failed and nothing was skipped."));
  const reasons = new Map();
  for (const [cell, place] of broken) {
    const reason = `${cell.state}: ${cell.reason ?? "its process was not heard of any more"}`;
    reasons.set(reason, [...(reasons.get(reason) ?? []), [cell, place]]);
  }
  fill("failures", [...reasons].map(([reason, cells]) => make("details", { open: reasons.size < 6 },
    make("summary", {}, `${reason} (${cells.length} ${cells.length > 1 ? "cells" : "cell"})`),
    make("ul", {}, cells.map(([cell]) => make("li", {}, cellLink(cell)))),
    cells[0][0].traceback === undefined ? null : make("pre", {}, page.pool[cells[0][0].traceback]))));
}

function cellLink(cell) {
  return make("a", { href: address({ cell: cell.id, entry: "" }) }, cell.id);
}

function drawCells() {
  const words = state.cells.toLowerCase().split(/\s+/).filter(Boolean);
  const rule = state.select;
  const all = cellsHere().filter(([cell]) => !state.state || cell.state === state.state);
  const here = all.filter(([cell]) => words.every((word) => `${cell.id} ${cell.state} ${cell.reason ?? ""}`.toLowerCase().includes(word)));
  const columns = ["cell", "method", "labels", "fold", "seed", "state", "F1", "AUC", "seconds"]
    .map((name, at) => ({ name, numeric: [2, 3, 4, 6, 7, 8].includes(at) }));
  const rows = here.map(([cell]) => {
    const scores = cell.scores?.[rule];
    const [f1, auc] = scores?.means ?? [];
    return { kind: cell.state, cells: [
      { text: cell.id, href: address({ cell: cell.id, entry: "" }) }, { text: cell.place.method },
      { text: percent(cell.place.ratio), value: cell.place.ratio }, { text: String(cell.place.fold), value: cell.place.fold },
      { text: String(cell.place.seed), value: cell.place.seed }, { text: cell.state },
      { text: fixed(f1), value: f1 ?? null, numeric: true }, { text: fixed(auc), value: auc ?? null, numeric: true },
      { text: fixed(cell.seconds?.total, 0), value: cell.seconds?.total ?? null, numeric: true },
    ] };
  });
  const filter = make("input", { type: "search", name: "cells", value: state.cells, placeholder: "words of a cell's name or reason",
    oninput: (event) => { change({ cells: event.target.value }, false); drawCells(); const box = document.querySelector("[name=cells]");
      box.focus(); box.setSelectionRange(box.value.length, box.value.length); say(`${shownCells()} cells`); } });
  fill("cells", make("div", { class: "options" }, make("label", {}, "Filter ", filter),
    chooser("State", "state", [["", "all"], ...STATES.map((name) => [name, name])], state.state)),
    dataTable("cells", `${here.length} of ${cellsHere().length} cells`, columns, rows));
}

const shownCells = () => document.querySelectorAll("#cells tbody tr").length;

function distinct(values) {
  return [...new Set(values.filter((value) => value !== undefined && value !== null && value !== ""))];
}

function drawReproduce() {
  const here = cellsHere().map(([cell]) => cell);
  const environments = distinct(here.map((cell) => cell.environment)).map((place) => page.pool[place]);
  const commands = distinct([...here.map((cell) => (cell.asked === undefined ? null : page.pool[cell.asked])),
    ...environments.map((environment) => environment.command)]);
  const versions = distinct(environments.map((environment) => JSON.stringify(environment.versions ?? {})));
  const listed = (values) => (values.length ? make("ul", {}, values.map((value) => make("li", {}, make("code", {}, String(value))))) : null);
  fill("reproduce",
    make("p", {}, "A cell is determined by its data, folds, label mask, knobs, code and seed; each cell's hashes say which. ",
      "The same command with the same code and data gives the same cells, and goes on where it stopped."),
    facts([
      ["commands", listed(commands)], ["commits", listed(distinct(environments.map((each) => each.commit)))],
      ["devices", listed(distinct(environments.map((each) => each.device)))],
      ["data (hash)", condition().data], ["folds (hash)", condition().folds],
      ["versions", listed(versions.map((text) => Object.entries(JSON.parse(text)).map(([name, value]) => `${name} ${value}`).join(", ")))],
      ["this page", page.command ? make("code", {}, page.command) : null],
      ["these numbers as CSV", make("code", {}, page.csv)],
    ]));
}
