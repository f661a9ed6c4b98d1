//! From input to events.

use super::{BodyUse, Connection, Event, Exchange, Input, Transport};
use crate::body::{BodyReader, Piece, request_length};
use crate::head::{Expect, Facts, Gather, Head};
use crate::request::{RequestLine, parse_request};
use crate::{BodyLength, Error, Method, Request, Version};
use core::time::Duration;

impl Connection {
    /// Takes bytes from `input`: how many, and what they turned out to be.
    ///
    /// Call again with the rest, even if it is empty, until there is no event. What is not consumed then stays with
    /// the caller until the state changes: by more input, a response, [`read_body`](Connection::read_body).
    pub fn handle_input<'a>(&mut self, now: Duration, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        let result = match &mut self.input {
            Input::Head if input.is_empty() => return (0, None),
            Input::Head => self.read_head(now, input),
            Input::Body { .. } => self.read_content(now, input),
            Input::Held => return (0, None),
            Input::Ended if self.transport == Transport::Upgraded => return (0, None),
            Input::Ended => return (input.len(), None),
            Input::Dropped { .. } => return (self.drop_input(input), None),
        };
        result.unwrap_or_else(|error| (input.len(), Some(self.fail(now, error))))
    }

    fn read_head<'a>(&mut self, now: Duration, input: &'a [u8]) -> Result<(usize, Option<Event<'a>>), Error> {
        if self.head.bytes.is_empty() {
            // The usual case: the whole head in one piece, parsed where it lies and copied once.
            let mut head = core::mem::take(&mut self.head);
            if let Some((line, facts, len)) = parse_request(input, &self.config.limits, &mut head)? {
                head.bytes.extend_from_slice(input.get(..len).unwrap_or(input));
                return Ok((len, Some(self.open_request(head, line, &facts)?)));
            }
            self.head = head;
            self.gather = Gather::default();
            let deadline = now + self.config.limits.head_time;
            self.read_deadline = Some(self.read_deadline.map_or(deadline, |known| known.min(deadline)));
        }
        let (taken, complete) = self.gather.take(input, &mut self.head.bytes, &self.config.limits)?;
        if !complete {
            return Ok((taken, None));
        }
        let mut head = core::mem::take(&mut self.head);
        let bytes = core::mem::take(&mut head.bytes);
        let parsed = parse_request(&bytes, &self.config.limits, &mut head)?;
        head.bytes = bytes;
        let (line, facts, _) = parsed.ok_or(Error::StartLine)?;
        Ok((taken, Some(self.open_request(head, line, &facts)?)))
    }

    fn open_request(&mut self, head: Head, line: RequestLine, facts: &Facts) -> Result<Event<'static>, Error> {
        let http11 = line.version == Version::Http11;
        self.exchange = Exchange {
            head_method: line.method == Method::Head,
            connect_method: line.method == Method::Connect,
            http11,
            upgrade: http11 && facts.upgrade,
            // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
            expects_continue: http11 && facts.expect == Expect::Continue,
            // RFC 9112 section 9.3: who persists, and who must ask for it.
            client_persists: !facts.close && (http11 || facts.keep_alive),
            ..Exchange::default()
        };
        let length = request_length(facts, http11, &self.config.limits)?;
        if http11 && facts.expect == Expect::Unknown {
            return Err(Error::Expectation);
        }
        if self.config.serves.is_some_and(|serves| !serves(line.authority.of(&head.bytes))) {
            return Err(Error::Misdirected);
        }
        self.exchange.open = true;
        self.read_deadline = None;
        self.input = match length {
            BodyLength::Empty => Input::Held,
            length => {
                let reader = BodyReader::new(length, &self.config.limits);
                Input::Body { reader, use_: BodyUse::Paused }
            }
        };
        let expects_continue = self.exchange.expects_continue && length != BodyLength::Empty;
        self.exchange.expects_continue = expects_continue;
        let upgrade = self.exchange.upgrade;
        Ok(Event::Request(Request { head, line, body: length, expects_continue, upgrade }))
    }

    fn read_content<'a>(&mut self, now: Duration, input: &'a [u8]) -> Result<(usize, Option<Event<'a>>), Error> {
        let Input::Body { reader, use_ } = &mut self.input else { return Ok((0, None)) };
        if *use_ == BodyUse::Paused {
            return Ok((0, None));
        }
        let mut taken = 0;
        loop {
            if reader.take_end() {
                return Ok((taken, self.end_content(now, None)));
            }
            let rest = input.get(taken..).unwrap_or(&[]);
            let (count, piece) = reader.read(rest, &self.config.limits, &mut self.head)?;
            taken += count;
            if count > 0 {
                self.read_deadline = Some(now + self.config.limits.body_progress_time);
                // The content is on its way, so nobody waits for 100 Continue any more.
                self.exchange.expects_continue = false;
            }
            match (piece, &mut *use_) {
                (None, _) => return Ok((taken, None)),
                (Some(Piece::End(trailers)), _) => return Ok((taken, self.end_content(now, trailers))),
                (Some(Piece::Data(data)), BodyUse::Dropped { left }) => {
                    let Some(rest) = u32::try_from(data.len()).ok().and_then(|len| left.checked_sub(len)) else {
                        self.give_up_content(now);
                        return Ok((taken, None));
                    };
                    *left = rest;
                }
                (Some(Piece::Data(data)), _) => return Ok((taken, Some(Event::Data(data)))),
            }
        }
    }

    /// The content is complete.
    fn end_content(&mut self, now: Duration, trailers: Option<crate::Trailers>) -> Option<Event<'static>> {
        let wanted = matches!(self.input, Input::Body { use_: BodyUse::Wanted, .. });
        self.input = Input::Held;
        self.read_deadline = None;
        self.head.bytes.clear();
        if self.exchange.answered {
            self.end_exchange(now);
        }
        wanted.then_some(Event::End(trailers))
    }

    /// More unwanted content than is worth reading: the connection ends with the response.
    fn give_up_content(&mut self, now: Duration) {
        self.exchange.client_persists = false;
        self.input = Input::Dropped { left: self.config.limits.drain_bytes_max };
        self.read_deadline = None;
        if self.exchange.answered {
            self.end_exchange(now);
        }
    }

    /// Drops what follows the last message, as far as its limit goes.
    fn drop_input(&mut self, input: &[u8]) -> usize {
        let Input::Dropped { left } = &mut self.input else { return input.len() };
        *left = left.saturating_sub(u32::try_from(input.len()).unwrap_or(u32::MAX));
        if *left == 0 {
            self.input = Input::Ended;
            if self.transport == Transport::EndOutput {
                self.close();
            }
        }
        input.len()
    }
}
