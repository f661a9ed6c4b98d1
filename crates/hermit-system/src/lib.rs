//! What an application on the Hermit kernel needs of it: sockets, clocks, random bytes, a heap, panics that unwind.
//!
//! Hermit is a library: its kernel is linked with the application, and a system call is a function (`hermit-abi`).
//! All of the unsafe code for it is here. Faults of the kernel that show in these calls are worked round where they are
//! met; what cannot be is in the documentation of the type that it touches.
//!
//! Only [`handover`] exists on other targets, where the loader is compiled.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod handover;

#[cfg(target_os = "hermit")]
mod background;
#[cfg(target_os = "hermit")]
mod entropy;
#[cfg(target_os = "hermit")]
mod heap;
#[cfg(target_os = "hermit")]
mod panic;
#[cfg(target_os = "hermit")]
mod power_button;
#[cfg(target_os = "hermit")]
pub mod socket;
#[cfg(target_os = "hermit")]
mod start;
#[cfg(target_os = "hermit")]
pub mod system;

#[cfg(target_os = "hermit")]
pub use entropy::{NoEntropy, fill_random};
#[cfg(target_os = "hermit")]
pub use panic::catch_panic;
#[cfg(target_os = "hermit")]
pub use power_button::PowerButton;
#[cfg(target_os = "hermit")]
pub use start::Start;
