"use strict";
// Draws the figures after the text is there, in the page's own ink, and again when light, width or paper change.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const names = [...document.querySelectorAll(".plot")].map((plot) => plot.id);
  const config = { displayModeBar: false, responsive: true, showTips: false };
  const drawn = new Set();
  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink-soft").trim();

  const draw = (name) => {
    const { data, layout } = figures[name.slice("fig-".length)];
    layout.font.color = ink();
    drawn.add(name);
    return Plotly.newPlot(name, data, layout, config);
  };
  const next = () => {
    const name = names.find((one) => !drawn.has(one));
    if (name === undefined) return;
    draw(name);
    setTimeout(next, 0);
  };
  const again = (change) => drawn.forEach((name) => Plotly.relayout(name, change()));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again(() => ({ "font.color": ink() })));

  const closed = [];
  addEventListener("beforeprint", () => {
    names.filter((name) => !drawn.has(name)).forEach(draw);
    document.querySelectorAll("details:not([open])").forEach((part) => { part.open = true; closed.push(part); });
    again(() => ({ width: 680, autosize: false, "font.color": "#3b4048" }));
  });
  addEventListener("afterprint", () => {
    closed.splice(0).forEach((part) => { part.open = false; });
    again(() => ({ width: null, autosize: true, "font.color": ink() }));
  });
  next();
})();
