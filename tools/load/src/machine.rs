//! What is under the generator: the kernel's sockets, its clock, and one thread's loop.

use aqueduct::settings::network::SocketSettings;
use aqueduct_linux::sockets::{KernelConnector, KernelFlow, Reactor};
use endpoints::tls::{TlsConfig, TlsConnector};
use flow::task::Executor;
use flow::time::{Timers, earlier};
use flow::{ConnectError, Connector, Target};
use load::{Progress, Protocol, Recorder, Scenario, Share};
use load_generator::Shared;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tls::{ClientContext, ClientOptions, Clock, Trust};

/// Task polls of one turn of the loop: few, since time stands still meanwhile.
const POLLS_MAX: usize = 256;
/// How often a thread looks at what others say, at least.
const LOOK: Duration = Duration::from_millis(100);
/// The same before the begin.
const LOOK_AT_BEGIN: Duration = Duration::from_millis(2);
/// From the last thread's being ready to the begin: all of them have seen it by then.
const BEGIN_DELAY: Duration = Duration::from_millis(20);
/// Waits that are longer end within the kernel's millisecond, which epoll_wait(2) rounds up to; shorter ones by a timer.
const EXACT_WAIT_MAX: Duration = Duration::from_millis(50);

/// What all threads know.
pub(crate) struct Setup {
    pub(crate) scenario: Scenario,
    pub(crate) address: SocketAddr,
    /// Certificates of authorities in PEM.
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) fingerprint: Option<[u8; 32]>,
    pub(crate) threads: u32,
    pub(crate) start: Instant,
    /// Somebody wants the run to end now.
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) meeting: Mutex<Meeting>,
    /// Nanoseconds since the start; 0 until all threads are ready.
    pub(crate) begin: AtomicU64,
    /// Of each thread.
    pub(crate) progress: Vec<Mutex<Progress>>,
}

/// Where threads say that they are ready.
#[derive(Debug, Default)]
pub(crate) struct Meeting {
    pub(crate) ready: u32,
    /// Connections that were not opened, and why the last one was not.
    pub(crate) unopened: u32,
    pub(crate) error: Option<ConnectError>,
}

/// What a thread has at the end.
pub(crate) struct Outcome {
    pub(crate) recorder: Option<Recorder>,
    pub(crate) longest_turn: Duration,
}

impl Setup {
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn begin(&self) -> Option<Duration> {
        match self.begin.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn is_within_run(&self, now: Duration) -> bool {
        self.begin().is_some_and(|begin| begin < now && now < begin + self.scenario.duration)
    }

    /// A thread is ready; the last one says when all begin.
    fn arrive(&self, shared: &Shared) {
        let Ok(mut meeting) = self.meeting.lock() else { return };
        let counts = shared.counts();
        meeting.ready += 1;
        meeting.unopened += counts.unopened;
        meeting.error = counts.error.or(meeting.error);
        let is_none_open = meeting.unopened == self.scenario.connections;
        if is_none_open {
            self.stop.store(true, Ordering::Relaxed);
        }
        if meeting.ready == self.threads {
            let begin = (self.now() + BEGIN_DELAY).as_nanos();
            self.begin.store(u64::try_from(begin).unwrap_or(u64::MAX), Ordering::Release);
        }
    }
}

/// Runs one thread's share, from the opening of its connections to the last answer.
///
/// # Errors
/// The kernel does not give what is needed, or a request or a certificate is none.
pub(crate) fn run(setup: &Setup, share: Share) -> Result<Outcome, String> {
    let settings =
        SocketSettings { connections_max: usize::MAX, listen_backlog: 1, keep_alive: None };
    let reactor = Reactor::new(settings).map_err(|error| error.to_string())?;
    let alarm = Alarm::new(&reactor).map_err(|error| format!("no timer: {error}"))?;
    let (timers, executor) = (Timers::new(), Executor::new(catch_panic));
    timers.advance(setup.now());
    let place = &setup.scenario.place;
    let is_secure = place.protocol == Protocol::Https;
    let target = match (is_secure, place.address()) {
        (true, _) => Target::Tls(place.host.clone(), place.port),
        (false, _) => Target::Address(setup.address),
    };
    let shared = Shared::new(&setup.scenario, share, target, &timers)?;
    let connector = Pinned { connector: KernelConnector::new(&reactor), address: setup.address };
    let spawner = executor.spawner();
    if is_secure {
        let context = tls_context(setup)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let config = TlsConfig {
            wall_clock_start: Some(since_1970.saturating_sub(setup.now())),
            handshake_timeout: setup.scenario.timeout,
            ..TlsConfig::default()
        };
        let connector = TlsConnector::new(connector, context, config, &timers);
        load_generator::start(&shared, &connector, &spawner);
    } else {
        load_generator::start(&shared, &connector, &spawner);
    }
    let threads_loop = Loop { setup, reactor, alarm, timers, executor, shared, share };
    Ok(threads_loop.run())
}

fn tls_context(setup: &Setup) -> Result<ClientContext, String> {
    let mut trust = Trust::fingerprints(setup.fingerprint);
    if let Some(pem) = &setup.authorities {
        trust = trust.and_authorities(pem).map_err(|error| format!("--cacert: {error}"))?;
    }
    if trust.is_empty() {
        return Err("whom is trusted? --cacert FILE has an authority, and --fingerprint is the \
                    SHA-256 of the server's certificate"
            .into());
    }
    ClientContext::new(ClientOptions::new(trust, Clock::unset())).map_err(|error| error.to_string())
}

struct Loop<'a> {
    setup: &'a Setup,
    reactor: Reactor,
    alarm: Alarm,
    timers: Timers,
    executor: Executor,
    shared: Rc<Shared>,
    share: Share,
}

impl Loop<'_> {
    fn run(mut self) -> Outcome {
        let (mut has_arrived, mut has_begun) = (false, false);
        let mut longest_turn = Duration::ZERO;
        let mut shown_at = Duration::ZERO;
        loop {
            let now = self.setup.now();
            self.timers.advance(now);
            self.shared.advance(now);
            let more_to_run = self.executor.turn(POLLS_MAX);
            self.reactor.flush();
            if !has_arrived && self.shared.is_ready() {
                self.setup.arrive(&self.shared);
                has_arrived = true;
            }
            if !has_begun && let Some(begin) = self.setup.begin() {
                self.shared.begin(begin);
                has_begun = true;
            }
            if self.setup.stop.load(Ordering::Relaxed) {
                self.shared.stop(now);
            }
            let has_ended = has_begun && self.shared.has_ended();
            if has_ended || now - shown_at >= LOOK {
                self.show_progress();
                shown_at = now;
            }
            let after = self.setup.now();
            if self.setup.is_within_run(now) {
                longest_turn = longest_turn.max(after - now);
            }
            if has_ended {
                let recorder = self.shared.take_recorder();
                return Outcome { recorder, longest_turn };
            }
            self.wait(after, more_to_run, has_begun);
        }
    }

    fn show_progress(&self) {
        let mine = self.setup.progress.get(self.share.index as usize);
        if let Some(Ok(mut progress)) = mine.map(Mutex::lock) {
            *progress = self.shared.progress();
        }
    }

    /// Waits for sockets, for as long as nothing is to be done.
    fn wait(&mut self, now: Duration, more_to_run: bool, has_begun: bool) {
        let look = now + if has_begun { LOOK } else { LOOK_AT_BEGIN };
        let own = earlier(self.timers.next_deadline(), self.shared.next_deadline(now));
        let deadline = earlier(own, Some(look)).filter(|_| !more_to_run);
        let timeout = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_sub(now));
        if !timeout.is_zero() && timeout < EXACT_WAIT_MAX {
            self.alarm.set(timeout);
        }
        if let Err(error) = self.reactor.wait(Some(timeout)) {
            log::error!("waiting for sockets: {error}");
        }
    }
}

/// A timer of the kernel's that ends a wait to the microsecond.
struct Alarm(OwnedFd);

impl Alarm {
    fn new(reactor: &Reactor) -> io::Result<Self> {
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // No slot has this token: the event ends the wait, and is of no other use.
        let mut source = SourceFd(&timer.as_raw_fd());
        reactor.registry().register(&mut source, Token(usize::MAX - 1), Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// What it was set to before no longer counts. Events are edges: it need not be read.
    fn set(&mut self, timeout: Duration) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let nanos = timeout.subsec_nanos().into();
        let value = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: nanos };
        let value = Itimerspec { it_interval: zero, it_value: value };
        if let Err(error) =
            rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &value)
        {
            log::error!("a timer: {error}");
        }
    }
}

/// Goes to the address that was allowed, whatever the name leads to by now.
#[derive(Clone)]
struct Pinned {
    connector: KernelConnector,
    address: SocketAddr,
}

impl Connector for Pinned {
    type Flow = KernelFlow;

    async fn connect(&self, _: &Target) -> Result<KernelFlow, ConnectError> {
        self.connector.connect(&Target::Address(self.address)).await
    }
}

/// Lets the process have so many sockets, and what it needs beside them.
///
/// # Errors
/// The hard limit is lower.
pub(crate) fn allow_sockets(count: u64) -> Result<(), String> {
    let wanted = count + 100;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).map_err(|error| {
        let hard = limit.maximum.unwrap_or(u64::MAX);
        format!(
            "{count} connections need {wanted} open files; the hard limit is {hard} ({error}). \
             Raise it with `ulimit -Hn {wanted}` or LimitNOFILE="
        )
    })
}

/// Processor time of the process.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn catch_panic(body: &mut dyn FnMut()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|_| "a panic".into())
}
