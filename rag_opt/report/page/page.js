"use strict";
// Draws the report from its data. Nothing is fetched: data and Plotly lie compressed in the page.
(async () => {
  const $ = (id) => document.getElementById(id);
  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob($(id).textContent.trim()), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const root = document.documentElement;
  const dark = () => root.dataset.theme === "dark";
  root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const data = JSON.parse(await unpack("data"));
  const short = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
  // Okabe and Ito's colours, which colour-blind people can tell
  const colours = { blue: "#0072B2", orange: "#E69F00", green: "#009E73", red: "#D55E00", grey: "#8a8f99" };

  // ---- questions -------------------------------------------------------------------------------------------------
  const pipelines = new Map(data.pipelines.map((one) => [one.n, one]));
  const [left, right] = [$("left"), $("right")];
  const role = (n, place) => (place === 0 ? "winner " : place === 1 ? "baseline " : "finalist ");
  data.pipelines.forEach((one, place) => {
    for (const box of [left, right]) box.append(make("option", `${data.compared ? "" : role(one.n, place)}trial ${one.n}: ${one.words}`, { value: one.n }));
  });
  if (data.pipelines.length > 1) right.value = data.pipelines[1].n;
  for (const name of data.outcomes) $("outcome").append(make("option", name, { value: name }));

  const rowsOf = (box) => (pipelines.get(Number(box.value)) || { rows: {} }).rows;
  const corpusOf = (box) => (pipelines.get(Number(box.value)) || { corpus: 0 }).corpus;
  const value = (row) => (row && row.v !== null ? row.v : null);
  const EQUAL = 0.02; // what a longer context costs is no win
  const won = (a, b) => value(a) !== null && value(b) !== null && value(a) - value(b) > EQUAL;

  const kept = () => {
    const [ours, theirs] = [rowsOf(left), rowsOf(right)];
    const words = $("words").value.toLowerCase();
    return Object.entries(data.questions).filter(([id, question]) => {
      const [a, b] = [ours[id], theirs[id]];
      const which = $("which").value;
      if (which === "differ" && !won(a, b) && !won(b, a)) return false;
      if (which === "lost" && !won(b, a)) return false;
      if (which === "won" && !won(a, b)) return false;
      if (which === "failed" && (!a || a.o === "good")) return false;
      if ($("outcome").value && (!a || a.o !== $("outcome").value)) return false;
      if ($("side").value && question.held_out !== ($("side").value === "held")) return false;
      return !words || `${id} ${question.text}`.toLowerCase().includes(words);
    });
  };

  const list = () => {
    const [ours, theirs] = [rowsOf(left), rowsOf(right)];
    const body = $("list").tBodies[0];
    const found = kept().sort(([a], [b]) => Math.abs((value(theirs[b]) ?? 0) - (value(ours[b]) ?? 0)) - Math.abs((value(theirs[a]) ?? 0) - (value(ours[a]) ?? 0)));
    body.replaceChildren(...found.slice(0, 1000).map(([id, question]) => {
      const [a, b] = [ours[id], theirs[id]];
      const row = make("tr", null, { tabindex: 0, "data-id": id });
      row.append(make("td", question.text || id), make("td", short(value(a)), { class: "number" }), make("td", short(value(b)), { class: "number" }), make("td", a ? a.o : "–"), make("td", b ? b.o : "–"));
      row.onclick = () => open(id);
      row.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(id); } };
      return row;
    }));
    const ids = Object.keys(data.questions);
    const counts = [ids.filter((id) => won(ours[id], theirs[id])).length, ids.filter((id) => won(theirs[id], ours[id])).length];
    $("score").textContent = `Of ${ids.length} questions A wins ${counts[0]} and loses ${counts[1]}; ${found.length} are shown.`;
    tally(ours, theirs);
  };

  const tally = (ours, theirs) => {
    const count = (rows, name) => Object.values(rows).filter((row) => row.o === name).length;
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const name of ["what became of the questions", "A", "B", ""]) head.append(make("th", name, { scope: "col" }));
    for (const name of data.outcomes) {
      const numbers = [count(ours, name), count(theirs, name)];
      if (!numbers[0] && !numbers[1]) continue;
      const row = table.insertRow();
      const button = make("button", name, { type: "button" });
      button.onclick = () => { $("which").value = "all"; $("outcome").value = name; list(); };
      row.insertCell().append(button);
      for (const number of numbers) row.append(make("td", number, { class: "number" }));
      row.append(make("td", data.meanings[name], { class: "small" }));
    }
    $("outcomes").replaceChildren(table);
  };

  const textOf = (corpus, name, start, end) => {
    for (const [first, text] of (data.passages[corpus] || {})[name] || []) {
      if (first <= start && end <= first + text.length) return text.slice(start - first, end - first);
    }
    return null;
  };
  const shared = (evidence, [name, start, end]) => evidence
    .filter(([, , document, from, to]) => document === name && (from === null || (from < end && to > start)))
    .map(([, , , from, to]) => (from === null ? null : [Math.max(from, start), Math.min(to, end)]));
  const passage = (corpus, hit, evidence, place) => {
    const [name, start, end, score, page, headings] = hit;
    const gold = shared(evidence, hit);
    const box = make("div", null, { class: gold.length ? "hit gold" : "hit" });
    const where = [`${place + 1}. ${name}`, page ? `page ${page}` : "", (headings || []).join(" › "), `${start}–${end}`, score === null ? "" : `score ${score}`];
    box.append(make("div", where.filter(Boolean).join(" · ") + (gold.length ? " · holds evidence" : ""), { class: "where" }));
    const text = textOf(corpus, name, start, end);
    if (text === null) return box;
    let at = start;
    for (const [from, to] of gold.filter(Boolean).sort((a, b) => a[0] - b[0])) {
      if (to <= at) continue;
      box.append(text.slice(at - start, Math.max(from, at) - start), make("mark", text.slice(Math.max(from, at) - start, to - start)));
      at = to;
    }
    box.append(text.slice(at - start));
    return box;
  };

  const open = (id) => {
    const question = data.questions[id];
    if (!question) return;
    const box = $("detail");
    box.replaceChildren(make("h3", question.text || id), make("p", `${id} · ${question.held_out ? "held out" : "asked in the search"}${question.answerable ? "" : " · the documents do not answer it"}`, { class: "small" }));
    if (question.reference) box.append(make("p", `expected: ${question.reference}`));
    if (question.evidence.length) {
      const gold = make("details");
      gold.append(make("summary", `evidence (${question.evidence.length})`));
      question.evidence.forEach(([need, kind, name, start, end], place) => {
        gold.append(start === null ? make("p", `${place + 1}. ${name} (${kind})`) : passage(corpusOf(left), [name, start, end, null], [[need, kind, name, start, end]], place));
      });
      box.append(gold);
    }
    const sides = make("div", null, { class: "sides" });
    for (const select of [left, right]) {
      const row = rowsOf(select)[id];
      const side = make("div", null, { class: "side" });
      side.append(make("h3", `${select === left ? "A" : "B"}, trial ${select.value}: ${row ? `${short(row.v)}, ${row.o}` : "was not asked"}`));
      if (row) {
        side.append(make("p", data.meanings[row.o], { class: "small" }));
        const share = row.in_list >= 0.999 ? "all" : `${Math.round(100 * (row.in_list || 0))} %`;
        const last = row.rank === null || row.rank === undefined ? "" : `; its ranked list has ${share} of the evidence, by rank ${row.rank}`;
        side.append(make("p", `${row.tokens} tokens of context${last}`, { class: "small" }));
        if (row.failed) side.append(make("p", `failed: ${row.failed}`));
        if (data.texts) side.append(make("p", row.refused ? "refused" : `answer: ${row.a || "–"}`));
        for (const [name, why] of Object.entries(row.why)) side.append(make("p", `${name}: ${why}`, { class: "small" }));
        row.hits.forEach((hit, place) => side.append(passage(corpusOf(select), hit, row.evidence || question.evidence, place)));
      }
      sides.append(side);
    }
    box.append(sides);
    for (const row of $("list").tBodies[0].rows) row.classList.toggle("chosen", row.dataset.id === id);
    box.focus();
  };
  for (const id of ["left", "right", "which", "outcome", "side"]) $(id).onchange = list;
  $("words").oninput = list;
  list();
  window.ragOpt = { data, open };

  // ---- charts ----------------------------------------------------------------------------------------------------
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0))); // the first screen is painted before
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  const Plotly = window.Plotly;
  const complete = data.trials.filter((one) => one.value !== null);
  const layout = (more = {}) => ({
    margin: { l: 60, r: 20, t: 10, b: 45 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: getComputedStyle(root).getPropertyValue("--ink").trim(), size: 12 }, hovermode: "closest",
    legend: { orientation: "h", y: 1.08 }, ...more,
  });
  const grid = () => ({ gridcolor: dark() ? "#39404d" : "#e2e6ec", zeroline: false });
  const draw = (id, traces, more) => { if ($(id)) Plotly.react($(id), traces, layout(more), { displaylogo: false, responsive: true, displayModeBar: false }); };
  const words = (one) => `trial ${one.n} (${one.origin})<br>${one.words.replaceAll(" · ", "<br>")}`;

  const history = () => {
    let best = null;
    const line = complete.map((one) => { if (!one.outside.length && (best === null || data.sign * one.value > data.sign * best)) best = one.value; return best; });
    draw("chart-history", [
      { x: complete.map((one) => one.n), y: complete.map((one) => one.value), text: complete.map(words), hovertemplate: "%{text}<br><b>%{y:.4f}</b><extra></extra>", mode: "markers", name: "trial", marker: { color: colours.blue, size: 8 } },
      { x: complete.map((one) => one.n), y: line, mode: "lines", name: "best so far", line: { color: colours.orange, shape: "hv", width: 2 }, hoverinfo: "skip" },
      ...named((one) => one.n, (one) => one.value),
    ], { xaxis: { title: { text: "trial" }, ...grid() }, yaxis: { title: { text: data.objective }, ...grid() } });
  };
  const named = (x, y) => [["winner", data.winner, "star", colours.green], ["baseline", data.baseline, "diamond", colours.red]].flatMap(([name, number, symbol, color]) => {
    const one = complete.find((trial) => trial.n === number);
    return one && x(one) !== null && x(one) !== undefined ? [{ x: [x(one)], y: [y(one)], name, text: [words(one)], mode: "markers", marker: { symbol, color, size: 14 }, hovertemplate: "%{text}<extra></extra>" }] : [];
  });
  const importance = () => {
    const shares = new Map(data.importance.map((one) => [one.path, one.share]));
    const shown = data.effects.slice(0, 12).reverse();
    const names = shown.map((one) => one.path);
    draw("chart-importance", [
      { y: names, x: shown.map((one) => 100 * one.size), type: "bar", orientation: "h", marker: { color: colours.orange }, hovertemplate: "%{y}: %{x:.2f} points<extra></extra>" },
      { y: names, x: shown.map((one) => shares.get(one.path) || 0), type: "bar", orientation: "h", xaxis: "x2", marker: { color: colours.blue }, hovertemplate: "%{y}: %{x:.0%}<extra></extra>" },
    ], { showlegend: false, margin: { l: 230, r: 20, t: 10, b: 45 }, xaxis: { domain: [0, 0.47], title: { text: "points that its choice moves a trial" }, ...grid() }, xaxis2: { domain: [0.53, 1], tickformat: ".0%", title: { text: "share, PED-ANOVA" }, ...grid() }, yaxis: { automargin: true, dtick: 1 } });
  };
  const effects = () => {
    const rows = data.effects.slice(0, 10).flatMap((one) => one.levels.map((level) => [`${one.path} = ${level[0]} (${level[1]} ${level[1] === 1 ? "trial" : "trials"})`, level]));
    rows.reverse();
    if ($("chart-effects")) $("chart-effects").style.height = `${90 + 19 * rows.length}px`;
    draw("chart-effects", [{ y: rows.map(([name]) => name), x: rows.map(([, l]) => 100 * l[2]), mode: "markers", marker: { color: colours.blue, size: 9 }, error_x: { type: "data", symmetric: false, array: rows.map(([, l]) => 100 * (l[4] - l[2])), arrayminus: rows.map(([, l]) => 100 * (l[2] - l[3])), color: colours.grey }, hovertemplate: "%{y}: %{x:+.2f} points<extra></extra>" }],
      { margin: { l: 340, r: 20, t: 10, b: 45 }, xaxis: { title: { text: "points" }, ...grid(), zeroline: true, zerolinecolor: colours.grey }, yaxis: { automargin: true, dtick: 1, tickfont: { size: 11 }, ...grid() } });
  };
  const parallel = () => {
    const paths = [...new Set(complete.flatMap((one) => Object.keys(one.parameters)))].filter((path) => new Set(complete.map((one) => String(one.parameters[path]))).size > 1);
    const order = new Map(data.importance.map((one, place) => [one.path, place]));
    paths.sort((a, b) => (order.get(a) ?? 99) - (order.get(b) ?? 99));
    const dimensions = paths.slice(0, 9).map((path) => {
      const values = complete.map((one) => one.parameters[path]);
      const known = values.filter((one) => one !== undefined);
      if (known.every((one) => typeof one === "number")) {
        const [low, high] = [Math.min(...known), Math.max(...known)];
        const absent = low - (high - low || 1) * 0.15;
        const ticks = [...new Set(known)].sort((a, b) => a - b);
        const few = ticks.length <= 8 ? ticks : [low, (low + high) / 2, high];
        return { label: path, values: values.map((one) => (one === undefined ? absent : one)), tickvals: [absent, ...few], ticktext: ["–", ...few.map((one) => String(+one.toFixed(3)))] };
      }
      const names = [...new Set(values.map((one) => (one === undefined ? "–" : String(one))))].sort((a, b) => (b === "–") - (a === "–") || a.localeCompare(b));
      return { label: path, values: values.map((one) => names.indexOf(one === undefined ? "–" : String(one))), tickvals: names.map((_, i) => i), ticktext: names };
    });
    dimensions.push({ label: data.objective, values: complete.map((one) => one.value) });
    draw("chart-parallel", [{ type: "parcoords", dimensions, labelangle: -12, line: { color: complete.map((one) => one.value), colorscale: "Cividis", reversescale: false } }], { margin: { l: 90, r: 60, t: 90, b: 25 } });
  };
  const heat = () => {
    const { trials, questions, low, high } = data.heat;
    const bytes = Uint8Array.from(atob(data.heat.values), (c) => c.charCodeAt(0));
    const z = trials.map((_, i) => Array.from(bytes.subarray(i * questions.length, (i + 1) * questions.length), (b) => (b === 255 ? null : low + ((high - low) * b) / 254)));
    const label = questions.map((id) => (data.questions[id] && data.questions[id].text ? data.questions[id].text.slice(0, 90) : id));
    draw("chart-heat", [{ type: "heatmap", z, y: trials.map((n) => `trial ${n}`), x: questions.map((_, i) => i), customdata: trials.map(() => label), hovertemplate: "%{y}<br>%{customdata}<br>%{z:.3f}<extra></extra>", colorscale: "Cividis", colorbar: { title: { text: data.objective } } }],
      { xaxis: { title: { text: "search questions, the hardest first" }, showticklabels: false }, yaxis: { autorange: "reversed", automargin: true, type: "category" } });
    if ($("chart-heat").on) $("chart-heat").on("plotly_click", (event) => open(questions[event.points[0].x]));
  };
  const models = () => {
    const known = data.models.filter((one) => one.published !== null && one.published !== undefined);
    if (!$("chart-models")) return;
    draw("chart-models", [{ x: known.map((one) => one.published), y: known.map((one) => one.value), text: known.map((one) => one.name), mode: "markers+text", textposition: "top center", marker: { color: colours.green, size: 11 }, hovertemplate: "%{text}: %{x} published, %{y:.4f} here<extra></extra>" }],
      { xaxis: { title: { text: `published: ${data.benchmark}, in points` }, ...grid() }, yaxis: { title: { text: `best ${data.objective} here` }, ...grid() } });
  };
  const costName = { "cost/context_tokens": "context tokens", "cost/latency_ms_p50": "latency, median, ms", "cost/usd": "dollars per question", "cost/batch_ms": "ms of a question in a batch" };
  const front = () => {
    const cost = $("cost").value;
    const known = complete.filter((one) => one.costs[cost] !== null && one.costs[cost] !== undefined);
    const best = [...known].sort((a, b) => a.costs[cost] - b.costs[cost] || data.sign * (b.value - a.value)).filter((one, i, all) => all.slice(0, i).every((other) => data.sign * other.value < data.sign * one.value));
    draw("chart-front", [
      { x: known.map((one) => one.costs[cost]), y: known.map((one) => one.value), text: known.map(words), mode: "markers", name: "trial", marker: { color: colours.blue, size: 8 }, hovertemplate: "%{text}<br>%{x:.4g}, <b>%{y:.4f}</b><extra></extra>" },
      { x: best.map((one) => one.costs[cost]), y: best.map((one) => one.value), mode: "lines", name: "Pareto front", line: { color: colours.orange, shape: "hv" }, hoverinfo: "skip" },
      ...named((one) => one.costs[cost], (one) => one.value),
    ], { xaxis: { title: { text: costName[cost] }, ...grid() }, yaxis: { title: { text: data.objective }, ...grid() } });
  };
  const stages = () => {
    const rows = data.stages.filter(([, spent, saved]) => spent + saved > 0.05).slice(0, 14).reverse();
    draw("chart-stages", [
      { y: rows.map((row) => row[0]), x: rows.map((row) => row[1]), name: "spent", type: "bar", orientation: "h", marker: { color: colours.red }, hovertemplate: "%{y}: %{x:.1f} s spent<extra></extra>" },
      { y: rows.map((row) => row[0]), x: rows.map((row) => row[2]), name: "saved by the store", type: "bar", orientation: "h", marker: { color: colours.green, pattern: { shape: "/" } }, hovertemplate: "%{y}: %{x:.1f} s saved<extra></extra>" },
    ], { barmode: "stack", margin: { l: 260, r: 20, t: 10, b: 45 }, xaxis: { title: { text: "seconds, all trials" }, ...grid() }, yaxis: { automargin: true } });
  };
  const growth = () => {
    if (!data.growth || !$("chart-growth")) return;
    draw("chart-growth", data.growth.curves.map((one, i) => ({ x: data.growth.factors, y: one.recall, name: `trial ${one.trial}${one.trial === data.winner ? ", winner" : one.trial === data.baseline ? ", baseline" : ""}, top ${one.k}`, mode: "lines+markers", line: { color: [colours.blue, colours.orange, colours.grey][i % 3], dash: ["solid", "dash", "dot"][i % 3] } })),
      { xaxis: { type: "log", title: { text: "times the documents" }, tickvals: data.growth.factors, ...grid() }, yaxis: { range: [0, 1], title: { text: "recall at top_k" }, ...grid() } });
  };
  for (const name of Object.keys(costName)) {
    if (complete.some((one) => one.costs[name])) $("cost").append(make("option", costName[name], { value: name }));
  }
  $("cost").onchange = front;
  const all = () => { history(); importance(); effects(); parallel(); heat(); models(); front(); stages(); growth(); };
  $("theme").onclick = () => { root.dataset.theme = dark() ? "light" : "dark"; all(); };
  all();
  root.dataset.drawn = "true";
})();
