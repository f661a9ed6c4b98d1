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

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr;

    /// Flags, domain and page number, as public/grant_table.h has them in a row.
    fn row(grant: &Grant) -> (u16, u16, u32) {
        let Entry { flags, domain, page } = grant.entry;
        let flags = flags.load(Ordering::Relaxed);
        (flags, domain.load(Ordering::Relaxed), page.load(Ordering::Relaxed))
    }

    fn permit(grant: &Grant, domain: DomainId, physical: u64, access: Access) {
        // SAFETY: there is no other domain, and nobody looks the page up.
        unsafe { grant.permit(domain, physical, access) }
    }

    #[test]
    fn a_row_says_who_may_use_which_page_and_how() {
        let grant = Grant::allocate().unwrap();
        assert_eq!(row(&grant).0, 0, "nothing is permitted yet");
        for (access, flags) in [(Access::ReadWrite, 1), (Access::Read, 1 | 1 << 2)] {
            permit(&grant, 7, 0xabc_1234_5678, access);
            assert_eq!(row(&grant), (flags, 7, 0x0abc_1234 << 4 | 5));
            permit(&grant, 8, 0x1000, Access::ReadWrite);
            assert_eq!(row(&grant), (flags, 7, 0xabc1_2345), "one in force stays as it is");
            assert_eq!((grant.end(), row(&grant).0), (Ok(()), 0));
        }
    }

    #[test]
    fn a_page_that_the_other_side_uses_is_not_taken_back_and_its_row_not_used_again() {
        for using in [1 << 3, 1 << 4, 1 << 3 | 1 << 4] {
            let [held, other] = [(); 2].map(|()| Grant::allocate().unwrap());
            for grant in [&held, &other] {
                permit(grant, 7, 0x1000, Access::ReadWrite);
            }
            held.entry.flags.fetch_or(using, Ordering::Relaxed);
            assert_eq!((held.end(), row(&held).0), (Err(InUse), 1 | using));
            assert!(!end_all([&held, &other]));
            assert_eq!((row(&held).0, row(&other).0), (1 | using, 0));
            assert!(end_all([&other]) && end_all([]));
            let reference = held.reference();
            drop(held);
            assert!(!TABLE.lock().free.contains(&reference));
        }
        // More than there are: what is given back is used again.
        for _ in 0..20_000 {
            Grant::allocate().unwrap();
        }
    }

    #[test]
    fn the_table_grows_by_pages_and_leaves_the_first_rows_to_the_toolstack() {
        let empty = |frames_max| Table { frames: Vec::new(), frames_max, free: Vec::new() };
        let mut table = empty(None);
        assert!(table.entry(0).is_none());
        table.grow().unwrap();
        assert_eq!((table.free.len(), table.free.last()), (504, Some(&8)));
        assert!(ptr::eq(table.entry(511).unwrap(), &raw const table.frames[0][511]));
        assert!(table.entry(512).is_none());
        table.grow().unwrap();
        assert_eq!((table.free.len(), table.free.last()), (1016, Some(&512)));
        assert!(ptr::eq(table.entry(513).unwrap(), &raw const table.frames[1][1]));
        while table.grow().is_some() {}
        assert_eq!((table.frames.len(), table.free.len()), (32, 16_376));
        // A new domain's table permits nothing.
        let last = table.entry(16_383).unwrap();
        last.flags.store(1, Ordering::Relaxed);
        map_frame(31, table.frames[31]).unwrap();
        assert_eq!(last.flags.load(Ordering::Relaxed), 0);
        let mut small = empty(Some(1));
        assert_eq!((small.grow(), small.grow()), (Some(()), None));
    }
}
