//! Objects that answer calls, and the calls that wait for their turn.

use super::server::{Received, Target};
use crate::table::{Beside, Key, Slab};
use crate::vat::{CallId, ConnId, ObjectId};
use alloc::collections::BTreeMap;
use capnp::Error;

/// The objects by number, and the calls that wait before them.
#[derive(Default)]
pub(super) struct Objects {
    objects: Slab<Object>,
    /// Where calls wait that were not begun, by call.
    waiting: Beside<(Place, u64)>,
    /// Calls by connections whose peers do not take what was answered before, in the order of their arrival.
    stopped: BTreeMap<ConnId, BTreeMap<u64, Received>>,
    /// How many calls have waited.
    arrived: u64,
}

/// What a call waits for.
#[derive(Clone, Copy)]
enum Place {
    /// A streaming call of its object.
    Object(ObjectId),
    /// Its peer, which has to read.
    Connection(ConnId),
}

pub(super) struct Object {
    pub(super) target: Target,
    /// Calls that wait for a streaming one to end, in the order of their arrival.
    waiting: BTreeMap<u64, Received>,
    /// How many others wait for their peers.
    stopped: usize,
    /// A streaming call is at work.
    pub(super) streaming: bool,
    /// A streaming call failed: all later ones fail alike.
    pub(super) failed: Option<Error>,
    /// Nobody has it any more; it goes when no call waits here.
    released: bool,
}

impl Object {
    fn is_held(&self) -> bool {
        self.streaming || !self.waiting.is_empty()
    }
}

impl Objects {
    pub(super) fn insert(&mut self, target: Target) -> ObjectId {
        let entry = Object {
            target,
            waiting: BTreeMap::new(),
            stopped: 0,
            streaming: false,
            failed: None,
            released: false,
        };
        ObjectId(self.objects.insert(entry).to_bits())
    }

    /// Takes out an object that nobody has any more, unless calls wait for it; whoever gets it drops it
    /// where nothing is borrowed.
    pub(super) fn release(&mut self, object: ObjectId) -> Option<impl Sized + use<>> {
        let entry = self.get_mut(object)?;
        entry.released = true;
        self.remove_released(object)
    }

    pub(super) fn remove_released(&mut self, object: ObjectId) -> Option<Object> {
        let entry = self.get_mut(object)?;
        let idle = entry.released && !entry.is_held() && entry.stopped == 0;
        if idle { self.objects.remove(Key::from_bits(object.0)) } else { None }
    }

    pub(super) fn get_mut(&mut self, object: ObjectId) -> Option<&mut Object> {
        self.objects.get_mut(Key::from_bits(object.0))
    }

    /// What answers the calls of an object, if they may begin at once.
    pub(super) fn ready(&self, object: ObjectId) -> Option<Target> {
        let entry = self.objects.get(Key::from_bits(object.0))?;
        (!entry.is_held() && entry.failed.is_none()).then(|| entry.target.clone())
    }

    /// The call, if it may begin; else it waits, since one at work holds it back.
    pub(super) fn admit(&mut self, received: Received) -> Option<Received> {
        let (call, object) = (received.call, received.object);
        match self.objects.get_mut(Key::from_bits(object.0)) {
            Some(entry) if entry.is_held() => {
                self.arrived += 1;
                entry.waiting.insert(self.arrived, received);
                self.waiting.insert(call.0, (Place::Object(object), self.arrived));
                None
            }
            _ => Some(received),
        }
    }

    /// As [`admit`](Self::admit), for a call by a connection; which waits if the peer has to read before.
    pub(super) fn admit_from(
        &mut self,
        received: Received,
        conn: ConnId,
        backed_up: bool,
    ) -> Option<Received> {
        if !backed_up && !self.has_stopped(conn) {
            return self.admit(received);
        }
        self.arrived += 1;
        self.waiting.insert(received.call.0, (Place::Connection(conn), self.arrived));
        if let Some(entry) = self.get_mut(received.object) {
            entry.stopped += 1;
        }
        self.stopped.entry(conn).or_default().insert(self.arrived, received);
        None
    }

    /// Whether calls wait for the peer of a connection to read.
    pub(super) fn has_stopped(&self, conn: ConnId) -> bool {
        !self.stopped.is_empty() && self.stopped.contains_key(&conn)
    }

    /// The next call that may begin at an object, if none is at work that holds it back.
    pub(super) fn next(&mut self, object: ObjectId) -> Option<Received> {
        let entry = self.get_mut(object).filter(|entry| !entry.streaming)?;
        let (_, next) = entry.waiting.pop_first()?;
        self.waiting.remove(next.call.0);
        Some(next)
    }

    /// The next call that waits for the peer of a connection to read, which it has.
    pub(super) fn next_stopped(&mut self, conn: ConnId) -> Option<Received> {
        let (place, _) = self.stopped.get(&conn)?.first_key_value()?;
        let next = self.take_stopped(conn, *place)?;
        self.waiting.remove(next.call.0);
        Some(next)
    }

    fn take_stopped(&mut self, conn: ConnId, place: u64) -> Option<Received> {
        let calls = self.stopped.get_mut(&conn)?;
        let taken = calls.remove(&place)?;
        if calls.is_empty() {
            self.stopped.remove(&conn);
        }
        if let Some(entry) = self.get_mut(taken.object) {
            entry.stopped -= 1;
        }
        Some(taken)
    }

    /// A call that was not begun, out of those that wait.
    pub(super) fn withdraw(&mut self, call: CallId) -> Option<Received> {
        match self.waiting.remove(call.0)? {
            (Place::Object(object), place) => self.get_mut(object)?.waiting.remove(&place),
            (Place::Connection(conn), place) => self.take_stopped(conn, place),
        }
    }
}
