//! Values of options that several verbs have.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use image_builder::image::Profile;
use lab::{accel::Accel, qemu::Machine};

/// `--machine`.
pub fn machine() -> impl TypedValueParser<Value = Machine> {
    PossibleValuesParser::new(Machine::ALL.map(Machine::name))
        .try_map(|name| name.parse::<Machine>().map_err(|failure| failure.0))
}

/// `--accel`.
pub fn accel() -> impl TypedValueParser<Value = Accel> {
    PossibleValuesParser::new([Accel::Kvm, Accel::Tcg].map(Accel::name))
        .try_map(|name| name.parse::<Accel>().map_err(|failure| failure.0))
}

/// `--profile`.
pub fn profile() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name))
        .try_map(|name| name.parse::<Profile>().map_err(|failure| failure.0))
}

/// A port that can be listened on.
///
/// # Errors
///
/// It is none.
pub fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port > 0).ok_or("allowed: a port from 1 to 65535")
}
