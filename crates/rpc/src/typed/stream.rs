//! Streaming calls: the caller goes on while few enough bytes are under way.

use super::System;
use super::client::CapClient;
use crate::table::Beside;
use crate::vat::{CallId, Cap};
use alloc::vec::Vec;
use capnp::Error;
use capnp::capability::Promise;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

/// Bytes of streaming calls to one capability that may be under way before the caller waits.
const WINDOW_BYTES: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Streams {
    /// By the capability that is called.
    streams: Beside<Stream>,
    calls: Beside<(Cap, usize)>,
}

#[derive(Default)]
struct Stream {
    bytes: usize,
    /// Keeps the capability, and so its number, while calls are under way.
    client: Option<CapClient>,
    error: Option<Error>,
    waiting: Vec<Waker>,
}

impl System {
    /// Why a streaming call made before failed: later ones fail alike.
    pub(super) fn stream_error(&self, cap: Cap) -> Option<Error> {
        self.shared.streams.borrow().streams.get(cap.0)?.error.clone()
    }

    /// A streaming call was sent; ready when the next may be made.
    pub(super) fn stream_sent(
        &self,
        client: CapClient,
        call: CallId,
        bytes: usize,
    ) -> Promise<(), Error> {
        let cap = client.cap();
        let mut streams = self.shared.streams.borrow_mut();
        streams.calls.insert(call.0, (cap, bytes));
        if streams.streams.get(cap.0).is_none() {
            streams.streams.insert(cap.0, Stream::default());
        }
        let Some(stream) = streams.streams.get_mut(cap.0) else {
            return Promise::ok(());
        };
        stream.bytes += bytes;
        let before = stream.client.replace(client);
        let full = stream.bytes > WINDOW_BYTES;
        drop(streams);
        drop(before);
        if !full {
            return Promise::ok(());
        }
        let system = self.clone();
        Promise::from_future(poll_fn(move |cx| system.poll_window(cap, cx)))
    }

    fn poll_window(&self, cap: Cap, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut streams = self.shared.streams.borrow_mut();
        let Some(stream) = streams.streams.get_mut(cap.0) else {
            return Poll::Ready(Ok(()));
        };
        if let Some(error) = &stream.error {
            return Poll::Ready(Err(error.clone()));
        }
        if stream.bytes <= WINDOW_BYTES {
            return Poll::Ready(Ok(()));
        }
        stream.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// A call that nobody waits for returned: if a streaming one, makes room for more.
    pub(super) fn stream_returned(&self, call: CallId) {
        let mut streams = self.shared.streams.borrow_mut();
        let Some((cap, bytes)) = streams.calls.remove(call.0) else {
            return;
        };
        let result = self.shared.vat.borrow().result(call);
        let Some(stream) = streams.streams.get_mut(cap.0) else {
            return;
        };
        stream.bytes -= bytes;
        if let Some(Err(reason)) = result {
            stream.error.get_or_insert(reason.into());
        }
        let waiting = core::mem::take(&mut stream.waiting);
        // Without calls under way nothing of the capability is kept; that it failed stays known as
        // long as the capability lives.
        let idle = stream.bytes == 0;
        let client = if idle { stream.client.take() } else { None };
        if idle && stream.error.is_none() {
            streams.streams.remove(cap.0);
        }
        drop(streams);
        drop(client);
        self.shared.vat.borrow_mut().release_call(call);
        waiting.into_iter().for_each(Waker::wake);
    }
}
