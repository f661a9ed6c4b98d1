// Window graphs: tcptrace's time-sequence graph of connections while it grows, with windows, round trips and throughput under
// it. All that stand side by side share one axis of time and one cursor.

import { absent, bytes, button, choice, duration, hasWindowGraph, heading, make, ownStack, rows, shown } from "./values.js";
import { Ring } from "./ring.js";
import { Connection, rate } from "./trace.js";

const PARTS = 80;
// Pixels from one letter to the next of its kind.
const LETTER = 9;

// What names a flow through shared memory among connections.
const RING = "memory-";
export const ringId = (id) => RING + id;

// The graphs of these flows; `leave` lets go of them.
export function graphs(ids, others) {
  const axis = new Axis(() => drawings.forEach((drawing) => drawing.redraw()));
  const drawings = ids.map((id) => new Drawing(id, axis));
  axis.traces = drawings.map((drawing) => drawing.trace);
  const beside = make("select", { ariaLabel: "one more beside" }, make("option", { value: "" }, "one more beside…"));
  beside.onchange = () => others([...ids, beside.value]);
  const offer = (id, row) => {
    if (!ids.includes(id)) beside.append(make("option", { value: id }, `${id}: ${row.remote}`));
  };
  Promise.all([rows("connections"), ownStack()])
    .then(([list]) => list.filter(hasWindowGraph).forEach((row) => offer(row.id, row)), () => {});
  rows("shared_memory_flows").catch(absent).then((list) => list.forEach((row) => offer(ringId(row.id), row)), () => {});
  const inside = [
    make("form", { className: "tools" }, ...axis.tools(), beside), axis.said,
    make("div", { className: "graphs" }, ...drawings.map((drawing) => drawing.element)),
    ...[...new Set(drawings.map((drawing) => drawing.trace.names))].map(key),
  ];
  return { inside, leave: () => drawings.forEach((drawing) => drawing.close()) };
}

function key(names) {
  const marks = Object.entries(names).map(([kind, name]) => {
    const mark = make("span", {}, "■ " + name);
    mark.style.color = `var(--${kind})`;
    return mark;
  });
  return make("p", { className: "key" }, ...marks);
}

// The time that is shown, and the cursor in it.
class Axis {
  constructor(changed) {
    this.changed = changed;
    this.traces = [];
    this.seconds = 20;
    // Where the view stands when it does not follow.
    this.until = null;
    this.cursor = null;
    this.said = make("p", { role: "status", className: "said" });
  }

  tools() {
    this.live = button("Pause", () => (this.until === null ? this.stop() : this.follow()));
    const spans = [1, 5, 20, 60, 300].map((seconds) => [seconds, `${seconds} s`]);
    this.span = choice("time that is shown", [...spans, ["", "zoomed"]], this.seconds);
    this.span.onchange = () => { if (this.span.value) this.show(Number(this.span.value)); };
    return [this.live, this.span, button("+", () => this.zoom(0.5)), button("−", () => this.zoom(2))];
  }

  range() {
    const latest = Math.max(...this.traces.map((trace) => trace.latest()));
    const end = this.until ?? latest;
    const start = Math.max(end - this.seconds, Math.min(...this.traces.map((trace) => trace.earliest())));
    return [start, Math.max(end, start + 1e-4)];
  }

  stop() {
    [, this.until] = this.range();
    this.live.textContent = "Follow";
  }

  follow() {
    this.until = null;
    this.cursor = null;
    this.live.textContent = "Pause";
    this.said.textContent = "";
    this.changed();
  }

  // Of what is drawn, which is less than was asked for where the flow is younger.
  zoom(factor) {
    const [start, end] = this.range();
    this.show((end - start) * factor);
  }

  // So much time around the cursor, or else before the end.
  show(seconds) {
    const [start, end] = this.range();
    const fixed = this.cursor ?? end;
    this.seconds = Math.min(Math.max(seconds, 1e-3), 3600);
    if (this.until !== null) this.until = fixed + (end - fixed) * (this.seconds / (end - start));
    const own = [...this.span.options].find((option) => Number(option.value) === this.seconds);
    this.span.value = own ? own.value : "";
    this.changed();
  }

  move(seconds) {
    if (this.until === null) this.stop();
    this.until += seconds;
    this.changed();
  }

  // Puts the cursor somewhere, and says what each connection did then.
  point(at) {
    if (this.until === null) this.stop();
    const [start, end] = this.range();
    this.cursor = at;
    if (at < start || at > end) this.until += at < start ? at - start : at - end;
    this.changed();
  }
}

// The graph of one flow.
class Drawing {
  constructor(id, axis) {
    this.axis = axis;
    this.canvas = make("canvas", { tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.said = make("p", { role: "status" });
    this.way = choice("direction", [["sent", "what is sent"], ["received", "what is received"]], "sent");
    this.way.onchange = () => this.redraw();
    const redraw = () => this.redraw();
    this.trace = id.startsWith(RING) ? new Ring(id.slice(RING.length), redraw) : new Connection(id, redraw);
    this.element = make("section", { className: "graph" },
      make("h2", {}, `${this.trace.title} ${this.trace.id} `, this.way), this.canvas, this.said);
    this.listen();
    this.resized = new ResizeObserver(() => this.redraw());
    this.resized.observe(this.canvas);
  }

  close() {
    this.resized.disconnect();
    this.trace.close();
    cancelAnimationFrame(this.frame);
  }

  listen() {
    const { canvas, axis } = this;
    const time = (event) => {
      const [start, end] = axis.range();
      return start + ((event.offsetX - 10) / Math.max(canvas.clientWidth - 20, 1)) * (end - start);
    };
    canvas.onclick = (event) => axis.point(time(event));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      axis.cursor = time(event);
      axis.zoom(event.deltaY > 0 || event.deltaX > 0 ? 1.25 : 0.8);
    }, { passive: false });
    canvas.onkeydown = (event) => {
      const [start, end] = axis.range();
      const step = (end - start) / 50;
      const at = axis.cursor ?? end;
      const does = {
        ArrowLeft: () => axis.point(at - step), ArrowRight: () => axis.point(at + step),
        PageUp: () => axis.move(start - end), PageDown: () => axis.move(end - start),
        "+": () => axis.zoom(0.5), "=": () => axis.zoom(0.5), "-": () => axis.zoom(2),
        Escape: () => axis.follow(), " ": () => (axis.until === null ? axis.stop() : axis.follow()),
      }[event.key];
      if (!does || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      does();
    };
  }

  // Once for each picture of the screen, however much comes.
  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.tell();
      paint(this);
    });
  }

  direction() {
    return this.trace[this.way.value];
  }

  tell() {
    const { trace, axis } = this;
    const state = axis.cursor === null ? trace.states[trace.states.length - 1] : trace.state(axis.cursor);
    const parts = [];
    if (axis.cursor !== null) {
      parts.push(`${time(axis.cursor)}: ${trace.reason(axis.cursor, this.way.value)}`);
    }
    if (state) {
      parts.push(`${state.local} with ${state.remote}`);
      parts.push(...trace.facts.map((name) => `${heading(name)} ${shown(name, state[name])}`));
    }
    if (trace.end) parts.push(trace.end);
    this.said.textContent = parts.join(", ");
  }
}

const time = (at) => new Date(at * 1000).toISOString().slice(11, 23);

function paint({ canvas, trace, axis, way }) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  const direction = trace[way.value];
  if (trace.latest() === -Infinity) {
    label(pen, color("faint"), trace.end || trace.idle, 10, 20);
    canvas.setAttribute("aria-label", trace.idle);
    return;
  }
  const [start, end] = axis.range();
  const x = (at) => 10 + ((at - start) / (end - start)) * (width - 20);
  const view = { pen, color, start, end, x, width };
  let top = 0;
  for (const strip of trace.strips) {
    const part = { ...view, top: top + 16, bottom: top + height * strip.part - 4 };
    if (strip.name === "sequence") sequence(part, canvas, trace, direction);
    else if (strip.bars) bars(part, strip, trace.steps);
    else if (strip.rates) lines(part, strip, ratesOf(trace, strip, start, end));
    else if (strip.lines) lines(part, strip, seriesOf(trace, strip, start, end));
    else lines(part, strip, [["throughput", "acknowledged", direction.throughput(start, end, PARTS)]]);
    top += height * strip.part;
    pen.fillStyle = color("line");
    pen.fillRect(0, top - 1, width, 1);
  }
  if (axis.cursor !== null) {
    pen.fillStyle = color("accent");
    pen.fillRect(x(axis.cursor), 0, 1, height);
  }
}

function label(pen, color, text, x, y) {
  pen.fillStyle = color;
  pen.fillText(text, x, y);
}

// The marks of a direction that are in view, and the last before it of the lines that reach in.
function inView(marks, start, end) {
  const first = marks.findIndex((mark) => mark.at >= start);
  if (first < 0) return [];
  const before = ["acknowledged", "window"].map((kind) => marks.slice(0, first).findLast((mark) => mark.kind === kind));
  const seen = marks.slice(first).filter((mark) => mark.at <= end);
  return [...before.filter((mark) => mark).map((mark) => ({ ...mark, at: start })), ...seen];
}

function sequence(view, canvas, trace, direction) {
  const { pen, color, start, end, x, top, bottom } = view;
  const seen = inView(direction.marks, start, end);
  const data = seen.filter((mark) => mark.kind !== "window");
  if (!data.length) {
    label(pen, color("faint"), "nothing of this direction at this time", 10, top);
    canvas.setAttribute("aria-label", `nothing in ${duration(end - start)}`);
    return;
  }
  const low = Math.min(...data.map((mark) => mark.from));
  const high = Math.max(...data.map((mark) => mark.to)) + 1;
  const room = (high - low) * 1.08 + 1;
  const y = (place) => Math.max(bottom - ((place - low) / room) * (bottom - top), top - 14);
  const last = {};
  const lettered = {};
  for (const mark of seen) {
    pen.strokeStyle = pen.fillStyle = color(mark.kind);
    pen.lineWidth = mark.kind === "again" ? 3 : 1.5;
    pen.beginPath();
    if (mark.kind === "acknowledged" || mark.kind === "window") {
      const before = last[mark.kind] || mark;
      pen.moveTo(x(before.at), y(before.to));
      pen.lineTo(x(mark.at), y(before.to));
      pen.lineTo(x(mark.at), y(mark.to));
      last[mark.kind] = mark;
    } else {
      pen.moveTo(x(mark.at), y(mark.from));
      pen.lineTo(x(mark.at), Math.min(y(mark.to), y(mark.from) - 1));
    }
    pen.stroke();
    const letter = trace.letters[mark.kind];
    if (letter && !(x(mark.at) - lettered[mark.kind] < LETTER)) {
      pen.fillText(letter, x(mark.at) - 4, y(mark.to) - 3);
      lettered[mark.kind] = x(mark.at);
    }
    if (mark.kind === "duplicate" && mark.count <= 3) pen.fillText(mark.count, x(mark.at) + 1, y(mark.to) + 11);
  }
  const count = (kind) => seen.filter((mark) => mark.kind === kind).length;
  const text = `${duration(end - start)}, ${bytes(high - 1 - low)}B, from ${time(start)}`;
  label(pen, color("faint"), text, 10, top - 4);
  canvas.setAttribute("aria-label", `${bytes(high - 1 - low)}B in ${duration(end - start)}: ${trace.summary(count)}`);
}

function seriesOf(trace, strip, start, end) {
  const seen = from(trace[strip.of ?? "states"], start).filter((state) => state.at <= end);
  return Object.entries(strip.lines).map(([name, color]) => {
    const points = seen.filter((state) => state[name] !== null).map((state) => ({ at: state.at, value: state[name] }));
    return [heading(name), color, points];
  });
}

// Those of a list from this time on, and the one before.
function from(list, start) {
  const first = list.findIndex((one) => one.at >= start);
  return first < 0 ? list.slice(-1) : list.slice(Math.max(first - 1, 0));
}

function ratesOf(trace, strip, start, end) {
  return Object.entries(strip.rates).map(([name, color]) =>
    [heading(name), color, rate(trace.steps, (step) => step[name], start, end, PARTS)]);
}

// For each of some values that are true or false a line of its own, filled while it is true.
function bars({ pen, color, start, end, x, top, bottom }, strip, steps) {
  label(pen, color("faint"), strip.name, 10, top - 4);
  const seen = from(steps, start);
  const all = Object.entries(strip.bars);
  const height = (bottom - top) / all.length;
  all.forEach(([name, [text, tone]], row) => {
    const y = top + row * height;
    pen.fillStyle = color(tone);
    let since = null;
    seen.forEach((step, index) => {
      if (step[name]) since ??= step.at;
      if (since === null || (step[name] && index < seen.length - 1)) return;
      const [left, right] = [x(Math.max(since, start)), x(Math.min(step.at, end))];
      if (since <= end) pen.fillRect(left, y + 2, Math.max(right - left, 1), height - 3);
      since = null;
    });
    pen.font = "10px system-ui, sans-serif";
    const { width } = pen.measureText(text);
    pen.fillStyle = color("ground");
    pen.fillRect(8, y + 1, width + 6, height - 1);
    label(pen, color(tone), text, 11, y + height - 2);
    pen.font = "12px system-ui, sans-serif";
  });
}

// Lines over one scale from zero to the highest, but for what is far above all others.
function lines({ pen, color, start, end, x, top, bottom, width }, strip, series) {
  const highest = series.map(([, , points]) => Math.max(0, ...points.map((point) => point.value)));
  const scale = Math.max(Math.min(Math.max(...highest), 4 * Math.max(highest[0], highest[1] ?? 0)), 1);
  const y = (value) => bottom - (Math.min(value, scale) / scale) * (bottom - top);
  let left = 10;
  label(pen, color("faint"), `${strip.name}, up to ${shown(strip.unit, scale)}`, left, top - 4);
  left += Math.max(pen.measureText(`${strip.name}, up to ${shown(strip.unit, scale)}`).width + 14, 130);
  for (const [name, tone, points] of series) {
    pen.strokeStyle = color(tone);
    pen.lineWidth = 1.5;
    pen.beginPath();
    points.forEach(({ at, value }, index) => {
      pen[index ? "lineTo" : "moveTo"](x(Math.max(at, start)), y(value));
      pen.lineTo(x(points[index + 1]?.at ?? end), y(value));
    });
    pen.stroke();
    if (series.length > 1 && left < width - 60) {
      label(pen, color(tone), name, left, top - 4);
      left += pen.measureText(name).width + 12;
    }
  }
}
