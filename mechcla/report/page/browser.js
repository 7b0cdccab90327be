"use strict";
// The items. Only one page of rows is in the document; filters and sorting work on columns of
// numbers, so 100,000 items answer at once.
const ITEMS = DATA.items;
const COUNT = ITEMS.id.length;
const PAGE_SIZE = 25;
const RIGHT = { universal: "correct", cultural: "local" };
const FORMS = { implicit: "prompt", explicit: "prompt_explicit", us: "prompt_us" };
const FORM_NAMES = { prompt: "As it is asked", prompt_explicit: "With its own country named", prompt_us: "With the United States named" };
const LOOK = { run: 0, condition: "", language: "", kind: "", topic: "", flip: "", search: "", sort: "order", page: 0 };
const HAYSTACKS = new Array(COUNT);
const RIGHT_AT = ITEMS.roles.map((roles, k) => roles.indexOf(RIGHT[ITEMS.kind[k]]));
const OF_ENGLISH = new Map();
for (let k = 0; k < COUNT; k++) if (ITEMS.language[k] === "en") OF_ENGLISH.set(key(ITEMS.id[k], ITEMS.kind[k]), k);
let shown = [];
let asked_of = 0; // items that the condition scored

const scoredIn = (run, condition) => RUNS[run].scored[condition];
const share = (scored, item, at) => (scored && scored.shares[item] ? scored.shares[item][at] / DATA.digits : null);
const roleOf = (scored, item) => (scored && scored.shares[item] ? ITEMS.roles[item][scored.choice[item]] : null);
function haystack(k) {
  if (HAYSTACKS[k] === undefined) HAYSTACKS[k] = [ITEMS.id[k], ITEMS.topic[k], ITEMS.prompt[k], ITEMS.prompt_explicit[k] || "", ITEMS.prompt_us[k] || "", ...ITEMS.candidates[k]].join("\n").normalize("NFKC").toLowerCase();
  return HAYSTACKS[k];
}

const FLIPS = [
  ["", "any answer"], ["flipped", "what flipped"], ["gained", "gained: now right"], ["lost", "lost: no longer right"],
  ["local>english", "local to English"], ["english>local", "English to local"], ["kept", "what did not flip"],
];
function isFlip(kind, was, now, right) {
  if (was === null || now === null) return false;
  if (kind === "flipped") return was !== now;
  if (kind === "kept") return was === now;
  if (kind === "gained") return was !== right && now === right;
  if (kind === "lost") return was === right && now !== right;
  return `${was}>${now}` === kind;
}
function change(item) {
  const [before, now] = [scoredIn(LOOK.run, "unsteered"), scoredIn(LOOK.run, LOOK.condition)].map((s) => share(s, item, RIGHT_AT[item]));
  return before === null || now === null ? null : now - before;
}

const SORTS = {
  order: ["the run's order", null],
  gain: ["largest gain of the right answer", (k) => -(change(k) ?? -9)],
  loss: ["largest loss of the right answer", (k) => change(k) ?? 9],
  sure: ["highest share of the right answer", (k) => -(share(scoredIn(LOOK.run, LOOK.condition), k, RIGHT_AT[k]) ?? -9)],
  unsure: ["lowest share of the right answer", (k) => share(scoredIn(LOOK.run, LOOK.condition), k, RIGHT_AT[k]) ?? 9],
  id: ["id", null],
};

function find() {
  const words = LOOK.search.normalize("NFKC").toLowerCase().split(/\s+/).filter(Boolean);
  const base = scoredIn(LOOK.run, "unsteered"), now = scoredIn(LOOK.run, LOOK.condition);
  const list = [];
  asked_of = 0;
  for (let k = 0; k < COUNT; k++) {
    if (!now || !now.shares[k]) continue;
    asked_of++;
    if (LOOK.language && ITEMS.language[k] !== LOOK.language) continue;
    if (LOOK.kind && ITEMS.kind[k] !== LOOK.kind) continue;
    if (LOOK.topic && ITEMS.topic[k] !== LOOK.topic) continue;
    if (LOOK.flip && !isFlip(LOOK.flip, roleOf(base, k), roleOf(now, k), RIGHT[ITEMS.kind[k]])) continue;
    if (words.length) { const text = haystack(k); if (!words.every((w) => text.includes(w))) continue; }
    list.push(k);
  }
  const by = SORTS[LOOK.sort][1];
  if (by) {
    const value = new Float64Array(COUNT);
    for (const k of list) value[k] = by(k);
    list.sort((a, b) => value[a] - value[b] || a - b);
  } else if (LOOK.sort === "id") list.sort((a, b) => (ITEMS.id[a] < ITEMS.id[b] ? -1 : ITEMS.id[a] > ITEMS.id[b] ? 1 : a - b));
  return list;
}

function search() { shown = find(); LOOK.page = 0; list(); }

function list(focus = null) {
  const pages = Math.max(1, Math.ceil(shown.length / PAGE_SIZE));
  LOOK.page = Math.min(Math.max(LOOK.page, 0), pages - 1);
  const part = shown.slice(LOOK.page * PAGE_SIZE, (LOOK.page + 1) * PAGE_SIZE);
  fill($("list"), ...part.map(row));
  $("count").textContent = shown.length ? `${shown.length.toLocaleString("en")} of ${asked_of.toLocaleString("en")} items` : "No item passes these filters.";
  $("where").textContent = `page ${LOOK.page + 1} of ${pages}`;
  $("previous").disabled = LOOK.page === 0;
  $("next").disabled = LOOK.page === pages - 1;
  if (focus !== null) { const rows = [...$("list").querySelectorAll(".row")]; (focus === "last" ? rows.at(-1) : rows[0])?.focus(); }
}

function chosenText(scored, k) { return scored && scored.shares[k] ? ITEMS.candidates[k][scored.choice[k]] : ""; }

function row(k) {
  const base = scoredIn(LOOK.run, "unsteered"), now = scoredIn(LOOK.run, LOOK.condition);
  const language = ITEMS.language[k], was = roleOf(base, k), is = roleOf(now, k), moved = change(k);
  const became = make("span", { class: "became" }, text(chosenText(base, k), language));
  if (LOOK.condition !== "unsteered" && chosenText(base, k) !== chosenText(now, k)) became.append(" \u2192 ", text(chosenText(now, k), language));
  const label = was !== null && was !== is ? `flipped: ${was} \u2192 ${is}` : is;
  became.append(make("br"), make("span", { class: was !== null && was !== is ? "flip" : "tag" }, label));
  const detail = make("div", { class: "detail", id: `detail${k}`, hidden: true });
  const amount = LOOK.condition === "unsteered" ? fixed(share(now, k, RIGHT_AT[k])) : signed(moved);
  const button = make("button", { type: "button", class: "row", "aria-expanded": "false", "aria-controls": `detail${k}`, onclick: () => open(button, detail, k) },
    make("span", { class: "tag" }, text(language), ` ${ITEMS.kind[k]}`, make("br"), text(ITEMS.id[k])),
    make("span", { class: "prompt", dir: "auto", lang: language }, ITEMS[FORMS[now.form]][k] || ITEMS.prompt[k]),
    became,
    make("span", { class: "change", title: LOOK.condition === "unsteered" ? "share of the right answer" : "change in the right answer's share" }, amount));
  return make("li", {}, button, detail);
}

function open(button, detail, k) {
  const on = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(on));
  detail.hidden = !on;
  if (on && !detail.firstChild) detail.append(...details(k));
}

function asked(k, heading) {
  const language = ITEMS.language[k];
  const parts = [make("h3", {}, heading)];
  for (const [name, label] of Object.entries(FORM_NAMES)) {
    if (ITEMS[name][k]) parts.push(make("h4", {}, label), make("p", { class: "text", dir: "auto", lang: language }, ITEMS[name][k]));
  }
  return make("div", {}, ...parts);
}

function details(k) {
  const language = ITEMS.language[k];
  const english = language === "en" ? undefined : OF_ENGLISH.get(key(ITEMS.id[k], ITEMS.kind[k]));
  const facts = [["id", ITEMS.id[k]], ["topic", ITEMS.topic[k]], ["country", ITEMS.country[k]]].filter(([, v]) => v);
  const parts = [make("p", { class: "tag" }, ...facts.flatMap(([name, value], at) => [at ? "; " : "", `${name} `, text(value)]))];
  // Each language is a column: what was asked, and what came of it under every condition.
  const column = (item, heading) => make("div", {}, asked(item, heading), ...RUNS.map((run) => shares(run, item)).filter(Boolean));
  parts.push(make("div", { class: english === undefined ? "" : "asked" }, column(k, languageName(language)), english === undefined ? null : column(english, "The same question in English")));
  return parts;
}

function shares(run, k) {
  // A universal item is asked in one form only, so another form's condition says nothing of it.
  const conditions = run.conditions.filter((c) => run.scored[c.name].shares[k] && (ITEMS.kind[k] === "cultural" || run.scored[c.name].form === "implicit"));
  if (!conditions.length) return null;
  const head = make("tr", {}, make("th", { scope: "col" }, "candidate"), ...conditions.map((c) => make("th", { scope: "col" }, armName(c.name))));
  const rows = ITEMS.candidates[k].map((candidate, at) => {
    const role = ITEMS.roles[k][at], right = at === RIGHT_AT[k];
    const cells = conditions.map((c) => {
      const scored = run.scored[c.name], value = share(scored, k, at), taken = scored.choice[k] === at;
      const meter = make("span", { class: "meter", "aria-hidden": "true" });
      meter.style.width = `${100 * value}%`;
      return make("td", { class: taken ? "chosen" : null, title: taken ? "chosen" : null }, fixed(value), meter);
    });
    return make("tr", {}, make("th", { scope: "row" }, text(candidate, ITEMS.language[k]), make("span", { class: right ? "role right" : "role" }, right ? `\u2713 ${role}` : role)), ...cells);
  });
  const base = roleOf(run.scored.unsteered, k);
  const flipped = conditions.some((c) => base !== null && roleOf(run.scored[c.name], k) !== base);
  const turned = !flipped ? null : make("tr", {}, make("th", { scope: "row" }, "flipped"), ...conditions.map((c) => {
    const now = roleOf(run.scored[c.name], k);
    return make("td", {}, base !== null && now !== base ? make("span", { class: "flip" }, `${base} \u2192 ${now}`) : "");
  }));
  const caption = `${SEVERAL ? run.name + ": " : ""}shares of the candidates, \u25B8 the chosen one`;
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, make("table", { class: "shares" }, make("caption", {}, text(caption)), make("thead", {}, head), make("tbody", {}, ...rows, ...(turned ? [turned] : []))));
}

function conditionsOf(run) { return RUNS[run].conditions.map((c) => [c.name, armName(c.name)]); }
function firstCondition(run) {
  const all = RUNS[run].conditions.filter((c) => !c.arm).map((c) => c.name);
  return ["SUR", "LOC", "EN"].find((c) => all.includes(c)) || all.at(-1);
}

function filters() {
  const set = (name) => (value) => { LOOK[name] = value; search(); };
  const options = (values, all) => [["", all], ...values.filter(Boolean).sort().map((v) => [v, v])];
  const box = make("input", { type: "search", id: "search", autocomplete: "off", placeholder: "prompt, answer or id" });
  let wait = 0;
  box.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => { LOOK.search = box.value; search(); }, 120); });
  const condition = select("Condition", conditionsOf(LOOK.run), LOOK.condition, set("condition"), "condition");
  fill($("filters"),
    SEVERAL ? select("Run", RUNS.map((r, k) => [String(k), r.name]), "0", (v) => { LOOK.run = Number(v); if (!RUNS[LOOK.run].by_name.has(LOOK.condition)) LOOK.condition = firstCondition(LOOK.run); filters(); search(); }, "run") : null,
    condition,
    select("Answer", FLIPS, LOOK.flip, set("flip"), "flip"),
    select("Language", [["", "all"], ...unique(ITEMS.language).map((k) => [k, languageName(k)])], LOOK.language, set("language"), "language"),
    select("Kind", options(unique(ITEMS.kind), "both"), LOOK.kind, set("kind"), "kind"),
    select("Topic", options(unique(ITEMS.topic), "all"), LOOK.topic, set("topic"), "topic"),
    select("Sort by", Object.entries(SORTS).map(([k, [label]]) => [k, label]), LOOK.sort, set("sort"), "sort"),
    make("label", {}, make("span", {}, "Search"), box));
  box.value = LOOK.search;
  if (SEVERAL) $("run").value = String(LOOK.run);
}

function turn(by, focus) {
  const before = LOOK.page;
  LOOK.page += by;
  list(focus);
  return LOOK.page !== before;
}

function keys(event) {
  const at = document.activeElement;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) { event.preventDefault(); $("search").focus(); return; }
  if (!at.classList.contains("row")) return;
  const rows = [...$("list").querySelectorAll(".row")], here = rows.indexOf(at);
  const done = () => event.preventDefault();
  if (event.key === "ArrowDown") { done(); if (rows[here + 1]) rows[here + 1].focus(); else turn(1, "first"); }
  else if (event.key === "ArrowUp") { done(); if (here) rows[here - 1].focus(); else if (LOOK.page) turn(-1, "last"); }
  else if (event.key === "Home") { done(); rows[0].focus(); }
  else if (event.key === "End") { done(); rows.at(-1).focus(); }
  else if (event.key === "PageDown") { done(); turn(1, "first"); }
  else if (event.key === "PageUp") { done(); turn(-1, "first"); }
}

function startBrowser() {
  LOOK.condition = firstCondition(0);
  filters();
  search();
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("previous").addEventListener("click", () => turn(-1, null));
  $("next").addEventListener("click", () => turn(1, null));
  document.addEventListener("keydown", keys);
}
