//! Time limit: how long a handler may take.

use crate::body::BodyWatch;
use crate::{Answer, Layer, Request, Response, Status, layer::Inner};
use alloc::boxed::Box;
use core::time::Duration;
use flow::time::Timers;

/// Bounds the time from a request's head to the head of its answer. A handler that takes longer is dropped where it
/// waits. Its client is answered 408 if the handler was waiting for the client's content (RFC 9110 section 15.5.9), and
/// else 503 (section 15.6.4). Streamed content that follows the answer's head is not bounded by it: slow readers are the
/// server's to let go.
#[derive(Clone, Debug)]
pub struct TimeLimit {
    timers: Timers,
    limit: Duration,
}

impl TimeLimit {
    /// So long at most.
    pub fn new(timers: &Timers, limit: Duration) -> Self {
        Self { timers: timers.clone(), limit }
    }
}

impl Layer for TimeLimit {
    fn pass(&self, mut request: Request, inner: &Inner) -> Answer {
        let body = request.body().watch();
        let answering = match inner.answer(request) {
            now @ Answer::Now(_) => return now,
            Answer::Later(answering) => answering,
        };
        let timers = self.timers.clone();
        let deadline = timers.now().saturating_add(self.limit);
        Answer::Later(Box::pin(async move {
            match timers.before(deadline, answering).await {
                Ok(reply) => reply,
                Err(_) => late(&body).into(),
            }
        }))
    }
}

fn late(body: &BodyWatch) -> Response {
    if body.is_awaited() {
        // RFC 9110 section 15.5.9: the rest of the request is not waited for.
        return Response::plain(Status::REQUEST_TIMEOUT).closing();
    }
    Response::plain(Status::SERVICE_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use crate::{Body, Handler, Reply};
    use core::future::{Future, pending};
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};
    use flow::Address;

    const SECOND: Duration = Duration::from_secs(1);

    struct Exchange {
        timers: Timers,
        answering: Pin<Box<dyn Future<Output = Reply>>>,
    }

    impl Exchange {
        fn new(handler: impl Handler, body: Body) -> Self {
            let timers = Timers::new();
            let handler = handler.layer(TimeLimit::new(&timers, 10 * SECOND));
            let request = Request::new(parsed("POST", "/", &[]), body, Address::Memory(0));
            let Answer::Later(answering) = handler.answer(request) else { panic!("no waiting") };
            Self { timers, answering }
        }

        fn at(&mut self, seconds: u32) -> Option<Response> {
            self.timers.advance(seconds * SECOND);
            match self.answering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(reply) => Some(reply.response),
                Poll::Pending => None,
            }
        }
    }

    async fn read(mut request: Request) -> Response {
        let _ = request.body().collect(100).await;
        pending().await
    }

    #[test]
    fn rfc9110_15_6_4_a_handler_that_takes_too_long_is_dropped() {
        let mut exchange = Exchange::new(|_| pending::<Response>(), Body::empty());
        assert!(exchange.at(0).is_none() && exchange.at(9).is_none());
        let response = exchange.at(10).unwrap();
        assert_eq!((response.status(), response.closes()), (Status::SERVICE_UNAVAILABLE, false));
    }

    #[test]
    fn rfc9110_15_5_9_a_client_that_takes_too_long_is_told_so() {
        let (sender, body) = Body::channel();
        let mut exchange = Exchange::new(read, body);
        assert!(exchange.at(0).is_none());
        sender.push(b"a part");
        assert!(exchange.at(9).is_none());
        let response = exchange.at(10).unwrap();
        assert_eq!((response.status(), response.closes()), (Status::REQUEST_TIMEOUT, true));
    }

    #[test]
    fn what_came_whole_is_not_the_clients_fault() {
        let (sender, body) = Body::channel();
        let mut exchange = Exchange::new(read, body);
        assert!(exchange.at(0).is_none());
        sender.push(b"all");
        sender.end(Ok(None));
        assert!(exchange.at(9).is_none());
        assert_eq!(exchange.at(10).unwrap().status(), Status::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn an_answer_in_time_is_the_handlers() {
        let answer = async |_: Request| Response::ok("text/plain", "here");
        assert_eq!(Exchange::new(answer, Body::empty()).at(10).unwrap().status(), Status::OK);
    }
}
