//! What `web` has for handlers, for real clients to try: layers, forms with files, JSON, events.

use alloc::format;
use alloc::string::String;
use aqueduct::Platform;
use aqueduct::context::Context;
use core::time::Duration;
use web::event_stream::{self, Event, KeepAlive};
use web::layers::{BasicAuth, BodyLimit, Compression, Cors, RateLimit, RequestId, TimeLimit};
use web::{Content, Handler, Reply, Request, Response, Routes, multipart};

/// Lines of the text that is sent.
const LINES: u32 = 20_000;

/// Routes with a layer of each kind.
pub(crate) fn routes<P: Platform>(context: &Context<P>) -> Routes {
    let timers = context.timers.clone();
    let entropy = context.platform.clone();
    let limited = RateLimit::new(&timers, 3, Duration::from_secs(3600));
    let late = TimeLimit::new(&timers, Duration::from_millis(100));
    Routes::new()
        .get("/text", text)
        .get("/stream", stream)
        .post("/upload", upload)
        .post("/sum", sum.layer(BodyLimit::new(100)))
        .get("/private", text.layer(BasicAuth::of("trial", [("ann", "secret")])))
        .get("/limited", text.layer(limited))
        .get("/late", (|_| core::future::pending::<Response>()).layer(late))
        .get("/upgrade", async |_| Response::upgrade_required("websocket"))
        .get("/events", move |request| events(KeepAlive::new(&timers), request))
        .layer(Compression::new())
        .layer(Cors::of(["https://app.example"]))
        .layer(RequestId::new(move |bytes| entropy.fill_random(bytes)))
}

fn line(number: u32) -> String {
    format!("this is line {number}\n")
}

async fn text(_: Request) -> Response {
    Response::ok("text/plain", (0..LINES).map(line).collect::<String>())
}

/// The same, line by line.
async fn stream(_: Request) -> Reply {
    let head = Response::ok("text/plain", "").carrying(Content::Stream(None));
    Reply::stream(head, async |mut writer| {
        for number in 0..LINES {
            writer.write(line(number)).await;
        }
    })
}

/// Says of each part what came.
async fn upload(mut request: Request) -> Result<Response, Response> {
    let mut form = request.multipart(&multipart::Limits::default())?;
    let mut report = String::new();
    while let Some(mut part) = form.next().await? {
        let (mut bytes, mut sum) = (0, 0_u32);
        while let Some(piece) = part.next().await? {
            bytes += piece.len();
            sum = piece
                .iter()
                .fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        }
        let (name, file, kind) = (part.name(), part.file_name(), part.content_type());
        report += &format!("{name} {file:?} {kind:?} {bytes} {sum}\n");
    }
    Ok(Response::ok("text/plain", report))
}

async fn sum(mut request: Request) -> Result<Response, Response> {
    let numbers: alloc::vec::Vec<i32> = request.json(100).await?;
    Ok(Response::json(&numbers.iter().sum::<i32>()))
}

/// Three events after the one that was seen last.
async fn events(keep_alive: KeepAlive, request: Request) -> Reply {
    let last = request.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0_u32);
    event_stream::reply(keep_alive, async move |mut events| {
        for number in last + 1..=last + 3 {
            events.send(Event::new("one\ntwo").with_id(&format!("{number}"))).await;
        }
    })
}
