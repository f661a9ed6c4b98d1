//! Listener: a name in the region at which others come.

use crate::table::{Incarnation, Table};
use crate::{Region, RegionFlow, RegionMemory};
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use core::task::{Context, Poll};
use flow::sync::Queue;
use flow::{Address, FlowError, Listener};

/// Listens at a name. Every peer of the region may connect.
pub struct RegionListener<M: RegionMemory> {
    region: Region<M>,
    queue: Rc<AcceptQueue<M>>,
}

impl<M: RegionMemory> Region<M> {
    /// Listens at `name`, of 1 to 107 bytes, with room for `backlog` flows that nobody accepted yet. None if somebody here
    /// listens there already, or the name cannot be one.
    ///
    /// Another peer may listen at the same name: who connects is given to one of them.
    pub fn listen(&self, name: &str, backlog: usize) -> Option<RegionListener<M>> {
        let is_name = (1..=crate::layout::NAME_BYTES_MAX).contains(&name.len());
        let mut listeners = self.listeners().borrow_mut();
        let is_taken =
            listeners.iter().filter_map(Published::queue).any(|queue| queue.name == name);
        if !is_name || is_taken {
            return None;
        }
        let (flows, places) = (Queue::default(), Rc::default());
        let queue = Rc::new(AcceptQueue { name: name.into(), backlog, flows, places });
        listeners.push(Published { queue: Rc::downgrade(&queue), entry: None });
        drop(listeners);
        self.publish_all();
        Some(RegionListener { region: self.clone(), queue })
    }
}

impl<M: RegionMemory> Listener for RegionListener<M> {
    type Flow = RegionFlow<M>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<RegionFlow<M>, FlowError>> {
        self.queue.flows.poll_pop(cx).map(Ok)
    }

    fn local(&self) -> Address {
        Address::SharedMemory(0)
    }
}

impl<M: RegionMemory> Drop for RegionListener<M> {
    fn drop(&mut self) {
        let mut listeners = self.region.listeners().borrow_mut();
        let is_own = |one: &Published<M>| core::ptr::eq(one.queue.as_ptr(), &raw const *self.queue);
        let Some(place) = listeners.iter().position(is_own) else { return };
        let published = listeners.swap_remove(place);
        drop(listeners);
        if let Some((own, entry)) = published.entry {
            self.region.with_table(|table| table.withdraw(own, entry));
        }
    }
}

/// The flows of a listener that nobody accepted yet.
pub(crate) struct AcceptQueue<M: RegionMemory> {
    pub(crate) name: String,
    backlog: usize,
    flows: Queue<RegionFlow<M>>,
    /// Its clones are those of the flows.
    places: Rc<()>,
}

impl<M: RegionMemory> AcceptQueue<M> {
    pub(crate) fn has_room(&self, region: &Region<M>) -> bool {
        let open = Rc::strong_count(&self.places) - 1;
        let has_place = region.has_place_beside(open);
        if !has_place {
            log::warn!("shared memory: no room for another connection at {}", self.name);
        }
        has_place && self.flows.len() < self.backlog
    }

    pub(crate) fn place(&self) -> Rc<()> {
        self.places.clone()
    }

    pub(crate) fn push(&self, flow: RegionFlow<M>) {
        self.flows.push(flow);
    }
}

/// A listener, and where others find it.
pub(crate) struct Published<M: RegionMemory> {
    queue: Weak<AcceptQueue<M>>,
    /// As whom, and the entry among the names.
    entry: Option<(Incarnation, usize)>,
}

impl<M: RegionMemory> Published<M> {
    pub(crate) fn queue(&self) -> Option<Rc<AcceptQueue<M>>> {
        self.queue.upgrade()
    }

    /// Has others find it, if it is not there.
    pub(crate) fn publish(&mut self, table: &Table<M>, own: Incarnation) {
        let is_there = self.entry.is_some_and(|(before, _)| before == own);
        let Some(queue) = self.queue.upgrade().filter(|_| !is_there) else { return };
        self.entry = table.publish(own, &queue.name).map(|entry| (own, entry));
        if self.entry.is_none() {
            log::error!("shared memory: nobody finds {}: the region is full of names", queue.name);
        }
    }
}
