//! Panics: those that were caught, counted by place, with the last backtrace of each.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use inspect::{Column, Table};
use spinning_top::Spinlock;

/// Places that are remembered; the one that panicked longest ago gives way.
const PLACES_MAX: usize = 32;
/// Bytes that are kept of a message, since a peer may have chosen part of it.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Bytes that are kept of a backtrace: some sixty frames.
const BACKTRACE_BYTES_MAX: usize = 8 << 10;

static PANICS: Spinlock<Vec<PanicRow>> = Spinlock::new(Vec::new());

/// A row of [`TABLE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicRow {
    /// Where in the source, if it is known.
    place: String,
    count: u64,
    /// Since the start.
    last: Duration,
    message: String,
    backtrace: Option<String>,
}

/// Panics by place.
pub static TABLE: Table<PanicRow> = Table {
    name: "panics",
    help: "Panics that were caught, by place; the last one's message and backtrace of each.",
    columns: &[
        Column::text("place", "File and line.", |row| row.place.as_str().into()),
        Column::number("count", "How often.", |row| row.count.into()),
        Column::number("last_ms", "When it was last, since the start.", |row| {
            (row.last.as_millis() as u64).into()
        }),
        Column::text("message", "The last message.", |row| row.message.as_str().into()),
        Column::maybe_text("backtrace", "The last backtrace, if there is one.", |row| {
            row.backtrace.as_deref().into()
        }),
    ],
};

/// Takes note of a panic that was caught, at the time `now` since the start.
pub fn note(now: Duration, place: &str, message: &str, backtrace: Option<String>) {
    let mut panics = PANICS.lock();
    note_in(&mut panics, now, place, message, backtrace);
}

/// Those that were noted, the latest last.
#[cfg(feature = "inspection")]
pub(crate) fn all() -> Vec<PanicRow> {
    PANICS.lock().clone()
}

fn note_in(
    panics: &mut Vec<PanicRow>,
    last: Duration,
    place: &str,
    message: &str,
    backtrace: Option<String>,
) {
    let known = panics.iter().position(|row| row.place == place).map(|at| panics.remove(at));
    if panics.len() == PLACES_MAX {
        panics.remove(0);
    }
    let (count, last_backtrace) = known.map_or((0, None), |row| (row.count, row.backtrace));
    // Of many panics in a row not all have one.
    let backtrace = backtrace.map(|text| cut(text, BACKTRACE_BYTES_MAX)).or(last_backtrace);
    panics.push(PanicRow {
        place: place.into(),
        count: 1 + count,
        last,
        message: cut(message.into(), MESSAGE_BYTES_MAX),
        backtrace,
    });
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn panics_are_counted_by_place_and_the_latest_is_last() {
        let mut panics = Vec::new();
        note_in(&mut panics, seconds(1), "a.rs:1", "one", None);
        note_in(&mut panics, seconds(2), "b.rs:1", "two", None);
        note_in(&mut panics, seconds(3), "a.rs:1", "three", Some("frames".to_string()));
        note_in(&mut panics, seconds(4), "a.rs:1", "four", None);
        let seen: Vec<_> = panics
            .iter()
            .map(|row| (row.place.as_str(), row.count, row.message.as_str()))
            .collect();
        assert_eq!(seen, [("b.rs:1", 1, "two"), ("a.rs:1", 3, "four")]);
        assert_eq!((panics[1].last, panics[1].backtrace.as_deref()), (seconds(4), Some("frames")));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut panics = Vec::new();
        for line in 0..PLACES_MAX + 3 {
            let long = "é".repeat(BACKTRACE_BYTES_MAX);
            note_in(
                &mut panics,
                seconds(0),
                &std::format!("a.rs:{line}"),
                &long,
                Some(long.clone()),
            );
        }
        assert_eq!((panics.len(), panics[0].place.as_str()), (32, "a.rs:3"));
        assert_eq!(panics[0].message.len(), 1024);
        assert_eq!(panics[0].backtrace.as_ref().unwrap().len(), 8192);
    }
}
