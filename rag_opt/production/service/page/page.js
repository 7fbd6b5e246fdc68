"use strict";
// Every text of a document, an answer or an error goes into the page as text (textContent), never as markup.
const at = (id) => document.getElementById(id);
let current = null;

function body(extra) {
  const given = at("filters").value.trim();
  return JSON.stringify({ ...extra, filters: given ? JSON.parse(given) : {} });
}

async function call(path, content) {
  const headers = { "content-type": "application/json" };
  if (at("key").value) headers.authorization = "Bearer " + at("key").value;
  const response = await fetch(path, { method: "POST", headers, body: content });
  const reply = await response.json();
  if (!response.ok) throw new Error(reply.error ? reply.error.message : "error " + response.status);
  return reply;
}

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

// offsets count characters (code points); JavaScript counts UTF-16
const points = (text) => Array.from(text);

function paint(target, text, marks, from) {
  target.textContent = "";
  const letters = points(text);
  const edges = [...new Set([0, letters.length, ...marks.flatMap((m) => [m.start, m.end])])]
    .filter((edge) => edge >= 0 && edge <= letters.length).sort((a, b) => a - b);
  for (let i = 0; i + 1 < edges.length; i++) {
    const over = marks.filter((m) => m.start <= edges[i] && edges[i + 1] <= m.end);
    const made = element(over.length ? "mark" : "span", letters.slice(edges[i], edges[i + 1]).join(""), target);
    if (over.some((m) => m.cited)) made.className = "cited";
    if (edges[i] === from) made.id = "wanted";
  }
}

function marksOf(name, shift, length) {
  const inside = (place) => ({ start: place.start - shift, end: place.end - shift });
  return current.cited.filter((place) => place.document === name)
    .map((place) => ({ ...inside(place), cited: true }))
    .filter((mark) => mark.start >= 0 && mark.end <= length);
}

function show(reply) {
  current = reply;
  at("reply").hidden = false;
  at("thanks").textContent = "";
  at("answer").textContent = reply.refused ? "The documents do not answer this question." : reply.answer || "Passages only.";
  const list = at("passages");
  list.textContent = "";
  for (const passage of reply.passages) {
    const item = element("li", "", list);
    const place = [passage.document, passage.page ? "page " + passage.page : "", ...passage.headings].filter(Boolean);
    const where = element("div", place.join(" · "), item);
    where.className = "where";
    element("button", "in the document", where).addEventListener("click", () => open(passage));
    if (passage.header) element("div", passage.header, item).className = "text";
    const text = element("div", "", item);
    text.className = "text";
    paint(text, passage.text, marksOf(passage.document, passage.start, points(passage.text).length));
  }
}

async function open(passage) {
  try {
    const found = await call("document", body({ document: passage.document }));
    at("title").textContent = found.title || found.document;
    const shown = current.passages.filter((p) => p.document === passage.document).map((p) => ({ start: p.start, end: p.end }));
    paint(at("text"), found.text, [...shown, ...marksOf(passage.document, 0, Infinity)], passage.start);
    at("document").hidden = false;
    if (at("wanted")) at("wanted").scrollIntoView({ block: "center" });
  } catch (error) {
    at("state").textContent = error.message;
  }
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("state").textContent = "…";
  const started = performance.now();
  try {
    show(await call("ask", body({ question: at("question").value })));
    at("state").textContent = Math.round(performance.now() - started) + " ms";
  } catch (error) {
    at("state").textContent = error.message;
  }
});
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    at("form").requestSubmit();
  }
});
at("close").addEventListener("click", () => { at("document").hidden = true; });
for (const button of document.querySelectorAll("[data-thumb]")) {
  button.addEventListener("click", async () => {
    try {
      await call("feedback", JSON.stringify({ id: current.id, thumb: button.dataset.thumb }));
      at("thanks").textContent = "Thank you.";
    } catch (error) {
      at("thanks").textContent = error.message;
    }
  });
}
