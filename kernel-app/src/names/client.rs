//! Client of a name server: registers what this appliance offers, and takes what the server tells, over connections that are
//! made again when they break.

use super::SharedNames;
use super::wire::{milliseconds, read_changes, write_service};
use crate::Platform;
use crate::appliance_capnp::{directory, names};
use crate::context::Context;
use crate::reason::Reason;
use ::names::{Changes, LEASE_MIN, Renewals};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use endpoints::rpc::SturdyRef;
use flow::Target;
use flow::registry::{HostId, Label, Service};

/// Before it is connected again: often, since holders and readers that miss a server only for a moment lose nothing.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The pause after connections that a server, or what it said, ended soon: each time twice as long, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted so long was of use.
const OF_USE: Duration = Duration::from_secs(10);
/// How long a connection, and an answer to a registration, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a name server is called among the services of its vat.
const SERVICE: &str = "names";
/// What the log was told of a server that answers.
const CONNECTED: &str = "connected";

/// Where a name server is. As text a reference, `capnp://...`, or a target at which a vat is in the clear.
pub(super) enum ServerPlace {
    /// At a vat with a key, or one whose services are had by their names.
    Reference(SturdyRef),
    /// At a vat in the clear, by its directory.
    Target(Target),
    /// In this appliance.
    Own(names::Client),
}

impl ServerPlace {
    /// What may stand there.
    pub(super) const EXPECTED: &str = "each a reference, as `capnp://sha-256:FINGERPRINT@HOST:PORT`, `capability:NAME` of a name in [capabilities], HOST:PORT, unix:PATH or shm:PATH";
}

/// The text is no [`ServerPlace`].
pub(super) struct BadServerPlace;

impl FromStr for ServerPlace {
    type Err = BadServerPlace;

    fn from_str(text: &str) -> Result<Self, BadServerPlace> {
        if text.starts_with("capnp://") {
            return text.parse().map(Self::Reference).map_err(|_| BadServerPlace);
        }
        match text.parse() {
            // Who knows where names are known is not found by name.
            Ok(Target::Service(_)) | Err(_) => Err(BadServerPlace),
            Ok(target) => Ok(Self::Target(target)),
        }
    }
}

/// Without the token of a reference.
impl fmt::Display for ServerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => {
                SturdyRef { service: Vec::new(), ..reference.clone() }.fmt(f)
            }
            Self::Target(target) => target.fmt(f),
            Self::Own(_) => f.write_str("this appliance"),
        }
    }
}

/// What is done with one server.
pub(super) struct Client<P: Platform> {
    context: Context<P>,
    names: Rc<SharedNames>,
    /// Its place among the servers.
    at: usize,
    place: ServerPlace,
    lease: Duration,
    /// What the log was told last of the connection, of what the server refused, and of what is wrong with what it tells.
    said: RefCell<String>,
    refusal: RefCell<String>,
    fault: RefCell<String>,
    /// Names of services that somebody else registers, too, of which the log was told.
    namesakes: RefCell<Vec<Label>>,
    /// What was registered by this connection, as others reach it: what is told of it then is not what was there before.
    registered: RefCell<Vec<Service>>,
}

impl<P: Platform> Client<P> {
    pub(super) fn new(
        context: &Context<P>,
        names: &Rc<SharedNames>,
        at: usize,
        place: ServerPlace,
        lease: Duration,
    ) -> Self {
        let (context, names) = (context.clone(), names.clone());
        Self {
            context,
            names,
            at,
            place,
            lease,
            said: RefCell::default(),
            refusal: RefCell::default(),
            fault: RefCell::default(),
            namesakes: RefCell::default(),
            registered: RefCell::default(),
        }
    }

    /// Connects, again and again.
    pub(super) async fn run(&self) {
        let timers = &self.context.timers;
        let mut pause = PAUSE_MIN;
        loop {
            let Err(Reason(reason)) = match self.in_time(self.connect()).await {
                Ok(server) => {
                    let since = timers.now();
                    let ended = self.stay(server).await;
                    pause = pause_after(pause, timers.now().saturating_sub(since));
                    ended
                }
                Err(lost) => {
                    pause = PAUSE_MIN;
                    Err(lost)
                }
            };
            if is_news(&self.said, &reason) {
                log::warn!("names at {}: {reason}", self.place);
            }
            timers.sleep(pause).await;
        }
    }

    /// Reads and registers by one connection, as long as there is one.
    async fn stay(&self, server: names::Client) -> Result<Infallible, Reason> {
        self.names.connected(self.at);
        self.registered.take();
        match select(self.read(&server), self.hold(&server)).await {
            Either::First(ended) | Either::Second(ended) => ended,
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Reason>>) -> Result<T, Reason> {
        let timers = &self.context.timers;
        let outcome = timers.before(timers.now() + PATIENCE, work).await;
        outcome.unwrap_or_else(|_| Err(Reason("no answer".into())))
    }

    async fn connect(&self) -> Result<names::Client, Reason> {
        let vat = self.context.vat()?;
        let connector = self.context.direct_connector();
        let directory: directory::Client = match &self.place {
            ServerPlace::Own(server) => return Ok(server.clone()),
            ServerPlace::Target(target) => vat.rpc.apart().connect(&connector, target).await?,
            ServerPlace::Reference(reference) => {
                let secure = vat.secure(&self.context)?;
                if !reference.service.is_empty() {
                    return Ok(secure.restore(&connector, reference).await?);
                }
                secure.restore(&connector, reference).await?
            }
        };
        let mut request = directory.get_request();
        request.get().set_name(SERVICE);
        let answer = request.send().promise.await?;
        Ok(answer.get()?.get_service().get_as_capability()?)
    }

    /// Takes what the server tells.
    async fn read(&self, server: &names::Client) -> Result<Infallible, Reason> {
        let answer =
            self.in_time(async { Ok(server.watch_request().send().promise.await?) }).await?;
        let watch = answer.get()?.get_watch()?;
        loop {
            let answer = watch.next_request().send().promise.await?;
            let (changes, fault) = read_changes(answer.get()?)?;
            self.look_for_namesakes(&changes);
            let left_out = self.names.take(self.at, changes);
            let too_many = (left_out > 0)
                .then(|| format!("{left_out} services are left out: they are too many"));
            if let Some(fault) = fault.or(too_many)
                && is_news(&self.fault, &fault)
            {
                log::warn!("names at {}: {fault}", self.place);
            }
            if is_news(&self.said, CONNECTED) {
                log::info!("names at {}: known", self.place);
            }
        }
    }

    /// Registers what this appliance offers, and renews it.
    async fn hold(&self, server: &names::Client) -> Result<Infallible, Reason> {
        let timers = &self.context.timers;
        let mut renewals = Renewals::new();
        renewals.begin(timers.now());
        loop {
            let (own, mut changes) = self.names.own();
            let services: Vec<_> = own.into_iter().filter_map(|it| self.reachable(it)).collect();
            if renewals.is_due(timers.now()) {
                // Also when there is nothing to register: who does not answer is gone.
                let lease = self.in_time(self.register(server, &services)).await?;
                renewals.granted(timers.now(), lease.max(LEASE_MIN));
            }
            let due = renewals.next_deadline().unwrap_or_default();
            if timers.before(due, changes.changed()).await.is_ok() {
                renewals.begin(timers.now());
            }
        }
    }

    /// Says which lease the server gives.
    async fn register(
        &self,
        server: &names::Client,
        services: &[Service],
    ) -> Result<Duration, Reason> {
        let mut request = server.register_request();
        request.get().set_lease_milliseconds(milliseconds(self.lease));
        let mut to = request.get().init_services(services.len() as u32);
        (0..).zip(services).for_each(|(at, service)| write_service(to.reborrow().get(at), service));
        let answer = request.send().promise.await?;
        let answer = answer.get()?;
        let mut registered = Vec::new();
        for (service, refusal) in services.iter().zip(answer.get_refusals()?) {
            // What is wrong with what is said of one says nothing of the others.
            let refusal = refusal.ok().and_then(|text| text.to_str().ok()).unwrap_or("no reason");
            if refusal.is_empty() {
                registered.push(service.clone());
                continue;
            }
            let text = format!("{} is not registered: {refusal}", service.name);
            if is_news(&self.refusal, &text) {
                log::warn!("names at {}: {text}", self.place);
            }
        }
        self.registered.replace(registered);
        Ok(Duration::from_millis(answer.get_lease_milliseconds().into()))
    }

    /// Says so if somebody else registers what this appliance has registered: both think that they are that host.
    fn look_for_namesakes(&self, changes: &Changes) {
        let (own, mut told) = (self.registered.borrow(), self.namesakes.borrow_mut());
        for other in changes.offered.iter().map(|offered| &offered.service) {
            let is_namesake = |own: &Service| {
                own.name == other.name && own.host == other.host && own.ways != other.ways
            };
            let Service { name, host, ways, .. } = other;
            if own.iter().any(is_namesake) && !told.contains(name) {
                let at = ways.first().map(ToString::to_string).unwrap_or_default();
                log::warn!(
                    "names at {}: another one registers {name}@{host}, at {at}: each needs a hostname of its own",
                    self.place
                );
                told.push(name.clone());
            }
        }
    }

    /// The service as others reach it; none that they do not.
    fn reachable(&self, mut service: Service) -> Option<Service> {
        let platform = &self.context.platform;
        let address = self.context.config.names.address.or_else(|| platform.own_address());
        give_address(&mut service, address);
        keep_loopback_here(&mut service, platform.host_ids().abstract_names);
        (!service.ways.is_empty()).then_some(service)
    }
}

/// How long to wait after a connection that lasted so long, and the pause before.
fn pause_after(pause: Duration, lasted: Duration) -> Duration {
    if lasted >= OF_USE { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) }
}

/// Whether the log has not been told this last.
fn is_news(said: &RefCell<String>, text: &str) -> bool {
    let is_news = *said.borrow() != text;
    if is_news {
        said.replace(text.to_string());
    }
    is_news
}

/// Ways by this machine's own ports are at its address; there are none without.
fn give_address(service: &mut Service, address: Option<IpAddr>) {
    match address {
        Some(address) => service.own_ports().for_each(|port| port.set_ip(address)),
        None => {
            let is_own = |target: &Target| matches!(target, Target::Address(address) if address.ip().is_unspecified());
            service.ways.retain(|way| !is_own(&way.target));
        }
    }
}

/// A loopback address leads here from this network namespace alone, which is known by the same number as abstract names are
/// (network_namespaces(7)); where there is none, nobody else comes by it.
fn keep_loopback_here(service: &mut Service, host: Option<HostId>) {
    let is_loopback = |target: &Target| match target {
        Target::Address(address) => address.ip().to_canonical().is_loopback(),
        Target::Name(name, _) => name.eq_ignore_ascii_case("localhost"),
        _ => false,
    };
    service.ways.retain_mut(|way| {
        if way.host.is_none() && is_loopback(&way.target) {
            way.host = host;
            return host.is_some();
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_by_loopback_are_for_this_network_namespace_alone() {
        let given = |host: Option<HostId>| {
            let (name, own) = ("web".parse().unwrap(), "alpha".parse().unwrap());
            let text = "http 127.0.0.1:80 [::1]:80 localhost:80 10.0.0.2:80 unix:/run/a";
            let mut service = Service::described(name, own, text).unwrap();
            keep_loopback_here(&mut service, host);
            service.description().to_string()
        };
        let id = "00000000000000000000000000000007";
        assert_eq!(
            given(Some(HostId(7))),
            format!(
                "http {id}!127.0.0.1:80 {id}![::1]:80 {id}!localhost:80 10.0.0.2:80 unix:/run/a"
            )
        );
        assert_eq!(given(None), "http 10.0.0.2:80 unix:/run/a");
    }

    #[test]
    fn who_is_sent_away_at_once_comes_back_later_each_time() {
        let short = Duration::from_millis(3);
        let pauses = [0; 8].iter().scan(PAUSE_MIN, |pause, _| {
            *pause = pause_after(*pause, short);
            Some(pause.as_secs())
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause_after(PAUSE_MAX, OF_USE), PAUSE_MIN);
    }

    #[test]
    fn ports_are_at_the_address_that_others_reach() {
        let given = |text: &str, address: Option<&str>| {
            let (name, host) = ("web".parse().unwrap(), "alpha".parse().unwrap());
            let mut service = Service::described(name, host, text).unwrap();
            give_address(&mut service, address.map(|text| text.parse().unwrap()));
            service.description().to_string()
        };
        let text = "http unix:/run/a 0.0.0.0:80 10.0.0.9:80";
        assert_eq!(given(text, Some("10.0.0.2")), "http unix:/run/a 10.0.0.2:80 10.0.0.9:80");
        assert_eq!(given(text, Some("fd00::2")), "http unix:/run/a [fd00::2]:80 10.0.0.9:80");
        assert_eq!(given(text, None), "http unix:/run/a 10.0.0.9:80");
    }

    #[test]
    fn a_place_is_a_reference_or_a_target_and_is_shown_without_its_token() {
        let shown = |text: &str| text.parse::<ServerPlace>().ok().map(|place| place.to_string());
        let secret = "capnp://insecure@10.0.0.2:7000/bmFtZXM";
        assert_eq!(shown(secret).as_deref(), Some("capnp://insecure@10.0.0.2:7000"));
        for text in ["10.0.0.2:7000", "unix:/run/rpc.sock", "shm:/run/rpc.shm"] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        for text in ["", "capnp://", "service://names", "http://a:1", "capability:unknown"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
