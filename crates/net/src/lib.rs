//! TCP/IP on smoltcp with an O(1) demultiplexer.
#![no_std]
#![forbid(unsafe_code)]
