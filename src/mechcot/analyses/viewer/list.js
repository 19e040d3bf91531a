"use strict";
const SIZE = 50; // rows of a page
const late = (lock, last) => lock > last / 2;
// A filter: its name in the address, its label, its values by row (`of` gives all that a row has).
const FILTERS = [
  ["model", "Model", (c, i) => [mechcot.data.index.arms[c.arm[i]].name]],
  ["answer", "Answer", (c, i) => [c.state[i]], { right: "right", wrong: "wrong", none: "none could be read", cut: "cut by the token limit" }],
  ["fate", "Against the other model", (c, i) => (c.fate[i] ? [c.fate[i]] : []),
    { gained: "gained: only the later is right", lost: "lost: only the earlier is right", both: "both right", neither: "neither right" }],
  ["kind", "Kind of step", (c, i) => [...new Set(c.kinds[i])].map((kind) => mechcot.data.index.kinds[kind])],
  ["verdict", "Verdict on a step", (c, i) => [...new Set(c.strip[i])].map((letter) => LETTERS[letter] || "none"),
    { correct: "correct", erroneous: "wrong", abstain: "abstains", not_checkable: "claims nothing", none: "no verdict", api_failure: "judging failed" }],
  ["judges", "Judges", (c, i) => (c.disagree[i] < 0 ? [] : [c.disagree[i] ? "disagree" : "agree"]), { disagree: "disagree on a step", agree: "do not disagree" }],
  ["probe", "Probe", (c, i) => (c.probe[i] === null ? [] : [c.probe[i].length ? "wrong" : "none"]), { wrong: "says a step is wrong", none: "says no step is wrong" }],
  ["hedge", "Hedges", (c, i) => [c.hedged[i] ? "hedged" : "plain"], { hedged: "hedges", plain: "does not hedge" }],
  ["lock", "Settles on its answer", (c, i) => (c.lock[i] === -2 ? [] : [c.lock[i] === -1 ? "never" : c.lock[i] === 0 ? "prompt" : late(c.lock[i], c.last[i]) ? "late" : "early"]),
    { prompt: "at the prompt", early: "in the first half", late: "late, in the second half", never: "never before stating it" }],
];
const SORTS = {
  question: ["Question", null],
  wrong: ["Most wrong steps", (c, i) => -(c.strip[i].split("e").length - 1)],
  steps: ["Longest", (c, i) => -c.strip[i].length],
  late: ["Latest lock", (c, i) => (c.lock[i] === -2 ? 2 : c.lock[i] === -1 ? -2 : -c.lock[i] / Math.max(1, c.last[i]))],
  surprisal: ["Most surprising words", (c, i) => (c.surprisal[i] === null ? 1e9 : -c.surprisal[i])],
};
// What a filter says of every row, made once.
const said = {};
function valuesOf(name) {
  const c = mechcot.data.index.columns, of = FILTERS.find((one) => one[0] === name)[2];
  return (said[name] = said[name] || c.q.map((_, i) => of(c, i)));
}
// The kinds of each row's wrong steps, made once.
function wrongKinds() {
  const { kinds, columns: c } = mechcot.data.index;
  return (said.wrong = said.wrong || c.strip.map((strip, i) =>
    strip.includes("e") ? c.kinds[i].filter((_, k) => strip[k] === "e").map((kind) => kinds[kind]) : []));
}

function asked() {
  const query = new URLSearchParams(location.hash.split("?")[1] || "");
  return { query, of: (name) => query.get(name) || "" };
}

function keep(rows, want, but) {
  for (const [name] of FILTERS) {
    const value = want[name];
    if (!value || name === but) continue;
    const values = valuesOf(name);
    rows = rows.filter((i) => values[i].includes(value));
  }
  // A kind and "wrong" together ask for a wrong step of that kind.
  if (want.kind && want.verdict === "erroneous" && but !== "kind" && but !== "verdict") rows = rows.filter((i) => wrongKinds()[i].includes(want.kind));
  return rows;
}

const found = { words: "", rows: null };
async function searched(words) {
  if (!words) return null;
  if (found.words === words) return found.rows;
  const index = mechcot.data.index, n = index.columns.q.length, hits = [], sought = words.toLowerCase();
  const stems = index.questions.map(([qid, stem]) => (qid + " " + stem).toLowerCase());
  mechcot.lower = mechcot.lower || {};
  for (let chunk = 0; chunk * index.chunk < n; chunk++) {
    mechcot.lower[chunk] = mechcot.lower[chunk] || (await mechcot.load("text/" + chunk)).map((text) => text.toLowerCase());
    mechcot.lower[chunk].forEach((text, at) => {
      const i = chunk * index.chunk + at;
      if (text.includes(sought) || stems[index.columns.q[i]].includes(sought)) hits.push(i);
    });
  }
  found.words = words;
  found.rows = hits;
  return hits;
}

// The rows that are asked for, in order, and those that all filters but one leave.
function chosen(hits, query) {
  const c = mechcot.data.index.columns, want = {};
  for (const [name] of FILTERS) want[name] = query.get(name) || "";
  const all = hits || c.q.map((_, i) => i);
  const rows = [...keep(all, want)], by = (SORTS[query.get("sort")] || SORTS.question)[1];
  if (by) rows.sort((a, b) => by(c, a) - by(c, b) || a - b);
  return { rows, all, want };
}

function filterNode([name, label, , words], all, want, set) {
  const counts = {}, values = valuesOf(name);
  for (const i of keep(all, want, name)) {
    for (const value of values[i]) {
      if (name === "kind" && want.verdict === "erroneous" && !wrongKinds()[i].includes(value)) continue;
      if (name === "verdict" && want.kind && value === "erroneous" && !wrongKinds()[i].includes(want.kind)) continue;
      counts[value] = (counts[value] || 0) + 1;
    }
  }
  if (want[name] && !(want[name] in counts)) counts[want[name]] = 0;
  const order = words ? Object.keys(words).filter((value) => value in counts) : Object.keys(counts);
  if (!order.length) return null;
  return el("label", {}, label, el("select", { id: "filter-" + name, onchange: (event) => set(name, event.target.value) }, el("option", { value: "" }, "any"),
    ...order.map((value) => el("option", { value, selected: want[name] === value }, `${words ? words[value] : value} (${counts[value].toLocaleString("en")})`))));
}

function rowNode(i) {
  const index = mechcot.data.index, c = index.columns, [qid, stem] = index.questions[c.q[i]], name = index.arms[c.arm[i]].name;
  const mark = { right: "✓", wrong: "✗", none: "–", cut: "…" }[c.state[i]];
  const lock = c.lock[i] === -2 ? "" : c.lock[i] === -1 ? "never locks" : c.lock[i] === 0 ? "locked at prompt" : `locks ${c.lock[i]} of ${c.last[i]}`;
  const notes = [lock, c.hedged[i] ? `${c.hedged[i]} hedged` : "", c.probe[i] && c.probe[i].length ? `probe flags ${c.probe[i].length}` : "", c.disagree[i] > 0 ? "judges disagree" : ""];
  return el("li", {}, el("a", { class: "trace", href: hash("t", name, qid, c.cid[i]), "data-row": i },
    el("span", { class: "who" }, armTag(name), el("span", { class: "soft" }, ` ${c.cid[i]}`)),
    el("span", { class: "what" }, el("bdi", {}, stem), el("span", { class: "soft" }, " ", el("bdi", {}, qid))),
    el("span", { class: "answer " + c.state[i] }, mark + " ", el("bdi", {}, c.answer[i] || "no answer")),
    strip(c.strip[i]), el("span", { class: "soft notes" }, notes.filter(Boolean).join(" · "))));
}

async function listPage() {
  const { query } = asked(), sought = query.get("search") || "";
  let hits;
  try { hits = await searched(sought); } catch { failed("the texts"); return; }
  if (sought !== (asked().query.get("search") || "") || !onList()) return; // gone on meanwhile
  const { rows, all, want } = chosen(hits, query);
  mechcot.rows = rows;
  mechcot.list = location.hash;
  const pages = Math.max(1, Math.ceil(rows.length / SIZE)), page = Math.min(pages, Math.max(1, Number(query.get("page")) || 1));
  const set = (name, value) => {
    const next = new URLSearchParams(query);
    if (value) next.set(name, value); else next.delete(name);
    if (name !== "page") next.delete("page");
    go("#/" + (next.size ? "?" + next : ""));
  };
  const box = el("input", { type: "search", id: "search", value: sought, placeholder: "words of a trace or question", onchange: (event) => set("search", event.target.value.trim()) });
  const filters = FILTERS.map((one) => filterNode(one, all, want, set));
  const missing = mechcot.data.index.missing.map((line) => el("p", { class: "soft" }, line.split(": ")[0] + ": ", el("code", {}, line.slice(line.indexOf(": ") + 2))));
  const wide = matchMedia("(min-width: 56rem)").matches, used = [...query.keys()].some((name) => name !== "page");
  const side = el("details", { class: "filters", open: wide || mechcot.filtersOpen, ontoggle: (event) => { mechcot.filtersOpen = event.target.open; } },
    el("summary", {}, "Filters"), el("label", {}, "Search", box), ...filters.filter(Boolean),
    el("label", {}, "Sort by", el("select", { id: "sort", onchange: (event) => set("sort", event.target.value === "question" ? "" : event.target.value) },
      ...Object.entries(SORTS).map(([name, [label]]) => el("option", { value: name, selected: (query.get("sort") || "question") === name }, label)))),
    used ? el("button", { type: "button", id: "clear", onclick: () => go("#/") }, "Clear all") : null, ...missing);
  const step = (label, to, id) => el("button", { type: "button", id, disabled: to < 1 || to > pages, onclick: () => set("page", String(to)) }, label);
  const bar = el("nav", { class: "pages", "aria-label": "Pages" }, step("Previous", page - 1, "previous"), el("span", {}, `page ${page} of ${pages.toLocaleString("en")}`), step("Next", page + 1, "next"));
  const total = mechcot.data.index.columns.q.length.toLocaleString("en");
  const focused = document.activeElement && document.activeElement.id;
  document.getElementById("main").replaceChildren(el("div", { class: "listing" }, side, el("section", {},
    el("h1", {}, rows.length.toLocaleString("en"), el("span", { class: "soft" }, ` of ${total} traces`)),
    rows.length ? el("ol", { class: "traces" }, ...rows.slice((page - 1) * SIZE, page * SIZE).map(rowNode)) : el("p", {}, "No trace is like this. Take a filter off."), bar)));
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
}

function pager(question, trace) {
  const index = mechcot.data.index, c = index.columns, rows = mechcot.rows || c.q.map((_, i) => i);
  const at = rows.findIndex((i) => index.questions[c.q[i]][0] === question.qid && c.cid[i] === trace.cid && index.arms[c.arm[i]].name === trace.arm);
  const link = (to, label, id) => {
    const i = rows[to];
    return i === undefined || at < 0 ? el("span", { class: "button off", id }, label)
      : el("a", { class: "button", id, href: hash("t", index.arms[c.arm[i]].name, index.questions[c.q[i]][0], c.cid[i]) }, label);
  };
  return el("nav", { class: "pages", "aria-label": "Traces" }, link(at - 1, "Previous", "previous"),
    el("a", { href: mechcot.list || "#/", id: "up" }, at < 0 ? "to the list" : `${(at + 1).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`), link(at + 1, "Next", "next"));
}
