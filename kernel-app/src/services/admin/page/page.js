// The admin page: views of what the API of this port tells (docs/inside.md). No library and no build step.
"use strict";

const TABLES = {
  tasks: ["id", "name", "subject", "state", "polls", "run_us", "longest_poll_us", "age_ms", "held_bytes", "waits_at"],
  connections: ["id", "state", "local", "remote", "rtt_us", "cwnd_bytes", "in_flight_bytes", "tx_queue_bytes",
    "rx_queue_bytes", "retransmissions", "idle_ms"],
  listeners: null, services: null, sessions: null, cards: null, memory: null, timers: null, panics: null, config: null,
};
const VIEWS = ["glance", ...Object.keys(TABLES), "log"];
const PAUSE_MS = 2000;

const $ = (id) => document.getElementById(id);
const view = $("view");
let sorting = {};
// What the view in force has to let go of.
let leave = () => {};

async function rows(table) {
  const answer = await fetch("api/v1/" + table);
  if (answer.status === 401) {
    $("login").hidden = false;
    throw new Error("the token is needed");
  }
  if (!answer.ok) throw new Error(`${table}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

// Values as people read them, by the unit in their column's name.
function shown(name, value) {
  if (value === null || value === undefined) return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "object") return JSON.stringify(value);
  if (typeof value !== "number") return value;
  if (name.endsWith("_us")) return duration(value / 1e6);
  if (name.endsWith("_ms")) return duration(value / 1e3);
  if (name.endsWith("_bytes_per_second")) return bytes(value) + "/s";
  if (name.endsWith("_bytes")) return bytes(value);
  return String(value);
}

function duration(seconds) {
  if (seconds < 1e-3) return (seconds * 1e6).toFixed(0) + " µs";
  if (seconds < 1) return (seconds * 1e3).toFixed(1) + " ms";
  if (seconds < 100) return seconds.toFixed(1) + " s";
  if (seconds < 7200) return (seconds / 60).toFixed(0) + " min";
  return seconds < 172800 ? (seconds / 3600).toFixed(1) + " h" : (seconds / 86400).toFixed(1) + " d";
}

function bytes(count) {
  const units = ["", " Ki", " Mi", " Gi", " Ti"];
  let unit = 0;
  while (count >= 10240 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return (unit ? count.toFixed(1) : count) + units[unit];
}

function heading(name) {
  return name.replace(/_(us|ms|bytes|bytes_per_second)$/, "").replaceAll("_", " ");
}

function make(tag, properties = {}, ...inside) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
}

// A table of rows; what is in the cells is text and nothing else.
function table(name, list, columns) {
  if (!list.length) return make("p", { className: "faint" }, "none");
  columns = (columns || Object.keys(list[0])).filter((column) => column in list[0]);
  const by = sorting[name];
  if (by) {
    const rank = (row) => (row[by.column] === null ? -Infinity : row[by.column]);
    list = [...list].sort((one, other) => (rank(one) < rank(other) ? 1 : -1) * by.way);
  }
  const head = columns.map((column) => {
    const button = make("button", { type: "button" }, heading(column));
    button.onclick = () => {
      sorting[name] = { column, way: by && by.column === column ? -by.way : 1 };
      refresh();
    };
    const cell = make("th", { scope: "col" }, button);
    if (by && by.column === column) cell.setAttribute("aria-sort", by.way > 0 ? "descending" : "ascending");
    return cell;
  });
  const body = list.map((row) => make("tr", {}, ...columns.map((column) => {
    const text = shown(column, row[column]);
    const kind = typeof row[column] === "number" ? "number" : text.length > 60 ? "long" : "";
    const link = name === "connections" && column === "id"
      ? make("a", { href: "#graph/" + encodeURIComponent(row.id), title: "its window graph" }, text) : text;
    return make("td", { className: kind }, link);
  })));
  return make("div", { className: "scroll" },
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
}

function memory(list) {
  const bars = list.filter((row) => row.limit_bytes).map((row) => [
    make("span", {}, row.purpose),
    make("progress", { max: row.limit_bytes, value: row.held_bytes, ariaLabel: row.purpose }),
    make("span", {}, `${bytes(row.held_bytes)} of ${bytes(row.limit_bytes)}`),
  ]);
  return make("div", { className: "bars" }, ...bars.flat());
}

async function glance() {
  const [held, services, tasks, connections, panics] =
    await Promise.all(["memory", "services", "tasks", "connections", "panics"].map(rows));
  const top = (list, column) =>
    [...list].sort((one, other) => (other[column] || 0) - (one[column] || 0)).slice(0, 10);
  return [
    make("h2", {}, "Memory"), memory(held),
    make("h2", {}, "Services"), table("services", services),
    make("h2", {}, `Tasks: the busiest of ${tasks.length}`), table("busiest", top(tasks, "run_us"), TABLES.tasks),
    make("h2", {}, `Connections: the busiest of ${connections.length}`),
    table("connections", top(connections, "tx_bytes"), TABLES.connections),
    make("h2", {}, "Panics"), table("panics", panics),
  ];
}

function log() {
  const lines = make("pre", { tabIndex: 0, ariaLabel: "log" });
  const show = (row) => {
    const time = (row.time_us / 1e6).toFixed(6).padStart(12);
    const line = `[${time}] ${row.level.toUpperCase().padEnd(5)} ${row.module}: ${row.message}\n`;
    const bad = ["error", "warn"].includes(row.level.toLowerCase());
    lines.append(make("span", { className: bad ? "error" : "" }, line));
    while (lines.childNodes.length > 1000) lines.firstChild.remove();
  };
  rows("log").then((list) => {
    list.forEach(show);
    const stream = new EventSource("api/v1/log?follow");
    stream.onmessage = (event) => show(JSON.parse(event.data));
    leave = () => stream.close();
  }).catch(failed);
  return [lines];
}

const KINDS = ["window", "acknowledged", "sack", "segment", "again", "control"];
const NAMES = { again: "sent again", control: "SYN, FIN, RST" };

// tcptrace's time-sequence graph, while it grows.
function graph(id) {
  const canvas = make("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "img");
  const state = make("p", { role: "status" });
  const ways = make("select", { ariaLabel: "direction" },
    make("option", { value: "sent" }, "what is sent"), make("option", { value: "received" }, "what is received"));
  const span = make("select", { ariaLabel: "time that is shown" },
    ...[5, 20, 60, 300].map((seconds) => make("option", { value: seconds }, `last ${seconds} s`)));
  span.value = 20;
  const pause = make("button", { type: "button" }, "Pause");
  let paused = false;
  pause.onclick = () => { paused = !paused; pause.textContent = paused ? "Go on" : "Pause"; };
  let segments = [];
  const stream = new EventSource(`api/v1/connections/${encodeURIComponent(id)}/trace`);
  stream.addEventListener("segment", (event) => {
    if (paused) return;
    segments.push(JSON.parse(event.data));
    if (segments.length > 20000) segments = segments.slice(-15000);
  });
  stream.addEventListener("state", (event) => {
    const row = JSON.parse(event.data);
    const names = ["state", "rtt_us", "rto_ms", "cwnd_bytes", "ssthresh_bytes", "in_flight_bytes", "tx_window_bytes",
      "retransmissions", "tx_bytes", "rx_bytes"];
    state.textContent = `${row.local} with ${row.remote}: `
      + names.map((name) => `${heading(name)} ${shown(name, row[name])}`).join(", ") + stall(row);
  });
  stream.addEventListener("end", () => { stream.close(); state.append(" (it has ended)"); });
  stream.onerror = () => { if (stream.readyState === 2) state.textContent = "there is no such connection any more, or it is another system's"; };
  let frame = 0;
  const draw = () => {
    paint(canvas, segments, ways.value === "sent", Number(span.value));
    frame = requestAnimationFrame(draw);
  };
  draw();
  leave = () => { stream.close(); cancelAnimationFrame(frame); };
  const key = KINDS.map((kind) => {
    const mark = make("span", {}, `■ ${NAMES[kind] || kind}`);
    mark.style.color = `var(--${kind === "again" ? "bad" : kind})`;
    return mark;
  });
  return [make("h2", {}, `Connection ${id}`), make("form", {}, ways, span, pause), canvas,
    make("p", { className: "key" }, ...key), state];
}

// Why nothing more is sent.
function stall(row) {
  if (row.tx_queue_bytes === 0) return "; nothing waits to be sent (application)";
  if (row.tx_window_bytes === 0) return "; the receiver's window is zero";
  if (row.in_flight_bytes >= row.cwnd_bytes) return "; the congestion window is full";
  if (row.in_flight_bytes >= row.tx_window_bytes) return "; the receiver's window is full";
  return "";
}

// Marks of one direction: from and to as bytes since the first, which are near to the highest: numbers begin again.
function marks(segments, sent) {
  const list = [];
  let origin = null;
  let top = 0;
  const place = (number) => {
    if (origin === null) origin = number;
    return top + ((number - ((origin + top) >>> 0)) | 0);
  };
  for (const it of segments) {
    const at = it.time_us / 1e6;
    if (it.is_sent === sent) {
      const from = place(it.sequence);
      const to = from + it.sequence_bytes;
      const kind = it.is_again ? "again" : /[SFR]/.test(it.flags) ? "control" : "segment";
      if (to > from || kind === "control") list.push({ at, from, to, kind });
      top = Math.max(top, to);
    } else if (it.acknowledgement !== null) {
      const from = place(it.acknowledgement);
      top = Math.max(top, from);
      list.push({ at, from, to: from, kind: "acknowledged" });
      list.push({ at, from: from + it.window_bytes, to: from + it.window_bytes, kind: "window" });
      for (const [start, end] of it.sack) list.push({ at, from: place(start), to: place(end), kind: "sack" });
    }
  }
  return list;
}

function paint(canvas, segments, sent, seconds) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  pen.font = `${12 * ratio}px system-ui, sans-serif`;
  const all = marks(segments, sent);
  if (!all.length) {
    pen.fillStyle = color("faint");
    pen.fillText("no segment yet: the connection is idle", 10 * ratio, 20 * ratio);
    canvas.setAttribute("aria-label", "no segment yet");
    return;
  }
  const end = all[all.length - 1].at;
  const start = Math.max(all[0].at, end - seconds);
  const seen = all.filter((mark) => mark.at >= start);
  const data = seen.filter((mark) => mark.kind !== "window");
  const low = Math.min(...data.map((mark) => mark.from));
  const high = Math.max(...data.map((mark) => mark.to)) + 1;
  const room = (high - low) * 0.1 + 1;
  const x = (at) => ((at - start) / Math.max(end - start, 1e-6)) * (width - 20 * ratio) + 10 * ratio;
  const y = (at) => height - 20 * ratio - ((at - low) / (high - low + room)) * (height - 40 * ratio);
  const last = {};
  for (const mark of seen) {
    pen.strokeStyle = color(mark.kind === "again" ? "bad" : mark.kind);
    pen.fillStyle = pen.strokeStyle;
    pen.lineWidth = (mark.kind === "again" ? 3 : 1.5) * ratio;
    pen.beginPath();
    if (mark.kind === "acknowledged" || mark.kind === "window") {
      const before = last[mark.kind] || mark;
      pen.moveTo(x(before.at), y(before.to));
      pen.lineTo(x(mark.at), y(before.to));
      pen.lineTo(x(mark.at), y(mark.to));
      last[mark.kind] = mark;
    } else {
      pen.moveTo(x(mark.at), y(mark.from));
      pen.lineTo(x(mark.at), Math.min(y(mark.to), y(mark.from) - ratio));
    }
    pen.stroke();
    if (mark.kind === "again") pen.fillText("R", x(mark.at) + 2 * ratio, y(mark.to));
  }
  const again = seen.filter((mark) => mark.kind === "again").length;
  pen.fillStyle = color("faint");
  pen.fillText(`${(end - start).toFixed(2)} s, ${bytes(high - low)} bytes`, 10 * ratio, height - 5 * ratio);
  canvas.setAttribute("aria-label",
    `${bytes(high - low)} bytes in ${(end - start).toFixed(1)} seconds, ${again} segments sent again`);
}

function failed(error) {
  view.replaceChildren(make("p", { className: "error", role: "alert" }, String(error.message || error)));
}

async function refresh() {
  const [name] = location.hash.slice(1).split("/");
  try {
    const inside = name === "" || name === "glance" ? await glance()
      : name in TABLES ? [table(name, await rows(name), TABLES[name])] : null;
    // The view may have been left meanwhile.
    if (inside && location.hash.slice(1).split("/")[0] === name) view.replaceChildren(...inside);
  } catch (error) {
    failed(error);
  }
}

function enter() {
  leave();
  leave = () => {};
  const [name, rest] = location.hash.slice(1).split("/");
  for (const link of $("nav").children) {
    const own = link.hash.slice(1) === (name || "glance") || (name === "graph" && link.hash === "#connections");
    own ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  if (name === "log") view.replaceChildren(...log());
  else if (name === "graph") view.replaceChildren(...graph(decodeURIComponent(rest || "")));
  else refresh();
  if (name) $("main").focus({ preventScroll: true });
}

async function head() {
  try {
    const [version] = await rows("version");
    $("host").textContent = version.hostname;
    $("glance").textContent = `${version.name} ${version.version}, up ${duration(version.uptime_ms / 1000)}`;
    document.title = `${version.hostname}: Aqueduct inside`;
  } catch (error) {
    $("glance").textContent = String(error.message || error);
  }
}

$("nav").append(...VIEWS.map((name) => make("a", { href: "#" + name }, name)));
addEventListener("hashchange", enter);
head().then(enter);
setInterval(() => {
  if (document.hidden || document.activeElement.closest("th")) return;
  head();
  const [name] = location.hash.slice(1).split("/");
  if (name !== "log" && name !== "graph") refresh();
}, PAUSE_MS);
