//! One connection: opened before the run, and again whenever it ended and a request is due.

use super::http::HttpConnection;
use super::shared::{Seat, Shared, failure};
use alloc::rc::Rc;
use alloc::string::ToString;
use endpoints::drive::drive;
use flow::Connector;
use flow::task::wait_fn;
use load::Outcome;

/// Makes requests until none is left.
pub(crate) async fn run<C: Connector>(shared: Rc<Shared>, connector: C) {
    let seat = Rc::new(Seat::default());
    let cookies = Rc::default();
    let mut flow = match shared.open(&connector).await {
        Ok(flow) => Some(flow),
        Err(error) => {
            shared.count_unopened(error);
            None
        }
    };
    shared.count(|counts| counts.ready += 1);
    loop {
        let first = match &flow {
            Some(_) => None,
            None => {
                let job = wait_fn(|cx| shared.poll_job(cx, &seat, shared.timers().now())).await;
                let Some(job) = job else { break };
                match shared.open(&connector).await {
                    Ok(opened) => flow = Some(opened),
                    Err(error) => {
                        let now = shared.timers().now();
                        let failure = failure(error);
                        shared.note_error(failure, "connection", &error.to_string());
                        shared.finish(now, job, Outcome::Failure(failure));
                        shared.rest().await;
                        continue;
                    }
                }
                Some(job)
            }
        };
        let Some(opened) = flow.take() else { continue };
        let core = HttpConnection::new(&shared, &seat, &cookies, first);
        let mut driven = drive(opened, core, shared.timers());
        (&mut driven).await;
        if driven.core().is_done() {
            break;
        }
        // A visitor thinks, whether or not the connection is still there.
        if let Some(until) = driven.core().thinks_until() {
            shared.timers().sleep_until(until).await;
        }
    }
    shared.count(|counts| counts.ended += 1);
}
