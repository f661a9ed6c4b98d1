//! Values of options that several verbs have.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use lab::{accel::Accel, qemu::Machine};
use std::ffi::OsString;

/// Words that are handed on as they are.
#[derive(clap::Args)]
pub(crate) struct Raw {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

/// `--machine`.
pub(crate) fn machine() -> impl TypedValueParser<Value = Machine> {
    PossibleValuesParser::new(Machine::ALL.map(Machine::name))
        .try_map(|name| name.parse::<Machine>().map_err(|failure| failure.0))
}

/// `--accel`.
pub(crate) fn accel() -> impl TypedValueParser<Value = Accel> {
    PossibleValuesParser::new([Accel::Kvm, Accel::Tcg].map(Accel::name))
        .try_map(|name| name.parse::<Accel>().map_err(|failure| failure.0))
}

/// A port that can be listened on.
pub(crate) fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port > 0).ok_or("allowed: a port from 1 to 65535")
}

/// What this program was given behind these verbs.
pub(crate) fn words_behind(verbs: &[&str]) -> Vec<OsString> {
    let mut words = std::env::args_os().skip(1);
    for verb in verbs {
        words.by_ref().find(|word| word == verb);
    }
    words.collect()
}
