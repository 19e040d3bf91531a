"use strict";
// Texts of models reach the page as text nodes only; no string of theirs is ever read as HTML.
const mechcot = { data: {}, waiting: {} };
mechcot.put = (name, value) => {
  mechcot.data[name] = value;
  (mechcot.waiting[name] || []).forEach((told) => told(value));
  delete mechcot.waiting[name];
};
// Data are scripts beside the page: what `fetch` may not do from disk, a script element may.
mechcot.load = (name) => new Promise((told, failed) => {
  if (name in mechcot.data) { told(mechcot.data[name]); return; }
  const first = !(name in mechcot.waiting);
  (mechcot.waiting[name] = mechcot.waiting[name] || []).push(told);
  if (!first) return;
  const script = el("script", { src: "data/" + name + ".js" });
  script.onerror = () => { delete mechcot.waiting[name]; script.remove(); failed(new Error(name)); };
  script.onload = () => script.remove();
  document.head.append(script);
});

function el(tag, attributes, ...children) {
  const node = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((one) => one !== null && one !== undefined));
  return node;
}

const LETTERS = { c: "correct", e: "erroneous", a: "abstain", n: "not_checkable", "-": "", "!": "api_failure" };
const verdict = (label) => mechcot.data.index.verdicts[label] || ["!", label];
const arm = (name) => mechcot.data.index.arms.find((one) => one.name === name);
const hash = (...parts) => "#/" + parts.map((part) => encodeURIComponent(part)).join("/");

function armTag(name) {
  return el("span", { class: "arm " + arm(name).shape, style: { "--arm": arm(name).colour } }, name);
}

function strip(letters) {
  const told = {};
  for (const letter of letters) told[letter] = (told[letter] || 0) + 1;
  const said = Object.entries(told).map(([letter, n]) => n + " " + verdict(LETTERS[letter])[1]).join(", ");
  const marks = [...letters].map((letter) => el("i", { class: LETTERS[letter] || "none" }, verdict(LETTERS[letter])[0]));
  return el("span", { class: "strip", role: "img", "aria-label": said || "no steps", title: said }, ...marks);
}

const COLOURINGS = ["none", "surprisal", "entropy"];
const NATS = 4; // the colour is full from here on

// The text from `from` to `to`, cut where a token, a hedge or the answer begins or ends.
function words(trace, from, to, colouring, hedges) {
  const cuts = new Set([from, to]), column = colouring === "surprisal" ? 2 : 3;
  const tokens = colouring === "none" ? [] : trace.tokens.filter((t) => t[1] > from && t[0] < to);
  const marks = hedges || [];
  for (const [a, b] of [...tokens, ...marks, trace.answer_at]) for (const at of [a, b]) if (at > from && at < to) cuts.add(at);
  const ends = [...cuts].sort((a, b) => a - b), parts = [];
  for (let i = 0; i + 1 < ends.length; i++) {
    const [a, b] = [ends[i], ends[i + 1]];
    const token = tokens.find((t) => t[0] <= a && b <= t[1]);
    const classes = [];
    if (marks.some((m) => m[0] <= a && b <= m[1])) classes.push("hedge");
    if (trace.answer_at[0] >= 0 && trace.answer_at[0] <= a && b <= trace.answer_at[1]) classes.push("said");
    const value = token ? token[column] : null;
    const about = {};
    if (classes.length) about.class = classes.join(" ");
    if (value !== null && value !== undefined) {
      about.style = { "--heat": Math.min(60, Math.round((60 * value) / NATS)) + "%" };
      about.class = [...classes, "token", colouring].join(" ");
      about.title = colouring + " " + value.toFixed(2) + " nats";
    } else if (classes.includes("hedge")) about.title = "a hedge";
    parts.push(about.class ? el("span", about, trace.text.slice(a, b)) : trace.text.slice(a, b));
  }
  return parts;
}

const per = (p) => Math.round(100 * p) + " %";
const chance = (question, trace, k, option) => {
  const row = trace.forced.find((one) => one[0] === k);
  return row && option >= 0 && option < row[1].length ? row[1][option] : null;
};

// The forced-answer curve of one trace: P(own answer), P(right answer), the lock.
function curve(question, trace, go) {
  if (!trace.forced.length) return null;
  const last = Math.max(1, trace.forced[trace.forced.length - 1][0]);
  const W = innerWidth < 600 ? 340 : 640, H = 150, left = 38, right = 8, top = 10, bottom = 26;
  const x = (k) => left + ((W - left - right) * k) / last, y = (p) => top + (H - top - bottom) * (1 - p);
  const svg = el("svg:svg", { viewBox: `0 0 ${W} ${H}`, class: "curve", role: "img" });
  for (const p of [0, 0.5, 1]) {
    svg.append(el("svg:line", { x1: left, x2: W - right, y1: y(p), y2: y(p), class: "rule" }));
    svg.append(el("svg:text", { x: left - 5, y: y(p) + 4, "text-anchor": "end" }, per(p)));
  }
  const every = Math.ceil(last / (W < 400 ? 6 : 12));
  for (let k = 0; k <= last; k += every) {
    svg.append(el("svg:text", { x: x(k), y: H - 8, "text-anchor": k ? "middle" : "start" }, k ? String(k) : "prompt"));
  }
  const said = [];
  const line = (option, name) => {
    const points = trace.forced.filter((row) => option >= 0 && option < row[1].length && row[1][option] !== null);
    if (!points.length) return;
    said.push(`${name} ${per(points[0][1][option])} at the prompt, ${per(points[points.length - 1][1][option])} at the end`);
    svg.append(el("svg:polyline", { class: name, points: points.map((r) => `${x(r[0])},${y(r[1][option])}`).join(" ") }));
    for (const row of points) {
      const dot = el("svg:circle", { class: name, cx: x(row[0]), cy: y(row[1][option]), r: 3 });
      dot.append(el("svg:title", {}, `after ${row[0]} steps: ${question.options[option]} ${per(row[1][option])}`));
      if (go && row[0] > 0) { dot.addEventListener("click", () => go(row[0] - 1)); dot.classList.add("to"); }
      svg.append(dot);
    }
  };
  if (question.gold !== trace.answer) line(question.gold, "gold");
  if (trace.answer >= 0) line(trace.answer, "own");
  if (typeof trace.lock === "number") {
    svg.append(el("svg:line", { x1: x(trace.lock), x2: x(trace.lock), y1: top, y2: H - bottom, class: "lock" }));
    const end = trace.lock > last * 0.8;
    svg.append(el("svg:text", { x: x(trace.lock) + (end ? -5 : 5), y: H - bottom - 6, "text-anchor": end ? "end" : "start", class: "lockname" }, "locks"));
  }
  svg.setAttribute("aria-label", said.join("; ") + "; " + lockWords(trace));
  const key = el("p", { class: "soft key" },
    trace.answer >= 0 ? el("span", { class: "ownkey" }, "its own answer") : null,
    question.gold !== trace.answer ? el("span", { class: "goldkey" }, "the right answer") : null,
    ` probability when ${trace.reader} is made to answer after each step. ${lockWords(trace)}.`);
  return el("figure", { class: "curvebox" }, svg, key);
}

function lockWords(trace) {
  if (trace.lock === null) return trace.answer < 0 ? "It has no answer to lock on" : "No lock is known of it";
  if (trace.lock === "never") return "It never locks on its answer before stating it";
  if (trace.lock === 0) return "It is locked on its answer at the prompt";
  return `It locks on its answer after ${trace.lock} of ${trace.last} steps`;
}
