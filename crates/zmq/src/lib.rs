//! Sans-I/O ZMTP 3.1 and the ZeroMQ socket patterns.
#![no_std]
#![forbid(unsafe_code)]
