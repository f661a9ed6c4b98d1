//! `cargo xtask new DIR`: the workspace of an appliance of one's own.

use command::failure::Result;
use new_appliance::Words;
use std::process::ExitCode;

pub(crate) fn main(words: Words) -> Result<ExitCode> {
    words.make().map(|()| ExitCode::SUCCESS)
}
