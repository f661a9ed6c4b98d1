//! What requests and responses mean (RFC 9110), as functions of their values alone.

pub mod date;
