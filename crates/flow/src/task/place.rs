//! Places: where in the source a task waits, as the futures that it waits for tell.
//!
//! An `async fn` does not know who awaits it, but a function that returns a future may: with `#[track_caller]` it sees its
//! caller's place, and its future notes that whenever it is not ready. Of several that are inside each other the outermost
//! notes last, which is the one that the task's own code has written.

use core::future::poll_fn;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};
use crossbeam_utils::atomic::AtomicCell;
use pin_project_lite::pin_project;

/// A place in the source.
pub type Place = &'static Location<'static>;

/// What was noted since the executor last asked. One for all executors, since a future that waits knows none: several
/// threads of a test may tell each other's places, which nothing but eyes depends on. A load and a store each, since every wait
/// of every task notes.
static NOTED: AtomicCell<Option<Place>> = AtomicCell::new(None);

/// As [`core::future::poll_fn`], of which others can see that its caller waits there.
#[track_caller]
pub fn wait_fn<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> impl Future<Output = T> {
    let place = Location::caller();
    poll_fn(move |cx| noting(place, poll(cx)))
}

/// `future`, of which others can see that the caller waits there, whatever it waits for inside.
#[track_caller]
pub fn waiting<F: Future>(future: F) -> Waiting<F> {
    Waiting { place: Location::caller(), future }
}

pin_project! {
    /// A future that tells where its caller waits: see [`waiting`]. Written out, since an `async` block around another
    /// future has room for it twice.
    pub struct Waiting<F> {
        place: Place,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        noting(this.place, this.future.poll(cx))
    }
}

/// The running task is about to wait here, unless something inside has said where.
#[inline]
#[track_caller]
pub fn waits_here() {
    if NOTED.load().is_none() {
        NOTED.store(Some(Location::caller()));
    }
}

#[inline]
fn noting<T>(place: Place, polled: Poll<T>) -> Poll<T> {
    if polled.is_pending() {
        NOTED.store(Some(place));
    }
    polled
}

/// What was noted since the last call.
#[inline]
pub(super) fn take() -> Option<Place> {
    let noted = NOTED.load();
    NOTED.store(None);
    noted
}
