//! The engine on a kernel socket, one thread for each connection.

use crate::demo::Demo;
use crate::demo_capnp::demo;
use capnp::capability::FromClientHook;
use rpc::{ConnId, Limits, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A connection and the vat behind it.
pub(crate) struct Wire {
    pub(crate) system: System,
    pub(crate) conn: ConnId,
    stream: TcpStream,
    start: Instant,
    buffer: Vec<u8>,
}

impl Wire {
    /// Offers a demo to the other side.
    pub(crate) fn new(stream: TcpStream, name: &str) -> Self {
        stream.set_nodelay(true).expect("a socket");
        let system = System::new(Limits::default());
        let offered: demo::Client = system.client(Demo::new(&system, name));
        let conn = system.connect(Some(offered.into_client_hook()));
        Self { system, conn, stream, start: Instant::now(), buffer: vec![0; 256 << 10] }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Sends what waits to be sent.
    fn flush(&mut self) {
        loop {
            let count = self.system.poll_transmit(self.conn, self.now(), &mut self.buffer);
            if count == 0 || self.stream.write_all(&self.buffer[..count]).is_err() {
                return;
            }
        }
    }

    /// Waits for bytes; false when there are no more.
    fn receive(&mut self) -> bool {
        match self.stream.read(&mut self.buffer) {
            Ok(count) if count > 0 => {
                self.system.handle_input(self.conn, self.now(), &self.buffer[..count]);
                true
            }
            _ => {
                self.system.handle_end(self.conn);
                false
            }
        }
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

/// Serves until the peer is gone.
pub(crate) fn serve(stream: TcpStream) {
    let mut wire = Wire::new(stream, "demo");
    let mut cx = Context::from_waker(Waker::noop());
    while wire.receive() && !wire.system.is_closed(wire.conn) {
        wire.system.poll_run(&mut cx);
        wire.flush();
    }
    wire.flush();
}
