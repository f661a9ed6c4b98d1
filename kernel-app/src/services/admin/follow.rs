//! Following: lines of the log as they come, as an event stream. A follower is looked after by a timer, not by the log: what
//! is sent to it may be logged itself.

use crate::log_ring::{self, LogLine};
use crate::service::Services;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use core::time::Duration;
use flow::time::Timers;
use inspect::json::Object;
use web::event_stream::{self, Event, KeepAlive};
use web::{Reply, Response, Status};

/// Followers at once; more are answered 503.
const FOLLOWERS_MAX: usize = 8;
/// How often a comment is sent where no line is: one that the client's end answers frees a place.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// How often it is looked whether there is a new line.
const PAUSE: Duration = Duration::from_millis(250);

/// Those who follow the log.
pub(super) struct Followers {
    timers: Timers,
    services: Services,
    count: Rc<Cell<usize>>,
}

impl Followers {
    pub(super) fn new(timers: &Timers, services: &Services) -> Self {
        Self { timers: timers.clone(), services: services.clone(), count: Rc::default() }
    }

    /// A stream of the lines that are there and those that come, from that number on: each an event with its number as
    /// id, and the line as JSON. It ends when the appliance stops.
    pub(super) fn follow(&self, from: u64, wanted: impl Fn(&LogLine) -> bool + 'static) -> Reply {
        let Some(place) = Place::take(&self.count) else {
            let text = "so many follow the log already; one of them has to end first\n";
            let response = Response::ok("text/plain; charset=utf-8", text);
            return response.with_status(Status::SERVICE_UNAVAILABLE).into();
        };
        let (timers, services) = (self.timers.clone(), self.services.clone());
        event_stream::reply(
            KeepAlive::new(&self.timers).every(KEEP_ALIVE),
            async move |mut events| {
                let _place = place;
                let mut next = from;
                while !services.are_draining() {
                    for line in log_ring::lines_from(next) {
                        next = line.number + 1;
                        if wanted(&line) {
                            events.send(event(&line)).await;
                        }
                    }
                    timers.sleep(PAUSE).await;
                }
            },
        )
    }
}

fn event(line: &LogLine) -> Event {
    let id = alloc::format!("{}", line.number);
    Event::new(json(line)).with_id(&id)
}

fn json(line: &LogLine) -> String {
    serde_json::to_string(&Object(&log_ring::TABLE.row(line))).unwrap_or_default()
}

/// A follower's place; free again when it is dropped.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(count: &Rc<Cell<usize>>) -> Option<Self> {
        if count.get() == FOLLOWERS_MAX {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self(count.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
