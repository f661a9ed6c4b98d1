//! A run as a task.

use super::Shared;
use core::time::Duration;
use flow::task::wait_fn;
use load::Recorder;

/// From the opening of the last connection to the begin, so that what that has woken does not meet the first requests.
const BEGIN_DELAY: Duration = Duration::from_millis(20);

/// Makes the run whose connections were [started](super::start), and gives what was recorded; none if no connection was opened.
/// `look` is called whenever the run has to be seen to: some times in each second of it, at least.
pub async fn run(shared: &Shared, mut look: impl FnMut(&Shared)) -> Option<Recorder> {
    until(shared, &mut look, Shared::is_ready).await;
    if shared.counts().unopened == shared.connections() {
        return None;
    }
    shared.begin(shared.timers().now() + BEGIN_DELAY);
    until(shared, &mut look, Shared::has_ended).await;
    shared.take_recorder()
}

/// How often somebody looks, at least.
const LOOK: Duration = Duration::from_millis(100);

async fn until(shared: &Shared, look: &mut impl FnMut(&Shared), is_over: impl Fn(&Shared) -> bool) {
    loop {
        let now = shared.timers().now();
        shared.advance(now);
        look(shared);
        if is_over(shared) {
            return;
        }
        // What is due by now is made by who was just woken for it, and that is a change.
        let deadline = shared.next_deadline(now).filter(|deadline| *deadline > now);
        let deadline = deadline.unwrap_or(now + LOOK).min(now + LOOK);
        let changed = wait_fn(|cx| shared.poll_changed(cx));
        // Whichever it was.
        let _ = shared.timers().before(deadline, changed).await;
    }
}
