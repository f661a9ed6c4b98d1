//! Socket: a connection with its addresses, and the tasks that wait for it.

use crate::connection::{Connection, Outgoing};
use crate::network::Network;
use crate::packet::{Header, Packet, STREAM};
use crate::share::Share;
use alloc::rc::Rc;
use core::cell::{Ref, RefCell, RefMut};
use core::time::Duration;
use flow::VsockAddress;
use flow::sync::{WakerKey, WakerSlot};

/// A connection, shared by the table that finds it and the flow that uses it.
pub(crate) struct Socket {
    pub(crate) key: Key,
    pub(crate) network: Rc<Network>,
    /// Its number among those of the network, from 1.
    pub(crate) number: u64,
    pub(crate) opened_at: Duration,
    /// Of whose connections it is one.
    share: Share,
    state: RefCell<SocketState>,
}

/// What tells connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) peer: VsockAddress,
    /// Our port.
    pub(crate) port: u32,
}

pub(crate) struct SocketState {
    pub(crate) connection: Connection,
    pub(crate) reader: WakerSlot,
    pub(crate) writer: WakerSlot,
    /// Listed among those that may have something to send.
    is_ready: bool,
    /// Bytes of the stream.
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

impl Key {
    /// That of the connection that a packet of a peer's is of.
    pub(crate) fn of(header: &Header) -> Self {
        Self { peer: header.source, port: header.destination.port }
    }
}

impl Socket {
    /// It counts as one of the network's until it is dropped.
    pub(crate) fn new(
        network: &Rc<Network>,
        key: Key,
        share: &Share,
        connection: Connection,
    ) -> Rc<Self> {
        let number = network.begin_socket();
        share.add(1);
        let state = SocketState {
            connection,
            reader: WakerSlot::default(),
            writer: WakerSlot::default(),
            is_ready: false,
            received_bytes: 0,
            sent_bytes: 0,
        };
        let opened_at = network.now.get();
        let (network, state) = (network.clone(), RefCell::new(state));
        let share = share.clone();
        Rc::new(Self { key, network, number, opened_at, share, state })
    }

    pub(crate) fn state(&self) -> RefMut<'_, SocketState> {
        self.state.borrow_mut()
    }

    /// None while its flow shows received bytes, or space, to its owner.
    pub(crate) fn try_state(&self) -> Option<Ref<'_, SocketState>> {
        self.state.try_borrow().ok()
    }

    /// Our end.
    pub(crate) fn local(&self) -> VsockAddress {
        VsockAddress { cid: self.network.cid.get(), port: self.key.port }
    }

    /// Who would be woken for it.
    pub(crate) fn waker(&self) -> Option<WakerKey> {
        let state = self.try_state()?;
        state.reader.key().or_else(|| state.writer.key())
    }

    /// Makes sure that it is asked what it has to send, if it may have something.
    pub(crate) fn mark(self: &Rc<Self>, state: &mut SocketState) {
        if !state.is_ready && state.connection.may_transmit() {
            state.is_ready = true;
            self.network.ready.borrow_mut().push_back(self.clone());
        }
    }

    /// The next packet, if it has one. It is asked again after each one, and after none only once it is marked anew.
    pub(crate) fn poll_transmit(&self, now: Duration) -> Option<Packet> {
        let mut state = self.state();
        let Some(outgoing) = state.connection.poll_transmit(now) else {
            state.is_ready = false;
            return None;
        };
        state.sent_bytes += outgoing.payload.len() as u64;
        self.network.note_deadline(state.connection.deadline());
        let room = state.connection.unsent.is_roomy();
        let mut writer = if room { state.writer.take() } else { WakerSlot::default() };
        drop(state);
        writer.wake();
        Some(self.packet(outgoing))
    }

    fn packet(&self, outgoing: Outgoing) -> Packet {
        let Outgoing { operation, flags, payload, buffer_bytes, forwarded } = outgoing;
        let header = Header {
            source: self.local(),
            destination: self.key.peer,
            payload_bytes: payload.len() as u32,
            socket_type: STREAM,
            operation,
            flags,
            buffer_bytes,
            forwarded,
        };
        Packet { header: header.to_bytes(), payload }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.share.add(-1);
        self.network.end_socket();
    }
}
