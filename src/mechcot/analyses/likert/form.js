"use strict";
(() => {
  const { form, participant, columns } = document.body.dataset;
  const store = `mechcot ${form} ${participant}`;
  const items = [...document.querySelectorAll("article")];
  const lines = items.map((item) => [...item.querySelectorAll("fieldset")]);
  const byId = (id) => document.getElementById(id);
  let state = load();
  let at = 0; // items.length: the last page
  let marked = 0;

  function load() {
    try {
      const found = JSON.parse(localStorage.getItem(store));
      if (found && typeof found === "object" && found.ratings) return found;
    } catch {
      // what is stored is none of ours
    }
    return { consent: false, ratings: {} };
  }

  function save() {
    try {
      localStorage.setItem(store, JSON.stringify(state));
      byId("saved").textContent = "saved in this browser";
    } catch {
      byId("warning").textContent = "This browser does not save your ratings. Do not close the page before you have exported them.";
      byId("warning").hidden = false;
    }
  }

  function rating(i, scale) {
    return (state.ratings[items[i].dataset.item] || {})[scale] || "";
  }

  function openLines(i) {
    return lines[i].filter((line) => !rating(i, line.dataset.scale));
  }

  function rate(i, scale, value) {
    const name = items[i].dataset.item;
    state.ratings[name] = { ...state.ratings[name], [scale]: value };
    save();
    show();
  }

  function show() {
    byId("consent").hidden = state.consent;
    for (const id of ["bar", "items", "moves"]) byId(id).hidden = !state.consent;
    items.forEach((item, i) => {
      item.hidden = i !== at;
      lines[i].forEach((line, n) => {
        line.classList.toggle("marked", i === at && n === marked);
        const value = rating(i, line.dataset.scale);
        for (const input of line.querySelectorAll("input")) input.checked = input.value === value;
        if (value) line.classList.remove("open");
      });
    });
    const rated = items.filter((_, i) => !openLines(i).length).length;
    byId("progress").value = rated;
    byId("count").textContent = `${rated} of ${items.length} rated`;
    byId("back").disabled = at === 0;
    const last = at === items.length;
    byId("next").hidden = last;
    byId("done").hidden = !(state.consent && last);
    if (last) finish();
  }

  function finish() {
    const left = items.length - items.filter((_, i) => !openLines(i).length).length;
    byId("left").hidden = !left;
    byId("left").textContent = `${left} of ${items.length} pages are not finished. Go back to finish them.`;
    byId("export").disabled = byId("copy").disabled = left > 0;
    byId("raw").value = left ? "" : text();
  }

  function go(to) {
    if (to < 0 || to > items.length || !state.consent) return;
    if (to > at && at < items.length && openLines(at).length) {
      const first = openLines(at)[0];
      for (const line of openLines(at)) line.classList.add("open");
      marked = lines[at].indexOf(first);
      show();
      first.scrollIntoView({ block: "center" });
      return;
    }
    at = to;
    marked = 0;
    if (document.activeElement) document.activeElement.blur();
    show();
    scrollTo(0, 0);
  }

  function text() {
    const scales = columns.split(",").slice(4);
    const rows = items.map((item, i) =>
      [form, participant, item.dataset.item, "yes", ...scales.map((scale) => rating(i, scale))].join(","));
    return [columns, ...rows].join("\r\n") + "\r\n";
  }

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text()], { type: "text/csv;charset=utf-8" }));
    link.download = `ratings-${participant}.csv`;
    link.click();
  }

  function copy() {
    const box = byId("raw");
    box.select();
    const say = (said) => { byId("copied").textContent = said; };
    const byHand = () => say(document.execCommand("copy") ? "Copied." : "Select the text below and copy it.");
    if (navigator.clipboard) navigator.clipboard.writeText(box.value).then(() => say("Copied."), byHand);
    else byHand();
  }

  function mark(to) {
    marked = Math.min(Math.max(to, 0), lines[at].length - 1);
    show();
    lines[at][marked].scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || !state.consent) return;
    if (event.target.tagName === "TEXTAREA") return;
    const onButton = event.target.tagName === "BUTTON";
    if (event.target.type === "radio" && event.key.startsWith("Arrow")) return; // they choose there
    const inItems = at < items.length;
    if (inItems && /^[1-5]$/.test(event.key)) {
      rate(at, lines[at][marked].dataset.scale, event.key);
      mark(marked + 1);
    } else if (inItems && event.key === "ArrowDown") mark(marked + 1);
    else if (inItems && event.key === "ArrowUp") mark(marked - 1);
    else if (event.key === "ArrowRight" || (event.key === "Enter" && !onButton)) go(at + 1);
    else if (event.key === "ArrowLeft") go(at - 1);
    else return;
    event.preventDefault();
  });
  items.forEach((_, i) => {
    lines[i].forEach((line, n) => {
      line.addEventListener("change", (event) => {
        marked = n;
        rate(i, line.dataset.scale, event.target.value);
      });
      line.addEventListener("click", (event) => {
        // after a mouse click or a touch the arrows turn pages again
        if (event.target.type === "radio" && event.detail > 0) event.target.blur();
      });
      line.addEventListener("focusin", () => {
        if (marked !== n) { marked = n; show(); }
      });
    });
  });
  byId("agree").addEventListener("click", () => {
    state.consent = true;
    save();
    byId("agree").blur();
    show();
    scrollTo(0, 0);
  });
  byId("decline").addEventListener("click", () => { byId("declined").hidden = false; });
  byId("back").addEventListener("click", () => go(at - 1));
  byId("next").addEventListener("click", () => go(at + 1));
  byId("export").addEventListener("click", download);
  byId("copy").addEventListener("click", copy);
  addEventListener("beforeunload", (event) => {
    if (!byId("warning").hidden) event.preventDefault();
  });
  const first = items.findIndex((_, i) => openLines(i).length);
  at = first < 0 ? items.length : first;
  show();
})();
