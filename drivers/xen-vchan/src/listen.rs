//! Listener: where other domains come, by a name to which many may, or at a path of xenstore to which one domain may, one
//! connection after another.

use crate::meeting::{self, Request};
use crate::offer::{self, Error, Offer};
use crate::permission::Permission;
use crate::{VchanFlow, Vchans};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::sync::{Notify, Queue};
use flow::{Address, FlowError, Listener, VchanPlace};
use machine::xen::DomainId;
use xen_store::{Error as StoreError, services};

/// How long a client that asked may take to come, and one that was refused to see it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an offer at a path waits for what is short.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens for other domains.
pub struct VchanListener(Rc<Desk>);

/// The text is no place to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadListenPlace;

impl fmt::Display for BadListenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "under Xen, expected NAME or DOMAIN/PATH, for example http or 0/data/vchan/http, of letters, digits and `-_@`",
        )
    }
}

/// What the listener shares with the tasks that work for it.
struct Desk {
    name: String,
    arrived: Queue<VchanFlow>,
    backlog: usize,
    /// Its clones are those of the connections.
    places: Rc<()>,
    /// Those that are being answered.
    requests: RefCell<BTreeSet<Request>>,
    permission: Permission,
    is_closed: Cell<bool>,
    closed: Notify,
}

impl Vchans {
    /// Listens at a place, with room for `backlog` connections that nobody accepted yet. The place is a name, by which any
    /// domain may come, unless `data/vchan-from/NAME` of this domain's folder lists those who may; or `DOMAIN/PATH`, where that domain may, by a program of libxenvchan's for instance: the path is below
    /// this domain's folder of xenstore.
    ///
    /// # Errors
    /// The text is no such place. What xenstore refuses is told to the log.
    pub fn listen(&self, place: &str, backlog: usize) -> Result<VchanListener, BadListenPlace> {
        // A name is checked as what follows a domain's number is.
        let (text, is_name) = match place.contains('/') {
            true => (place.to_string(), false),
            false => (format!("0/{place}"), true),
        };
        let place: VchanPlace = text.parse().map_err(|_| BadListenPlace)?;
        let desk = Rc::new(Desk {
            name: place.path().to_string(),
            arrived: Queue::default(),
            backlog: backlog.max(1),
            places: Rc::default(),
            requests: RefCell::default(),
            permission: Permission::default(),
            is_closed: Cell::default(),
            closed: Notify::default(),
        });
        let (vchans, behind, domain) = (self.clone(), desk.clone(), place.domain());
        if is_name {
            self.0.spawner.spawn("vchan listener", async move { vchans.attend(behind).await });
        } else {
            self.0.spawner.spawn("vchan listener", async move {
                vchans.offer_at_path(behind, domain).await;
            });
        }
        Ok(VchanListener(desk))
    }

    /// Takes the requests of other domains, until the listener is dropped.
    async fn attend(self, desk: Rc<Desk>) {
        let take_all = async {
            loop {
                match self.take_requests(&desk).await {
                    // xenstore is there again, and its watches tell anew.
                    Ok(()) | Err(StoreError::Disconnected) => {}
                    Err(error) => return error,
                }
            }
        };
        if let Some(error) = desk.while_open(take_all).await {
            log::error!("vchan: nobody reaches {} any more: xenstore: {error}", desk.name);
        }
        let service = format!("data/services/{}", meeting::service(&desk.name));
        // With the connection goes whoever could have seen it.
        let _ = self.0.store.remove(&service).await;
    }

    async fn take_requests(&self, desk: &Rc<Desk>) -> Result<(), StoreError> {
        let mut changes = self.0.store.watch(meeting::DOMAINS).await?;
        let mut own = 0;
        loop {
            let path = changes.changed().await?;
            if path == meeting::DOMAINS {
                // The watch's own event: it is there now, maybe in a domain that was restored.
                // A list that is here at the start is known before it may be lost.
                desk.permission.read(&self.0.store, &desk.name).await?;
                own = self.announce(&desk.name).await?;
            }
            let request = Request::of_node(&path);
            if let Some(request) = request.filter(|it| it.name == desk.name && it.server == own) {
                self.take(desk, request);
            }
        }
    }

    /// Says that somebody listens; to all, by the way in which services are found by name.
    async fn announce(&self, name: &str) -> Result<DomainId, StoreError> {
        let store = &self.0.store;
        let own = store.read_number("domid").await?;
        let host = store.read_text("name").await.unwrap_or_else(|_| format!("domain-{own}"));
        let value = meeting::service_value(own, name);
        services::publish(store, &meeting::service(name), &host, &value).await?;
        DomainId::try_from(own).map_err(|_| StoreError::Malformed)
    }

    /// Starts the task that answers a request, which may be told of several times.
    fn take(&self, desk: &Rc<Desk>, request: Request) {
        let mut requests = desk.requests.borrow_mut();
        // Who asks for more than there can be waits until his time is over; no one domain keeps others from asking.
        let asked_max = 2 * self.connections_max();
        let asked = requests.iter().filter(|other| other.client == request.client).count();
        let has_room = requests.len() < asked_max && asked < asked_max.div_ceil(4);
        if has_room && requests.insert(request.clone()) {
            let (vchans, desk) = (self.clone(), desk.clone());
            self.0.spawner.spawn("vchan request", async move {
                let guard = Answering { desk: desk.clone(), request };
                if let Err(error) = vchans.answer(&desk, &guard.request).await {
                    log::debug!("vchan: domain {}: {error}", guard.request.client);
                }
            });
        }
    }

    async fn answer(&self, desk: &Desk, request: &Request) -> Result<(), Error> {
        let store = &self.0.store;
        match store.read(&request.node()).await {
            // The news was that it is not wanted any more.
            Err(StoreError::NotFound | StoreError::NotPermitted) => return Ok(()),
            found => found?,
        };
        let answer = request.answer();
        let outcome = self.serve(desk, request, &answer).await;
        if let Err(error) = outcome {
            log::warn!(
                "vchan: no connection by {} for domain {}: {error}",
                desk.name,
                request.client
            );
            self.refuse(request, &answer).await?;
        }
        Ok(store.remove(&answer).await?)
    }

    async fn serve(&self, desk: &Desk, request: &Request, answer: &str) -> Result<(), Error> {
        if !desk.permission.includes(&self.0.store, request.client, &desk.name).await? {
            return Err(Error::NotAllowed);
        }
        let has_room = !desk.is_closed.get() && desk.arrived.len() < desk.backlog;
        let place = if has_room { self.take_place(Some(&desk.places)) } else { None };
        let offer = self.offer(request.client, place.ok_or(Error::NoPlace)?)?;
        offer.publish(&self.0.store, request.client, answer).await?;
        let deadline = self.0.timers.now() + PATIENCE;
        let flow = self.0.timers.before(deadline, self.arrival(offer)).await;
        desk.arrived.push(flow.map_err(|_| Error::TimedOut)??);
        Ok(())
    }

    /// Tells the client that there is no connection, and leaves it time to see that.
    async fn refuse(&self, request: &Request, answer: &str) -> Result<(), Error> {
        offer::refuse(&self.0.store, request.client, answer).await?;
        self.0.timers.sleep(PATIENCE).await;
        Ok(())
    }

    /// Offers connections to one domain at one path, each when the one before it has ended, until the listener is dropped.
    async fn offer_at_path(self, desk: Rc<Desk>, domain: DomainId) {
        let offer_all = async {
            loop {
                match self.offer_once(&desk, domain).await {
                    Ok(()) | Err(Error::Gone | Error::Store(StoreError::Disconnected)) => {}
                    Err(Error::Store(error)) => return error,
                    Err(error) => {
                        log::warn!("vchan: nothing is offered at {} for now: {error}", desk.name);
                        self.0.timers.sleep(PAUSE).await;
                    }
                }
            }
        };
        if let Some(error) = desk.while_open(offer_all).await {
            log::error!("vchan: nothing is offered at {} any more: xenstore: {error}", desk.name);
        }
        let _ = offer::withdraw(&self.0.store, &desk.name).await;
    }

    async fn offer_once(&self, desk: &Desk, domain: DomainId) -> Result<(), Error> {
        let place = self.take_place(Some(&desk.places)).ok_or(Error::NoPlace)?;
        let offer: Offer = self.offer(domain, place)?;
        let ended = offer.channel().ended();
        offer.publish(&self.0.store, domain, &desk.name).await?;
        let flow = self.arrival(offer).await?;
        // Nobody else is to join it.
        offer::withdraw(&self.0.store, &desk.name).await?;
        desk.arrived.push(flow);
        ended.notified().await;
        Ok(())
    }
}

impl Desk {
    /// What a future yields, unless the listener is dropped before.
    async fn while_open<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.is_closed.get() || self.closed.poll_notified(cx).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// A request that is being answered, until it is dropped.
struct Answering {
    desk: Rc<Desk>,
    request: Request,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.desk.requests.borrow_mut().remove(&self.request);
    }
}

impl Listener for VchanListener {
    type Flow = VchanFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<VchanFlow, FlowError>> {
        self.0.arrived.poll_pop(cx).map(Ok)
    }

    fn local(&self) -> Address {
        Address::SharedMemory(0)
    }
}

impl Drop for VchanListener {
    fn drop(&mut self) {
        self.0.is_closed.set(true);
        self.0.closed.notify();
    }
}
