//! Datagrams of tasks, on their way out of an interface.

use crate::counters::Counter;
use crate::datagrams::{Datagram, DatagramError};
use crate::device::{Transmit, TxFrame};
use crate::link::neighbours::Hop;
use crate::stack::interface::InterfaceState;
use crate::wire::ETHERNET;
use core::net::SocketAddr;
use core::time::Duration;

/// Until a full device is asked again.
const PAUSE: Duration = Duration::from_millis(1);

impl InterfaceState {
    /// Has a datagram sent with what is sent next, or once its next hop is known.
    pub(crate) fn queue_datagram(
        &self,
        to: SocketAddr,
        content: &[u8],
    ) -> Result<(), DatagramError> {
        let route = self.link.route(to.ip()).ok_or(DatagramError::Unreachable)?;
        let (from, next_hop) = (route.local, route.next_hop);
        let datagram = Datagram { from, to, next_hop, content: content.into() };
        if datagram.frame_bytes() - ETHERNET > self.mtu {
            return Err(DatagramError::TooLong);
        }
        self.datagrams.push(datagram, self.context.now.get().into())
    }

    /// Sends those whose next hop is known, in their order; one whose hop does not answer is lost, and counted.
    pub(crate) fn send_datagrams(&mut self, now: Duration, output: &mut dyn Transmit) {
        if !self.datagrams.are_due(now) {
            return;
        }
        self.datagrams.due.set(None);
        let checksums = self.link.checksums();
        // Those that wait for their hop keep no others waiting.
        let count = self.datagrams.waiting.borrow().len();
        for _ in 0..count {
            let Some(datagram) = self.datagrams.pop() else { break };
            let hop = self.neighbours.find(datagram.next_hop, datagram.from, now, output);
            let again_at = match hop {
                Hop::Silent => {
                    self.context.counters.add(Counter::DatagramsLost);
                    continue;
                }
                Hop::Asked(until) => until,
                Hop::Known(hop) => {
                    let frame = TxFrame::new(datagram.frame_bytes());
                    let own = self.own;
                    if output.transmit(frame, &mut |frame| {
                        datagram.write(own, hop, &checksums, frame);
                    }) {
                        self.context.counters.add(Counter::DatagramsOut);
                        continue;
                    }
                    now + PAUSE
                }
            };
            self.wait_with(datagram, again_at);
        }
    }

    /// Something was learnt of neighbours: those that wait for one are looked at.
    pub(crate) fn retry_datagrams(&self, now: Duration) {
        if self.datagrams.due.get().is_some() {
            self.datagrams.due.set(Some(now));
        }
    }

    fn wait_with(&self, datagram: Datagram, until: Duration) {
        let due = self.datagrams.due.get().map_or(until, |due| due.min(until));
        // It had room before.
        let _ = self.datagrams.push(datagram, due);
        self.datagrams.due.set(Some(due));
    }
}
