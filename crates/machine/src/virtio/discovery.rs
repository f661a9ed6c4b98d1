//! Discovery of devices, on all transports.

use super::control::Control;
use super::transport::Kind;
use super::{mmio, pci};
use alloc::string::String;
use alloc::vec::Vec;

/// All devices of a kind, in the order in which the machine lists them. Call once for each kind: a
/// device has one driver.
pub fn devices(kind: Kind) -> Vec<Control> {
    let mut found = mmio::devices(kind);
    found.extend(pci::devices(kind));
    found
}

/// Network cards that no driver here can use, each with how to have one that it can.
pub fn unusable_cards() -> Vec<String> {
    mmio::unusable_cards().chain(pci::unusable_cards()).collect()
}
