//! Supervision: a task that serves others survives what one of them makes it do.

use core::future::poll_fn;
use core::task::Poll;
use flow::task::Spawner;
use log::error;

/// Runs `work` to its end, from its start again whenever it panics. What it had in hand then is lost;
/// what others wait for is not. `what` names it in the log.
pub(crate) async fn supervised(spawner: &Spawner, what: &str, work: impl AsyncFn()) {
    while let Err(failure) = spawner.catching(work()).await {
        error!("{what}: {failure}; it goes on");
        give_way().await;
    }
}

/// Lets all others run first: what panics each time must not keep them from it.
async fn give_way() {
    let mut waited = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
