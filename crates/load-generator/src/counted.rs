//! A flow whose bytes are counted, for protocols whose connections are driven elsewhere.

use super::Shared;
use alloc::rc::Rc;
use bytes::Bytes;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use flow::{Address, Flow, FlowError, Taken};

/// The flow, and where its bytes are counted.
pub(crate) struct Counted<F> {
    flow: F,
    shared: Rc<Shared>,
}

impl<F: Flow> Counted<F> {
    pub(crate) fn new(flow: F, shared: &Rc<Shared>) -> Self {
        Self { flow, shared: shared.clone() }
    }

    fn sent(&self, count: usize) -> Poll<Result<usize, FlowError>> {
        self.shared.count_bytes(0, count);
        Poll::Ready(Ok(count))
    }
}

impl<F: Flow> Flow for Counted<F> {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let count = ready!(self.flow.poll_read_with(cx, take))?;
        self.shared.count_bytes(count, 0);
        Poll::Ready(Ok(count))
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let count = ready!(self.flow.poll_write_with(cx, fill))?;
        self.sent(count)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
        let count = ready!(self.flow.poll_write(cx, bytes))?;
        self.sent(count)
    }

    fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, FlowError>> {
        let count = ready!(self.flow.poll_write_shared(cx, bytes))?;
        self.sent(count)
    }

    fn newly_taken(&mut self, now: Duration) -> Option<Taken> {
        self.flow.newly_taken(now)
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        self.flow.poll_drained(cx)
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        self.flow.poll_flushed(cx)
    }

    fn finish(&mut self) {
        self.flow.finish();
    }

    fn abort(&mut self) {
        self.flow.abort();
    }

    fn peer(&self) -> Address {
        self.flow.peer()
    }

    fn local(&self) -> Address {
        self.flow.local()
    }

    fn peer_certificate(&self) -> Option<[u8; 32]> {
        self.flow.peer_certificate()
    }
}
