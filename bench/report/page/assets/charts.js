// Line charts and dot charts as SVG: points are links, walked through with the arrow keys.
const NICE = [1, 2, 2.5, 5, 10];

function ticks(low, high, wanted) {
  const raw = (high - low || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * NICE.find((nice) => nice * power >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9) * step;
  const found = [];
  for (let at = first; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

function scaleOf(low, high, from, to, isLog) {
  const f = isLog ? Math.log10 : (value) => value;
  const [a, b] = [f(low), f(high)];
  return (value) => (b === a ? (from + to) / 2 : from + ((f(value) - a) / (b - a)) * (to - from));
}

function extent(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

// Points of a chart are one stop of the Tab key; arrows go on from there.
function walkable(svg) {
  const points = [...svg.querySelectorAll("a.point")];
  points.forEach((point, at) => point.setAttribute("tabindex", at ? -1 : 0));
  svg.addEventListener("keydown", (event) => {
    const at = points.indexOf(document.activeElement);
    if (at < 0) return;
    const line = points[at].dataset.line;
    const ends = points.filter((point, place) => !place || point.dataset.line !== points[place - 1].dataset.line);
    const mine = ends.findIndex((point) => point.dataset.line === line);
    const go = {
      ArrowRight: () => points[at + 1], ArrowLeft: () => points[at - 1],
      ArrowDown: () => ends[mine + 1], ArrowUp: () => ends[mine - 1],
      Home: () => points[0], End: () => points[points.length - 1],
    }[event.key];
    if (!go) return;
    event.preventDefault();
    const next = go();
    if (!next) return;
    points[at].setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}

function showTip(holder, point, text) {
  const tip = holder.querySelector(".tip");
  tip.textContent = text;
  tip.hidden = false;
  const [box, mine] = [holder.getBoundingClientRect(), point.getBoundingClientRect()];
  const left = Math.min(Math.max(0, mine.left - box.left + 12), Math.max(0, box.width - tip.offsetWidth));
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(0, mine.top - box.top - tip.offsetHeight - 6)}px`;
}

// A mark that links, and shows what it is under the pointer and when it has the focus.
function pointLink(holder, line, point, shape) {
  const show = (event) => showTip(holder, event.currentTarget, point.spoken);
  const hide = () => { holder.querySelector(".tip").hidden = true; };
  const link = drawnLink({
    class: "point", "aria-label": point.spoken, href: point.href ?? location.hash,
    onmouseenter: show, onmouseleave: hide, onfocus: show, onblur: hide,
  }, shape);
  link.dataset.line = line;
  return link;
}

function axes(svg, box, x, y, options) {
  const grid = make("g", { class: "grid", "aria-hidden": "true" });
  for (const value of options.yTicks) {
    grid.append(make("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value) }),
      make("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, options.yText?.(value) ?? String(value)));
  }
  let before = -Infinity;
  for (const value of options.xTicks) {
    const text = options.xText(value);
    const half = text.length * 3.6 + 3;
    if (x(value) - half < before) continue;
    before = x(value) + half;
    grid.append(make("line", { class: "tick", x1: x(value), x2: x(value), y1: box.bottom, y2: box.bottom + 4 }),
      make("text", { x: x(value), y: box.bottom + 17, "text-anchor": "middle" }, text));
  }
  grid.append(make("text", { x: (box.left + box.right) / 2, y: box.bottom + 34, "text-anchor": "middle" }, options.xLabel),
    make("text", { x: 2, y: 12 }, options.yLabel));
  svg.append(grid);
}

function band(points, x, y, colour) {
  const known = points.filter((point) => isNumber(point.low));
  if (known.length < 2) return null;
  const there = known.map((point) => `${x(point.x)},${y(point.high)}`);
  const back = known.map((point) => `${x(point.x)},${y(point.low)}`).reverse();
  return make("polygon", { class: "band", points: [...there, ...back].join(" "), style: `fill:${colour}` });
}

function bars(points, x, y, colour) {
  return points.filter((point) => isNumber(point.low)).map((point) =>
    make("line", { class: "bar", x1: x(point.x), x2: x(point.x), y1: y(point.low), y2: y(point.high), style: `stroke:${colour}` }));
}

// lines: [{name, look, points: [{x, y, low, high, href, spoken}]}]
function lineChart(label, lines, options) {
  const holder = make("div", { class: "chart" }, make("div", { class: "tip", hidden: true, "aria-hidden": "true" }));
  const width = Math.max(280, Math.min(options.width ?? chartWidth(), 920));
  const height = options.height ?? Math.max(240, Math.min(420, width * 0.52));
  const box = { left: 44, right: width - 12, top: 22, bottom: height - 42 };
  const every = lines.flatMap((line) => line.points);
  if (!every.length) return make("p", { class: "none" }, "Nothing to draw of this choice.");
  const heights = every.flatMap((point) => [point.y, ...(options.bands ? [point.low, point.high] : [])]).filter(isNumber);
  const [low, high] = extent(heights);
  const xs = [...new Set(every.map((point) => point.x))].sort((a, b) => a - b);
  const room = options.log ? Math.log10(xs[xs.length - 1] / xs[0]) || 1 : 0;
  const ends = options.log
    ? [xs[0] / 10 ** (room * 0.04), xs[xs.length - 1] * 10 ** (room * 0.04)] : [xs[0], xs[xs.length - 1]];
  const x = scaleOf(...ends, box.left, box.right, options.log);
  const y = scaleOf(low, high, box.bottom, box.top);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label });
  axes(svg, box, x, y, { ...options, xTicks: options.log ? xs : ticks(...ends, width / 90), yTicks: ticks(low, high, height / 60) });
  for (const line of options.bands ? lines : []) svg.append(...[band(line.points, x, y, line.look.colour)].filter(Boolean));
  for (const line of lines) {
    const { colour, dash } = line.look;
    const path = line.points.map((point, at) => `${at ? "L" : "M"}${x(point.x)},${y(point.y)}`).join("");
    svg.append(make("path", { class: "line", d: path, style: `stroke:${colour}`, "stroke-dasharray": dash || null }));
    if (options.bands) svg.append(...bars(line.points, x, y, colour));
    for (const point of options.plain ? [] : line.points) {
      const hit = make("circle", { class: "hit", cx: x(point.x), cy: y(point.y), r: 12 });
      const shape = marker(line.look.marker, x(point.x), y(point.y), 4, { style: `fill:${colour};stroke:${colour}` });
      const both = make("g", {}, hit, shape);
      svg.append(pointLink(holder, line.name, point, both));
    }
  }
  holder.prepend(svg);
  walkable(svg);
  return holder;
}

// Rows of dots on one scale: rows: [{name, look, points: [{x, href, spoken}]}]
function dotChart(label, rows, options) {
  const holder = make("div", { class: "chart" }, make("div", { class: "tip", hidden: true, "aria-hidden": "true" }));
  const width = Math.max(280, Math.min(chartWidth(), 920));
  const row = 40;
  const height = 24 + rows.length * row + 44;
  const box = { left: 8, right: width - 12, top: 24, bottom: height - 42 };
  const values = rows.flatMap((each) => each.points.map((point) => point.x));
  if (!values.length) return make("p", { class: "none" }, "Nothing to draw of this choice.");
  const ends = extent(values);
  const x = scaleOf(...ends, box.left + 6, box.right);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label });
  axes(svg, box, x, () => 0, { ...options, xTicks: ticks(...ends, width / 90), yTicks: [], yLabel: "" });
  rows.forEach((each, at) => {
    const middle = box.top + at * row + 24;
    svg.append(make("line", { class: "rule", x1: box.left, x2: box.right, y1: middle, y2: middle }),
      make("text", { class: "name", x: box.left, y: middle - 11 }, each.name));
    for (const point of each.points) {
      const hit = make("circle", { class: "hit", cx: x(point.x), cy: middle, r: 9 });
      const shape = marker(0, x(point.x), middle, point.chosen ? 7 : 4.5, {
        class: point.chosen ? "dot chosen" : "dot", style: `fill:${each.look.colour};stroke:${each.look.colour}`,
      });
      svg.append(pointLink(holder, each.name, point, make("g", {}, hit, shape)));
    }
  });
  holder.prepend(svg);
  walkable(svg);
  return holder;
}

function chartWidth() {
  return document.getElementById("main").clientWidth - 2;
}

function swatch(style) {
  return make("svg", { class: "swatch", viewBox: "0 0 26 12", width: 26, height: 12, "aria-hidden": "true" },
    make("path", { class: "line", d: "M1,6L25,6", style: `stroke:${style.colour}`, "stroke-dasharray": style.dash || null }),
    marker(style.marker, 13, 6, 4, { style: `fill:${style.colour};stroke:${style.colour}` }));
}
