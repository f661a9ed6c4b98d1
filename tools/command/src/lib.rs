//! What our command-line tools share: one error that is a sentence, where files are, programs of others and how they get
//! onto the machine, child processes that end with us,
//! signals, and words of a shell.
#![forbid(unsafe_code)]

pub mod cargo;
pub mod child;
pub mod failure;
pub mod files;
pub mod interrupt;
pub mod paths;
pub mod programs;
pub mod shell;
