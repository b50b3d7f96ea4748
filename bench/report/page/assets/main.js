// Puts the page together: choices, sections, dialog, colours, and news from a live server.
function drawChoices() {
  const found = condition();
  const names = page.conditions.map((each, at) => [String(at), each.name.join(", ") + (each.data ? ` (data ${each.data.slice(0, 6)})` : "")]);
  const rules = Object.keys(found.selections);
  const metrics = Object.keys(selection()?.metrics ?? {}).map((key) => [key, METRIC[key].name]);
  const filter = make("input", { type: "search", name: "methods", value: state.methods, placeholder: "all", size: 12,
    oninput: (event) => { change({ methods: event.target.value }, false); drawSections(); } });
  const choices = document.getElementById("choices");
  const focused = document.activeElement?.name;
  choices.replaceChildren(...[
    names.length > 1 ? chooser("Data", "condition", names, state.condition) : null,
    rules.length > 1 ? chooser("Step", "select", rules.map((rule) => [rule, page.selections[rule]]), state.select) : null,
    metrics.length ? chooser("Metric", "metric", metrics, metricKey()) : null,
    make("label", {}, "Methods ", filter),
    (selection()?.lines ?? []).some((line) => line.variant) ? checkbox("variants", "variants", Boolean(state.variants)) : null,
  ].filter(Boolean));
  if (focused) choices.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
}

function drawSections() {
  for (const drawOne of [drawOverview, drawScores, drawCurves, drawAus, drawSubjects, drawPseudo, drawMore, drawFailures, drawCells, drawReproduce]) drawOne();
}

function draw() {
  const focused = document.activeElement;
  const [name, section] = [focused?.name, focused?.closest?.("section")?.id];
  drawChoices();
  drawSections();
  if (name && section) document.querySelector(`#${section} [name="${CSS.escape(name)}"]`)?.focus();
  drawDetail();
}

function setUpOnce() {
  const counts = counted(page.cells.map((cell) => [cell]));
  document.getElementById("summary").textContent = `${page.cells.length} cells: ${inWords(counts)}.`;
  document.getElementById("sections").replaceChildren(...[...document.querySelectorAll("main > section")].map((section) =>
    make("li", {}, make("a", { href: `#${section.id}`, "data-to": section.id }, section.querySelector("h2").textContent))));
  document.getElementById("choices").addEventListener("submit", (event) => event.preventDefault());
  // links inside the page: what they choose is in the address, where they lead in data-to
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-to]");
    if (!link) return;
    event.preventDefault();
    const href = link.getAttribute("href");
    if (href.startsWith("#/")) { history.pushState(null, "", href); state = readState(); draw(); }
    const section = document.getElementById(link.dataset.to);
    section.scrollIntoView();
    section.querySelector("h2").setAttribute("tabindex", -1);
    section.querySelector("h2").focus({ preventScroll: true });
  });
  const close = () => { if (state.cell || state.entry) change({ cell: "", entry: "" }); };
  document.getElementById("detail").addEventListener("close", close);
  window.addEventListener("hashchange", () => { state = readState(); draw(); });
  window.addEventListener("popstate", () => { state = readState(); draw(); });
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) { width = window.innerWidth; drawCurves(); drawSubjects(); }
  });
  setUpTheme();
}

function setUpTheme() {
  const names = { "": "as the system", light: "light", dark: "dark" };
  const order = Object.keys(names);
  const button = document.getElementById("theme");
  const show = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
    button.textContent = `Colours: ${names[theme]}`;
    button.dataset.theme = theme;
  };
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(button.dataset.theme ?? "") + 1) % order.length];
    try { localStorage.setItem("bench-theme", next); } catch { /* a file may have no storage */ }
    show(next);
  });
  let kept = "";
  try { kept = localStorage.getItem("bench-theme") ?? ""; } catch { /* the same */ }
  show(order.includes(kept) ? kept : "");
}

// A page from `bench report --serve` asks whether the folder has changed, and loads itself again,
// but not while somebody writes or chooses.
async function watch() {
  const { dataset } = document.documentElement;
  try {
    const answer = await (await fetch("version")).text();
    const writing = document.activeElement?.matches("input, select");
    if (!dataset.version) dataset.version = answer;
    else if (answer !== dataset.version && !writing) location.reload();
  } catch { say("The server of this page has ended; the page is as it was."); }
  setTimeout(watch, 3000);
}

setUpOnce();
draw();
if (page.live) watch();
