//! x86-64: page tables, descriptor tables, interrupt controllers, timers, ports and single instructions.

pub(crate) mod apic;
pub(crate) mod calibration;
pub(crate) mod idt;
pub(crate) mod instructions;
pub(crate) mod io_apic;
pub(crate) mod memcpy;
pub(crate) mod page_tables;
#[cfg_attr(test, path = "x86_64/port/fake.rs")]
pub(crate) mod port;
pub(crate) mod rtc;
mod self_extract;
pub(crate) mod serial;
pub(crate) mod task_state;
pub(crate) mod tsc;
