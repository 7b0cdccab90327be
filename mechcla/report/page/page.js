"use strict";
// What stands where, the theme, printing, and Plotly, which is unpacked inside the browser.
function drawNumbers() {
  const metrics = METRICS.filter((m) => RUNS.some((r) => r.summary.some((row) => row.metric === m)));
  const tables = RUNS.map((run) => {
    const rows = run.conditions.filter((c) => !c.arm && VIEW.methods.has(c.name)).map((c) => [text(c.name), ...metrics.map((metric) => {
      const row = found(run, c.name, VIEW.language, metric, VIEW.measure);
      if (!row || row.value === null) return "";
      const test = tested(run, c.name, VIEW.language, metric, VIEW.measure);
      const p = test && test.p_holm !== null ? `, p=${fixed(test.p_holm, 4)}` : "";
      return make("span", {}, `${interval(row.value, row.low, row.high)} n=${row.n}`, row.difference === null ? null : make("small", {}, `${interval(row.difference, row.difference_low, row.difference_high, signed)}${p}`));
    })]);
    return tableOf(["method", ...metrics.map(metricName)], rows, named(run, `${VIEW.measure}, ${languageName(VIEW.language)}`));
  });
  fill($("numbers-body"), ...tables);
}

function drawComparison() {
  if (!SEVERAL) return;
  const compared = DATA.comparison, body = $("comparison-body");
  if (compared.why_not) { fill(body, make("p", { class: "note" }, compared.why_not)); return; }
  const rows = records(compared.values).filter((r) => r.language === VIEW.language && r.measure === VIEW.measure).map((r) => [text(r.condition), metricName(r.metric), text(r.run), `${interval(r.value, r.low, r.high)} n=${r.n}`, interval(r.difference, r.difference_low, r.difference_high, signed), fixed(r.p_holm, 4)]);
  const left = records(compared.left_out).map((r) => [text(r.run), text(r.condition), text(r.language), text(r.kind), r.items, text(r.why)]);
  fill(body, tableOf(["condition", "metric", "run", "value", "difference", "p (Holm)"], rows, `${VIEW.measure}, ${languageName(VIEW.language)}`),
    make("details", {}, make("summary", {}, "What differs between the runs"), tableOf(["setting", ...RUNS.map((r) => text(r.name))], compared.differing.map((row) => row.map((v) => text(v))))),
    left.length ? make("details", {}, make("summary", {}, "What was left out"), tableOf(["run", "condition", "language", "kind", "items", "why"], left)) : null,
    make("p", { class: "note" }, `Limit: ${compared.limit}.`));
}

// A row per model, condition and metric: the difference to the base, and to the model itself.
function drawAligned() {
  if (!$("aligned-body")) return;
  const change = (r) => (r && r.difference !== null ? make("span", {}, interval(r.difference, r.difference_low, r.difference_high, signed), r.p_holm === null ? null : make("small", {}, `p=${fixed(r.p_holm, 4)}`)) : "");
  fill($("aligned-body"), ...RUNS.filter((run) => run.aligned).map((run) => {
    if (run.aligned.why_not) return make("p", { class: "note" }, text(named(run, run.aligned.why_not)));
    const all = records(run.aligned.values);
    const base = all[0].model;
    const mine = all.filter((r) => r.language === VIEW.language && r.measure === VIEW.measure);
    if (!mine.length) return make("p", { class: "note" }, `Aligned models were compared in ${all[0].measure}, in ${unique(all.map((r) => r.language)).map(languageName).join(", ")}.`);
    const rows = mine.filter((r) => !r.against || r.against === base).map((r) => {
      const itself = r.model === base ? null : mine.find((o) => o.against === r.model && o.condition === r.condition && o.metric === r.metric);
      return [text(r.model), text(r.condition), metricName(r.metric), `${interval(r.value, r.low, r.high)} n=${r.n}`, change(r), change(itself), itself && itself.recovered !== null ? interval(itself.recovered, itself.recovered_low, itself.recovered_high) : ""];
    });
    return tableOf(["model", "condition", "metric", "value", "to the base", "to itself", "came back"], rows, named(run, `${VIEW.measure}, ${languageName(VIEW.language)}`));
  }));
}

function settings() {
  fill($("settings-body"), ...RUNS.map((run) => make("details", {}, make("summary", {}, text(named(run, "settings and versions"))),
    tableOf(["setting", "value"], run.settings.map(([k, v]) => [k, text(v)])), tableOf(["package", "version"], run.versions.map(([k, v]) => [k, text(v)])))),
    make("p", { class: "note" }, `Limit: ${RUNS[0].limit}.`));
}

function controls() {
  const languages = [POOLED, ...LANGUAGES].map((k) => [k, languageName(k)]);
  const both = () => { drawNumbers(); drawComparison(); drawAligned(); drawAll(); };
  const redraw = (...what) => () => { if (window.Plotly) what.forEach((one) => one()); };
  fill($("whole"),
    radios("Measure", ["share", "accuracy"].map((m) => [m, m]), VIEW.measure, (v) => { VIEW.measure = v; both(); }),
    radios("Values", [["change", "change from unsteered"], ["absolute", "absolute"]], VIEW.change, (v) => { VIEW.change = v; redraw(drawPlane, drawBias)(); }),
    select("Language of tables and curves", languages, POOLED, (v) => { VIEW.language = v; both(); }, "shown-language"));
  const interval = make("input", { type: "checkbox", onchange: () => { VIEW.intervals = interval.checked; redraw(drawPlane)(); } });
  fill($("plane-choices"),
    checks("Methods", METHODS.map((m) => [m, m]), VIEW.methods, () => { drawNumbers(); redraw(drawPlane, drawBias)(); }),
    checks("Languages", languages, VIEW.languages, redraw(drawPlane)),
    make("fieldset", {}, make("label", {}, interval, "intervals of every point")));
  const fronts = RUNS.flatMap((run, k) => run.dev.choices.map((c, at) => [`${k}/${at}`, named(run, c.languages.map(languageName).join(", "))]));
  VIEW.dev = fronts[0][0];
  fill($("front-choices"), select("Chosen for", fronts, VIEW.dev, (v) => { VIEW.dev = v; redraw(drawFront)(); }, "front-of"));
  projectionControls(redraw(drawProjection));
  if (SEVERAL) $("controls-charts").before(make("div", { class: "bar choices" }, select("Run", RUNS.map((r, k) => [String(k), r.name]), "0", (v) => { VIEW.run = Number(v); redraw(drawControls)(); }, "controls-of")));
}

// Theme: the system's, or the reader's; printed pages are light.
const system = window.matchMedia("(prefers-color-scheme: dark)");
function theme(printing = false) {
  const wanted = document.documentElement.dataset.theme;
  const dark = !printing && (wanted === "dark" || (wanted === "auto" && system.matches));
  document.documentElement.dataset.shown = dark ? "dark" : "light";
}
function startTheme() {
  theme();
  $("theme").addEventListener("change", (event) => { document.documentElement.dataset.theme = event.target.value; theme(); drawAll(); });
  system.addEventListener("change", () => { theme(); drawAll(); });
  window.addEventListener("beforeprint", () => { theme(true); drawAll(); });
  window.addEventListener("afterprint", () => { theme(); drawAll(); });
}

async function unpack() {
  const packed = Uint8Array.from(atob($("library").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

async function start() {
  startTheme();
  controls();
  drawNumbers();
  drawComparison();
  drawAligned();
  settings();
  startBrowser();
  try { await unpack(); } catch (error) {
    for (const chart of document.querySelectorAll(".chart")) fill(chart, make("p", { class: "note" }, "This browser cannot draw the charts; the numbers are below."));
  }
  drawAll();
  let wide = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== wide) { wide = window.innerWidth; drawAll(); } });
  document.documentElement.dataset.ready = "true";
}
start();
