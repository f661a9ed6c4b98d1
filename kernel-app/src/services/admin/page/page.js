// The admin page: views of what the API of this port tells (docs/inside.md). No library and no build step.

import { absent, ask, button, byId, bytes, choice, hasWindowGraph, heading, make, ownStack, rows, shown, table } from "./values.js";
import { flameGraph } from "./flame.js";
import { graphs, ringId } from "./graph.js";

const COLUMNS = {
  tasks: ["id", "name", "subject", "state", "polls", "run_us", "longest_poll_us", "age_ms", "held_bytes", "waits_at", "cancel"],
  connections: ["id", "state", "local", "remote", "rtt_us", "cwnd_bytes", "in_flight_bytes", "tx_queue_bytes",
    "rx_queue_bytes", "retransmissions", "idle_ms"],
  shared_memory_flows: ["id", "local", "remote", "role", "unread_bytes", "undelivered_bytes", "waits_for", "peer_waits_for",
    "received_bytes", "sent_bytes", "notifications_in", "notifications_out", "bytes_per_wake", "stalls_empty", "stalls_full"],
};
const graphLink = (id, text) => make("a", { href: "#graph/" + encodeURIComponent(id), title: "its window graph" }, text);
const CELLS = {
  tasks: { cancel: cancel },
  connections: { id: (row, text) => (hasWindowGraph(row) ? graphLink(row.id, text) : text) },
  shared_memory_flows: { id: (row, text) => graphLink(ringId(row.id), text) },
  sessions: { values, commands },
};
const TABLES = ["tasks", "connections", "shared_memory_flows", "listeners", "services", "routes", "places", "ways", "databases", "database_servers", "sessions", "cards", "disks", "memory", "timers", "panics", "config"];
const VIEWS = ["glance", ...TABLES, "packets", "profile", "trace", "log"];
const PAUSE_MS = 2000;
// Where nothing answers it is asked less and less often.
const PAUSE_MAX_MS = 60000;
const LINES_MAX = 1000;
const LEVELS = ["error", "warn", "info", "debug", "trace"];

// Views that keep themselves up to date.
const OTHERS = { log, packets, profile, trace, graph };

const view = byId("view");
// What the view in force has to let go of.
let leave = () => {};

const tableOf = (name, list, as = name) =>
  table(as, list, { columns: COLUMNS[name], cells: CELLS[name], redraw: refresh });

function memory(list) {
  const bars = list.filter((row) => row.limit_bytes).map((row) => [
    make("span", {}, row.purpose),
    make("span", {}, `${bytes(row.held_bytes)}B of ${bytes(row.limit_bytes)}B`),
    make("progress", { max: row.limit_bytes, value: row.held_bytes, ariaLabel: row.purpose }),
  ]);
  return make("div", { className: "bars" }, ...bars.flat());
}

async function glance() {
  const [held, services, tasks, connections, panics] =
    await Promise.all([...["memory", "services", "tasks", "connections", "panics"].map(rows), ownStack()]);
  const top = (list, column) =>
    [...list].sort((one, other) => (other[column] || 0) - (one[column] || 0)).slice(0, 10);
  return [
    make("h2", {}, "Memory"), memory(held),
    make("h2", {}, "Services"), tableOf("services", services),
    make("h2", {}, `Tasks: the busiest of ${tasks.length}`), tableOf("tasks", top(tasks, "run_us"), "busiest"),
    make("h2", {}, `Connections: the busiest of ${connections.length}`),
    tableOf("connections", top(connections, "tx_bytes")),
    make("h2", {}, "Panics"), tableOf("panics", panics),
  ];
}

// A button that ends a task, but for those that serve everybody.
function cancel(row) {
  if (row.serves_all) return "";
  return button("end", async () => {
    if (!confirm(`End the task ${row.id} (${[row.name, row.subject].filter((part) => part).join(" ")})? What it serves is cut.`)) return;
    await change("POST", `tasks/${encodeURIComponent(row.id)}/cancel`);
    refresh();
  });
}

// What a session lets others look at, and, where it does, change.
function values(row) {
  const forms = Object.entries(row.values ?? {}).map(([name, value]) => {
    const input = make("input", { value, ariaLabel: `${name} of session ${row.id}` });
    const set = async (event) => {
      event.preventDefault();
      input.blur();
      await change("PUT", `sessions/${row.id}/values/${encodeURIComponent(name)}`, input.value);
      refresh();
    };
    return make("form", { className: "value", onsubmit: set }, make("span", {}, name), input, make("button", {}, "set"));
  });
  return forms.length ? make("div", {}, ...forms) : "-";
}

// What a session does when it is told to.
function commands(row) {
  const offered = Object.entries(row.commands ?? {}).map(([name, help]) => {
    const does = button(name, async () => {
      const words = prompt(`${name}: ${help}. With which words?`, "");
      if (words === null) return;
      await change("POST", `sessions/${row.id}/commands/${encodeURIComponent(name)}`, words);
      refresh();
    });
    return Object.assign(does, { title: help });
  });
  return offered.length ? make("div", {}, ...offered) : "-";
}

// Changes something, and says what came of it.
async function change(method, path, body) {
  try {
    say(await (await ask(path, { method, body })).text());
  } catch (error) {
    say(error.message, "error");
  }
}

function say(text, kind = "") {
  Object.assign(byId("said"), { textContent: text, className: kind });
}

function log() {
  const lines = make("pre", { tabIndex: 0, ariaLabel: "log" });
  const least = choice("level that is shown", LEVELS.map((level) => [level, level === "trace" ? "all levels" : `${level} and worse`]), "trace");
  const module = make("input", { placeholder: "module", ariaLabel: "module that is shown" });
  const level = choice("level of this module", [["", "as all others"], ...LEVELS.map((level) => [level, level])], "");
  const set = button("Set its level", () => {
    const path = `log/levels/${encodeURIComponent(module.value || "*")}`;
    change(level.value ? "PUT" : "DELETE", path + (level.value ? `?level=${level.value}` : ""));
  });
  const hide = (line) => {
    const { rank, of } = line.dataset;
    line.hidden = Number(rank) > LEVELS.indexOf(least.value) || !of.startsWith(module.value);
  };
  least.onchange = module.oninput = () => lines.childNodes.forEach(hide);
  const show = (row) => {
    const kind = row.level.toLowerCase();
    const time = (row.time_us / 1e6).toFixed(6).padStart(12);
    const text = `[${time}] ${kind.toUpperCase().padEnd(5)} ${row.module}: ${row.message}\n`;
    const line = make("span", { className: kind === "error" || kind === "warn" ? "error" : "" }, text);
    Object.assign(line.dataset, { rank: LEVELS.indexOf(kind), of: row.module });
    hide(line);
    const isAtEnd = innerHeight + scrollY >= document.body.scrollHeight - 4;
    lines.append(line);
    while (lines.childNodes.length > LINES_MAX) lines.firstChild.remove();
    if (isAtEnd) scrollTo(scrollX, document.body.scrollHeight);
  };
  const stream = new EventSource("api/v1/log?follow&from=0");
  stream.onmessage = (event) => show(JSON.parse(event.data));
  // So many follow it already.
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) rows("log").then((list) => list.forEach(show), failed);
  };
  leave = () => stream.close();
  return [make("form", { className: "tools" }, least, module, level, set), lines];
}

// A capture, which the browser saves as a file.
function packets() {
  const field = (name, label, properties) => {
    const input = make("input", { name, id: "packets-" + name, ...properties });
    return make("div", { className: "field" }, make("label", { htmlFor: input.id }, label), input);
  };
  const form = make("form", { className: "tools", action: "api/v1/capture", method: "get" },
    field("filter", "filter, as tcpdump takes it", { placeholder: "tcp port 80 and not host 10.9.0.1", size: 40 }),
    field("seconds", "seconds", { type: "number", min: 1, max: 86400, value: 10, required: true }),
    field("snap", "bytes of each frame", { type: "number", min: 1, max: 65536, value: 65536 }),
    make("button", {}, "Capture"));
  // Of a wrong filter the form says so, in place of a page that does.
  form.onsubmit = async (event) => {
    event.preventDefault();
    const wish = new URLSearchParams(new FormData(form));
    try {
      const asked = new AbortController();
      const head = await ask("capture?" + wish, { signal: asked.signal });
      head.body.cancel();
      asked.abort();
      say("the file is complete when the time is over");
      make("a", { href: "api/v1/capture?" + wish, download: "aqueduct.pcapng" }).click();
    } catch (error) {
      say(error.message, "error");
    }
  };
  return [form, make("p", { className: "faint" }, "Frames as the appliance's own network stack sees them, as pcapng, for "
    + "Wireshark and tcpdump. Frames of this port are left out.")];
}

// What is taken for some seconds, and shown then.
function taken(name, times, path, show) {
  const seconds = choice("seconds", times.map((seconds) => [seconds, `${seconds} seconds`]), times[0]);
  const place = make("div", {});
  const start = button(name, async () => {
    start.disabled = true;
    place.replaceChildren(make("p", { className: "faint" }, "looking…"));
    try {
      const text = await (await ask(`${path}?seconds=${seconds.value}`)).text();
      const draw = () => place.replaceChildren(...[show(text, draw)].flat());
      draw();
    } catch (error) {
      place.replaceChildren(make("p", { className: "error", role: "alert" }, error.message));
    }
    start.disabled = false;
  });
  return [make("form", { className: "tools" }, seconds, start), place];
}

function profile() {
  return taken("Sample", [2, 10, 60], "profile", flameGraph);
}

function trace() {
  return taken("Record", [2, 5, 20], "trace", (text, draw) => {
    const { traceEvents, otherData } = JSON.parse(text);
    const save = make("a", { href: URL.createObjectURL(new Blob([text])), download: "trace.json" }, "Save as a file");
    leave();
    leave = () => URL.revokeObjectURL(save.href);
    return [
      make("p", {}, save, " for https://ui.perfetto.dev and chrome://tracing. ", `${otherData.dropped} events found no place.`),
      table("trace", steps(traceEvents), { redraw: draw }),
    ];
  });
}

// How often each step of the loop and each kind of task came, and how long it took; the longest together first.
function steps(events) {
  const known = new Map();
  for (const { name, cat, dur } of events) {
    if (dur === undefined) continue;
    const row = known.get(cat + name) ?? { what: cat, name, times: 0, total_us: 0, longest_us: 0 };
    known.set(cat + name, Object.assign(row, { times: row.times + 1, total_us: row.total_us + dur, longest_us: Math.max(row.longest_us, dur) }));
  }
  return [...known.values()].sort((one, other) => other.total_us - one.total_us);
}

// Asks for the token, if that is what is wanting.
function asksForToken(error) {
  if (error.status !== 401) return false;
  remember(false);
  if (byId("login").hidden) {
    byId("login").hidden = false;
    byId("token").focus();
  }
  return true;
}

// Whether this browser has shown the token, which only its cookie knows else, and that no script sees.
function remember(isShown) {
  try {
    isShown ? localStorage.setItem("token", "shown") : localStorage.removeItem("token");
  } catch {
    // Nothing is kept here: the button stays while the page does.
  }
  byId("logout").hidden = !isShown;
}

function remembers() {
  try {
    return localStorage.getItem("token") !== null;
  } catch {
    return false;
  }
}

function failed(error) {
  if (asksForToken(error)) return view.replaceChildren();
  view.replaceChildren(make("p", { className: "error", role: "alert" }, error.message));
}

const place = () => location.hash.slice(1).split("/");

// Whether what was asked for came; true, too, where nothing is asked for.
async function refresh() {
  const [name] = place();
  if (!byId("login").hidden) return true;
  try {
    const inside = name === "" || name === "glance" ? await glance()
      : TABLES.includes(name) ? [tableOf(name, (await Promise.all([rows(name).catch(absent), name === "connections" && ownStack()]))[0])]
      : name in OTHERS ? null : [make("p", { className: "error" }, `there is no view ${name}`)];
    // The view may have been left meanwhile.
    if (inside && place()[0] === name) replace(inside);
    return true;
  } catch (error) {
    if (place()[0] === name) failed(error);
    return false;
  }
}

// Puts newer content in the view's place: what has the focus, and how far tables are scrolled, stays.
function replace(inside) {
  const focusable = () => [...view.querySelectorAll("a, button, input, select")];
  const focused = focusable().indexOf(document.activeElement);
  const scrolled = [...view.querySelectorAll(".scroll")].map((element) => element.scrollLeft);
  view.replaceChildren(...inside);
  view.querySelectorAll(".scroll").forEach((element, index) => { element.scrollLeft = scrolled[index] ?? 0; });
  if (focused >= 0) focusable()[focused]?.focus({ preventScroll: true });
}

function enter() {
  leave();
  leave = () => {};
  say("");
  const [name, rest] = place();
  for (const link of byId("nav").children) {
    const own = link.hash.slice(1) === (name || "glance") || (name === "graph" && link.hash === (rest?.startsWith(ringId("")) ? "#shared_memory_flows" : "#connections"));
    own ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  // Before the token is shown nothing is to be had.
  view.replaceChildren(...(name in OTHERS && byId("login").hidden ? OTHERS[name](rest || "") : []));
  refresh();
  if (name && byId("login").hidden) byId("main").focus({ preventScroll: true });
}

function graph(list) {
  const ids = list.split(",").filter((id) => id).map(decodeURIComponent);
  const drawn = graphs(ids, (more) => { location.hash = "graph/" + more.map(encodeURIComponent).join(","); });
  leave = drawn.leave;
  return drawn.inside;
}

async function head() {
  try {
    const [version] = await rows("version");
    byId("host").textContent = version.hostname;
    byId("glance").textContent = `${version.name} ${version.version}, up ${shown("uptime_ms", version.uptime_ms)}`;
    document.title = `${version.hostname}: Aqueduct inside`;
    return true;
  } catch (error) {
    byId("glance").textContent = error.message;
    asksForToken(error);
    return false;
  }
}

// The token opens what follows by a cookie.
byId("login").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  say(answer.ok ? "" : answer.status === 401 ? "this is not the token" : await answer.text(), "error");
  if (!answer.ok) return byId("token").select();
  form.hidden = true;
  form.reset();
  remember(true);
  head().then(enter);
};
byId("logout").onclick = async () => {
  await fetch("logout", { method: "POST" });
  remember(false);
  location.reload();
};
byId("nav").append(...VIEWS.map((name) => make("a", { href: "#" + name }, heading(name))));
addEventListener("hashchange", enter);
byId("logout").hidden = !remembers();
head().then(enter);

// Asks again after a while: not while somebody writes, the page is hidden, or the token is asked for.
let pause = PAUSE_MS;
let timer = 0;
async function again() {
  clearTimeout(timer);
  const { activeElement } = document;
  const writes = view.contains(activeElement) && activeElement.matches("input, select");
  if (!document.hidden && !writes && byId("login").hidden) {
    const came = await Promise.all([head(), refresh()]);
    pause = came.every((it) => it) ? PAUSE_MS : Math.min(2 * pause, PAUSE_MAX_MS);
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(again, pause);
}
timer = setTimeout(again, pause);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return clearTimeout(timer);
  pause = PAUSE_MS;
  again();
});
