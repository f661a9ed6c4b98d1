//! Partial heads: one that arrives in several inputs.

use crate::{Error, Limits};
use alloc::vec::Vec;

/// Finds the end of a head that arrives in pieces. Each byte is looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartialHead {
    /// Where the current line begins.
    line_start: u16,
    /// Whether the start line is behind, or there is none.
    started: bool,
    empty_lines: u8,
}

impl PartialHead {
    /// For a section that has no start line.
    pub(crate) fn trailers() -> PartialHead {
        PartialHead { started: true, ..PartialHead::default() }
    }

    /// Moves bytes of `input` to `head` up to the end of the head.
    ///
    /// Returns how many bytes were taken and whether the head is complete.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        head: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<(usize, bool), Error> {
        let result = self.take_bounded(input, head, limits.header_bytes_max);
        // The CRLF of the start line does not count, nor does an empty line before it.
        let start_line_max = usize::from(limits.request_line_bytes_max) + 2;
        if !self.started && head.len() - usize::from(self.line_start) > start_line_max {
            return Err(Error::TargetTooLong);
        }
        result
    }

    /// As [`PartialHead::take`], with at most `bytes_max` bytes and no bound on the start line.
    pub(crate) fn take_bounded(
        &mut self,
        input: &[u8],
        head: &mut Vec<u8>,
        bytes_max: u16,
    ) -> Result<(usize, bool), Error> {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or(&[]);
            let line_feed = rest.iter().position(|&byte| byte == b'\n');
            let part = line_feed.and_then(|index| rest.get(..=index)).unwrap_or(rest);
            let room = usize::from(bytes_max).saturating_sub(head.len());
            head.extend_from_slice(part.get(..room).unwrap_or(part));
            if part.len() > room {
                return Err(Error::HeadTooLarge);
            }
            taken += part.len();
            if line_feed.is_none() {
                return Ok((taken, false));
            }
            if self.end_line(head)? {
                return Ok((taken, true));
            }
        }
    }

    /// Whether the line that just ended is the empty line that ends the head.
    fn end_line(&mut self, head: &[u8]) -> Result<bool, Error> {
        let line = head.get(usize::from(self.line_start)..).unwrap_or(&[]);
        // RFC 9112 section 2.2: a recipient may take a bare LF for a line's end; this one does not,
        // since a peer before it might not.
        let Some(content) = line.strip_suffix(b"\r\n") else {
            return Err(if self.started { Error::Field } else { Error::StartLine });
        };
        self.line_start = head.len() as u16;
        if !content.is_empty() {
            self.started = true;
            return Ok(false);
        }
        self.empty_lines = self.empty_lines.saturating_add(1);
        Ok(self.started || self.empty_lines > 1)
    }
}
