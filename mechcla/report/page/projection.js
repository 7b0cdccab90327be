"use strict";
// Dev prompts on two principal components: a chart per run and kind of items, at one block.
const PROJECTED = RUNS.filter((run) => run.projection);
const BLOCKS = Math.max(0, ...PROJECTED.map((run) => run.projection.layers.length));
const MARKS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon", "triangle-down", "hexagon"];
VIEW.block = String(Math.floor((BLOCKS - 1) / 2));

// Blocks of one place in the picker: the same block of all runs, or that of each.
const blockAt = (run, place) => Math.min(place, run.projection.layers.length - 1);
function blockName(place) {
  return `block ${unique(PROJECTED.map((run) => run.projection.layers[blockAt(run, place)])).join(" / ")}`;
}

function projectionControls(changed) {
  if (!PROJECTED.length) return;
  const blocks = Array.from({ length: BLOCKS }, (_, place) => [String(place), blockName(place)]);
  fill($("projection-choices"), select("Block", blocks, VIEW.block, (v) => { VIEW.block = v; changed(); }, "projection-block"));
  const charts = [];
  for (const run of RUNS) {
    if (SEVERAL) charts.push(make("h3", {}, text(run.name)));
    if (!run.projection) { charts.push(make("p", { class: "note" }, "This run has no projection: it was made by a version that wrote none.")); continue; }
    const most = run.projection.kinds.some((kind) => kind.languages.some((one) => one.of > one.questions.length));
    charts.push(make("div", { class: "pair" }, ...run.projection.kinds.map((kind) => make("div", { class: "chart tall", id: projectionId(run, kind), role: "img", "aria-label": named(run, `${kind.kind} dev prompts on two principal components`) }))));
    charts.push(make("p", { class: "note" }, `Read at ${run.projection.site}, at the last prompt token, of implicit prompts. ${most ? `Of each language and kind an even sample of at most ${run.projection.most} prompts is drawn; the table says of how many.` : "All dev prompts are drawn that the vectors were made of."}`));
  }
  fill($("projection-charts"), ...charts);
}
const projectionId = (run, kind) => `projection-${RUNS.indexOf(run)}-${kind.kind}`;

function drawProjection() {
  const place = Number(VIEW.block), rows = [];
  for (const run of PROJECTED) {
    const at = blockAt(run, place), layer = run.projection.layers[at];
    for (const kind of run.projection.kinds) {
      const traces = kind.languages.map((one) => {
        const points = one.points[at], colour = languageColour(run, one.language);
        const mean = (axis) => points.reduce((sum, p) => sum + p[axis], 0) / points.length;
        rows.push([text(named(run, kind.kind)), languageName(one.language), `${points.length} of ${one.of}`, signed(mean(0), 2), signed(mean(1), 2)]);
        return {
          x: points.map((p) => p[0]), y: points.map((p) => p[1]), mode: "markers", name: escaped(languageName(one.language)), opacity: 0.75,
          marker: { symbol: MARKS[Math.max(0, LANGUAGES.indexOf(one.language)) % MARKS.length], color: colour, size: 7 },
          hoverinfo: "text", hovertext: one.questions.map(([id, asked]) => `<b>${escaped(languageName(one.language))}</b>, ${escaped(id.slice(0, 60))}<br>${escaped(asked)}`),
        };
      });
      const [first, second] = kind.explained[at].map((share) => `${(100 * share).toFixed(1)}%`);
      draw(projectionId(run, kind), traces, {
        x: `PC1 (${first} of the variance)`, y: `PC2 (${second})`, title: { text: escaped(`${kind.kind}, block ${layer}`), font: { size: 14 } },
        legend: { orientation: "h", y: -0.15, yanchor: "top", x: 0 },
      });
    }
  }
  if (PROJECTED.length) fill($("projection-table"), tableOf(["prompts", "language", "drawn", "mean on PC1", "mean on PC2"], rows, blockName(place)));
}
