//! Window: addresses without memory, onto which pages of other domains are mapped (Xen, public/grant_table.h,
//! `GNTTABOP_map_grant_ref`).
//!
//! Xen puts a granted page in the place of whatever is at a guest's address, and leaves nothing there when it is unmapped. So
//! no memory is spent on that: the window lies behind all that the memory map names.

use super::event::restorations;
use super::hypercall::{self, DomainId};
use crate::arch::page_tables;
use crate::memory::PAGE_BYTES;
use crate::start_info;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use spinning_top::Spinlock;

/// Pages that are mapped at once at most: 64 MiB.
const PAGES_MAX: usize = 16_384;
/// What page tables map at once.
const LARGE_BYTES: u64 = 2 << 20;

/// Why a page of another domain's cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// So many pages are mapped already as there is room for, or memory is short.
    NoRoom,
    /// Xen refuses, with this status (public/grant_table.h, `GNTST_`): nothing is granted to this domain by that number.
    Refused(i16),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom => f.write_str("no room to map pages of other domains to"),
            Self::Refused(status) => {
                write!(f, "Xen maps no such page of that domain's (status {status})")
            }
        }
    }
}

impl core::error::Error for MapError {}

/// A page of another domain's, mapped. To be [unmapped](unmap).
#[derive(Debug)]
pub(super) struct Frame {
    start: NonNull<u8>,
    /// By what Xen knows the mapping; a test's fake by its grant.
    handle: u32,
    /// How often the domain had been restored.
    restorations: u32,
}

impl Frame {
    /// Its first byte.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

/// Maps pages that `domain` has granted, to be read and written: all of them, or none.
pub(super) fn map(domain: DomainId, references: &[u32]) -> Result<Vec<Frame>, MapError> {
    #[cfg(any(test, feature = "fake"))]
    if !hypercall::is_possible() {
        return fake::map(references);
    }
    let places = WINDOW.lock().take(references.len()).ok_or(MapError::NoRoom)?;
    let new = |(place, reference): (&u64, &u32)| Map::new(*place, *reference, domain);
    let mut asked: Vec<Map> = places.iter().zip(references).map(new).collect();
    let elements = asked.as_mut_ptr().cast();
    // SAFETY: the command reads and writes these structures. The places are the window's and free: nothing relies on what is
    // there.
    let done = unsafe {
        hypercall::grant_table_op(hypercall::GNTTABOP_MAP_GRANT_REF, elements, asked.len())
    };
    let refused = match done {
        Ok(_) => asked.iter().map(|map| map.status).find(|&status| status != 0),
        Err(_) => Some(GENERAL_ERROR),
    };
    let (mapped, vacant): (Vec<Map>, Vec<Map>) =
        asked.iter().partition(|map| done.is_ok() && map.status == 0);
    let frames = mapped.iter().map(|map| Frame {
        start: NonNull::new(map.address as *mut u8).expect("the window is not at address 0"),
        handle: map.handle,
        restorations: restorations(),
    });
    let frames = frames.collect();
    match refused {
        None => Ok(frames),
        Some(status) => {
            unmap(frames);
            WINDOW.lock().free.extend(vacant.iter().map(|map| map.address));
            Err(MapError::Refused(status))
        }
    }
}

/// Gives pages back to their domain. Nobody may reach them any more.
pub(super) fn unmap(frames: Vec<Frame>) {
    #[cfg(any(test, feature = "fake"))]
    if !hypercall::is_possible() {
        return fake::unmap(&frames);
    }
    // What was mapped before the domain was restored is not any more, and its handle may be another's.
    let (here, lost): (Vec<_>, Vec<_>) =
        frames.into_iter().partition(|frame| frame.restorations == restorations());
    let mut vacant: Vec<u64> = lost.iter().map(|frame| frame.start.as_ptr() as u64).collect();
    let mut asked: Vec<Unmap> = here.iter().map(Unmap::new).collect();
    let elements = asked.as_mut_ptr().cast();
    // SAFETY: the command reads and writes these structures; whoever had the frames has given them up.
    let done = unsafe {
        hypercall::grant_table_op(hypercall::GNTTABOP_UNMAP_GRANT_REF, elements, asked.len())
    };
    // A place that Xen did not vacate is not used again.
    let is_vacant = |unmap: &&Unmap| done.is_ok() && unmap.status == 0;
    vacant.extend(asked.iter().filter(is_vacant).map(|unmap| unmap.address));
    WINDOW.lock().free.extend(vacant);
}

static WINDOW: Spinlock<Window> = Spinlock::new(Window { start: None, begun: 0, free: Vec::new() });

/// `GNTST_general_error`.
const GENERAL_ERROR: i16 = -1;

struct Window {
    /// Once there is one.
    start: Option<u64>,
    /// Pages that were ever taken: those behind them are free, too.
    begun: usize,
    free: Vec<u64>,
}

impl Window {
    /// So many addresses of pages that nobody has.
    fn take(&mut self, count: usize) -> Option<Vec<u64>> {
        let start = match self.start {
            Some(start) => start,
            None => *self.start.insert(open()?),
        };
        if self.free.len() + (PAGES_MAX - self.begun) < count {
            return None;
        }
        let used_before = count.min(self.free.len());
        let mut places = self.free.split_off(self.free.len() - used_before);
        let fresh = self.begun..self.begun + (count - used_before);
        self.begun = fresh.end;
        places.extend(fresh.map(|page| start + (page * PAGE_BYTES) as u64));
        Some(places)
    }
}

/// Makes page tables for the window. All below 4 GiB is mapped already.
fn open() -> Option<u64> {
    let start = start_behind(start_info::memory_map_end());
    // SAFETY: the memory map names nothing behind its last entry, and only what is mapped there is reached.
    unsafe { page_tables::map_vacant(start, PAGES_MAX * PAGE_BYTES) }?;
    Some(start)
}

/// Where large pages can begin behind the memory map and the first 4 GiB.
fn start_behind(memory_map_end: u64) -> u64 {
    memory_map_end.max(1 << 32).next_multiple_of(LARGE_BYTES)
}

/// `gnttab_map_grant_ref`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Map {
    address: u64,
    flags: u32,
    reference: u32,
    domain: u16,
    status: i16,
    handle: u32,
    _bus_address: u64,
}

impl Map {
    fn new(address: u64, reference: u32, domain: DomainId) -> Self {
        /// `GNTMAP_host_map`: for the CPU, to be written, too.
        const FOR_CPU: u32 = 1 << 1;
        let status = GENERAL_ERROR;
        Self { address, flags: FOR_CPU, reference, domain, status, handle: 0, _bus_address: 0 }
    }
}

/// `gnttab_unmap_grant_ref`.
#[repr(C)]
struct Unmap {
    address: u64,
    _bus_address: u64,
    handle: u32,
    status: i16,
}

impl Unmap {
    fn new(frame: &Frame) -> Self {
        let (address, status) = (frame.start.as_ptr() as u64, GENERAL_ERROR);
        Self { address, _bus_address: 0, handle: frame.handle, status }
    }
}

/// Both domains are this process.
#[cfg(any(test, feature = "fake"))]
mod fake {
    use super::{Frame, GENERAL_ERROR, MapError, restorations};
    use crate::hypervisor::xen::grant;
    use alloc::vec::Vec;
    use core::ptr::NonNull;

    pub(super) fn map(references: &[u32]) -> Result<Vec<Frame>, MapError> {
        let mut frames = Vec::new();
        for &reference in references {
            let page = grant::fake::look_up(reference).filter(|&(_, may_write)| may_write);
            let start = page.and_then(|(page, _)| NonNull::new(page as *mut u8));
            let Some(start) = start else {
                unmap(&frames);
                return Err(MapError::Refused(GENERAL_ERROR));
            };
            grant::fake::hold(reference, true);
            frames.push(Frame { start, handle: reference, restorations: restorations() });
        }
        Ok(frames)
    }

    pub(super) fn unmap(frames: &[Frame]) {
        for frame in frames {
            grant::fake::hold(frame.handle, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::xen::event;
    use core::cell::RefCell;
    use std::rc::Rc;

    /// A page that Xen is asked to map: its place, and the grant.
    type Asked = Vec<(u64, u32)>;

    /// Xen's end of the window: of grants from 100 on it refuses to map, and to unmap from 50 on. What it was asked to map.
    fn xen() -> Rc<RefCell<Asked>> {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let mapped = asked.clone();
        hypercall::fake::answer_by(move |[number, command, elements, count]| {
            assert_eq!(number, 20, "grant_table_op");
            for nth in 0..count as usize {
                if command == 0 {
                    // SAFETY: the command's elements are these structures.
                    let map = unsafe { &mut *(elements as *mut Map).wrapping_add(nth) };
                    mapped.borrow_mut().push((map.address, map.reference));
                    map.handle = 1000 + map.reference;
                    map.status = if map.reference < 100 { 0 } else { -3 };
                } else {
                    // SAFETY: as above.
                    let unmap = unsafe { &mut *(elements as *mut Unmap).wrapping_add(nth) };
                    unmap.status = if unmap.handle < 1050 { 0 } else { -1 };
                }
            }
            Ok(0)
        });
        asked
    }

    /// 64 MiB behind 4 GiB, where the memory map of a host, which has none, names nothing. All tests of the window that all of a
    /// process has are here.
    #[test]
    fn pages_have_places_of_the_window_which_are_used_again_once_xen_has_left_them() {
        const START: u64 = 1 << 32;
        let _alone = event::restoring();
        let asked = xen();
        page_tables::fake::start();
        assert_eq!(page_tables::fake::physical(START), None);
        let frames = map(7, &[1, 2, 51]).unwrap();
        for at in [START, START + (2 << 20), START + (64 << 20) - 4096] {
            assert_eq!(page_tables::fake::physical(at), Some(at), "{at:#x}");
        }
        for at in [START - 4096, START + (64 << 20)] {
            assert_eq!(page_tables::fake::physical(at), None, "{at:#x}");
        }
        let place = |page: u64| START + page * 4096;
        let starts: Vec<_> = frames.iter().map(|frame| frame.start().as_ptr() as u64).collect();
        assert_eq!(starts, [place(0), place(1), place(2)]);
        assert_eq!(asked.take(), [(place(0), 1), (place(1), 2), (place(2), 51)]);
        // The last of them is not left.
        unmap(frames);
        assert_eq!(WINDOW.lock().free, [place(0), place(1)]);
        // One is refused, and so are all; their places are free again.
        assert_eq!(map(7, &[3, 100, 4]).err(), Some(MapError::Refused(-3)));
        assert_eq!(asked.take(), [(place(0), 3), (place(1), 100), (place(3), 4)]);
        assert_eq!(WINDOW.lock().free, [place(0), place(3), place(1)]);
        // What was mapped before the domain was restored is not unmapped again.
        let mut frames = map(7, &[5]).unwrap();
        assert_eq!(WINDOW.lock().free, [place(0), place(3)]);
        frames[0].restorations = restorations().wrapping_sub(1);
        frames[0].handle = 1051;
        unmap(frames);
        assert_eq!(WINDOW.lock().free, [place(0), place(3), place(1)]);
        hypercall::fake::answer_by(|_| Err(hypercall::Errno(38)));
        assert_eq!(map(7, &[6]).err(), Some(MapError::Refused(-1)));
        assert_eq!(WINDOW.lock().free.len(), 3);
    }

    #[test]
    fn places_are_used_again_and_no_more_are_given_than_there_are() {
        let mut window = Window { start: Some(1 << 32), begun: 0, free: Vec::new() };
        let mut all = window.take(PAGES_MAX).unwrap();
        assert_eq!(all.last(), Some(&((1 << 32) + (64 << 20) - 4096)));
        assert!(window.take(1).is_none());
        window.free.extend(all.split_off(PAGES_MAX - 3));
        assert!(window.take(4).is_none());
        assert_eq!(window.take(2).unwrap().len(), 2);
        assert_eq!(window.take(1).unwrap().len(), 1);
        assert!(window.take(1).is_none());
        assert_eq!(window.take(0), Some(Vec::new()));
    }

    /// public/grant_table.h: `GNTMAP_host_map`, and a status of -1 until Xen has said another.
    #[test]
    fn xen_is_asked_for_pages_that_may_be_written() {
        let map = Map::new(1 << 32, 9, 7);
        assert_eq!((map.address, map.flags, map.reference, map.domain), (1 << 32, 2, 9, 7));
        assert_eq!((map.status, size_of::<Map>(), size_of::<Unmap>()), (-1, 32, 24));
        let frame = Frame { start: NonNull::<u8>::dangling(), handle: 5, restorations: 0 };
        let unmap = Unmap::new(&frame);
        assert_eq!((unmap.address, unmap.handle, unmap.status), (1, 5, -1));
    }

    #[test]
    fn what_cannot_be_mapped_says_why() {
        use std::string::ToString;
        let (no_room, refused) = (MapError::NoRoom, MapError::Refused(-3));
        assert_eq!(no_room.to_string(), "no room to map pages of other domains to");
        assert_eq!(refused.to_string(), "Xen maps no such page of that domain's (status -3)");
        assert_eq!(hypercall::Errno(22).to_string(), "Xen's error 22");
    }

    #[test]
    fn the_window_is_behind_all_that_the_memory_map_names() {
        let ends = [0, 1 << 32, (1 << 32) + 1, (1 << 32) + (2 << 20)].map(start_behind);
        let next = (1 << 32) + (2 << 20);
        assert_eq!(ends, [1 << 32, 1 << 32, next, next]);
    }
}
