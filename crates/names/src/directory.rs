//! Directory: what one server keeps, and what changed in it.

use crate::{LEASE_MAX, LEASE_MIN};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use flow::registry::{Label, Service};

/// Services that are gone are told of one by one as long as there were not more of them; then readers get all anew.
const DROPPED_MAX: usize = 1024;

/// What a directory may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Services at once.
    pub services_max: usize,
    /// Services at once of one holder.
    pub holder_services_max: usize,
    /// Bytes of the text of all services.
    pub bytes_max: usize,
    /// Bytes of the text of one service.
    pub service_bytes_max: usize,
}

impl Default for Limits {
    /// 1,000 services, 100 of a holder, of 1 KiB each and 256 KiB together.
    fn default() -> Self {
        Self {
            services_max: 1000,
            holder_services_max: 100,
            bytes_max: 256 << 10,
            service_bytes_max: 1 << 10,
        }
    }
}

/// Who registers, as the server knows it: what others cannot claim to be. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder(Rc<str>);

impl Holder {
    /// A holder that the server knows by this.
    pub fn new(known_by: &str) -> Self {
        Self(known_by.into())
    }
}

/// Why a service is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another holder has that name on that host, and its lease has not ended.
    Taken,
    /// The holder has as many services as one may have.
    HolderFull,
    /// The directory has as many services, or bytes of them, as it may have.
    Full,
    /// The text of the service is longer than one may be.
    TooLong,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "another holder has that name on that host",
            Self::HolderFull => "this holder has as many services as one may have",
            Self::Full => "the directory is full",
            Self::TooLong => "the service has too many or too long ways",
        })
    }
}

impl core::error::Error for Refused {}

/// What one server keeps.
#[derive(Debug)]
pub struct Directory {
    limits: Limits,
    entries: BTreeMap<(Label, Label), Entry>,
    bytes: usize,
    /// Counts what happens; each change and each renewal has a number of its own.
    happened: u64,
    next_id: u64,
    /// Services that are gone: when, and which.
    dropped: VecDeque<(u64, u64)>,
    /// Of what happened until then, `dropped` does not have all.
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    holder: Holder,
    service: Service,
    bytes: usize,
    until: Duration,
    changed: u64,
    renewed: u64,
}

/// What a reader has been told of: a number of the directory's own. By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

/// What happened since a reader was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// What the reader has been told of then.
    pub cursor: Cursor,
    /// These are all services that there are: others are gone.
    pub is_all: bool,
    /// Services that are new, or changed.
    pub offered: Vec<Offered>,
    /// Services that were renewed, and how much of their leases is left.
    pub renewed: Vec<(u64, Duration)>,
    /// Services that are gone.
    pub dropped: Vec<u64>,
}

/// A service, as a reader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its number in the directory, as long as that exists.
    pub id: u64,
    /// What is offered.
    pub service: Service,
    /// How much of its lease is left.
    pub left: Duration,
}

impl Directory {
    /// Nothing is offered.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            bytes: 0,
            happened: 0,
            next_id: 0,
            dropped: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Keeps a service for the time of a lease, or longer if it is there already; says for how long, which is the nearest that is
    /// allowed ([`LEASE_MIN`], [`LEASE_MAX`]).
    ///
    /// # Errors
    /// See [`Refused`]. What the holder had registered before stays as it was.
    pub fn register(
        &mut self,
        now: Duration,
        holder: &Holder,
        service: Service,
        lease: Duration,
    ) -> Result<Duration, Refused> {
        self.handle_timeout(now);
        let key = (service.name.clone(), service.host.clone());
        let bytes = text_bytes(&service);
        self.check(&key, holder, bytes)?;
        let lease = lease.clamp(LEASE_MIN, LEASE_MAX);
        self.happened += 1;
        let happened = self.happened;
        if let Some(entry) = self.entries.get_mut(&key) {
            self.bytes = self.bytes - entry.bytes + bytes;
            if entry.service != service {
                entry.changed = happened;
            }
            entry.renewed = happened;
            (entry.holder, entry.service, entry.bytes) = (holder.clone(), service, bytes);
            entry.until = now + lease;
            return Ok(lease);
        }
        let (id, holder, until) = (self.next_id, holder.clone(), now + lease);
        self.next_id += 1;
        self.bytes += bytes;
        let (changed, renewed) = (happened, happened);
        let entry = Entry { id, holder, service, bytes, until, changed, renewed };
        self.entries.insert(key, entry);
        Ok(lease)
    }

    /// Keeps a service no longer, if this holder has registered it.
    pub fn withdraw(&mut self, now: Duration, holder: &Holder, name: &Label, host: &Label) {
        self.handle_timeout(now);
        let key = (name.clone(), host.clone());
        if self.entries.get(&key).is_some_and(|entry| entry.holder == *holder) {
            self.drop_entry(&key);
        }
    }

    /// What happened since a reader was told last; without a cursor, all that there is.
    pub fn changes(&self, now: Duration, since: Option<Cursor>) -> Changes {
        let cursor = Cursor(self.happened);
        let since = since.filter(|since| since.0 >= self.forgotten && since.0 <= self.happened);
        let is_all = since.is_none();
        let (mut offered, mut renewed) = (Vec::new(), Vec::new());
        for entry in self.entries.values() {
            let left = entry.until.saturating_sub(now);
            if since.is_none_or(|since| entry.changed > since.0) {
                offered.push(Offered { id: entry.id, service: entry.service.clone(), left });
            } else if since.is_some_and(|since| entry.renewed > since.0) {
                renewed.push((entry.id, left));
            }
        }
        let dropped = self.dropped.iter();
        let dropped = dropped.filter(|(at, _)| since.is_some_and(|since| *at > since.0));
        let dropped = dropped.map(|(_, id)| *id).collect();
        Changes { cursor, is_all, offered, renewed, dropped }
    }

    /// Whether something was offered or is gone since a reader was told last: what it is told at once.
    pub fn has_news(&self, since: Cursor) -> bool {
        let is_dropped = self.dropped.back().is_some_and(|(at, _)| *at > since.0);
        let is_forgotten = since.0 < self.forgotten;
        is_dropped || is_forgotten || self.entries.values().any(|entry| entry.changed > since.0)
    }

    /// Whether anything happened, renewals among it: what it is told now and then.
    pub fn has_happened(&self, since: Cursor) -> bool {
        self.happened > since.0
    }

    /// When the next lease ends.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.entries.values().map(|entry| entry.until).min()
    }

    /// Drops services whose leases have ended.
    pub fn handle_timeout(&mut self, now: Duration) {
        let over = self.entries.iter().filter(|(_, entry)| entry.until <= now);
        let over: Vec<_> = over.map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| self.drop_entry(key));
    }

    /// Services that it has.
    pub fn services(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of their text.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn check(&self, key: &(Label, Label), holder: &Holder, bytes: usize) -> Result<(), Refused> {
        let Limits { services_max, holder_services_max, bytes_max, service_bytes_max } =
            self.limits;
        let known = self.entries.get(key);
        if known.is_some_and(|entry| entry.holder != *holder) {
            return Err(Refused::Taken);
        }
        if bytes > service_bytes_max {
            return Err(Refused::TooLong);
        }
        let bytes_after = self.bytes - known.map_or(0, |entry| entry.bytes) + bytes;
        if bytes_after > bytes_max || known.is_none() && self.entries.len() >= services_max {
            return Err(Refused::Full);
        }
        let own = self.entries.values().filter(|entry| entry.holder == *holder).count();
        if known.is_none() && own >= holder_services_max {
            return Err(Refused::HolderFull);
        }
        Ok(())
    }

    fn drop_entry(&mut self, key: &(Label, Label)) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.bytes -= entry.bytes;
        self.happened += 1;
        if self.dropped.len() == DROPPED_MAX
            && let Some((at, _)) = self.dropped.pop_front()
        {
            self.forgotten = at;
        }
        self.dropped.push_back((self.happened, entry.id));
    }
}

/// Bytes of all that is said of a service.
pub(crate) fn text_bytes(service: &Service) -> usize {
    let names = service.name.as_str().len() + service.host.as_str().len();
    names + service.description().to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const LEASE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn service(name: &str, description: &str) -> Service {
        let (name, host) = (name.parse().unwrap(), "alpha".parse().unwrap());
        Service::described(name, host, description).unwrap()
    }

    fn web() -> Service {
        service("web", "http a:80")
    }

    #[test]
    fn what_is_not_renewed_is_gone_when_its_lease_ends() {
        let (mut directory, holder) = (Directory::new(Limits::default()), Holder::new("a"));
        assert_eq!(directory.register(at(0), &holder, web(), LEASE), Ok(LEASE));
        directory.register(at(4), &holder, web(), LEASE).unwrap();
        assert_eq!(directory.next_deadline(), Some(at(14)));
        directory.handle_timeout(at(14) - Duration::from_nanos(1));
        assert_eq!(directory.services(), 1);
        directory.handle_timeout(at(14));
        assert_eq!((directory.services(), directory.bytes()), (0, 0));
        assert_eq!(directory.next_deadline(), None);
    }

    #[test]
    fn leases_are_neither_shorter_nor_longer_than_allowed() {
        let (mut directory, holder) = (Directory::new(Limits::default()), Holder::new("a"));
        for (asked, given) in
            [(Duration::ZERO, LEASE_MIN), (Duration::MAX, LEASE_MAX), (LEASE, LEASE)]
        {
            assert_eq!(directory.register(at(0), &holder, web(), asked), Ok(given));
        }
    }

    #[test]
    fn readers_are_told_what_changed_since() {
        let (mut directory, holder) = (Directory::new(Limits::default()), Holder::new("a"));
        directory.register(at(0), &holder, web(), LEASE).unwrap();
        let all = directory.changes(at(3), None);
        assert!(all.is_all && all.dropped.is_empty() && all.renewed.is_empty());
        assert_eq!(all.offered, [Offered { id: 0, service: web(), left: at(7) }]);
        assert!(!directory.has_happened(all.cursor) && !directory.has_news(all.cursor));
        directory.register(at(4), &holder, web(), LEASE).unwrap();
        assert!(directory.has_happened(all.cursor) && !directory.has_news(all.cursor));
        let renewed = directory.changes(at(5), Some(all.cursor));
        assert_eq!((renewed.is_all, renewed.renewed.as_slice()), (false, &[(0, at(9))][..]));
        let drains = service("web", "http a:80 drains");
        directory.register(at(5), &holder, drains.clone(), LEASE).unwrap();
        assert!(directory.has_news(renewed.cursor));
        let changed = directory.changes(at(5), Some(renewed.cursor));
        assert_eq!(changed.offered, [Offered { id: 0, service: drains, left: LEASE }]);
        let (name, host) = (web().name, web().host);
        directory.withdraw(at(6), &Holder::new("b"), &name, &host);
        assert!(!directory.has_news(changed.cursor));
        directory.withdraw(at(6), &holder, &name, &host);
        assert!(directory.has_news(changed.cursor));
        let gone = directory.changes(at(6), Some(changed.cursor));
        assert_eq!((gone.dropped.as_slice(), gone.offered.len()), (&[0][..], 0));
        // One that comes again is another.
        directory.register(at(7), &holder, web(), LEASE).unwrap();
        assert_eq!(directory.changes(at(7), Some(gone.cursor)).offered[0].id, 1);
    }

    #[test]
    fn a_name_is_its_holders_until_the_lease_ends() {
        let mut directory = Directory::new(Limits::default());
        let (one, other) = (Holder::new("a"), Holder::new("b"));
        directory.register(at(0), &one, web(), LEASE).unwrap();
        let taken = directory.register(at(9), &other, web(), LEASE);
        assert_eq!(taken, Err(Refused::Taken));
        assert_eq!(directory.register(at(10), &other, web(), LEASE), Ok(LEASE));
        assert_eq!(directory.register(at(10), &one, web(), LEASE), Err(Refused::Taken));
    }

    #[test]
    fn services_and_their_bytes_are_bounded_and_what_is_refused_changes_nothing() {
        let bytes = text_bytes(&service("s0", "http a:80"));
        let limits = Limits {
            services_max: 3,
            holder_services_max: 2,
            bytes_max: 3 * bytes,
            service_bytes_max: bytes,
        };
        let mut directory = Directory::new(limits);
        let mut register = |holder: &str, name: &str, description: &str| {
            directory.register(at(0), &Holder::new(holder), service(name, description), LEASE)
        };
        assert_eq!(register("a", "s0", "http a:801"), Err(Refused::TooLong));
        assert!(
            register("a", "s0", "http a:80").is_ok() && register("a", "s1", "http a:80").is_ok()
        );
        assert_eq!(register("a", "s2", "http a:80"), Err(Refused::HolderFull));
        // What it has, it may change.
        assert!(register("a", "s0", "http b:80").is_ok());
        assert!(register("b", "s2", "http a:80").is_ok());
        assert_eq!(register("b", "s3", "http a:80"), Err(Refused::Full));
        assert_eq!((directory.services(), directory.bytes()), (3, 3 * bytes));
        let mut short = Directory::new(Limits { bytes_max: bytes, ..Limits::default() });
        let holder = Holder::new("a");
        short.register(at(0), &holder, service("s0", "http a:80"), LEASE).unwrap();
        let more = short.register(at(0), &holder, service("s1", "h a:1"), LEASE);
        assert_eq!((more, short.services()), (Err(Refused::Full), 1));
    }

    #[test]
    fn a_reader_that_missed_too_much_gets_all() {
        let (mut directory, holder) = (Directory::new(Limits::default()), Holder::new("a"));
        let first = directory.changes(at(0), None).cursor;
        for number in 0..=DROPPED_MAX {
            let one = service(&format!("s{number}"), "http a:80");
            directory.register(at(0), &holder, one.clone(), LEASE).unwrap();
            directory.withdraw(at(0), &holder, &one.name, &one.host);
        }
        directory.register(at(0), &holder, web(), LEASE).unwrap();
        let told = directory.changes(at(0), Some(first));
        assert!(directory.has_news(first) && told.is_all);
        assert_eq!((told.offered.len(), told.dropped.len()), (1, 0));
        // A cursor of another directory may be ahead of this one.
        assert!(Directory::new(Limits::default()).changes(at(0), Some(told.cursor)).is_all);
    }
}
