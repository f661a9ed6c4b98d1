//! Discovery of devices, on all transports.

use super::control::Control;
use super::transport::Kind;
use super::{mmio, pci};
use alloc::vec::Vec;

/// All devices of a kind, in the order in which the machine lists them. Call once for each kind: a
/// device has one driver.
pub fn devices(kind: Kind) -> Vec<Control> {
    let mut found = mmio::devices(kind);
    found.extend(pci::devices(kind));
    found
}
