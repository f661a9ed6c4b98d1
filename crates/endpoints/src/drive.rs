//! Protocol loop: carries bytes between a flow and a protocol core, has the core's work done, and
//! keeps its deadlines.
//!
//! Every protocol here runs in it; what differs is the [`Core`]. A round of the loop is always:
//!
//! ```text
//! read -> work -> write -> do to the flow what the core asks for -> if nothing moved: deadline, wait
//! ```
//!
//! An answer leaves in the round that read its question; a deadline that has passed gets a round of
//! its own, in which what it queued is sent.
//!
//! After each round the connection is weighed, if it has an [`Account`]: while memory is short it is not read, or the
//! core refuses what is new, or the connection ends. See [`flow::ledger`].

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use bytes::Bytes;
use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use flow::ledger::{Account, Overload, Pressure};
use flow::task::waits_here;
use flow::time::{Timer, Timers, earlier};
use flow::{Flow, FlowError};

/// Rounds, and writes in them, of one turn of a connection; then other tasks have theirs. 32: a
/// dozen pipelined questions and their answers fit, and a peer that never stops sending delays
/// everybody else by the time of as many buffers at most.
pub const STEPS_MAX: usize = 32;

/// Rounds that one counts for in which the core left input that it wants: so many small messages were there that it gave
/// way. They cost by the message, not by the byte.
const CROWDED_STEPS: usize = 8;

/// How long a peer may take to make room for what a layer below keeps, once the connection is to be closed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// A protocol on one connection, as its loop sees it: a state machine without I/O and whoever it
/// works for. `now` is the same through a whole turn.
pub trait Core {
    /// The connection's task was woken; comes before the rounds of each turn.
    fn begin_turn(&mut self, cx: &mut Context<'_>, now: Duration) {
        let _ = (cx, now);
    }

    /// Whether input is read at all. While it is not, the core sees to it that the task is woken
    /// when it is again.
    fn wants_input(&self) -> bool {
        true
    }

    /// Takes input, never none, and may change it where it lies; how many bytes it took. What it
    /// left it is shown again, in front of what follows. None taken is backpressure, as in
    /// [`wants_input`](Self::wants_input). Of small messages it takes some dozens at once and leaves the others, so that
    /// whoever sends nothing else does not keep everybody waiting.
    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize;

    /// The peer sends no more: it ended its side, or the flow broke. It is said in every round from
    /// then on in which input is wanted; whether that led on.
    fn handle_end(&mut self, now: Duration, how: Result<(), FlowError>) -> bool;

    /// Does what input set off, and what others asked for; whether something came of it.
    fn poll_work(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let _ = (cx, now);
        false
    }

    /// Whether there is output. If not, the core sees to it that the task is woken when there is.
    fn wants_transmit(&mut self, cx: &mut Context<'_>) -> bool;

    /// Long output that is next and lies in memory already; else
    /// [`poll_transmit`](Self::poll_transmit) is asked.
    fn long_output(&mut self) -> Option<LongOutput<'_>> {
        None
    }

    /// So many bytes of the long output were taken.
    fn long_output_taken(&mut self, now: Duration, count: usize) {
        let _ = (now, count);
    }

    /// Writes output into `space`, never none; how many bytes.
    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize;

    /// The flow takes no more output. Whether input is still of use: if so, there is no output from
    /// then on; if not, the connection is over.
    fn output_lost(&mut self, now: Duration, error: FlowError) -> bool;

    /// The peer took so many bytes of output that the flow had taken before, the last of them `at` a time that may be past:
    /// see [`Flow::newly_taken`].
    fn peer_took(&mut self, at: Duration, count: usize) {
        let _ = (at, count);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    fn next_deadline(&mut self, now: Duration) -> Option<Duration>;

    /// The deadline has passed, unless [`peer_took`](Self::peer_took) has put it off since.
    fn handle_timeout(&mut self, now: Duration);

    /// What is to be done with the flow; asked after each round.
    fn transport(&mut self, cx: &mut Context<'_>, now: Duration) -> Transport;

    /// Bytes that the connection holds for its peer, with what it costs to hold them: unfinished messages, calls that
    /// are not answered, output that is not sent. Not what has a [weight](flow::ledger::Weight) of its own. Asked
    /// after each round in which something moved, so that it must be known, not counted.
    fn held(&self) -> usize {
        0
    }

    /// Memory is short, or is no longer: said when it changes, and never for the end. What is to be
    /// [refused](Pressure::Refuse) is the core's to refuse, with its reason.
    fn handle_pressure(&mut self, now: Duration, pressure: Pressure) {
        let _ = (now, pressure);
    }

    /// Whether input is read while the connection is to [pause](Pressure::Pause). For protocols whose peers say that
    /// something is no longer held: the core then takes these messages, and sees to it that no others are held.
    fn reads_while_paused(&self) -> bool {
        false
    }

    /// Takes the flow over, for another protocol: see [`Transport::Upgraded`].
    fn upgrade(&mut self, flow: Box<dyn Flow>) {
        drop(flow);
    }
}

/// Output that lies in memory already.
#[derive(Debug)]
pub enum LongOutput<'a> {
    /// May be sent from where it lies until the peer has it (zero copy); the flow takes what it can
    /// off the front. For runs after which not much follows: see [`Flow::poll_write_shared`].
    Shared(&'a mut Bytes),
    /// Is copied once, into where it is sent from; after it anything may follow at once.
    Copied(&'a [u8]),
}

/// What is to be done with the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Read and write.
    Open,
    /// End our side, all output being taken. Input is still read: closing with unread input would
    /// reset the connection, and the peer would lose what it has not read (RFC 9112 section 9.6).
    EndOutput,
    /// End our side, and close as soon as the peer has everything. The deadline still counts.
    Drain,
    /// End our side, and close.
    Closed,
    /// Reset it: the peer must not take what it got for complete.
    Abort,
    /// It goes to another protocol, by [`Core::upgrade`], with the input that was not taken.
    Upgraded,
}

/// The loop of one connection: a future that is ready when the connection is over. Written out
/// rather than `async`, so that fifty thousand idle ones are small. Dropped, it drops the core
/// first, then the flow.
pub struct Drive<F, C> {
    core: C,
    /// None once it is over.
    flow: Option<F>,
    timer: Timer,
    /// None if it is not weighed.
    account: Option<Account>,
    pressure: Pressure,
    output_ended: bool,
    /// Until when a flow that is to be closed may keep bytes for want of room below.
    flush_until: Option<Duration>,
}

/// Runs `core` over `flow` until it is over.
pub fn drive<F, C>(flow: F, core: C, timers: &Timers) -> Drive<F, C> {
    Drive {
        core,
        flow: Some(flow),
        timer: timers.timer(),
        account: None,
        pressure: Pressure::None,
        output_ended: false,
        flush_until: None,
    }
}

impl<F, C> Drive<F, C> {
    /// The same, weighed on `account`, if there is one.
    pub fn weighed(self, account: Option<Account>) -> Self {
        Self { account, ..self }
    }
}

impl<F: Flow + 'static, C: Core> Drive<F, C> {
    /// Takes a turn; ready as soon as `stop` gives a value, or with nothing when the connection is
    /// over. For connections that somebody waits at, who takes things out of the core.
    pub fn poll_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut stop: impl FnMut(&mut C) -> Option<T>,
    ) -> Poll<Option<T>> {
        let now = self.timer.now();
        self.core.begin_turn(cx, now);
        // There may be room again, or none any more; what this connection holds is the same still.
        if self.pressure != Pressure::None || !self.account.as_ref().is_none_or(Account::is_calm) {
            self.weigh(cx, now);
        }
        let mut steps = STEPS_MAX;
        while steps > 0 {
            if let Some(value) = stop(&mut self.core) {
                return Poll::Ready(Some(value));
            }
            steps -= 1;
            let mut moved = self.read(cx, now, &mut steps);
            moved |= self.core.poll_work(cx, now);
            moved |= self.write(cx, now, &mut steps);
            // What others have queued since the last turn weighs, too, whether or not any of it can go.
            if moved || steps == STEPS_MAX - 1 {
                self.weigh(cx, now);
            }
            if self.poll_over(cx, now).is_ready() {
                return Poll::Ready(None);
            }
            if !moved && !self.expired(cx, now) {
                // For the peer to send, unless the core waits for somebody else.
                waits_here();
                return Poll::Pending;
            }
        }
        // A peer that keeps us busy does not keep us from its deadline.
        self.expired(cx, now);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The present, as of the timers' last advance.
    pub fn now(&self) -> Duration {
        self.timer.now()
    }

    /// What runs on the connection.
    pub fn core(&self) -> &C {
        &self.core
    }

    /// What runs on the connection.
    pub fn core_mut(&mut self) -> &mut C {
        &mut self.core
    }

    /// Stops: the flow, unless the connection is over, and the core.
    pub fn into_parts(self) -> (Option<F>, C) {
        (self.flow, self.core)
    }

    /// Takes in what has arrived; whether that led on.
    fn read(&mut self, cx: &mut Context<'_>, now: Duration, steps: &mut usize) -> bool {
        let Some(flow) = &mut self.flow else { return false };
        let core = &mut self.core;
        let pauses = self.pressure == Pressure::Pause && !core.reads_while_paused();
        if pauses || !core.wants_input() {
            return false;
        }
        let (mut ended, mut leaves) = (false, false);
        let taken = flow.poll_read_with(cx, &mut |bytes| {
            ended = bytes.is_empty();
            let taken = if ended { 0 } else { core.handle_input(now, bytes) };
            // None taken is backpressure, and costs nothing.
            leaves = taken > 0 && taken < bytes.len();
            taken
        });
        if leaves && core.wants_input() {
            *steps = steps.saturating_sub(CROWDED_STEPS - 1);
        }
        match taken {
            Poll::Pending => false,
            Poll::Ready(Ok(count)) if !ended => count > 0,
            Poll::Ready(how) => core.handle_end(now, how.map(drop)),
        }
    }

    /// Writes what there is, until the flow is full or the turn is over; whether anything went.
    fn write(&mut self, cx: &mut Context<'_>, now: Duration, steps: &mut usize) -> bool {
        let Some(flow) = &mut self.flow else { return false };
        let core = &mut self.core;
        let mut moved = false;
        while core.wants_transmit(cx) {
            let written = match core.long_output() {
                Some(LongOutput::Shared(bytes)) => flow
                    .poll_write_shared(cx, bytes)
                    .map_ok(|count| core.long_output_taken(now, count)),
                Some(LongOutput::Copied(bytes)) => {
                    flow.poll_write(cx, bytes).map_ok(|count| core.long_output_taken(now, count))
                }
                None => flow
                    .poll_write_with(cx, &mut |space| core.poll_transmit(now, space))
                    .map_ok(drop),
            };
            match written {
                Poll::Pending => {
                    // For the peer to take what is sent.
                    waits_here();
                    break;
                }
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(error)) => {
                    if !core.output_lost(now, error) {
                        self.flow = None;
                    }
                    return true;
                }
            }
            if *steps == 0 {
                break;
            }
            *steps -= 1;
        }
        moved
    }

    /// Says what the connection holds, and hears whether memory is short; whether that changed.
    #[inline]
    fn weigh(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(account) = &self.account else { return false };
        let held = self.core.held();
        if self.pressure == Pressure::None && account.is_at_rest(held) {
            return false;
        }
        self.hear(held, cx, now)
    }

    /// Does as the ledger says; whether that is another thing than before.
    #[inline(never)]
    fn hear(&mut self, held: usize, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(account) = &self.account else { return false };
        account.set(held);
        let pressure = account.pressure(cx);
        if pressure == self.pressure {
            return false;
        }
        self.pressure = pressure;
        match pressure {
            Pressure::End(overload) => self.end_for(overload),
            pressure => {
                if pressure == Pressure::Refuse {
                    account.make_room();
                }
                self.core.handle_pressure(now, pressure);
            }
        }
        true
    }

    /// Ends the connection, since it holds too much: the flow is reset.
    fn end_for(&mut self, overload: Overload) {
        let (Some(account), Some(flow)) = (&self.account, &mut self.flow) else { return };
        let (service, bytes) = (account.service_name(), account.held_bytes());
        log::warn!("{service}: {} is cut off: it holds {bytes} bytes, {overload}", flow.peer());
        flow.abort();
        self.flow = None;
    }

    /// Does to the flow what the core asks for; ready when nothing is left to do.
    fn poll_over(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<()> {
        let Some(flow) = &mut self.flow else { return Poll::Ready(()) };
        let transport = self.core.transport(cx, now);
        match transport {
            Transport::Open => {
                // What a layer below keeps for want of room goes on, though the core has nothing to say.
                let _ = flow.poll_flushed(cx);
                return Poll::Pending;
            }
            Transport::Abort => flow.abort(),
            Transport::Upgraded => {}
            Transport::EndOutput | Transport::Drain | Transport::Closed => {
                if !core::mem::replace(&mut self.output_ended, true) {
                    flow.finish();
                }
                match transport {
                    Transport::EndOutput => {
                        let _ = flow.poll_flushed(cx);
                        return Poll::Pending;
                    }
                    // Whether or not the peer got it: nothing more can be done.
                    Transport::Drain => drop(ready!(flow.poll_drained(cx))),
                    _ if flow.poll_flushed(cx).is_pending()
                        && *self.flush_until.get_or_insert(now + FLUSH_TIMEOUT) > now =>
                    {
                        return Poll::Pending;
                    }
                    _ => {}
                }
            }
        }
        let flow = self.flow.take();
        if transport == Transport::Upgraded
            && let Some(flow) = flow
        {
            self.core.upgrade(Box::new(flow));
        }
        Poll::Ready(())
    }

    /// Whether the deadline has passed and the core was told; else arms the timer.
    fn expired(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let deadline = self.core.next_deadline(now);
        if self.timer.poll_until(earlier(deadline, self.flush_until), cx).is_pending() {
            return false;
        }
        if deadline.is_none() {
            // It was the other one.
            return true;
        }
        if let Some(taken) = self.flow.as_mut().and_then(|flow| flow.newly_taken(now)) {
            self.core.peer_took(taken.at, taken.bytes);
        }
        self.core.handle_timeout(now);
        true
    }
}

/// Nothing of it is pinned in place.
impl<F, C> Unpin for Drive<F, C> {}

impl<F: Flow + 'static, C: Core> Future for Drive<F, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |_| None::<Infallible>).map(|_| ())
    }
}
