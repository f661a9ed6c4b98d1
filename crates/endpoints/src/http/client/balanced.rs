//! Balanced client: requests to a service that has several places.

use super::{Client, ClientError, Produce, Request, Response, Unanswered};
use crate::places::{Lease, PlaceId, Places};
use ::http::Error;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::pin;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use flow::task::waiting;
use flow::{ConnectError, Connector, FlowError};
use web::{ContentWriter, Method, Producing, Status};

/// The longest answer to a probe.
const PROBE_BYTES_MAX: usize = 64 << 10;

/// An HTTP client of one service, each of whose requests goes to one of its [`Places`]. Clones share places and idle
/// connections.
///
/// A place that cannot be reached, breaks off, or answers 502, 503 or 504, has failed. A request that failed is sent to
/// another place, within the places' share of retries, if that can do no harm: if it may be repeated (RFC 9110 section
/// 9.2.2), or if no connection came to be. What the request itself may be to blame for, as a 500, is none of the place's:
/// a client that knows of such a request could take all places out.
pub struct BalancedClient<C: Connector> {
    client: Client<C>,
    places: Places,
}

impl<C: Connector> Clone for BalancedClient<C> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), places: self.places.clone() }
    }
}

/// A request, and what each try of it needs.
#[derive(Clone, Copy)]
struct Tries<'a> {
    request: &'a Request,
    key: Option<u64>,
    produce: Option<&'a ProduceAgain>,
    /// The place of each try.
    tried: &'a RefCell<Vec<PlaceId>>,
}

/// Makes the future that writes a request's body, for each try anew. Nothing of the body may be used up by a try that did not
/// come to a connection.
type ProduceAgain = Rc<dyn Fn(ContentWriter) -> Producing>;

/// What came of one try.
struct Tried<F: flow::Flow + 'static> {
    outcome: Result<Response<F>, ClientError>,
    verdict: Verdict,
}

/// What a try says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The place is well.
    Well,
    /// The place failed, and got nothing of the request.
    Unreached,
    /// The place failed, and may have done what it was asked for.
    Failed,
    /// It is not the place's fault.
    Ours,
}

impl<C: Connector> BalancedClient<C> {
    /// A client of the service that has these places.
    pub fn new(client: Client<C>, places: Places) -> Self {
        Self { client, places }
    }

    /// The places.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Has each place asked for `path`, as often as the places' configuration says: it is well if it answers with a status
    /// from 200 to 399 within `timeout`.
    pub fn probe(&self, path: &str, timeout: Duration)
    where
        C: 'static,
    {
        let (client, path) = (self.client.clone(), String::from(path));
        self.places.probe_with(timeout, move |location| {
            let (client, path) = (client.clone(), path.clone());
            async move {
                let asked = Request::new(Method::Get, &location.target.authority(), &path);
                let Ok(request) = asked else { return false };
                let Ok(mut answer) = client.send_to(&location, request).await else { return false };
                let is_well = (200..400).contains(&answer.status().code());
                // Read to its end, so that the connection can be used again.
                is_well && answer.collect(PROBE_BYTES_MAX).await.is_ok()
            }
        });
    }

    /// GET of a path, at whichever place. `authority` is the `Host`.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn get(
        &self,
        authority: &str,
        path: &str,
    ) -> impl Future<Output = Result<Response<C::Flow>, ClientError>> {
        waiting(async move { self.send(Request::new(Method::Get, authority, path)?, None).await })
    }

    /// Sends a request and waits for the response's head. `key` is a hash of what requests have in common that are to go to
    /// the same place ([`hash_key`](crate::places::hash_key)), for
    /// [`Policy::ConsistentHash`](crate::places::Policy::ConsistentHash).
    ///
    /// # Errors
    /// See [`ClientError`]: of the last place that was tried.
    #[track_caller]
    pub fn send(
        &self,
        request: Request,
        key: Option<u64>,
    ) -> impl Future<Output = Result<Response<C::Flow>, ClientError>> {
        waiting(async move {
            let tried = RefCell::default();
            self.send_tries(Tries { request: &request, key, produce: None, tried: &tried }).await
        })
    }

    /// As [`send`](Self::send), with a body that `produce` writes as the server takes it. It is asked anew for a further try,
    /// which there is only if the one before came to no connection.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn send_stream<P: Future<Output = ()> + 'static>(
        &self,
        request: Request,
        key: Option<u64>,
        produce: impl Fn(ContentWriter) -> P + 'static,
    ) -> impl Future<Output = Result<Response<C::Flow>, ClientError>> {
        waiting(async move {
            let produce = move |writer| -> Producing { Box::pin(produce(writer)) };
            let produce: ProduceAgain = Rc::new(produce);
            let (produce, tried) = (Some(&produce), RefCell::default());
            self.send_tries(Tries { request: &request, key, produce, tried: &tried }).await
        })
    }

    async fn send_tries(&self, tries: Tries<'_>) -> Result<Response<C::Flow>, ClientError> {
        let lease = self.first_lease(tries.key).await?;
        let mut last = self.try_hedged(tries, lease).await;
        while tries.may_go_on(last.verdict)
            && let Some(lease) = self.lease_again(tries)
        {
            last = self.try_at(tries, lease).await;
        }
        last.outcome
    }

    /// A place at which the request was not yet, if it may be tried again.
    fn lease_again(&self, tries: Tries<'_>) -> Option<Lease> {
        self.places.lease_again(tries.key, &tries.tried.borrow())
    }

    /// A place, as soon as it is known which there are.
    async fn first_lease(&self, key: Option<u64>) -> Result<Lease, ClientError> {
        let timers = &self.client.timers;
        let deadline = timers.now() + self.client.config.connect_timeout;
        match timers.before(deadline, self.places.lease(key)).await {
            Ok(lease) => lease.map_err(ClientError::NoPlace),
            Err(_) => Err(ClientError::Connect(ConnectError::TimedOut)),
        }
    }

    /// Tries a place and, if that is slow and it can do no harm, a second one beside it: the first good answer counts, and the
    /// other is given up.
    async fn try_hedged(&self, tries: Tries<'_>, lease: Lease) -> Tried<C::Flow> {
        let after = self.places.hedge_after().filter(|_| tries.may_be_hedged());
        let Some(after) = after else { return self.try_at(tries, lease).await };
        let timers = &self.client.timers;
        let mut first = pin!(self.try_at(tries, lease));
        if let Ok(outcome) = timers.before(timers.now() + after, first.as_mut()).await {
            return outcome;
        }
        let Some(lease) = self.lease_again(tries) else { return first.await };
        let mut second = pin!(self.try_at(tries, lease));
        match select(first.as_mut(), second.as_mut()).await {
            Either::First(outcome) if outcome.verdict != Verdict::Well => second.await,
            Either::Second(outcome) if outcome.verdict != Verdict::Well => first.await,
            Either::First(outcome) | Either::Second(outcome) => outcome,
        }
    }

    async fn try_at(&self, tries: Tries<'_>, mut lease: Lease) -> Tried<C::Flow> {
        tries.tried.borrow_mut().push(lease.id());
        let mut outcome = self.send_to(tries, &lease).await;
        let verdict = verdict(&outcome);
        match (&mut outcome, verdict) {
            (Ok(response), Verdict::Well) => {
                lease.answered();
                response.hold(lease);
            }
            (_, Verdict::Well | Verdict::Ours) => drop(lease),
            (outcome, Verdict::Unreached | Verdict::Failed) => {
                let (name, target) = (self.places.name(), lease.target());
                match outcome {
                    Ok(response) => {
                        log::info!("{name}: {target}: status {}", response.status().code());
                    }
                    Err(error) => log::info!("{name}: {target}: {error}"),
                }
                lease.failed();
            }
        }
        Tried { outcome, verdict }
    }

    /// Sends the request to a place. An idle connection that broke before the answer is a try like any other, since the place
    /// may have done what it was asked for, but not yet its failure: what may be repeated is, over a new connection.
    async fn send_to(
        &self,
        tries: Tries<'_>,
        lease: &Lease,
    ) -> Result<Response<C::Flow>, ClientError> {
        let (location, request) = (lease.location(), tries.request.clone());
        let produce = tries.produce.cloned();
        let produce = produce.map(|produce| -> Produce { Box::new(move |writer| produce(writer)) });
        let sent = self.client.send_once(location, request, produce).await;
        let Err(Unanswered { is_stale: true, .. }) = &sent else {
            return sent.map_err(Unanswered::into);
        };
        if !tries.request.is_repeatable() || !self.places.may_repeat(&tries.tried.borrow()) {
            return sent.map_err(Unanswered::into);
        }
        tries.tried.borrow_mut().push(lease.id());
        self.client.send_anew(location, tries.request.clone()).await
    }
}

impl Tries<'_> {
    /// Whether a further try can do no harm.
    fn may_go_on(self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Unreached => true,
            Verdict::Failed => self.request.is_repeatable(),
            Verdict::Well | Verdict::Ours => false,
        }
    }

    fn may_be_hedged(self) -> bool {
        self.request.is_repeatable() && !self.request.is_upgrading()
    }
}

fn verdict<F: flow::Flow + 'static>(outcome: &Result<Response<F>, ClientError>) -> Verdict {
    let error = match outcome {
        Ok(response) if is_gateways_failure(response.status()) => return Verdict::Failed,
        Ok(_) => return Verdict::Well,
        Err(error) => error,
    };
    match error {
        ClientError::Connect(
            ConnectError::Exhausted | ConnectError::Unsupported | ConnectError::NotAllowed,
        ) => Verdict::Ours,
        ClientError::Connect(_) => Verdict::Unreached,
        // What cannot be sent, or was not written by who should.
        ClientError::Protocol(Error::Host | Error::Target)
        | ClientError::Flow(FlowError::Closed)
        | ClientError::StreamLength
        | ClientError::TooLong
        | ClientError::NoPlace(_) => Verdict::Ours,
        ClientError::Protocol(_) | ClientError::Flow(_) => Verdict::Failed,
    }
}

/// Whether somebody says that he cannot serve now (RFC 9110 sections 15.6.3 to 15.6.5).
fn is_gateways_failure(status: Status) -> bool {
    [Status::BAD_GATEWAY, Status::SERVICE_UNAVAILABLE, Status::GATEWAY_TIMEOUT].contains(&status)
}
