"use strict";
(() => {
  // All data is text: it enters the page by text nodes and attributes alone.
  const SVG = "http://www.w3.org/2000/svg";
  const SYMBOLS = { passed: "✓", failed: "✕", error: "‼", skipped: "–", xfailed: "~" };
  const MARKS = { error: "✕", "rolled back": "↶", "not sent": "∅", "no answer": "…", stopped: "■" };
  const ORDER = ["failed", "error", "xfailed", "skipped", "passed"];
  // pixels, as in svg.py
  const GUTTER = 74, LINE = 17, GAP = 8, CHARACTER = 7.25, NARROWEST = 190, WIDEST = 460, MOST_LINES = 5;
  const HISTORY_ROWS = 500;
  const PLAIN = new Set(["fine", "quiet"]);

  const byId = (id) => document.getElementById(id);
  const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  };
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const sv = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const ms = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")) + " ms";
  const seconds = (value) => (value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString("en")) + " s";
  const fold = (text) => text.split(/\s+/).join(" ").trim();
  const place = (one) => (one.line ? `${one.file}:${one.line}` : one.file || "");

  const index = JSON.parse(byId("index").textContent).scenarios;
  index.forEach((one, number) => {
    one.number = number;
    one.text = [one.id, one.title, one.reason, one.verdict, ...(one.tags || []), ...Object.entries(one.values || {}).map((pair) => pair.join("="))].join("\n").toLowerCase();
  });
  const read = (number) => JSON.parse(byId(`scenario-${number}`).textContent);

  // the list

  const shown = new Set(ORDER);
  let current = -1;

  const verdict = (name) => el("span", { class: `verdict ${name}` }, `${SYMBOLS[name] || "?"} ${name}`);

  function entry(one) {
    const link = el("a", { href: `#${one.number}` }, verdict(one.verdict), ` ${one.title || one.name}`,
      el("small", {}, `${one.id}${one.seconds === undefined ? "" : `, ${seconds(one.seconds)}`}`),
      one.reason ? el("small", {}, one.reason.slice(0, 160)) : null);
    one.link = link;
    one.item = el("li", {}, link);
    return one.item;
  }

  function filter() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const one of index) {
      const fits = shown.has(one.verdict) && words.every((word) => one.text.includes(word));
      one.item.hidden = !fits;
      count += fits;
    }
    byId("count").textContent = `${count.toLocaleString("en")} of ${index.length.toLocaleString("en")} shown`;
  }

  function buildList() {
    const rank = (one) => ORDER.indexOf(one.verdict);
    const sorted = [...index].sort((a, b) => rank(a) - rank(b) || a.number - b.number);
    byId("list").append(...sorted.map(entry));
    for (const name of ORDER) {
      const count = index.filter((one) => one.verdict === name).length;
      const button = el("button", {
        type: "button", "aria-pressed": "true", hidden: !count, onclick: () => {
          const on = button.getAttribute("aria-pressed") !== "true";
          button.setAttribute("aria-pressed", String(on));
          if (on) shown.add(name); else shown.delete(name);
          filter();
        },
      }, `${SYMBOLS[name]} ${count} ${name}`);
      byId("verdicts").append(button);
    }
    byId("search").addEventListener("input", filter);
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    byId("list").addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      const links = [...byId("list").querySelectorAll("li:not([hidden]) a")];
      const next = links[links.indexOf(document.activeElement) + step];
      if (next) next.focus();
      event.preventDefault();
    });
    filter();
    return sorted;
  }

  // a scenario

  function open(number, focus) {
    if (!index[number]) return;
    if (current >= 0) index[current].link.removeAttribute("aria-current");
    current = number;
    index[number].link.setAttribute("aria-current", "true");
    const detail = byId("detail");
    detail.replaceChildren(...sections(read(number), false));
    detail.setAttribute("aria-label", `Scenario ${index[number].title || index[number].name}`);
    detail.dispatchEvent(new Event("shown"));
    if (focus) detail.focus();
  }

  function sections(data, printed) {
    const values = Object.entries(data.values || {}).map(([name, value]) => ` ${name} = ${value}`);
    const source = sourceView(data);
    return [
      el("h2", {}, verdict(data.verdict), ` ${data.title || data.name}`),
      el("p", { class: "about" }, [data.id, data.mutant ? `mutant “${data.mutant}”` : "", ...values, data.seconds === undefined ? "" : seconds(data.seconds), data.server || ""].filter(Boolean).join(" · "), " ",
        ...(data.tags || []).flatMap((tag) => [el("span", { class: "tag" }, tag), " "])),
      ...(data.settings ? [el("p", { class: "about" }, `Settings: ${data.settings.map((one) => `${one.name} = ${one.value} (${one.file}:${one.line})`).join(", ")}`)] : []),
      ...causes(data),
      ...timelineSection(data, source, printed),
      ...oracle(data.oracle),
      ...repeats(data.repeats),
      ...search(data.search),
      ...again(data),
      ...titled(data.tap && "Assertions (TAP)", () => tap(data.tap)),
      ...titled(data.sources && (data.file.endsWith(".py") ? "Python" : "SQL"), () => source.elements),
      ...latency(data.latency),
      ...lines("State of the sessions when the run was stopped", (data.sessions || []).map((one) => `${one.session}  ${one.state}${one.waits_for ? `, waits for ${one.waits_for.join(", ")}` : ""}`)),
      ...lines("Output of diag()", data.diagnostics),
      ...lines("Output", data.output),
      ...lines("Notes", data.notes),
      ...lines("Server log", data.log),
      ...history(data, printed),
      ...report(data, printed),
    ];
  }

  const titled = (title, build) => (title ? [el("h3", {}, title), ...[build()].flat()] : []);
  const lines = (title, texts) => titled(texts && texts.length && title, () => el("pre", {}, texts.join("\n")));

  function causes(data) {
    const cause = (failure, kind, reason) => el("div", { class: `cause ${kind}` },
      el("p", { class: "title" }, reason ? `Expected (${reason}): ` : "", failure.session && !failure.text.includes(failure.session) ? `${failure.session}: ` : "", failure.text),
      el("p", {}, [failure.kind, place(failure)].filter(Boolean).join(", ")),
      failure.details ? el("pre", {}, failure.details.join("\n")) : null);
    const found = (data.failures || []).map((failure) => cause(failure, data.verdict === "passed" || data.verdict === "xfailed" ? "expected" : "", data.mutant && data.verdict === "passed" ? "the mutant is caught" : ""));
    for (const one of data.expected || []) found.push(...(one.failures || []).map((failure) => cause(failure, "expected", one.reason)));
    if (!found.length && data.text && data.verdict !== "passed") {
      found.push(el("div", { class: data.verdict === "failed" || data.verdict === "error" ? "cause" : "cause expected" }, el("pre", {}, data.text)));
    }
    return found;
  }

  function tap(texts) {
    const kind = (text) => (text.startsWith("not ok") && !/# TODO/i.test(text) ? "not" : text.startsWith("#") ? "note" : "");
    return el("div", { class: "tap" }, texts.map((text) => el("div", { class: kind(text) }, text)));
  }

  function sourceView(data) {
    const rows = new Map();
    const lit = new Set();
    const events = (data.timeline || { events: [] }).events;
    for (const failure of [...(data.failures || []), ...events.flatMap((event) => event.failures || [])]) lit.add(place(failure));
    const elements = (data.sources || []).map((file, number) => {
      const table = el("table", { class: "source", "aria-label": file.file });
      const body = el("tbody");
      file.text.replace(/\n$/, "").split("\n").forEach((text, at) => {
        const key = `${file.file}:${at + 1}`;
        const row = el("tr", { class: lit.has(key) ? "lit" : null }, el("td", {}, String(at + 1)), el("td", {}, text || " "));
        if (lit.has(key)) row.firstChild.setAttribute("aria-label", `line ${at + 1}, failed`);
        rows.set(key, row);
        body.append(row);
      });
      table.append(body);
      return el("details", { open: number === 0 || file.text.length < 20000 }, el("summary", {}, file.file), el("div", { class: "wide" }, table));
    });
    let now = null;
    const light = (event) => {
      if (now) now.classList.remove("now");
      now = rows.get(place(event)) || null;
      if (now) now.classList.add("now");
    };
    return { elements, light };
  }

  function again(data) {
    const line = (what, command) => [el("p", { class: "about" }, what), el("pre", {}, command), el("button", {
      type: "button", onclick: (event) => {
        const code = event.target.previousElementSibling;
        getSelection().selectAllChildren(code);
        if (navigator.clipboard) navigator.clipboard.writeText(command).then(() => { event.target.textContent = "Copied"; }, () => {});
      },
    }, "Copy")];
    const ways = data.ways || (data.again ? [{ words: "To run it again:", command: data.again }] : []);
    return titled(ways.length && "Run it again", () => ways.flatMap((one) => line(one.words, one.command)));
  }

  function search(found) {
    if (!found) return [];
    const facts = [];
    if (found.covered) facts.push(`Searched: ${found.covered}.`);
    if (found.runs) facts.push(`${found.runs.toLocaleString("en")} runs${found.failed ? `, ${found.failed.toLocaleString("en")} failed` : ", none failed"}${found.exhausted ? "; there are no other orders" : ""}.`);
    if (found.values_tried) facts.push(`${found.values_tried.toLocaleString("en")} values tried.`);
    const first = (found.order || []).findIndex((one, at) => !(found.nearest || [])[at] || found.nearest[at].step !== one.step);
    const list = (steps) => el("ol", { class: "steps" }, steps.map((one, at) => el("li", { class: found.nearest && at === first ? "differs" : null }, one.step, one.waits_for ? ` (waits for ${one.waits_for})` : "")));
    const sides = [];
    if (found.order) sides.push(el("div", {}, el("h4", {}, found.nearest ? "This order failed" : "The order of the steps"), list(found.order)));
    if (found.nearest) sides.push(el("div", {}, el("h4", {}, "The nearest order that passed"), list(found.nearest)));
    if (!facts.length && !sides.length) return [];
    return titled("Schedule", () => [...facts.map((text) => el("p", { class: "about" }, text)), el("div", { class: "sides" }, sides)]);
  }

  function repeats(found) {
    if (!found) return [];
    const parts = found.parts;
    const list = (title, texts) => el("div", {}, el("h4", {}, title), el("ol", { class: "steps", start: parts.from + 1 },
      texts.map((text, at) => el("li", { class: parts.from + at === parts.same ? "differs" : null }, text))));
    return titled("Repeated", () => [
      el("p", { class: "about" }, `${found.summary}.${found.seeds ? ` Seeds of runs that failed: ${found.seeds.slice(0, 20).join(", ")}.` : ""}`),
      parts ? el("div", { class: "sides" }, list(`Run ${parts.failed_run} failed`, parts.failed), list(`Run ${parts.passed_run} passed`, parts.passed)) : "",
    ]);
  }

  function oracle(found) {
    if (!found) return [];
    const title = found.anomalies ? `Oracle: ${found.anomalies.join(", ")}` : found.decided ? "Oracle: the outcome of a serial order" : "Oracle: not decided";
    return titled(title, () => [
      el("p", { class: "about" }, `${found.serial_runs || 0} serial runs.${found.serial_order ? ` The nearest serial order: ${found.serial_order}.` : ""}`),
      found.differences ? grid(["where", "the serial order gives", "this run gave"], found.differences.map((one) => [one.where, one.serial, one.here])) : "",
    ]);
  }

  function latency(found) {
    // where each statement was sent once, the timeline has its time
    if (!found || found.every((one) => one.count === 1)) return [];
    const columns = Object.keys(found[0]);
    return titled("Latency in ms", () => grid(columns.map((name) => name.replace(/_ms$/, "")), found.map((row) => columns.map((name) => row[name]))));
  }

  function grid(heads, rows) {
    const cell = (value) => el("td", { class: typeof value === "number" ? "number" : null }, value === undefined || value === null ? "" : String(value));
    return el("div", { class: "wide" }, el("table", { class: "rows" },
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell))))));
  }

  function lazily(title, open, build) {
    const details = el("details", { open }, el("summary", {}, title));
    const make = () => { if (details.open && details.children.length === 1) details.append(...[build()].flat()); };
    details.addEventListener("toggle", make);
    make();
    return [details];
  }

  function history(data, printed) {
    const { events, lanes } = data.timeline || { events: [] };
    const rows = events.filter((event) => event.kind === "statement");
    if (!rows.length || printed) return [];
    const heads = ["session", "step", "iteration", "attempt", "line", "started", "took", "statement as sent", "rows", "sqlstate", "message", "waited on", "fault"];
    const row = (event) => [lanes[event.lane].name, event.step, event.iteration || 1, event.attempt || 1, place(event), event.start, event.took, fold(event.sent || event.statement), event.rows, event.sqlstate, event.message, event.wait && event.wait.on.join(", "), event.fault];
    return lazily(`History: ${rows.length.toLocaleString("en")} statements`, false, () => {
      const made = grid(heads, rows.slice(0, HISTORY_ROWS).map(row));
      if (rows.length <= HISTORY_ROWS) return made;
      const more = el("button", { type: "button", onclick: () => { made.replaceWith(grid(heads, rows.map(row))); more.remove(); } }, `Show all ${rows.length.toLocaleString("en")}`);
      return [made, more];
    });
  }

  function report(data, printed) {
    return data.text && data.failures && !printed ? lazily("Report as text", false, () => el("pre", {}, data.text)) : [];
  }

  // the timeline

  function kindOf(event) {
    if (event.failures) return "failed";
    if (event.fault || event.kind === "fault") return "fault";
    if (event.mark === "error" || event.mark === "no answer") return "error";
    if (event.wait) return "waits";
    return event.kind !== "statement" || event.mark ? "quiet" : "fine";
  }

  function label(event, file) {
    const rest = [...(event.remarks || [])];
    if (rest.length && MARKS[event.mark]) rest[0] = `${MARKS[event.mark]} ${rest[0]}`;
    const at = event.file === file ? `${event.line}` : `${(event.file || "").split("/").pop()}:${event.line}`;
    const text = `${event.line ? `${at}: ` : ""}${event.sent || event.statement}`;
    return [event.fault || event.kind === "fault" ? `⚡ ${text}` : text, ...rest];
  }

  function wrap(text, width, most) {
    const found = [];
    while (text.length > width) {
      // only a word that is longer than a line is broken, after a sign if it can be: as in svg.py
      const blank = text.lastIndexOf(" ", width), late = width - Math.floor(width / 3);
      const sign = Math.max(...[...",.;:()[]{}=/_-"].map((one) => text.lastIndexOf(one, width - 1)));
      const fits = blank > 0 && (blank >= late || text.slice(blank + 1).split(" ", 1)[0].length <= width);
      const end = fits ? blank : sign >= late ? sign + 1 : width;
      if (found.length === most - 1) return [...found, `${text.slice(0, Math.min(end, width - 1))}…`];
      found.push(text.slice(0, end));
      text = text.slice(end).trimStart();
    }
    return [...found, text];
  }

  function fit(texts, room, width) {
    // the statement takes the lines that the remarks leave
    const cut = (text) => (text.length <= width ? text : `${text.slice(0, width - 1)}…`);
    const wrapped = wrap(fold(texts[0]), width, Math.max(1, room - texts.length + 1));
    return [...wrapped.map((text) => [text, "sql"]), ...texts.slice(1).map((text) => [cut(fold(text)), "remark"])].slice(0, room);
  }

  function timelineSection(data, source, printed) {
    const timeline = data.timeline;
    if (!timeline || !timeline.events.length) return [];
    const chart = new Chart(timeline, data.file, source, printed);
    const legend = [["fine", "statement"], ["waits", "waits for a lock, arrow to whom"], ["failed", "failed the scenario"], ["error", "error that was allowed, or came later"], ["fault", "fault"], ["quiet", "barrier, wait or delay"]];
    const kinds = new Set(timeline.events.map(kindOf));
    return titled("Timeline", () => [
      el("div", { class: "legend" }, legend.filter(([kind]) => kinds.has(kind)).map(([kind, text]) => el("span", {}, el("i", { class: kind }), text)), el("span", {}, "┃ open transaction")),
      ...chart.elements(),
    ]);
  }

  class Chart {
    constructor(timeline, file, source, printed) {
      this.events = timeline.events;
      this.timeline = timeline;
      this.file = file;
      this.source = source;
      this.printed = printed;
      this.byTime = false;
      this.zoom = 1;
      this.drawn = new Map();
      // what failed is chosen at first; else nothing stands out
      const failed = this.events.findIndex((event) => kindOf(event) === "failed");
      this.chosen = Math.max(0, failed);
      this.stands = failed >= 0;
      this.lanes = timeline.lanes.map(() => []);
      this.events.forEach((event, number) => this.lanes[event.lane].push(number));
      this.from = Math.min(...timeline.lanes.map((_, lane) => this.events[this.lanes[lane][0]]).filter((event) => event && event.start !== undefined).map((event) => event.start), timeline.end);
    }

    elements() {
      this.svg = sv("svg", { class: "time", role: "group", "aria-label": "Timeline, time goes down" });
      this.base = sv("g");
      this.layer = sv("g");
      this.arrows = sv("g");
      this.svg.append(this.base, this.arrows, this.layer);
      this.heads = el("div", { class: "heads", "aria-hidden": "true" });
      this.scroll = el("div", { class: "scroll" }, this.heads, this.svg);
      if (this.printed) {
        // on paper the drawing is made smaller, and the names with it
        this.width = 900;
        this.layout();
        this.svg.setAttribute("viewBox", `0 -${LINE} ${this.total} ${this.height + LINE}`);
        this.base.append(...this.timeline.lanes.map((lane, number) => sv("text", { x: GUTTER + number * this.lane + GAP, y: -4, "font-weight": "bold" }, lane.name)));
        this.heads.remove();
        return [this.scroll];
      }
      this.panel = el("div", { class: "inspect", role: "status", "aria-label": "The chosen statement" });
      this.scroll.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
      this.scroll.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoomBy(event.deltaY < 0 ? 1.25 : 0.8, event.clientY);
      }, { passive: false });
      this.svg.addEventListener("keydown", (event) => this.key(event));
      for (const name of ["focusin", "pointerover", "click"]) this.svg.addEventListener(name, (event) => this.point(event));
      this.mode = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.setMode(!this.byTime) }, "True to time");
      const problems = this.events.map((event, number) => [kindOf(event), number]).filter(([kind]) => ["failed", "error", "fault", "waits"].includes(kind)).map(([, number]) => number);
      const next = (step) => {
        const found = step > 0 ? problems.find((number) => number > this.chosen) : problems.filter((number) => number < this.chosen).pop();
        this.choose(found === undefined ? problems[step > 0 ? 0 : problems.length - 1] : found, true);
      };
      const tools = el("div", { class: "tools", role: "toolbar", "aria-label": "Timeline" },
        el("button", { type: "button", "aria-label": "Zoom in", onclick: () => this.zoomBy(1.25) }, "+"),
        el("button", { type: "button", "aria-label": "Zoom out", onclick: () => this.zoomBy(0.8) }, "−"),
        el("button", { type: "button", onclick: () => this.zoomTo(1) }, "Reset"),
        this.mode,
        el("button", { type: "button", disabled: !problems.length, onclick: () => next(-1) }, "Previous wait or failure"),
        el("button", { type: "button", disabled: !problems.length, onclick: () => next(1) }, "Next wait or failure"),
        el("span", { class: "hint" }, "Keys in the timeline: arrows, + and −, 0, t. Ctrl and the wheel zoom too."));
      this.width = Math.max(300, byId("detail").clientWidth - 80);
      this.layout();
      byId("detail").addEventListener("shown", () => { this.draw();
        if (this.stands) this.choose(this.chosen, false);
        else this.panel.replaceChildren(el("p", { class: "about" }, "Point to a statement, or choose it, to see all of it."));
      }, { once: true });
      return [tools, this.scroll, this.panel];
    }

    layout() {
      const count = this.lanes.length;
      this.lane = Math.min(WIDEST, Math.max(Math.min(NARROWEST, (this.width - GUTTER) / 2), (this.width - GUTTER) / count)) * (this.byTime ? 1 : Math.min(2, this.zoom));
      const scale = this.byTime ? 1 : this.zoom;
      if (this.byTime) {
        const span = Math.max(0.001, this.timeline.end - this.from);
        this.perMs = (560 / span) * this.zoom;
        this.height = 30 + span * this.perMs;
      } else {
        this.tops = [GAP];
        for (const height of this.timeline.rows) this.tops.push(this.tops[this.tops.length - 1] + (height * LINE + GAP + 4) * scale);
        this.height = this.tops[this.tops.length - 1] + GAP;
      }
      this.total = GUTTER + count * this.lane;
      this.svg.setAttribute("width", this.total);
      this.svg.setAttribute("height", this.height);
      this.heads.style.width = `${this.total}px`;
      this.heads.replaceChildren(...this.timeline.lanes.map((lane, number) => {
        const span = el("span", { title: lane.name }, lane.name);
        span.style.left = `${GUTTER + number * this.lane + GAP}px`;
        span.style.width = `${this.lane - GAP}px`;
        return span;
      }));
      this.layer.replaceChildren();
      this.arrows.replaceChildren();
      this.drawn.clear();
      this.drawBase();
      this.draw();
    }

    top(number) {
      const event = this.events[number];
      if (!this.byTime) return this.tops[event.row];
      return event.start === undefined ? this.top(Math.max(0, number - 1)) : 10 + (event.start - this.from) * this.perMs;
    }

    bottom(number) {
      const event = this.events[number];
      if (!this.byTime) return this.tops[event.until] - GAP;
      const open = event.start !== undefined && event.took === undefined && event.mark === "no answer";
      const took = open ? this.timeline.end - event.start : event.took || 0;
      return this.top(number) + Math.max(3, took * this.perMs);
    }

    drawBase() {
      const parts = this.timeline.lanes.map((_, lane) => {
        const x = GUTTER + lane * this.lane;
        return sv("line", { x1: x, x2: x, y1: 0, y2: this.height, class: "life" });
      });
      const blocks = (this.timeline.transactions || []).map((one) => {
        const y = this.top(one.first);
        return `M${GUTTER + one.lane * this.lane - 2} ${y}h4v${Math.max(1, this.bottom(one.last) - y)}h-4z`;
      });
      parts.push(sv("path", { d: blocks.join("") || "M0 0", class: "transaction" }));
      this.base.replaceChildren(...parts);
    }

    visible() {
      if (this.printed) return [-Infinity, Infinity];
      const margin = 600;
      return [this.scroll.scrollTop - margin, this.scroll.scrollTop + (this.scroll.clientHeight || 800) + margin];
    }

    draw() {
      const [from, to] = this.visible();
      const wanted = new Set([this.chosen]);
      for (const numbers of this.lanes) {
        // those of one connection follow each other
        let low = 0, high = numbers.length;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (this.bottom(numbers[middle]) < from) low = middle + 1; else high = middle;
        }
        // true to time, many may fall on one line of the screen: those that say nothing give way
        let last = -Infinity;
        for (; low < numbers.length && this.top(numbers[low]) <= to; low += 1) {
          const number = numbers[low], end = this.bottom(number);
          if (this.byTime && end - last < 4 && PLAIN.has(kindOf(this.events[number]))) continue;
          last = end;
          wanted.add(number);
        }
      }
      for (const [number, parts] of this.drawn) {
        if (wanted.has(number)) continue;
        parts.forEach((part) => part.remove());
        this.drawn.delete(number);
      }
      // in the order of time, for those who hear it
      let next = this.layer.firstChild;
      for (const number of [...wanted].sort((a, b) => a - b)) {
        const there = this.drawn.get(number);
        if (there) next = there[0].nextSibling;
        else this.add(number, next);
      }
    }

    add(number, next) {
      const event = this.events[number];
      const x = GUTTER + event.lane * this.lane + GAP, y = this.top(number);
      const width = this.lane - 2 * GAP, height = Math.max(2, this.bottom(number) - y);
      const texts = label(event, this.file), name = this.timeline.lanes[event.lane].name;
      const spoken = [name, event.start === undefined ? "not sent" : ms(event.start), fold(texts[0]), ...texts.slice(1)].join(", ");
      const group = sv("g", { class: `event${number === this.chosen && this.stands && !this.printed ? " now" : ""}`, role: "button", "aria-label": spoken, tabindex: number === this.chosen ? "0" : "-1", "data-number": number });
      group.append(sv("rect", { x, y, width, height, rx: 3, class: `box ${kindOf(event)}` }));
      if (event.wait) group.append(sv("rect", { x, y, width: 5, height, class: "bar" }));
      if (!this.byTime && event.start !== undefined) group.append(sv("text", { x: GUTTER - GAP, y: y + LINE - 4, class: "moment", "text-anchor": "end" }, event.start.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })));
      const room = Math.min(MOST_LINES, Math.max(this.byTime ? 0 : 1, Math.floor((height + 4) / LINE)));
      fit(texts, room, Math.floor((width - 14) / CHARACTER)).forEach(([text, kind], at) => {
        group.append(sv("text", { x: x + 10, y: y + LINE * (at + 1) - 4, class: kind }, text));
      });
      const arrows = this.arrowsOf(event, y);
      this.layer.insertBefore(group, next);
      this.arrows.append(...arrows);
      this.drawn.set(number, [group, ...arrows]);
    }

    arrowsOf(event, y) {
      const width = this.lane - 2 * GAP, own = GUTTER + event.lane * this.lane + GAP;
      return ((event.wait && event.wait.lanes) || []).filter((lane) => lane !== event.lane).flatMap((lane) => {
        const right = lane > event.lane;
        const at = y + (this.byTime ? Math.max(0, ((event.wait.from || event.start) - event.start) * this.perMs) + 4 : LINE / 2);
        const end = GUTTER + lane * this.lane + (right ? 3 : GAP + width);
        return [sv("path", { d: `M${right ? own + width : own} ${at}H${end}`, class: "arrow" }), sv("path", { d: `M${end} ${at}l${right ? -6 : 6} -4v8z`, class: "tip" })];
      });
    }

    point(event) {
      const group = event.target.closest("g.event");
      if (!group) return;
      const number = Number(group.dataset.number);
      if (event.type === "pointerover") this.show(number, false); else this.choose(number, event.type === "click");
    }

    choose(number, focus) {
      if (number === undefined) return;
      const old = this.drawn.get(this.chosen);
      if (old) { old[0].setAttribute("tabindex", "-1"); old[0].classList.remove("now"); }
      this.chosen = number;
      this.stands = true;
      const top = this.top(number), height = this.scroll.clientHeight - 40;
      if (top < this.scroll.scrollTop || top > this.scroll.scrollTop + height - 40) this.scroll.scrollTop = top - height / 3;
      this.draw();
      const group = this.drawn.get(number)[0];
      group.setAttribute("tabindex", "0");
      group.classList.add("now");
      if (focus && document.activeElement !== group) group.focus({ preventScroll: true });
      this.show(number);
    }

    show(number) {
      const event = this.events[number];
      if (!event) return;
      const facts = [this.timeline.lanes[event.lane].name + (event.step ? `.${event.step}` : ""), place(event)];
      if (event.iteration) facts.push(`iteration ${event.iteration}`);
      if (event.attempt) facts.push(`attempt ${event.attempt}`);
      facts.push(event.start === undefined ? "not sent" : `at ${ms(event.start)}`);
      if (event.took !== undefined) facts.push(`took ${ms(event.took)}`);
      if (event.rows !== undefined) facts.push(event.rows === 1 ? "1 row" : `${event.rows.toLocaleString("en")} rows`);
      if (event.tag) facts.push(event.tag);
      const more = [...(event.remarks || []), ...(event.details || []), ...(event.failures || []).map((failure) => `${failure.kind}: ${failure.text}`)];
      this.panel.replaceChildren(el("p", {}, facts.join(" · ")), el("pre", {}, event.sent || event.statement),
        event.sent ? el("p", { class: "about" }, `written: ${fold(event.statement)}`) : "", more.length ? el("pre", {}, more.join("\n")) : "",
        event.cells ? grid(event.cells[0], event.cells.slice(1)) : "");
      this.source.light(event);
    }

    key(event) {
      const own = this.lanes[this.events[this.chosen].lane];
      const at = own.indexOf(this.chosen);
      const beside = (step) => {
        const lane = this.events[this.chosen].lane + step, y = this.top(this.chosen);
        const numbers = this.lanes[lane];
        return numbers && (numbers.find((number) => this.bottom(number) >= y) ?? numbers[numbers.length - 1]);
      };
      const moves = { ArrowDown: () => own[at + 1], ArrowUp: () => own[at - 1], ArrowRight: () => beside(1), ArrowLeft: () => beside(-1), Home: () => own[0], End: () => own[own.length - 1], j: () => this.chosen + 1, k: () => this.chosen - 1 };
      const acts = { "+": () => this.zoomBy(1.25), "=": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8), 0: () => this.zoomTo(1), t: () => this.setMode(!this.byTime) };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (moves[event.key]) {
        const number = moves[event.key]();
        if (this.events[number]) this.choose(number, true);
      } else if (acts[event.key]) acts[event.key]();
      else return;
      event.preventDefault();
    }

    zoomBy(factor, clientY) { this.zoomTo(this.zoom * factor, clientY); }

    zoomTo(zoom, clientY) {
      const before = this.height, box = this.scroll.getBoundingClientRect();
      const offset = clientY === undefined ? this.scroll.clientHeight / 3 : clientY - box.top;
      const held = this.svg.contains(document.activeElement);
      const middle = (this.scroll.scrollTop + offset) / before;
      this.zoom = Math.min(this.byTime ? 5000 : 4, Math.max(this.byTime ? 1 : 0.4, zoom));
      this.layout();
      this.scroll.scrollTop = middle * this.height - offset;
      this.draw();
      if (held) this.choose(this.chosen, true);
    }

    setMode(byTime) {
      const held = this.svg.contains(document.activeElement);
      this.byTime = byTime;
      this.zoom = 1;
      this.mode.setAttribute("aria-pressed", String(byTime));
      this.layout();
      this.choose(this.chosen, held);
    }
  }

  // printing: what failed, each opened

  addEventListener("beforeprint", () => {
    const failed = index.filter((one) => one.verdict === "failed" || one.verdict === "error").slice(0, 100);
    const printed = failed.length ? failed : index.slice(current, current + 1);
    byId("print").replaceChildren(...printed.map((one) => el("section", {}, sections(read(one.number), true))));
  });
  addEventListener("afterprint", () => byId("print").replaceChildren());

  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) {
      byId("search").focus();
      event.preventDefault();
    }
  });
  const wanted = () => (/^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : null);
  addEventListener("hashchange", () => { if (wanted() !== null) open(wanted(), true); });
  const sorted = buildList();
  if (sorted.length) open(wanted() ?? sorted[0].number, false);
  document.documentElement.dataset.ready = "yes";
})();
