//! A flow as an object is the flow that is in it.

use bytes::Bytes;
use flow::{Address, Flow, FlowError, Taken, memory};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Result<T> = std::result::Result<T, FlowError>;

/// Answers each call with something of its own, and notes those that answer nothing.
struct Peculiar(Rc<RefCell<Vec<&'static str>>>);

impl Flow for Peculiar {
    fn poll_read_with(
        &mut self,
        _: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize>> {
        Poll::Ready(Ok(take(&mut [1; 11])))
    }

    fn poll_write_with(
        &mut self,
        _: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize>> {
        Poll::Ready(Ok(fill(&mut [0; 12])))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<Result<usize>> {
        Poll::Ready(Ok(13))
    }

    fn poll_write_shared(&mut self, _: &mut Context<'_>, _: &mut Bytes) -> Poll<Result<usize>> {
        Poll::Ready(Ok(14))
    }

    fn newly_taken(&mut self, at: Duration) -> Option<Taken> {
        Some(Taken { bytes: 15, at })
    }

    fn poll_drained(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Err(FlowError::TimedOut))
    }

    fn poll_flushed(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Err(FlowError::Down))
    }

    fn finish(&mut self) {
        self.0.borrow_mut().push("finish");
    }

    fn abort(&mut self) {
        self.0.borrow_mut().push("abort");
    }

    fn peer(&self) -> Address {
        Address::Memory(16)
    }

    fn local(&self) -> Address {
        Address::Memory(17)
    }

    fn peer_certificate(&self) -> Option<[u8; 32]> {
        Some([18; 32])
    }
}

#[test]
fn every_call_reaches_the_flow_in_a_box() {
    let told = Rc::<RefCell<Vec<_>>>::default();
    let mut flow: Box<dyn Flow> = Box::new(Peculiar(told.clone()));
    // A box is a flow, too.
    let flow: &mut Box<dyn Flow> = &mut flow;
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!(Flow::poll_read_with(flow, cx, &mut |it| it.len()), Poll::Ready(Ok(11)));
    assert_eq!(Flow::poll_write_with(flow, cx, &mut |it| it.len()), Poll::Ready(Ok(12)));
    assert_eq!(Flow::poll_write(flow, cx, b"x"), Poll::Ready(Ok(13)));
    assert_eq!(Flow::poll_write_shared(flow, cx, &mut Bytes::new()), Poll::Ready(Ok(14)));
    let at = Duration::from_secs(1);
    assert_eq!(Flow::newly_taken(flow, at), Some(Taken { bytes: 15, at }));
    assert_eq!(Flow::poll_drained(flow, cx), Poll::Ready(Err(FlowError::TimedOut)));
    assert_eq!(Flow::poll_flushed(flow, cx), Poll::Ready(Err(FlowError::Down)));
    Flow::finish(flow);
    Flow::abort(flow);
    assert_eq!(*told.borrow(), ["finish", "abort"]);
    assert_eq!((Flow::peer(flow), Flow::local(flow)), (Address::Memory(16), Address::Memory(17)));
    assert_eq!(Flow::peer_certificate(flow), Some([18; 32]));
    assert_eq!(memory::pair(1).0.peer_certificate(), None, "where peers show none");
}
