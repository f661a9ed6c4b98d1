//! Access log: one line for each answer, under the log target `access`.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;
use flow::Address;
use web::access_log::Entry;
use web::date::HttpDate;
use web::{RequestHead, Status};

/// Begins the line of a request, or of what was refused before it was one.
pub(super) fn begin(
    peer: Address,
    date: Option<&HttpDate>,
    request: Option<&RequestHead>,
) -> Entry {
    match peer.ip() {
        // Most of them, and without the formatter's cost.
        Some(IpAddr::V4(address)) => {
            let mut text = Vec::with_capacity(15);
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push(b'.');
                }
                for unit in [100, 10, 1] {
                    if octet >= unit || unit == 1 {
                        text.push(b'0' + octet / unit % 10);
                    }
                }
            }
            Entry::new(&text, date, request)
        }
        Some(address) => Entry::new(address.to_string().as_bytes(), date, request),
        None => Entry::new(peer.to_string().as_bytes(), date, request),
    }
}

/// Writes the line.
pub(super) fn end(entry: Entry, status: Status, content_bytes: Option<u64>) {
    let line = entry.finish(status, content_bytes);
    log::info!(target: "access", "{}", core::str::from_utf8(&line).unwrap_or("?"));
}
