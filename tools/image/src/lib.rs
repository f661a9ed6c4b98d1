//! Image builder: compiles the appliance for the bare machine, adds the names of its functions, and packs it into an ELF
//! that unpacks itself; and makes bundles, the configuration and content that it boots with.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod deb;
mod elf;
mod features;
pub mod hermit;
pub mod image;
pub mod media;
pub mod oci;
mod pack;
pub mod page;
mod symbols;
