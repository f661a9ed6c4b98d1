//! A group for a person: all members, until Ctrl-C.

use super::{Bundles, Group, Kind, Running, Start};
use crate::{
    accel::Accel,
    http_client, process,
    qemu::Machine,
    run::{STOP_SLACK, Stop, free_at},
};
use command::{
    failure::{Result, fail},
    files, paths,
    programs::{self, Install},
};
use image_builder::image;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

const ASK_EVERY: Duration = Duration::from_millis(50);
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// What is run, and on what.
pub struct Options {
    /// The group file.
    pub file: PathBuf,
    /// As Linux processes.
    pub linux: bool,
    /// Where keys are kept, other than below the target folder.
    pub state: Option<PathBuf>,
    /// How guests' instructions run; the best way that works, unless said.
    pub accel: Option<Accel>,
    /// Whether missing programs may be installed.
    pub install: Install,
}

/// Starts a group, says where its members answer, and stops it at Ctrl-C. One that ends by itself is told, and the others go on.
///
/// # Errors
///
/// Something in the file is not allowed, a member does not start, or one ended with a failure.
pub fn run(options: &Options) -> Result<ExitCode> {
    programs::need(&[&programs::OPENSSL], options.install)?;
    let group = Group::read(&options.file)?;
    let kind = if options.linux { Kind::Processes } else { Kind::Guests };
    if let Some(member) = group.members.iter().find(|member| member.load && options.linux) {
        fail!("{}: load = true is an image; aqueduct-load is the program", member.name);
    }
    for place in 0..group.members.len() {
        group.reached_at(kind, place).map_or(Ok(()), free_at)?;
    }
    let process = process::build()?;
    let state = match &options.state {
        Some(state) => state.clone(),
        None => paths::made("groups")?.join(file_stem(&options.file)),
    };
    files::make_folder(&state)?;
    let bundles = Bundles::make(&group, kind, &state, &process)?;
    let start = match kind {
        Kind::Processes => Start::Processes(process),
        Kind::Guests => guests(&group, options)?,
    };
    let drain = bundles.configs.iter().map(|config| config.shutdown.drain).max();
    let stop = Stop::on_signals(drain.unwrap_or_default() + STOP_SLACK)?;
    let running = Running::start(&group, &bundles, &start)?;
    eprintln!(
        "xtask: {} appliances of {}, their keys in {}; Ctrl-C stops them",
        group.members.len(),
        options.file.display(),
        state.display()
    );
    attend(running, &stop)
}

fn file_stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// An image for each member: one for all that carry the same.
fn guests(group: &Group, options: &Options) -> Result<Start> {
    programs::need(&[&programs::QEMU], options.install)?;
    let all = image::build(&image::Options::default(), options.install)?;
    let mut images = Vec::new();
    for member in &group.members {
        let chosen = match &member.services {
            _ if member.load => {
                images.push(image::build(&image::Options::load(), options.install)?.shipped);
                continue;
            }
            Some(list) => image::Options::default().with_services(list)?,
            None => image::Options::default(),
        };
        images.push(match chosen.features {
            Some(_) => image::build(&chosen, options.install)?.shipped,
            None => all.shipped.clone(),
        });
    }
    let accel = options.accel.map_or_else(|| Accel::best(&all.shipped, Machine::Microvm), Ok)?;
    Ok(Start::Guests(images, accel))
}

/// Tells what becomes of members until Ctrl-C or the end of the last one.
fn attend(mut running: Running, stop: &Stop) -> Result<ExitCode> {
    let (mut answering, mut failed) = (BTreeSet::new(), Vec::new());
    while stop.asked() == 0 && !running.is_over() {
        note_ends(&mut running, &mut failed);
        let silent = running.addresses().filter_map(|(name, address)| Some((name, address?)));
        for (name, address) in
            silent.filter(|(name, _)| !answering.contains(*name)).collect::<Vec<_>>()
        {
            if http_client::get(address, "/", ASK_LIMIT).is_some() {
                eprintln!("xtask: {name} answers at http://{address}");
                answering.insert(name.to_owned());
            }
        }
        std::thread::sleep(ASK_EVERY);
    }
    if !running.is_over() {
        eprintln!("\nxtask: stopping the appliances; Ctrl-C again ends them at once");
        running.ask_to_stop();
    }
    let deadline = Instant::now() + stop.limit;
    while !running.is_over() && stop.asked() < 2 {
        if Instant::now() > deadline {
            fail!("not all appliances stopped by themselves, and were ended");
        }
        note_ends(&mut running, &mut failed);
        std::thread::sleep(ASK_EVERY);
    }
    if failed.is_empty() { Ok(ExitCode::SUCCESS) } else { fail!("{} failed", failed.join(", ")) }
}

fn note_ends(running: &mut Running, failed: &mut Vec<String>) {
    for (name, status) in running.newly_ended() {
        eprintln!("xtask: {name} has ended ({status})");
        if !status.success() {
            failed.push(name);
        }
    }
}
