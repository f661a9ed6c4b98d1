//! Pipelines of objects and bytes.
#![no_std]
#![forbid(unsafe_code)]
