// Trace: the event stream of one flow, as marks of the time-sequence graph that tcptrace draws, for each direction.

const MARKS_MAX = 40000;
const STATES_MAX = 5000;

// What all kinds of flows have.
export class Trace {
  constructor(path, id, changed) {
    this.id = id;
    this.sent = new Direction();
    this.received = new Direction();
    // Its rows in its table, with `at`.
    this.states = [];
    this.end = null;
    this.changed = changed;
    this.stream = new EventSource(`api/v1/${path}/${encodeURIComponent(id)}/trace`);
    this.on("state", (row) => {
      this.states.push({ ...row, at: row.time_us / 1e6 });
      if (this.states.length > STATES_MAX) this.states.splice(0, STATES_MAX / 4);
    });
    this.on("end", ({ dropped }) => {
      this.end = "it has ended" + (dropped ? `; ${dropped} segments were dropped from the graph` : "");
      this.stream.close();
    });
    this.stream.onerror = () => {
      if (this.stream.readyState !== EventSource.CLOSED || this.end) return;
      this.end = "there is no such connection any more, or the network is another system's";
      changed();
    };
  }

  on(name, take) {
    this.stream.addEventListener(name, (event) => {
      take(JSON.parse(event.data));
      this.changed();
    });
  }

  close() {
    this.stream.close();
  }

  // The last time that is known of.
  latest() {
    const last = (list) => (list.length ? list[list.length - 1].at : -Infinity);
    return Math.max(last(this.sent.marks), last(this.received.marks), last(this.states));
  }

  earliest() {
    const first = (list) => (list.length ? list[0].at : Infinity);
    return Math.min(first(this.sent.marks), first(this.received.marks), first(this.states));
  }

  // What the connection's row said at that time, or the first time after it.
  state(at) {
    return this.states.findLast((state) => state.at <= at) || this.states[0];
  }
}

// A connection of TCP.
export class Connection extends Trace {
  constructor(id, changed) {
    super("connections", id, changed);
    this.sent = new Acknowledged();
    this.received = new Acknowledged();
    this.on("segment", (segment) => this.segment(segment));
  }

  segment(segment) {
    const at = segment.time_us / 1e6;
    const [own, other] = segment.is_sent ? [this.sent, this.received] : [this.received, this.sent];
    own.data(at, segment);
    if (segment.acknowledgement !== null) other.acknowledgement(at, segment);
  }

  reason(at, way) {
    return this[way].reason(at, this.state(at), way === "sent");
  }

  // What is in view, for who does not see it.
  summary(count) {
    return `${count("segment")} segments, ${count("again")} sent again, ${count("duplicate")} duplicate acknowledgements, `
      + `${count("zero")} zero windows`;
  }
}

Object.assign(Connection.prototype, {
  title: "Connection",
  idle: "no segment yet: the connection is idle",
  names: {
    segment: "segment", again: "R: sent again", control: "SYN, FIN, RST", acknowledged: "acknowledged", window: "window",
    sack: "SACK", duplicate: "duplicate acknowledgement", zero: "Z: zero window",
  },
  letters: { again: "R", zero: "Z" },
  // From top to bottom: their part of the height, and which values of the connection's row are in them.
  strips: [
    { name: "sequence", part: 0.55 },
    { name: "windows", part: 0.17, unit: "_bytes", lines: { cwnd_bytes: "segment", in_flight_bytes: "acknowledged", tx_window_bytes: "window" } },
    { name: "round trip", part: 0.14, unit: "_us", lines: { rtt_us: "control" } },
    { name: "throughput", part: 0.14, unit: "_bytes_per_second" },
  ],
  facts: ["state", "rtt_us", "rto_ms", "cwnd_bytes", "ssthresh_bytes", "in_flight_bytes", "tx_window_bytes",
    "retransmissions", "tx_bytes", "rx_bytes"],
});

// What one end sends, and how far that came. Places are bytes since the first.
export class Direction {
  constructor() {
    this.marks = [];
  }

  add(mark) {
    this.marks.push(mark);
    if (this.marks.length > MARKS_MAX) this.marks.splice(0, MARKS_MAX / 4);
  }

  // Bytes acknowledged in each of `count` equal parts of a time, by the second.
  throughput(start, end, count) {
    return rate(this.marks.filter((mark) => mark.kind === "acknowledged"), (mark) => mark.from, start, end, count);
  }
}

// How much a number grew in each of `count` equal parts of a time, by the second.
export function rate(list, number, start, end, count) {
  const step = (end - start) / count;
  const sums = new Array(count).fill(0);
  let before = null;
  for (const one of list) {
    const part = Math.floor((one.at - start) / step);
    if (before !== null && number(one) > before && part >= 0 && part < count) sums[part] += number(one) - before;
    before = Math.max(before ?? number(one), number(one));
  }
  return sums.map((sum, part) => ({ at: start + (part + 0.5) * step, value: sum / step }));
}

// What the other end acknowledges.
class Acknowledged extends Direction {
  constructor() {
    super();
    this.origin = null;
    this.top = 0;
    this.last = null;
    this.duplicates = 0;
  }

  data(at, segment) {
    const from = this.place(segment.sequence);
    const to = from + segment.sequence_bytes;
    const kind = segment.is_again ? "again" : /[SFR]/.test(segment.flags) ? "control" : "segment";
    if (to > from || kind === "control") this.add({ at, from, to, kind });
    this.top = Math.max(this.top, to);
  }

  // What the other end says of it: acknowledgement, window, SACK; and that it says the same again (RFC 5681 section 2).
  acknowledgement(at, segment) {
    const from = this.place(segment.acknowledgement);
    const { last } = this;
    const repeats = last && last.from === from && last.window === segment.window_bytes
      && !segment.sequence_bytes && from < this.top;
    this.duplicates = repeats ? this.duplicates + 1 : 0;
    this.last = { from, window: segment.window_bytes };
    this.top = Math.max(this.top, from);
    this.add({ at, from, to: from, kind: "acknowledged" });
    this.add({ at, from: from + segment.window_bytes, to: from + segment.window_bytes, kind: "window" });
    if (repeats) this.add({ at, from, to: from, kind: "duplicate", count: this.duplicates });
    if (segment.window_bytes === 0 && !/[SR]/.test(segment.flags)) this.add({ at, from, to: from, kind: "zero" });
    for (const [start, end] of segment.sack) {
      this.add({ at, from: this.place(start), to: this.place(end), kind: "sack" });
    }
  }

  // Numbers begin again at 2^32: the one that is meant is the nearest to the highest.
  place(number) {
    if (this.origin === null) this.origin = number;
    return this.top + ((number - ((this.origin + this.top) >>> 0)) | 0);
  }

  // Why nothing was sent at that time, or that something was: `state` is the connection's row then.
  reason(at, state, isOurs) {
    const own = this.marks.filter((mark) => ["segment", "again", "control"].includes(mark.kind));
    const before = own.findLast((mark) => mark.at <= at);
    const after = own.find((mark) => mark.at > at);
    const gap = (after ? after.at : Infinity) - (before ? before.at : -Infinity);
    if (gap < 0.01) return "segments follow each other";
    const acknowledged = this.marks.findLast((mark) => mark.kind === "acknowledged" && mark.at <= at);
    const window = this.marks.findLast((mark) => mark.kind === "window" && mark.at <= at);
    if (window && acknowledged && window.to === acknowledged.to) return "the receiver's window is zero";
    if (after?.kind === "again") return "something was lost: what follows is sent again";
    if (window && before && window.to - before.to < (state?.mss_bytes ?? 1)) return "the receiver's window is full";
    if (!isOurs) return "the other end sends nothing, for reasons of its own";
    if (!state) return "nothing is known of the connection at that time";
    if (state.tx_queue_bytes === 0) return "the application has written nothing more";
    if (state.in_flight_bytes + (state.mss_bytes ?? 0) > state.cwnd_bytes) return "the congestion window is full";
    return "the sender paces what it has, or waits for more to fill a segment";
  }
}
