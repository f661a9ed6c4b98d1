//! Control page: the words that both sides use, where libxenvchan has them (`struct vchan_interface`). All are little-endian.

/// Bytes of the control page, and of each page of a ring.
pub const PAGE_BYTES: usize = 4096;

/// How much of the left ring the server has read, of 32 bits that wrap around.
pub const LEFT_CONSUMED: usize = 0;
/// How much of it the client has written.
pub const LEFT_PRODUCED: usize = 4;
/// How much of the right ring the client has read.
pub const RIGHT_CONSUMED: usize = 8;
/// How much of it the server has written.
pub const RIGHT_PRODUCED: usize = 12;
/// The base-two logarithms of the rings' bytes: the left one's in the low half of the word, the right one's in the high.
pub const ORDERS: usize = 16;
/// Whether the client is there: a `LIVE_` value.
pub const CLIENT_LIVE: usize = 20;
/// Whether the server is.
pub const SERVER_LIVE: usize = 21;
/// What the client is to notify of, and what the server says of its own end.
pub const CLIENT_NOTIFY: usize = 22;
/// What the server is to notify of, and what the client says of its own end.
pub const SERVER_NOTIFY: usize = 23;
/// Under Xen, the grants of the rings' pages, of 32 bits each: the left ring's, then the right one's.
pub const GRANTS: usize = 24;

/// A side has gone.
pub const LIVE_GONE: u8 = 0;
/// It is there.
pub const LIVE_CONNECTED: u8 = 1;
/// The client has not come yet.
pub const LIVE_AWAITED: u8 = 2;

/// Asked of the other side: notify when you have written.
pub const NOTIFY_WRITTEN: u8 = 0x01;
/// Asked of the other side: notify when you have read.
pub const NOTIFY_READ: u8 = 0x02;
/// Said to the other side: I set [`FINISHED`] when I have. Ours, as the next is.
pub const TELLS_ENDS: u8 = 0x40;
/// Said to the other side: what I have written so far is all.
pub const FINISHED: u8 = 0x80;
