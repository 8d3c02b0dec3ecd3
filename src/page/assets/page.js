// Keeps the page up to date, asks before a command, and draws the curves. No framework, nothing from
// elsewhere; without it the page can be read and does not move.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const link = byId("link");
  const charts = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // ---- curves ----
  const TONES = { harm: "--bad", safety: "--good", authorised: "--soft", accepted: "--busy", observed: "--warn" };
  function aligned(plot) {
    const rows = plot.lines.map((line) => line.y);
    if (plot.limit !== null) rows.push(plot.x.map(() => plot.limit));
    return [plot.x, ...rows];
  }
  function options(plot, width) {
    const text = colour("--soft"), grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: text, grid, ticks: grid };
    const dashes = [[], [6, 3], [2, 3]];
    const series = plot.lines.map((line, n) => ({
      label: line.name, stroke: colour(TONES[line.name] || "--text"), width: 2, dash: dashes[n % 3],
      spanGaps: true, points: { show: !line.steps, size: 5 },
      paths: line.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
      value: (_, v) => (v === null || v === undefined ? "–" : v + " %"),
    }));
    if (plot.limit !== null) series.push({ label: "limit", stroke: text, width: 1, dash: [8, 4], points: { show: false }, value: (_, v) => (v ? v + " %" : "–") });
    return {
      width, height: 190, axes: [axis, { ...axis, size: 50 }], series: [{ label: "time" }, ...series],
      scales: { y: { range: (_, low, high) => [0, Math.max(100, high || 0)] } }, cursor: { y: false },
    };
  }
  function draw(root) {
    if (typeof uPlot === "undefined") return;
    for (const place of root.querySelectorAll("[data-plot]")) {
      const plot = JSON.parse(place.dataset.plot);
      const shape = plot.lines.map((line) => line.name).join();
      const known = charts.get(place.id);
      if (known && known.shape === shape) {
        place.append(known.chart.root);
        known.chart.setData(aligned(plot));
      } else if (plot.x.length > 0) {
        const chart = new uPlot(options(plot, Math.max(260, place.clientWidth)), aligned(plot), place);
        charts.set(place.id, { chart, shape });
      }
    }
    for (const [id, known] of charts) {
      if (!byId(id)) { known.chart.destroy(); charts.delete(id); }
    }
  }
  function redraw() {
    for (const known of charts.values()) known.chart.destroy();
    charts.clear();
    draw(document);
  }
  let resized;
  window.addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(redraw, 200); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // ---- changes ----
  // What has the focus is found again by its place among what can have it: the part is made anew.
  const FOCUS = "a[href], button, summary, [tabindex]";
  function replace(element, html) {
    const inside = element.contains(document.activeElement) && document.activeElement !== element;
    const at = inside ? [...element.querySelectorAll(FOCUS)].indexOf(document.activeElement) : -1;
    const open = [...element.querySelectorAll("details")].map((d) => d.open);
    const scrolled = [...element.querySelectorAll(".scroll, pre")].map((d) => d.scrollLeft);
    element.innerHTML = html;
    [...element.querySelectorAll("details")].forEach((d, n) => { if (n < open.length) d.open = open[n]; });
    [...element.querySelectorAll(".scroll, pre")].forEach((d, n) => { d.scrollLeft = scrolled[n] || 0; });
    if (at >= 0) {
      const all = element.querySelectorAll(FOCUS);
      const again = all[Math.min(at, all.length - 1)];
      if (again) again.focus({ preventScroll: true });
    }
    if (element.id === "head") say();
    draw(element);
  }
  let said = "";
  function say() {
    const phase = document.querySelector("#head .phase");
    const now = phase ? phase.textContent.trim().replace(/\s+/g, " ") : "";
    const place = byId("said");
    if (place && said && now !== said) place.textContent = now;
    said = now;
  }
  function order(ids) {
    const rows = byId("rows");
    if (!rows) return;
    const wanted = new Set(ids);
    for (const row of [...rows.children]) if (!wanted.has(row.id)) row.remove();
    ids.forEach((id, n) => {
      let row = byId(id);
      if (!row) { row = document.createElement("tr"); row.id = id; }
      if (rows.children[n] !== row) rows.insertBefore(row, rows.children[n] || null);
    });
  }
  let lost = null;
  function listen(address) {
    const source = new EventSource(address);
    source.addEventListener("parts", (event) => {
      const news = JSON.parse(event.data);
      if (news.rows) order(news.rows);
      for (const [id, html] of Object.entries(news.parts)) {
        const element = byId(id);
        if (element) replace(element, html);
      }
      document.body.dataset.live = String(Number(document.body.dataset.live || 0) + 1);
    });
    source.addEventListener("open", () => { lost = null; link.hidden = true; });
    source.addEventListener("error", () => {
      if (lost === null) lost = new Date();
      link.textContent = "Connection lost since " + lost.toLocaleTimeString() + ": what is shown may be old. Is the program still running?";
      link.hidden = false;
      if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(() => listen(address), 3000); }
    });
  }

  // ---- commands ----
  const dialog = byId("confirm");
  let asked = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.act");
    if (!button || !dialog) return;
    const about = button.parentElement.dataset;
    asked = { verb: button.dataset.verb, namespace: about.namespace, name: about.name, seen: about.seen };
    byId("confirm-title").textContent = button.textContent + " " + about.name + "?";
    byId("confirm-will").textContent = button.dataset.will;
    byId("confirm-answer").textContent = "";
    const yes = byId("confirm-yes");
    yes.textContent = button.textContent;
    yes.classList.toggle("sure", button.classList.contains("grave"));
    yes.hidden = false;
    yes.disabled = false;
    byId("confirm-no").textContent = "Cancel";
    dialog.showModal();
    byId("confirm-no").focus();
  });
  if (dialog) {
    byId("confirm-no").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      const again = asked && document.querySelector(`button.act[data-verb="${asked.verb}"], button.act[data-verb="abort"]`);
      if (again) again.focus({ preventScroll: true });
    });
    byId("confirm-yes").addEventListener("click", async () => {
      const yes = byId("confirm-yes"), answer = byId("confirm-answer");
      yes.disabled = true;
      answer.textContent = "Asked; the controller's answer is waited for.";
      try {
        const response = await fetch("/command", {
          method: "POST", redirect: "error",
          headers: { "content-type": "application/json", "x-tidegate-page": document.body.dataset.mark },
          body: JSON.stringify(asked),
        });
        const text = await response.text();
        let told = { done: false, text };
        try { told = JSON.parse(text); } catch { /* the guard answers in plain words */ }
        answer.textContent = (told.done ? "✔ " : "✖ ") + told.text;
      } catch (error) {
        answer.textContent = "✖ The page's program does not answer (" + error.message + "). Whether the request was written is not known: look at the last command.";
      }
      yes.hidden = true;
      byId("confirm-no").textContent = "Close";
      byId("confirm-no").focus();
    });
  }

  draw(document);
  say();
  if (document.body.dataset.events) listen(document.body.dataset.events);
})();
