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
    if (as === "large") return enlarge(plot);
    if (as === "csv") return save(new Blob(["\ufeff", table(plot)], { type: "text/csv" }), `${name}.csv`);
    const size = { format: "png", width: plot.clientWidth, height: plot.clientHeight, scale: 2 };
    const bytes = atob((await Plotly.toImage(plot, size)).split(",")[1]);
    save(new Blob([Uint8Array.from(bytes, (one) => one.charCodeAt(0))], { type: "image/png" }), `${name}.png`);
  });

  // A figure on the whole window: drawn again, with all that is written or has a width larger too.
  const dialog = document.getElementById("large");
  const held = dialog.querySelector(".held");
  const sizes = new Set(["size", "l", "r", "t", "b", "width", "standoff", "xshift", "yshift", "ax", "ay", "thickness"]);
  const grown = (value, by, key, inside) => {
    if (Array.isArray(value)) return value.map((one) => grown(one, by, key, inside));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, grown(one, by, name, key)]));
    }
    const fixed = key === "width" && inside === undefined; // of a bar, in rows
    return typeof value === "number" && sizes.has(key) && !fixed ? value * by : value;
  };
  const enlarge = (plot) => {
    const name = plot.id.slice("fig-".length), { data, layout } = figures[name], figure = plot.closest("figure");
    const phone = innerWidth < 700; // there it is wider than the window, and scrolled
    const fits = Math.min((innerWidth * 0.96 - 64) / plot.clientWidth, (innerHeight * 0.96 - 180) / plot.clientHeight);
    const by = Math.max(1.2, Math.min(1.8, fits)), width = plot.clientWidth * (phone ? 1.9 : by);
    dialog.querySelector(".sentence").textContent = figure.querySelector(".sentence").firstChild.textContent;
    dialog.querySelector(".soft").textContent = figure.querySelector("figcaption").firstChild.textContent;
    dialog.showModal();
    const large = { ...grown(layout, by), width, height: plot.clientHeight * by, autosize: false };
    large.font = { ...large.font, color: ink() };
    Plotly.newPlot(held, grown(data, by), large, config);
  };
  dialog.addEventListener("close", () => Plotly.purge(held));
  dialog.addEventListener("click", ({ target }) => { if (target === dialog) dialog.close(); });
  let pressed = null; // a press that does not move, and is on no legend, whose entries are switched by it
  addEventListener("pointerdown", ({ target, button, clientX, clientY }) => {
    const plot = button || target.closest?.(".legend") ? null : target.closest?.(".plot");
    pressed = plot ? { plot, clientX, clientY } : null;
  }, true);
  addEventListener("pointerup", ({ clientX, clientY }) => {
    if (pressed && Math.hypot(clientX - pressed.clientX, clientY - pressed.clientY) < 6) {
      const { plot } = pressed;
      setTimeout(() => enlarge(plot), 0);
    }
    pressed = null;
  }, true);

  // Tables that are wider than the page say so, and can be scrolled by keys.
  const wide = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const over = target.scrollWidth > target.clientWidth + 1;
    target.classList.toggle("wide", over);
    if (over) target.tabIndex = 0; else target.removeAttribute("tabindex");
  }));
  document.querySelectorAll(".scroll").forEach((one) => wide.observe(one));

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
