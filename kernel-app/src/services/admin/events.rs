//! Events: what the loop and its tasks did when, in the JSON that Perfetto and chrome://tracing read (Trace Event Format).

use super::wire::stream_of;
use crate::Platform;
use crate::context::Context;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;
use flow::task::{TraceEvent, Tracing};
use web::{ContentWriter, Reply};

/// How often events are sent at least.
const PAUSE: Duration = Duration::from_millis(200);

/// The events from now on, for this time; none if somebody takes them already, or no clock can be read.
pub(super) fn reply<P: Platform>(context: &Context<P>, time: Duration) -> Option<Reply> {
    let tracing = context.spawner.trace().start(context.platform.clock()?)?;
    let (timers, services) = (context.timers.clone(), context.services.clone());
    let until = timers.now() + time;
    Some(Reply::stream(stream_of("application/json"), async move |mut writer| {
        writer.write(HEAD.as_bytes().to_vec()).await;
        while timers.now() < until && !services.are_draining() {
            let pause = (timers.now() + PAUSE).min(until);
            let _ = timers.before(pause, tracing.filled()).await;
            send(&mut writer, &tracing).await;
        }
        let (_, dropped) = tracing.take();
        let end = alloc::format!("\n],\"otherData\":{{\"dropped\":\"{dropped}\"}}}}\n");
        writer.write(end.into_bytes()).await;
    }))
}

/// The first event says whose they are; it goes without a comma.
const HEAD: &str = concat!(
    "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n",
    "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"tid\":1,\"args\":{\"name\":\"aqueduct ",
    env!("CARGO_PKG_VERSION"),
    "\"}}"
);

async fn send(writer: &mut ContentWriter, tracing: &Tracing) {
    /// So much is put together at once.
    const EVENTS: usize = 256;
    let (events, _) = tracing.take();
    for events in events.chunks(EVENTS) {
        let mut text = String::new();
        for event in events {
            write_event(&mut text, event);
        }
        writer.write(Vec::from(text)).await;
    }
}

/// A complete event, as the format calls what has a beginning and a length, both in microseconds.
fn write_event(text: &mut String, event: &TraceEvent) {
    let TraceEvent { name, task, start, time } = event;
    let name = serde_json::to_string(name).unwrap_or_default();
    let micros = |time: &Duration| (time.as_micros(), time.subsec_nanos() % 1000);
    let ((start, start_nanos), (time, time_nanos)) = (micros(start), micros(time));
    // A string takes all there is.
    let _ = write!(
        text,
        ",\n{{\"name\":{name},\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{start}.{start_nanos:03},\"dur\":{time}.{time_nanos:03}"
    );
    let _ = match task {
        Some(id) => write!(text, ",\"cat\":\"task\",\"args\":{{\"id\":\"{id}\"}}}}"),
        None => write!(text, ",\"cat\":\"loop\"}}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_times_in_microseconds_with_their_parts() {
        let (start, time) = (Duration::from_nanos(1_002_003), Duration::from_nanos(40));
        let mut text = String::new();
        write_event(&mut text, &TraceEvent { name: "in\"gress", task: None, start, time });
        let expected = r#"{"name":"in\"gress","ph":"X","pid":1,"tid":1,"ts":1002.003,"dur":0.040,"cat":"loop"}"#;
        assert_eq!(text.strip_prefix(",\n"), Some(expected));
        text.clear();
        let task = "7.1".parse().ok();
        write_event(&mut text, &TraceEvent { name: "http", task, start, time });
        assert!(text.ends_with(r#","cat":"task","args":{"id":"7.1"}}"#), "{text}");
    }
}
