//! Where protocol cores meet flows: one file per protocol.
#![no_std]
#![forbid(unsafe_code)]
