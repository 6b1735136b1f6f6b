// Draws the charts of a report from the figures in the page. Without it, the figures are in the tables.
"use strict";
(() => {
  const report = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const charts = new Map();
  const DAY = 86400;
  const DASHES = [[], [8, 3], [3, 3], [10, 3, 3, 3], [1, 3], [12, 6], [6, 6], [2, 6]];

  const find = (id) => {
    const [table, place] = id.split("-");
    const section = report.tables[Number(table)];
    return place === "ledger" ? section.ledger.chart : section.charts[Number(place)];
  };

  // Spans that a reader must not take for quiet ones: no log file has come, or more may come.
  const shades = (id, chart) => {
    const section = report.tables[Number(id.split("-")[0])];
    const spans = (section.ledger?.gaps ?? []).map(([from, hours]) => [from, from + hours * 3600]);
    // A bucket is final as a whole or not at all.
    if (section.final_until !== null) spans.push([chart.x.findLast((start) => start <= section.final_until) ?? -Infinity, Infinity]);
    return spans;
  };
  const shade = (plot, spans) => {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.fillStyle = colour("--shade");
    for (const [from, to] of spans) {
      const start = from === -Infinity ? left : Math.max(plot.valToPos(from, "x", true), left);
      const end = to === Infinity ? left + width : Math.min(plot.valToPos(to, "x", true), left + width);
      if (end > start) plot.ctx.fillRect(start, top, end - start, height);
    }
    plot.ctx.restore();
  };

  const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
  const exact = new Intl.NumberFormat("en", { maximumSignificantDigits: 7 });
  const inUnit = (unit, value, format) => {
    if (value === null || value === undefined) return "–";
    if (unit !== "bytes") return format.format(value);
    const ends = ["B", "kB", "MB", "GB", "TB", "PB"];
    let step = 0;
    while (Math.abs(value) >= 1000 && step + 1 < ends.length) { value /= 1000; step += 1; }
    return `${Number(value.toPrecision(4))} ${ends[step]}`;
  };

  const iso = (seconds) => new Date(seconds * 1000).toISOString();
  const timeOf = (seconds, bucket) => bucket >= DAY ? iso(seconds).slice(0, 10) : iso(seconds).slice(0, 16).replace("T", " ");
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const ticks = (splits, increment) => splits.map((seconds, place) => {
    const time = new Date(seconds * 1000);
    const day = `${MONTHS[time.getUTCMonth()]} ${time.getUTCDate()}`;
    if (increment >= 365 * DAY) return String(time.getUTCFullYear());
    if (increment >= 28 * DAY) return `${MONTHS[time.getUTCMonth()]} ${time.getUTCFullYear()}`;
    if (increment >= DAY) return day;
    const clock = time.toISOString().slice(11, 16);
    return place === 0 || seconds % DAY === 0 ? `${clock}\n${day}` : clock;
  });

  // What is drawn: in a stacked chart, each series is the sum of itself and of those below.
  const drawn = (chart) => {
    const values = chart.series.map((series) => series.values);
    if (chart.drawing !== "stacked") return values;
    let below = chart.x.map(() => 0);
    return values.map((one) => (below = one.map((value, at) => value === null ? below[at] : below[at] + value)));
  };

  const withAlpha = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");

  const options = (chart, element, width) => {
    const ink = colour("--soft");
    const line = colour("--line");
    const stacked = chart.drawing === "stacked";
    const bands = [];
    const shown = chart.series.map((series, place) => ({ series, place }));
    if (chart.drawing === "percentiles") {
      const own = shown.filter((each) => !each.series.before).map((each) => each.place + 1);
      for (let upper = 1; upper < own.length; upper += 1) {
        bands.push({ series: [own[upper], own[upper - 1]], fill: withAlpha(colour("--s0"), .3 - .08 * upper) });
      }
    }
    if (stacked) {
      for (let upper = chart.series.length; upper > 1; upper -= 1) {
        bands.push({ series: [upper, upper - 1], fill: withAlpha(colour(`--s${(upper - 1) % 8}`), .45) });
      }
    }
    // A figure between two that are missing is a point, or nobody would see it.
    const alone = (values) => values.flatMap((value, at) =>
      value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null ? [at] : []);
    const few = chart.x.length <= 3;
    const spans = shades(element.dataset.chart, chart);
    const series = shown.map(({ series: { name, before }, place }) => {
      const own = colour(`--s${place % 8}`);
      return {
        label: name,
        stroke: before ? withAlpha(own, .75) : own,
        width: before ? 1 : 1.75,
        dash: before ? [4, 4] : stacked || chart.drawing === "percentiles" ? [] : DASHES[place % 8],
        fill: stacked && place === 0 ? withAlpha(own, .45) : undefined,
        points: { show: true, size: 5, fill: own, filter: (_, at) => few ? chart.x.map((_, point) => point) : alone(chart.series[at - 1].values) },
        spanGaps: false,
      };
    });
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    return {
      width: width ?? Math.max(element.clientWidth, 200),
      height: 220,
      legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      padding: [8, 28, 0, 0],
      cursor: { sync: { key: "time" }, points: { size: 6 }, drag: { x: true, y: false } },
      scales: { x: { time: true, range: (_, from, to) => [from === to ? from - chart.bucket : from, to + chart.bucket] }, y: { range: (_, low, high) => uPlot.rangeNum(Math.min(low ?? 0, 0), Math.max(high ?? 0, low ?? 0, 1e-9), .08, true) } },
      axes: [
        { ...axis, space: 64, size: 48, ...(chart.bucket >= DAY ? { incrs: [1, 2, 7, 14, 28, 91, 182, 365, 730, 1825, 3650, 18250].map((days) => days * DAY) } : {}), values: (_, splits, __, ___, increment) => ticks(splits, increment) },
        { ...axis, size: 64, values: (_, splits) => splits.map((value) => inUnit(chart.unit, value, short)) },
      ],
      series: [{}, ...series],
      bands,
      hooks: { drawClear: [(plot) => shade(plot, spans)], setCursor: [(plot) => readOut(plot, chart, element.dataset.chart)] },
    };
  };

  const readOut = (plot, chart, id) => {
    const out = document.querySelector(`[data-readout="${id}"]`);
    const at = plot.cursor.idx;
    if (at === null || at === undefined || chart.x[at] === undefined) return;
    const each = chart.series.map((series) => `${series.name} ${inUnit(chart.unit, series.values[at], exact)}`);
    out.textContent = `${timeOf(chart.x[at], chart.bucket)}: ${each.join(", ")}`;
  };

  const draw = (element, width) => {
    const chart = find(element.dataset.chart);
    const before = charts.get(element);
    if (before) before.destroy();
    charts.set(element, new uPlot(options(chart, element, width), [chart.x, ...drawn(chart)], element));
    element.querySelectorAll("canvas").forEach((canvas) => canvas.setAttribute("aria-hidden", "true"));
  };

  const elements = [...document.querySelectorAll("[data-chart]")];
  // Below the first screen, a chart is drawn when it comes near, so that a page of many tables appears at once.
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting && !charts.has(target)) draw(target);
  }, { rootMargin: "300px" });
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = charts.get(target);
      if (plot && target.clientWidth > 0 && plot.width !== target.clientWidth) plot.setSize({ width: target.clientWidth, height: 220 });
    }
  });
  for (const element of elements) {
    const isAtTop = element.clientWidth > 0 && element.getBoundingClientRect().top < innerHeight + 300;
    if (isAtTop) draw(element);
    else near.observe(element);
    resized.observe(element);
    // By keyboard: the arrows go from bucket to bucket, and the figures are read out.
    element.addEventListener("keydown", (event) => {
      const plot = charts.get(element);
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
      if (!plot || !(event.key in steps)) return;
      event.preventDefault();
      const last = plot.data[0].length - 1;
      const at = Math.min(Math.max((plot.cursor.idx ?? -1) + steps[event.key], 0), last);
      const out = document.querySelector(`[data-readout="${element.dataset.chart}"]`);
      out.setAttribute("aria-live", "polite");
      plot.setCursor({ left: plot.valToPos(plot.data[0][at], "x"), top: plot.over.clientHeight / 2 });
    });
  }

  // Paper has two columns; the style fits the drawing into them.
  const PAPER_WIDTH = 420;
  const redraw = () => { for (const element of [...charts.keys()]) draw(element); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  // On paper the page is light, and all charts are drawn.
  addEventListener("beforeprint", () => {
    root.classList.add("paper");
    for (const element of elements) if (element.clientWidth > 0) draw(element, PAPER_WIDTH);
  });
  addEventListener("afterprint", () => { root.classList.remove("paper"); redraw(); });
})();
