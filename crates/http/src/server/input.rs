//! From input to events.

use super::{Config, Connection, Event, Exchange, Gathering, Input, Shared};
use crate::body::{Content, Demand, Taken, request_length};
use crate::head::Expect;
use crate::request::{RequestHead, host_of, parse_request};
use crate::{BodyLength, Error, Method, Request, Transport, Version};
use alloc::rc::Rc;
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
        if self.gathering.is_none() {
            // The usual cases: a head that came before, or another whole one in one piece, which is parsed where it
            // lies and copied once.
            if let Some(request) = self.shared.heads.find(input) {
                return Ok((request.0.head.bytes.len(), Some(self.open_again(now, request))));
            }
            if let Some(request) = self.parse_head(input)? {
                let len = request.0.head.bytes.len();
                self.open(&request.0);
                return Ok((len, Some(Event::Request(request))));
            }
            let deadline = now + self.shared.config.limits.head_time;
            self.read_deadline =
                Some(self.read_deadline.map_or(deadline, |known| known.min(deadline)));
        }
        let mut gathering = self.gathering.take().unwrap_or_default();
        let Gathering { gather, bytes } = &mut *gathering;
        let (taken, complete) = gather.take(input, bytes, &self.shared.config.limits)?;
        if !complete {
            self.gathering = Some(gathering);
            return Ok((taken, None));
        }
        let request = self.parse_head(bytes)?.ok_or(Error::StartLine)?;
        self.open(&request.0);
        Ok((taken, Some(Event::Request(request))))
    }

    /// Parses the head at the start of `bytes`, if it is whole, and remembers it.
    fn parse_head(&self, bytes: &[u8]) -> Result<Option<Request>, Error> {
        let Shared { config, heads } = &*self.shared;
        let mut blank = heads.blank();
        let Some(request) = Rc::get_mut(&mut blank) else { return Ok(None) };
        let Some(len) = parse_request(bytes, &config.limits, request)? else {
            heads.take_back(blank);
            return Ok(None);
        };
        request.head.bytes.extend_from_slice(bytes.get(..len).unwrap_or(bytes));
        request.admit(config)?;
        let request = Request(blank);
        heads.keep(bytes, &request);
        Ok(Some(request))
    }

    /// Begins the exchange of a request.
    fn open(&mut self, request: &RequestHead) {
        let RequestHead { line, facts, body, .. } = request;
        let http11 = line.version == Version::Http11;
        self.exchange = Exchange {
            open: true,
            head_method: line.method == Method::Head,
            connect_method: line.method == Method::Connect,
            http11,
            upgrade: facts.upgrade,
            // RFC 9112 section 9.3: who persists, and who must ask for it.
            client_persists: !facts.close && (http11 || facts.keep_alive),
            ..Exchange::default()
        };
        self.read_deadline = None;
        if *body == BodyLength::Empty {
            self.input = Input::Held;
        } else {
            self.exchange.expects_continue = facts.expect == Expect::Continue;
            self.input = Input::Body(Content::new(*body, &self.shared.config.limits));
        }
    }

    /// Opens a request that came before: its answer may be known, or worth keeping now.
    fn open_again(&mut self, now: Duration, request: Request) -> Event<'static> {
        self.open(&request.0);
        let may_repeat = request.0.line.method == Method::Get
            && matches!(self.input, Input::Held)
            && self.exchange.http11
            && self.exchange.client_persists
            && !self.draining;
        if !may_repeat {
            return Event::Request(request);
        }
        self.repeated = Some(request.clone());
        let Some(kept) = request.0.answer.get() else { return Event::Request(request) };
        let (status, content_bytes) = (kept.status, kept.content_bytes);
        self.exchange.repeats = true;
        self.arm_write(now);
        Event::Answered(request, status, content_bytes)
    }

    fn read_content<'a>(
        &mut self,
        now: Duration,
        input: &'a [u8],
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        let Input::Body(content) = &mut self.input else { return Ok((0, None)) };
        let (count, taken) = content.take(input, &self.shared.config.limits)?;
        if count > 0 {
            let deadline = self.read_deadline;
            self.read_deadline =
                Some(self.shared.config.limits.body_deadline(deadline, count, now));
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
        self.input = Input::Dropped { left: self.shared.config.limits.drain_bytes_max };
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

impl RequestHead {
    /// Refuses what this server does not take, whatever connection it comes on.
    fn admit(&mut self, config: &Config) -> Result<(), Error> {
        let RequestHead { head, line, facts, .. } = self;
        let http11 = line.version == Version::Http11;
        if !http11 {
            // RFC 9110 sections 7.8 and 10.1.1: ignored in HTTP/1.0.
            facts.upgrade = false;
            facts.expect = Expect::Nothing;
        }
        self.body = request_length(facts, http11, &config.limits)?;
        if facts.expect == Expect::Unknown {
            return Err(Error::Expectation);
        }
        let asked = host_of(line.authority.of(&head.bytes));
        let mut hosts = config.hosts.iter();
        if !config.hosts.is_empty()
            && !hosts.any(|host| host.as_bytes().eq_ignore_ascii_case(asked))
        {
            return Err(Error::Misdirected);
        }
        Ok(())
    }
}
