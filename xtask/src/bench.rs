//! `cargo xtask bench`: measurements beside peers.

use bench::{GuestOptions, LossOptions, Options, XenOptions};
use command::{
    failure::{Result, fail},
    programs::Install,
};
use lexopt::prelude::*;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(crate) fn main(words: &[OsString]) -> Result<ExitCode> {
    let rest = words.get(1..).unwrap_or_default();
    match words.first().and_then(|word| word.to_str()) {
        Some("xen") => bench::xen(&xen_options(rest)?),
        Some("loss") => bench::loss(&loss_options(rest)?, rest),
        Some("native") => bench::native(install(rest)?),
        Some("rpc") => bench::rpc(install(rest)?),
        Some("pipe") => bench::pipe(install(rest)?),
        Some("tls") => bench::tls(install(rest)?),
        Some("hermit") => bench::hermit(install(rest)?),
        Some("shared") => match guest_options(rest)? {
            Some(options) => bench::guests(&options, rest),
            None => bench::shared(install(rest)?),
        },
        Some("load") => bench::load(install(rest)?),
        Some("sessions") => bench::sessions(install(rest)?),
        Some("database") => bench::database(install(rest)?),
        _ => bench::side_by_side(&options(words)?, words),
    }
}

/// What the measurements run in processes of their own, if the verb is one of theirs.
pub(crate) fn worker(verb: &str, words: &[OsString]) -> Option<Result<ExitCode>> {
    match verb {
        bench::WORKER_VERB => {
            Some(options(words).and_then(|options| bench::side_by_side_worker(&options)))
        }
        bench::NATIVE_VERB => Some(native_worker(words)),
        bench::LOSS_VERB => Some(loss_worker(words)),
        bench::HOLD_VERB => Some(hold(words)),
        bench::SHARED_VERB => Some(shared_worker(words)),
        _ => None,
    }
}

fn native_worker(words: &[OsString]) -> Result<ExitCode> {
    let process = PathBuf::from(lexopt::Parser::from_args(words).value()?);
    bench::native_worker(&process)
}

fn loss_worker(words: &[OsString]) -> Result<ExitCode> {
    let [subject, rest @ ..] = words else { fail!("a program or an image is missing") };
    bench::loss_worker(Path::new(subject), &loss_options(rest)?)
}

fn hold(words: &[OsString]) -> Result<ExitCode> {
    let mut arguments = lexopt::Parser::from_args(words);
    bench::hold(arguments.value()?.parse()?, arguments.value()?.parse()?)
}

fn shared_worker(words: &[OsString]) -> Result<ExitCode> {
    match guest_options(words)? {
        Some(options) => bench::guests_worker(&options),
        None => fail!("--guests is missing"),
    }
}

/// None without `--guests`: processes are measured.
fn guest_options(words: &[OsString]) -> Result<Option<GuestOptions>> {
    if !words.iter().any(|word| word.to_string_lossy().starts_with("--guests")) {
        return Ok(None);
    }
    let mut arguments = lexopt::Parser::from_args(words);
    let mut options = GuestOptions::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("guests") => options.host = arguments.value()?.string()?.parse()?,
            Long("rounds") => options.rounds = arguments.value()?.parse()?,
            Long("ring-bytes") => options.ring_bytes = Some(arguments.value()?.parse()?),
            Long("no-install") => options.install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn options(words: &[OsString]) -> Result<Options> {
    let mut arguments = lexopt::Parser::from_args(words);
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("machine") => options.machine = arguments.value()?.string()?.parse()?,
            Long("services") => options.services = Some(arguments.value()?.string()?),
            Long("ours-only") => options.ours_only = true,
            Long("seconds") => options.seconds = arguments.value()?.parse()?,
            Long("rounds") => options.rounds = arguments.value()?.parse()?,
            Long("no-install") => options.install = Install::OnlyTell,
            Value(row) => options.rows.push(row.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn loss_options(words: &[OsString]) -> Result<LossOptions> {
    let mut arguments = lexopt::Parser::from_args(words);
    let mut options = LossOptions::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("image") => options.image = true,
            Long("control") => options.control = arguments.value()?.string()?.parse()?,
            Long("stalls") => options.stalls = true,
            Long("seconds") => options.seconds = arguments.value()?.parse()?,
            Long("rounds") => options.rounds = arguments.value()?.parse()?,
            Long("no-install") => options.install = Install::OnlyTell,
            Value(row) => options.rows.push(row.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn xen_options(words: &[OsString]) -> Result<XenOptions> {
    let mut arguments = lexopt::Parser::from_args(words);
    let mut options = XenOptions::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seconds") => options.seconds = arguments.value()?.parse()?,
            Long("rounds") => options.rounds = arguments.value()?.parse()?,
            Long("no-install") => options.install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn install(words: &[OsString]) -> Result<Install> {
    match words {
        [] => Ok(Install::Yes),
        [word] if word == "--no-install" => Ok(Install::OnlyTell),
        _ => fail!("this benchmark takes no more than --no-install"),
    }
}
