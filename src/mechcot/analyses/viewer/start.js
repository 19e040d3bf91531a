"use strict";
const go = (to) => { if (location.hash === to) show(); else location.hash = to; };
const onList = () => !/^#\/[tc]\//.test(location.hash);

function failed(what) {
  document.getElementById("main").replaceChildren(el("p", { class: "failed" }, `${what} could not be loaded. Is `, el("code", {}, "mechcot view"), " still running?"));
}

async function show() {
  const [kind, ...parts] = location.hash.replace(/^#\//, "").split("?")[0].split("/").map(decoded);
  if (onList()) { await listPage(); scrollTo(0, 0); return; }
  const index = mechcot.data.index, here = location.hash, qid = kind === "t" ? parts[1] : parts[0];
  const number = index.questions.findIndex((one) => one[0] === qid);
  let question;
  try { question = number < 0 ? null : await mechcot.load("q/" + number); } catch { failed("The question"); return; }
  if (here !== location.hash) return; // gone on meanwhile
  const of = (name, cid) => question && question.traces.find((one) => one.arm === name && String(one.cid) === cid);
  const traces = kind === "t" ? [of(parts[0], parts[2])] : [of(parts[1], parts[2]), of(parts[3], parts[4])];
  if (!traces.every(Boolean)) {
    document.getElementById("main").replaceChildren(el("p", { class: "failed" }, "There is no such trace. ", el("a", { href: "#/" }, "To the list")));
    return;
  }
  const at = view.last === here ? scrollY : 0;
  if (kind === "t") tracePage(question, traces[0], parts[3]); else comparePage(question, ...traces);
  if (kind === "c" || parts[3] === undefined) scrollTo(0, at);
  view.last = here;
}

function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

function move(by) {
  const all = [...document.querySelectorAll(".traces .trace, .step")];
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
  if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest" }); }
}

const press = (id) => { const node = document.getElementById(id); if (node && !node.disabled) node.click(); };
const KEYS = {
  j: () => move(1), k: () => move(-1), n: () => press("next"), p: () => press("previous"), c: () => press("compare"),
  u: () => { if (!onList()) go(mechcot.list || "#/"); },
  t: () => {
    if (onList()) return;
    view.colouring = COLOURINGS[(COLOURINGS.indexOf(view.colouring) + 1) % COLOURINGS.length];
    const step = document.activeElement.id;
    show().then(() => { const node = step && document.getElementById(step); if (node) node.focus({ preventScroll: true }); });
  },
  "/": () => {
    if (!onList()) go(mechcot.list || "#/");
    setTimeout(() => { const side = document.querySelector(".filters"); if (side) { side.open = true; document.getElementById("search").focus(); } });
  },
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (document.getElementById("help").open || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
// In a notebook's frame a link to a place would lead to the notebook's own address.
addEventListener("click", (event) => {
  const link = event.target.closest && event.target.closest("a[href^='#']");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
document.getElementById("keys").addEventListener("click", () => document.getElementById("help").showModal());
addEventListener("hashchange", show);
addEventListener("DOMContentLoaded", () => {
  const first = document.body.dataset.start;
  if (first && !location.hash) location.hash = first;
  mechcot.load("index").then(show, () => failed("The list of traces"));
});
