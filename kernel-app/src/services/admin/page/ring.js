// Ring: a flow through shared memory as steps, each of which says how far both of its rings are.

import { Trace } from "./trace.js";

const STEPS_MAX = 20000;
// How long a line may stand still before it is drawn on.
const PAUSE = 0.05;

export class Ring extends Trace {
  constructor(id, changed) {
    super("shared_memory_flows", id, changed);
    this.steps = [];
    this.on("step", (step) => this.step({ ...step, at: step.time_us / 1e6 }));
  }

  step(step) {
    const before = this.steps[this.steps.length - 1];
    this.steps.push(step);
    if (this.steps.length > STEPS_MAX) this.steps.splice(0, STEPS_MAX / 4);
    const sizes = this.states[this.states.length - 1];
    const [sent, received] = [rings.sent(step, sizes), rings.received(step, sizes)];
    draw(this.sent, step.at, sent, before && rings.sent(before, sizes));
    draw(this.received, step.at, received, before && rings.received(before, sizes));
  }

  summary(count) {
    return `${count("segment")} writes, ${count("zero")} times full`;
  }

  // Why nothing was written at that time, or that something was, and who waits for whom.
  reason(at, way) {
    const step = this.steps.findLast((step) => step.at <= at);
    const after = this.steps.find((step) => step.at > at);
    if (!step) return "nothing is known of that time";
    const sizes = this.state(at);
    const { written, read, size } = rings[way](step, sizes);
    if (after && after.at - step.at < 0.01 && rings[way](after, sizes).written > written) return "writes follow each other";
    const isOurs = way === "sent";
    const [writer, reader] = isOurs ? ["we wait", "the other side waits"] : ["the other side waits", "we wait"];
    const [forRoom, forBytes] = isOurs ? [step.waits_for_room, step.peer_waits_for_bytes]
      : [step.peer_waits_for_room, step.waits_for_bytes];
    if (read === null) return "the other side wrote what cannot be";
    if (written - read === size) {
      const who = isOurs ? "the other side does not read" : "our application does not read";
      return `the ring is full: ${who}` + (forRoom ? `, and ${writer} for room` : "");
    }
    if (written > read) {
      const who = isOurs ? "the other side has" : "our application has";
      return `${who} not read everything yet` + (forRoom ? `, and ${writer} for that` : "");
    }
    const who = isOurs ? "our application has" : "the other side has";
    return `${who} written nothing more` + (forBytes ? `, and ${reader} for bytes` : "");
  }
}

Object.assign(Ring.prototype, {
  title: "Shared memory",
  idle: "no step yet: the flow is idle",
  names: { segment: "written", acknowledged: "read", window: "room", zero: "F: full" },
  letters: { zero: "F" },
  strips: [
    { name: "sequence", part: 0.46 },
    { name: "fill", part: 0.14, unit: "_bytes", of: "steps", lines: { undelivered_bytes: "segment", unread_bytes: "acknowledged" } },
    {
      name: "who waits for what", part: 0.16,
      bars: {
        waits_for_room: ["we, for room", "again"], peer_waits_for_room: ["they, for room", "zero"],
        waits_for_bytes: ["we, for bytes", "control"], peer_waits_for_bytes: ["they, for bytes", "duplicate"],
      },
    },
    { name: "notifications", part: 0.12, unit: "_per_second", rates: { notifications_out: "segment", notifications_in: "acknowledged" } },
    { name: "throughput", part: 0.12, unit: "_bytes_per_second" },
  ],
  facts: ["role", "sent_bytes", "received_bytes", "undelivered_bytes", "unread_bytes", "notifications_out", "notifications_in",
    "notifications_suppressed", "bytes_per_wake", "stalls_full", "stalls_empty"],
});

// How far each ring is after a step. What cannot be is null.
const rings = {
  sent: (step, sizes) => ({
    written: step.sent_bytes,
    read: step.undelivered_bytes === null ? null : step.sent_bytes - step.undelivered_bytes,
    size: sizes?.outgoing_ring_bytes ?? 0,
  }),
  received: (step, sizes) => ({
    written: step.received_bytes + (step.unread_bytes ?? 0),
    read: step.unread_bytes === null ? null : step.received_bytes,
    size: sizes?.incoming_ring_bytes ?? 0,
  }),
};

function draw(direction, at, { written, read, size }, before) {
  if (before && written > before.written) direction.add({ at, from: before.written, to: written, kind: "segment" });
  if (read === null) return;
  const isFull = (ring) => ring && ring.size && ring.written - ring.read === ring.size;
  if (isFull({ written, read, size }) && !isFull(before)) direction.add({ at, from: written, to: written, kind: "zero" });
  if (before && read === before.read && at - direction.drawn < PAUSE) return;
  direction.drawn = at;
  direction.add({ at, from: read, to: read, kind: "acknowledged" });
  direction.add({ at, from: read + size, to: read + size, kind: "window" });
}
