//! What a backend can do, and what its disk is like (public/io/blkif.h).

use crate::{Error, Settings};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use machine::xen::block::{DIRECT_PAGES_MAX, SECTOR_BYTES, Shape};
use storage::Geometry;
use xen_store::Store;

const PAGE_BYTES: usize = 4096;
/// Rings of more pages are not asked for.
const RING_PAGES_MAX: usize = 16;

/// What a backend offers before a ring is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The most pages that a ring may have.
    pub(crate) ring_pages_max: usize,
    /// The most pages that a request may have.
    pub(crate) segments_max: usize,
}

impl Offer {
    /// What is missing is not offered.
    pub(crate) async fn read(store: &Store, backend: &str) -> Result<Self, Error> {
        let [order, pages, segments] = numbers(
            store,
            backend,
            ["max-ring-page-order", "max-ring-pages", "feature-max-indirect-segments"],
        )
        .await?;
        // The older word for the same (note 3 in blkif.h).
        let pages = pages.unwrap_or(1).min(RING_PAGES_MAX as u64) as usize;
        let by_order = 1 << order.unwrap_or(0).min(RING_PAGES_MAX.ilog2().into());
        let segments = usize::try_from(segments.unwrap_or(0)).unwrap_or(usize::MAX);
        Ok(Self {
            ring_pages_max: by_order.max(1 << pages.max(1).ilog2()),
            segments_max: segments.max(DIRECT_PAGES_MAX),
        })
    }

    /// As much of what is wished as is offered.
    pub(crate) fn shape(&self, settings: &Settings) -> Shape {
        let Settings { requests_max, request_bytes_max } = *settings;
        Shape {
            ring_pages: Shape::ring_pages_for(requests_max).min(self.ring_pages_max),
            requests_max,
            request_bytes_max: request_bytes_max.min(self.segments_max.saturating_mul(PAGE_BYTES)),
        }
    }

    /// Whether a ring of that shape may be used.
    pub(crate) fn allows(&self, shape: &Shape) -> bool {
        shape.ring_pages <= self.ring_pages_max
            && shape.request_bytes_max.div_ceil(PAGE_BYTES) <= self.segments_max
    }
}

/// What a backend says of the disk once it has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) geometry: Geometry,
    pub(crate) flush: Flush,
}

/// How what was written is made to outlive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// There is nothing to do.
    Never,
    /// By `BLKIF_OP_FLUSH_DISKCACHE`.
    Cache,
    /// By `BLKIF_OP_WRITE_BARRIER`.
    Barrier,
}

impl Properties {
    /// Of a disk whose requests are of that shape.
    pub(crate) async fn read(store: &Store, backend: &str, shape: &Shape) -> Result<Self, Error> {
        const CDROM: u64 = 1 << 0;
        const READ_ONLY: u64 = 1 << 2;
        let [sectors, sector_bytes, info, flush_cache, barrier] = numbers(
            store,
            backend,
            ["sectors", "sector-size", "info", "feature-flush-cache", "feature-barrier"],
        )
        .await?;
        let block_bytes = block_bytes(sector_bytes)?;
        // Not in units of `sector-size`: a frontend that does not write `feature-large-sector-size` counts in 512 bytes, as all
        // backends do but for those that refuse it then.
        let sectors = sectors.ok_or(Error::Missing("sectors"))?;
        let capacity_bytes =
            sectors.checked_mul(SECTOR_BYTES as u64).ok_or(Error::Malformed("sectors"))?;
        let flush = match (flush_cache, barrier) {
            (Some(1..), _) => Flush::Cache,
            (_, Some(1..)) => Flush::Barrier,
            _ => Flush::Never,
        };
        let geometry = Geometry {
            capacity_bytes: capacity_bytes & !(block_bytes as u64 - 1),
            block_bytes,
            request_bytes_max: shape.request_bytes_max & !(block_bytes - 1),
            is_read_only: info.unwrap_or(0) & (READ_ONLY | CDROM) != 0,
        };
        Ok(Self { geometry, flush })
    }

    /// Whether the disk can be taken for one with this geometry.
    pub(crate) fn keeps(&self, promised: &Geometry) -> bool {
        let Geometry { capacity_bytes, block_bytes, request_bytes_max, is_read_only } =
            self.geometry;
        capacity_bytes == promised.capacity_bytes
            && block_bytes <= promised.block_bytes
            && request_bytes_max >= promised.request_bytes_max
            && (promised.is_read_only || !is_read_only)
    }
}

/// Whether there is something in the drive: the toolstack says of a CD-ROM's drive without one that it is backed by nothing.
pub(crate) async fn has_medium(store: &Store, backend: &str) -> Result<bool, Error> {
    match store.read_text(&format!("{backend}/params")).await {
        Ok(params) => Ok(!params.is_empty() && !params.ends_with(':')),
        Err(xen_store::Error::NotFound | xen_store::Error::NotPermitted) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn block_bytes(sector_size: Option<u64>) -> Result<usize, Error> {
    let Some(bytes) = sector_size else { return Ok(SECTOR_BYTES) };
    let bytes = usize::try_from(bytes).map_err(|_| Error::BlockBytes)?;
    let is_right = bytes.is_power_of_two() && (SECTOR_BYTES..=PAGE_BYTES).contains(&bytes);
    if is_right { Ok(bytes) } else { Err(Error::BlockBytes) }
}

/// Numbers that a backend may have written.
async fn numbers<const N: usize>(
    store: &Store,
    folder: &str,
    names: [&'static str; N],
) -> Result<[Option<u64>; N], Error> {
    let paths: Vec<String> = names.iter().map(|name| format!("{folder}/{name}")).collect();
    let mut numbers = [None; N];
    let answers = store.read_each(&paths).await;
    for ((number, name), answer) in numbers.iter_mut().zip(names).zip(answers) {
        *number = match answer {
            Ok(text) => Some(parse(&text).ok_or(Error::Malformed(name))?),
            Err(xen_store::Error::NotFound | xen_store::Error::NotPermitted) => None,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(numbers)
}

fn parse(text: &[u8]) -> Option<u64> {
    core::str::from_utf8(text).ok()?.trim().parse().ok()
}
