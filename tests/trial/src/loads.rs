//! Loads: bulk and round trips over flows without a protocol, and lone calls of RPC, so that one way from an appliance to another
//! is measured beside another with all else the same. A guest does so on request (see [`routes`]), a process by `tests/flow-peer`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::context::Context;
use core::fmt;
use core::future::poll_fn;
use core::str::FromStr;
use core::time::Duration;
use endpoints::rpc::Rpc;
use flow::task::Spawner;
use flow::{Connector, Flow, FlowError, FlowExt, Listener, Target};
use web::{Request, Response, Routes, Status};

/// What a client asks for by its first byte: that what follows is counted, or sent back.
const SINK: u8 = b's';
const ECHO: u8 = b'e';

/// What is written at once.
static CHUNK: [u8; 64 << 10] = [7; 64 << 10];
const BACKLOG: usize = 8;

/// One load, of so many units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// So many MiB, to who [attends](attend).
    Bulk,
    /// A byte there and one back, so often, with who attends.
    RoundTrips,
    /// Calls of an appliance's calculator, one after another.
    Calls,
}

/// That is no load.
#[derive(Debug)]
pub struct UnknownLoad;

impl FromStr for Load {
    type Err = UnknownLoad;

    fn from_str(name: &str) -> Result<Self, UnknownLoad> {
        match name {
            "bulk" => Ok(Self::Bulk),
            "round-trips" => Ok(Self::RoundTrips),
            "calls" => Ok(Self::Calls),
            _ => Err(UnknownLoad),
        }
    }
}

/// What a load came to, as `name value unit`.
pub struct Figure {
    load: Load,
    count: usize,
    took: Duration,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, seconds) = (self.count as f64, self.took.as_secs_f64());
        match self.load {
            Load::Bulk => write!(f, "bulk {:.1} mib_per_s", count / seconds),
            Load::RoundTrips => write!(f, "round_trip {:.3} us", seconds * 1e6 / count),
            Load::Calls => write!(f, "lone_call {:.3} us", seconds * 1e6 / count),
        }
    }
}

/// Serves [`Load::Bulk`] and [`Load::RoundTrips`] on one flow.
///
/// # Errors
/// The flow's.
pub async fn attend(flow: &mut impl Flow) -> Result<(), FlowError> {
    let mut verb = [0];
    flow.read(&mut verb).await?;
    let mut bytes = 0_u64;
    loop {
        let mut echoed = Vec::new();
        let count = flow
            .read_with(|read| {
                if verb[0] == ECHO {
                    echoed.extend_from_slice(read);
                }
                (read.len(), read.len())
            })
            .await?;
        if count == 0 {
            return flow.write_all(&bytes.to_le_bytes()).await;
        }
        bytes += count as u64;
        if verb[0] == ECHO {
            flow.write_all(&echoed).await?;
        }
    }
}

/// Attends to whoever comes, each by a task of this spawner, for good.
pub async fn serve(spawner: &Spawner, mut listener: impl Listener + 'static) {
    while let Ok(mut flow) = listener.accept().await {
        // Whoever goes in the middle has measured enough.
        spawner.spawn("load", async move {
            let _ = attend(&mut flow).await;
            flow.finish();
        });
    }
}

/// Puts a load on a flow, by the time of this clock.
///
/// # Errors
/// The flow's, or the other side is none that serves this.
pub async fn measure(
    load: Load,
    count: usize,
    mut flow: impl Flow + 'static,
    vat: &Rpc,
    clock: impl Fn() -> Duration,
) -> Result<Figure, String> {
    let failed = |error: FlowError| format!("{error}");
    let took = match load {
        Load::Bulk => {
            let start = clock();
            let bytes = bulk(&mut flow, count).await.map_err(failed)?;
            if bytes != (count as u64) << 20 {
                return Err(format!("{bytes} bytes arrived"));
            }
            clock() - start
        }
        Load::RoundTrips => {
            flow.write_all(&[ECHO]).await.map_err(failed)?;
            let start = clock();
            for _ in 0..count {
                flow.write_all(b"x").await.map_err(failed)?;
                if flow.read(&mut [0]).await.map_err(failed)? == 0 {
                    return Err("the other side ended".into());
                }
            }
            clock() - start
        }
        Load::Calls => {
            crate::calls::lone(vat, flow, count, clock).await.map_err(|error| format!("{error}"))?
        }
    };
    Ok(Figure { load, count, took })
}

async fn bulk(flow: &mut impl Flow, mebibytes: usize) -> Result<u64, FlowError> {
    flow.write_all(&[SINK]).await?;
    for _ in 0..(mebibytes << 20) / CHUNK.len() {
        let mut rest = &CHUNK[..];
        while !rest.is_empty() {
            let written = poll_fn(|cx| flow.poll_write(cx, rest)).await?;
            rest = &rest[written..];
        }
    }
    flow.finish();
    let (mut answer, mut filled) = ([0; 8], 0);
    while filled < answer.len() {
        match flow.read(&mut answer[filled..]).await? {
            0 => return Err(FlowError::Reset),
            count => filled += count,
        }
    }
    Ok(u64::from_le_bytes(answer))
}

/// `GET /serve/PORT/PLACE` has an appliance attend at a port of TCP and at a place of `[shared_memory]`, of which one may be
/// `0` or `-`; `GET /put/LOAD/COUNT/TARGET` has it put a load on a flow to another, and says what that came to.
pub(crate) fn routes<P: Platform>(context: &Context<P>) -> Routes {
    let (serving, putting, vat) = (context.clone(), context.clone(), crate::calls::vat(context));
    Routes::new()
        .get("/serve/:port/:place", move |request: Request| {
            let outcome = listen(&serving, &request);
            async { answered(outcome) }
        })
        .get("/put/:load/:count/:target", move |request: Request| {
            let (context, vat) = (putting.clone(), vat.clone());
            async move { answered(put(&context, &request, &vat).await) }
        })
}

fn answered(outcome: Result<String, String>) -> Response {
    let (status, said) = match outcome {
        Ok(said) => (Status::OK, said),
        Err(said) => (Status::BAD_GATEWAY, said),
    };
    Response::ok("text/plain", format!("{said}\n")).with_status(status)
}

fn listen<P: Platform>(context: &Context<P>, request: &Request) -> Result<String, String> {
    let spawner = &context.spawner;
    let port = request.parameter_text("port").and_then(|port| port.parse().ok());
    let place = request.parameter_text("place").ok_or("which place?")?;
    if let Some(port) = port.filter(|port| *port != 0) {
        let listener = context.platform.listen(port, BACKLOG);
        let listener = listener.map_err(|error| format!("{port}: {error}"))?;
        attend_to(spawner, listener);
    }
    #[cfg(feature = "shared-memory")]
    if place != "-" {
        let listener = context.platform.listen_at(&place, BACKLOG);
        attend_to(spawner, listener.map_err(|error| format!("{place}: {error}"))?);
    }
    Ok(format!("attending at {place}"))
}

fn attend_to(spawner: &Spawner, listener: impl Listener + 'static) {
    let spawning = spawner.clone();
    spawner.spawn("load listener", async move { serve(&spawning, listener).await });
}

async fn put<P: Platform>(
    context: &Context<P>,
    request: &Request,
    vat: &Rpc,
) -> Result<String, String> {
    let word = |name| request.parameter_text(name);
    let load = word("load").and_then(|load| load.parse().ok()).ok_or("no such load")?;
    let count = word("count").and_then(|count| count.parse().ok()).ok_or("how many?")?;
    let target = word("target").and_then(|target| target.parse().ok());
    let target: Target = target.ok_or("to whom?")?;
    let clock = context.platform.clock().ok_or("there is no clock to measure by")?;
    let flow = context.connector().connect(&target).await;
    let flow = flow.map_err(|error| format!("{target}: {error}"))?;
    measure(load, count, flow, vat, clock).await.map(|figure| format!("{figure}"))
}
