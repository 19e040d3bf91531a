"use strict";
(() => {
  const sheet = document.body.dataset.sheet;
  const store = `mechcot ${sheet}`;
  const items = [...document.querySelectorAll("article")];
  const names = items.map((item) => item.dataset.item);
  const byId = (id) => document.getElementById(id);
  const verdicts = [...items[0].querySelectorAll("[data-verdict]")].map((button) => button.dataset.verdict);
  const guesses = { b: "before", a: "after", u: "unsure" };
  let answers = load();
  let exported = true;
  let at = Math.max(0, names.findIndex((name) => !answer(name).verdict));

  function load() {
    try {
      const found = JSON.parse(localStorage.getItem(store));
      return found && typeof found === "object" ? found : {};
    } catch {
      return {};
    }
  }

  function answer(name) {
    return answers[name] || { verdict: "", guess: "", comment: "" };
  }

  function change(field, value) {
    const name = names[at];
    answers[name] = { ...answer(name), [field]: value };
    exported = false;
    try {
      localStorage.setItem(store, JSON.stringify(answers));
      byId("saved").textContent = "saved in this browser";
    } catch {
      byId("saved").textContent = "";
      byId("warning").textContent = "This browser does not save the page's answers. Export them before you close it.";
      byId("warning").hidden = false;
    }
    show();
  }

  function toggle(field, value) {
    change(field, answer(names[at])[field] === value ? "" : value);
  }

  function show() {
    items.forEach((item, i) => {
      item.hidden = i !== at;
      const given = answer(names[i]);
      for (const field of ["verdict", "guess"]) {
        for (const button of item.querySelectorAll(`[data-${field}]`)) {
          button.setAttribute("aria-pressed", String(button.dataset[field] === given[field]));
        }
      }
      const comment = item.querySelector("textarea");
      if (comment.value !== given.comment) comment.value = given.comment;
    });
    const judged = names.filter((name) => answer(name).verdict).length;
    byId("progress").value = judged;
    byId("count").textContent = `${judged} of ${items.length} judged`;
    byId("back").disabled = at === 0;
    byId("next").disabled = at === items.length - 1;
    byId("open").disabled = judged === items.length;
  }

  function go(to) {
    if (to < 0 || to >= items.length) return;
    at = to;
    byId("how").open = false;
    show();
    scrollTo(0, 0);
  }

  function goOpen() {
    const order = [...names.keys()].map((i) => (at + 1 + i) % names.length);
    const to = order.find((i) => !answer(names[i]).verdict);
    if (to !== undefined) go(to);
  }

  function download() {
    const cell = (text) => `"${text.replaceAll('"', '""')}"`;
    const rows = names.map((name) => {
      const given = answer(name);
      return [sheet, name, given.verdict, given.guess, given.comment].map(cell).join(",");
    });
    const text = `\ufeff${["sheet,item,verdict,guess,comment", ...rows].join("\r\n")}\r\n`;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = `filled-${sheet}.csv`;
    link.click();
    exported = true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.target.tagName === "TEXTAREA") {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = event.key.toLowerCase();
    const verdict = verdicts["1234".indexOf(key)];
    const onButton = ["BUTTON", "SUMMARY"].includes(event.target.tagName);
    if (key.length === 1 && verdict) toggle("verdict", verdict);
    else if (guesses[key]) toggle("guess", guesses[key]);
    else if (key === "c") items[at].querySelector("textarea").focus();
    else if (key === "arrowright" || (key === "enter" && !onButton)) go(at + 1);
    else if (key === "arrowleft") go(at - 1);
    else if (key === "n") goOpen();
    else return;
    event.preventDefault();
  });
  for (const item of items) {
    item.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const field = button.dataset.verdict ? "verdict" : "guess";
      toggle(field, button.dataset[field]);
      // after a mouse click Enter goes on instead of taking the answer back
      if (event.detail > 0) button.blur();
    });
    item.querySelector("textarea").addEventListener("input", (event) => change("comment", event.target.value));
  }
  byId("back").addEventListener("click", () => go(at - 1));
  byId("next").addEventListener("click", () => go(at + 1));
  byId("open").addEventListener("click", goOpen);
  byId("export").addEventListener("click", download);
  addEventListener("storage", (event) => {
    if (event.key === store) {
      answers = load();
      show();
    }
  });
  addEventListener("beforeprint", () => {
    byId("how").open = true;
  });
  addEventListener("beforeunload", (event) => {
    if (!exported && !byId("warning").hidden) event.preventDefault();
  });
  show();
})();
