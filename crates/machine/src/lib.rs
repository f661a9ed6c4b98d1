//! The machine layer: the only unsafe code.
#![no_std]
