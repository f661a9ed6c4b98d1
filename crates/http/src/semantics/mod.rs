//! What requests and responses mean (RFC 9110), as functions of their values alone.

pub mod access_log;
pub mod conditional;
pub mod date;
pub mod encoding;
pub mod etag;
pub mod files;
pub mod media_type;
pub mod path;
pub mod range;
pub mod router;
