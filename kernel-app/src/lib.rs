//! The appliance: the table of ports, protocols and handlers.
#![no_std]
#![forbid(unsafe_code)]
