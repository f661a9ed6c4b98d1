//! The layer below TCP (RFC 9293 section 3.9.2), as a connection's smoltcp socket and its fast path use it.

use crate::time::Instant;
use crate::wire::tuple::Tuple;
use smoltcp::iface::Interface;
use smoltcp::phy::DeviceCapabilities;

/// The layer below TCP.
pub(crate) struct LowerLayer<'a> {
    pub(crate) interface: &'a mut Interface,
    pub(crate) caps: &'a DeviceCapabilities,
    pub(crate) now: Instant,
}

impl LowerLayer<'_> {
    /// The longest packet of this connection that the device would cut into segments; 0 when it
    /// does not.
    pub(crate) fn segment_bytes(&self, tuple: &Tuple) -> usize {
        let segmentation = &self.caps.segmentation;
        let longest = if tuple.is_v4() { segmentation.tcpv4 } else { segmentation.tcpv6 };
        longest.map_or(0, |bytes| bytes.get())
    }
}
