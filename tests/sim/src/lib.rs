//! A simulated network for whole-stack tests.
//!
//! Two stacks run on one executor, joined by a [`Wire`] that loses, reorders, repeats and delays
//! frames as a seed says. Time passes only when nothing is left to do. A test that fails in
//! [`check`] prints its seed and writes what was on the wire to a pcap file.
#![forbid(unsafe_code)]

pub mod by_hand;
mod frames;
mod lone;
mod pcap;
mod random;
mod wire;
mod world;

pub use frames::{
    TcpFields, ack_frame, ethernet_frame, fragmentation_needed, icmpv6_frame, reply_frame,
    router_advertisement, syn_frame, tcp_fields, with_tcp_options,
};
pub use lone::Lone;
pub use random::Random;
pub use wire::{Faults, Filter, Link, LinkDevice, Offloads, Wire};
pub use world::{MAC, World, WorldConfig, address, check};
