//! The engine on a kernel socket, one thread for each connection.

use crate::transport::Transport;
use capnp::capability::FromClientHook;
use rpc::{ConnId, Limits, System};
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Bytes read or written at a time.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// A connection and the vat behind it.
pub(crate) struct Wire {
    pub(crate) system: System,
    pub(crate) conn: ConnId,
    stream: Transport,
    start: Instant,
    buffer: Vec<u8>,
    /// Where in the buffer what the vat has not taken lies.
    untaken: Range<usize>,
}

impl Wire {
    /// Offers a demo to the other side.
    pub(crate) fn new(stream: TcpStream, name: &str) -> Self {
        Self::counting(Transport::plain(stream), name, &Arc::default())
    }

    /// The same, over what is there already.
    pub(crate) fn over(stream: Transport, name: &str) -> Self {
        Self::counting(stream, name, &Arc::default())
    }

    fn counting(stream: Transport, name: &str, cancelled: &Arc<AtomicU32>) -> Self {
        let system = System::new(Limits::default());
        let offered: demo::Client = system.client(Demo::counting(&system, name, cancelled));
        let conn = system.connect(Some(offered.into_client_hook()));
        Self {
            system,
            conn,
            stream,
            start: Instant::now(),
            buffer: vec![0; BUFFER_BYTES],
            untaken: 0..0,
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Sends what waits to be sent.
    fn flush(&mut self) {
        let now = self.now();
        let stream = &mut self.stream;
        let mut sent = |bytes: &[u8]| match bytes {
            [] => 0,
            _ => stream.write(bytes).unwrap_or(0),
        };
        while self.system.transmit_with(now, self.conn, &mut sent) > 0 {}
    }

    /// Waits for bytes; false when there are no more.
    fn receive(&mut self) -> bool {
        if self.untaken.is_empty() {
            self.untaken = 0..self.stream.read(&mut self.buffer).unwrap_or_default();
        }
        match self.untaken.len() {
            1.. => {
                let bytes = &self.buffer[self.untaken.clone()];
                self.untaken.start += self.system.handle_input(self.now(), self.conn, bytes);
                true
            }
            _ => {
                self.system.handle_end(self.conn);
                false
            }
        }
    }

    /// Ends the stream under whatever is on its way, and waits until the other side did too.
    pub(crate) fn end(mut self) {
        self.stream.finish();
        while let Ok(1..) = self.stream.read(&mut self.buffer) {}
    }

    /// Runs until `future` is ready.
    pub(crate) fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            self.system.poll_run(&mut cx);
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                self.flush();
                return value;
            }
            self.system.poll_run(&mut cx);
            self.flush();
            if !self.receive() {
                self.system.poll_run(&mut cx);
            }
        }
    }
}

/// Serves until the peer is gone; all that are served share a count of cancelled calls.
pub(crate) fn serve(stream: TcpStream, cancelled: &Arc<AtomicU32>) {
    let mut wire = Wire::counting(Transport::plain(stream), "demo", cancelled);
    let mut cx = Context::from_waker(Waker::noop());
    while wire.receive() && !wire.system.is_closed(wire.conn) {
        wire.system.poll_run(&mut cx);
        wire.flush();
    }
    wire.flush();
}
