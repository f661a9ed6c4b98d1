//! From input to events.

use super::response::parse_response;
use super::{Connection, Event, Input, Response};
use crate::body::{BodyFraming, Demand, Received, Receiver, response_framing};
use crate::head::PartialHead;
use crate::{Error, Transport};
use core::time::Duration;
use web::fields::Section;
use web::{Status, Version};

impl Connection {
    /// Takes bytes from `input`: how many, and what they turned out to be.
    ///
    /// Call again with the rest, even if it is empty, until there is no event. What is not consumed then stays
    /// with the caller until the state changes.
    pub fn handle_input<'a>(
        &mut self,
        now: Duration,
        input: &'a [u8],
    ) -> (usize, Option<Event<'a>>) {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or(&[]);
            let (count, event) = self.take_input(now, rest);
            taken += count;
            // After an interim response the next one may follow at once.
            let skipped =
                count > 0 && taken < input.len() && matches!(self.input, Input::Head { .. });
            if event.is_some() || !skipped {
                return (taken, event);
            }
        }
    }

    fn take_input<'a>(&mut self, now: Duration, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        let result = match self.input {
            Input::Ended if self.transport == Transport::Upgraded => return (0, None),
            Input::Ended => return (input.len(), None),
            Input::Body(_) => self.read_content(now, input),
            Input::Head { .. } | Input::Idle if input.is_empty() => return (0, None),
            Input::Head { interim } => self.read_head(now, input, interim),
            Input::Idle => {
                // RFC 9112 section 9.2: what comes unasked answers nothing; the connection is of no use.
                self.finish_transport(Transport::Closed);
                return (input.len(), None);
            }
        };
        result.unwrap_or_else(|error| (input.len(), Some(self.fail(error))))
    }

    fn read_head<'a>(
        &mut self,
        now: Duration,
        input: &'a [u8],
        interim: u8,
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        let mut head = core::mem::take(&mut self.head);
        if head.bytes.is_empty() {
            if let Some((response, len)) = parse_response(input, &self.limits, &mut head)? {
                head.bytes.extend_from_slice(input.get(..len).unwrap_or(input));
                return Ok((len, self.open_response(now, Response { head, ..response }, interim)?));
            }
            self.partial = PartialHead::default();
            self.read_deadline = Some(now + self.limits.head_timeout);
        }
        let (taken, complete) = self.partial.take(input, &mut head.bytes, &self.limits)?;
        if !complete {
            self.head = head;
            return Ok((taken, None));
        }
        let bytes = core::mem::take(&mut head.bytes);
        let (response, _) =
            parse_response(&bytes, &self.limits, &mut head)?.ok_or(Error::StartLine)?;
        let head = Section { bytes, fields: head.fields };
        Ok((taken, self.open_response(now, Response { head, ..response }, interim)?))
    }

    fn open_response(
        &mut self,
        now: Duration,
        mut response: Response,
        interim: u8,
    ) -> Result<Option<Event<'static>>, Error> {
        let status = response.status;
        let switches = status == Status::SWITCHING_PROTOCOLS;
        if status.is_informational() && !switches {
            return self.skip_interim(now, status, interim).map(|()| None);
        }
        if switches && !self.exchange.asked_upgrade {
            // RFC 9110 section 7.8: a server switches only when asked to.
            return Err(Error::StartLine);
        }
        self.read_deadline = None;
        if switches || self.exchange.connect_method && status.is_success() {
            self.finish_transport(Transport::Upgraded);
            return Ok(Some(Event::Response(response)));
        }
        let http11 = response.version == Version::Http11;
        self.exchange.persists &=
            !response.framing.close && (http11 || response.framing.keep_alive);
        if !self.exchange.head_method && !status.has_no_content() {
            response.body = response_framing(&response.framing, http11, &self.limits)?;
        }
        match response.body {
            BodyFraming::None => self.end_response(now),
            framing => {
                self.exchange.persists &= framing != BodyFraming::UntilClose;
                self.input = Input::Body(Receiver::new(framing, &self.limits));
            }
        }
        Ok(Some(Event::Response(response)))
    }

    fn skip_interim(&mut self, now: Duration, status: Status, interim: u8) -> Result<(), Error> {
        if interim >= self.limits.interim_responses_max {
            return Err(Error::TooManyInterim);
        }
        self.input = Input::Head { interim: interim + 1 };
        self.read_deadline = Some(now + self.limits.response_timeout);
        if status == Status::CONTINUE {
            self.release_content(now);
        }
        Ok(())
    }

    fn read_content<'a>(
        &mut self,
        now: Duration,
        input: &'a [u8],
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        let Input::Body(content) = &mut self.input else { return Ok((0, None)) };
        let wanted = !matches!(content.demand, Demand::Dropped { .. });
        let (count, taken) = content.take(input, &self.limits)?;
        if count > 0 {
            self.read_deadline = Some(now + self.limits.body_timeout);
        }
        let event = match taken {
            Received::Nothing => None,
            Received::Data(data) => Some(Event::Data(data)),
            Received::End(trailers) => {
                self.end_response(now);
                wanted.then_some(Event::End(trailers))
            }
            Received::TooMuch => {
                self.abort();
                None
            }
        };
        Ok((count, event))
    }
}
