//! Server input: from bytes to events.

use super::{Config, Connection, Event, Exchange, Input, Partial, Shared};
use crate::body::{BodyFraming, Demand, Received, Receiver, request_framing};
use crate::head::{Expect, Framing};
use crate::request::{ParsedRequest, host_of, parse_request};
use crate::{ConnectionState, Error};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::net::Ipv6Addr;
use core::str;
use core::time::Duration;
use web::{Method, Parts, RequestHead, Version};

impl Connection {
    /// Takes bytes from `input`, up to one event: how many.
    ///
    /// Poll events and call again with the rest until nothing is taken. What is not consumed then stays with
    /// the caller until the state changes: by more input, a response, [`read_body`](Connection::read_body).
    /// Nothing is taken before the last event is polled.
    pub fn handle_input(&mut self, now: Duration, input: &[u8]) -> usize {
        if !self.events.is_empty() {
            return 0;
        }
        let result = match &mut self.input {
            Input::Head if input.is_empty() => return 0,
            Input::Head => self.read_head(now, input),
            Input::Body(_) => self.read_content(now, input),
            Input::Held => return 0,
            Input::Ended if self.state == ConnectionState::Upgraded => return 0,
            Input::Ended => return input.len(),
            Input::Dropped { .. } => return self.drop_input(now, input),
        };
        result.unwrap_or_else(|error| {
            self.fail(now, error);
            input.len()
        })
    }

    fn read_head(&mut self, now: Duration, input: &[u8]) -> Result<usize, Error> {
        if self.partial.is_none() {
            // The usual cases: a head that came before, or another whole one in one piece, which is parsed where it
            // lies and copied once.
            if let Some(request) = self.shared.heads.find(input) {
                let len = request.head.section().bytes.len();
                self.open_again(now, request);
                return Ok(len);
            }
            if let Some(head) = self.parse_head(input)? {
                let len = head.section().bytes.len();
                self.events.push(Event::Request(head));
                return Ok(len);
            }
            let deadline = now + self.shared.config.limits.head_timeout;
            self.read_deadline =
                Some(self.read_deadline.map_or(deadline, |known| known.min(deadline)));
        }
        let mut partial = self.partial.take().unwrap_or_default();
        let Partial { head, bytes } = &mut *partial;
        let (taken, complete) = head.take(input, bytes, &self.shared.config.limits)?;
        if !complete {
            self.partial = Some(partial);
            return Ok(taken);
        }
        let head = self.parse_head(bytes)?.ok_or(Error::StartLine)?;
        self.events.push(Event::Request(head));
        Ok(taken)
    }

    /// Parses the head at the start of `bytes`, if it is whole, remembers it and opens its request.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<RequestHead>, Error> {
        let Shared { config, heads, .. } = &*self.shared;
        let mut blank = heads.blank();
        let Some(request) = Rc::get_mut(&mut blank) else { return Ok(None) };
        let ParsedRequest { head, framing, body, .. } = request;
        let Some(parts) = head.parts_mut() else { return Ok(None) };
        let Some(len) = parse_request(bytes, &config.limits, parts, framing)? else {
            heads.take_back(blank);
            return Ok(None);
        };
        parts.section.bytes.extend_from_slice(bytes.get(..len).unwrap_or(bytes));
        match admit(parts, framing, config) {
            Ok(admitted) => *body = admitted,
            Err(error) => {
                self.repeated = Some(blank);
                return Err(error);
            }
        }
        let head = head.clone();
        let (framing, body) = (*framing, *body);
        heads.keep(bytes, blank);
        self.open(&head, &framing, body);
        Ok(Some(head))
    }

    /// Begins the exchange of a request.
    fn open(&mut self, head: &RequestHead, framing: &Framing, body: BodyFraming) {
        let http11 = head.version() == Version::Http11;
        self.exchange = Exchange {
            open: true,
            head_method: head.method() == Method::Head,
            connect_method: head.method() == Method::Connect,
            http11,
            upgrade: framing.upgrade,
            // RFC 9112 section 9.3: who persists, and who must ask for it.
            client_persists: !framing.close && (http11 || framing.keep_alive),
            ..Exchange::default()
        };
        self.read_deadline = None;
        if body == BodyFraming::None {
            self.input = Input::Held;
        } else {
            self.exchange.expects_continue = framing.expect == Expect::Continue;
            self.input = Input::Body(Receiver::new(body, &self.shared.config.limits));
        }
    }

    /// Opens a request that came before: its answer may be known, or worth keeping now.
    fn open_again(&mut self, now: Duration, request: Rc<ParsedRequest>) {
        self.open(&request.head, &request.framing, request.body);
        let head = request.head.clone();
        let may_repeat = head.method() == Method::Get
            && matches!(self.input, Input::Held)
            && self.exchange.http11
            && self.exchange.client_persists
            && !self.draining;
        if !may_repeat {
            return self.events.push(Event::Request(head));
        }
        let known = request.response.get().filter(|known| known.is_good());
        let known = known.map(|known| (known.status, known.content_bytes));
        self.repeated = Some(request);
        let Some((status, content_bytes)) = known else {
            return self.events.push(Event::Request(head));
        };
        self.exchange.is_cached = true;
        self.begin_write(now);
        self.events.push(Event::Answered(head, status, content_bytes));
    }

    fn read_content(&mut self, now: Duration, input: &[u8]) -> Result<usize, Error> {
        let Input::Body(receiver) = &mut self.input else { return Ok(0) };
        let (count, received) = receiver.take(input, &self.shared.config.limits)?;
        if count > 0 {
            let limits = &self.shared.config.limits;
            let deadline =
                limits.moved_deadline(limits.body_timeout, self.read_deadline, count, now);
            self.read_deadline = Some(deadline);
            // The content is on its way, so nobody waits for 100 Continue any more.
            self.exchange.expects_continue = false;
        }
        match received {
            Received::Nothing => {}
            Received::Data { len, ends } => {
                self.events.push(Event::Data(count - len..count));
                if ends {
                    self.events.push_end();
                    self.end_content(now);
                }
            }
            Received::End(trailers) => {
                let is_wanted = matches!(&self.input, Input::Body(receiver) if receiver.demand == Demand::Wanted);
                if is_wanted {
                    self.events.push(Event::End(trailers.map(Box::new)));
                }
                self.end_content(now);
            }
            Received::TooMuch => self.give_up_content(now),
        }
        Ok(count)
    }

    /// The content is complete.
    fn end_content(&mut self, now: Duration) {
        self.input = Input::Held;
        self.read_deadline = None;
        if self.exchange.answered {
            self.end_exchange(now);
        }
    }

    /// More unwanted content than is worth reading: the connection ends with the response.
    fn give_up_content(&mut self, now: Duration) {
        self.exchange.client_persists = false;
        self.input = Input::Dropped { left: self.shared.config.limits.linger_bytes_max };
        self.read_deadline = None;
        if self.exchange.answered {
            self.end_exchange(now);
        }
    }

    /// Drops what follows the last message, as far as its limit goes, and while it comes.
    fn drop_input(&mut self, now: Duration, input: &[u8]) -> usize {
        if self.read_deadline.is_some() {
            let limits = &self.shared.config.limits;
            let (timeout, deadline) = (limits.linger_timeout, self.read_deadline);
            self.read_deadline = Some(limits.moved_deadline(timeout, deadline, input.len(), now));
        }
        let Input::Dropped { left } = &mut self.input else { return input.len() };
        *left = left.saturating_sub(u32::try_from(input.len()).unwrap_or(u32::MAX));
        if *left == 0 {
            self.input = Input::Ended;
            if self.state == ConnectionState::EndOutput {
                self.close();
            }
        }
        input.len()
    }
}

/// Refuses what this server does not take, whatever connection it comes on; how the body of what it takes is framed.
fn admit(parts: &mut Parts, framing: &mut Framing, config: &Config) -> Result<BodyFraming, Error> {
    let http11 = parts.version == Version::Http11;
    if !http11 {
        // RFC 9110 sections 7.8 and 10.1.1: ignored in HTTP/1.0.
        framing.upgrade = false;
        framing.expect = Expect::Nothing;
    }
    let body = request_framing(framing, http11, &config.limits)?;
    if framing.expect == Expect::Unknown {
        return Err(Error::Expectation);
    }
    let asked = host_of(parts.authority.of(&parts.section.bytes));
    let mut hosts = config.hosts.iter();
    if !config.hosts.is_empty() && !hosts.any(|host| is_host(host.as_bytes(), asked)) {
        return Err(Error::Misdirected);
    }
    parts.content_length = body.content_length();
    parts.selects = framing.selects;
    parts.is_secure = config.is_secure;
    parts.upgrade = framing.upgrade;
    parts.expects_continue = framing.expect == Expect::Continue;
    Ok(body)
}

/// Whether a host is the one that a request asks for: names without case (RFC 9110 section 4.2.3) and without the dot of
/// the root at their end (RFC 3986 section 3.2.2), IPv6 addresses by value, since one has many texts (RFC 5952 section 1).
fn is_host(host: &[u8], asked: &[u8]) -> bool {
    let relative = |name: &[u8]| -> usize { name.len() - usize::from(name.ends_with(b".")) };
    let (name, asked_name) = (host.get(..relative(host)), asked.get(..relative(asked)));
    name.zip(asked_name).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
        || ipv6(host).is_some_and(|address| ipv6(asked) == Some(address))
}

/// The address of an IP literal (RFC 3986 section 3.2.2); none for a name.
fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let inside = text.strip_prefix(b"[")?.strip_suffix(b"]")?;
    str::from_utf8(inside).ok()?.parse().ok()
}
