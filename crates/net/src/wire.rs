//! Wire formats: segments are parsed, headers and frames written.

pub(crate) mod extension;
pub(crate) mod header;
pub(crate) mod options;
pub(crate) mod segment;
pub(crate) mod template;
pub(crate) mod tuple;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Bytes of an IPv4 header without options, and of IPv6's fixed one.
pub(crate) const IPV4: usize = 20;
pub(crate) const IPV6: usize = 40;
/// Bytes of a UDP header.
pub(crate) const UDP: usize = 8;
/// Bytes of a TCP header without options.
pub(crate) const TCP: usize = 20;
/// TCP's number (RFC 790).
pub(crate) const PROTOCOL_TCP: u8 = 6;
