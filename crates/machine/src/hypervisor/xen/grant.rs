//! Grant table, version 1: pages that other domains may use (Xen, public/grant_table.h).
//!
//! A grant is a row of a table that Xen reads: whom it is for, which page, how. Ending one is a
//! compare-and-swap that fails while the other side has the page mapped; a page is ordinary memory
//! again only after that.

use super::hypercall::{self, DOMID_SELF, DomainId};
use crate::memory::{PAGE_BYTES, Pages};
use alloc::vec::Vec;
use core::slice;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use spinning_top::Spinlock;

/// What the other side may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read it.
    Read,
    /// Read and write it.
    ReadWrite,
}

/// The other side still has the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InUse;

/// A row of the table, owned. It permits nothing until [`Grant::permit`].
#[derive(Debug)]
pub(crate) struct Grant {
    reference: u32,
    entry: &'static Entry,
}

/// `grant_entry_v1`.
#[derive(Debug)]
#[repr(C)]
struct Entry {
    flags: AtomicU16,
    domain: AtomicU16,
    page: AtomicU32,
}

const PERMIT_ACCESS: u16 = 1;
const READ_ONLY: u16 = 1 << 2;
/// Set by Xen while the page is mapped, or being copied from.
const READING: u16 = 1 << 3;
/// Likewise, to write.
const WRITING: u16 = 1 << 4;

impl Grant {
    /// A row that nobody has; `None` when the table is full and Xen allows no larger one.
    pub(crate) fn allocate() -> Option<Self> {
        let mut table = TABLE.lock();
        if table.free.is_empty() {
            table.grow()?;
        }
        let reference = table.free.pop()?;
        let entry = table.entry(reference)?;
        Some(Self { reference, entry })
    }

    /// Its number, by which the other side finds it.
    pub(crate) fn reference(&self) -> u32 {
        self.reference
    }

    /// Lets `domain` use the page at a physical address. A grant that is in force stays as it is:
    /// Xen keeps its own bits in there.
    ///
    /// # Safety
    /// The page is the caller's, and what the other domain reads or writes there harms nobody,
    /// until [`Grant::end`] has succeeded.
    pub(crate) unsafe fn permit(&self, domain: DomainId, physical: u64, access: Access) {
        if self.entry.flags.load(Ordering::Relaxed) != 0 {
            return;
        }
        let read_only = if access == Access::Read { READ_ONLY } else { 0 };
        // A page number above 2^32 would be cut; machines with 16 TiB use version 2.
        self.entry.page.store((physical >> 12) as u32, Ordering::Relaxed);
        self.entry.domain.store(domain, Ordering::Relaxed);
        // Xen reads the row once this is set.
        self.entry.flags.store(PERMIT_ACCESS | read_only, Ordering::Release);
    }

    /// Takes the page back. Afterwards the other side can neither read nor write it.
    pub(crate) fn end(&self) -> Result<(), InUse> {
        let mut flags = self.entry.flags.load(Ordering::Relaxed);
        while flags & (READING | WRITING) == 0 {
            let swap = self.entry.flags.compare_exchange_weak(
                flags,
                0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match swap {
                Ok(_) => return Ok(()),
                Err(now) => flags = now,
            }
        }
        Err(InUse)
    }
}

/// Takes several pages back, as far as the other side lets go; whether it has of all.
pub(crate) fn end_all<'a>(grants: impl IntoIterator<Item = &'a Grant>) -> bool {
    let mut all = true;
    for grant in grants {
        all &= grant.end().is_ok();
    }
    all
}

impl Drop for Grant {
    /// A row whose page the other side does not let go of is never used again.
    fn drop(&mut self) {
        if self.end().is_ok() {
            TABLE.lock().free.push(self.reference);
        }
    }
}

/// The domain was restored: its table is a new one, which permits nothing. Rows keep their owners, who enter them again.
pub(super) fn restored() {
    for (index, frame) in TABLE.lock().frames.iter().enumerate() {
        map_frame(index as u64, frame).expect("as many grants as before");
    }
}

static TABLE: Spinlock<Table> =
    Spinlock::new(Table { frames: Vec::new(), frames_max: None, free: Vec::new() });

/// Rows in a page.
const FRAME_ENTRIES: usize = PAGE_BYTES / size_of::<Entry>();
/// The first rows are the toolstack's: console and xenstore.
const RESERVED_ENTRIES: u32 = 8;
/// What is asked for at most, whatever Xen would give: 16,384 grants.
const FRAMES_MAX: usize = 32;

struct Table {
    frames: Vec<&'static [Entry; FRAME_ENTRIES]>,
    frames_max: Option<usize>,
    free: Vec<u32>,
}

impl Table {
    fn entry(&self, reference: u32) -> Option<&'static Entry> {
        let reference = reference as usize;
        self.frames.get(reference / FRAME_ENTRIES)?.get(reference % FRAME_ENTRIES)
    }

    /// Adds a page of rows.
    fn grow(&mut self) -> Option<()> {
        let frames_max = *self.frames_max.get_or_insert_with(frames_max);
        let index = self.frames.len();
        if index >= frames_max {
            return None;
        }
        // Once Xen's page is there, the memory is Xen's: it must not go back to the heap.
        let start = Pages::new(1, 1)?.leak().cast::<Entry>();
        // SAFETY: a whole page that nobody else has, all of it atomic.
        let entries = unsafe { slice::from_raw_parts(start.as_ptr(), FRAME_ENTRIES) };
        let frame = entries.try_into().ok()?;
        map_frame(index as u64, frame)?;
        self.frames.push(frame);
        let first = (index * FRAME_ENTRIES) as u32;
        let rows = first.max(RESERVED_ENTRIES)..first + FRAME_ENTRIES as u32;
        // Taken from the end: the lowest first.
        self.free.extend(rows.rev());
        Some(())
    }
}

/// Puts a page of Xen's table in the place of ours. Without Xen the table is ordinary memory, which a test looks at.
fn map_frame(index: u64, frame: &'static [Entry; FRAME_ENTRIES]) -> Option<()> {
    const GRANT_TABLE: u32 = 1;
    if !hypercall::is_possible() {
        frame.iter().for_each(|entry| entry.flags.store(0, Ordering::Relaxed));
        return Some(());
    }
    // SAFETY: the page was leaked for the table, which reaches it atomically and expects to find it changed.
    unsafe { hypercall::add_to_physmap(GRANT_TABLE, index, frame.as_ptr() as u64) }.ok()
}

fn frames_max() -> usize {
    /// `gnttab_query_size`.
    #[repr(C)]
    struct Argument {
        domain: u16,
        _pad: u16,
        frames: u32,
        frames_max: u32,
        status: i16,
    }
    if !hypercall::is_possible() {
        return FRAMES_MAX;
    }
    let mut argument =
        Argument { domain: DOMID_SELF, _pad: 0, frames: 0, frames_max: 0, status: 0 };
    let pointer = (&raw mut argument).cast();
    // SAFETY: the command reads and writes this structure.
    let asked = unsafe { hypercall::grant_table_op(hypercall::GNTTABOP_QUERY_SIZE, pointer, 1) };
    let known = asked.is_ok() && argument.status == 0;
    if known { (argument.frames_max as usize).min(FRAMES_MAX) } else { 1 }
}

/// The other side of grants, for tests.
#[cfg(any(test, feature = "fake"))]
pub(crate) mod fake {
    use super::{PERMIT_ACCESS, READ_ONLY, READING, TABLE, WRITING};
    use core::sync::atomic::Ordering;

    /// The page that a grant permits, and whether it may be written.
    pub(crate) fn look_up(reference: u32) -> Option<(u64, bool)> {
        let entry = TABLE.lock().entry(reference)?;
        let flags = entry.flags.load(Ordering::Acquire);
        let page = crate::memory::dma::host::page(entry.page.load(Ordering::Relaxed))?;
        (flags & PERMIT_ACCESS != 0).then_some((page, flags & READ_ONLY == 0))
    }

    /// Maps a granted page, or lets go of it.
    pub(crate) fn hold(reference: u32, hold: bool) {
        let Some(entry) = TABLE.lock().entry(reference) else { return };
        if hold {
            entry.flags.fetch_or(READING | WRITING, Ordering::AcqRel);
        } else {
            entry.flags.fetch_and(!(READING | WRITING), Ordering::AcqRel);
        }
    }
}
