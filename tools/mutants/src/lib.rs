//! Mutation testing: lines are broken one at a time, and the tests should notice each. `cargo-mutants` says which mutants there are.
//! All that can be switched are compiled at once and tested here; `cargo-mutants` does the rest one by one. This knows which
//! tests are whose, which mutants are equivalent to the original, and what is to be reached.
#![forbid(unsafe_code)]

mod bed;
mod case;
mod equivalents;
mod fixed_sample;
mod mutant;
mod outcomes;
mod schemata;

use bed::{Bed, Fate};
use command::{
    cargo,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::Install,
};
use equivalents::Equivalents;
use mutant::Mutant;
use outcomes::{Outcomes, Tally};
use std::{
    collections::BTreeSet,
    fmt::Write,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// The version whose results [`outcomes`] reads.
const VERSION: &str = "27.1.0";

/// A crate whose lines are broken.
struct Subject {
    package: &'static str,
    /// The packages whose tests are to notice. The crate's own are the first.
    tests: &'static [&'static str],
    /// Files that are left out: generated code, fakes, and what only the machine itself can run.
    skipped: &'static [&'static str],
    /// Per cent of mutants that are to be noticed.
    reach: u32,
}

const SUBJECTS: &[Subject] = &[
    Subject {
        package: "aqueduct-http",
        tests: &["aqueduct-http", "aqueduct-endpoints"],
        skipped: &[],
        reach: 95,
    },
    Subject { package: "aqueduct-tcp", tests: &["aqueduct-tcp", "sim"], skipped: &[], reach: 95 },
    Subject { package: "aqueduct-net", tests: &["aqueduct-net", "sim"], skipped: &[], reach: 95 },
    Subject {
        package: "aqueduct-rpc",
        tests: &["aqueduct-rpc", "aqueduct-endpoints"],
        skipped: &["*_capnp.rs"],
        reach: 95,
    },
    Subject {
        package: "aqueduct-zmq",
        tests: &["aqueduct-zmq", "aqueduct-endpoints"],
        skipped: &[],
        reach: 95,
    },
    Subject {
        package: "aqueduct-pipe",
        tests: &["aqueduct-pipe", "aqueduct-endpoints"],
        skipped: &[],
        reach: 95,
    },
    Subject {
        package: "aqueduct-flow",
        tests: &["aqueduct-flow", "aqueduct-endpoints"],
        skipped: &[],
        reach: 95,
    },
    Subject {
        package: "aqueduct-config",
        tests: &["aqueduct-config", "aqueduct-appliance"],
        skipped: &[],
        reach: 95,
    },
    Subject {
        package: "aqueduct-virtio-net",
        tests: &["aqueduct-virtio-net"],
        skipped: &[],
        reach: 95,
    },
    Subject {
        package: "aqueduct-xen-netfront",
        tests: &["aqueduct-xen-netfront"],
        skipped: &[],
        reach: 95,
    },
    Subject {
        package: "aqueduct-machine",
        tests: &[
            "aqueduct-machine",
            "aqueduct-virtio-net",
            "aqueduct-virtio-blk",
            "aqueduct-xen-netfront",
            "aqueduct-xen-store",
        ],
        skipped: &["**/arch/**", "**/fake/**", "**/fake.rs"],
        reach: 85,
    },
];

/// What is asked for.
#[derive(Clone)]
pub struct Options {
    /// These crates only; none is all.
    pub packages: Vec<String>,
    /// About so many mutants of each crate, evenly spread over it, the same each time; all if there is none.
    pub sample: Option<usize>,
    /// How many are passed over before the first: another sample of the same size.
    pub skip: usize,
    /// At most so many of a crate that no switch expresses, evenly spread over it; all if there is none.
    pub alone_max: Option<usize>,
    /// Whether only those are tried that nothing noticed the last time.
    pub again: bool,
    /// Whether `cargo-mutants` may be installed.
    pub install: Install,
}

/// Breaks the lines of [`fixed_sample::FILE`], which takes a few minutes, and prints which breaks the tests do not notice.
/// Whether there is none but equivalent ones.
///
/// # Errors
/// As for [`run`], or the sample names a mutant that there is no more.
pub fn run_fixed_sample(install: Install) -> Result<bool> {
    let program = program(install)?;
    let _lock = lock()?;
    let equivalents = Equivalents::read()?;
    let wanted = fixed_sample::read()?;
    let mut is_noticed = true;
    for subject in SUBJECTS.iter().filter(|it| fixed_sample::PACKAGES.contains(&it.package)) {
        let chosen = fixed_sample::of(&wanted, list(&program, subject)?)?;
        let Tally { caught, missed, .. } =
            Tally::of(&attack(&program, subject, &chosen, None)?, &equivalents);
        println!("{caught} broken lines of {} noticed", subject.package);
        for name in &missed {
            println!("no test notices {name}");
        }
        is_noticed &= caught > 0 && missed.is_empty();
    }
    Ok(is_noticed)
}

/// Breaks lines, prints a table and what was not noticed; fails if a crate's share of noticed mutants is below what is to be
/// reached.
///
/// # Errors
/// There is no such crate, `cargo-mutants` cannot be installed or started, or the tests fail without a mutant.
pub fn run(options: &Options) -> Result<ExitCode> {
    let subjects = chosen(&options.packages)?;
    let program = program(options.install)?;
    let _lock = lock()?;
    let equivalents = Equivalents::read()?;
    let mut table = String::from(
        "| crate | tried | noticed | equivalent | not noticed | of 100 | to reach |\n|---|---|---|---|---|---|---|\n",
    );
    let (mut survivors, mut is_reached) = (String::new(), true);
    for subject in subjects {
        let chosen = choose(&program, subject, options)?;
        let outcomes = attack(&program, subject, &chosen, options.alone_max)?;
        let tally = Tally::of(&outcomes, &equivalents);
        is_reached &= tally.score() >= subject.reach.into();
        let Tally { caught, equivalent, missed } = &tally;
        let tried = caught + equivalent + missed.len();
        let _ = writeln!(
            table,
            "| {} | {tried} | {caught} | {equivalent} | {} | {:.1} | {} |",
            subject.package,
            missed.len(),
            tally.score(),
            subject.reach
        );
        for name in missed {
            let _ = writeln!(survivors, "{name}");
        }
        files::write(&missed_file(subject)?, format!("{}\n", missed.join("\n")))?;
    }
    print!("{table}");
    if !survivors.is_empty() {
        print!(
            "\nnot noticed; a test is missing, or a line with its reason in {}:\n{survivors}",
            equivalents::FILE
        );
    }
    files::write(&paths::made("mutants")?.join("table.md"), &table)?;
    Ok(if is_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(packages: &[String]) -> Result<Vec<&'static Subject>> {
    if packages.is_empty() {
        return Ok(SUBJECTS.iter().collect());
    }
    let of = |package: &String| match SUBJECTS.iter().find(|subject| subject.package == package) {
        Some(subject) => Ok(subject),
        None => {
            let known: Vec<_> = SUBJECTS.iter().map(|subject| subject.package).collect();
            fail!("no lines of `{package}` are broken; there are {}", known.join(", "))
        }
    };
    packages.iter().map(of).collect()
}

/// `cargo-mutants`, built when it is not there.
fn program(install: Install) -> Result<PathBuf> {
    let folder = paths::made("tools")?;
    let program = folder.join("bin/cargo-mutants");
    let is_there = Command::new(&program)
        .args(["mutants", "--version"])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION));
    if is_there {
        return Ok(program);
    }
    if install == Install::OnlyTell {
        fail!(
            "cargo-mutants {VERSION} is missing; leave out --no-install, and it is built into {}",
            folder.display()
        );
    }
    eprintln!("xtask: building cargo-mutants {VERSION}");
    let mut command = cargo::command();
    command.args([
        "install",
        "--quiet",
        "--locked",
        "cargo-mutants",
        "--version",
        VERSION,
        "--root",
    ]);
    cargo::build(command.arg(&folder), "cargo-mutants")?;
    Ok(program)
}

/// The names of the mutants of a crate that nothing noticed the last time, a line each.
fn missed_file(subject: &Subject) -> Result<PathBuf> {
    Ok(paths::made("mutants")?.join(format!("{}.missed", subject.package)))
}

/// Those mutants of a crate that the options choose.
fn choose(program: &Path, subject: &Subject, options: &Options) -> Result<Vec<Mutant>> {
    let mut all = list(program, subject)?;
    if options.again {
        let missed = files::read_text(&missed_file(subject)?)?;
        let missed: BTreeSet<&str> = missed.lines().collect();
        all.retain(|one| missed.contains(outcomes::without_place(&one.name).as_str()));
    }
    let step = options.sample.map_or(1, |sample| all.len() / sample.max(1)).max(1);
    Ok(all.into_iter().skip(options.skip).step_by(step).collect())
}

/// Breaks a crate's lines. What its own tests do not notice, which are the quickest, those of others are asked to.
fn attack(
    program: &Path,
    subject: &Subject,
    chosen: &[Mutant],
    alone_max: Option<usize>,
) -> Result<Outcomes> {
    if chosen.is_empty() {
        return Ok(Outcomes::default());
    }
    eprintln!("xtask: breaking {} lines of {}", chosen.len(), subject.package);
    let mut bed = Bed::make(chosen)?;
    let (own, others) = subject.tests.split_at(1);
    bed.judge(own)?;
    if !others.is_empty() {
        eprintln!(
            "xtask: what they did not notice once more, by the tests of {}",
            others.join(", ")
        );
        bed.judge(others)?;
    }
    let mut outcomes = Outcomes::default();
    let mut left_out = Vec::new();
    for (mutant, fate) in bed.fates() {
        match fate {
            Fate::Noticed => outcomes.push(&mutant.name, true),
            Fate::Missed => outcomes.push(&mutant.name, false),
            Fate::Unviable => {}
            Fate::LeftOut => left_out.push(mutant.name.as_str()),
        }
    }
    let all = left_out.len();
    let step = alone_max.map_or(1, |max| all.div_ceil(max.max(1))).max(1);
    let most = alone_max.unwrap_or(all);
    let left_out: Vec<&str> = left_out.into_iter().step_by(step).take(most).collect();
    if left_out.is_empty() {
        return Ok(outcomes);
    }
    eprintln!("xtask: {} of {all} that no switch expresses, compiled one by one", left_out.len());
    outcomes.extend(one_by_one(program, subject, "own", &left_out, own)?);
    let missed: Vec<&str> = outcomes.missed().filter(|name| left_out.contains(name)).collect();
    if others.is_empty() || missed.is_empty() {
        return Ok(outcomes);
    }
    let later = one_by_one(program, subject, "others", &missed, others)?;
    Ok(outcomes.or_noticed_by(&later))
}

fn list(program: &Path, subject: &Subject) -> Result<Vec<Mutant>> {
    let mut command = start(program)?;
    command.args(["--package", subject.package, "--list", "--json"]);
    for file in subject.skipped {
        command.args(["--exclude", file]);
    }
    let output = command.stdout(Stdio::piped()).output();
    let output = output.or_say(|| "cannot start cargo-mutants".into())?;
    mutant::list(&String::from_utf8_lossy(&output.stdout))
}

/// Has cargo-mutants compile and test these mutants.
fn one_by_one(
    program: &Path,
    subject: &Subject,
    stage: &str,
    names: &[&str],
    tests: &[&str],
) -> Result<Outcomes> {
    let folder = paths::made("mutants")?.join(subject.package).join(stage);
    files::make_folder(&folder)?;
    let mut command = start(program)?;
    command.args(["--package", subject.package]);
    for name in names {
        command.args(["--re", &outcomes::pattern(name)]);
    }
    // Patterns do not hold for fields that are left out; all those of the named files are tried, too.
    let files: BTreeSet<&str> = names.iter().filter_map(|name| name.split(':').next()).collect();
    for file in files {
        command.args(["--file", file]);
    }
    command.args(["--no-times", "--colors", "never", "--output"]).arg(&folder);
    for package in tests {
        command.args(["--test-package", package]);
    }
    // A warning, as of an argument that the mutant does not use, is not an error.
    command.args(["--cap-lints", "true"]);
    command.args(["--minimum-test-timeout", &case::LIMIT_MIN.as_secs().to_string()]);
    // What the compiler evaluates may never end.
    command.args(["--build-timeout", "600"]);
    // Doc tests are not run: one takes as long to compile as the others together.
    command.args(["--", "--lib", "--tests"]);
    let status = command.status().or_say(|| "cannot start cargo-mutants".into())?;
    match status.code() {
        // All noticed; some not; some never ended.
        Some(0 | 2 | 3) => {
            Ok(Outcomes::read(&folder.join("mutants.out/outcomes.json"))?.only(names))
        }
        _ => fail!(
            "cargo-mutants failed for {}; its messages are above, and in {}",
            subject.package,
            folder.display()
        ),
    }
}

fn start(program: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .arg("mutants")
        .current_dir(paths::root())
        // A mutant is one line, and nobody debugs it: most of its time is the compiler's and the linker's.
        .envs([("CARGO_INCREMENTAL", "1"), ("CARGO_PROFILE_DEV_DEBUG", "0")])
        // The tree is copied anew for each run, and so are our crates compiled anew; others' are not.
        // Apart from those of the tree with switches: cargo tells packages by their place in the workspace, and takes one for the other.
        .env("CARGO_TARGET_DIR", paths::made("mutants")?.join("target-alone"))
        .stdin(Stdio::null())
        .stdout(std::io::stderr());
    Ok(command)
}

/// Two runs at once would test each other's mutants, since they compile into one folder. The lock is held until the file is
/// dropped.
fn lock() -> Result<File> {
    let path = paths::made("mutants")?.join("lock");
    let file = File::create(&path).or_say(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => fail!("another run of `cargo xtask mutants` is under way"),
        Err(TryLockError::Error(error)) => fail!("cannot lock {}: {error}", path.display()),
    }
}
