//! Rate limit: how many requests each client may send.

use crate::{Answer, Layer, Request, Response, Status, layer::Inner};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use flow::time::Timers;
use flow::{Address, VsockAddress};

/// Longest key that a request may choose, in bytes.
pub const KEY_BYTES_MAX: usize = 128;

/// Bounds the requests of each client by a token bucket: so many at once, and then as many over each period. What is
/// more is answered 429, with the time after which there is a token again (RFC 6585 section 4).
///
/// Clients are told apart by their IP addresses, those of IPv6 by the first 64 bits, which is what one of them has to
/// itself (RFC 6177), and where there are none by their machine or user; or by a [key](Self::by) of the request. Behind a proxy, all clients have the proxy's address.
///
/// Of clients that came lately [`clients_max`](Self::with_clients_max) are remembered; when more come in one period than that, those
/// that have not come for the longest time begin with a full bucket again.
pub struct RateLimit {
    timers: Timers,
    pace: Pace,
    clients_max: usize,
    key: Box<KeyOf>,
    clients: RefCell<Clients>,
}

type KeyOf = dyn Fn(&Request) -> Option<Vec<u8>>;

/// A token bucket, as the time at which it is full again (the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy)]
struct Pace {
    /// In which a token comes.
    interval: Duration,
    /// In which an empty bucket becomes full.
    period: Duration,
}

/// When each client's bucket is full, in two generations: a client who has not come in a whole generation is
/// forgotten with it. Generations last a period, after which every bucket is full, or until they are full.
#[derive(Default)]
struct Clients {
    young: BTreeMap<Vec<u8>, Duration>,
    old: BTreeMap<Vec<u8>, Duration>,
    young_since: Duration,
}

impl RateLimit {
    /// `requests` at once, and as many over each `period`.
    ///
    /// # Panics
    /// When either is zero.
    pub fn new(timers: &Timers, requests: u32, period: Duration) -> Self {
        assert!(requests > 0 && !period.is_zero(), "a rate limit lets something through");
        Self {
            timers: timers.clone(),
            pace: Pace { interval: period / requests, period },
            clients_max: 10_000,
            key: Box::new(address),
            clients: RefCell::default(),
        }
    }

    /// Tells clients apart by what the closure makes of their requests, of at most [`KEY_BYTES_MAX`] bytes; a request with
    /// a longer one is answered 400. A request without a key is not limited.
    #[must_use]
    pub fn by(mut self, key: impl Fn(&Request) -> Option<Vec<u8>> + 'static) -> Self {
        self.key = Box::new(key);
        self
    }

    /// Remembers so many clients, at least two. Default 10,000, which take some 100 bytes each.
    #[must_use]
    pub fn with_clients_max(mut self, clients_max: usize) -> Self {
        self.clients_max = clients_max;
        self
    }

    /// Takes a token of the client that sends this request, for what is not a layer's to decide.
    ///
    /// # Errors
    /// What the client is answered with, since it has none: 429, or 400.
    pub fn admit(&self, request: &Request) -> Result<(), Response> {
        let Some(key) = (self.key)(request) else { return Ok(()) };
        if key.len() > KEY_BYTES_MAX {
            return Err(Response::plain(Status::BAD_REQUEST));
        }
        self.take(key).map_err(refusal)
    }

    /// Takes a token of the client's.
    ///
    /// # Errors
    /// There is none; when there will be one.
    fn take(&self, key: Vec<u8>) -> Result<(), Duration> {
        let now = self.timers.now();
        let clients = &mut *self.clients.borrow_mut();
        if now.saturating_sub(clients.young_since) >= self.pace.period
            || clients.young.len() >= self.clients_max / 2
        {
            clients.old = core::mem::take(&mut clients.young);
            clients.young_since = now;
        }
        let known = clients.young.get(&key).or_else(|| clients.old.get(&key));
        let full_at = self.pace.take(now, known.copied())?;
        clients.young.insert(key, full_at);
        Ok(())
    }
}

impl Pace {
    /// Takes a token of a bucket that is full at a time, or since always; when it is full then.
    ///
    /// # Errors
    /// There is none; in what time there will be one.
    fn take(&self, now: Duration, full_at: Option<Duration>) -> Result<Duration, Duration> {
        let full_at = full_at.unwrap_or(now).max(now) + self.interval;
        let missing = full_at.saturating_sub(now + self.period);
        if missing.is_zero() { Ok(full_at) } else { Err(missing) }
    }
}

impl Layer for RateLimit {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        match self.admit(&request) {
            Ok(()) => inner.answer(request).map(|mut reply| {
                // What is repeated without a question is not counted.
                reply.response.forbid_repeating();
                reply
            }),
            Err(refusal) => Answer::Now(refusal.into()),
        }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pace { interval, period } = self.pace;
        write!(f, "RateLimit(one in {interval:?}, those of {period:?} at once)")
    }
}

fn refusal(wait: Duration) -> Response {
    // RFC 9110 section 10.2.3: whole seconds, and not too few.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Response::plain(Status::TOO_MANY_REQUESTS)
        .with_header("Retry-After", alloc::format!("{seconds}"))
}

fn address(request: &Request) -> Option<Vec<u8>> {
    client_key(request.peer())
}

/// Who is one client: by an address of IPv4, by the first half of one of IPv6, by a machine, or by a user of this one.
pub(super) fn client_key(peer: Address) -> Option<Vec<u8>> {
    // The letters keep numbers of machines and users apart from addresses.
    let numbered = |kind: u8, number: u32| [&[kind][..], &number.to_be_bytes()].concat();
    Some(match peer {
        Address::Vsock(VsockAddress { cid, .. }) => numbered(b'v', cid),
        Address::Unix { user } => numbered(b'u', user),
        peer => match peer.ip()?.to_canonical() {
            IpAddr::V4(own) => own.octets().to_vec(),
            IpAddr::V6(own) => own.octets().into_iter().take(8).collect(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use crate::{Body, Handler, layer::Layered};
    use flow::task::block_on;

    const SECOND: Duration = Duration::from_secs(1);

    struct World {
        timers: Timers,
        handler: Layered<RateLimit>,
    }

    impl World {
        /// Three at once, and three in a minute.
        fn new(adapt: impl FnOnce(RateLimit) -> RateLimit) -> Self {
            async fn page(_: Request) -> Response {
                Response::ok("text/plain", "here")
            }
            let timers = Timers::new();
            let limit = adapt(RateLimit::new(&timers, 3, 60 * SECOND));
            Self { timers, handler: page.layer(limit) }
        }

        /// The time to wait, if it is refused.
        fn ask(&self, peer: &str, query: &str) -> Option<u64> {
            let head = parsed("GET", &alloc::format!("/?{query}"), &[]);
            let peer = Address::Ip((peer.parse::<IpAddr>().unwrap(), 1000).into());
            let request = Request::new(head, Body::empty(), peer);
            let response = block_on(self.handler.answer(request).into_future()).response;
            let wait = core::str::from_utf8(response.header("retry-after")?).unwrap();
            assert_eq!(response.status(), Status::TOO_MANY_REQUESTS);
            Some(wait.parse().unwrap())
        }

        fn at(&self, seconds: u32) {
            self.timers.advance(seconds * SECOND);
        }
    }

    #[test]
    fn a_user_and_a_machine_are_each_one_client_and_not_the_same() {
        let ask = |peer| address(&Request::new(parsed("GET", "/", &[]), Body::empty(), peer));
        let machine = |cid, port| Address::Vsock(VsockAddress { cid, port });
        let user = |user| Address::Unix { user };
        assert_eq!(ask(machine(2, 1)), ask(machine(2, 7)));
        let all = [ask(machine(2, 1)), ask(machine(3, 1)), ask(user(2)), ask(user(3))];
        assert!(all.iter().all(Option::is_some));
        for (place, one) in all.iter().enumerate() {
            assert!(!all[place + 1..].contains(one), "{one:?}");
        }
    }

    #[test]
    fn rfc6585_4_more_than_the_bucket_holds_is_refused() {
        let world = World::new(|limit| limit);
        for _ in 0..3 {
            assert_eq!(world.ask("10.0.0.1", ""), None);
        }
        assert_eq!(world.ask("10.0.0.1", ""), Some(20));
        assert_eq!(world.ask("10.0.0.2", ""), None, "another has a bucket of his own");
        world.timers.advance(SECOND / 2);
        // RFC 9110 section 10.2.3: in 19.5 seconds, so that 19 were too early.
        assert_eq!(world.ask("10.0.0.1", ""), Some(20));
        world.at(20);
        // What was refused took no token.
        assert_eq!(world.ask("10.0.0.1", ""), None);
        assert_eq!(world.ask("10.0.0.1", ""), Some(20));
        world.at(79);
        assert_eq!([(); 3].map(|()| world.ask("10.0.0.1", "")), [None, None, Some(1)]);
        world.at(1000);
        // However long: no more than the bucket holds.
        let asked = [(); 4].map(|()| world.ask("10.0.0.1", ""));
        assert_eq!(asked, [None, None, None, Some(20)]);
    }

    #[test]
    fn answers_are_not_repeated_uncounted() {
        async fn page(_: Request) -> Response {
            Response::ok("text/plain", "here").repeatable()
        }
        let limited = page.layer(RateLimit::new(&Timers::new(), 1, SECOND));
        let peer = Address::Ip(([10, 0, 0, 1], 1000).into());
        let request = Request::new(parsed("GET", "/", &[]), Body::empty(), peer);
        assert!(!block_on(limited.answer(request).into_future()).response.is_repeatable());
    }

    #[test]
    fn rfc6177_an_ipv6_client_is_its_network() {
        let world = World::new(|limit| limit);
        for host in ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::"] {
            assert_eq!(world.ask(host, ""), None);
        }
        assert_eq!(world.ask("2001:db8:1:2::9", ""), Some(20));
        assert_eq!(world.ask("2001:db8:1:3::9", ""), None);
        // One client, however its address is written.
        for host in ["::ffff:10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"] {
            assert_eq!(world.ask(host, ""), None);
        }
        assert_eq!(world.ask("10.0.0.1", ""), Some(20));
    }

    #[test]
    fn memory_is_bounded_and_who_comes_often_is_remembered() {
        let world = World::new(|limit| limit.with_clients_max(64));
        for _ in 0..3 {
            world.ask("10.0.0.1", "");
        }
        let mut most = 0;
        for count in 0..10_000_u32 {
            let host = alloc::format!("11.0.{}.{}", count / 256, count % 256);
            assert_eq!(world.ask(&host, ""), None);
            let clients = world.handler.layer.clients.borrow();
            most = most.max(clients.young.len() + clients.old.len());
        }
        assert_eq!(most, 64);
        // A flood of addresses displaces who does not come meanwhile.
        assert_eq!(world.ask("10.0.0.1", ""), None);
    }

    #[test]
    fn a_generation_does_not_forget_who_has_an_empty_bucket() {
        let world = World::new(|limit| limit);
        world.at(59);
        for _ in 0..3 {
            assert_eq!(world.ask("10.0.0.1", ""), None);
        }
        world.at(60);
        assert_eq!(world.ask("10.0.0.1", ""), Some(19));
        world.at(78);
        assert_eq!(world.ask("10.0.0.1", ""), Some(1));
    }

    #[test]
    fn keys_are_chosen_and_bounded() {
        let key = |request: &Request| request.query().map(<[u8]>::to_vec).filter(|q| !q.is_empty());
        let world = World::new(|limit| limit.by(key));
        for host in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            assert_eq!(world.ask(host, "a"), None);
        }
        assert_eq!((world.ask("10.0.0.4", "a"), world.ask("10.0.0.4", "b")), (Some(20), None));
        assert!((0..9).all(|_| world.ask("10.0.0.1", "").is_none()), "without a key: no limit");
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let head = parsed("GET", &alloc::format!("/?{long}"), &[]);
        let request = Request::new(head, Body::empty(), Address::Memory(0));
        let response = block_on(world.handler.answer(request).into_future()).response;
        assert_eq!(response.status(), Status::BAD_REQUEST);
    }
}
