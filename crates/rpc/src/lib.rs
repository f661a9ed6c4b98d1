//! Sans-I/O Cap'n Proto RPC.
#![no_std]
#![forbid(unsafe_code)]
