"use strict";
// Charts and their tables of numbers. Plotly reads some markup in texts, so every text is escaped.
const VIEW = { measure: RUNS[0].measure, run: 0, change: "change", intervals: false, languages: new Set([POOLED, ...LANGUAGES]), methods: new Set(METHODS), dev: null, language: POOLED };
const escaped = (value) => String(value).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const SYMBOLS = { o: "circle", "^": "triangle-up", v: "triangle-down", s: "square", D: "diamond", "*": "star", P: "cross", X: "x", "<": "triangle-left", ">": "triangle-right", p: "pentagon", h: "hexagon" };
const FILLS = ["", "-open", "-dot", "-open-dot"]; // a run each
const DASHES = ["solid", "dash", "dot", "dashdot"];
const symbol = (mark, run = 0) => (SYMBOLS[mark] || "circle") + FILLS[run % FILLS.length];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isDark = () => document.documentElement.dataset.shown === "dark";
const named = (run, what) => (SEVERAL ? `${run.name}: ${what}` : what);
const brief = (run, what) => (SEVERAL ? `${run.short}: ${what}` : what);

// On a dark ground a colour is mixed with white, so that each keeps its hue and is read.
function tint(colour) {
  if (colour === "black") return css("--text");
  if (!isDark() || !/^#[0-9a-f]{6}$/i.test(colour)) return colour;
  const mixed = [1, 3, 5].map((k) => Math.round(parseInt(colour.slice(k, k + 2), 16) * 0.6 + 255 * 0.4));
  return `rgb(${mixed.join(",")})`;
}
function languageColour(run, language) { return language === POOLED ? css("--text") : tint(run.colours[language] || "#7F7F7F"); }

function draw(id, traces, { x, y, rows, ...more } = {}) {
  const target = $(id);
  const narrow = target.clientWidth < 520;
  // A legend below takes room of its own.
  const entries = traces.filter((one) => one.name && one.showlegend !== false).length;
  const below = narrow || (more.legend && more.legend.orientation === "h");
  const lines = below ? Math.ceil(entries / (SEVERAL && narrow ? 1 : 2)) : 0;
  if (!rows) target.style.height = `${(target.classList.contains("tall") ? (narrow ? 400 : 512) : 300) + 21 * lines}px`;
  else target.style.height = `${100 + 36 * rows}px`;
  const axis = (title, extra) => ({ title: { text: escaped(title || ""), standoff: 8 }, gridcolor: css("--grid"), zerolinecolor: css("--soft"), linecolor: css("--line"), automargin: true, exponentformat: "e", ...extra });
  const { xaxis, yaxis, ...layout } = more;
  const whole = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", dragmode: narrow ? false : "zoom",
    font: { family: "system-ui, 'Segoe UI', Roboto, 'Noto Sans', sans-serif", size: narrow ? 12 : 13, color: css("--text") },
    margin: { l: 10, r: 10, t: 30, b: 10 }, hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--soft"), font: { color: css("--text") }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--text") },
    legend: narrow ? { orientation: "h", y: -0.22, yanchor: "top", x: 0 } : { x: 1.01, y: 1 },
    xaxis: axis(x, xaxis), yaxis: axis(y, yaxis), ...layout,
  };
  Plotly.react(target, traces, whole, { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
}

// A value and its interval as Plotly's error bar.
const bar = (rows, at, low, high, colour, shown = true) => ({ type: "data", symmetric: false, visible: shown, thickness: 1.2, width: 0, color: colour, array: rows.map((r) => r[high] - r[at]), arrayminus: rows.map((r) => r[at] - r[low]) });
const fieldsOf = (change) => (change ? ["difference", "difference_low", "difference_high"] : ["value", "low", "high"]);

// The plane's points: both axes of a method in a language. Explicit prompting leaves universal items
// as they are, so its transfer is the unsteered model's. The pooled point needs both axes over the
// same languages.
function planePoints(run, measure) {
  const points = [];
  for (const { name } of run.conditions.filter((c) => !c.arm)) {
    const has = (axis) => run.languages.filter((k) => found(run, from(axis), k, axis, measure) && k !== "en").join();
    const from = (axis) => (name === "explicit" && axis === "transfer" ? "unsteered" : name);
    for (const language of [POOLED, ...run.languages]) {
      const both = AXES.map((axis) => found(run, from(axis), language, axis, measure));
      if (!both[0] || !both[1] || (language === POOLED && has("transfer") !== has("localization"))) continue;
      points.push({ run, method: name, language, x: both[0], y: both[1], unmoved: name !== from("transfer") });
    }
  }
  return points;
}

// What a point shows. As a change, the unsteered model is the origin, by definition.
function coordinate(point, axis, change) {
  const row = axis === "transfer" ? point.x : point.y;
  const [at, low, high] = fieldsOf(change);
  const still = change && (point.method === "unsteered" || (axis === "transfer" && point.unmoved));
  return still ? { at: 0, low: 0, high: 0, n: row.n } : { at: row[at], low: row[low], high: row[high], n: row.n };
}

function planeHover(point) {
  const lines = [`<b>${escaped(named(point.run, point.method))}</b>, ${escaped(languageName(point.language))}`];
  for (const axis of AXES) {
    const row = axis === "transfer" ? point.x : point.y;
    lines.push(`${axis} ${interval(row.value, row.low, row.high)} n=${row.n}`);
    if (row.difference !== null && !(axis === "transfer" && point.unmoved)) {
      const test = tested(point.run, point.method, point.language, axis, VIEW.measure);
      const p = test && test.p_holm !== null ? `, p=${fixed(test.p_holm, 4)}` : "";
      lines.push(`  change ${interval(row.difference, row.difference_low, row.difference_high, signed)}${p}`);
    }
  }
  return lines.join("<br>");
}

function drawPlane() {
  const change = VIEW.change === "change";
  const all = RUNS.flatMap((run) => planePoints(run, VIEW.measure)).filter((p) => VIEW.methods.has(p.method) && VIEW.languages.has(p.language) && !(change && p.method === "unsteered" && p.language !== POOLED));
  const traces = [];
  RUNS.forEach((run, k) => {
    for (const method of METHODS) {
      const look = run.by_name.get(method);
      const mine = all.filter((p) => p.run === run && p.method === method);
      for (const language of [...run.languages, POOLED]) {
        const points = mine.filter((p) => p.language === language);
        if (!points.length) continue;
        const colour = languageColour(run, language);
        const pooled = language === POOLED;
        const [xs, ys] = AXES.map((axis) => points.map((p) => coordinate(p, axis, change)));
        const shown = pooled || VIEW.intervals;
        traces.push({
          x: xs.map((c) => c.at), y: ys.map((c) => c.at), error_x: bar(xs, "at", "low", "high", colour, shown), error_y: bar(ys, "at", "low", "high", colour, shown),
          mode: pooled ? "markers+text" : "markers", text: points.map(() => (pooled ? escaped(brief(run, method)) : "")), textposition: "top right", textfont: { size: 12 },
          hoverinfo: "text", hovertext: points.map(planeHover), marker: { symbol: symbol(look.mark, k), color: colour, size: pooled ? 13 : 8, line: { width: 1.2, color: pooled ? css("--bg") : colour } },
          opacity: pooled ? 1 : 0.8, showlegend: false,
        });
      }
    }
  });
  const empty = (name, marker) => ({ x: [null], y: [null], mode: "markers", name: escaped(name), marker, hoverinfo: "skip" });
  RUNS.forEach((run, k) => run.conditions.filter((c) => !c.arm && VIEW.methods.has(c.name)).forEach((c) => traces.push(empty(brief(run, c.name), { symbol: symbol(c.mark, k), color: css("--text"), size: 9 }))));
  LANGUAGES.filter((k) => VIEW.languages.has(k)).forEach((k) => traces.push(empty(languageName(k), { symbol: "line-ew", color: languageColour(RUNS.find((r) => r.languages.includes(k)), k), size: 12, line: { width: 4, color: languageColour(RUNS.find((r) => r.languages.includes(k)), k) } })));
  const title = change ? "change in " : "";
  draw("plane-chart", traces, { x: `${title}transfer (${VIEW.measure}, test)`, y: `${title}localization (${VIEW.measure}, test)` });
  const rows = all.map((p) => [text(named(p.run, p.method)), languageName(p.language), ...AXES.flatMap((axis) => {
    const row = axis === "transfer" ? p.x : p.y;
    return [`${interval(row.value, row.low, row.high)} n=${row.n}`, axis === "transfer" && p.unmoved ? "" : interval(row.difference, row.difference_low, row.difference_high, signed)];
  })]);
  fill($("plane-table"), tableOf(["method", "language", "transfer", "change", "localization", "change"], rows));
}

// Gains on dev by layer, in one language or as the mean over the languages that all methods of the
// family were tried in: of each layer the best strength on the vector's own axis.
function gainOf(run, method, language, axis) {
  const at = AXES.indexOf(axis);
  if (language !== POOLED) return method.gains[language] ? method.gains[language][at] : null;
  const all = unique(Object.values(run.dev.methods).filter((m) => m.family === method.family).flatMap((m) => Object.keys(m.gains)));
  if (!all.every((k) => method.gains[k])) return null;
  const values = all.map((k) => method.gains[k][at]).filter((v) => v !== null);
  return values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
}
function curve(run, family, language, axis) {
  const [layer, own] = family === "EN" ? ["en_layer", "transfer"] : ["loc_layer", "localization"];
  const best = new Map();
  for (const [name, method] of Object.entries(run.dev.methods)) {
    if (method.family !== family || gainOf(run, method, language, axis) === null) continue;
    const value = gainOf(run, method, language, own);
    if (value === null) continue;
    const before = best.get(method[layer]);
    if (!before || value > before.value) best.set(method[layer], { name, value, method });
  }
  return [...best].sort((a, b) => a[0] - b[0]).map(([at, b]) => ({ layer: at, name: b.name, gain: gainOf(run, b.method, language, axis) }));
}
function drawLayers() {
  const traces = [], rows = [];
  RUNS.forEach((run, k) => {
    for (const family of ["EN", "LOC"]) {
      const look = run.by_name.get(family);
      const own = family === "EN" ? "transfer" : "localization";
      for (const axis of AXES) {
        const points = look ? curve(run, family, VIEW.language, axis) : [];
        if (!points.length) continue;
        const colour = tint(look.colour);
        traces.push({ x: points.map((p) => p.layer), y: points.map((p) => p.gain), mode: "lines+markers", name: escaped(brief(run, `${family} on ${axis}`)), line: { color: colour, dash: axis === own ? "solid" : "dash", width: 2 }, marker: { symbol: symbol(look.mark, k), size: 8, color: colour }, hoverinfo: "text", hovertext: points.map((p) => `${escaped(p.name)}<br>${axis} ${signed(p.gain)}`) });
        rows.push(...points.map((p) => [text(named(run, `${family} on ${axis}`)), p.layer, text(p.name), signed(p.gain)]));
      }
    }
  });
  const below = { legend: { orientation: "h", y: -0.25, yanchor: "top", x: 0 } };
  draw("layers-chart", traces, { x: "layer", y: `gain on dev (${VIEW.language === POOLED ? "mean of languages" : VIEW.language})`, ...below });
  const lines = [];
  let most = 0;
  RUNS.forEach((run, k) => {
    for (const [language, values] of Object.entries(run.perpendicularity.layers)) {
      if (VIEW.language !== POOLED && VIEW.language !== language) continue;
      most = Math.max(most, values.length);
      lines.push({ x: values.map((_, layer) => layer), y: values, mode: "lines+markers", name: escaped(brief(run, language)), line: { color: languageColour(run, language), dash: DASHES[k % 4], width: 2 }, marker: { size: 5 }, hoverinfo: "text", hovertext: values.map((v, layer) => `${escaped(named(run, languageName(language)))}, layer ${layer}<br>${fixed(v)}`) });
    }
    if (run.perpendicularity.random !== null) lines.push({ x: [0, Math.max(most - 1, 1)], y: [run.perpendicularity.random, run.perpendicularity.random], mode: "lines", name: escaped(brief(run, "random")), line: { color: css("--soft"), dash: "dot", width: 1.5 }, hoverinfo: "name" });
  });
  draw("perpendicularity-chart", lines, { x: "layer", xaxis: { dtick: most <= 12 ? 1 : 5 }, y: "perpendicularity of EN and LOC", ...below });
  const table = [tableOf(["curve", "layer", "method", "gain"], rows, "Gains on dev")];
  for (const run of RUNS) {
    const layers = Object.entries(run.perpendicularity.layers);
    if (layers.length) table.push(tableOf(["layer", ...layers.map(([k]) => k)], layers[0][1].map((_, at) => [at, ...layers.map(([, v]) => fixed(v[at]))]), named(run, `perpendicularity; random directions ${fixed(run.perpendicularity.random)}`)));
  }
  fill($("layers-table"), ...table);
}

function drawFront() {
  const [k, at] = VIEW.dev.split("/").map(Number);
  const run = RUNS[k], choice = run.dev.choices[at];
  const taken = new Map(Object.entries(choice.chosen).map(([family, name]) => [name, family]));
  const points = choice.points.filter((p) => p[1] !== null && p[2] !== null);
  const look = (p) => run.by_name.get(run.dev.methods[p[0]].family) || { mark: "o", colour: "#7F7F7F", name: run.dev.methods[p[0]].family };
  const hover = (p) => `<b>${escaped(p[0])}</b>${taken.has(p[0]) ? " (chosen)" : ""}<br>transfer ${signed(p[1])}<br>localization ${signed(p[2])}`;
  const line = (x, y, mode, more) => ({ x, y, mode, hoverinfo: "skip", ...more });
  const front = [...choice.front].sort((a, b) => a[1] - b[1]);
  const traces = [line(front.map((p) => p[1]), front.map((p) => p[2]), "lines", { name: "Pareto front", line: { color: css("--soft"), width: 2, dash: "dash" } })];
  for (const family of unique(points.map((p) => run.dev.methods[p[0]].family))) {
    const mine = points.filter((p) => run.dev.methods[p[0]].family === family);
    traces.push({ x: mine.map((p) => p[1]), y: mine.map((p) => p[2]), mode: "markers", name: escaped(family), marker: { symbol: symbol(look(mine[0]).mark), color: tint(look(mine[0]).colour), size: 9, opacity: 0.85 }, hoverinfo: "text", hovertext: mine.map(hover) });
  }
  const chosen = points.filter((p) => taken.has(p[0]));
  traces.push(line(chosen.map((p) => p[1]), chosen.map((p) => p[2]), "markers+text", { name: "chosen", text: chosen.map((p) => escaped(taken.get(p[0]))), textposition: "top center", marker: { symbol: "circle-open", size: 18, color: css("--text"), line: { width: 2 } } }));
  draw("front-chart", traces, { x: `gain in transfer (${run.measure}, dev)`, y: `gain in localization (${run.measure}, dev)` });
  fill($("front-table"), tableOf(["method", "transfer", "localization"], choice.front.map((p) => [text(p[0]), signed(p[1]), signed(p[2])]), "The front"), tableOf(["family", "method"], [...taken].map(([name, family]) => [text(family), text(name)]), "Chosen"));
}

// Rows of labels with a value and its interval each.
function dots(id, rows, x, fields) {
  const [at, low, high] = fields;
  const labels = rows.map((r) => escaped(r.label));
  draw(id, [{ x: rows.map((r) => r[at]), y: labels, mode: "markers", marker: { size: 11, color: rows.map((r) => r.colour), symbol: rows.map((r) => r.symbol) }, error_x: bar(rows, at, low, high, css("--text")), hoverinfo: "text", hovertext: rows.map((r) => `<b>${escaped(r.whole || r.label)}</b><br>${interval(r[at], r[low], r[high], at === "value" ? fixed : signed)} n=${r.n}`), showlegend: false }],
    { x, rows: rows.length, yaxis: { autorange: "reversed", type: "category", categoryarray: labels, ticksuffix: " " }, xaxis: { zeroline: at !== "value" } });
}
function drawBias() {
  const change = VIEW.change === "change";
  const fields = fieldsOf(change);
  const rows = RUNS.flatMap((run, k) => run.conditions.filter((c) => !c.arm && VIEW.methods.has(c.name)).map((c) => ({ ...found(run, c.name, VIEW.language, "english_bias", VIEW.measure), label: brief(run, c.name), whole: named(run, c.name), colour: tint(c.colour), symbol: symbol(c.mark, k) }))).filter((r) => r[fields[0]] !== undefined && r[fields[0]] !== null);
  dots("bias-chart", rows, `${change ? "change in " : ""}English bias (${VIEW.measure}, test, ${VIEW.language === POOLED ? "pooled" : VIEW.language})`, fields);
  fill($("bias-table"), tableOf(["method", "English bias", "change"], rows.map((r) => [text(r.whole), `${interval(r.value, r.low, r.high)} n=${r.n}`, interval(r.difference, r.difference_low, r.difference_high, signed)])));
}
function drawControls() {
  const run = RUNS[VIEW.run], charts = [];
  for (const family of unique(run.conditions.filter((c) => c.arm).map((c) => c.family))) {
    const axes = (run.by_name.get(family) || { axes: [] }).axes;
    for (const metric of axes) {
      const rows = run.conditions.filter((c) => c.family === family).map((c) => ({ ...found(run, c.name, VIEW.language, metric, VIEW.measure), label: c.arm ? armName(c.arm) : family, colour: c.arm ? css("--soft") : tint(c.colour), symbol: c.arm ? "circle" : symbol(c.mark) })).filter((r) => r.difference !== undefined && r.difference !== null);
      if (rows.length > 1) charts.push([family, metric, rows]);
    }
  }
  const holders = charts.map(([family, metric], k) => make("div", { class: "chart", id: `control${k}`, role: "img", "aria-label": `${family} and its control arms on ${metric}` }));
  const kept = $("controls-charts");
  [...kept.children].forEach((c) => Plotly.purge(c));
  fill(kept, ...(holders.length ? holders : [make("p", { class: "note" }, "This run has no control arms in this language.")]));
  charts.forEach(([family, metric, rows], k) => { dots(`control${k}`, rows, `${family}: change in ${metricName(metric)}`, fieldsOf(true)); });
  const rows = run.arms.filter((r) => r.language === VIEW.language && r.measure === VIEW.measure).map((r) => [text(r.method), text(r.against), metricName(r.metric), interval(r.difference, r.low, r.high, signed), fixed(r.p_holm, 4), r.n]);
  fill($("controls-table"), tableOf(["method", "less", "metric", "difference", "p (Holm)", "n"], rows));
}
const CHARTS = [drawPlane, drawLayers, drawProjection, drawFront, drawBias, drawControls];
function drawAll() { if (window.Plotly) CHARTS.forEach((one) => one()); }
