"use strict";
// Draws the figures after the text is there, in the page's own ink, and again when light, width or paper change.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const config = { displayModeBar: false, responsive: false, showTips: false };
  const drawn = new Set();
  let printing = false;
  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink-soft").trim();

  // A figure follows its own box: that also covers what is no resize of the window, as a turned phone.
  const boxes = new ResizeObserver((entries) => {
    if (!printing) entries.forEach(({ target }) => Plotly.Plots.resize(target));
  });
  // Until then, and on paper, a drawing wider than its box is shrunk and not cut off.
  const fit = (plot) => plot.querySelectorAll(".main-svg").forEach((svg) => {
    svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
  });
  const draw = (plot) => {
    const { data, layout } = figures[plot.id.slice("fig-".length)];
    layout.font.color = ink();
    drawn.add(plot);
    Plotly.newPlot(plot, data, layout, config).then(() => {
      plot.on("plotly_afterplot", () => fit(plot));
      fit(plot);
      boxes.observe(plot);
    });
  };
  const next = () => {
    const plot = plots.find((one) => !drawn.has(one));
    if (plot === undefined) return;
    draw(plot);
    setTimeout(next, 0);
  };
  const again = (change) => drawn.forEach((plot) => Plotly.relayout(plot, change()));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again(() => ({ "font.color": ink() })));

  const closed = [];
  addEventListener("beforeprint", () => {
    printing = true;
    plots.filter((plot) => !drawn.has(plot)).forEach(draw);
    document.querySelectorAll("details:not([open])").forEach((part) => { part.open = true; closed.push(part); });
    again(() => ({ width: 680, autosize: false, "font.color": "#3b4048" }));
  });
  addEventListener("afterprint", () => {
    printing = false;
    closed.splice(0).forEach((part) => { part.open = false; });
    again(() => ({ width: null, autosize: true, "font.color": ink() }));
  });
  next();
})();
