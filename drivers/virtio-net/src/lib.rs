//! virtio network device.
#![no_std]
#![forbid(unsafe_code)]
