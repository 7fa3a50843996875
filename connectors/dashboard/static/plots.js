// The plots: three uPlots over the columns of /dash/series, drawn anew when the theme or the width changes.
"use strict";
const plots = (() => {
  const seconds = (value) => (value == null ? "-" : value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${Math.round(value)} ms`);
  const clock = (plot, ticks) => {
    const isLong = plot.scales.x.max - plot.scales.x.min > 2 * 86400;
    return ticks.map((at) => new Date(at * 1000).toISOString().slice(...(isLong ? [5, 10] : [11, 16])));
  };
  const rate = (value) => (value == null ? "-" : value.toFixed(value < 10 ? 2 : 0));
  const kinds = {
    "plot-traffic": { format: rate, series: [["requests_per_s", "requests", 1], ["errors_per_s", "errors", "bad"]] },
    "plot-latency": {
      format: seconds,
      series: [["total_ms_p50", "total p50", 1], ["total_ms_p95", "total p95", 2], ["first_token_ms_p50", "first p50", 3], ["first_token_ms_p95", "first p95", 4]],
    },
    "plot-added": { format: seconds, series: [["added_ms_p50", "p50", 1], ["added_ms_p95", "p95", 2]] },
  };
  const drawn = new Map();
  let columns = null;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const size = (element) => ({ width: element.clientWidth, height: 190 });

  function options(element, kind) {
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
    return {
      ...size(element),
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, values: clock }, { ...axis, size: 58, values: (_plot, ticks) => ticks.map(kind.format) }],
      series: [
        { label: "UTC", value: (_plot, at) => (at == null ? "-" : new Date(at * 1000).toISOString().slice(5, 19).replace("T", " ")) },
        ...kind.series.map(([, label, tone]) => ({
          label, stroke: color(tone === "bad" ? "--bad" : `--series-${tone}`), width: 1.6, spanGaps: false,
          points: { show: (plot, index) => isolated(plot.data[index]), size: 5 }, value: (_plot, value) => kind.format(value),
        })),
      ],
    };
  }

  // A single measurement between gaps has no line to be seen by.
  const isolated = (values) => values.some((value, at) => value != null && values[at - 1] == null && values[at + 1] == null);

  function draw() {
    if (columns === null) return;
    for (const [id, kind] of Object.entries(kinds)) {
      const element = document.getElementById(id);
      const data = [columns.at, ...kind.series.map(([name]) => columns[name])];
      const plot = drawn.get(id);
      if (plot) plot.setData(data);
      else drawn.set(id, new uPlot(options(element, kind), data, element));
      element.dataset.points = String(columns.at.length);
    }
  }

  function again() {
    for (const plot of drawn.values()) plot.destroy();
    drawn.clear();
    draw();
  }

  document.addEventListener("theme", again);
  addEventListener("resize", () => {
    for (const [id, plot] of drawn) plot.setSize(size(document.getElementById(id)));
  });
  return { show: (found) => { columns = found; draw(); } };
})();
