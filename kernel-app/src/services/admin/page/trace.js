// Trace: the event stream of one connection, as marks of the time-sequence graph that tcptrace draws, for each direction.

const MARKS_MAX = 40000;
const STATES_MAX = 5000;

export class Trace {
  constructor(id, changed) {
    this.id = id;
    this.sent = new Direction();
    this.received = new Direction();
    // Its rows among the connections, with `at`.
    this.states = [];
    this.end = null;
    this.stream = new EventSource(`api/v1/connections/${encodeURIComponent(id)}/trace`);
    const on = (name, take) => this.stream.addEventListener(name, (event) => {
      take(JSON.parse(event.data));
      changed();
    });
    on("segment", (segment) => this.segment(segment));
    on("state", (row) => {
      this.states.push({ ...row, at: row.time_us / 1e6 });
      if (this.states.length > STATES_MAX) this.states.splice(0, STATES_MAX / 4);
    });
    on("end", ({ dropped }) => {
      this.end = "it has ended" + (dropped ? `; ${dropped} segments were dropped from the graph` : "");
      this.stream.close();
    });
    this.stream.onerror = () => {
      if (this.stream.readyState !== EventSource.CLOSED || this.end) return;
      this.end = "there is no such connection any more, or the network is another system's";
      changed();
    };
  }

  close() {
    this.stream.close();
  }

  segment(segment) {
    const at = segment.time_us / 1e6;
    const [own, other] = segment.is_sent ? [this.sent, this.received] : [this.received, this.sent];
    own.data(at, segment);
    if (segment.acknowledgement !== null) other.acknowledgement(at, segment);
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

// What one end sends, and the other acknowledges. Places are bytes since the first.
class Direction {
  constructor() {
    this.marks = [];
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

  add(mark) {
    this.marks.push(mark);
    if (this.marks.length > MARKS_MAX) this.marks.splice(0, MARKS_MAX / 4);
  }

  // Bytes acknowledged in each of `count` equal parts of a time, by the second.
  throughput(start, end, count) {
    const step = (end - start) / count;
    const sums = new Array(count).fill(0);
    let before = null;
    for (const mark of this.marks) {
      if (mark.kind !== "acknowledged") continue;
      const part = Math.floor((mark.at - start) / step);
      if (before !== null && mark.from > before && part >= 0 && part < count) sums[part] += mark.from - before;
      before = Math.max(before ?? mark.from, mark.from);
    }
    return sums.map((sum, part) => ({ at: start + (part + 0.5) * step, value: sum / step }));
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
