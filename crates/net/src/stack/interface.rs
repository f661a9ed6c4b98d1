//! Interface state, without its device: what the demultiplexer, opens and ends of connections share.

use crate::config::Config;
use crate::datagrams::Datagrams;
use crate::device::{Capabilities, NetDevice};
use crate::link::Link;
use crate::link::duplicates::Duplicates;
use crate::link::neighbours::Neighbours;
use crate::link::reassembly::Reassembly;
use crate::tcp::active_open::ActiveOpens;
use crate::tcp::context::TcpContext;
use crate::tcp::isn::IsnGenerator;
use crate::tcp::listener::ListenTable;
use crate::tcp::rate_limit::RateLimit;
use crate::tcp::syn_queue::SynQueue;
use crate::tcp::table::Table;
use crate::tcp::time_wait::TimeWaitTable;
use crate::time::Instant;
use crate::wire::tuple::TupleHasher;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use flow::task::CatchPanic;

/// An interface's state, without its device.
pub(crate) struct InterfaceState {
    pub(crate) context: Rc<TcpContext>,
    pub(crate) table: Rc<RefCell<Table>>,
    pub(crate) listen_table: ListenTable,
    pub(crate) syn_queue: SynQueue,
    /// Until when cookies that we sent can come back.
    pub(crate) cookies_until: Duration,
    pub(crate) time_wait: TimeWaitTable,
    pub(crate) isn_generator: IsnGenerator,
    pub(crate) link: Link,
    /// Our hardware address.
    pub(crate) own: [u8; 6],
    /// The largest IP packet that the link carries, in bytes.
    pub(crate) mtu: usize,
    pub(crate) active_opens: ActiveOpens,
    pub(crate) neighbours: Neighbours,
    pub(crate) datagrams: Datagrams,
    pub(crate) resets: RateLimit,
    /// Before that, nothing but connections has anything to do, unless something was stirred.
    pub(crate) calm_until: Instant,
    /// A frame came that was not a connection's, or something else happened that may have to be followed up.
    pub(crate) is_stirred: bool,
    pub(crate) icmp_errors: RateLimit,
    pub(crate) duplicates: Duplicates,
    pub(crate) reassembly: Reassembly,
    /// When a connection was last ended since memory was short.
    pub(crate) relieved_at: Instant,
    pub(crate) catch: CatchPanic,
    /// The connection that the present part of a phase is about.
    pub(crate) current_slot: Option<u32>,
    /// Memory for the next round's list of connections.
    pub(crate) next_round: Vec<u32>,
}

impl InterfaceState {
    pub(crate) fn new(
        device: &mut dyn NetDevice,
        config: &Config,
        own: [u8; 6],
        seed: [u8; 64],
        now: Duration,
    ) -> Self {
        let mut words = seed
            .chunks_exact(8)
            .map(|word| word.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
        let mut entropy = move || words.next().unwrap_or_default();
        let capabilities = device.capabilities().limited_to(config.limits.mtu_bytes);
        let limits = config.limits.clone();
        let link = Link::new(device, config, own, entropy(), now);
        let hasher = TupleHasher::new(entropy());
        Self {
            syn_queue: SynQueue::new(hasher.clone(), limits.half_open_max),
            time_wait: TimeWaitTable::new(hasher.clone(), limits.time_wait_max),
            resets: RateLimit::new(limits.resets_per_second),
            icmp_errors: RateLimit::new(ICMP_ERRORS_PER_SECOND),
            duplicates: Duplicates::default(),
            reassembly: Reassembly::default(),
            context: Rc::new(TcpContext::new(limits, &capabilities, now.into())),
            table: Rc::new(RefCell::new(Table::new(hasher))),
            listen_table: ListenTable::default(),
            active_opens: ActiveOpens::default(),
            datagrams: Datagrams::default(),
            next_round: Vec::new(),
            catch: |body| {
                body();
                Ok(())
            },
            current_slot: None,
            calm_until: Instant::START,
            relieved_at: Instant::START,
            is_stirred: true,
            neighbours: Neighbours::new(own),
            cookies_until: Duration::ZERO,
            isn_generator: IsnGenerator::new(entropy),
            link,
            own,
            mtu: capabilities.mtu_bytes,
        }
    }

    /// The device's limits have changed.
    pub(crate) fn adopt_capabilities(&mut self, device: &Capabilities) {
        self.mtu = device.limited_to(self.context.limits.mtu_bytes).mtu_bytes;
    }
}

/// RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f): enough for honest mistakes, useless for reflection.
const ICMP_ERRORS_PER_SECOND: u32 = 100;
