//! Services whose hosts DNS knows (RFC 2782): a registry over another, which asks name servers for those whose names are such.
//!
//! It asks by TCP, as every server has to answer (RFC 7766 section 5): over whatever opens connections, and nobody who does not
//! see the question can answer it.

use crate::Platform;
use crate::reason::Reason;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use config::Config;
use core::cell::{Cell, RefCell};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use flow::registry::{Answer, Query, Registry, RegistryError, Service, Way};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use net::service_records::{ServiceRecord, ServiceRecords, answer, order, question};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Servers that are asked, one after another.
const SERVERS_MAX: usize = 3;
/// Names whose hosts are remembered; that is forgotten whose time ends first.
const KNOWN_MAX: usize = 64;
/// Questions at once.
const QUESTIONS_MAX: usize = 16;
/// What is watched is asked for again no earlier than this, and no later than that.
const WATCH_MIN: Duration = Duration::from_secs(1);
const LIVES_MAX: Duration = Duration::from_secs(3600);
/// How much longer what servers said last is used while none answers, and how often they are asked then (RFC 8767 section 5).
const STALE_MAX: Duration = Duration::from_secs(300);
const STALE_PAUSE: Duration = Duration::from_secs(5);
/// The port of DNS.
const PORT: u16 = 53;

/// A registry that asks DNS for services such as `_http._tcp.example.org`, and another one for all others.
pub(crate) struct ByDns<C> {
    base: Rc<dyn Registry>,
    connector: C,
    /// Who is asked, as far as is known at present.
    servers: Box<dyn Fn() -> Vec<IpAddr>>,
    timers: Timers,
    known: RefCell<Vec<Known>>,
    questions: Cell<usize>,
    random: Box<dyn Fn() -> u64>,
}

/// What was answered last for a name.
struct Known {
    name: String,
    records: Vec<ServiceRecord>,
    /// When it is asked for again.
    until: Duration,
    /// When it is of no use any more.
    stale_until: Duration,
}

/// Puts DNS before a registry.
pub(crate) fn over<P: Platform>(
    base: Rc<dyn Registry>,
    platform: &P,
    config: &Config,
    timers: &Timers,
) -> Rc<dyn Registry> {
    let (asking, entropy, configured) =
        (platform.clone(), platform.clone(), config.network.dns.clone());
    Rc::new(ByDns {
        base,
        connector: platform.connector(),
        servers: Box::new(move || match configured.as_slice() {
            [] => asking.name_servers(),
            configured => configured.to_vec(),
        }),
        timers: timers.clone(),
        known: RefCell::default(),
        questions: Cell::new(0),
        random: Box::new(move || {
            let mut bytes = [0; 8];
            entropy.fill_random(&mut bytes);
            u64::from_le_bytes(bytes)
        }),
    })
}

impl<C: Connector> Registry for ByDns<C> {
    fn can_register(&self) -> bool {
        self.base.can_register()
    }

    fn register<'a>(&'a self, service: &'a Service) -> Answer<'a, ()> {
        self.base.register(service)
    }

    fn look_up<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<Service>> {
        if !query.is_of_dns() {
            return self.base.look_up(query);
        }
        Box::pin(async move {
            let (mut records, _) = self.records(query.name.as_str()).await?;
            order(&mut records, &self.random);
            Ok(services(query, &records))
        })
    }

    fn watch<'a>(&'a self, query: &'a Query, known: &'a [Service]) -> Answer<'a, Vec<Service>> {
        if !query.is_of_dns() {
            return self.base.watch(query, known);
        }
        Box::pin(async move {
            loop {
                let (records, until) = self.records(query.name.as_str()).await?;
                let found = services(query, &records);
                // They are in another order each time.
                let is_same = found.len() == known.len()
                    && found.iter().all(|service| known.contains(service));
                if !is_same {
                    return Ok(found);
                }
                self.timers.sleep_until(until.max(self.timers.now() + WATCH_MIN)).await;
            }
        })
    }
}

impl<C: Connector> ByDns<C> {
    /// The records of a name, and until when they hold.
    async fn records(&self, name: &str) -> Result<(Vec<ServiceRecord>, Duration), RegistryError> {
        let known = {
            let known = self.known.borrow();
            let known = known.iter().find(|known| known.name.eq_ignore_ascii_case(name));
            known.map(|known| (known.records.clone(), known.until))
        };
        if let Some(known) = known.filter(|(_, until)| *until > self.timers.now()) {
            return Ok(known);
        }
        match self.ask_all(name).await {
            Ok(ServiceRecords { records, time_to_live }) => {
                let until = self.timers.now() + time_to_live.min(LIVES_MAX);
                let (name, stale_until) = (name.into(), until + STALE_MAX);
                self.keep(Known { name, records: records.clone(), until, stale_until });
                Ok((records, until))
            }
            Err(Reason(reason)) => {
                log::info!("{name}: no answer from DNS: {reason}");
                self.stale(name).ok_or(RegistryError::Unavailable)
            }
        }
    }

    /// What was answered before, for a while.
    fn stale(&self, name: &str) -> Option<(Vec<ServiceRecord>, Duration)> {
        let now = self.timers.now();
        let mut known = self.known.borrow_mut();
        let known = known.iter_mut().find(|known| known.name.eq_ignore_ascii_case(name))?;
        (known.stale_until > now).then(|| {
            known.until = now + STALE_PAUSE;
            (known.records.clone(), known.until)
        })
    }

    fn keep(&self, new: Known) {
        let mut known = self.known.borrow_mut();
        known.retain(|other| !other.name.eq_ignore_ascii_case(&new.name));
        if known.len() == KNOWN_MAX {
            let first = known.iter().enumerate().min_by_key(|(_, other)| other.until);
            let first = first.map_or(0, |(at, _)| at);
            known.swap_remove(first);
        }
        known.push(new);
    }

    /// Asks the servers, until one answers.
    async fn ask_all(&self, name: &str) -> Result<ServiceRecords, Reason> {
        let Some(_asking) = Asking::begin(&self.questions) else {
            return Err(Reason("too many questions at once".into()));
        };
        let mut reasons = Vec::new();
        for server in (self.servers)().into_iter().take(SERVERS_MAX) {
            let deadline = self.timers.now() + PATIENCE;
            let asked = self.timers.before(deadline, self.ask(server, name)).await;
            match asked.unwrap_or_else(|_| Err(Reason("no answer in time".into()))) {
                Ok(records) => return Ok(records),
                Err(Reason(reason)) => reasons.push(format!("{server}: {reason}")),
            }
        }
        let none = || "no server is known".to_string();
        Err(Reason(if reasons.is_empty() { none() } else { reasons.join("; ") }))
    }

    /// Asks one server (RFC 7766 section 8: each message with its length before it).
    async fn ask(&self, server: IpAddr, name: &str) -> Result<ServiceRecords, Reason> {
        let id = (self.random)() as u16;
        let asked = question(id, name).ok_or_else(|| Reason("DNS has no such names".into()))?;
        let target = Target::Address(SocketAddr::new(server, PORT));
        let mut flow = self.connector.connect(&target).await?;
        let length = (asked.len() as u16).to_be_bytes();
        flow.write_all(&[&length[..], &asked].concat()).await?;
        let mut length = [0; 2];
        read_exact(&mut flow, &mut length).await?;
        let mut message = alloc::vec![0; usize::from(u16::from_be_bytes(length))];
        read_exact(&mut flow, &mut message).await?;
        flow.finish();
        Ok(answer(&message, id, name)?)
    }
}

/// One of the questions at a time.
struct Asking<'a>(&'a Cell<usize>);

impl<'a> Asking<'a> {
    fn begin(questions: &'a Cell<usize>) -> Option<Self> {
        let count = questions.get();
        (count < QUESTIONS_MAX).then(|| {
            questions.set(count + 1);
            Self(questions)
        })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn read_exact(flow: &mut impl Flow, bytes: &mut [u8]) -> Result<(), Reason> {
    let mut read = 0;
    while read < bytes.len() {
        match flow.read(&mut bytes[read..]).await {
            Ok(0) => return Err(Reason("it ended before its answer did".into())),
            Ok(count) => read += count,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The services that records tell of, as far as they are meant, in the order of the records. Each is known by its host and port;
/// what does not fit into a name is left out.
fn services(query: &Query, records: &[ServiceRecord]) -> Vec<Service> {
    let protocol = query.name.as_str().trim_start_matches('_').split('.').next();
    let mut services = Vec::<Service>::new();
    for record in records {
        let host = format!("{}_{}", record.target, record.port).parse();
        let (Ok(host), Ok(protocol)) = (host, protocol.unwrap_or_default().parse()) else {
            log::warn!("{}: the name of host {} is too long", query.name, record.target);
            continue;
        };
        let way = Way::anywhere(Target::Name(record.target.clone(), record.port));
        let mut service = Service::new(query.name.clone(), host, protocol, Vec::from([way]));
        // One of weight zero has a small chance beside others, and all of it alone.
        service.weight = record.weight.max(1);
        service.priority = record.priority;
        let is_new = services.iter().all(|other| other.host != service.host);
        if is_new && query.matches(&service) {
            services.push(service);
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::{Context, Poll, Waker};
    use flow::Listener;
    use flow::memory::MemoryNetwork;
    use flow::registry::StaticRegistry;
    use flow::task::Executor;
    use std::pin::Pin;

    const NAME: &str = "_http._tcp.example.org";

    /// What a server says of each question: the whole of its answer, made of the question.
    type Answers = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    type Says = Rc<RefCell<Answers>>;

    struct Lab {
        executor: Executor,
        timers: Timers,
        network: MemoryNetwork,
        asked: Rc<Cell<usize>>,
    }

    impl Lab {
        fn new() -> Self {
            let executor = Executor::new(|body| {
                body();
                Ok::<(), String>(())
            });
            let (timers, network) = (Timers::new(), MemoryNetwork::new(700, 64));
            Self { executor, timers, network, asked: Rc::default() }
        }

        fn registry(&self, servers: &[&str]) -> Rc<ByDns<MemoryNetwork>> {
            let servers: Vec<IpAddr> = servers.iter().map(|text| text.parse().unwrap()).collect();
            let random = Cell::new(0);
            Rc::new(ByDns {
                base: Rc::new(StaticRegistry::parse(b"web alpha http a:80").unwrap()),
                connector: self.network.clone(),
                servers: Box::new(move || servers.clone()),
                timers: self.timers.clone(),
                known: RefCell::default(),
                questions: Cell::new(0),
                random: Box::new(move || {
                    random.set(random.get() + 1);
                    random.get()
                }),
            })
        }

        /// A server at that address, which says what it is told to.
        fn serve(&self, address: &str, says: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Says {
            let target = format!("{address}:53").parse().unwrap();
            let mut listener = self.network.listen(&target).unwrap();
            let says: Says = Rc::new(RefCell::new(Box::new(says)));
            let (saying, asked) = (says.clone(), self.asked.clone());
            let spawner = self.executor.spawner();
            self.executor.spawner().spawn("dns", async move {
                while let Ok(mut flow) = listener.accept().await {
                    let (saying, asked) = (saying.clone(), asked.clone());
                    spawner.spawn("dns answer", async move {
                        let mut length = [0; 2];
                        read_exact(&mut flow, &mut length).await.ok().unwrap();
                        let mut question = alloc::vec![0; usize::from(u16::from_be_bytes(length))];
                        read_exact(&mut flow, &mut question).await.ok().unwrap();
                        asked.set(asked.get() + 1);
                        let answer = (saying.borrow())(&question);
                        let _ = flow.write_all(&answer).await;
                        flow.finish();
                        let _ = flow.drained().await;
                    });
                }
            });
            says
        }

        fn look_up(
            &self,
            registry: &Rc<ByDns<MemoryNetwork>>,
        ) -> Result<Vec<String>, RegistryError> {
            self.ask(registry, NAME)
        }

        fn ask(
            &self,
            registry: &Rc<ByDns<MemoryNetwork>>,
            name: &str,
        ) -> Result<Vec<String>, RegistryError> {
            let (registry, query) = (registry.clone(), name.parse().unwrap());
            let asking = async move { registry.look_up(&query).await };
            let asking = self.executor.spawner().spawn_joinable("asking", asking);
            self.run();
            for _ in 0..20 {
                self.advance(1);
            }
            let found = flow::task::block_on(asking).unwrap()?;
            Ok(found.iter().map(|it| format!("{} {}", it.host, it.description())).collect())
        }

        fn run(&self) {
            self.executor.run_until_stalled();
        }

        fn advance(&self, seconds: u64) {
            self.timers.advance(self.timers.now() + Duration::from_secs(seconds));
            self.run();
        }
    }

    /// The answer with these hosts, each of a priority, a weight, a port and a name, which hold for so many seconds.
    fn answer_of(
        seconds: u32,
        hosts: &'static [(u16, u16, u16, &'static str)],
    ) -> impl Fn(&[u8]) -> Vec<u8> {
        move |question| {
            let mut message = question.to_vec();
            message[2] |= 0x80;
            message[7] = hosts.len() as u8;
            for (priority, weight, port, host) in hosts {
                let mut data: Vec<u8> =
                    [priority, weight, port].into_iter().flat_map(|it| it.to_be_bytes()).collect();
                for label in host.split('.') {
                    data.push(label.len() as u8);
                    data.extend(label.as_bytes());
                }
                data.push(0);
                message.extend([0xc0, 12, 0, 33, 0, 1]);
                message.extend(seconds.to_be_bytes());
                message.extend((data.len() as u16).to_be_bytes());
                message.extend(data);
            }
            with_length(&message)
        }
    }

    fn with_length(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    const HOSTS: &[(u16, u16, u16, &str)] =
        &[(2, 1, 80, "c.example.org"), (1, 0, 8080, "a.example.org")];

    #[test]
    fn rfc2782_hosts_are_services_by_priority_with_their_weights() {
        let lab = Lab::new();
        lab.serve("10.0.0.53", answer_of(60, HOSTS));
        let registry = lab.registry(&["10.0.0.53"]);
        let expected = [
            "a.example.org_8080 http a.example.org:8080 priority=1",
            "c.example.org_80 http c.example.org:80 priority=2",
        ];
        assert_eq!(lab.look_up(&registry).unwrap(), expected);
        let one = format!("{NAME}@c.example.org_80");
        assert_eq!(lab.ask(&registry, &one).unwrap(), expected[1..]);
        // All other names are as before.
        assert_eq!(lab.ask(&registry, "web").unwrap(), ["alpha http a:80"]);
        assert_eq!(lab.asked.get(), 1);
    }

    #[test]
    fn what_was_answered_is_used_for_its_time_to_live_and_no_longer() {
        let lab = Lab::new();
        let says = lab.serve("10.0.0.53", answer_of(60, HOSTS));
        let registry = lab.registry(&["10.0.0.53"]);
        lab.look_up(&registry).unwrap();
        *says.borrow_mut() = Box::new(answer_of(0, &HOSTS[..1]));
        assert_eq!((lab.look_up(&registry).unwrap().len(), lab.asked.get()), (2, 1));
        lab.advance(20);
        assert_eq!((lab.look_up(&registry).unwrap().len(), lab.asked.get()), (1, 2));
        // A time of zero is for this once.
        assert_eq!((lab.look_up(&registry).unwrap().len(), lab.asked.get()), (1, 3));
    }

    #[test]
    fn a_server_that_lies_or_is_silent_is_not_believed_and_the_next_one_is_asked() {
        let lies: [Answers; 6] = [
            Box::new(|_| Vec::new()),
            Box::new(|_| Vec::from([0, 200, 1])),
            Box::new(|question| with_length(&question[..5])),
            // Another number, another name, and its own question.
            Box::new(|question| {
                let mut answer = answer_of(60, &[(0, 0, 666, "evil.example.org")])(question);
                answer[3] ^= 1;
                answer
            }),
            Box::new(|question| {
                let mut answer = answer_of(60, &[(0, 0, 666, "evil.example.org")])(question);
                answer[2 + 12 + 1] ^= 1;
                answer
            }),
            Box::new(with_length),
        ];
        for lie in lies {
            let lab = Lab::new();
            lab.serve("10.0.0.52", lie);
            lab.serve("10.0.0.53", answer_of(60, HOSTS));
            let registry = lab.registry(&["10.0.0.50", "10.0.0.52", "10.0.0.53"]);
            assert_eq!(lab.look_up(&registry).unwrap().len(), 2);
        }
        let lab = Lab::new();
        let _silent = lab.network.listen(&"10.0.0.52:53".parse().unwrap()).unwrap();
        lab.serve("10.0.0.53", answer_of(60, HOSTS));
        assert_eq!(lab.look_up(&lab.registry(&["10.0.0.52", "10.0.0.53"])).unwrap().len(), 2);
        let nobody = lab.registry(&["10.0.0.52"]);
        assert_eq!(lab.look_up(&nobody), Err(RegistryError::Unavailable));
        assert_eq!(lab.look_up(&lab.registry(&[])), Err(RegistryError::Unavailable));
        assert_eq!(nobody.questions.get(), 0);
    }

    #[test]
    fn rfc8767_what_was_known_is_used_for_a_while_when_no_server_answers() {
        let lab = Lab::new();
        let says = lab.serve("10.0.0.53", answer_of(1, HOSTS));
        let registry = lab.registry(&["10.0.0.53"]);
        lab.look_up(&registry).unwrap();
        *says.borrow_mut() = Box::new(|_| Vec::new());
        assert_eq!(lab.look_up(&registry).unwrap().len(), 2);
        lab.advance(270);
        assert_eq!(lab.look_up(&registry), Err(RegistryError::Unavailable));
    }

    #[test]
    fn who_watches_is_told_when_the_time_is_over_and_something_changed() {
        let lab = Lab::new();
        let says = lab.serve("10.0.0.53", answer_of(60, HOSTS));
        let registry = lab.registry(&["10.0.0.53"]);
        let query: Query = NAME.parse().unwrap();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut poll = |watching: &mut Pin<Box<dyn Future<Output = _> + '_>>| {
            for _ in 0..4 {
                let polled = watching.as_mut().poll(cx);
                if polled.is_ready() {
                    return polled;
                }
                lab.run();
            }
            Poll::Pending
        };
        let mut watching = registry.watch(&query, &[]);
        let Poll::Ready(Ok(found)) = poll(&mut watching) else { panic!("it is not told") };
        let known: Vec<_> = found.into_iter().rev().collect();
        let mut watching = registry.watch(&query, &known);
        assert!(poll(&mut watching).is_pending());
        *says.borrow_mut() = Box::new(answer_of(60, &HOSTS[..1]));
        lab.advance(59);
        assert!(poll(&mut watching).is_pending());
        lab.advance(1);
        let Poll::Ready(Ok(found)) = poll(&mut watching) else { panic!("it is not told") };
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn names_that_are_known_are_bounded() {
        let lab = Lab::new();
        let registry = lab.registry(&[]);
        for number in 0..100 {
            let until = Duration::from_secs(number);
            let (name, records) = (format!("_n{number}._tcp.a"), Vec::new());
            registry.keep(Known { name, records, until, stale_until: until });
        }
        let known = registry.known.borrow();
        assert_eq!(known.len(), 64);
        assert!(known.iter().all(|known| known.until.as_secs() >= 36));
    }
}
