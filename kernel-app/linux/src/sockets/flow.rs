//! Flow: one connection of the kernel's, of TCP or of the Unix domain.

use super::diagnostics::SocketInfo;
use super::stream::{Ends, Stream};
use super::{
    Edge, NOT_SENT_BYTES_BOUND, NOT_SENT_STEP_BYTES, Place, Reactor, Ready, Registration, Seen,
    TRANSFER_BYTES,
};
use flow::{Address, Flow, FlowError, Taken, Unread};
use mio::Interest;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A flow over a kernel socket.
pub struct KernelFlow {
    outgoing: Rc<Outgoing>,
    /// Bytes read that the task did not consume.
    unread: Unread,
    peer_finished: bool,
    local: Address,
    peer: Address,
}

impl KernelFlow {
    pub(super) fn new(reactor: &Reactor, stream: impl Into<Stream>) -> io::Result<Self> {
        let mut stream = stream.into();
        let Ends { local, peer } = stream.prepare()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let registration = reactor.register(&mut stream, both)?;
        if let (Address::Ip(local), Address::Ip(peer)) = (local, peer) {
            let (number, since) = (reactor.next_number(), Instant::now());
            registration.ready.seen.replace(Some(Seen::Connection { number, local, peer, since }));
        }
        let outgoing = Outgoing {
            _place: reactor.take_place(),
            stream,
            registration,
            unsent: RefCell::new(Vec::new()),
            queued: Cell::new(false),
            finishing: Cell::new(false),
            failed: Cell::new(None),
            not_sent: Cell::new(None),
        };
        Ok(Self {
            outgoing: Rc::new(outgoing),
            unread: Unread::default(),
            peer_finished: false,
            local,
            peer,
        })
    }

    #[cfg(test)]
    pub(super) fn stream(&self) -> &Stream {
        &self.outgoing.stream
    }

    /// What the kernel knows of the connection, if it is TCP's. It costs some calls, and is asked only when a deadline has come.
    fn diagnose(&self) -> Option<SocketInfo> {
        let (Address::Ip(local), Address::Ip(peer)) = (self.local, self.peer) else { return None };
        self.outgoing.registration.reactor.diagnostics()?.ask(local, Some(peer)).ok()
    }

    fn ready(&self) -> &Ready {
        &self.outgoing.registration.ready
    }
}

impl Flow for KernelFlow {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Ok(self.unread.take(take)));
        }
        if let Some(error) = self.outgoing.failed.get() {
            return Poll::Ready(Err(error));
        }
        if self.peer_finished {
            take(&mut []);
            return Poll::Ready(Ok(0));
        }
        if !self.ready().readable.poll(cx.waker()) {
            return Poll::Pending;
        }
        let reactor = self.outgoing.registration.reactor.clone();
        let (outgoing, unread) = (&self.outgoing, &mut self.unread);
        let outcome = reactor.with_scratch(|scratch| {
            let count = retry(|| (&outgoing.stream).read(scratch))?;
            let consumed = take(&mut scratch[..count]).min(count);
            unread.keep(&scratch[consumed..count]);
            Ok((count, consumed))
        });
        match outcome {
            Ok((0, _)) => {
                self.peer_finished = true;
                Poll::Ready(Ok(0))
            }
            Ok((count, consumed)) => {
                // Fewer bytes than there was room for: the kernel has no more, and will say when it has (epoll(7),
                // questions and answers, 9). So no call is made only to hear that it would block. A Unix-domain socket ends a read
                // where somebody has passed a descriptor (unix(7)): there it says nothing.
                let is_all = count < TRANSFER_BYTES && !self.outgoing.stream.is_unix();
                if is_all && !self.ready().input_ends.get() {
                    self.ready().readable.exhaust();
                }
                Poll::Ready(Ok(consumed))
            }
            Err(error) => self.outgoing.fail(&error, &self.ready().readable, cx),
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let outgoing = &self.outgoing;
        outgoing.check()?;
        let held = outgoing.unsent.borrow().len();
        if held >= TRANSFER_BYTES {
            outgoing.send();
            if outgoing.unsent.borrow().len() >= TRANSFER_BYTES {
                self.ready().writable.waiting.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
        }
        // Into a buffer that is there already: fresh space would have to be zeroed for every write.
        let written = outgoing.registration.reactor.with_scratch(|scratch| {
            let space = TRANSFER_BYTES - outgoing.unsent.borrow().len();
            let written = fill(&mut scratch[..space]).min(space);
            outgoing.unsent.borrow_mut().extend_from_slice(&scratch[..written]);
            written
        });
        if !outgoing.queued.replace(true) {
            outgoing.registration.reactor.will_send(outgoing);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
        let outgoing = &self.outgoing;
        outgoing.check()?;
        let writable = &self.ready().writable;
        if !outgoing.unsent.borrow().is_empty() && !outgoing.send() {
            writable.waiting.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        outgoing.check()?;
        if !writable.poll(cx.waker()) {
            return Poll::Pending;
        }
        match outgoing.write(bytes) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(error) => outgoing.fail(&error, writable, cx),
        }
    }

    /// What the kernel has sent since, into a window that the peer's TCP opened, and when. Of a Unix-domain socket it is not
    /// known when, and how much it held when it took no more is not known exactly: a peer there which pauses may have its time
    /// twice.
    fn newly_taken(&mut self, now: Duration) -> Option<Taken> {
        let before = self.outgoing.not_sent.get()?;
        let (left, sent_ago) = match self.diagnose() {
            Some(info) => (info.not_sent(), info.data_sent_ago().unwrap_or_default()),
            None => (self.outgoing.ask_not_sent(before).ok(), Duration::ZERO),
        };
        let left = left.unwrap_or(before).min(before);
        self.outgoing.not_sent.set(Some(left));
        let bytes = before - left;
        (bytes > 0).then(|| Taken { bytes, at: now.saturating_sub(sent_ago) })
    }

    /// The kernel does not say when the peer acknowledged; what it took over counts as drained.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        self.outgoing.send();
        if let Some(error) = self.outgoing.failed.get() {
            return Poll::Ready(Err(error));
        }
        if self.outgoing.unsent.borrow().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.ready().writable.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn finish(&mut self) {
        self.outgoing.finishing.set(true);
        self.outgoing.send_or_wait();
    }

    fn abort(&mut self) {
        self.outgoing.stream.abort();
        self.outgoing.failed.set(Some(FlowError::Closed));
    }

    fn peer(&self) -> Address {
        self.peer
    }

    fn local(&self) -> Address {
        self.local
    }
}

impl Drop for KernelFlow {
    fn drop(&mut self) {
        if !self.outgoing.finishing.get() {
            self.outgoing.stream.reset_on_close();
        } else if !self.outgoing.send() {
            self.outgoing.registration.reactor.linger(&self.outgoing);
        }
    }
}

/// The sending half, which the reactor empties when tasks have run.
pub(super) struct Outgoing {
    _place: Place,
    stream: Stream,
    registration: Registration,
    unsent: RefCell<Vec<u8>>,
    /// It is in the reactor's list.
    queued: Cell<bool>,
    finishing: Cell<bool>,
    failed: Cell<Option<FlowError>>,
    /// Bytes that the kernel had not sent when it was asked last, or took no more; none while it takes more.
    not_sent: Cell<Option<usize>>,
}

impl Outgoing {
    /// Sends what the kernel takes, and the end if that is due; says whether nothing is left.
    pub(super) fn send(&self) -> bool {
        self.queued.set(false);
        let mut unsent = self.unsent.borrow_mut();
        let mut sent = 0;
        while sent < unsent.len() {
            match self.write(&unsent[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.failed.set(Some(meaning(&error)));
                    sent = unsent.len();
                }
            }
        }
        unsent.drain(..sent);
        if unsent.is_empty() {
            // Idle connections hold no buffer.
            *unsent = Vec::new();
            if self.finishing.get() {
                self.stream.shutdown_write();
            }
        } else {
            self.registration.ready.writable.up.set(false);
        }
        if sent > 0 {
            self.registration.ready.writable.wake();
        }
        unsent.is_empty()
    }

    /// Has the kernel take what it does.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = retry(|| (&self.stream).write(bytes));
        match &outcome {
            Ok(_) => self.not_sent.set(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.not_sent.update(|before| before.or(Some(NOT_SENT_BYTES_BOUND)));
            }
            Err(_) => {}
        }
        outcome
    }

    /// Bytes that the kernel has not sent, as far as they are fewer than `high`. There is no safe call for the number
    /// (SIOCOUTQNSD, SIOCOUTQ), but the socket is writable while they are fewer than a mark, which may be moved.
    fn ask_not_sent(&self, high: usize) -> io::Result<usize> {
        let (mut low, mut high) = (0, high);
        let found = loop {
            if high - low <= NOT_SENT_STEP_BYTES {
                break Ok(high);
            }
            let middle = low + (high - low) / 2;
            match self.has_sent_all_but(middle) {
                Ok(true) => high = middle,
                Ok(false) => low = middle,
                Err(error) => break Err(error),
            }
        };
        self.stream.set_writable_as_usual()?;
        found
    }

    fn has_sent_all_but(&self, bytes: usize) -> io::Result<bool> {
        self.stream.set_writable_below(bytes)?;
        let mut ask = [PollFd::new(&self.stream, PollFlags::OUT)];
        rustix::event::poll(&mut ask, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(ask[0].revents().contains(PollFlags::OUT))
    }

    /// Sends what the kernel takes, and the rest when it has room.
    pub(super) fn send_or_wait(self: &Rc<Self>) {
        if !self.send() {
            self.registration.ready.blocked.set(Some(Rc::downgrade(self)));
        }
    }

    /// Whether it can take bytes at all.
    fn check(&self) -> Result<(), FlowError> {
        match self.failed.get() {
            Some(error) => Err(error),
            None if self.finishing.get() => Err(FlowError::Closed),
            None => Ok(()),
        }
    }

    fn fail<T>(
        &self,
        error: &io::Error,
        edge: &Edge,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, FlowError>> {
        if error.kind() == io::ErrorKind::WouldBlock {
            edge.lower(cx.waker());
            return Poll::Pending;
        }
        self.failed.set(Some(meaning(error)));
        Poll::Ready(Err(meaning(error)))
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn meaning(error: &io::Error) -> FlowError {
    match error.kind() {
        io::ErrorKind::TimedOut => FlowError::TimedOut,
        io::ErrorKind::NetworkDown | io::ErrorKind::NetworkUnreachable => FlowError::Down,
        _ => FlowError::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::net::TcpStream;
    use socket2::SockRef;
    use std::net::{Shutdown, TcpListener};
    use std::task::Waker;

    use aqueduct::settings::network::SocketSettings;

    #[test]
    fn what_the_kernel_had_no_room_for_follows_without_a_waiting_task() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Before the handshake, so that the window starts small.
        SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        SockRef::from(&stream).set_send_buffer_size(4096).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();

        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let mut flow = KernelFlow::new(&reactor, TcpStream::from_std(stream)).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let written = flow.poll_write_with(&mut cx, &mut |space| space.len());
        assert!(matches!(written, Poll::Ready(Ok(TRANSFER_BYTES))));
        reactor.flush();
        assert!(!flow.outgoing.unsent.borrow().is_empty(), "all of it fitted");

        let mut received = 0;
        let mut buffer = [0; 4096];
        for _ in 0..1000 {
            received += peer.read(&mut buffer).unwrap_or(0);
            if received == TRANSFER_BYTES {
                return;
            }
            reactor.wait(Some(Duration::ZERO)).unwrap();
            reactor.flush();
        }
        panic!("only {received} bytes arrived");
    }

    /// The same of the Unix domain.
    fn connected_here(reactor: &Reactor) -> (KernelFlow, std::os::unix::net::UnixStream) {
        let (stream, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = mio::net::UnixStream::from_std(stream);
        (KernelFlow::new(reactor, stream).unwrap(), peer)
    }

    #[test]
    fn a_peer_of_the_unix_domain_is_the_user_that_it_runs_as() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let (flow, _peer) = connected_here(&reactor);
        let own = Address::Unix { user: rustix::process::geteuid().as_raw() };
        assert_eq!((flow.peer(), flow.local()), (own, own));
    }

    #[test]
    fn each_half_of_the_unix_domain_ends_alone() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        // Ours first, then the peer's.
        let (mut flow, mut peer) = connected_here(&reactor);
        flow.finish();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        peer.write_all(b"more").unwrap();
        assert_eq!(next_read(&reactor, &mut flow), Ok(4));
        // The peer's first, then ours.
        let (mut flow, mut peer) = connected_here(&reactor);
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(next_read(&reactor, &mut flow), Ok(0));
        assert_eq!(flow.poll_write(&mut cx, b"more"), Poll::Ready(Ok(4)));
        flow.finish();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"more");
    }

    /// unix(7): there is no other way to reset.
    #[test]
    fn what_is_aborted_in_the_unix_domain_ends_by_reset_if_something_was_not_read() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        for (sent, expected) in [(&b"x"[..], Err(io::ErrorKind::ConnectionReset)), (b"", Ok(0))] {
            let (mut flow, mut peer) = connected_here(&reactor);
            peer.write_all(sent).unwrap();
            flow.abort();
            assert_eq!(read(&mut flow), Poll::Ready(Err(FlowError::Closed)));
            drop(flow);
            assert_eq!(peer.read(&mut [0; 8]).map_err(|error| error.kind()), expected);
            assert_eq!(peer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
        // The other way round.
        let (mut flow, peer) = connected_here(&reactor);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(flow.poll_write(&mut cx, b"unread"), Poll::Ready(Ok(6)));
        drop(peer);
        assert_eq!(next_read(&reactor, &mut flow), Err(FlowError::Reset));
    }

    #[test]
    fn what_a_slow_reader_of_the_unix_domain_takes_is_seen() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let (mut flow, mut peer) = connected_here(&reactor);
        let mut cx = Context::from_waker(Waker::noop());
        let mut held = 0;
        while let Poll::Ready(Ok(count)) = flow.poll_write(&mut cx, &[0; TRANSFER_BYTES]) {
            held += count;
        }
        assert!(held <= NOT_SENT_BYTES_BOUND, "{held}");
        // What it held when it took no more is not known exactly: the first answer says so.
        let mut taken = || flow.newly_taken(Duration::ZERO).map_or(0, |taken| taken.bytes);
        taken();
        assert_eq!(taken(), 0);
        let mut some = vec![0; 40 << 10];
        peer.read_exact(&mut some).unwrap();
        let seen = taken();
        assert!((16 << 10..=80 << 10).contains(&seen), "{seen} of {}", some.len());
        assert_eq!(taken(), 0);
        // There is room again once most of it is read.
        peer.read_exact(&mut vec![0; held - some.len()]).unwrap();
        reactor.wait(Some(Duration::from_secs(10))).unwrap();
        assert!(matches!(flow.poll_write(&mut cx, b"x"), Poll::Ready(Ok(1))));
    }

    /// What TCP took is told with the time at which it was sent, and not with that of the question.
    #[test]
    fn what_a_slow_reader_of_tcp_takes_is_seen_with_its_time() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let (mut flow, mut peer) = connected(&reactor);
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(_)) = flow.poll_write(&mut cx, &[0; TRANSFER_BYTES]) {}
        let (now, pause) = (Duration::from_secs(1000), Duration::from_millis(100));
        std::thread::sleep(pause);
        // How much it held is not known exactly before the first question.
        let first = flow.newly_taken(now);
        assert!(first.is_none_or(|taken| taken.at + pause <= now + TICK), "{first:?}");
        assert_eq!(flow.newly_taken(now), None, "the peer took nothing");
        // Its TCP opens the window when a large part of its buffer is free (RFC 9293 section 3.8.6.2.2).
        let deadline = Instant::now() + Duration::from_secs(10);
        peer.set_nonblocking(true).unwrap();
        let taken = loop {
            assert!(Instant::now() < deadline, "its window stays closed");
            while let Ok(1..) = peer.read(&mut [0; TRANSFER_BYTES]) {}
            std::thread::sleep(pause);
            if let Some(taken) = flow.newly_taken(now) {
                break taken;
            }
        };
        assert!((1..=NOT_SENT_BYTES_BOUND).contains(&taken.bytes), "{taken:?}");
        let sent = now - taken.at;
        assert!(sent + TICK >= pause && sent < Duration::from_secs(10), "{taken:?}");
    }

    /// The kernel's clock for this counts no finer.
    const TICK: Duration = Duration::from_millis(10);

    /// Both ends of a connection, ours as a flow.
    fn connected(reactor: &Reactor) -> (KernelFlow, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let flow = KernelFlow::new(reactor, TcpStream::from_std(stream)).unwrap();
        (flow, listener.accept().unwrap().0)
    }

    /// RFC 9293 section 3.10.5: by FIN, what was cut off would look whole.
    #[test]
    fn what_is_aborted_or_dropped_unfinished_ends_by_reset_and_what_is_finished_by_fin() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        for way in ["abort", "drop", "finish"] {
            let (mut flow, mut peer) = connected(&reactor);
            peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut write = |text: &[u8]| {
                flow.poll_write_with(&mut cx, &mut |space| {
                    space[..text.len()].copy_from_slice(text);
                    text.len()
                })
            };
            assert!(matches!(write(b"half"), Poll::Ready(Ok(4))));
            reactor.flush();
            let mut seen = [0; 8];
            assert_eq!(peer.read(&mut seen).unwrap(), 4);
            match way {
                "abort" => flow.abort(),
                "finish" => flow.finish(),
                _ => {}
            }
            reactor.flush();
            if way != "abort" {
                drop(flow);
            }
            let end = peer.read(&mut seen).map_err(|error| error.kind());
            let is_whole = way == "finish";
            let expected = if is_whole { Ok(0) } else { Err(io::ErrorKind::ConnectionReset) };
            assert_eq!(end, expected, "{way}");
        }
    }

    fn read(flow: &mut KernelFlow) -> Poll<Result<usize, FlowError>> {
        flow.poll_read_with(&mut Context::from_waker(Waker::noop()), &mut |bytes| bytes.len())
    }

    /// The next thing that is read, by as many events as it takes.
    fn next_read(reactor: &Reactor, flow: &mut KernelFlow) -> Result<usize, FlowError> {
        for _ in 0..1000 {
            if let Poll::Ready(read) = read(flow) {
                return read;
            }
            reactor.wait(Some(Duration::from_millis(10))).unwrap();
        }
        panic!("nothing is read");
    }

    #[test]
    fn a_read_that_found_all_there_was_is_the_last_until_there_is_more() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let (mut flow, mut peer) = connected(&reactor);
        for _ in 0..3 {
            peer.write_all(b"some").unwrap();
            assert_eq!(next_read(&reactor, &mut flow), Ok(4));
            assert!(!flow.ready().readable.up.get(), "the next read would block");
            assert_eq!(read(&mut flow), Poll::Pending);
        }
    }

    #[test]
    fn an_end_that_came_with_the_last_bytes_is_read_although_no_event_follows() {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let (mut flow, mut peer) = connected(&reactor);
        // What registering alone tells.
        reactor.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(read(&mut flow), Poll::Pending);
        peer.write_all(b"last").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(next_read(&reactor, &mut flow), Ok(4));
        assert_eq!(next_read(&reactor, &mut flow), Ok(0));
    }
}
