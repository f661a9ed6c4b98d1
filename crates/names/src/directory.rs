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
    /// Services at once of one holder, or, of those without a key, from one place.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// None of those without a key, who are one holder together.
    key: Option<Rc<str>>,
    /// Whose share of what the server has room for it is.
    share: Rc<str>,
}

impl Holder {
    /// A holder that the server knows by this.
    pub fn new(known_by: &str) -> Self {
        let known_by: Rc<str> = known_by.into();
        Self { key: Some(known_by.clone()), share: known_by }
    }

    /// A holder without a key, that comes from there: all such are one, so that what has moved finds its name again, but each
    /// place has a share of its own.
    pub fn without_key(from: &str) -> Self {
        Self { key: None, share: from.into() }
    }

    /// Whether it is known by a key.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// By what its share of what there is room for is counted.
    pub fn share(&self) -> &str {
        &self.share
    }

    fn is_same(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// By its key, or from where it comes.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.share)
    }
}

/// Why a service is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another holder has that name on that host, and its lease has not ended.
    Taken,
    /// A holder with a key had it, and may come back.
    Kept,
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
            Self::Kept => {
                "that name on that host is kept for a holder whose lease ended in the last five minutes"
            }
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
    /// Names of holders with a key whose leases have ended: who may have them again, and until when nobody else.
    kept: BTreeMap<(Label, Label), (Holder, Duration)>,
    contested: VecDeque<Contested>,
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
    /// What it was before, with other ways, and who said so.
    before: Option<(Service, Holder)>,
    /// It was told already that two register it.
    is_contested: bool,
}

/// Two register the same name on the same host by turns, as if they were one: the readers have now the one, now the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// The service's name.
    pub name: Label,
    /// The host that both say they are.
    pub host: Label,
    /// Who registered it now, and who before. They come from one place if both are the same.
    pub holders: [Holder; 2],
}

/// How long a name is kept for a holder with a key after its lease has ended.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Contested names that nobody has asked for yet.
const CONTESTED_MAX: usize = 16;

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
            kept: BTreeMap::new(),
            contested: VecDeque::new(),
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
            if let Some(contested) = entry.contest(&service, holder)
                && self.contested.len() < CONTESTED_MAX
            {
                self.contested.push_back(contested);
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
        let (before, is_contested) = (None, false);
        let entry =
            Entry { id, holder, service, bytes, until, changed, renewed, before, is_contested };
        self.kept.remove(&key);
        self.entries.insert(key, entry);
        Ok(lease)
    }

    /// Keeps a service no longer, if this holder has registered it.
    pub fn withdraw(&mut self, now: Duration, holder: &Holder, name: &Label, host: &Label) {
        self.handle_timeout(now);
        let key = (name.clone(), host.clone());
        if self.entries.get(&key).is_some_and(|entry| entry.holder.is_same(holder)) {
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
        self.kept.retain(|_, (_, until)| *until > now);
        for key in over {
            if let Some(entry) = self.drop_entry(&key)
                && entry.holder.has_key()
                && self.kept.len() < self.limits.services_max
            {
                self.kept.insert(key, (entry.holder, entry.until + KEPT_FOR));
            }
        }
    }

    /// A name that two register, once for each.
    pub fn poll_contested(&mut self) -> Option<Contested> {
        self.contested.pop_front()
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
        if known.is_some_and(|entry| !entry.holder.is_same(holder)) {
            return Err(Refused::Taken);
        }
        if self.kept.get(key).is_some_and(|(owner, _)| !owner.is_same(holder)) {
            return Err(Refused::Kept);
        }
        if bytes > service_bytes_max {
            return Err(Refused::TooLong);
        }
        let bytes_after = self.bytes - known.map_or(0, |entry| entry.bytes) + bytes;
        if bytes_after > bytes_max || known.is_none() && self.entries.len() >= services_max {
            return Err(Refused::Full);
        }
        if known.is_some() {
            return Ok(());
        }
        let count = |is_counted: &dyn Fn(&Holder) -> bool| {
            self.entries.values().filter(|entry| is_counted(&entry.holder)).count()
        };
        if count(&|other| other == holder) >= holder_services_max {
            return Err(Refused::HolderFull);
        }
        // There are as many places as somebody likes: half of all is for those with a key.
        if !holder.has_key() && count(&|other| !other.has_key()) >= services_max.div_ceil(2) {
            return Err(Refused::Full);
        }
        Ok(())
    }

    fn drop_entry(&mut self, key: &(Label, Label)) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes;
        self.happened += 1;
        if self.dropped.len() == DROPPED_MAX
            && let Some((at, _)) = self.dropped.pop_front()
        {
            self.forgotten = at;
        }
        self.dropped.push_back((self.happened, entry.id));
        Some(entry)
    }
}

impl Entry {
    /// Takes note of what is registered in its place; says so if two do it by turns. One that is started anew elsewhere does not
    /// come back to what it was.
    fn contest(&mut self, service: &Service, holder: &Holder) -> Option<Contested> {
        if service.ways == self.service.ways {
            return None;
        }
        let now = (self.service.clone(), self.holder.clone());
        let (before, _) = self.before.replace(now)?;
        if before.ways != service.ways || core::mem::replace(&mut self.is_contested, true) {
            return None;
        }
        let holders = [holder.clone(), self.holder.clone()];
        Some(Contested { name: service.name.clone(), host: service.host.clone(), holders })
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
        // It may have lost its connection only, and comes back.
        assert_eq!(directory.register(at(10), &other, web(), LEASE), Err(Refused::Kept));
        assert_eq!(directory.register(at(11), &one, web(), LEASE), Ok(LEASE));
        let kept_until = at(21) + KEPT_FOR;
        let before = kept_until - Duration::from_nanos(1);
        assert_eq!(directory.register(before, &other, web(), LEASE), Err(Refused::Kept));
        assert_eq!(directory.register(kept_until, &other, web(), LEASE), Ok(LEASE));
        assert_eq!(directory.register(kept_until, &one, web(), LEASE), Err(Refused::Taken));
        // What is given back is free.
        directory.withdraw(kept_until, &other, &web().name, &web().host);
        assert_eq!(directory.register(kept_until, &one, web(), LEASE), Ok(LEASE));
    }

    #[test]
    fn a_name_of_those_without_a_key_is_theirs_together_and_kept_for_nobody() {
        let mut directory = Directory::new(Limits::default());
        let (one, other) = (Holder::without_key("10.0.0.2"), Holder::without_key("10.0.0.3"));
        directory.register(at(0), &one, web(), LEASE).unwrap();
        assert_eq!(directory.register(at(1), &other, web(), LEASE), Ok(LEASE));
        let with_key = Holder::new("10.0.0.2");
        assert_eq!(directory.register(at(2), &with_key, web(), LEASE), Err(Refused::Taken));
        assert_eq!(directory.register(at(11), &with_key, web(), LEASE), Ok(LEASE));
    }

    #[test]
    fn those_without_a_key_have_a_share_each_and_half_together() {
        let limits = Limits { services_max: 6, holder_services_max: 2, ..Limits::default() };
        let mut directory = Directory::new(limits);
        let mut register = |holder: &Holder, number: usize| {
            directory.register(at(0), holder, service(&format!("s{number}"), "http a:80"), LEASE)
        };
        let [one, other, third] = ["a", "b", "c"].map(Holder::without_key);
        assert!(register(&one, 0).is_ok() && register(&one, 1).is_ok());
        assert_eq!(register(&one, 2), Err(Refused::HolderFull));
        assert!(register(&other, 2).is_ok());
        assert_eq!(register(&third, 3), Err(Refused::Full));
        // What is there is renewed by whichever of them.
        assert!(register(&third, 0).is_ok());
        for number in 3..6 {
            assert!(register(&Holder::new(&format!("{number}")), number).is_ok());
        }
    }

    #[test]
    fn two_that_register_one_name_by_turns_are_told_of_once() {
        let mut directory = Directory::new(Limits::default());
        let (one, other) = (Holder::without_key("10.0.0.2"), Holder::without_key("10.0.0.3"));
        let mut register = |seconds, holder: &Holder, text: &str| {
            directory.register(at(seconds), holder, service("web", text), LEASE).unwrap();
            directory.poll_contested()
        };
        assert_eq!(register(0, &one, "http a:80"), None);
        // It moved, drains, and goes on renewing.
        assert_eq!(register(1, &one, "http b:80"), None);
        assert_eq!(register(2, &one, "http b:80 drains"), None);
        assert_eq!(register(3, &one, "http b:80"), None);
        assert_eq!(register(4, &other, "http c:80"), None);
        let contested = register(5, &one, "http b:80").unwrap();
        assert_eq!(contested.holders, [one.clone(), other.clone()]);
        assert_eq!((contested.name, contested.host), (web().name, web().host));
        assert_eq!(register(6, &other, "http c:80"), None);
    }

    #[test]
    fn names_that_are_kept_are_bounded() {
        let limits = Limits { services_max: 3, ..Limits::default() };
        let mut directory = Directory::new(limits);
        for number in 0..9 {
            let (holder, name) = (Holder::new(&format!("{number}")), format!("s{number}"));
            let seconds = number * 10;
            directory.register(at(seconds), &holder, service(&name, "http a:80"), LEASE).unwrap();
        }
        directory.handle_timeout(at(100));
        assert_eq!((directory.kept.len(), directory.services()), (3, 0));
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
