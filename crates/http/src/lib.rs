//! Sans-I/O HTTP/1.1, server and client from one core.
#![no_std]
#![forbid(unsafe_code)]
