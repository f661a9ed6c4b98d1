//! Xen network frontend.
#![no_std]
#![forbid(unsafe_code)]
