//! Flows, listeners and connectors; the in-memory flow; tasks and timers.
#![no_std]
#![forbid(unsafe_code)]
