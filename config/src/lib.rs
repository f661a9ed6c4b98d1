//! appliance.toml: the typed, validated schema and the boot bundle.
#![no_std]
#![forbid(unsafe_code)]
