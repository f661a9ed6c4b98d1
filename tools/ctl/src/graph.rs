//! The window graph of a connection, or of a ring of shared memory, in a terminal: time to the right, sequence numbers upwards,
//! in Braille's dots.

use serde_json::Value;
use std::fmt::Write;

/// Characters of the drawing.
const COLUMNS: usize = 100;
const LINES: usize = 28;
/// Dots of a character.
const DOTS_ACROSS: usize = 2;
const DOTS_DOWN: usize = 4;
/// Marks that are kept; those before are forgotten.
const MARKS_MAX: usize = 20_000;

/// What has been told of a connection.
pub(crate) struct Drawing {
    /// What the appliance sent is drawn; else what it received.
    draws_sent: bool,
    marks: Vec<Mark>,
    origin: Option<u32>,
    /// The highest number so far, to which others are near.
    top: i64,
    state: Option<String>,
    counts: [usize; KINDS],
    ring: Ring,
}

/// How far the ring was that is drawn, if it is one.
#[derive(Default)]
struct Ring {
    bytes: Option<i64>,
    written: Option<i64>,
    has_steps: bool,
}

/// A line upwards at one time.
struct Mark {
    seconds: f64,
    from: i64,
    to: i64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Window,
    Acknowledged,
    Sack,
    Segment,
    Again,
    Control,
}

const KINDS: usize = 6;

impl Kind {
    const ALL: [Self; KINDS] =
        [Self::Window, Self::Acknowledged, Self::Sack, Self::Segment, Self::Again, Self::Control];

    /// SGR colors: yellow, green, magenta, white, red, blue.
    fn color(self) -> &'static str {
        ["33", "32", "35", "37", "31", "34"][self as usize]
    }

    fn name(self) -> &'static str {
        ["window", "acknowledged", "sack", "segment", "sent again", "SYN, FIN or RST"]
            [self as usize]
    }
}

impl Kind {
    /// What it is of a ring, which has not all of them.
    fn name_of_ring(self) -> Option<&'static str> {
        match self {
            Self::Window => Some("room"),
            Self::Acknowledged => Some("read"),
            Self::Segment => Some("written"),
            Self::Sack | Self::Again | Self::Control => None,
        }
    }
}

impl Drawing {
    pub(crate) fn new(draws_sent: bool) -> Self {
        let (marks, counts) = (Vec::new(), [0; KINDS]);
        Self { draws_sent, marks, origin: None, top: 0, state: None, counts, ring: Ring::default() }
    }

    /// An event of the trace.
    pub(crate) fn take(&mut self, kind: &str, value: &Value) {
        match kind {
            "segment" => self.segment(value),
            "step" => self.step(value),
            "state" => {
                let size =
                    if self.draws_sent { "outgoing_ring_bytes" } else { "incoming_ring_bytes" };
                self.ring.bytes = value.get(size).and_then(Value::as_i64);
                self.state = Some(state(value));
            }
            _ => {}
        }
    }

    /// How far a flow through shared memory is: what is written is a segment, what is read of it is acknowledged, and what the
    /// ring has room for is the window.
    fn step(&mut self, value: &Value) {
        let number = |name: &str| value.get(name).and_then(Value::as_i64);
        let Some(time) = number("time_us") else { return };
        let seconds = time as f64 / 1e6;
        let (written, read) = if self.draws_sent {
            let written = number("sent_bytes");
            (written, written.zip(number("undelivered_bytes")).map(|(sent, left)| sent - left))
        } else {
            let read = number("received_bytes");
            (read.zip(number("unread_bytes")).map(|(read, left)| read + left), read)
        };
        let (Some(written), Some(read)) = (written, read) else { return };
        self.ring.has_steps = true;
        let before = self.ring.written.replace(written).unwrap_or(written);
        if written > before {
            self.add(seconds, before, written, Kind::Segment);
        }
        self.add(seconds, read, read, Kind::Acknowledged);
        if let Some(bytes) = self.ring.bytes {
            self.add(seconds, read + bytes, read + bytes, Kind::Window);
        }
    }

    fn segment(&mut self, value: &Value) {
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let Some(time) = number("time_us") else { return };
        let seconds = time as f64 / 1e6;
        let is_sent = value.get("is_sent").and_then(Value::as_bool).unwrap_or(false);
        let flags = value.get("flags").and_then(Value::as_str).unwrap_or_default();
        if is_sent == self.draws_sent {
            let (Some(sequence), Some(bytes)) = (number("sequence"), number("sequence_bytes"))
            else {
                return;
            };
            let is_again = value.get("is_again").and_then(Value::as_bool).unwrap_or(false);
            let kind = match () {
                () if is_again => Kind::Again,
                () if flags.contains(['S', 'F', 'R']) => Kind::Control,
                () if bytes == 0 => return,
                () => Kind::Segment,
            };
            let from = self.place(sequence as u32);
            self.add(seconds, from, from + bytes as i64, kind);
        } else if let Some(acknowledged) = number("acknowledgement") {
            let at = self.place(acknowledged as u32);
            self.add(seconds, at, at, Kind::Acknowledged);
            let end = at + number("window_bytes").unwrap_or(0) as i64;
            self.add(seconds, end, end, Kind::Window);
            let blocks = value.get("sack").and_then(Value::as_array);
            for block in blocks.into_iter().flatten() {
                let end = |at: usize| block.get(at).and_then(Value::as_u64);
                if let (Some(from), Some(to)) = (end(0), end(1)) {
                    let (from, to) = (self.place(from as u32), self.place(to as u32));
                    self.add(seconds, from, to, Kind::Sack);
                }
            }
        }
    }

    fn add(&mut self, seconds: f64, from: i64, to: i64, kind: Kind) {
        if self.marks.len() == MARKS_MAX {
            self.marks.drain(..MARKS_MAX / 4);
        }
        self.counts[kind as usize] += 1;
        if kind != Kind::Window {
            self.top = self.top.max(to);
        }
        self.marks.push(Mark { seconds, from, to, kind });
    }

    /// A number as bytes since the first, near to the highest: numbers begin again after 4 GiB.
    fn place(&mut self, number: u32) -> i64 {
        let origin = *self.origin.get_or_insert(number);
        let offset = number.wrapping_sub(origin.wrapping_add(self.top as u32)) as i32;
        self.top + i64::from(offset)
    }

    /// The picture, with a legend.
    pub(crate) fn text(&self, in_color: bool) -> String {
        let Some(first) = self.marks.first() else {
            return "no segment was seen: the connection was idle\n".into();
        };
        let last = self.marks.last().map_or(first.seconds, |mark| mark.seconds);
        // The window may be far above all else: what is sent fills the picture.
        let others = || self.marks.iter().filter(|mark| mark.kind != Kind::Window);
        let low = others().map(|mark| mark.from).min().unwrap_or(0);
        let high = others().map(|mark| mark.to).max().unwrap_or(0);
        let high = high + (high - low) / 10 + 1;
        let mut canvas = Canvas::default();
        let across = (last - first.seconds).max(1e-6);
        for kind in Kind::ALL {
            for mark in self.marks.iter().filter(|mark| mark.kind == kind) {
                let part = |at: i64| (at - low) as f64 / (high - low) as f64;
                let x = (mark.seconds - first.seconds) / across;
                canvas.line(x, part(mark.from), part(mark.to), kind);
            }
        }
        let mut out = canvas.text(in_color);
        let _ = writeln!(out, "{across:.3} s across, {} bytes upwards", high - low);
        for kind in Kind::ALL {
            let name = if self.ring.has_steps { kind.name_of_ring() } else { Some(kind.name()) };
            let Some(name) = name else { continue };
            let (start, end) = colors(in_color, kind);
            let _ = write!(out, "{start}{name}{end}: {}   ", self.counts[kind as usize]);
        }
        out.push('\n');
        if let Some(state) = &self.state {
            out.push_str(state);
        }
        out
    }
}

/// What is known of the connection beside its segments.
fn state(row: &Value) -> String {
    let names = ["state", "rtt_us", "rto_ms", "cwnd_bytes", "ssthresh_bytes", "in_flight_bytes"];
    let mut out = String::new();
    let of_ring = ["role", "undelivered_bytes", "unread_bytes", "waits_for", "peer_waits_for"];
    let more = ["tx_window_bytes", "retransmissions", "stalls_full", "stalls_empty"];
    for name in names.into_iter().chain(of_ring).chain(more) {
        if let Some(value) = row.get(name) {
            let _ = write!(out, "{name} {}   ", crate::table::shown(name, value));
        }
    }
    out.push('\n');
    out
}

struct Canvas {
    /// Dots of each character, and the kind that was drawn last.
    cells: Vec<(u8, Kind)>,
}

impl Default for Canvas {
    fn default() -> Self {
        Self { cells: vec![(0, Kind::Window); COLUMNS * LINES] }
    }
}

impl Canvas {
    /// A line upwards; places are parts of the picture. What is above it is left out.
    fn line(&mut self, x: f64, from: f64, to: f64, kind: Kind) {
        let (width, height) = (COLUMNS * DOTS_ACROSS, LINES * DOTS_DOWN);
        let column = (x * (width - 1) as f64) as usize;
        let row = |y: f64| (y * (height - 1) as f64) as usize;
        for up in row(from.clamp(0.0, 2.0))..=row(to.clamp(0.0, 2.0)) {
            if up < height {
                self.dot(column.min(width - 1), height - 1 - up, kind);
            }
        }
    }

    fn dot(&mut self, column: usize, row: usize, kind: Kind) {
        // Unicode, chapter 21.1: the bits of the dots, left and right.
        const BITS: [[u8; DOTS_ACROSS]; DOTS_DOWN] = [[1, 8], [2, 16], [4, 32], [64, 128]];
        let at = row / DOTS_DOWN * COLUMNS + column / DOTS_ACROSS;
        if let Some((dots, shown)) = self.cells.get_mut(at) {
            *dots |= BITS[row % DOTS_DOWN][column % DOTS_ACROSS];
            *shown = (*shown).max(kind);
        }
    }

    fn text(&self, in_color: bool) -> String {
        let mut out = String::new();
        for line in self.cells.chunks(COLUMNS) {
            let mut current = None;
            for (dots, kind) in line {
                let wanted = (*dots > 0).then_some(*kind);
                if in_color && wanted != current {
                    let _ = match wanted {
                        Some(kind) => write!(out, "\x1b[{}m", kind.color()),
                        None => write!(out, "\x1b[0m"),
                    };
                    current = wanted;
                }
                out.push(char::from_u32(0x2800 + u32::from(*dots)).unwrap_or(' '));
            }
            out.push_str(if current.is_some() { "\x1b[0m\n" } else { "\n" });
        }
        out
    }
}

fn colors(in_color: bool, kind: Kind) -> (String, &'static str) {
    if in_color { (format!("\x1b[{}m", kind.color()), "\x1b[0m") } else { (String::new(), "") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn segment(time: u64, sequence: u32, bytes: u32, is_again: bool) -> Value {
        json!({"time_us": time, "is_sent": true, "sequence": sequence, "sequence_bytes": bytes,
               "flags": "", "is_again": is_again})
    }

    #[test]
    fn a_transfer_is_a_slope() {
        let mut drawing = Drawing::new(true);
        for number in 0..100_u32 {
            // Numbers begin again in its middle.
            let sequence = (u32::MAX - 49_999).wrapping_add(number * 1000);
            drawing
                .take("segment", &segment(u64::from(number) * 1000, sequence, 1000, number == 50));
            let answer = json!({"time_us": number * 1000, "is_sent": false, "flags": "A",
                "acknowledgement": sequence, "window_bytes": 5000, "sack": [[sequence, sequence]]});
            drawing.take("segment", &answer);
        }
        drawing.take("state", &json!({"state": "established", "rtt_us": 1500}));
        let text = drawing.text(false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[LINES].starts_with("0.099 s across, 1"), "{}", lines[LINES]);
        assert!(
            lines[LINES + 1].contains("segment: 99 ")
                && lines[LINES + 1].contains("sent again: 1 ")
        );
        assert!(lines[LINES + 2].starts_with("state established   rtt_us 1.5ms"));
        // From the lower left to the upper right.
        let filled = |line: &str| line.chars().position(|it| it != '\u{2800}');
        assert_eq!(filled(lines[LINES - 1]), Some(0));
        let places: Vec<_> = lines[..LINES].iter().filter_map(|line| filled(line)).collect();
        assert!(places.len() > LINES / 2 && places.is_sorted_by(|one, next| one >= next));
        assert!(drawing.text(true).contains("\x1b[31m"));
    }

    fn step(time: u64, sent: u64, undelivered: u64) -> Value {
        json!({"time_us": time, "sent_bytes": sent, "undelivered_bytes": undelivered,
               "received_bytes": 0, "unread_bytes": null})
    }

    #[test]
    fn a_ring_is_drawn_by_what_was_written_read_and_has_room() {
        let mut drawing = Drawing::new(true);
        drawing.take("state", &json!({"role": "server", "outgoing_ring_bytes": 4096}));
        for (time, sent, undelivered) in
            [(0, 1000, 0), (1, 5096, 4096), (2, 5096, 0), (3, 6000, 904)]
        {
            drawing.take("step", &step(time, sent, undelivered));
        }
        let text = drawing.text(false);
        let legend = text.lines().nth(LINES + 1).unwrap();
        assert_eq!(legend, "room: 4   read: 4   written: 2   ");
        assert!(text.ends_with("role server   \n"), "{text}");
        // Of what comes, nothing is known that could be.
        let mut received = Drawing::new(false);
        received.take("step", &step(0, 1000, 0));
        assert!(received.text(false).starts_with("no segment"));
    }

    #[test]
    fn nothing_and_nonsense_are_no_picture() {
        let mut drawing = Drawing::new(false);
        for value in [json!({}), json!({"time_us": 1}), json!([1]), json!("x")] {
            drawing.take("segment", &value);
            drawing.take("step", &value);
            drawing.take("other", &value);
        }
        assert!(drawing.text(false).starts_with("no segment"));
    }
}
