//! Profile: what the CPU was at, sampled for some time, as folded stacks: a line for each, with its functions from the outermost
//! on and how often it was seen, which flame graphs are drawn from.

use super::wire::stream_of;
use crate::Platform;
use crate::context::Context;
use crate::platform::Profiling;
use alloc::boxed::Box;
use core::task::Poll;
use core::time::Duration;
use web::Reply;

/// How often samples are collected: there is room for more than this brings.
const PAUSE: Duration = Duration::from_millis(100);
/// How long others have their turn before more names are looked up.
const NAMES_PAUSE: Duration = Duration::from_millis(1);

/// Samples from now on, for this time; none if the platform takes none.
pub(super) fn reply<P: Platform>(
    context: &Context<P>,
    time: Duration,
    hertz: u32,
) -> Option<Reply> {
    let mut profiling: Box<dyn Profiling> = context.platform.profile(hertz)?;
    let (timers, services) = (context.timers.clone(), context.services.clone());
    let until = timers.now() + time;
    Some(Reply::stream(stream_of("text/plain; charset=utf-8"), async move |mut writer| {
        while timers.now() < until && !services.are_draining() {
            timers.sleep(PAUSE.min(until - timers.now())).await;
            profiling.collect();
        }
        loop {
            match profiling.poll_stack() {
                Poll::Ready(Some(stack)) => {
                    let line = alloc::format!("{} {}\n", stack.frames, stack.samples);
                    writer.write(line.into_bytes()).await;
                }
                Poll::Ready(None) => break,
                Poll::Pending => timers.sleep(NAMES_PAUSE).await,
            }
        }
    }))
}
