//! x86-64: boot code, page tables, interrupt controllers, ports and single instructions.

pub(crate) mod apic;
pub(crate) mod calibration;
#[cfg(feature = "runtime")]
pub(crate) mod exception;
pub(crate) mod instructions;
pub(crate) mod memcpy;
pub(crate) mod paging;
pub(crate) mod port;
#[cfg(feature = "runtime")]
pub(crate) mod pvh;
pub(crate) mod rtc;
#[cfg(any(test, feature = "runtime"))]
mod self_extract;
