//! Access log: one line for each answer, under the log target `access`.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use flow::Address;
use web::access_log::{End, Entry, Format};
use web::date::HttpDate;
use web::{RequestHead, Status};

/// Begins the line of a request, or of what was refused before it was one.
pub(super) fn begin(
    format: Format,
    peer: Address,
    date: Option<&HttpDate>,
    request: Option<&RequestHead>,
) -> Entry {
    match peer.ip() {
        // Most of them, and without the formatter's cost.
        Some(IpAddr::V4(address)) => {
            let mut text = Vec::with_capacity(15);
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push(b'.');
                }
                for unit in [100, 10, 1] {
                    if octet >= unit || unit == 1 {
                        text.push(b'0' + octet / unit % 10);
                    }
                }
            }
            Entry::new(format, &text, date, request)
        }
        Some(address) => Entry::new(format, address.to_string().as_bytes(), date, request),
        None => Entry::new(format, peer.to_string().as_bytes(), date, request),
    }
}

/// The line of an open request.
pub(super) struct Logged {
    entry: Entry,
    begun: Duration,
    /// What is known of the answer; none before there is one.
    answer: Option<Answer>,
    reason: Option<&'static str>,
}

struct Answer {
    status: Status,
    /// Bytes of content that were given for it so far.
    content_bytes: u64,
}

impl Logged {
    pub(super) fn new(entry: Entry, begun: Duration) -> Self {
        Self { entry, begun, answer: None, reason: None }
    }

    /// There is an answer with so much content, or with more to come.
    pub(super) fn answered(&mut self, status: Status, content_bytes: u64) {
        self.answer = Some(Answer { status, content_bytes });
    }

    /// The request has this id.
    pub(super) fn identified(&mut self, id: &[u8]) {
        self.entry.set_id(id);
    }

    /// There is more of its content.
    pub(super) fn continued(&mut self, content_bytes: usize) {
        if let Some(answer) = &mut self.answer {
            answer.content_bytes += content_bytes as u64;
        }
    }

    /// The request was refused, or its answer cut off; the first reason counts.
    pub(super) fn failed(&mut self, reason: &'static str) {
        self.reason.get_or_insert(reason);
    }

    /// Its client left, or wants no answer any more: without one it is 499, and nothing was sent.
    pub(super) fn abandoned(&mut self, reason: &'static str) {
        self.failed(reason);
        if self.answer.is_none() {
            self.answered(Status::CLIENT_CLOSED_REQUEST, 0);
        }
    }

    /// Whether there is an answer.
    pub(super) fn has_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// Writes the line. Of the answer's content so many bytes were not taken.
    pub(super) fn end(self, now: Duration, untaken_bytes: u64) {
        let Self { entry, begun, answer, reason } = self;
        let sent = |answer: &Answer| answer.content_bytes.saturating_sub(untaken_bytes);
        let line = entry.finish(End {
            status: answer.as_ref().map(|answer| answer.status),
            content_bytes: answer.as_ref().map(sent),
            duration: now.saturating_sub(begun),
            reason,
        });
        log::info!(target: "access", "{}", core::str::from_utf8(&line).unwrap_or("?"));
    }
}
