//! Exchange: one request and its answer, from the protocol core's side. A handler at work, or whoever writes the content of
//! its answer; and the request's body on its way to it.

use super::Traffic;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::Flow;
use web::answers::Answers;
use web::{BodySender, ContentReceiver, Data, Producing, Reply};

/// A request's handler at work, or the producer of its answer's body.
pub(super) struct Work {
    pub(super) stage: Stage,
    pub(super) upload: Option<Upload>,
    /// When it began.
    pub(super) began: Duration,
    /// Counts it, once it waits: most is done before.
    pub(super) in_flight: Option<InFlight>,
}

/// Memory of work that is done, kept for the next request of any connection of a server. Most handlers are done before the
/// next begins, so that one place is enough, and no allocation is needed for them.
#[derive(Default)]
pub(super) struct SpareWork(Cell<Option<Box<Work>>>);

impl SpareWork {
    /// In the memory that is kept, if it is.
    pub(super) fn renew(&self, work: Work) -> Box<Work> {
        match self.0.take() {
            Some(mut memory) => {
                *memory = work;
                memory
            }
            None => Box::new(work),
        }
    }

    /// Drops what `work` holds, and keeps its memory.
    pub(super) fn keep(&self, mut work: Box<Work>) {
        // Only what is dropped may panic, being a handler's.
        work.in_flight = None;
        work.upload = None;
        work.stage = Stage::Ending;
        self.0.set(Some(work));
    }
}

/// A handler at work.
pub(super) type Answering = Pin<Box<dyn Future<Output = Reply>>>;

pub(super) enum Stage {
    Answering(Answering),
    Producing(Producing, ContentReceiver),
    /// The producer is done, and its last piece is on its way.
    Ending,
    Upgrading(Box<dyn FnOnce(Box<dyn Flow>) -> Producing>),
}

/// What came of polling a handler.
pub(super) enum Step {
    Waiting,
    Reply(Reply),
    Data(Data),
    End,
    Abandon,
}

impl Work {
    /// `room` says that the next piece of a streamed body can be taken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, room: bool) -> Step {
        match &mut self.stage {
            Stage::Answering(answering) => match answering.as_mut().poll(cx) {
                Poll::Ready(reply) => Step::Reply(reply),
                Poll::Pending => Step::Waiting,
            },
            Stage::Producing(producing, receiver) => {
                let mut done = false;
                if !receiver.is_waiting() {
                    done = producing.as_mut().poll(cx).is_ready();
                }
                if receiver.is_abandoned() {
                    return Step::Abandon;
                }
                let data = if room || done { receiver.take() } else { None };
                if done {
                    self.stage = Stage::Ending;
                }
                match data {
                    Some(data) => Step::Data(data),
                    None if done => Step::End,
                    None => Step::Waiting,
                }
            }
            Stage::Ending if room => Step::End,
            Stage::Ending | Stage::Upgrading(_) => Step::Waiting,
        }
    }
}

/// Work that is counted until it is dropped.
pub(super) struct InFlight {
    traffic: Rc<Traffic>,
    route: Option<Rc<Answers>>,
}

impl InFlight {
    pub(super) fn new(traffic: &Rc<Traffic>, route: Option<Rc<Answers>>) -> Self {
        traffic.begin_work();
        if let Some(route) = &route {
            route.begin_work();
        }
        Self { traffic: traffic.clone(), route }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.traffic.end_work();
        if let Some(route) = &self.route {
            route.end_work();
        }
    }
}

/// The body of the open request, on its way to the handler.
pub(super) struct Upload {
    pub(super) body: BodySender,
    /// The core was told to read it.
    pub(super) reading: bool,
}

impl Upload {
    /// The handler has come to wait for the body, of which the core reads nothing yet.
    pub(super) fn wakes(&mut self) -> bool {
        self.body.is_wanted() && !core::mem::replace(&mut self.reading, true)
    }

    /// The body holds as much as it may, and the core was reading it.
    pub(super) fn fills(&mut self) -> bool {
        self.body.is_full() && core::mem::replace(&mut self.reading, false)
    }
}
