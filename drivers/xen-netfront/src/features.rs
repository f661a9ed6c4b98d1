//! What frontend and backend can both do (public/io/netif.h).

use crate::Settings;
use alloc::format;
use core::num::NonZeroUsize;
use offload::ETHERNET_BYTES;
use xen_store::xenbus::State;
use xen_store::{Error, Store};

/// What a backend offers, as far as it concerns us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// A sent frame may spread over several pages.
    pub(crate) scatters: bool,
    /// The backend, or who receives the frame, cuts long IPv4 TCP frames into segments.
    pub(crate) segments_ipv4: bool,
    /// Sent frames need no checksum.
    pub(crate) checksums: bool,
    /// One event channel for each direction.
    pub(crate) splits_events: bool,
    /// The longest IP packet, in bytes: the toolstack's word to the frontend, as far as pages carry it.
    pub(crate) mtu_bytes: usize,
    /// Longest frame handed over for segmentation, in bytes; 0 where there is no memory for it.
    pub(crate) frame_bytes_max: usize,
    /// The backend's link is up: it says so, or does not say (io/netif.h, "Link state").
    pub(crate) has_carrier: bool,
}

/// The backend's nodes. The state comes last: once it says so, the others are there.
const NAMES: [&str; 6] = [
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-no-csum-offload",
    "feature-split-event-channels",
    CARRIER,
    "state",
];

/// The node that says whether the backend's link is up.
pub(crate) const CARRIER: &str = "carrier";

/// The least that IPv6 allows a link (RFC 8200, section 5).
const MTU_BYTES_MIN: u32 = 1280;
const MTU_BYTES_DEFAULT: u32 = 1500;
/// An entry says a frame's length in 16 bits.
const LONG_FRAME_BYTES: usize = u16::MAX as usize;
const PAGE_BYTES: usize = 4096;

impl Features {
    /// Reads them from the folders of both, and the backend's state. What is missing is not offered.
    pub(crate) async fn read(
        store: &Store,
        frontend: &str,
        backend: &str,
        settings: &Settings,
    ) -> Result<(State, Self), Error> {
        let mut paths = alloc::vec![format!("{frontend}/mtu")];
        paths.extend(NAMES.iter().map(|name| format!("{backend}/{name}")));
        let mut values = [None; NAMES.len() + 1];
        for (value, answer) in values.iter_mut().zip(store.read_each(&paths).await) {
            *value = match answer {
                Ok(bytes) => number(&bytes),
                Err(Error::NotFound | Error::NotPermitted) => None,
                Err(error) => return Err(error),
            };
        }
        let [mtu, scatters, segments, no_checksums, splits, carrier, state] = values;
        let scatters = scatters == Some(1);
        let checksums = no_checksums != Some(1);
        let has_runs = settings.transmit_runs > 0;
        let frame_bytes_max =
            if scatters && has_runs && settings.scatters() { LONG_FRAME_BYTES } else { PAGE_BYTES };
        let mtu_bytes =
            mtu.filter(|&mtu| mtu >= MTU_BYTES_MIN).unwrap_or(MTU_BYTES_DEFAULT) as usize;
        let segments_ipv4 = scatters && checksums && has_runs && segments == Some(1);
        let features = Self {
            scatters,
            segments_ipv4,
            checksums,
            splits_events: splits == Some(1),
            // More than can be carried is no order, but leave to send as much (io/netif.h).
            mtu_bytes: mtu_bytes.min(frame_bytes_max - ETHERNET_BYTES),
            frame_bytes_max: if segments_ipv4 { LONG_FRAME_BYTES } else { 0 },
            has_carrier: carrier != Some(0),
        };
        Ok((state.map_or(State::Unknown, State::from_number), features))
    }

    /// Whether all that `others` let the stack leave undone is done here, too.
    pub(crate) fn include(&self, others: &Self) -> bool {
        let implies = |theirs: bool, ours: bool| ours || !theirs;
        implies(others.checksums, self.checksums)
            && implies(others.segments_ipv4, self.segments_ipv4)
    }

    /// Longest frame for segmentation, where there is that.
    pub(crate) fn long_frame_bytes(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.frame_bytes_max)
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    core::str::from_utf8(bytes).ok()?.trim().parse().ok()
}
