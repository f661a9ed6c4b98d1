//! Client input: from bytes to events.

use super::response::parse_response;
use super::{Connection, Event, Input, Response};
use crate::body::{BodyFraming, Demand, Received, Receiver, response_framing};
use crate::head::PartialHead;
use crate::{ConnectionState, Error};
use alloc::boxed::Box;
use core::time::Duration;
use web::fields::Section;
use web::{Status, Version};

impl Connection {
    /// Takes bytes from `input`, up to one event: how many.
    ///
    /// Poll events and call again with the rest until nothing is taken. What is not consumed then stays
    /// with the caller until the state changes. Nothing is taken before the last event is polled.
    pub fn handle_input(&mut self, now: Duration, input: &[u8]) -> usize {
        let mut taken = 0;
        while self.events.is_empty() {
            let count = self.take_input(now, input.get(taken..).unwrap_or(&[]));
            taken += count;
            // After an interim response the next one may follow at once.
            let skipped =
                count > 0 && taken < input.len() && matches!(self.input, Input::Head { .. });
            if !skipped {
                break;
            }
        }
        taken
    }

    fn take_input(&mut self, now: Duration, input: &[u8]) -> usize {
        let result = match self.input {
            Input::Ended if self.state == ConnectionState::Upgraded => return 0,
            Input::Ended => return input.len(),
            Input::Body(_) => self.read_content(now, input),
            Input::Head { .. } | Input::Idle if input.is_empty() => return 0,
            Input::Head { interim } => self.read_head(now, input, interim),
            Input::Idle => {
                // RFC 9112 section 9.2: what comes unasked answers nothing; the connection is of no use.
                self.finish_in(ConnectionState::Closed);
                return input.len();
            }
        };
        result.unwrap_or_else(|error| {
            self.fail(error);
            input.len()
        })
    }

    fn read_head(&mut self, now: Duration, input: &[u8], interim: u8) -> Result<usize, Error> {
        let mut head = core::mem::take(&mut self.head);
        if head.bytes.is_empty() {
            if let Some((response, len)) = parse_response(input, &self.limits, &mut head)? {
                head.bytes.extend_from_slice(input.get(..len).unwrap_or(input));
                self.open_response(now, Response { head, ..response }, interim)?;
                return Ok(len);
            }
            self.partial = PartialHead::default();
            self.read_deadline = Some(now + self.limits.head_timeout);
        }
        let (taken, complete) = self.partial.take(input, &mut head.bytes, &self.limits)?;
        if !complete {
            self.head = head;
            return Ok(taken);
        }
        let bytes = core::mem::take(&mut head.bytes);
        let (response, _) =
            parse_response(&bytes, &self.limits, &mut head)?.ok_or(Error::StartLine)?;
        let head = Section { bytes, fields: head.fields };
        self.open_response(now, Response { head, ..response }, interim)?;
        Ok(taken)
    }

    fn open_response(
        &mut self,
        now: Duration,
        mut response: Response,
        interim: u8,
    ) -> Result<(), Error> {
        let status = response.status;
        let switches = status == Status::SWITCHING_PROTOCOLS;
        if status.is_informational() && !switches {
            return self.skip_interim(now, status, interim);
        }
        if switches && !self.exchange.asked_upgrade {
            // RFC 9110 section 7.8: a server switches only when asked to.
            return Err(Error::StartLine);
        }
        self.read_deadline = None;
        if switches || self.exchange.connect_method && status.is_success() {
            self.finish_in(ConnectionState::Upgraded);
            self.events.push(Event::Response(response));
            return Ok(());
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
        self.events.push(Event::Response(response));
        Ok(())
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

    fn read_content(&mut self, now: Duration, input: &[u8]) -> Result<usize, Error> {
        let Input::Body(receiver) = &mut self.input else { return Ok(0) };
        let wanted = !matches!(receiver.demand, Demand::Dropped { .. });
        let (count, received) = receiver.take(input, &self.limits)?;
        if count > 0 {
            self.read_deadline = Some(now + self.limits.body_timeout);
        }
        match received {
            Received::Nothing => {}
            Received::Data { len, ends } => {
                self.events.push(Event::Data(count - len..count));
                if ends {
                    self.events.push_end();
                    self.end_response(now);
                }
            }
            Received::End(trailers) => {
                if wanted {
                    self.events.push(Event::End(trailers.map(Box::new)));
                }
                self.end_response(now);
            }
            Received::TooMuch => self.abort(),
        }
        Ok(count)
    }
}
