//! Output: from responses to records.

use super::Connection;
use core::time::Duration;
use web::Status;

impl Connection {
    pub(super) fn write_output(&mut self, now: Duration, out: &mut [u8]) -> usize {
        let mut at = 0;
        if out.is_empty() {
            return 0;
        }
        self.start_response();
        self.sender.write(out, &mut at);
        self.after_output(now, at);
        at
    }

    fn start_response(&mut self) {
        let Some(response) = self.response.take() else { return };
        let has_content = self.has_content(response.status());
        let Some(request) = &mut self.request else { return };
        request.is_started = true;
        request.keeps_connection &= !response.closes();
        let may_keep = request.may_repeat && has_content && response.is_repeatable();
        let (status, content_bytes) = (response.status(), response.content().length());
        self.sender.start(request.id, response, has_content);
        if let Some(content_bytes) = content_bytes.filter(|_| may_keep && request.keeps_connection)
        {
            self.known.answer = self.sender.kept(status, content_bytes);
        }
    }

    /// Whether a response of this status to the open request has content.
    pub(super) fn has_content(&self, status: Status) -> bool {
        let is_head = self.request.as_ref().is_some_and(|request| request.is_head);
        // RFC 9110 sections 6.4.1 and 15.3.6.
        !(is_head || status.has_no_content() || status == Status::RESET_CONTENT)
    }

    /// So many bytes of output were taken.
    fn after_output(&mut self, now: Duration, count: usize) {
        if self.sender.is_ready() {
            if count > 0 {
                self.put_write_off(now, count);
            }
        } else if self.sender.is_done() {
            self.output_clock.stop();
            if self.request.as_ref().is_some_and(|request| request.is_started) {
                self.end_exchange(now);
            } else if self.draining && self.request.is_none() && self.reads_records() {
                self.end_output(now);
            }
        } else {
            self.output_clock.pause(now);
        }
    }

    /// There is something to send.
    pub(super) fn begin_write(&mut self, now: Duration) {
        self.output_clock.begin(&self.limits().write_pace(), now);
    }

    /// There is more to send of a stream.
    pub(super) fn resume_write(&mut self, now: Duration) {
        self.output_clock.resume(now);
    }

    /// So many bytes moved, and more are there.
    pub(super) fn put_write_off(&mut self, now: Duration, count: usize) {
        let pace = self.limits().write_pace();
        self.output_clock.moved(&pace, now, count);
    }
}
