//! Event channels: interrupts from other domains and from Xen, as flags (Xen,
//! public/event_channel.h, the two-level interface).
//!
//! Xen sets a port's bit in the shared page, and a driver takes it from there. No event interrupts: all ports stay
//! masked, and who has nothing to do asks Xen to be woken by any of them (`SCHEDOP_poll`, public/sched.h). That is one
//! exit, where an interrupt would be injected and acknowledged besides, and a timer armed.
//!
//! A domain that is restored has none of the channels that it had. Its ports of before do nothing any more: their
//! numbers may be another's now.

#[cfg(any(test, feature = "fake"))]
mod fake;

use super::hypercall::{self, DOMID_SELF, DomainId, Errno};
use super::shared_info::{PORT_WORDS, SHARED};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bit N: port N is ours, and wakes us.
static OPEN: [AtomicU64; PORT_WORDS] = [const { AtomicU64::new(0) }; PORT_WORDS];

/// How often the domain was restored.
static RESTORATIONS: AtomicU32 = AtomicU32::new(0);

/// How often the domain was restored, from a file or on another host: nothing that it shares with other domains
/// outlives that.
pub fn restorations() -> u32 {
    RESTORATIONS.load(Ordering::Relaxed)
}

/// The domain was restored: no port is open.
pub(super) fn restored() {
    RESTORATIONS.fetch_add(1, Ordering::Relaxed);
    OPEN.iter().for_each(|word| word.store(0, Ordering::Relaxed));
}

/// One end of an event channel. Closed when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Port {
    number: u32,
    /// Xen's own ports (console and xenstore) are bound by the toolstack and stay open.
    is_kept: bool,
    /// How often the domain had been restored when it was opened.
    restorations: u32,
}

impl Port {
    /// A new channel, whose other end `remote` may bind.
    pub fn allocate(remote: DomainId) -> Result<Self, Errno> {
        /// `evtchn_alloc_unbound`.
        #[repr(C)]
        struct Argument {
            domain: u16,
            remote: u16,
            port: u32,
        }
        #[cfg(any(test, feature = "fake"))]
        if !hypercall::is_possible() {
            return Self::open(fake::allocate(), false);
        }
        let mut argument = Argument { domain: DOMID_SELF, remote, port: 0 };
        let pointer = (&raw mut argument).cast();
        // SAFETY: the command reads and writes this structure.
        unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_ALLOC_UNBOUND, pointer) }?;
        Self::open(argument.port, false)
    }

    /// A channel whose other end `remote` has allocated for this domain, under that number.
    pub fn bind(remote: DomainId, number: u32) -> Result<Self, Errno> {
        /// `evtchn_bind_interdomain`.
        #[repr(C)]
        struct Argument {
            remote: u16,
            remote_port: u32,
            port: u32,
        }
        #[cfg(any(test, feature = "fake"))]
        if !hypercall::is_possible() {
            return Self::open(fake::bind(number).ok_or(Errno::NO_SYSTEM)?, false);
        }
        let mut argument = Argument { remote, remote_port: number, port: 0 };
        let pointer = (&raw mut argument).cast();
        // SAFETY: the command reads and writes this structure.
        unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_BIND_INTERDOMAIN, pointer) }?;
        Self::open(argument.port, false)
    }

    /// A channel that the toolstack made for this domain.
    pub(crate) fn of_toolstack(number: u64) -> Option<Self> {
        Self::open(u32::try_from(number).ok()?, true).ok()
    }

    /// Has a port's events end a wait.
    fn open(number: u32, is_kept: bool) -> Result<Self, Errno> {
        let port = Self { number, is_kept, restorations: restorations() };
        let (word, bit) = port.place();
        let Some(open) = OPEN.get(word) else { return Err(Errno::NO_SYSTEM) };
        open.fetch_or(bit, Ordering::Relaxed);
        Ok(port)
    }

    /// A port that has no events, for tests without Xen.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn fake() -> Self {
        Self { number: u32::MAX, is_kept: true, restorations: restorations() }
    }

    /// Its number, by which the other end finds it.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether there is such a channel: not once the domain was restored.
    pub fn is_open(&self) -> bool {
        self.restorations == restorations()
    }

    /// Whether somebody has the other end: not yet before it was bound, and not any more once that domain has closed it, or is
    /// gone. Xen tells of neither by an event.
    pub fn has_other_end(&self) -> bool {
        /// `evtchn_status`.
        #[repr(C)]
        struct Argument {
            domain: u16,
            port: u32,
            status: u32,
            _cpu: u32,
            _details: [u32; 2],
        }
        const INTERDOMAIN: u32 = 2;
        if !self.is_open() {
            return false;
        }
        #[cfg(any(test, feature = "fake"))]
        if !hypercall::is_possible() {
            return fake::other_end(self.number).is_some();
        }
        let mut argument = Argument {
            domain: DOMID_SELF,
            port: self.number,
            status: 0,
            _cpu: 0,
            _details: [0; 2],
        };
        let pointer = (&raw mut argument).cast();
        // SAFETY: the command reads and writes this structure.
        let asked = unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_STATUS, pointer) };
        asked.is_ok() && argument.status == INTERDOMAIN
    }

    /// Whether there was an event since this was last asked.
    pub fn take(&self) -> bool {
        let (word, bit) = self.place();
        let Some(pending) = SHARED.pending.get(word).filter(|_| self.is_open()) else {
            return false;
        };
        pending.load(Ordering::Acquire) & bit != 0
            && pending.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Tells the other end.
    pub fn notify(&self) {
        if !self.is_open() {
            return;
        }
        #[cfg(any(test, feature = "fake"))]
        if !hypercall::is_possible() {
            return fake::notify(self.number);
        }
        let mut argument = self.number;
        let pointer = (&raw mut argument).cast();
        // SAFETY: the command reads this one integer. A channel whose other end is gone refuses,
        // and there is nobody left to tell.
        let _ = unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_SEND, pointer) };
    }

    fn place(&self) -> (usize, u64) {
        (self.number as usize / 64, 1 << (self.number % 64))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if self.is_kept || !self.is_open() {
            return;
        }
        let (word, bit) = self.place();
        if let Some(open) = OPEN.get(word) {
            open.fetch_and(!bit, Ordering::Relaxed);
            SHARED.pending[word].fetch_and(!bit, Ordering::Relaxed);
            #[cfg(any(test, feature = "fake"))]
            if !hypercall::is_possible() {
                return fake::close(self.number);
            }
            let mut argument = self.number;
            let pointer = (&raw mut argument).cast();
            // SAFETY: the command reads this one integer.
            let _ = unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_CLOSE, pointer) };
        }
    }
}

/// Waits until a port has an event that nobody took, or until a system time. It may return early.
pub(super) fn wait(until: Option<u64>) {
    /// `sched_poll`.
    #[repr(C)]
    struct Argument {
        ports: *const u32,
        count: u32,
        until: u64,
    }
    let Some(ports) = quiet_ports(&OPEN, &SHARED.pending) else { return };
    let (count, until) = (ports.len() as u32, poll_until(until));
    let mut argument = Argument { ports: ports.as_ptr(), count, until };
    // SAFETY: the command reads this structure and the ports in it.
    let _ = unsafe { hypercall::sched_op(hypercall::SCHEDOP_POLL, (&raw mut argument).cast()) };
}

/// Xen takes no more (`do_poll`); so many ports are never open here.
const PORTS_MAX: usize = 128;

/// The numbers of open ports, unless one of them has an event: Xen tells nobody of another one there.
fn quiet_ports(
    open: &[AtomicU64; PORT_WORDS],
    pending: &[AtomicU64; PORT_WORDS],
) -> Option<heapless::Vec<u32, PORTS_MAX>> {
    let mut ports = heapless::Vec::new();
    for (word, (open, pending)) in (0..).zip(open.iter().zip(pending)) {
        let mut open = open.load(Ordering::Relaxed);
        if open != 0 && open & pending.load(Ordering::Acquire) != 0 {
            return None;
        }
        while open != 0 && ports.push(word * 64 + open.trailing_zeros()).is_ok() {
            open &= open - 1;
        }
    }
    Some(ports)
}

/// As Xen takes it: 0 means for ever.
fn poll_until(until: Option<u64>) -> u64 {
    until.map_or(0, |until| until.max(1))
}

/// Keeps other tests of one process from restoring it: that is done to all of it.
#[cfg(test)]
pub(super) fn restoring() -> spinning_top::guard::SpinlockGuard<'static, ()> {
    static RESTORING: spinning_top::Spinlock<()> = spinning_top::Spinlock::new(());
    RESTORING.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_nobody_took_is_seen_at_its_port_only() {
        let _alone = restoring();
        let [one, other] = [70, 71].map(|number| Port::open(number, true).unwrap());
        let (word, bit) = one.place();
        SHARED.pending[word].fetch_or(bit, Ordering::Release);
        // There is no Xen: it returns whatever the ports say.
        wait(None);
        assert!(!other.take());
        assert!(one.take());
        assert!(!one.take());
    }

    #[test]
    fn a_port_of_before_a_restoration_touches_nobody_elses() {
        let _alone = restoring();
        let old = Port::open(80, false).unwrap();
        assert!(old.is_open());
        restored();
        let new = Port::open(80, true).unwrap();
        let (word, bit) = new.place();
        SHARED.pending[word].fetch_or(bit, Ordering::Release);
        assert!(!old.is_open() && !old.take());
        drop(old);
        assert_ne!(OPEN[word].load(Ordering::Relaxed) & bit, 0);
        assert!(new.take());
    }

    #[test]
    fn both_ends_of_a_channel_reach_each_other_until_one_is_closed() {
        let _alone = restoring();
        let server = Port::allocate(3).unwrap();
        assert!(!server.has_other_end());
        let client = Port::bind(3, server.number()).unwrap();
        assert!(server.has_other_end() && client.has_other_end());
        assert!(Port::bind(3, server.number()).is_err(), "it is bound already");
        client.notify();
        assert!(server.take() && !server.take() && !client.take());
        drop(client);
        assert!(!server.has_other_end());
        server.notify();
    }

    #[test]
    fn a_wait_is_for_the_open_ports_and_none_where_one_has_an_event() {
        let bits = |words: &[(usize, u64)]| {
            let bits: [AtomicU64; PORT_WORDS] = core::array::from_fn(|_| AtomicU64::new(0));
            words.iter().for_each(|&(word, set)| bits[word].store(set, Ordering::Relaxed));
            bits
        };
        let open = bits(&[(0, 1 | 1 << 5), (1, 1 << 63), (63, 1 << 63)]);
        let ports = |pending: &[(usize, u64)]| quiet_ports(&open, &bits(pending));
        assert_eq!(ports(&[]).as_deref(), Some(&[0, 5, 127, 4095][..]));
        let others = [(0, !(1 | 1 << 5)), (2, u64::MAX), (63, 1)];
        assert_eq!(ports(&others).as_deref(), Some(&[0, 5, 127, 4095][..]));
        for pending in [(0, 1), (0, 1 << 5), (1, 1 << 63), (63, 1 << 63)] {
            assert_eq!(ports(&[pending]), None, "{pending:?}");
        }
        let many = bits(&[(1, u64::MAX), (2, u64::MAX), (3, 1)]);
        let ports = quiet_ports(&many, &bits(&[])).unwrap();
        assert!(ports.iter().copied().eq(64..192), "no more than Xen takes");
        assert_eq!([None, Some(0), Some(1), Some(9)].map(poll_until), [0, 1, 1, 9]);
    }

    #[test]
    fn a_port_beyond_the_page_is_none() {
        assert!(Port::open(64 * PORT_WORDS as u32 - 1, true).is_ok());
        let numbers = [u64::from(u32::MAX), 1 << 32, u64::MAX];
        assert_eq!(numbers.map(Port::of_toolstack), [None, None, None]);
        assert!(Port::open(64 * PORT_WORDS as u32, true).is_err());
    }
}
