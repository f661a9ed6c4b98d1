//! HTTP/1.1 as one of the protocols that carry requests.

use super::{Connection, Event, Shared};
use crate::{ConnectionState, Error, OutOfTurn};
use alloc::rc::Rc;
use bytes::Bytes;
use core::time::Duration;
use flow::Address;
use web::date::HttpDate;
use web::server::{Refusal, ServerCore};
use web::{Data, Response, Status};

impl ServerCore for Connection {
    const NAME: &'static str = "http";
    type Shared = Shared;
    type Error = Error;

    #[inline]
    fn new(shared: Rc<Shared>, _: Address, now: Duration) -> Self {
        Connection::new(shared, now)
    }

    #[inline]
    fn date(shared: &Shared, now: Duration) -> Option<HttpDate> {
        shared.date(now)
    }

    #[inline]
    fn handle_input(&mut self, now: Duration, input: &[u8]) -> usize {
        self.handle_input(now, input)
    }

    #[inline]
    fn handle_end(&mut self, now: Duration) {
        self.handle_end(now);
    }

    #[inline]
    fn poll_event(&mut self) -> Option<Event> {
        self.poll_event()
    }

    #[inline]
    fn state(&self) -> ConnectionState {
        self.state()
    }

    #[inline]
    fn read_body(&mut self, now: Duration) {
        self.read_body(now);
    }

    #[inline]
    fn pause_body(&mut self) {
        self.pause_body();
    }

    #[inline]
    fn drop_body(&mut self, now: Duration) {
        self.drop_body(now);
    }

    #[inline]
    fn respond(&mut self, now: Duration, response: Response) -> Result<(), OutOfTurn> {
        self.respond(now, response)
    }

    #[inline]
    fn is_streaming(&self) -> bool {
        self.is_streaming()
    }

    #[inline]
    fn body_capacity(&self) -> usize {
        self.body_capacity()
    }

    #[inline]
    fn send_data(&mut self, now: Duration, data: Data) -> Result<(), OutOfTurn> {
        self.send_data(now, data)
    }

    #[inline]
    fn finish(&mut self, now: Duration) -> Result<(), OutOfTurn> {
        self.finish(now)
    }

    #[inline]
    fn fail_response(&mut self, now: Duration) {
        self.fail_response(now);
    }

    #[inline]
    fn cut_response(&mut self, now: Duration) {
        self.cut_response(now);
    }

    #[inline]
    fn drain(&mut self, now: Duration) {
        self.drain(now);
    }

    #[inline]
    fn abort(&mut self) {
        self.abort();
    }

    #[inline]
    fn has_request(&self) -> bool {
        self.has_request()
    }

    #[inline]
    fn holds_head(&self) -> bool {
        self.holds_head()
    }

    #[inline]
    fn is_answered(&self) -> bool {
        self.is_answered()
    }

    #[inline]
    fn content_length(&self, response: &Response) -> u64 {
        self.content_length(response)
    }

    #[inline]
    fn untaken_content(&self) -> u64 {
        self.untaken_content()
    }

    #[inline]
    fn held_bytes(&self) -> usize {
        self.held_bytes()
    }

    #[inline]
    fn wants_transmit(&self) -> bool {
        self.wants_transmit()
    }

    #[inline]
    fn poll_transmit(&mut self, now: Duration, out: &mut [u8]) -> usize {
        self.poll_transmit(now, out)
    }

    #[inline]
    fn long_output(&mut self) -> Option<&mut Bytes> {
        self.long_output()
    }

    #[inline]
    fn long_output_taken(&mut self, now: Duration, count: usize) {
        self.long_output_taken(now, count);
    }

    #[inline]
    fn peer_took(&mut self, now: Duration, count: usize) {
        self.peer_took(now, count);
    }

    #[inline]
    fn next_deadline(&self) -> Option<Duration> {
        self.next_deadline()
    }

    #[inline]
    fn handle_timeout(&mut self, now: Duration) {
        self.handle_timeout(now);
    }
}

impl Refusal for Error {
    fn status(&self) -> Status {
        Error::status(*self)
    }

    fn reason(&self) -> &'static str {
        Error::reason(*self)
    }
}
