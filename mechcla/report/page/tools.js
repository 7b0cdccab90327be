"use strict";
// The page's data, and small tools. Whatever a run holds is written as text, never as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs;
const SEVERAL = RUNS.length > 1;
const AXES = ["transfer", "localization"];
const POOLED = "all";
const $ = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined).map((c) => (c instanceof Node ? c : String(c))));
  return element;
}

// A text of the data in its own direction: right-to-left scripts stay apart from what is around them.
const text = (value, language) => make("bdi", { lang: language }, value);

function records(table) {
  return table.rows.map((row) => Object.fromEntries(table.columns.map((name, k) => [name, row[k]])));
}
// A name of the data is a key of its own, never one that every object has ("constructor").
const bare = (object) => Object.assign(Object.create(null), object);
for (const run of RUNS) {
  for (const name of ["colours", "scored"]) run[name] = bare(run[name]);
  run.perpendicularity.layers = bare(run.perpendicularity.layers);
  run.dev.methods = bare(run.dev.methods);
  for (const method of Object.values(run.dev.methods)) method.gains = bare(method.gains);
  for (const name of ["summary", "tests", "arms", "contrast"]) run[name] = records(run[name]);
  run.index = new Map(run.summary.map((r) => [key(r.method, r.language, r.metric, r.measure), r]));
  run.tested = new Map(run.tests.map((r) => [key(r.method, r.language, r.metric, r.measure), r]));
  run.by_name = new Map(run.conditions.map((c) => [c.name, c]));
}
function key(...parts) { return JSON.stringify(parts); }
const found = (run, method, language, metric, measure) => run.index.get(key(method, language, metric, measure));
const tested = (run, method, language, metric, measure) => run.tested.get(key(method, language, metric, measure));

// In charts a long name is cut and numbered; hovering and the tables have it whole.
RUNS.forEach((run, k) => { run.short = run.name.length <= 20 ? run.name : `${k + 1}: ${run.name.slice(0, 14)}\u2026`; });

const unique = (values) => [...new Set(values)];
const LANGUAGES = unique(RUNS.flatMap((r) => r.languages));
const METHODS = unique(RUNS.flatMap((r) => r.conditions.filter((c) => !c.arm).map((c) => c.name)));
const METRICS = unique(RUNS.flatMap((r) => r.summary.map((row) => row.metric)));
const metricName = (name) => (name === "english_bias" ? "English bias" : name.replaceAll("_", " "));
const armName = (name) => name.replaceAll("_", " ");

let names = null;
try { names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" }); } catch { names = null; }
function languageName(code) {
  if (code === POOLED) return "all, pooled";
  let name = null;
  try { name = names && names.of(code.replaceAll("_", "-")); } catch { name = null; }
  return name ? `${code} ${name}` : code;
}

const MINUS = "\u2212";
function fixed(value, digits = 3) {
  if (value === null || value === undefined) return "";
  const written = Math.abs(value).toFixed(digits);
  return value < 0 && Number(written) !== 0 ? MINUS + written : written;
}
const signed = (value, digits = 3) => (value === null || value === undefined ? "" : (fixed(value, digits).startsWith(MINUS) ? "" : "+") + fixed(value, digits));
const interval = (value, low, high, say = fixed) => (low === null || low === undefined ? say(value) : `${say(value)} [${say(low)}, ${say(high)}]`);

// A table with a row header; cells are texts, numbers or nodes.
function tableOf(columns, rows, caption) {
  const head = make("tr", {}, ...columns.map((c) => make("th", { scope: "col" }, c)));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell, k) => (k ? make("td", {}, cell) : make("th", { scope: "row" }, cell)))));
  const table = make("table", {}, caption ? make("caption", {}, caption) : null, make("thead", {}, head), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption || "table" }, table);
}

function fill(element, ...children) { element.replaceChildren(...children.filter((c) => c !== null)); }

// Controls. Each calls `changed` with its value.
function select(label, options, value, changed, id) {
  const box = make("select", { id, onchange: () => changed(box.value) }, ...options.map(([v, shown]) => make("option", { value: v }, shown)));
  box.value = value;
  return make("label", {}, make("span", {}, label), box);
}
let groups = 0;
function checks(label, options, chosen, changed) {
  const boxes = options.map(([value, shown]) => {
    const box = make("input", { type: "checkbox", value, onchange: () => { chosen[box.checked ? "add" : "delete"](value); changed(); } });
    box.checked = chosen.has(value);
    return box;
  });
  const set = (on) => { boxes.forEach((box) => { box.checked = on; chosen[on ? "add" : "delete"](box.value); }); changed(); };
  return make("fieldset", {}, make("legend", {}, label),
    ...boxes.map((box, k) => make("label", {}, box, text(options[k][1]))),
    make("button", { type: "button", class: "small", onclick: () => set(true), "aria-label": `all ${label}` }, "all"),
    make("button", { type: "button", class: "small", onclick: () => set(false), "aria-label": `no ${label}` }, "none"));
}
function radios(label, options, value, changed) {
  const name = `group${groups++}`;
  return make("fieldset", {}, make("legend", {}, label), ...options.map(([v, shown]) => {
    const box = make("input", { type: "radio", name, value: v, onchange: () => changed(v) });
    box.checked = v === value;
    return make("label", {}, box, text(shown));
  }));
}
