// The pages of experiments: the report is fetched again by itself, as HTML, by htmx; the plots as columns, drawn by uPlot.
"use strict";
(() => {
    const $ = (id) => document.getElementById(id);
  const name = $("experiment")?.dataset.name;
  const refreshS = name === undefined ? 30 : 10;
  const percent = (value) => (value == null ? "-" : `${(100 * value).toFixed(1)} %`);
  const tenth = (value) => `${Math.round(100 * value)} %`;
  const seconds = (value) => (value == null ? "-" : value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${Math.round(value)} ms`);
  const usd = (nano) => {
    if (nano == null) return "-";
    const digits = nano > 0 ? Math.max(2, 10 - Math.floor(Math.log10(nano))) : 2;
    return `$${(nano / 1e9).toFixed(Math.min(digits, 9))}`;
  };
  // The first pairs say little: their wide band is cut off, so that the rest can be seen.
  const around = (plot) => {
    const [, , low, high] = plot.data;
    const from = Math.floor(low.length / 8);
    return [Math.min(0.45, ...low.slice(from)) - 0.02, Math.max(0.55, ...high.slice(from)) + 0.02];
  };
  const count = (value) => (value == null ? "-" : String(value));
  const sides = [["primary", null, 1, 1.6], ["shadow", null, 3, 1.6]];
  const kinds = {
    "plot-win-rate": {
      of: "win_rate", label: "judged", x: count, format: percent, ticks: tenth, range: around, line: 0.5, bands: [{ series: [3, 2] }],
      series: [["estimate", "win rate", 1, 2], ["low", "low", 2, 1], ["high", "high", 2, 1]],
    },
    "plot-total": { of: "total_ms", label: "percentile", x: count, format: seconds, ticks: seconds, series: sides },
    "plot-cost": { of: "cost_nano_usd", label: "percentile", x: count, format: usd, ticks: usd, series: sides },
  };
  const drawn = new Map();
  let columns = null;

  const color = (token) => getComputedStyle(document.documentElement).getPropertyValue(token).trim();
  const size = (element) => ({ width: element.clientWidth, height: 210 });

  // Where neither side is better.
  const half = (plot, at) => {
    const y = Math.round(plot.valToPos(at, "y", true));
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = color("--dim");
    ctx.setLineDash([6, 4]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  };

  function options(element, kind) {
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
    return {
      ...size(element),
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: kind.range ?? ((_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1]) } },
      axes: [{ ...axis, values: (_plot, ticks) => ticks.map(kind.x) }, { ...axis, size: 78, values: (_plot, ticks) => ticks.map(kind.ticks) }],
      bands: (kind.bands ?? []).map((band) => ({ ...band, fill: `${color("--series-2")}33` })),
      series: [
        { label: kind.label, value: (_plot, at) => kind.x(at) },
        ...kind.series.map(([, label, tone, width], side) => ({
          label: label ?? columns.names[side], stroke: color(`--series-${tone}`), width, points: { show: false }, value: (_plot, value) => kind.format(value),
        })),
      ],
      hooks: { draw: kind.line === undefined ? [] : [(plot) => half(plot, kind.line)] },
    };
  }

  function draw() {
    if (columns === null) return;
    for (const [id, kind] of Object.entries(kinds)) {
      const element = $(id);
      const found = columns[kind.of];
      const data = [found.at, ...kind.series.map(([column]) => found[column])];
      const plot = drawn.get(id);
      if (plot) plot.setData(data);
      else drawn.set(id, new uPlot(options(element, kind), data, element));
      element.dataset.points = String(found.at.length);
    }
  }

  function again() {
    for (const plot of drawn.values()) plot.destroy();
    drawn.clear();
    draw();
  }

  function trouble(text) {
    $("trouble").textContent = text;
    $("trouble").hidden = text === "";
  }

  async function plots() {
    if (name === undefined) return;
    try {
      const answer = await fetch(`/dash/experiments/${encodeURIComponent(name)}/plots`);
      if (answer.ok) {
        columns = await answer.json();
        draw();
      }
      trouble("");
    } catch {
      trouble("The admin process does not answer; what you see is old.");
    }
  }

  function refresh() {
    if (document.hidden) return;
    htmx.trigger($("part"), "refresh");
    plots();
  }

  document.addEventListener("theme", again);
  addEventListener("resize", () => {
    for (const [id, plot] of drawn) plot.setSize(size($(id)));
  });
  addEventListener("visibilitychange", refresh);
  plots();
  setInterval(refresh, 1000 * refreshS);
})();
