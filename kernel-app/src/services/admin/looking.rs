//! Looking at the wire, at the loop and at the CPU: captures, traces of connections, events, and profiles.

use super::api::{bad, gone, number, query};
use super::capture::{self, SNAP_BYTES_MAX, Wish};
#[cfg(feature = "shared-memory")]
use super::ring_trace::RingMeans;
use super::trace::Means;
use super::wire::{TooMany, Wire};
use super::{events, profile};
use crate::Platform;
use crate::context::Context;
use ::capture::Filter;
use alloc::rc::Rc;
use alloc::string::ToString;
use core::time::Duration;
use web::forms::Form;
use web::{Reply, Request, Response, Routes, Status, sharing};

/// What capture and trace take at most, in seconds.
const SECONDS_MAX: usize = 86_400;
/// How long a graph is drawn unless somebody says otherwise.
const GRAPH_TIME: Duration = Duration::from_secs(10);

/// How long events are taken, unless somebody says otherwise, and at most, in seconds.
const EVENTS_SECONDS: usize = 5;
const EVENTS_SECONDS_MAX: usize = 600;
/// How long the CPU is sampled, likewise.
const PROFILE_SECONDS: usize = 10;
const PROFILE_SECONDS_MAX: usize = 60;
/// How often in a second, likewise; the usual number is prime, so that what happens by the clock is met by chance.
const PROFILE_HERTZ: usize = 199;
const PROFILE_HERTZ_MAX: usize = 1000;

struct Looking<P: Platform> {
    context: Context<P>,
    wire: Wire<P>,
    own_port: u16,
    /// Taken once: what two look at has the same times.
    wall_clock_start: Duration,
    #[cfg(feature = "shared-memory")]
    rings: Option<RingMeans>,
}

/// Adds all of them.
pub(super) fn add<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    let wall_clock_start = context.wall_clock_start();
    let looking = Rc::new(Looking {
        context: context.clone(),
        wire: Wire::new(&context.platform, &context.timers),
        own_port: context.config.admin.port.unwrap_or(0),
        wall_clock_start,
        #[cfg(feature = "shared-memory")]
        rings: context.platform.shared_memory().map(|rings| RingMeans {
            rings,
            timers: context.timers.clone(),
            services: context.services.clone(),
            wall_clock_start,
            places: Rc::default(),
        }),
    });
    #[cfg(feature = "shared-memory")]
    let routes = routes.get("/api/v1/shared_memory_flows/:id/trace", sharing(&looking, ring_trace));
    routes
        .get("/api/v1/capture", sharing(&looking, capture))
        .get("/api/v1/connections/:id/trace", sharing(&looking, trace))
        .get("/api/v1/trace", sharing(&looking, events))
        .get("/api/v1/profile", sharing(&looking, profile))
}

/// Frames as pcapng: those that `?filter=` wants, of `?card=`, with `?snap=` bytes of each, until there are `?count=` of them or
/// `?seconds=` are over.
async fn capture<P: Platform>(
    looking: Rc<Looking<P>>,
    request: Request,
) -> Result<Reply, Response> {
    let query = query(&request)?;
    let filter: Filter = query
        .get("filter")
        .unwrap_or_default()
        .parse()
        .map_err(|error| Response::error(Status::BAD_REQUEST, &error))?;
    let cards = looking.wire.cards();
    if cards == 0 {
        return Err(no_frames());
    }
    let card = number(&query, "card")?;
    if card.is_some_and(|card| card >= cards) {
        return Err(bad(alloc::format!("card is from 0 to {}\n", cards - 1)));
    }
    let snap_bytes = number(&query, "snap")?
        .map_or(SNAP_BYTES_MAX, |snap| u32::try_from(snap).unwrap_or(u32::MAX).min(SNAP_BYTES_MAX));
    let wish = Wish {
        filter,
        snap_bytes,
        card,
        frames_max: number(&query, "count")?.map(|count| count as u64),
        time_max: seconds(&query)?,
        own_port: looking.own_port,
        wall_clock_start: looking.wall_clock_start,
    };
    let Context { timers, services, .. } = &looking.context;
    capture::reply(&looking.wire, timers, services, wish).map_err(too_many)
}

/// The segments of a connection as events, for `?seconds=` or until it ends; or, with `?format=xpl`, the time-sequence graph of
/// what is sent, or with `?direction=received` of what is received.
async fn trace<P: Platform>(looking: Rc<Looking<P>>, request: Request) -> Result<Reply, Response> {
    let query = query(&request)?;
    let context = &looking.context;
    let means = Means {
        platform: context.platform.clone(),
        wire: looking.wire.clone(),
        timers: context.timers.clone(),
        services: context.services.clone(),
        wall_clock_start: looking.wall_clock_start,
    };
    let id = request.parameter_text("id").unwrap_or_default().to_string();
    let traced = means.find(&id).ok_or_else(gone)?;
    if looking.wire.cards() == 0 {
        return Err(no_frames());
    }
    let (form, time) = form_of(&query)?;
    let reply = match form {
        GraphForm::Events => means.events(traced, time),
        GraphForm::Xplot { is_of_received } => {
            means.xpl(traced, is_of_received, time.unwrap_or(GRAPH_TIME))
        }
    };
    reply.map_err(too_many)
}

/// The steps of a flow through shared memory, in the same forms.
#[cfg(feature = "shared-memory")]
async fn ring_trace<P: Platform>(
    looking: Rc<Looking<P>>,
    request: Request,
) -> Result<Reply, Response> {
    let query = query(&request)?;
    let id = request.parameter_text("id").and_then(|id| id.parse().ok());
    let means = looking.rings.as_ref().ok_or_else(gone)?;
    let row = id.and_then(|id| means.rings.flow(id)).ok_or_else(gone)?;
    let means = means.clone();
    let (form, time) = form_of(&query)?;
    let reply = match form {
        GraphForm::Events => means.events(row.number, time),
        GraphForm::Xplot { is_of_received } => {
            means.xpl(&row, is_of_received, time.unwrap_or(GRAPH_TIME))
        }
    };
    reply.map_err(too_many)
}

/// What the loop and its tasks do for `?seconds=`, as Perfetto and chrome://tracing read it.
async fn events<P: Platform>(looking: Rc<Looking<P>>, request: Request) -> Result<Reply, Response> {
    let seconds = within(&query(&request)?, "seconds", EVENTS_SECONDS, EVENTS_SECONDS_MAX)?;
    let time = Duration::from_secs(seconds as u64);
    events::reply(&looking.context, time).ok_or_else(|| {
        let text = "somebody takes events already, or there is no memory or no clock for it\n";
        bad(text).with_status(Status::SERVICE_UNAVAILABLE)
    })
}

/// What the CPU was at for `?seconds=`, sampled `?hertz=` times in each, as folded stacks.
async fn profile<P: Platform>(
    looking: Rc<Looking<P>>,
    request: Request,
) -> Result<Reply, Response> {
    let query = query(&request)?;
    let seconds = within(&query, "seconds", PROFILE_SECONDS, PROFILE_SECONDS_MAX)?;
    let hertz = within(&query, "hertz", PROFILE_HERTZ, PROFILE_HERTZ_MAX)?;
    let time = Duration::from_secs(seconds as u64);
    profile::reply(&looking.context, time, hertz as u32).ok_or_else(|| {
        let text = "somebody takes samples already, or this machine has no timer that interrupts\n";
        bad(text).with_status(Status::SERVICE_UNAVAILABLE)
    })
}

/// How a graph is told.
enum GraphForm {
    Events,
    Xplot { is_of_received: bool },
}

/// `?format=`, `?direction=` and `?seconds=`.
fn form_of(query: &Form) -> Result<(GraphForm, Option<Duration>), Response> {
    let form = match query.get("format") {
        None => GraphForm::Events,
        Some("xpl") => GraphForm::Xplot {
            is_of_received: match query.get("direction") {
                None | Some("sent") => false,
                Some("received") => true,
                Some(_) => return Err(bad("a direction is sent or received\n")),
            },
        },
        Some(_) => return Err(bad("a format is xpl; without one there are events\n")),
    };
    Ok((form, seconds(query)?))
}

fn seconds(query: &Form) -> Result<Option<Duration>, Response> {
    if query.get("seconds").is_none() {
        return Ok(None);
    }
    let seconds = within(query, "seconds", SECONDS_MAX, SECONDS_MAX)?;
    Ok(Some(Duration::from_secs(seconds as u64)))
}

/// A number from 1 to `max`, if one is given.
fn within(query: &Form, name: &str, usual: usize, max: usize) -> Result<usize, Response> {
    match number(query, name)?.unwrap_or(usual) {
        number if (1..=max).contains(&number) => Ok(number),
        _ => Err(bad(alloc::format!("{name} is from 1 to {max}\n"))),
    }
}

fn no_frames() -> Response {
    let text = "the network is another system's: tcpdump of that shows its frames\n";
    bad(text).with_status(Status::NOT_FOUND)
}

fn too_many(_: TooMany) -> Response {
    let text = "so many look at the wire already; one of them has to end first\n";
    bad(text).with_status(Status::SERVICE_UNAVAILABLE)
}
