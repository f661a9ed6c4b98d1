//! From input to events.

use super::{Buffers, Connection, Event, Exchange, Input};
use crate::body::{Content, Demand, Taken, request_length};
use crate::head::{Expect, Gather};
use crate::request::{RequestHead, host_of, parse_request};
use crate::{BodyLength, Error, Method, Request, Transport, Version};
use alloc::boxed::Box;
use core::time::Duration;

impl Connection {
    /// Takes bytes from `input`: how many, and what they turned out to be.
    ///
    /// Call again with the rest, even if it is empty, until there is no event. What is not consumed then stays with
    /// the caller until the state changes: by more input, a response, [`read_body`](Connection::read_body).
    pub fn handle_input<'a>(
        &mut self,
        now: Duration,
        input: &'a [u8],
    ) -> (usize, Option<Event<'a>>) {
        let result = match &mut self.input {
            Input::Head if input.is_empty() => return (0, None),
            Input::Head => self.read_head(now, input),
            Input::Body(_) => self.read_content(now, input),
            Input::Held => return (0, None),
            Input::Ended if self.transport == Transport::Upgraded => return (0, None),
            Input::Ended => return (input.len(), None),
            Input::Dropped { .. } => return (self.drop_input(input), None),
        };
        result.unwrap_or_else(|error| (input.len(), Some(self.fail(now, error))))
    }

    fn read_head<'a>(
        &mut self,
        now: Duration,
        input: &'a [u8],
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        let mut request = match self.buffers.take() {
            Some(Buffers(request)) => request.0,
            None => Box::new(RequestHead::new()),
        };
        if !self.gathering {
            // The usual cases: the head of the request before once more, or another whole head in one
            // piece, which is parsed where it lies and copied once.
            if request.is_begun_by(input, &self.config.limits) {
                let len = request.head.bytes.len();
                return Ok((len, Some(self.open_request(request)?)));
            }
            request.head.clear();
            if let Some(len) = parse_request(input, &self.config.limits, &mut request)? {
                request.head.bytes.extend_from_slice(input.get(..len).unwrap_or(input));
                return Ok((len, Some(self.open_request(request)?)));
            }
            self.gathering = true;
            self.gather = Gather::default();
            let deadline = now + self.config.limits.head_time;
            self.read_deadline =
                Some(self.read_deadline.map_or(deadline, |known| known.min(deadline)));
        }
        let (taken, complete) =
            self.gather.take(input, &mut request.head.bytes, &self.config.limits)?;
        if !complete {
            self.buffers = Some(Buffers(Request(request)));
            return Ok((taken, None));
        }
        self.gathering = false;
        let bytes = core::mem::take(&mut request.head.bytes);
        parse_request(&bytes, &self.config.limits, &mut request)?.ok_or(Error::StartLine)?;
        request.head.bytes = bytes;
        Ok((taken, Some(self.open_request(request)?)))
    }

    fn open_request(&mut self, mut request: Box<RequestHead>) -> Result<Event<'static>, Error> {
        let RequestHead { head, line, facts, .. } = &mut *request;
        let http11 = line.version == Version::Http11;
        if !http11 {
            // RFC 9110 sections 7.8 and 10.1.1: ignored in HTTP/1.0.
            facts.upgrade = false;
            facts.expect = Expect::Nothing;
        }
        self.exchange = Exchange {
            head_method: line.method == Method::Head,
            connect_method: line.method == Method::Connect,
            http11,
            upgrade: facts.upgrade,
            // RFC 9112 section 9.3: who persists, and who must ask for it.
            client_persists: !facts.close && (http11 || facts.keep_alive),
            ..Exchange::default()
        };
        let length = request_length(facts, http11, &self.config.limits)?;
        if facts.expect == Expect::Unknown {
            return Err(Error::Expectation);
        }
        let hosts = &self.config.hosts;
        if !hosts.is_empty() {
            let asked = host_of(line.authority.of(&head.bytes));
            if !hosts.iter().any(|host| host.as_bytes().eq_ignore_ascii_case(asked)) {
                return Err(Error::Misdirected);
            }
        }
        self.exchange.open = true;
        self.read_deadline = None;
        if length == BodyLength::Empty {
            self.input = Input::Held;
        } else {
            self.exchange.expects_continue = facts.expect == Expect::Continue;
            self.input = Input::Body(Content::new(length, &self.config.limits));
        }
        request.body = length;
        Ok(Event::Request(Request(request)))
    }

    fn read_content<'a>(
        &mut self,
        now: Duration,
        input: &'a [u8],
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        let Input::Body(content) = &mut self.input else { return Ok((0, None)) };
        let (count, taken) = content.take(input, &self.config.limits)?;
        if count > 0 {
            let deadline = self.read_deadline;
            self.read_deadline = Some(self.config.limits.body_deadline(deadline, count, now));
            // The content is on its way, so nobody waits for 100 Continue any more.
            self.exchange.expects_continue = false;
        }
        let event = match taken {
            Taken::Nothing => None,
            Taken::Data(data) => Some(Event::Data(data)),
            Taken::End(trailers) => self.end_content(now, trailers),
            Taken::TooMuch => {
                self.give_up_content(now);
                None
            }
        };
        Ok((count, event))
    }

    /// The content is complete.
    fn end_content(
        &mut self,
        now: Duration,
        trailers: Option<crate::Trailers>,
    ) -> Option<Event<'static>> {
        let wanted =
            matches!(&self.input, Input::Body(content) if content.demand == Demand::Wanted);
        self.input = Input::Held;
        self.read_deadline = None;
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
