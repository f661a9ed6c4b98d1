//! Web sessions as straight-line code: one coroutine per visitor, which asks, waits for the visitor's next request, and
//! goes on where it stood.
//!
//! A session is a task with a queue. A [`Mapper`] says which session a request belongs to, by a cookie that we gave
//! out or by something that the request says; the request waits in that session's queue until the session takes it by
//! [`Session::next`], and its connection waits until the session answers it by [`Hit::reply`] or streams by
//! [`Hit::stream`].
//!
//! ```
//! use web::Response;
//! use web::session::{Ended, Mapper, Session};
//!
//! /// Guess a number from 1 to 100, at `/guess/NUMBER`.
//! async fn guess(mut session: Session) -> Result<(), Ended> {
//!     let secret = session.random(1..=100);
//!     for tries in 1.. {
//!         let hit = session.next().await?; // sleeps until the visitor comes back
//!         let guessed = hit.parameter_text("number").and_then(|text| text.parse().ok());
//!         if guessed == Some(secret) {
//!             hit.reply(Response::ok("text/plain", "right!"));
//!             break;
//!         }
//!         hit.reply(Response::ok("text/plain", format!("try {tries}: no")));
//!     }
//!     Ok(())
//! }
//!
//! # fn table(routes: web::Routes, host: &web::session::SessionHost) -> web::Routes {
//! routes.session(host, "/guess/:number", Mapper::cookie(), guess)
//! # }
//! ```
//!
//! - **Ids** are 128 bits of the machine's entropy. Who shows another one, unknown, expired or made up, gets a new session
//!   and a new id: nobody can be made to use an id that somebody else knows (OWASP's session fixation).
//!   [`Session::renew_id`] after a login.
//! - **Bounds** ([`Limits`]): sessions in all; those that had one request only, so that a flood of visitors without cookies
//!   displaces itself; requests that wait for one session. A session that a visitor waits for is never displaced.
//! - **Methods.** HEAD and OPTIONS are no steps of a session (RFC 9110 section 9.2.1): they are answered without it. A page
//!   of a session is its visitor's alone: `Cache-Control: no-store`, unless it says something else.
//! - **One after the other.** A session that reads a request's body waits for it; so does its visitor's next request.
//!   Equal requests at once can share one answer: [`Mapper::shared`].
//! - **Messages.** A session has a [`Mailbox`], joins a [`Topic`], or watches a value ([`flow::sync::Watch`]), and
//!   waits for all that comes by [`Session::next_event`]. That and timers, flows or channels together: what is not
//!   returned stays in the queue, so that any `select` will do, as that of the crate `embassy-futures`.
//! - **Static files** under the same paths are no steps: [`SessionRoute::beside`].
//! - **Seen from outside**: where each session waits, the values that it lets others look at and set, and the commands that
//!   they can have it do ([`Session::watch`], [`Session::command`], [`SessionHost::sessions`]).
//! - **The end.** A session that nobody visits for a time is told so, by [`Ended::Idle`] in place of a request: `?` ends
//!   it, or it cleans up. A time later it is dropped, wherever it waits. Its visitor's next request begins a new one.
//! - **A restart.** What a session [saves](Session::save) it has again when its visitor comes back after one:
//!   [`SessionHost::archive`] and [`SessionHost::restore`].
//! - **A replay** gives the last requests of a session, if they are [recorded](Limits::recorded_max), to a copy of it:
//!   [`SessionHost::replay`].
//! - **A panic** ends one session: what waits for it is answered 500, and its visitor begins anew.

mod affinity;
mod carry;
mod entry;
mod hit;
mod host;
mod id;
mod inspect;
mod mapper;
mod message;
mod replay;
mod route;
mod store;

pub use affinity::{Affinity, GroupKey, NotPassed, OwnerLost, Passing, rendezvous};
pub use carry::{BadArchive, SaveError};
pub use hit::{Gone, Hit, StreamWriter};
pub use host::{Limits, SessionHost};
pub use id::SessionId;
pub use inspect::{CommandError, SessionInfo, SetError};
pub use mapper::{KEY_BYTES_MAX, Mapper};
pub use message::{Mailbox, Message, NameTaken, Topic, Unsent, UnsentReason};
pub(crate) use replay::Kept;
pub use replay::{Difference, RECORDED_BYTES_MAX, Replay, ReplayError, Replayed};
pub use route::SessionRoute;

use alloc::rc::Rc;
use core::fmt;
use core::ops::RangeInclusive;
use core::panic::Location;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use entry::{Busy, Entry, Item};
use flow::task::wait_fn;
use flow::time::Timers;
use store::Store;

/// Why a session is to end: `?` ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The visitor has not come for [`Limits::idle_timeout`].
    Idle,
    /// The appliance stops.
    ShuttingDown,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "the visitor did not come back",
            Self::ShuttingDown => "the appliance stops",
        })
    }
}

impl core::error::Error for Ended {}

/// What comes to a session. There may be more kinds one day: the others are to be passed over.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The visitor's next request.
    Hit(Hit),
    /// A value that somebody left in its [`Mailbox`], or published on a [`Topic`] that it joined.
    Message(Message),
    /// It read too slowly: so many messages of topics are lost, which came here.
    Missed(u64),
    /// It is time to end: after [`Limits::end_timeout`] the session is dropped. A request that comes meanwhile calls that off.
    End(Ended),
}

/// See [`Session::attended`].
pub struct Attended {
    _busy: Busy,
}

impl fmt::Debug for Attended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attended")
    }
}

/// One visitor's session, from inside. Dropped with the task that runs it.
pub struct Session {
    entry: Rc<Entry>,
    store: Rc<Store>,
}

impl Session {
    /// Waits for the visitor's next request. Messages keep their places in the queue. Cancel-safe.
    ///
    /// # Errors
    /// When the session is to end. Who has something to put away catches it, does so, and returns it. Called again, this
    /// waits for the next request all the same.
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Hit, Ended>> + use<'_> {
        let waiting = self.wait_for(|item| matches!(item, Item::Hit(_) | Item::End(_)));
        async {
            match waiting.await {
                Event::Hit(hit) => Ok(hit),
                Event::End(ended) => Err(ended),
                Event::Message(_) | Event::Missed(_) => unreachable!("it does not fit"),
            }
        }
    }

    /// Waits for whatever comes next. Cancel-safe: what is not returned stays in the queue, so that it may be waited for
    /// beside timers and flows.
    #[track_caller]
    pub fn next_event(&mut self) -> impl Future<Output = Event> + use<'_> {
        self.wait_for(|_| true)
    }

    /// Waits for the first that fits; where, is the caller's caller.
    #[track_caller]
    fn wait_for(&mut self, fits: fn(&Item) -> bool) -> impl Future<Output = Event> + use<'_> {
        let place = Location::caller();
        wait_fn(move |cx| {
            let event = self.poll_event(cx, fits);
            self.entry.waits_at.set(event.is_pending().then_some(place));
            event
        })
    }

    fn poll_event(&mut self, cx: &Context<'_>, fits: fn(&Item) -> bool) -> Poll<Event> {
        let entry = self.entry.clone();
        loop {
            let next = |item: &Item| matches!(item, Item::Command(_)) || fits(item);
            match ready!(entry.queue.poll_first(cx, next)) {
                // Its visitor went away while it waited.
                Item::Hit(hit) if hit.is_gone() => {}
                Item::Hit(hit) => {
                    entry.has_taken.set(true);
                    return Poll::Ready(Event::Hit(hit));
                }
                Item::Message(message) => {
                    entry.unread.set(entry.unread.get() - 1);
                    return Poll::Ready(Event::Message(message));
                }
                Item::Missed => return Poll::Ready(Event::Missed(entry.missed.take())),
                Item::Command(command) => command(self),
                Item::End(ended) => return Poll::Ready(Event::End(ended)),
            }
        }
    }

    /// Gives the session another id, which the next answer tells its visitor; the old one is nobody's from now on. To
    /// be called when the visitor's rights change, as after a login. Without effect where the key is not an id of ours.
    pub fn renew_id(&mut self) {
        self.store.renew_id(&self.entry);
    }

    /// A number in that range, none likelier than another, from the machine's entropy.
    pub fn random(&self, range: RangeInclusive<u64>) -> u64 {
        self.store.host.random(range)
    }

    /// Keeps the session from being idle, or displaced, as long as it is kept: for a connection to its visitor that is no
    /// request any more, such as a WebSocket's.
    pub fn attended(&self) -> Attended {
        Attended { _busy: Busy::new(&self.entry) }
    }

    /// Time, to wait for.
    pub fn timers(&self) -> &Timers {
        self.store.host.timers()
    }

    /// What it is called in the log and where it is looked at: numbers are given in turn, and no secret.
    pub fn number(&self) -> u64 {
        self.entry.number
    }

    /// How long it has lived.
    pub fn age(&self) -> Duration {
        self.entry.age()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.entry.number)
    }
}

#[cfg(test)]
mod tests;
