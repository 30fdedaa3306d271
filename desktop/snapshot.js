// The snapshot's own script: filters, sorts and shows the calls that the page carries. It asks for
// nothing from anywhere, and writes every name as text, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const PAGE = 200;

  // Words and numbers as the pages of the program write them.
  const t = (key, values = {}) =>
    Object.entries(values).reduce((text, [name, value]) => text.replaceAll(`{{${name}}}`, value), data.words[key] ?? key);
  const upper = (text) => text.charAt(0).toLocaleUpperCase(data.lang) + text.slice(1);
  const locale = data.lang === "ar" ? "ar-u-nu-latn" : data.lang;
  const zoned = (options) => {
    try {
      return new Intl.DateTimeFormat(locale, { ...options, timeZone: data.zone || undefined });
    } catch {
      return new Intl.DateTimeFormat(locale, options); // a zone that this browser does not know
    }
  };
  const whole = new Intl.NumberFormat(locale);
  const decimals = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
  const percents = new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const dollars = (digits) =>
    new Intl.NumberFormat(locale, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits });
  // Some languages would call them US dollars, and the pages do not.
  const signed = (format) => ({ format: (value) => format.formatToParts(value).map((part) => (part.type === "currency" ? "$" : part.value)).join("") });
  const [cents, fine] = [signed(dollars(2)), signed(dollars(4))];
  const moment = zoned({ dateStyle: "medium", timeStyle: "short" });
  const exact = zoned({ dateStyle: "long", timeStyle: "long" });
  const span = zoned({ dateStyle: "long" });
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" }); // a day is the same in every zone
  const parts = (() => {
    const options = { year: "numeric", month: "2-digit", day: "2-digit", calendar: "gregory", numberingSystem: "latn" };
    try {
      return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: data.zone || undefined });
    } catch {
      return new Intl.DateTimeFormat("en-GB", options);
    }
  })();
  const dayOf = (ms) => parts.format(ms).split("/").reverse().join("-");
  const number = (value) => (value === null ? "–" : whole.format(value));
  const tenth = (value) => (value === null ? "–" : decimals.format(value));
  const credits = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const credit = (value) => (value === null ? "–" : credits.format(value)); // in a column, point below point
  const share = (value) => (value === null ? "–" : percents.format(value));
  function money(value) {
    if (value === null) return "–";
    if (value > 0 && value < 0.00005) return `<${fine.format(0.0001)}`;
    return (value > 0 && value < 0.01 ? fine : cents).format(value);
  }
  const digits = new Intl.NumberFormat(locale, { minimumIntegerDigits: 2 });
  const unit = (name, n) => t(`unit.${name}`, { n });
  function duration(ms) {
    if (ms === null) return "–";
    if (ms < 1000) return unit("ms", whole.format(Math.round(ms)));
    if (ms < 60_000) return unit("s", decimals.format(ms / 1000));
    const [hours, minutes, seconds] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, Math.floor(ms / 1000) % 60];
    if (hours >= 24) return [unit("d", Math.floor(hours / 24)), hours % 24 && unit("h", hours % 24)].filter(Boolean).join(" ");
    if (hours) return `${unit("h", hours)} ${unit("m", digits.format(minutes))}`;
    return [unit("m", minutes), minutes < 5 && seconds && unit("s", seconds)].filter(Boolean).join(" ");
  }

  // The calls, as objects with what the filters look at.
  const calls = data.rows.map((row) => {
    const call = Object.fromEntries(data.columns.map((name, place) => [name, row[place]]));
    call.ms = Date.parse(call.at);
    call.day = dayOf(call.ms);
    call.name = call.threadTitle || (call.threadId || call.sessionId || call.id).slice(0, 13);
    call.text = [call.name, call.project, call.model, call.effort, call.threadId, call.sessionId, call.id].filter(Boolean).join("\n").toLocaleLowerCase();
    return call;
  });
  const made = Date.parse(data.made);

  function el(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "on") made.addEventListener("click", value);
      else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...inside);
    return made;
  }
  const own = (text) => el("bdi", {}, text || "–");

  // Sums of calls; a cost leaves out the calls without a price, credits those without a rate, and each says so with a
  // mark; another mark is for estimates.
  const SUMMED = ["totalTokens", "inputTokens", "cachedInputTokens", "uncachedInputTokens", "outputTokens"];
  function summed(listed) {
    const sum = { calls: listed.length, unpriced: 0, estimated: 0, unrated: 0, costUsd: null, credits: null, latest: 0, threads: new Set() };
    for (const name of SUMMED) sum[name] = 0;
    for (const call of listed) {
      for (const name of SUMMED) sum[name] += call[name];
      if (call.costUsd === null) sum.unpriced += 1;
      else sum.costUsd = (sum.costUsd ?? 0) + call.costUsd;
      if (call.priceStatus === "estimated") sum.estimated += 1;
      if (call.credits === null) sum.unrated += 1;
      else sum.credits = (sum.credits ?? 0) + call.credits;
      sum.latest = Math.max(sum.latest, call.ms);
      sum.threads.add(call.threadId || call.sessionId || call.id);
    }
    if (sum.costUsd === null && !listed.length) sum.costUsd = 0;
    sum.cacheRatio = sum.inputTokens ? sum.cachedInputTokens / sum.inputTokens : null;
    sum.threadCount = sum.threads.size;
    return sum;
  }
  const cost = (sum) => money(sum.costUsd) + (sum.costUsd === null ? "" : `${sum.estimated ? "*" : ""}${sum.unpriced ? "+" : ""}`);
  const callCost = (call) => (call.costUsd === null ? t("calls.noPrice") : money(call.costUsd) + (call.priceStatus === "estimated" ? "*" : ""));

  // Each view: its columns are [word, how it sorts, how it shows, only on wide pages].
  // A name stays on its line, and says the rest of itself under the pointer.
  const text = (word, of, wide = false, long = false) => ({ word, of, show: (row) => of(row) || "–", texts: true, named: true, wide, long, down: false });
  const time = (word, of, show) => ({ word, of, show, texts: true, wide: false, down: true });
  const figure = (word, of, show, wide = false) => ({ word, of, show, texts: false, wide, down: true });
  const CALLS = [
    time("calls.col.time", (call) => call.ms, (call) => moment.format(call.ms)),
    text("calls.col.thread", (call) => call.name, false, true),
    text("calls.col.project", (call) => call.project, true),
    text("calls.col.model", (call) => call.model),
    text("calls.col.effort", (call) => call.effort),
    figure("calls.col.tokens", (call) => call.totalTokens, (call) => number(call.totalTokens)),
    figure("calls.col.cached", (call) => call.cachedInputTokens, (call) => number(call.cachedInputTokens), true),
    figure("calls.col.new", (call) => call.uncachedInputTokens, (call) => number(call.uncachedInputTokens)),
    figure("calls.col.output", (call) => call.outputTokens, (call) => number(call.outputTokens)),
    figure("calls.col.reasoning", (call) => call.reasoningTokens, (call) => number(call.reasoningTokens), true),
    figure("calls.col.cache", (call) => call.cacheRatio, (call) => share(call.cacheRatio)),
    figure("calls.col.duration", (call) => call.durationMs, (call) => duration(call.durationMs), true),
    figure("calls.col.cost", (call) => call.costUsd, callCost),
    figure("calls.credits", (call) => call.credits, (call) => credit(call.credits), true),
  ];
  const SUMS = [
    figure("series.calls", (sum) => sum.calls, (sum) => number(sum.calls)),
    figure("calls.col.tokens", (sum) => sum.totalTokens, (sum) => number(sum.totalTokens)),
    figure("calls.col.cached", (sum) => sum.cachedInputTokens, (sum) => number(sum.cachedInputTokens), true),
    figure("calls.col.new", (sum) => sum.uncachedInputTokens, (sum) => number(sum.uncachedInputTokens)),
    figure("calls.col.output", (sum) => sum.outputTokens, (sum) => number(sum.outputTokens)),
    figure("calls.col.cache", (sum) => sum.cacheRatio, (sum) => share(sum.cacheRatio)),
    figure("calls.col.cost", (sum) => sum.costUsd, cost),
    figure("calls.credits", (sum) => sum.credits, (sum) => credit(sum.credits), true),
  ];
  const threads = figure("threads.title", (sum) => sum.threadCount, (sum) => number(sum.threadCount));
  const latest = time("threads.col.latest", (sum) => sum.latest, (sum) => moment.format(sum.latest));
  const project = text("calls.col.project", (sum) => sum.first.project, true);
  const VIEWS = {
    calls: { word: "calls.title", columns: CALLS, sort: 0 },
    threads: {
      word: "threads.title",
      key: (call) => call.threadId || call.sessionId || call.id,
      columns: [latest, text("calls.col.thread", (sum) => sum.first.name, false, true), project, ...SUMS],
      sort: 0,
      narrow: (sum) => ({ q: sum.first.threadId || sum.first.sessionId || sum.first.id }),
    },
    projects: {
      word: "report.projects",
      key: (call) => call.project ?? "",
      columns: [text("calls.col.project", (sum) => sum.first.project), latest, threads, ...SUMS],
      sort: 4,
      narrow: (sum) => ({ project: sum.first.project ?? "" }),
    },
    models: {
      word: "report.models",
      key: (call) => call.model ?? "",
      columns: [text("calls.col.model", (sum) => sum.first.model), latest, threads, ...SUMS],
      sort: 4,
      narrow: (sum) => ({ model: sum.first.model ?? "" }),
    },
    days: {
      word: "report.days",
      key: (call) => call.day,
      columns: [time("series.day", (sum) => sum.first.day, (sum) => date.format(Date.parse(sum.first.day))), threads, ...SUMS],
      sort: 0,
      narrow: (sum) => ({ from: sum.first.day, to: sum.first.day }),
    },
  };

  const state = { view: "calls", sorts: {}, shown: PAGE, open: null };
  const FIELDS = ["q", "provider", "model", "effort", "project", "price", "from", "to"];
  const asked = () => Object.fromEntries(FIELDS.map((name) => [name, $(name).value]));

  const ANY = "\u0000";
  const unset = (name) => (["q", "from", "to"].includes(name) ? "" : name === "range" ? "all" : ANY);
  const usual = (view) => ({ at: VIEWS[view].sort, down: true });

  // The address keeps what is shown, so that a reload or a copied link shows the same. A change is
  // a step that "back" undoes, unless it is typing.
  const keyOf = (column) => column.word.split(".").pop();
  function kept(typing = false) {
    const [said, sort, own] = [new URLSearchParams(), state.sorts[state.view], usual(state.view)];
    if (state.view !== "calls") said.set("view", state.view);
    // "The last 7 days" are days only for this page.
    const dated = $("range").value === "custom";
    for (const name of ["range", ...FIELDS]) {
      const field = $(name);
      if (field.value !== unset(name) && (dated || field.type !== "date")) said.set(name, field.value);
    }
    if (sort.at !== own.at || sort.down !== own.down) {
      said.set("sort", keyOf(VIEWS[state.view].columns[sort.at]));
      said.set("order", sort.down ? "desc" : "asc");
    }
    if (state.open) said.set("call", state.open.id);
    const [page, hash] = location.href.split("#");
    if ((hash ?? "") === said.toString()) return;
    const to = `${page}${String(said) && "#"}${said}`;
    try {
      if (typing) history.replaceState(null, "", to);
      else history.pushState(null, "", to);
    } catch {
      // Where the page stands in another's frame, its address is not its own.
    }
  }

  // What an address asks for; what this page does not have counts as not asked.
  function restored() {
    const said = new URLSearchParams(location.hash.slice(1));
    const view = said.get("view") ?? "";
    state.view = Object.hasOwn(VIEWS, view) ? view : "calls";
    for (const name of Object.keys(VIEWS)) state.sorts[name] = usual(name);
    const at = VIEWS[state.view].columns.findIndex((column) => keyOf(column) === said.get("sort"));
    if (at >= 0) state.sorts[state.view] = { at, down: said.get("order") !== "asc" };
    for (const name of ["range", ...FIELDS]) {
      const [field, value] = [$(name), said.get(name) ?? unset(name)];
      field.value = value;
      if (field.value !== value) field.value = unset(name);
    }
    if ($("range").value !== "custom") dated();
    state.shown = PAGE;
    state.open = (state.view === "calls" && calls.find((call) => call.id === said.get("call"))) || null;
    draw();
  }

  const matches = (wanted, value) => wanted === ANY || (value ?? "") === wanted;
  function found(wanted) {
    if (wanted.from && wanted.to && wanted.from > wanted.to) return null;
    const words = wanted.q.trim().toLocaleLowerCase();
    return calls.filter(
      (call) =>
        (!words || call.text.includes(words)) &&
        matches(wanted.provider, call.provider) &&
        matches(wanted.model, call.model) &&
        matches(wanted.effort, call.effort) &&
        matches(wanted.project, call.project) &&
        matches(wanted.price, call.priceStatus) &&
        (!wanted.from || call.day >= wanted.from) &&
        (!wanted.to || call.day <= wanted.to),
    );
  }

  function grouped(listed, key) {
    const groups = new Map();
    for (const call of listed) {
      const name = key(call);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(call);
    }
    return [...groups.values()].map((inside) => ({ ...summed(inside), first: inside[0] }));
  }

  const compared = new Intl.Collator(locale, { numeric: true });
  function ordered(rows, column, down) {
    const way = down ? -1 : 1;
    // What is not known comes last, whichever way.
    return [...rows].sort((one, other) => {
      const [a, b] = [column.of(one) ?? null, column.of(other) ?? null];
      if (a === null || b === null) return (a === null) - (b === null);
      return way * (typeof a === "string" ? compared.compare(a, b) : a - b);
    });
  }

  function head(view, sort) {
    const cells = view.columns.map((column, place) => {
      const now = sort.at === place;
      const turn = () => {
        // Figures and times begin with the most, names with the first.
        state.sorts[state.view] = { at: place, down: now ? !sort.down : column.down };
        draw();
        kept();
        $("table").querySelectorAll("th button")[place].focus();
      };
      const mark = el("span", { "aria-hidden": "true", class: "mark" }, now ? (sort.down ? "↓" : "↑") : "");
      return el(
        "th",
        { scope: "col", class: classes(column), "aria-sort": now ? (sort.down ? "descending" : "ascending") : null },
        el("button", { type: "button", on: turn }, upper(t(column.word)), mark),
      );
    });
    return el("thead", {}, el("tr", {}, ...cells));
  }
  const classes = (column) => [!column.texts && "n", column.named && "t", column.long && "long", column.wide && "wide"].filter(Boolean).join(" ") || null;

  function line(view, row) {
    const act = () => (view.narrow ? narrowed(view.narrow(row)) : toggled(row));
    const open = state.open === row;
    // A press on the button is one on its row; the keyboard and a reader have the button.
    const button = (text) => el("button", { type: "button", "aria-expanded": view.narrow ? null : String(open) }, text);
    const cells = view.columns.map((column, place) => {
      const shown = place ? column.show(row) : button(column.show(row));
      return el("td", { class: classes(column), dir: column.named && "auto", title: column.named ? (column.of(row) ?? null) : null }, shown);
    });
    const made = el("tr", { class: open ? "row open" : "row", on: act }, ...cells);
    return state.open === row ? [made, el("tr", { class: "detail" }, el("td", { colspan: String(view.columns.length) }, detail(row)))] : [made];
  }

  function toggled(call) {
    state.open = state.open === call ? null : call;
    draw();
    kept();
    const at = [...$("table").querySelectorAll("td button")][state.listed.indexOf(call)];
    at?.focus({ preventScroll: true });
  }

  function narrowed(wanted) {
    for (const [name, value] of Object.entries(wanted)) $(name).value = value;
    if (wanted.from) $("range").value = "custom";
    state.view = "calls";
    changed();
  }

  function detail(call) {
    const known = (word) => (data.words[word] ? t(word) : null);
    const said = [
      ["calls.col.time", exact.format(call.ms)],
      ["calls.col.thread", call.name],
      ["calls.col.project", call.project],
      ["calls.provider", known(`provider.${call.provider}`) ?? call.provider],
      ["calls.col.model", call.model],
      ["calls.col.effort", call.effort],
      ["calls.col.initiator", known(`calls.initiator.${call.initiator}`) ?? call.initiator],
      ["threads.kind", known(`threads.kind.${call.kind}`) ?? call.kind],
      ["calls.col.duration", duration(call.durationMs)],
      ["calls.col.gap", duration(call.gapMs)],
      ["calls.col.tokens", number(call.totalTokens)],
      ["calls.col.input", number(call.inputTokens)],
      ["calls.col.cached", number(call.cachedInputTokens)],
      ["calls.col.new", number(call.uncachedInputTokens)],
      ["call.written", number(call.cacheWriteTokens)],
      ["calls.col.output", number(call.outputTokens)],
      ["calls.col.reasoning", number(call.reasoningTokens)],
      ["calls.cacheShare", share(call.cacheRatio)],
      ["calls.contextShare", call.contextPercent === null ? "–" : share(call.contextPercent / 100)],
      ["calls.col.cost", callCost(call)],
      ["filter.confidence", t(`calls.price.${call.priceStatus}`)],
      ["calls.credits", tenth(call.credits)],
      ["call.creditOf", call.creditModel],
      ["threads.col.attention", tenth(call.attention)],
      ["calls.threadId", call.threadId],
      ["calls.sessionId", call.sessionId],
      ["calls.callId", call.id],
    ];
    return el("dl", {}, ...said.map(([word, value]) => el("div", {}, el("dt", {}, upper(t(word))), el("dd", {}, own(value)))));
  }

  function totals(sum) {
    const said = [
      ["calls.total.calls", number(sum.calls)],
      ["calls.total.tokens", number(sum.totalTokens)],
      ["calls.total.cached", number(sum.cachedInputTokens)],
      ["calls.total.new", number(sum.uncachedInputTokens)],
      ["calls.total.output", number(sum.outputTokens)],
      ["calls.total.cost", cost(sum)],
      ["calls.total.credits", tenth(sum.credits) + (sum.credits !== null && sum.unrated ? "+" : "")],
    ];
    if (sum.unpriced) said.push(["calls.total.unpriced", number(sum.unpriced)]);
    if (sum.credits !== null && sum.unrated) said.push(["calls.total.unrated", number(sum.unrated)]);
    $("totals").replaceChildren(...said.map(([word, value]) => el("div", {}, el("dt", {}, upper(t(word))), el("dd", {}, value))));
  }

  // From the first to the last day of these calls, as a person says it.
  function period(listed) {
    const [first, last] = listed.reduce(([from, to], call) => [Math.min(from, call.ms), Math.max(to, call.ms)], [Infinity, -Infinity]);
    return listed.length ? span.formatRange(first, last) : "–";
  }

  function draw() {
    const wanted = asked();
    const listed = found(wanted);
    const view = VIEWS[state.view];
    const sort = state.sorts[state.view];
    const rows = ordered(view.key ? grouped(listed ?? [], view.key) : (listed ?? []), view.columns[sort.at], sort.down);
    if (state.open) state.shown = Math.max(state.shown, rows.indexOf(state.open) + 1);
    state.listed = rows.slice(0, state.shown);
    totals(summed(listed ?? []));
    $("period").textContent = period(listed ?? []);
    const none = listed === null ? t("filter.reversed") : t("calls.noMatch");
    $("said").textContent = listed === null ? none : t("snapshot.matching", { shown: number(listed.length), total: number(calls.length) });
    const body = rows.length ? state.listed.flatMap((row) => line(view, row)) : [el("tr", {}, el("td", { colspan: String(view.columns.length), class: "none" }, none))];
    $("table").replaceChildren(head(view, sort), el("tbody", {}, ...body));
    $("more").hidden = rows.length <= state.shown;
    $("more").textContent = `${t("calls.more")} (${t("calls.shown", { shown: number(state.listed.length), total: number(rows.length) })})`;
    for (const tab of document.querySelectorAll("#views button")) tab.setAttribute("aria-pressed", String(tab.dataset.view === state.view));
    $("dates").hidden = $("range").value !== "custom";
    $("clear").hidden = FIELDS.every((name) => wanted[name] === unset(name));
    $("marks").hidden = !(listed ?? []).some((call) => call.costUsd === null) || !(listed ?? []).some((call) => call.costUsd !== null);
    $("estimated").hidden = !(listed ?? []).some((call) => call.priceStatus === "estimated");
  }

  function changed(typing = false) {
    state.shown = PAGE;
    state.open = null;
    draw();
    kept(typing);
  }

  // The days of the chosen time, counted back from the day of the page.
  function dated() {
    const DAY = 86400000;
    const today = dayOf(made);
    // A day is a name; in UTC no summer time moves the sums, and a week begins on Monday.
    const noon = new Date(`${today}T12:00Z`);
    const back = { today: 0, week: (noon.getUTCDay() + 6) % 7, "7d": 6, month: noon.getUTCDate() - 1, "30d": 29 }[$("range").value];
    $("from").value = back === undefined ? "" : new Date(noon - back * DAY).toISOString().slice(0, 10);
    $("to").value = back === undefined ? "" : today;
  }

  function ranged() {
    if ($("range").value === "custom") {
      $("dates").hidden = false; // the days of before, to be changed
      return $("from").focus();
    }
    dated();
    changed();
  }

  function choices(name, values, said = (value) => value || "–") {
    const listed = [...new Set(values)].sort(compared.compare);
    $(name).append(el("option", { value: ANY }, t("filter.any")), ...listed.map((value) => el("option", { value }, said(value))));
    $(name).value = ANY;
  }

  function begun() {
    choices("provider", calls.map((call) => call.provider ?? ""), (value) => data.words[`provider.${value}`] ?? (value || "–"));
    choices("model", calls.map((call) => call.model ?? ""));
    choices("effort", calls.map((call) => call.effort ?? ""));
    choices("project", calls.map((call) => call.project ?? ""));
    choices("price", calls.map((call) => call.priceStatus), (value) => t(`calls.price.${value}`));
    for (const name of ["all", "today", "week", "7d", "month", "30d", "custom"]) $("range").append(el("option", { value: name }, t(`range.${name}`)));
    for (const [name, view] of Object.entries(VIEWS)) {
      const to = () => { state.view = name; changed(); };
      $("views").append(el("button", { type: "button", "data-view": name, on: to }, t(view.word)));
    }
    $("made").textContent = t("snapshot.made", { when: exact.format(made) });
    const few = { shown: number(calls.length), total: number(data.total) };
    $("bound").textContent = calls.length < data.total ? t("snapshot.newest", few) : t("snapshot.all", few);
    $("clear").addEventListener("click", () => {
      for (const name of ["range", ...FIELDS]) $(name).value = unset(name);
      changed();
    });
    $("more").addEventListener("click", () => { state.shown += PAGE; draw(); });
    $("range").addEventListener("change", ranged);
    for (const name of ["from", "to"]) $(name).addEventListener("input", () => { $("range").value = $("from").value || $("to").value ? "custom" : "all"; });
    for (const name of FIELDS) $(name).addEventListener("input", () => changed(name === "q"));
    // On paper there is no button for more.
    let before = PAGE;
    window.addEventListener("beforeprint", () => { before = state.shown; state.shown = Infinity; draw(); });
    window.addEventListener("afterprint", () => { state.shown = before; draw(); });
    window.addEventListener("hashchange", restored);
    $("still").remove();
    $("live").hidden = false;
    restored();
    if (state.open) $("table").querySelector(".detail")?.scrollIntoView({ block: "center" });
  }
  begun();
})();
