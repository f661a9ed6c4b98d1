//! Connector: asks peers who listen at a name for flows.

use crate::layout::slot as slot_layout;
use crate::slot::{Hold, Slot};
use crate::table::{Incarnation, Side, Table};
use crate::{Region, RegionFlow, RegionMemory};
use core::future::poll_fn;
use core::task::{Context, Poll};
use flow::{ConnectError, Connector, Target};
use shared_ring::Ring;

/// Opens flows to peers by the names at which they listen.
pub struct RegionConnector<M: RegionMemory>(Region<M>);

impl<M: RegionMemory> Region<M> {
    /// What opens flows to targets of the scheme `shm`.
    pub fn connector(&self) -> RegionConnector<M> {
        RegionConnector(self.clone())
    }
}

impl<M: RegionMemory> Clone for RegionConnector<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: RegionMemory> Connector for RegionConnector<M> {
    type Flow = RegionFlow<M>;

    /// Asks those who listen at the name, one after the other, until one gives a flow. One that is gone costs
    /// [`SILENCE_MAX`](crate::SILENCE_MAX).
    async fn connect(&self, target: &Target) -> Result<RegionFlow<M>, ConnectError> {
        let Target::SharedMemory(name) = target else { return Err(ConnectError::Unsupported) };
        if !self.0.has_place() {
            return Err(ConnectError::Exhausted);
        }
        let listeners = self.0.with_table(|table| table.listeners(name));
        let listeners = listeners.ok_or(ConnectError::Unreachable)?;
        let mut error = ConnectError::NotFound;
        for server in listeners {
            match self.ask(server, name).await {
                Ok(flow) => return Ok(flow),
                Err(why) => error = why,
            }
        }
        Err(error)
    }
}

impl<M: RegionMemory> RegionConnector<M> {
    async fn ask(
        &self,
        server: (usize, Incarnation),
        name: &str,
    ) -> Result<RegionFlow<M>, ConnectError> {
        let request = self.0.with_table(|table| self.request(table, server, name));
        let request = request.unwrap_or(Err(ConnectError::Unreachable))?;
        poll_fn(|cx| request.poll_answer(cx)).await?;
        request.into_flow()
    }

    fn request(
        &self,
        table: &Table<M>,
        server: (usize, Incarnation),
        name: &str,
    ) -> Result<Request<M>, ConnectError> {
        let region = self.0.clone();
        let (_, own) = region.own().ok_or(ConnectError::Unreachable)?;
        let Some(slot) = table.claim(own, |slot| region.is_held(slot)) else {
            // Some of them may be a peer's who is gone.
            region.sweep();
            return Err(ConnectError::Exhausted);
        };
        let hold = Hold { region, slot, side: Side::Client, own, other: server, _place: None };
        self.0.hold_asked(&hold);
        let ring = Ring::serve(Slot::new(table, slot), table.layout.geometry());
        let ring = ring.map_err(|_| ConnectError::Unreachable)?;
        table.request(slot, server, name);
        Ok(Request { region: self.0.clone(), parts: Some((ring, hold)) })
    }
}

/// What a peer was asked for. Dropping it without an answer withdraws it.
struct Request<M: RegionMemory> {
    region: Region<M>,
    parts: Option<(Ring<Slot<M>>, Hold<M>)>,
}

impl<M: RegionMemory> Request<M> {
    fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let Some((_, hold)) = &self.parts else { return Poll::Ready(Ok(())) };
        // First who is to be woken, then the look.
        let is_gone = self.region.await_answer(hold.slot, cx);
        let state = self.region.with_table(|table| table.state(hold.slot));
        match state {
            Some(slot_layout::ACCEPTED) => Poll::Ready(Ok(())),
            Some(slot_layout::REFUSED) => Poll::Ready(Err(ConnectError::Refused)),
            Some(slot_layout::ASKED) if !is_gone => Poll::Pending,
            _ => Poll::Ready(Err(ConnectError::Unreachable)),
        }
    }

    fn into_flow(mut self) -> Result<RegionFlow<M>, ConnectError> {
        let (ring, hold) = self.parts.take().ok_or(ConnectError::Unreachable)?;
        Ok(self.region.open(ring, hold))
    }
}

impl<M: RegionMemory> Drop for Request<M> {
    fn drop(&mut self) {
        let Some((mut ring, hold)) = self.parts.take() else { return };
        self.region.with_table(|table| {
            if table.decide(hold.slot, 0) {
                table.release(hold.slot, Side::Server, hold.other.1);
            } else {
                // It has a flow, or had one: the other side is told that this one ends.
                ring.close();
                table.tell(hold.other.0, hold.slot);
            }
        });
    }
}
