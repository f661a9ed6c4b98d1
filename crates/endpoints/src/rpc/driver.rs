//! RPC connection: the vat as the protocol loop drives it, bytes both ways in place.

use super::{Rpc, Shared};
use crate::drive::{Core, Transport};
use ::rpc::{ConnId, Exception, System, TableSizes};
use alloc::rc::Rc;
use alloc::string::ToString;
use core::task::Context;
use core::time::Duration;
use flow::ledger::Pressure;
use flow::{Address, FlowError};

/// One connection of the vat; dropping it ends the connection.
pub(super) struct Driver {
    system: System,
    conn: ConnId,
    peer: Address,
    shared: Rc<Shared>,
    /// Input was not wanted in the round before.
    input_waits: bool,
    /// Whether it was ours to make, and so is ours to end when it is of no use any more.
    ends_idle: bool,
    end: End,
}

/// How far the flow's end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It goes on.
    None,
    /// It is closed, and what there is to say about it goes out; given up at this time.
    Draining(Duration),
    /// The peer does not take the last bytes.
    Abort,
}

impl Driver {
    pub(super) fn accepted(rpc: &Rpc, conn: ConnId, peer: Address) -> Self {
        rpc.shared.connections.update(|count| count + 1);
        rpc.shared.made.update(|count| count + 1);
        Self {
            shared: rpc.shared.clone(),
            system: rpc.system.clone(),
            conn,
            peer,
            input_waits: false,
            ends_idle: false,
            end: End::None,
        }
    }

    pub(super) fn connected(rpc: &Rpc, conn: ConnId, peer: Address) -> Self {
        let mut driver = Self::accepted(rpc, conn, peer);
        driver.ends_idle = true;
        driver
    }

    fn lost(&self, error: FlowError) {
        self.system.handle_loss(self.conn, Exception::disconnected(error.to_string()));
    }

    /// Closes what nobody uses, and what is to end as soon as it may.
    fn end_if_idle(&mut self) {
        if self.shared.draining.get()
            && !self.system.is_closed(self.conn)
            && self.system.table_sizes(self.conn).answers == 0
        {
            self.system.close(self.conn, Exception::disconnected("this service is stopping"));
        }
        if self.ends_idle && self.system.table_sizes(self.conn) == TableSizes::default() {
            self.system.handle_loss(self.conn, Exception::disconnected("nobody uses it any more"));
        }
    }
}

impl Core for Driver {
    fn wants_input(&self) -> bool {
        self.system.wants_input(self.conn)
    }

    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        self.system.take_input(now, self.conn, bytes)
    }

    fn handle_end(&mut self, _: Duration, how: Result<(), FlowError>) -> bool {
        match how {
            Ok(()) => self.system.handle_end(self.conn),
            Err(error) => self.lost(error),
        }
        true
    }

    fn poll_work(&mut self, cx: &mut Context<'_>, _: Duration) -> bool {
        self.system.run_now(self.conn);
        // What was set off goes out in this round; what waited comes in by the next.
        let input_waits = !self.system.poll_wants_input(self.conn, cx);
        core::mem::replace(&mut self.input_waits, input_waits) && !input_waits
    }

    fn wants_transmit(&mut self, cx: &mut Context<'_>) -> bool {
        self.system.has_output(self.conn, cx)
    }

    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        self.system.poll_transmit(now, self.conn, space)
    }

    fn output_lost(&mut self, _: Duration, error: FlowError) -> bool {
        self.lost(error);
        false
    }

    fn held(&self) -> usize {
        self.system.held_bytes(self.conn)
    }

    fn handle_pressure(&mut self, _: Duration, pressure: Pressure) {
        self.system.refuse_calls(self.conn, pressure != Pressure::None);
    }

    fn reads_while_paused(&self) -> bool {
        self.system.needs_input(self.conn)
    }

    fn transport(&mut self, cx: &mut Context<'_>, now: Duration) -> Transport {
        if self.end == End::None {
            self.end_if_idle();
            if self.system.is_closed(self.conn) {
                self.end = End::Draining(now.saturating_add(self.shared.finish_timeout));
            }
        }
        match self.end {
            End::None => Transport::Open,
            End::Draining(_) if self.system.has_output(self.conn, cx) => Transport::Open,
            End::Draining(_) => Transport::Drain,
            End::Abort => Transport::Abort,
        }
    }

    fn peer_took(&mut self, now: Duration, count: usize) {
        self.system.peer_took(now, self.conn, count);
    }

    fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        match self.end {
            End::Draining(until) => Some(until),
            _ => self.system.next_deadline(now, self.conn),
        }
    }

    fn handle_timeout(&mut self, now: Duration) {
        match self.end {
            End::Draining(_) => self.end = End::Abort,
            _ => self.system.handle_timeout(now, self.conn),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.connections.update(|count| count - 1);
        let (system, conn) = (self.system.clone(), self.conn);
        let _forgets = Forgets { system, conn };
        let reason = self.system.closed_by(self.conn);
        let reason = reason.map_or_else(|| "given up".to_string(), |reason| reason.to_string());
        log::info!("rpc: the connection with {} ended: {reason}", self.peer);
    }
}

/// Forgets a connection, also when there is no memory to say why it ended.
struct Forgets {
    system: System,
    conn: ConnId,
}

impl Drop for Forgets {
    fn drop(&mut self) {
        self.system.forget(self.conn);
    }
}
