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

  // A figure to take along: as a picture twice its size, or its numbers as a table.
  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  const named = (axis, value) => axis?.ticktext?.[axis.tickvals?.indexOf(value)] ?? value;
  const plain = (text) => {
    const said = new DOMParser().parseFromString(String(text ?? "").replaceAll("<br>", " "), "text/html").body.textContent;
    return typeof text === "string" && /^[=+\-@\t\r]/.test(said) ? "'" + said : said; // no spreadsheet runs it
  };
  const ends = (error, value, i) => error?.visible && error.array
    ? [value - (error.arrayminus ?? error.array)[i], value + error.array[i]] : ["", ""];
  const rows = (plot) => plot._fullData.flatMap((trace) => {
    const x = plot._fullLayout[(trace.xaxis ?? "x").replace("x", "xaxis")];
    const y = plot._fullLayout[(trace.yaxis ?? "y").replace("y", "yaxis")];
    if (trace.hoverinfo === "skip") return []; // bands, whose ends their lines have
    if (trace.z) {
      return [...trace.z].flatMap((row, j) => [...row].map((z, i) =>
        ["", named(x, trace.x?.[i] ?? i), named(y, trace.y?.[j] ?? j), z ?? "", ""]));
    }
    return [...(trace.x ?? [])].map((one, i) => {
      const wide = trace.error_x?.visible ? ends(trace.error_x, one, i) : ends(trace.error_y, trace.y[i], i);
      return [trace.name ?? "", named(x, one), named(y, trace.y?.[i]), ...wide];
    });
  });
  const table = (plot) => {
    const head = plot._fullData.some((trace) => trace.z) ? ["series", "x", "y", "value", ""] : ["series", "x", "y", "low", "high"];
    return [head, ...rows(plot)].map((row) => row.map((cell) => `"${plain(cell).replaceAll('"', '""')}"`).join(",")).join("\r\n");
  };
  document.addEventListener("click", async ({ target }) => {
    const as = target.dataset?.as, name = target.parentElement?.dataset.of;
    if (!as || !name) return;
    const plot = document.getElementById(`fig-${name}`);
    if (!drawn.has(plot)) draw(plot);
    if (as === "csv") return save(new Blob(["\ufeff", table(plot)], { type: "text/csv" }), `${name}.csv`);
    const size = { format: "png", width: plot.clientWidth, height: plot.clientHeight, scale: 2 };
    const bytes = atob((await Plotly.toImage(plot, size)).split(",")[1]);
    save(new Blob([Uint8Array.from(bytes, (one) => one.charCodeAt(0))], { type: "image/png" }), `${name}.png`);
  });

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
