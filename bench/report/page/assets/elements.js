// Elements, and the state of the page, which is kept in its address: links, "back" and reloading work.
const SVG = "http://www.w3.org/2000/svg";
const page = JSON.parse(document.getElementById("data").textContent);
const METRIC = Object.fromEntries(page.metrics.map((metric) => [metric.key, metric]));

// Make an element. Texts only ever become text nodes, so that no name is read as markup.
function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "g", "path", "line", "circle", "rect", "text", "polygon"].includes(tag);
  const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

// A link inside a drawing.
function drawnLink(attributes, ...children) {
  const link = document.createElementNS(SVG, "a");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) link.addEventListener(name.slice(2), value);
    else link.setAttribute(name, value);
  }
  link.append(...children);
  return link;
}

function fill(id, ...children) {
  document.querySelector(`#${id} .body`).replaceChildren(...children.flat().filter(Boolean));
}

const DEFAULTS = {
  condition: "0", select: "last", metric: "f1", methods: "", variants: "", ratio: "", au: "",
  subject: "", intervals: "1", hidden: "", cells: "", state: "", cell: "", entry: "",
};

function readState() {
  const told = new URLSearchParams(location.hash.replace(/^#\/?/, ""));
  const state = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (told.has(name)) state[name] = told.get(name);
  return state;
}

// Write the address of this state with some changes.
function address(changes) {
  const told = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...state, ...changes })) {
    if (String(value) !== DEFAULTS[name]) told.set(name, value);
  }
  return `#/${told}`;
}

function change(changes, redraw = true) {
  history.replaceState(null, "", address(changes));
  state = readState();
  if (redraw) draw();
}

let state = readState();

function say(text) {
  document.getElementById("live").textContent = text;
}

const condition = () => page.conditions[state.condition] ?? page.conditions[0];

// What is drawn of the condition: one selection rule's tables, or nothing.
function selection() {
  const known = condition().selections;
  return known[state.select] ?? Object.values(known)[0] ?? null;
}

function metricKey() {
  const known = selection()?.metrics ?? {};
  return known[state.metric] ? state.metric : Object.keys(known)[0] ?? "f1";
}

// The places of the lines that the choices let through.
function shownLines() {
  const words = state.methods.toLowerCase().split(/[\s,]+/).filter(Boolean);
  return (selection()?.lines ?? [])
    .map((line, place) => place)
    .filter((place) => {
      const line = selection().lines[place];
      if (line.variant && !state.variants) return false;
      return !words.length || words.some((word) => line.label.toLowerCase().includes(word));
    });
}

function ratioPlace() {
  const ratios = selection()?.ratios ?? [];
  const place = ratios.findIndex((ratio) => String(ratio) === state.ratio);
  return place < 0 ? 0 : place;
}

const isNumber = (value) => typeof value === "number";

// Writes a number as the printed tables do: a tie goes to the even digit, and nothing is "-0.0".
function fixed(value, digits = 1) {
  if (!isNumber(value)) return "";
  const tie = Math.abs((value * 2 ** (digits + 1)) % 2) === 1;
  const up = value.toFixed(digits);
  const text = tie && "13579".includes(up.at(-1)) ? (value * (1 - 1e-9)).toFixed(digits) : up;
  return Number(text) === 0 ? text.replace("-", "") : text;
}

const percent = (ratio) => `${Number((100 * ratio).toPrecision(6))} %`;
const SIGNS = { missing: "–", failed: "failed", skipped: "skipped", unstored: "not stored", uncoded: "uncoded" };

// How a line looks: by its place among all lines, variants last, so that it keeps its colour.
function look(place) {
  const lines = selection().lines;
  if (lines[place].control) {
    const nth = lines.slice(0, place).filter((line) => line.control).length; // tuned beside untuned, say
    return { colour: "var(--control)", marker: nth % 6, dash: nth ? "5 3" : "" };
  }
  const others = lines.map((line, at) => at).filter((at) => !lines[at].control)
    .sort((a, b) => lines[a].variant - lines[b].variant || a - b);
  const at = others.indexOf(place);
  return { colour: `var(--c${at % 6})`, marker: at % 6, dash: at >= 6 ? "5 3" : "" };
}

function marker(kind, x, y, size, attributes) {
  const s = size;
  const shapes = [
    () => make("circle", { cx: x, cy: y, r: s, ...attributes }),
    () => make("rect", { x: x - s, y: y - s, width: 2 * s, height: 2 * s, ...attributes }),
    () => make("polygon", { points: `${x},${y - s * 1.4} ${x + s * 1.4},${y} ${x},${y + s * 1.4} ${x - s * 1.4},${y}`, ...attributes }),
    () => make("polygon", { points: `${x},${y - s * 1.3} ${x + s * 1.2},${y + s} ${x - s * 1.2},${y + s}`, ...attributes }),
    () => make("polygon", { points: `${x},${y + s * 1.3} ${x + s * 1.2},${y - s} ${x - s * 1.2},${y - s}`, ...attributes }),
    () => make("path", { d: `M${x - s},${y - s}L${x + s},${y + s}M${x - s},${y + s}L${x + s},${y - s}`, ...attributes, "stroke-width": 2 }),
  ];
  return shapes[kind]();
}
