//! Inspection: what a stack lets others see, as `ss -ti` and `ip -s link` do.

use crate::counters::{Counts, counts_of};
use crate::device::Counters;
use crate::stack::Stack;
use crate::stack::diagnostics::{self, ConnectionInfo, TcpState};
use crate::tcp::syn_queue::HalfOpen;
use crate::wire::tuple::Tuple;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use flow::sync::WakerKey;
use flow::task::TaskId;
use inspect::{Column, Metric, Table, Value};

/// The gauges of stacks.
pub static GAUGE_METRICS: &[Metric<Stack>] = &[
    Metric::gauge("net_connections", "TCP connections, without those in TIME-WAIT.", |stack| {
        stack.gauges().connections as u64
    }),
    Metric::gauge("net_half_open", "Handshakes that are not complete.", |stack| {
        stack.gauges().half_open as u64
    }),
    Metric::gauge("net_time_wait", "Connections in TIME-WAIT.", |stack| {
        stack.gauges().time_wait as u64
    }),
    Metric::byte_gauge("net_buffers", "Buffers of all TCP connections.", |stack| {
        stack.gauges().buffer_bytes as u64
    }),
    Metric::byte_gauge("net_buffers_limit", "What these buffers may hold.", |stack| {
        stack.gauges().buffer_bytes_max as u64
    }),
];

/// The counters of network cards.
pub static CARD_METRICS: &[Metric<Stack>] = &[
    Metric::counter("card_received_frames", "Frames received.", |stack| {
        stack.card_counters().received_frames
    }),
    Metric::byte_counter("card_received", "Bytes in frames received.", |stack| {
        stack.card_counters().received_bytes
    }),
    Metric::counter("card_received_dropped", "Frames received and thrown away.", |stack| {
        stack.card_counters().received_dropped
    }),
    Metric::counter("card_sent_frames", "Frames sent.", |stack| stack.card_counters().sent_frames),
    Metric::byte_counter("card_sent", "Bytes in frames sent.", |stack| {
        stack.card_counters().sent_bytes
    }),
    Metric::counter("card_sent_segmented", "Frames sent for the card to segment.", |stack| {
        stack.card_counters().sent_segmented
    }),
    Metric::counter("card_sent_dropped", "Frames that were to be sent, thrown away.", |stack| {
        stack.card_counters().sent_dropped
    }),
    Metric::counter("card_notifications", "Times that the card was told of work.", |stack| {
        stack.card_counters().notifications
    }),
    Metric::counter("card_interrupts", "Interrupts, or events, of the card.", |stack| {
        stack.card_counters().interrupts
    }),
    Metric::counter("card_refused", "Wrong answers of the card's other side.", |stack| {
        stack.card_counters().refused
    }),
    Metric::gauge("card_link_up", "Whether the link is up: 1 or 0.", |stack| {
        stack.link_is_up().into()
    }),
];

/// A row of [`CONNECTIONS`]. What is not known of a connection is none.
#[derive(Clone, Debug)]
pub struct ConnectionRow {
    /// Never given twice.
    pub id: ConnectionId,
    /// RFC 9293's name of its state.
    pub state: TcpState,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Who is woken for it.
    pub waker: Option<WakerKey>,
    /// The task that this is: for whoever knows the tasks to fill in.
    pub task: Option<TaskId>,
    /// SYN-ACKs or segments sent again, if it is known.
    pub retransmissions: Option<u32>,
    /// All else, where the connection is open.
    pub info: Option<ConnectionInfo>,
}

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionId {
    /// The place of its card, and its number among the connections of that card.
    Open(usize, u64),
    /// What is half open or in TIME-WAIT has no number: the place of its card, our port, and the other end.
    Closed(usize, u16, SocketAddr),
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(card, number) => write!(f, "{card}.{number}"),
            Self::Closed(card, port, remote) => write!(f, "{card}.{port}.{remote}"),
        }
    }
}

impl ConnectionRow {
    fn read<'a, T: Into<Value<'a>>>(&self, read: impl FnOnce(&ConnectionInfo) -> T) -> Value<'a> {
        self.info.as_ref().map_or(Value::Null, |info| read(info).into())
    }
}

/// All connections; those that are half open and in TIME-WAIT behind the others.
pub static CONNECTIONS: Table<ConnectionRow> = Table {
    name: "connections",
    help: "TCP connections, half-open ones and those in TIME-WAIT among them.",
    columns: &[
        Column::text("id", "Names the connection.", |row| Value::Shown(&row.id)),
        Column::text("state", "The state, by RFC 9293's name.", |row| Value::Shown(&row.state)),
        Column::text("local", "Our address and port.", |row| Value::Shown(&row.local)),
        Column::text("remote", "The peer's address and port.", |row| Value::Shown(&row.remote)),
        Column::maybe_text("task", "The task that waits for it.", |row| {
            Value::shown(row.task.as_ref())
        }),
        Column::maybe_number("age_ms", "Since it was opened.", |row| {
            row.read(|info| millis(info.age))
        }),
        Column::maybe_number("idle_ms", "Since the peer's last segment.", |row| {
            row.read(|info| millis(info.silent_for))
        }),
        Column::maybe_number("rtt_us", "Smoothed round-trip time.", |row| {
            row.read(|info| info.round_trip.map(micros))
        }),
        Column::maybe_number("rtt_variance_us", "Its variation (RFC 6298).", |row| {
            row.read(|info| info.round_trip_variation.map(micros))
        }),
        Column::maybe_number("rtt_min_us", "The shortest of the last minutes.", |row| {
            row.read(|info| info.round_trip_min.map(micros))
        }),
        Column::maybe_number("rto_ms", "Retransmission time-out.", |row| {
            row.read(|info| millis(info.retransmission_timeout))
        }),
        Column::maybe_number("timeouts", "Time-outs in a row.", |row| {
            row.read(|info| info.timeouts)
        }),
        Column::maybe_number("mss_bytes", "Longest segment.", |row| row.read(|info| info.mss)),
        Column::maybe_number("cwnd_bytes", "Congestion window.", |row| {
            row.read(|info| info.congestion_window)
        }),
        Column::maybe_number("ssthresh_bytes", "Slow start threshold.", |row| {
            row.read(|info| info.slow_start_threshold)
        }),
        Column::maybe_number("rx_window_bytes", "What the peer may still send.", |row| {
            row.read(|info| info.receive_window)
        }),
        Column::maybe_number("tx_window_bytes", "What the peer's last window allowed.", |row| {
            row.read(|info| info.peer_window)
        }),
        Column::maybe_number("rx_bytes", "Received in order.", |row| {
            row.read(|info| info.bytes_in)
        }),
        Column::maybe_number("tx_bytes", "Written by the task.", |row| {
            row.read(|info| info.bytes_out)
        }),
        Column::maybe_number("rx_queue_bytes", "Received and not read.", |row| {
            row.read(|info| info.receive_queue)
        }),
        Column::maybe_number("rx_buffer_bytes", "What the receive buffer may hold.", |row| {
            row.read(|info| info.receive_limit)
        }),
        Column::maybe_number("rx_out_of_order_bytes", "Received ahead of a gap.", |row| {
            row.read(|info| info.out_of_order)
        }),
        Column::maybe_number("tx_queue_bytes", "Written and not acknowledged.", |row| {
            row.read(|info| info.send_queue)
        }),
        Column::maybe_number("in_flight_bytes", "Neither acknowledged nor believed lost.", |row| {
            row.read(|info| info.in_flight)
        }),
        Column::maybe_number("sacked_bytes", "What the peer has above a gap.", |row| {
            row.read(|info| info.sacked)
        }),
        Column::maybe_number("lost_bytes", "Believed lost and not sent again.", |row| {
            row.read(|info| info.lost)
        }),
        Column::maybe_number("retransmissions", "Segments sent again.", |row| {
            row.retransmissions.into()
        }),
        Column::maybe_number("pacing_bytes_per_second", "The rate of sending, if paced.", |row| {
            row.read(|info| info.pacing_rate)
        }),
        Column::maybe_number("delivery_bytes_per_second", "What arrives, if measured.", |row| {
            row.read(|info| info.delivery_rate)
        }),
        Column::maybe_flag("is_recovering", "Losses are being repaired.", |row| {
            row.read(|info| info.is_recovering)
        }),
        Column::maybe_flag("is_orphan", "No task holds it; it is only being delivered.", |row| {
            row.read(|info| info.is_orphan)
        }),
    ],
};

/// A row of [`LISTENERS`].
#[derive(Clone, Debug)]
pub struct ListenerRow {
    /// The place of the card that it listens on.
    pub card: usize,
    /// Where it listens.
    pub local: SocketAddr,
    /// The service that has the port: for whoever knows to fill in.
    pub service: Option<&'static str>,
    /// Who is woken for it.
    pub waker: Option<WakerKey>,
    /// The task that accepts: for whoever knows the tasks to fill in.
    pub task: Option<TaskId>,
    /// Connections that nobody accepted yet, if it is known.
    pub backlog: Option<usize>,
    /// How many there may be.
    pub backlog_max: usize,
    /// Handshakes for it that are not complete, if it is known.
    pub half_open: Option<usize>,
}

/// Ports that are listened on.
pub static LISTENERS: Table<ListenerRow> = Table {
    name: "listeners",
    help: "Ports that are listened on, by card.",
    columns: &[
        Column::number("card", "The place of the card.", |row| row.card.into()),
        Column::text("local", "Address and port.", |row| Value::Shown(&row.local)),
        Column::maybe_text("service", "The service that has the port.", |row| row.service.into()),
        Column::maybe_text("task", "The task that accepts.", |row| Value::shown(row.task.as_ref())),
        Column::maybe_number("backlog", "Connections that nobody accepted yet.", |row| {
            row.backlog.into()
        }),
        Column::number("backlog_max", "How many there may be.", |row| row.backlog_max.into()),
        Column::maybe_number("half_open", "Handshakes that are not complete.", |row| {
            row.half_open.into()
        }),
    ],
};

/// A row of [`CARDS`].
#[derive(Clone, Debug)]
pub struct CardRow {
    /// The place among the cards.
    pub card: usize,
    /// What drives it.
    pub driver: &'static str,
    /// Its Ethernet address.
    pub hardware_address: HardwareAddress,
    /// Whether its link is up.
    pub is_up: bool,
    /// The longest IP packet.
    pub mtu_bytes: usize,
    /// Its addresses and their prefixes' lengths.
    pub addresses: Addresses,
    /// What it did.
    pub counters: Counters,
}

/// Network cards, as `ip -s link` shows them.
pub static CARDS: Table<CardRow> = Table {
    name: "cards",
    help: "Network cards with a stack of ours.",
    columns: &[
        Column::number("id", "The place among the cards.", |row| row.card.into()),
        Column::text("driver", "What drives it.", |row| row.driver.into()),
        Column::text("hardware_address", "Its Ethernet address.", |row| {
            Value::Shown(&row.hardware_address)
        }),
        Column::flag("is_up", "Whether its link is up.", |row| row.is_up.into()),
        Column::number("mtu_bytes", "The longest IP packet.", |row| row.mtu_bytes.into()),
        Column::text("addresses", "IP addresses with the lengths of their prefixes.", |row| {
            Value::Shown(&row.addresses)
        }),
        Column::number("rx_frames", "Frames received.", |row| row.counters.received_frames.into()),
        Column::number("rx_bytes", "Bytes in them.", |row| row.counters.received_bytes.into()),
        Column::number("rx_dropped", "Frames received and thrown away.", |row| {
            row.counters.received_dropped.into()
        }),
        Column::number("tx_frames", "Frames sent.", |row| row.counters.sent_frames.into()),
        Column::number("tx_bytes", "Bytes in them.", |row| row.counters.sent_bytes.into()),
        Column::number("tx_dropped", "Frames that were to be sent, thrown away.", |row| {
            row.counters.sent_dropped.into()
        }),
        Column::number("notifications", "Times that the card was told of work.", |row| {
            row.counters.notifications.into()
        }),
        Column::number("interrupts", "Interrupts, or events, of the card.", |row| {
            row.counters.interrupts.into()
        }),
    ],
};

/// An Ethernet address.
#[derive(Clone, Copy, Debug)]
pub struct HardwareAddress(pub [u8; 6]);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// IP addresses with the lengths of their prefixes, written with a space between two.
#[derive(Clone, Debug)]
pub struct Addresses(pub Vec<(IpAddr, u8)>);

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, prefix)) in self.0.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{address}/{prefix}")?;
        }
        Ok(())
    }
}

impl Stack {
    /// Shows every connection, as those of the card at that place: open ones, half-open ones, those in TIME-WAIT.
    pub fn visit_connections(&self, card: usize, visit: &mut dyn FnMut(ConnectionRow)) {
        let closed = |state, tuple: &Tuple, retransmissions| {
            let (local, remote) = (tuple.local(), tuple.remote());
            let id = ConnectionId::Closed(card, local.port(), remote);
            let (waker, task, info) = (None, None, None);
            let retransmissions = Some(retransmissions);
            ConnectionRow { id, state, local, remote, waker, task, retransmissions, info }
        };
        for connection in self.state.table.borrow().iter() {
            let Some(info) = diagnostics::info(connection) else { continue };
            let row = closed(info.state, &connection.tuple, info.retransmits);
            let id = ConnectionId::Open(card, connection.number);
            visit(ConnectionRow { id, waker: connection.waker(), info: Some(info), ..row });
        }
        for half_open in self.state.syn_queue.iter() {
            let state = TcpState::SynReceived;
            visit(closed(state, &half_open.tuple, half_open.retransmissions()));
        }
        for tuple in self.state.time_wait.iter() {
            visit(closed(TcpState::TimeWait, tuple, 0));
        }
    }

    /// Shows every port that is listened on, as of the card at that place.
    pub fn visit_listeners(&self, card: usize, visit: &mut dyn FnMut(ListenerRow)) {
        for queue in self.state.listen_table.iter() {
            let local = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), queue.port());
            let is_its = |half_open: &&HalfOpen| half_open.tuple.local_port == queue.port();
            visit(ListenerRow {
                card,
                local,
                service: None,
                waker: queue.waker(),
                task: None,
                backlog: Some(queue.len()),
                backlog_max: queue.capacity(),
                half_open: Some(self.state.syn_queue.iter().filter(is_its).count()),
            });
        }
    }

    /// The card that it is over, as the one at that place.
    pub fn card(&self, card: usize) -> CardRow {
        CardRow {
            card,
            driver: self.device.driver(),
            hardware_address: HardwareAddress(self.state.own),
            is_up: self.link_is_up(),
            mtu_bytes: self.state.mtu,
            addresses: Addresses(self.addresses().collect()),
            counters: self.card_counters(),
        }
    }

    /// How often each thing happened.
    pub fn counts(&self) -> Counts {
        counts_of(|counter| self.count(counter))
    }

    /// What the device did.
    pub fn card_counters(&self) -> Counters {
        self.device.counters()
    }

    /// Whether the device's link is up.
    pub fn link_is_up(&self) -> bool {
        self.link_up
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::device::{Capabilities, Discard, NetDevice, RxFrame, Transmit};
    use inspect::Row;

    #[test]
    fn what_nobody_measured_of_a_connection_is_null_and_neither_zero_nor_false() {
        let end = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 80);
        let unknown = ConnectionRow {
            id: ConnectionId::Open(0, 1),
            state: TcpState::Established,
            local: end,
            remote: end,
            waker: None,
            task: None,
            retransmissions: None,
            info: None,
        };
        let row = CONNECTIONS.row(&unknown);
        for column in 0..row.columns() {
            let is_known = ["id", "state", "local", "remote"].contains(&row.name(column));
            let is_null = matches!(row.value(column), Value::Null);
            assert_eq!(is_null, !is_known, "{}", row.name(column));
        }
    }

    #[test]
    fn names_of_connections_and_addresses_are_written_as_others_look_for_them() {
        use std::string::ToString;
        let peer = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 9);
        assert_eq!(ConnectionId::Open(2, 17).to_string(), "2.17");
        assert_eq!(ConnectionId::Closed(2, 80, peer).to_string(), "2.80.[::1]:9");
        let hardware = HardwareAddress([2, 0xff, 0x0a, 0, 0x10, 1]);
        assert_eq!(hardware.to_string(), "02:ff:0a:00:10:01");
        let addresses =
            Vec::from([("10.0.0.1".parse().unwrap(), 24), ("fd00::1".parse().unwrap(), 64)]);
        assert_eq!(Addresses(addresses.clone()).to_string(), "10.0.0.1/24 fd00::1/64");
        assert_eq!(Addresses(addresses[..1].to_vec()).to_string(), "10.0.0.1/24");
        assert_eq!(Addresses(Vec::new()).to_string(), "");
        let time = Duration::from_micros(1_234_567);
        assert_eq!(
            (millis(time), micros(time), millis(Duration::MAX)),
            (1_234, 1_234_567, u64::MAX)
        );
    }

    /// A card with counters of its own.
    struct Card(Discard);

    impl NetDevice for Card {
        fn receive(&mut self, _: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
            false
        }

        fn transmitter(&mut self) -> &mut dyn Transmit {
            &mut self.0
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::new(9_000)
        }

        fn link_up(&self) -> bool {
            false
        }

        fn prepare_to_wait(&mut self) -> bool {
            false
        }

        fn counters(&self) -> Counters {
            Counters { received_frames: 7, sent_bytes: 9, ..Counters::default() }
        }
    }

    #[test]
    fn a_card_is_shown_as_its_driver_says() {
        let addresses = Vec::from([("10.0.0.1".parse().unwrap(), 24)]);
        let config = Config { addresses, dhcp: false, slaac: false, ..Config::default() };
        let own = [2, 0, 0, 0, 0, 1];
        let card = Card(Discard::default());
        let mut stack = Stack::new(card, &config, own, [7; 64], Duration::ZERO);
        let row = stack.card(3);
        assert_eq!((row.card, row.driver, row.hardware_address.0), (3, "none", own));
        assert_eq!((row.is_up, row.mtu_bytes), (false, 1_500));
        assert_eq!(row.addresses.0, config.addresses);
        assert_eq!((row.counters.received_frames, row.counters.sent_bytes), (7, 9));
        assert_eq!(stack.card_counters(), row.counters);
        assert!(!stack.prepare_to_wait());
    }
}
