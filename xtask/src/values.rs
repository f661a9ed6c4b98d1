//! Words that several verbs hand on.

use std::ffi::OsString;

/// Words that are handed on as they are.
#[derive(clap::Args)]
pub(crate) struct Raw {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

/// What this program was given behind these verbs.
pub(crate) fn words_behind(verbs: &[&str]) -> Vec<OsString> {
    let mut words = std::env::args_os().skip(1);
    for verb in verbs {
        words.by_ref().find(|word| word == verb);
    }
    words.collect()
}
