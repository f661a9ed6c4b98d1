//! `cargo xtask mutants [CRATE...]`: breaks the code, one expression at a time, and tells which breaks no test notices.
//!
//! cargo-mutants does it, in a copy of the tree. What is here: which tests are a crate's, what is left out, a sample that
//! stays the same, and the survivors that are known to change nothing.

use command::{
    cargo,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::Install,
};
use std::{
    collections::HashSet,
    path::PathBuf,
    process::{Command, ExitCode},
};

const VERSION: &str = "26.2.0";
/// Survivors that are equal to the code, each with its reason.
const EQUIVALENT: &str = "tests/mutants.allow";
/// Nothing is decided in what is generated from schemas, nor in what only prints.
const LEFT_OUT: &[&str] = &["--exclude", "*_capnp.rs", "--exclude-re", "impl (fmt::)?(Debug|Display)"];
/// A test that goes round for ever ends after this, in seconds.
const TEST_LIMIT: &str = "300";
/// How many of each crate.
const SAMPLE: usize = 150;

/// A crate, which tests are its own besides those within it, and how many in a hundred breaks they have to notice.
struct Subject {
    name: &'static str,
    users: &'static [&'static str],
    reach: usize,
}

const fn subject(name: &'static str, users: &'static [&'static str]) -> Subject {
    Subject { name, users, reach: 95 }
}

const SUBJECTS: &[Subject] = &[
    subject("http", &[]),
    subject("tcp", &[]),
    subject("net", &["sim"]),
    subject("rpc", &["endpoints"]),
    subject("zmq", &[]),
    subject("pipe", &[]),
    subject("flow", &["endpoints"]),
    subject("config", &[]),
    subject("virtio-net", &[]),
    subject("xen-netfront", &[]),
    Subject { reach: 85, ..subject("machine", &["virtio-net", "xen-netfront"]) },
];

/// What became of a crate's mutants.
#[derive(Default)]
struct Outcome {
    noticed: usize,
    equivalent: usize,
    survivors: Vec<String>,
}

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    use lexopt::prelude::*;
    let (mut names, mut sample, mut install) = (Vec::new(), SAMPLE, Install::Yes);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("sample") => sample = arguments.value()?.parse()?,
            Long("no-install") => install = Install::OnlyTell,
            Value(name) => names.push(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if sample == 0 {
        fail!("--sample: found 0; at least 1");
    }
    let subjects = chosen(&names)?;
    let tool = tool(install)?;
    let known = equivalent()?;
    let mut rows = vec![format!("{:<14} {:>7} {:>8} {:>10} {:>8} {:>6}", "crate", "viable", "noticed", "equivalent", "survive", "%")];
    let mut is_reached = true;
    for subject in subjects {
        let outcome = run(&tool, subject, sample, &known)?;
        let (row, is_enough) = outcome.row(subject);
        is_reached &= is_enough;
        rows.push(row);
        for survivor in &outcome.survivors {
            println!("survives: {survivor}");
        }
    }
    println!("{}", rows.join("\n"));
    Ok(if is_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Subject>> {
    if names.is_empty() {
        return Ok(SUBJECTS.iter().collect());
    }
    let known = || SUBJECTS.iter().map(|subject| subject.name).collect::<Vec<_>>().join(", ");
    let mut chosen = Vec::new();
    for name in names {
        match SUBJECTS.iter().find(|subject| subject.name == name) {
            Some(subject) => chosen.push(subject),
            None => fail!("found `{name}`; crates whose tests are measured: {}", known()),
        }
    }
    Ok(chosen)
}

/// The program, of the version that this was written for; installed below `target` where it is missing.
fn tool(install: Install) -> Result<PathBuf> {
    let folder = paths::made(&format!("cargo-mutants-{VERSION}"))?;
    let program = folder.join("bin/cargo-mutants");
    if program.exists() {
        return Ok(program);
    }
    if install == Install::OnlyTell {
        fail!("missing: cargo-mutants {VERSION}; leave out --no-install, and it is put into {}", folder.display());
    }
    let mut command = cargo::command();
    command.args(["install", "cargo-mutants", "--locked", "--version", VERSION, "--root"]);
    cargo::build(command.arg(&folder), "cargo-mutants")?;
    Ok(program)
}

/// Mutants of the list, without their places, which move.
fn equivalent() -> Result<HashSet<String>> {
    let text = files::read_text(&paths::root().join(EQUIVALENT))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let mut known = HashSet::new();
    for line in lines {
        let Some((mutant, reason)) = line.split_once(" # ") else {
            fail!("{EQUIVALENT}: a line without ` # ` and a reason: {line}");
        };
        if reason.trim().is_empty() {
            fail!("{EQUIVALENT}: there is no reason: {line}");
        }
        known.insert(mutant.trim().to_owned());
    }
    Ok(known)
}

fn run(tool: &PathBuf, subject: &Subject, sample: usize, known: &HashSet<String>) -> Result<Outcome> {
    let count = listed(tool, subject)?;
    let shards = count.div_ceil(sample).max(1);
    let output = paths::made(&format!("mutants/{}", subject.name))?;
    eprintln!("xtask: {}: {count} mutants, one in {shards} of them", subject.name);
    let mut command = mutants(tool, subject);
    command.args(["--shard", &format!("0/{shards}"), "--sharding", "round-robin"]);
    command.args(["--timeout", TEST_LIMIT, "--no-times", "--output"]).arg(&output);
    command.args(["--test-package", &[&[subject.name], subject.users].concat().join(",")]);
    // It fails where mutants survive; whether it came that far, its files tell.
    let _ = command.stdout(std::io::stderr()).status().or_say(|| "cannot start cargo-mutants".into())?;
    let results = output.join("mutants.out");
    let lines = |name: &str| -> Result<Vec<String>> {
        let text = files::read_text(&results.join(name))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let mut outcome = Outcome { noticed: lines("caught.txt")?.len() + lines("timeout.txt")?.len(), ..Outcome::default() };
    for missed in lines("missed.txt")? {
        if known.contains(&without_place(&missed)) {
            outcome.equivalent += 1;
        } else {
            outcome.survivors.push(missed);
        }
    }
    if outcome.viable() == 0 {
        fail!("{}: nothing was tested; see {}", subject.name, results.display());
    }
    Ok(outcome)
}

fn listed(tool: &PathBuf, subject: &Subject) -> Result<usize> {
    let output = mutants(tool, subject).arg("--list").output().or_say(|| "cannot start cargo-mutants".into())?;
    if !output.status.success() {
        fail!("{}: {}", subject.name, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().count())
}

fn mutants(tool: &PathBuf, subject: &Subject) -> Command {
    let mut command = Command::new(tool);
    command.current_dir(paths::root()).args(["mutants", "--package", subject.name]).args(LEFT_OUT);
    command
}

/// `FILE:LINE:COLUMN: what`, without line and column.
fn without_place(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(what)) => format!("{file}:{what}"),
        _ => mutant.to_owned(),
    }
}

impl Outcome {
    /// Those that compile, and are not equal to the code.
    fn viable(&self) -> usize {
        self.noticed + self.survivors.len()
    }

    /// A line of the table, and whether enough were noticed.
    fn row(&self, subject: &Subject) -> (String, bool) {
        let (viable, noticed) = (self.viable(), self.noticed);
        let is_enough = noticed * 100 >= viable * subject.reach;
        let percent = noticed as f64 * 100.0 / viable as f64;
        let verdict = if is_enough { String::new() } else { format!("  (below {} %)", subject.reach) };
        let row = format!(
            "{:<14} {viable:>7} {noticed:>8} {:>10} {:>8} {percent:>6.1}{verdict}",
            subject.name,
            self.equivalent,
            self.survivors.len()
        );
        (row, is_enough)
    }
}
