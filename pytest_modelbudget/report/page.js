"use strict";
// A model, a case or a layer may be called "constructor": what is looked up by name has no name of its own.
const bare = (key, value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? Object.setPrototypeOf(value, null) : value);
const data = JSON.parse(document.getElementById("data").textContent, bare);
const LAYER_METRICS = ["params", "size", "macs", "activations"];
const METRICS = ["params", "trainable_params", "size", "macs", "flops", "activations", "peak_memory"];
const MOST_STEPS = 12;
// What is drawn at once: three levels, and of a level with very many layers the dearest.
const LEVELS = 3;
const MOST_AREAS = 1500;
const get = (id) => document.getElementById(id);
const state = { model: 0, metric: "params", level: 0 };

// Every text of the run comes onto the page as text.
function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Plotly takes some HTML in labels: what could be some is written as entities.
function label(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

const inBytes = (metric) => metric === "size" || metric === "peak_memory";

function short(value, metric) {
  const suffixes = inBytes(metric) ? [" B", " kB", " MB", " GB", " TB"] : ["", "K", "M", "G", "T"];
  let power = 0;
  let scaled = Math.abs(value);
  while (scaled >= 999.95 && power < suffixes.length - 1) { scaled /= 1000; power += 1; }
  const digits = power === 0 ? scaled.toFixed(0) : scaled.toFixed(1).replace(/\.0$/, "");
  return (value < 0 ? "-" : "") + digits + suffixes[power];
}

const exact = (value) => value.toLocaleString("en-US");
const signed = (value) => (value > 0 ? "+" : "") + exact(value);
const nice = (metric) => metric.replace(/_/g, " ");

function table(headings, rows) {
  const made = element("table", null);
  const head = made.appendChild(element("thead", null)).appendChild(element("tr", null));
  for (const [text, numeric] of headings) head.appendChild(element("th", text, { scope: "col", class: numeric ? "number" : "" }));
  const body = made.appendChild(element("tbody", null));
  for (const cells of rows) {
    const row = body.appendChild(element("tr", null));
    cells.forEach((cell, at) => {
      if (cell instanceof Node) row.appendChild(element("td", null)).appendChild(cell);
      else row.appendChild(element("td", cell, { class: headings[at][1] ? "number" : "name" }));
    });
  }
  return made;
}

function showBudgets() {
  const rows = [];
  for (const model of data.models) {
    const checks = model.checks.filter((check) => check.layer === null || check.excess > 0);
    for (const check of checks) {
      const share = check.limit ? check.measured / check.limit : check.measured ? 2 : 0;
      const track = element("div", null, { class: "track", role: "img", "aria-label": (100 * share).toFixed(1) + "% used" });
      const fill = track.appendChild(element("div", null, { class: check.excess > 0 ? "fill bad" : "fill" }));
      fill.style.width = Math.min(100, 100 * (check.bound === "min" ? 1 : share)) + "%";
      const verdict = element("span", check.excess > 0 ? "over" : "within", { class: check.excess > 0 ? "bad" : "good" });
      const what = (check.layer === null ? "" : check.layer + " ") + nice(check.metric) + (check.bound === "growth" ? " growth" : "");
      const before = model.baseline && check.layer === null ? model.baseline[check.metric] : null;
      const change = before === null ? (model.baseline ? "" : "new") : before === check.measured ? "none" : signed(check.measured - before);
      rows.push([model.name, what, check.shown[0], (check.bound === "min" ? "≥ " : "") + check.shown[1], track, verdict, change]);
    }
    if (!checks.length) rows.push([model.name, "no limits", short(model.totals.params, "params"), "", element("span", ""), element("span", ""), ""]);
  }
  for (const each of data.unmeasured) {
    rows.push([each.test, each.message, "", "", element("span", ""), element("span", "could not be measured", { class: "bad" }), ""]);
  }
  get("budgets").replaceChildren(table([["model"], ["limit on"], ["measured", 1], ["limit", 1], ["used"], ["verdict"], ["change", 1]], rows));
}

// -- layers

const trees = new Map();

// Names, parents and, by metric, what is below each: the layers hold what each does itself. Plotly is given numbers for
// names, since it takes those of some layers ("constructor") for what every object has.
function treeOf(model) {
  if (trees.has(model)) return trees.get(model);
  const names = [""];
  const ids = ["n0"];
  const labels = [model.model];
  const parents = [""];
  const place = new Map([["", 0]]);
  const own = LAYER_METRICS.map(() => [0]);
  const types = [""];
  for (const [name, type, ...values] of model.layers) {
    if (name === "") {
      values.forEach((value, at) => { own[at][0] += value; });
      types[0] = type;
      continue;
    }
    const cut = name.lastIndexOf(".");
    const parent = cut < 0 ? "" : name.slice(0, cut);
    place.set(name, names.length);
    ids.push(`n${names.length}`);
    names.push(name);
    labels.push(cut < 0 || !place.has(parent) ? name : name.slice(cut + 1));
    parents.push(ids[place.get(parent) ?? 0]);
    types.push(type);
    values.forEach((value, at) => own[at].push(value));
  }
  const totals = own.map((values) => values.slice());
  const parentAt = parents.map((id) => Number(id.slice(1)));
  for (let index = ids.length - 1; index > 0; index -= 1) {
    for (const values of totals) values[parentAt[index]] += values[index];
  }
  const children = ids.map(() => []);
  for (let index = 1; index < ids.length; index += 1) children[parentAt[index]].push(index);
  const tree = { names, ids, labels, parents, parentAt, children, types, totals };
  trees.set(model, tree);
  return tree;
}

const layerMetric = () => (LAYER_METRICS.includes(state.metric) ? state.metric : state.metric === "flops" ? "macs" : "params");

// The layers to draw: those above the current one, which are the way back, and those of some levels below it.
function drawn(tree, values) {
  const shown = [];
  for (let at = state.level; at; at = tree.parentAt[at]) shown.unshift(tree.parentAt[at]);
  let level = [state.level];
  for (let depth = 0; depth <= LEVELS && level.length; depth += 1) {
    level.sort((one, other) => values[other] - values[one]);
    level = level.slice(0, Math.max(0, MOST_AREAS - shown.length));
    shown.push(...level);
    level = level.flatMap((at) => tree.children[at]);
  }
  return shown;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--text").trim();
  const line = style.getPropertyValue("--line").trim();
  return {
    font: { color: text, family: "system-ui, sans-serif" }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: { gridcolor: line, zerolinecolor: line, automargin: true }, yaxis: { gridcolor: line, zerolinecolor: line, automargin: true, rangemode: "tozero" },
  };
}

const CONFIG = { displayModeBar: false, responsive: true };

function showTreemap() {
  const model = data.models[state.model];
  get("s-layers").hidden = !model || !model.layers.length;
  if (get("s-layers").hidden) return;
  const metric = layerMetric();
  const tree = treeOf(model);
  const values = tree.totals[LAYER_METRICS.indexOf(metric)];
  const whole = values[0] || 1;
  const shown = drawn(tree, values);
  const hover = shown.map((at) => `<b>${label(at ? tree.names[at] : model.model)}</b><br>${label(tree.types[at])}<br>${exact(values[at])} ${nice(metric)}<br>${(100 * values[at] / whole).toFixed(2)}%`);
  const trace = {
    type: "treemap", ids: shown.map((at) => tree.ids[at]), labels: shown.map((at) => label(tree.labels[at])),
    parents: shown.map((at) => tree.parents[at]), values: shown.map((at) => values[at]), branchvalues: "total",
    hovertext: hover, hoverinfo: "text", textinfo: "label+percent root", maxdepth: LEVELS, level: tree.ids[state.level],
    pathbar: { visible: true }, marker: { line: { width: 1 } }, tiling: { pad: 2 },
  };
  const layout = { ...colours(), margin: { l: 0, r: 0, t: 28, b: 0 }, height: Math.max(320, Math.min(620, window.innerHeight * 0.7)) };
  Plotly.react("treemap", [trace], layout, CONFIG).then((plot) => {
    plot.removeAllListeners("plotly_treemapclick");
    plot.on("plotly_treemapclick", (event) => {
      if (!event.nextLevel) return true;
      state.level = Number(event.nextLevel.slice(1));
      showTreemap();
      return false;
    });
  });
  showSteps();
}

function showSteps() {
  const model = data.models[state.model];
  const tree = treeOf(model);
  const values = tree.totals[LAYER_METRICS.indexOf(layerMetric())];
  const here = state.level;
  const steps = [];
  const button = (text, level) => {
    const made = element("button", text, { type: "button" });
    made.addEventListener("click", () => { state.level = level; showTreemap(); });
    return made;
  };
  if (here) steps.push(button(`↑ ${tree.names[tree.parentAt[here]] || model.model}`, tree.parentAt[here]));
  const children = tree.children[here].slice();
  children.sort((one, other) => values[other] - values[one]);
  for (const child of children.slice(0, MOST_STEPS)) steps.push(button(`${tree.labels[child]} ${short(values[child], layerMetric())}`, child));
  get("steps").replaceChildren(...steps);
}

// -- what changed

function showDiff() {
  const model = data.models[state.model];
  get("s-diff").hidden = !model || !model.diff;
  if (get("s-diff").hidden) return;
  const metrics = LAYER_METRICS.filter((metric) => model.diff.rows.some((row) => row.deltas[metric])).concat(
    model.diff.rows.some((row) => row.deltas.trainable_params) ? ["trainable_params"] : []);
  const rows = model.diff.rows.map((row) => [row.text_name, ...metrics.map((metric) => (row.deltas[metric] ? signed(row.deltas[metric]) : "0")), row.text]);
  rows.push([`${exact(model.diff.unchanged)} unchanged`, ...metrics.map(() => ""), ""]);
  const since = element("p", `${rows.length ? "since" : "nothing since"} ${model.since || "the baseline"}`, { class: "dim" });
  if (!rows.length) { get("diff").replaceChildren(since); return; }
  get("diff").replaceChildren(since, table([["layer"], ...metrics.map((metric) => [nice(metric), 1]), ["change"]], rows));
}

// -- growth, and cases

// Two packages may each have a model of one name.
const isOf = (each, model) => each.package === model.package && each.model === model.model;

function showGrowth() {
  const model = data.models[state.model];
  const history = model ? data.history.find((each) => isOf(each, model)) : data.history[state.model];
  const wanted = model ? model.case : null;
  const points = history ? history.points : [];
  const cases = wanted === null ? [...new Set(points.flatMap((point) => Object.keys(point.cases)))] : [wanted];
  const traces = cases.map((each) => {
    const told = points.filter((point) => point.cases[each]);
    return {
      type: "scatter", mode: "lines+markers", line: { shape: "hv" }, name: label(each), x: told.map((point) => point.date), y: told.map((point) => point.cases[each][state.metric]),
      hovertext: told.map((point) => `${exact(point.cases[each][state.metric])} ${nice(state.metric)}<br>${label(point.commit.slice(0, 9))} ${label(point.author)}<br>${label(point.subject)}`),
      hoverinfo: "text",
    };
  }).filter((trace) => trace.x.length);
  get("s-growth").hidden = !traces.length;
  if (!traces.length) return;
  Plotly.react("growth", traces, { ...colours(), margin: { l: 50, r: 10, t: 10, b: 40 }, height: 320, showlegend: traces.length > 1, hovermode: "closest" }, CONFIG);
}

function showCases() {
  const model = data.models[state.model];
  const cases = model ? data.models.filter((each) => isOf(each, model)) : [];
  get("s-cases").hidden = cases.length < 2;
  if (cases.length < 2) return;
  const values = cases.map((each) => each.totals[state.metric]);
  const trace = {
    type: "bar", x: cases.map((_, at) => at), y: values,
    text: values.map((value) => short(value, state.metric)), textposition: "auto", hovertext: values.map((value) => `${exact(value)} ${nice(state.metric)}`), hoverinfo: "text",
  };
  const names = cases.map((each) => label(each.inputs ? `${each.case} (${each.inputs})` : each.case));
  const look = colours();
  // By number, since Plotly looks up the names of categories too.
  const xaxis = { ...look.xaxis, tickvals: trace.x, ticktext: names };
  Plotly.react("cases", [trace], { ...look, xaxis, margin: { l: 50, r: 10, t: 10, b: 40 }, height: 300 }, CONFIG);
}

function show() {
  showTreemap();
  showDiff();
  showGrowth();
  showCases();
}

function start() {
  get("headline").textContent = data.headline;
  get("headline").className = data.ok ? "good" : "bad";
  get("base").textContent = data.compared_with ? `compared with ${data.compared_with}` : "";
  get("notes").replaceChildren(...data.notes.map((note) => element("li", note)));
  const names = data.models.length ? data.models.map((model) => model.name) : data.history.map((each) => each.model);
  get("model").replaceChildren(...names.map((name, at) => element("option", name, { value: at })));
  get("metric").replaceChildren(...METRICS.map((metric) => element("option", nice(metric), { value: metric })));
  get("model").addEventListener("change", (event) => { state.model = Number(event.target.value); state.level = 0; show(); });
  get("metric").addEventListener("change", (event) => { state.metric = event.target.value; show(); });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  const first = data.models.findIndex((model) => model.status === "over");
  if (first > 0) { state.model = first; get("model").value = String(first); }
  showBudgets();
  show();
  document.body.dataset.ready = "yes";
}

start();
