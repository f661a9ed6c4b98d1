//! Copies: what one reader has of all servers, merged.

use crate::directory::text_bytes;
use crate::{Changes, LEASE_MAX, Offered};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use flow::registry::{Label, Query, Service};

/// Most services that a reader takes of one server, and most bytes of their text.
const SERVICES_MAX: usize = 4096;
const BYTES_MAX: usize = 1 << 20;

/// What a reader has of all servers.
///
/// A service is there as long as one of them tells of it, and no longer than the longest of the leases that they told of. If they
/// tell different things of it, that of the latest lease is taken, which is what its holder said last.
#[derive(Debug)]
pub struct Copies {
    servers: Vec<ServerCopy>,
}

/// What one server told.
#[derive(Debug, Default)]
struct ServerCopy {
    /// By the connection that there is.
    told: BTreeMap<u64, Copy>,
    /// By earlier ones: it stays until its lease ends, as the server may have been started anew, and know less.
    left: BTreeMap<(Label, Label), Copy>,
    /// Of the text of both.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Copy {
    service: Service,
    bytes: usize,
    /// When its lease ends; none if it has. The server may have renewed it meanwhile: what is told of that is on its way.
    until: Option<Duration>,
}

/// What came of what a server told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Something else is offered now than before.
    pub is_news: bool,
    /// Services that were left out, since there are more of them, or longer ones, than a reader takes of one server.
    pub left_out: usize,
}

impl Copies {
    /// None, of so many servers.
    pub fn new(servers: usize) -> Self {
        Self { servers: (0..servers).map(|_| ServerCopy::default()).collect() }
    }

    /// There is a new connection with a server. What it told before stays until its leases end.
    pub fn connected(&mut self, server: usize) {
        let server = &mut self.servers[server];
        for copy in core::mem::take(&mut server.told).into_values() {
            let key = (copy.service.name.clone(), copy.service.host.clone());
            let given_up = match copy.until {
                Some(_) => server.left.insert(key, copy),
                None => Some(copy),
            };
            server.forget(given_up.as_ref());
        }
    }

    /// Takes what a server tells.
    pub fn take(&mut self, now: Duration, server: usize, changes: Changes) -> Taken {
        let server = &mut self.servers[server];
        let (mut is_news, mut left_out) = (false, 0);
        if changes.is_all {
            let is_kept = |id| changes.offered.iter().any(|offered| offered.id == id);
            let gone: Vec<_> = server.told.keys().copied().filter(|id| !is_kept(*id)).collect();
            gone.iter().for_each(|id| is_news |= server.drop_told(*id));
        }
        for id in changes.dropped {
            is_news |= server.drop_told(id);
        }
        for offered in changes.offered {
            is_news = true;
            left_out += usize::from(!server.put(now, offered));
        }
        for (id, left) in changes.renewed {
            // It may be one that was left out.
            let Some(copy) = server.told.get_mut(&id) else { continue };
            is_news |= copy.until.is_none();
            copy.until = until(now, left);
        }
        Taken { is_news, left_out }
    }

    /// The services that are meant, in the order of their hosts.
    pub fn find(&self, now: Duration, query: &Query) -> Vec<Service> {
        let all = self.servers.iter().flat_map(ServerCopy::all);
        let mut found = BTreeMap::<&Label, &Copy>::new();
        for copy in all.filter(|copy| copy.until > Some(now) && query.matches(&copy.service)) {
            let best = found.entry(&copy.service.host).or_insert(copy);
            if copy.until > best.until {
                *best = copy;
            }
        }
        found.into_values().map(|copy| copy.service.clone()).collect()
    }

    /// When the next lease ends.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.servers.iter().flat_map(ServerCopy::all).filter_map(|copy| copy.until).min()
    }

    /// Ends leases whose time has come; says whether there were such.
    pub fn handle_timeout(&mut self, now: Duration) -> bool {
        let mut has_ended = false;
        for ServerCopy { told, left, bytes } in &mut self.servers {
            for copy in told.values_mut().filter(|copy| copy.until.is_some_and(|at| at <= now)) {
                copy.until = None;
                has_ended = true;
            }
            left.retain(|_, copy| {
                let goes_on = copy.until > Some(now);
                if !goes_on {
                    has_ended = true;
                    *bytes -= copy.bytes;
                }
                goes_on
            });
        }
        has_ended
    }
}

impl ServerCopy {
    fn all(&self) -> impl Iterator<Item = &Copy> {
        self.told.values().chain(self.left.values())
    }

    /// Says whether there was room for it.
    fn put(&mut self, now: Duration, offered: Offered) -> bool {
        let Offered { id, service, left } = offered;
        // What the server tells now stands in place of what it told by an earlier connection.
        let before = self.left.remove(&(service.name.clone(), service.host.clone()));
        self.forget(before.as_ref());
        self.drop_told(id);
        let bytes = text_bytes(&service);
        let services = self.told.len() + self.left.len();
        if services >= SERVICES_MAX || self.bytes + bytes > BYTES_MAX {
            return false;
        }
        self.bytes += bytes;
        self.told.insert(id, Copy { service, bytes, until: until(now, left) });
        true
    }

    /// Says whether it was there.
    fn drop_told(&mut self, id: u64) -> bool {
        let copy = self.told.remove(&id);
        self.forget(copy.as_ref())
    }

    /// Gives back the weight of a copy that was taken out; says whether there was one.
    fn forget(&mut self, copy: Option<&Copy>) -> bool {
        self.bytes -= copy.map_or(0, |copy| copy.bytes);
        copy.is_some()
    }
}

/// No server makes a reader keep what is gone for longer than any lease.
fn until(now: Duration, left: Duration) -> Option<Duration> {
    Some(now + left.min(LEASE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, Holder, Limits};
    use alloc::format;
    use alloc::string::{String, ToString};

    const LEASE: Duration = Duration::from_secs(10);
    const NEWS: Taken = Taken { is_news: true, left_out: 0 };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn service(host: &str, description: &str) -> Service {
        Service::described("web".parse().unwrap(), host.parse().unwrap(), description).unwrap()
    }

    fn found(copies: &Copies, now: Duration) -> Vec<String> {
        let services = copies.find(now, &"web".parse().unwrap());
        services.iter().map(|it| format!("{} {}", it.host, it.description())).collect()
    }

    fn directory(services: &[(&str, &str)]) -> Directory {
        let mut directory = Directory::new(Limits::default());
        for (host, description) in services {
            let holder = Holder::new(host);
            directory.register(at(0), &holder, service(host, description), LEASE).unwrap();
        }
        directory
    }

    #[test]
    fn a_service_is_there_as_long_as_one_server_tells_of_it() {
        let mut copies = Copies::new(2);
        let both = directory(&[("alpha", "http a:80"), ("beta", "http b:80")]);
        let mut one = directory(&[("alpha", "http a:80")]);
        assert_eq!(copies.take(at(0), 0, both.changes(at(0), None)), NEWS);
        let told = one.changes(at(0), None);
        assert_eq!(copies.take(at(0), 1, told.clone()), NEWS);
        assert_eq!(found(&copies, at(0)), ["alpha http a:80", "beta http b:80"]);
        one.register(at(6), &Holder::new("alpha"), service("alpha", "http a:80"), LEASE).unwrap();
        let renewed = one.changes(at(6), Some(told.cursor));
        assert_eq!(copies.take(at(6), 1, renewed), Taken::default());
        assert_eq!(found(&copies, at(9)).len(), 2);
        // The first server tells nothing any more.
        assert_eq!(found(&copies, at(10)), ["alpha http a:80"]);
        assert_eq!(copies.next_deadline(), Some(at(10)));
        assert!(copies.handle_timeout(at(10)) && !copies.handle_timeout(at(15)));
        assert!(copies.handle_timeout(at(16)));
        assert_eq!(copies.next_deadline(), None);
    }

    #[test]
    fn a_renewal_that_comes_after_the_lease_is_not_too_late() {
        let mut copies = Copies::new(1);
        let mut one = directory(&[("alpha", "http a:80")]);
        let told = one.changes(at(0), None);
        copies.take(at(0), 0, told.clone());
        assert!(copies.handle_timeout(at(10)) && found(&copies, at(10)).is_empty());
        assert_eq!(copies.next_deadline(), None);
        one.register(at(9), &Holder::new("alpha"), service("alpha", "http a:80"), LEASE).unwrap();
        let renewed = one.changes(at(9), Some(told.cursor));
        assert_eq!(copies.take(at(11), 0, renewed), NEWS);
        assert_eq!(found(&copies, at(12)), ["alpha http a:80"]);
        // What a new connection finds is what was there, and not what had ended.
        assert!(copies.handle_timeout(at(21)));
        copies.connected(0);
        assert_eq!((copies.servers[0].told.len(), copies.servers[0].left.len()), (0, 0));
    }

    #[test]
    fn what_the_holder_said_last_is_taken() {
        let mut copies = Copies::new(2);
        let old = directory(&[("alpha", "http a:80")]);
        let mut new = Directory::new(Limits::default());
        let moved = service("alpha", "http a:81");
        new.register(at(1), &Holder::new("alpha"), moved, LEASE).unwrap();
        for order in [[0, 1], [1, 0]] {
            copies.take(at(1), order[0], old.changes(at(1), None));
            copies.take(at(1), order[1], new.changes(at(1), None));
            assert_eq!(found(&copies, at(1)), ["alpha http a:81"]);
        }
    }

    #[test]
    fn a_server_that_was_started_anew_takes_nothing_away_before_the_lease_ends() {
        let mut copies = Copies::new(1);
        copies.take(at(0), 0, directory(&[("alpha", "http a:80")]).changes(at(0), None));
        copies.connected(0);
        let mut anew = Directory::new(Limits::default());
        let empty = anew.changes(at(5), None);
        assert_eq!(copies.take(at(5), 0, empty.clone()), Taken::default());
        assert_eq!(found(&copies, at(9)), ["alpha http a:80"]);
        assert!(found(&copies, at(10)).is_empty());
        // Its holder registers again: the numbers are those of the new server.
        let moved = service("alpha", "http a:81");
        anew.register(at(6), &Holder::new("alpha"), moved, LEASE).unwrap();
        let told = anew.changes(at(6), Some(empty.cursor));
        assert_eq!(copies.take(at(6), 0, told.clone()), NEWS);
        assert_eq!(found(&copies, at(15)), ["alpha http a:81"]);
        let (name, host) = ("web".parse().unwrap(), "alpha".parse().unwrap());
        anew.withdraw(at(7), &Holder::new("alpha"), &name, &host);
        assert_eq!(copies.take(at(7), 0, anew.changes(at(7), Some(told.cursor))), NEWS);
        assert!(found(&copies, at(7)).is_empty());
    }

    #[test]
    fn a_server_that_tells_all_again_takes_away_what_is_gone() {
        let mut copies = Copies::new(1);
        let both = directory(&[("alpha", "http a:80"), ("beta", "http b:80")]);
        copies.take(at(0), 0, both.changes(at(0), None));
        let mut all = both.changes(at(1), None);
        all.offered.retain(|offered| offered.service.host.to_string() == "beta");
        assert_eq!(copies.take(at(1), 0, all), NEWS);
        assert_eq!(found(&copies, at(1)), ["beta http b:80"]);
    }

    #[test]
    fn what_a_server_tells_is_bounded_and_what_is_beyond_is_left_out() {
        let mut copies = Copies::new(1);
        let empty = Directory::new(Limits::default()).changes(at(0), None);
        let renewed = Changes { renewed: Vec::from([(7, LEASE)]), ..empty.clone() };
        assert_eq!(copies.take(at(0), 0, renewed), Taken::default());
        let offer = |id: usize, left| {
            let service = service(&format!("h{id}"), "http a:80");
            Offered { id: id as u64, service, left }
        };
        let some = |empty: &Changes, offered| Changes { is_all: false, offered, ..empty.clone() };
        let most = (0..4096).map(|id| offer(id, LEASE)).collect();
        assert_eq!(copies.take(at(0), 0, some(&empty, most)), NEWS);
        assert_eq!(copies.take(at(0), 0, some(&empty, Vec::from([offer(1, LEASE)]))), NEWS);
        let more = Vec::from([offer(4096, LEASE), offer(2, LEASE)]);
        let taken = copies.take(at(0), 0, some(&empty, more));
        assert_eq!(taken, Taken { is_news: true, left_out: 1 });
        assert_eq!(copies.servers[0].told.len(), 4096);
        let bytes: usize = copies.servers[0].told.values().map(|copy| copy.bytes).sum();
        assert_eq!(copies.servers[0].bytes, bytes);
        // All are gone, by whichever way.
        let gone = Changes { is_all: false, dropped: (0..2000).collect(), ..empty.clone() };
        copies.take(at(0), 0, gone);
        copies.connected(0);
        copies.handle_timeout(at(10));
        assert_eq!((copies.servers[0].bytes, copies.next_deadline()), (0, None));
        let long = alloc::format!("http {}:80", "x".repeat(250));
        let longer = |id| Offered { id, service: service(&format!("h{id}"), &long), left: LEASE };
        let long = Changes { offered: (0..4000).map(longer).collect(), ..empty.clone() };
        assert!(copies.take(at(0), 0, long).left_out > 0);
        let held = copies.servers[0].bytes;
        assert!((1_040_000..=1_048_576).contains(&held), "{held} bytes");
        let mut copies = Copies::new(1);
        let forever = Changes { offered: Vec::from([offer(0, Duration::MAX)]), ..empty };
        assert_eq!(copies.take(at(0), 0, forever), NEWS);
        assert_eq!(copies.next_deadline(), Some(Duration::from_secs(300)));
    }
}
