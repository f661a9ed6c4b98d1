//! `aqueductctl`: what runs in an appliance, who is connected, and what is on its wire, in a terminal. It speaks to the admin port
//! (docs/inside.md) of a guest, a Xen guest and a process alike.
#![forbid(unsafe_code)]

mod admin;
mod commands;
mod extcap;
mod graph;
mod local;
mod options;
mod shm_server;
mod table;
mod tls;

use clap::Parser;
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("aqueductctl: {failure}");
            ExitCode::FAILURE
        }
    }
}
