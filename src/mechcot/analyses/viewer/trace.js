"use strict";
const view = { colouring: "none" };

function stepNode(question, trace, step, number, other) {
  const [mark, meaning] = verdict(step.label);
  const text = words(trace, step.at[0], step.at[1], view.colouring, step.hedges);
  const notes = [step.kind];
  if (step.hedged) notes.push("hedged");
  if (!step.complete) notes.push("cut off");
  if (step.probe) notes.push(step.probe[1] ? "probe: wrong" : "probe: right");
  for (const [name, [label]] of Object.entries(step.others || {})) if (label) notes.push(`${name} ${verdict(label)[0]}`);
  if (other) notes.push(other);
  const p = trace.answer >= 0 ? chance(question, trace, number + 1, trace.answer) : null;
  const box = el("li", { class: "step " + (step.label || "none") + (step.probe && step.probe[1] ? " flagged" : ""), id: "step-" + trace.arm + "-" + step.sid,
    tabindex: 0, "data-step": step.sid, "data-trace": trace.arm + "/" + trace.cid, title: reasonLine(step, meaning), "aria-label": `${numbered(step, number)}: ${meaning}` });
  box.append(
    el("span", { class: "mark", "aria-hidden": "true" }, mark),
    el("div", { class: "body" },
      el("p", { class: "words" }, el("bdi", {}, ...text)),
      el("p", { class: "note" }, notes.join(" · "), " ",
        el("a", { href: hash("t", trace.arm, question.qid, trace.cid, step.sid), class: "anchor", "aria-label": "link to this step", tabindex: -1 }, numbered(step, number))),
      reasonNode(step, meaning)),
    el("span", { class: "p", title: "probability of its own answer, forced after this step" },
      p === null ? "" : el("b", {}, per(p)), p === null ? null : el("i", { style: { width: per(p).replace(" ", "") } })));
  const toggle = () => box.classList.toggle("open");
  box.addEventListener("click", (event) => { if (!event.target.closest("a") && !String(getSelection())) toggle(); });
  box.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target === box) toggle(); });
  return box;
}

// A reader counts from 1, the study's tables from 0: both numbers stand where a step is named.
function numbered(step, number) { return `step ${number + 1} (sid ${step.sid})`; }

function reasonLine(step, meaning) {
  return meaning + (step.reason ? ": " + step.reason : "");
}

function reasonNode(step, meaning) {
  const lines = [el("p", {}, mechcot.data.index.instruments[0] || "judge", ": ", meaning, step.reason ? ": " : "", el("bdi", {}, step.reason))];
  for (const [name, [label, reason]] of Object.entries(step.others || {})) {
    lines.push(el("p", {}, name + ": " + verdict(label)[1] + (reason ? ": " : ""), el("bdi", {}, reason)));
  }
  if (step.claim) lines.push(el("p", {}, "claims: ", el("bdi", {}, [step.claim[1], step.claim[0], step.claim[2]].join(" ")), step.truth.length ? "; true: " : "", el("bdi", {}, step.truth.join(", "))));
  if (step.probe) lines.push(el("p", {}, `probe score ${step.probe[0]}: ${step.probe[1] ? "among" : "not among"} the highest of its fold, of which there are as many as wrong steps`));
  return el("div", { class: "why" }, ...lines);
}

// What the steps leave over of a text: white space is left out.
function rest(trace, from, to) {
  if (!trace.text.slice(from, to).trim()) return null;
  return el("li", { class: "rest" }, el("bdi", {}, ...words(trace, from, to, view.colouring)));
}

function stepList(question, trace) {
  const list = el("ol", { class: "steps" });
  let at = 0;
  trace.steps.forEach((step, number) => {
    const between = rest(trace, at, step.at[0]);
    if (between) list.append(between);
    list.append(stepNode(question, trace, step, number));
    at = step.at[1];
  });
  const tail = rest(trace, at, trace.text.length);
  if (tail) list.append(tail);
  return list;
}

function answerLine(question, trace) {
  const own = trace.answer >= 0 ? question.options[trace.answer] : null;
  const said = { right: "✓ right", wrong: "✗ wrong", none: "no answer that could be read", cut: "cut by the token limit" }[trace.state];
  return el("p", { class: "answer " + trace.state }, own ? el("b", {}, el("bdi", {}, own)) : null, own ? ": " : "", said);
}

function questionNode(question) {
  const options = question.options.map((text, i) => el("li", { class: i === question.gold ? "gold" : null },
    el("bdi", {}, text), i === question.gold ? el("span", { class: "soft" }, " (right)") : null));
  return el("section", { class: "question", "aria-label": "Question" },
    el("p", { class: "soft" }, el("bdi", {}, question.qid)), el("p", { class: "stem" }, el("bdi", {}, question.stem)), el("ul", { class: "options" }, ...options));
}

function toolbar(question, trace, other) {
  const key = (one) => one.arm + "/" + one.cid;
  const choose = (now, label, go) => el("label", {}, label + " ", el("select", { onchange: (event) => go(question.traces[event.target.selectedIndex]) },
    ...question.traces.map((one) => el("option", { selected: key(one) === key(now) }, `${one.arm}, sample ${one.cid}`))));
  const colours = el("label", {}, "Colour words by ", el("select", { id: "colouring", onchange: (event) => { view.colouring = event.target.value; show(); } },
    ...COLOURINGS.map((name) => el("option", { value: name, selected: view.colouring === name }, name))));
  const box = el("div", { class: "toolbar" });
  if (other) {
    box.append(choose(trace, "Left", (one) => go(hash("c", question.qid, one.arm, one.cid, other.arm, other.cid))),
      choose(other, "Right", (one) => go(hash("c", question.qid, trace.arm, trace.cid, one.arm, one.cid))));
  } else box.append(choose(trace, "Trace", (one) => go(hash("t", one.arm, question.qid, one.cid))));
  if (trace.tokens.length || (other && other.tokens.length)) box.append(colours);
  const beside = other ? null : partner(question, trace);
  if (other) box.append(el("a", { class: "button", href: hash("t", trace.arm, question.qid, trace.cid), id: "compare" }, "One trace"));
  else if (beside) box.append(el("a", { class: "button", href: comparison(question, trace, beside), id: "compare" }, "Compare with " + beside.arm));
  return box;
}

// The trace that one is compared with: the contrast's other model, of the same number if it is there.
function partner(question, trace) {
  const [before, after] = mechcot.data.index.pair;
  const wanted = trace.arm === after ? before : after;
  const others = question.traces.filter((one) => one.arm === wanted);
  return others.find((one) => one.cid === trace.cid) || others[0] || question.traces.find((one) => one.arm !== trace.arm) || null;
}

function comparison(question, trace, other) {
  const [left, right] = trace.arm === mechcot.data.index.pair[1] ? [other, trace] : [trace, other];
  return hash("c", question.qid, left.arm, left.cid, right.arm, right.cid);
}

function unread(trace) {
  if (!trace.unread) return null;
  const [said, command] = trace.unread.split(/: (?=mechcot )/);
  return el("p", { class: "soft" }, said, command ? ": " : "", command ? el("code", {}, command) : null);
}

function legend(...traces) {
  const marks = ["correct", "erroneous", "abstain", "not_checkable"].map((label) =>
    el("span", { class: label }, el("b", { class: "mark" }, verdict(label)[0]), " " + verdict(label)[1]));
  if (traces.some((one) => one.forced.length)) marks.push(el("span", {}, el("b", {}, "n %"), " its own answer, forced after the step"));
  if (view.colouring !== "none") marks.push(el("span", { class: "scale " + view.colouring }, `0 to ${NATS} nats or more`));
  return el("p", { class: "legend soft" }, ...marks);
}

function tracePage(question, trace, sid) {
  const steps = stepList(question, trace);
  const goto = (number) => { const node = steps.querySelectorAll(".step")[number]; if (node) node.focus(); };
  const page = [questionNode(question), toolbar(question, trace), pager(question, trace),
    el("h1", {}, armTag(trace.arm), el("span", { class: "soft" }, ` sample ${trace.cid}`)), answerLine(question, trace),
    curve(question, trace, goto), unread(trace), legend(trace), steps];
  document.getElementById("main").replaceChildren(...page.filter(Boolean));
  const wanted = sid === undefined ? null : document.getElementById("step-" + trace.arm + "-" + sid);
  if (wanted) { wanted.classList.add("open"); wanted.scrollIntoView({ block: "center" }); wanted.focus({ preventScroll: true }); }
}

const bag = (text) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) || []);
// How alike two steps are: the same claim, the same thing claimed otherwise, words in common.
function alike(a, b) {
  if (a.step.claim && b.step.claim) {
    const [r, s, o] = a.step.claim, [r2, s2, o2] = b.step.claim;
    if (r === r2 && s === s2) return o === o2 ? 3 : 2;
    return 0;
  }
  if (!!a.step.claim !== !!b.step.claim) return 0;
  let both = 0;
  for (const word of a.bag) if (b.bag.has(word)) both++;
  const share = both / Math.max(1, a.bag.size + b.bag.size - both);
  return share >= 0.4 ? 3 * share : 0;
}

// The best way to put two traces' steps side by side in their order (Needleman and Wunsch 1970, gaps free).
function aligned(left, right) {
  const [A, B] = [left, right].map((trace) => trace.steps.map((step, number) => ({ step, number, bag: bag(trace.text.slice(...step.at)) })));
  const best = Array.from({ length: A.length + 1 }, () => new Float64Array(B.length + 1));
  for (let i = A.length - 1; i >= 0; i--) for (let j = B.length - 1; j >= 0; j--) {
    const score = alike(A[i], B[j]);
    best[i][j] = Math.max(best[i + 1][j], best[i][j + 1], score > 0 ? score + best[i + 1][j + 1] : 0);
  }
  const rows = [];
  let i = 0, j = 0;
  while (i < A.length || j < B.length) {
    const score = i < A.length && j < B.length ? alike(A[i], B[j]) : 0;
    if (score > 0 && best[i][j] === score + best[i + 1][j + 1]) rows.push([A[i++], B[j++], score]);
    else if (j >= B.length || (i < A.length && best[i][j] === best[i + 1][j])) rows.push([A[i++], null, 0]);
    else rows.push([null, B[j++], 0]);
  }
  return rows;
}

function comparePage(question, left, right) {
  const rows = aligned(left, right).map(([a, b, score]) => {
    const claims = a && b && a.step.claim;
    const said = !a || !b ? null : claims ? (score === 3 ? "same claim" : "claims otherwise") : null;
    const cell = (one, trace, side) => el("ol", { class: "cell " + side, style: { "--arm": arm(trace.arm).colour }, "aria-label": trace.arm },
      one ? stepNode(question, trace, one.step, one.number, said) : el("li", { class: "gap soft" }, "–"));
    return el("div", { class: "row" + (said === "claims otherwise" ? " differs" : "") }, cell(a, left, "left"), cell(b, right, "right"));
  });
  const heads = [left, right].map((trace) => el("div", { class: "side" }, el("h2", {}, armTag(trace.arm), el("span", { class: "soft" }, ` sample ${trace.cid}`)),
    answerLine(question, trace), curve(question, trace), unread(trace)));
  const same = rows.length - rows.filter((row) => row.querySelector(".gap")).length;
  const note = `${same} of ${rows.length} rows stand in both: steps with the same claim, or with most of their words in common, in their order.`;
  document.getElementById("main").replaceChildren(questionNode(question), toolbar(question, left, right),
    el("div", { class: "sides" }, ...heads), legend(left, right), el("p", { class: "soft" }, note), el("div", { class: "rows" }, ...rows));
}
