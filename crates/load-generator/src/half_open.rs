//! A half-open connection: it sends the first line of a request, and never the end. One that the server closes is opened again.

use super::shared::Shared;
use alloc::rc::Rc;
use core::task::Context;
use core::time::Duration;
use endpoints::drive::{Core, Transport, drive};
use flow::{Connector, FlowError};

/// How long it waits until it opens the next one.
const PAUSE: Duration = Duration::from_millis(100);

/// Goes on for as long as it is let.
pub(crate) async fn run<C: Connector>(shared: Rc<Shared>, connector: C) {
    loop {
        if let Ok(flow) = shared.open(&connector).await {
            shared.count(|counts| counts.half_open += 1);
            let unsent = b"GET / HTTP/1.1\r\nX-Unfinished: ";
            drive(flow, HalfOpen { unsent, has_ended: false }, shared.timers()).await;
            shared.count(|counts| counts.half_open -= 1);
        }
        shared.timers().sleep(PAUSE).await;
    }
}

struct HalfOpen {
    unsent: &'static [u8],
    has_ended: bool,
}

impl Core for HalfOpen {
    fn handle_input(&mut self, _: Duration, bytes: &mut [u8]) -> usize {
        bytes.len()
    }

    fn handle_end(&mut self, _: Duration, _: Result<(), FlowError>) -> bool {
        !core::mem::replace(&mut self.has_ended, true)
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        !self.unsent.is_empty()
    }

    fn poll_transmit(&mut self, _: Duration, space: &mut [u8]) -> usize {
        let count = space.len().min(self.unsent.len());
        let (now, later) = self.unsent.split_at(count);
        space[..count].copy_from_slice(now);
        self.unsent = later;
        count
    }

    fn output_lost(&mut self, _: Duration, _: FlowError) -> bool {
        false
    }

    fn next_deadline(&mut self, _: Duration) -> Option<Duration> {
        None
    }

    fn handle_timeout(&mut self, _: Duration) {}

    fn transport(&mut self, _: &mut Context<'_>, _: Duration) -> Transport {
        if self.has_ended { Transport::Closed } else { Transport::Open }
    }
}
