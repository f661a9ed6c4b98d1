//! Limits: what one peer may make this vat hold.

use core::time::Duration;

/// Named limits of one connection. A peer that exceeds one is aborted with the limit's name as the
/// reason; a local caller that would exceed one gets an `overloaded` exception instead.
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
    /// Calls of the peer that it has not finished. Default 65,536.
    pub answers_max: usize,
    /// Capabilities that the peer holds of us. Default 65,536.
    pub exports_max: usize,
    /// Capabilities that we hold of the peer. Default 65,536.
    pub imports_max: usize,
    /// Promises of the peer that we wait for it to disembargo. Default 65,536.
    pub embargoes_max: usize,
    /// Bytes of the peer's unanswered calls. Default 64 MiB.
    pub call_bytes_max: usize,
    /// Bytes queued for a peer that reads slowly: above it no more input is wanted.
    /// Default 1 MiB, a few windows' worth.
    pub unsent_bytes_high: usize,
    /// Bytes queued for a peer that reads slowly: above it the connection ends. Default 128 MiB.
    pub unsent_bytes_max: usize,
    /// Characters kept of a peer's exception. Default 1,024.
    pub reason_bytes_max: usize,
    /// How long half a message, or a byte that the peer does not take, may wait. Default 60 s.
    pub stall_timeout: Duration,
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
            stall_timeout: Duration::from_secs(60),
        }
    }
}
