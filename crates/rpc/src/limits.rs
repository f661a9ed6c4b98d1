//! Limits: what one peer may make this vat hold.

use core::time::Duration;
use pace::Pace;

/// Named limits of one connection. Beyond those on its calls they wait unread, or fail as overloaded with the
/// limit's name; a peer that exceeds another is aborted with its name as the reason. A local caller that would exceed
/// one gets an `overloaded` exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message taken, in words of 8 bytes, without its segment table.
    /// Default 4 Mi words (32 MiB): three times the 10 MB messages that peers are known to send.
    pub message_words_max: u32,
    /// Segments in one message. Default 512, what the reference implementation accepts.
    pub segments_max: u32,
    /// Words that readers may visit in one message, so that overlapping pointers cannot amplify it.
    /// Default 8 Mi words, the reference implementation's.
    pub traversal_words_max: usize,
    /// Nesting of pointers followed in one message. Default 64, the reference implementation's.
    pub nesting_max: u32,
    /// Capabilities in one message. Default 16,384; a thousand at once is known practice.
    pub message_caps_max: u32,
    /// Fields in the path of one promised capability. Default 64.
    pub path_fields_max: u32,
    /// Parts of one result to which calls may be sent before it is there, either way. Default 1,024.
    pub parts_max: usize,
    /// Calls of ours that the peer has not answered. Default 65,536.
    pub questions_max: usize,
    /// Calls of the peer that are not answered; more wait unread. Default 65,536.
    pub answers_max: usize,
    /// Capabilities that the peer holds of us. Default 65,536.
    pub exports_max: usize,
    /// Capabilities that we hold of the peer. Default 65,536.
    pub imports_max: usize,
    /// Promises of the peer that we wait for it to disembargo. Default 65,536.
    pub embargoes_max: usize,
    /// Bytes of the peer's unanswered calls; more wait unread. Twice as much of results that it does not finish;
    /// beyond that calls fail. Default 64 MiB.
    pub call_bytes_max: usize,
    /// Bytes queued for a peer that reads slowly: above it its calls wait unread.
    /// Default 1 MiB, a few windows' worth.
    pub unsent_bytes_high: usize,
    /// Bytes queued for a peer that reads slowly: results and calls that come near fail, and above it the connection
    /// ends. Default 128 MiB.
    pub unsent_bytes_max: usize,
    /// Characters kept of a peer's exception. Default 1,024.
    pub reason_bytes_max: usize,
    /// Bytes per second at which a message must come, and ours be taken, on the whole: each byte puts
    /// the deadline off by its share of a second, at most to `stall_timeout` from now. Default 500, a
    /// tenth of the slowest modem's; 0 is no least rate.
    pub bytes_per_second_min: u32,
    /// How long half a message, a byte that the peer does not take, or a call without room may wait. Default 60 s.
    pub stall_timeout: Duration,
}

impl Limits {
    /// What a message that is under way, in either direction, is held to.
    pub(crate) fn pace(&self) -> Pace {
        Pace { timeout: self.stall_timeout, bytes_per_second_min: self.bytes_per_second_min }
    }

    /// The same, but no more than fits where the longest message that one peer may send has so many bytes: memory's
    /// share, of which all that a peer makes us hold is a few times as much.
    #[must_use]
    pub fn within(self, message_bytes_max: usize) -> Self {
        let words = u32::try_from(message_bytes_max / 8).unwrap_or(u32::MAX);
        Self {
            message_words_max: self.message_words_max.min(words),
            call_bytes_max: self.call_bytes_max.min(message_bytes_max / 3 * 2),
            unsent_bytes_high: self.unsent_bytes_high.min(message_bytes_max / 6),
            unsent_bytes_max: self.unsent_bytes_max.min(message_bytes_max / 3 * 2),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_words_max: 4 << 20,
            segments_max: 512,
            traversal_words_max: 8 << 20,
            nesting_max: 64,
            message_caps_max: 16_384,
            path_fields_max: 64,
            parts_max: 1_024,
            questions_max: 65_536,
            answers_max: 65_536,
            exports_max: 65_536,
            imports_max: 65_536,
            embargoes_max: 65_536,
            call_bytes_max: 64 << 20,
            unsent_bytes_high: 1 << 20,
            unsent_bytes_max: 128 << 20,
            reason_bytes_max: 1_024,
            bytes_per_second_min: 500,
            stall_timeout: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_within_memorys_share_are_parts_of_it_and_no_wider_than_before() {
        let limits = Limits { answers_max: 7, ..Limits::default() };
        let within = limits.within(6_000_000);
        assert_eq!(within.message_words_max, 750_000);
        assert_eq!(within.call_bytes_max, 4_000_000);
        assert_eq!(within.unsent_bytes_high, 1_000_000);
        assert_eq!(within.unsent_bytes_max, 4_000_000);
        assert_eq!(within.answers_max, 7, "what is no memory stays");
        assert_eq!(limits.within(usize::MAX), limits);
    }
}
