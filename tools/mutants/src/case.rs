//! Programs of tests, and which mutants each of their tests reaches.

use crate::mutant::field;
use command::{
    child::Child,
    failure::{Result, fail},
    paths,
    programs::{self, Program},
};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tinyjson::JsonValue;

/// The shortest time that tests have before a mutant counts as one that never ends, which is noticed, too.
pub(crate) const LIMIT_MIN: Duration = Duration::from_secs(10);
/// How much longer tests may take with a mutant.
const LIMIT_FACTOR: u32 = 6;
/// What a test may take without a mutant.
const LIMIT_IDLE: Duration = Duration::from_secs(600);
/// Tests that take longer have to wait until the quick ones have not noticed.
const QUICK_MAX: Duration = Duration::from_millis(200);
/// What tests may have of addresses: a mutant may gather memory for ever.
const MEMORY_BYTES_MAX: u64 = 8 << 30;
const PRLIMIT: Program = Program { name: "prlimit", package: "util-linux" };
/// The number of no mutant.
const NONE: usize = usize::MAX;

/// A program of tests.
pub(crate) struct Tests {
    program: PathBuf,
    folder: PathBuf,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    took: Duration,
    reached: BTreeSet<usize>,
}

/// Runs something for each number below a count, on all processors, until one fails.
pub(crate) fn in_parallel(count: usize, run: impl Fn(usize) -> Result + Sync) -> Result {
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Ok(()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            if let Err(failure) = run(index) {
                next.store(count, Ordering::Relaxed);
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Err(failure);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs each test alone, to see how long it takes and which mutants it reaches.
///
/// # Errors
/// One fails without a mutant.
pub(crate) fn measure(programs: &mut [Tests]) -> Result {
    let mut all = Vec::new();
    for (index, tests) in programs.iter().enumerate() {
        all.extend(tests.list()?.into_iter().map(|name| (index, name)));
    }
    let cases = Mutex::new(Vec::new());
    in_parallel(all.len(), |index| {
        let (program, name) = &all[index];
        let case = programs[*program].case(name, index)?;
        cases.lock().unwrap_or_else(PoisonError::into_inner).push((*program, case));
        Ok(())
    })?;
    for (program, case) in cases.into_inner().unwrap_or_else(PoisonError::into_inner) {
        programs[program].cases.push(case);
    }
    Ok(())
}

/// Whether a test fails with this mutant. Only those run that reach it, the quick ones first.
pub(crate) fn is_noticed(programs: &[Tests], mutant: usize) -> Result<bool> {
    let mut runs = Vec::new();
    for tests in programs {
        let reaching = tests.cases.iter().filter(|case| case.reached.contains(&mutant));
        let (quick, slow): (Vec<&Case>, Vec<&Case>) =
            reaching.partition(|case| case.took <= QUICK_MAX);
        for cases in [quick, slow] {
            let took: Duration = cases.iter().map(|case| case.took).sum();
            let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            runs.push((took, tests, names));
        }
    }
    runs.retain(|(.., names)| !names.is_empty());
    runs.sort_by_key(|(took, ..)| *took);
    for (took, tests, names) in runs {
        if !tests.passes(mutant, &names, None, LIMIT_MIN.max(took * LIMIT_FACTOR))? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Tests {
    /// A program of tests that cargo says it has made.
    pub(crate) fn of(message: &JsonValue) -> Option<Self> {
        let is_test = field(field(message, "profile")?, "test")?.get::<bool>()?;
        let program = field(message, "executable")?.get::<String>()?;
        let manifest = field(message, "manifest_path")?.get::<String>()?;
        let folder = Path::new(manifest).parent()?.to_owned();
        is_test.then(|| Self { program: program.into(), folder, cases: Vec::new() })
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut command = std::process::Command::new(&self.program);
        command.current_dir(&self.folder).args(["--list", "--format", "terse"]);
        let text = programs::output(&mut command)?;
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(Into::into).collect())
    }

    fn case(&self, name: &str, number: usize) -> Result<Case> {
        let record = paths::made("mutants")?.join(format!("reached-{number}"));
        let begin = Instant::now();
        let passes = self.passes(NONE, &[name], Some(&record), LIMIT_IDLE)?;
        let took = begin.elapsed();
        let text = fs::read_to_string(&record).unwrap_or_default();
        let _ = fs::remove_file(&record);
        // What counts allocations may fail by the recording.
        if !passes && !self.passes(NONE, &[name], None, LIMIT_IDLE)? {
            fail!("`{name}` of {} fails without a mutant", self.program.display());
        }
        let reached = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Case { name: name.into(), took, reached })
    }

    fn passes(
        &self,
        mutant: usize,
        names: &[&str],
        record: Option<&Path>,
        limit: Duration,
    ) -> Result<bool> {
        let mut command = programs::command(&PRLIMIT)?;
        command.arg(format!("--as={MEMORY_BYTES_MAX}")).arg("--").arg(&self.program);
        command
            .arg("--exact")
            .args(names)
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("RUST_BACKTRACE", "0")
            .env("MUTANT", mutant.to_string());
        if let Some(record) = record {
            command.env("MUTANTS_REACHED", record);
        }
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        })?;
        let Some(output) = child.streams().stdout.take() else { return Ok(false) };
        // The first test that fails is enough.
        let has_failed = std::thread::spawn(move || {
            let mut lines = BufReader::new(output).split(b'\n').map_while(std::result::Result::ok);
            lines.any(|line| line.ends_with(b"... FAILED"))
        });
        let deadline = Instant::now() + limit;
        while child.ended().is_none() && Instant::now() < deadline {
            if record.is_none() && has_failed.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if has_failed.is_finished() && has_failed.join().unwrap_or(true) && record.is_none() {
            return Ok(false);
        }
        // Its output may end before it does.
        let left = deadline.saturating_duration_since(Instant::now());
        Ok(child.wait(left).is_some_and(|status| status.success()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_all() {
        let run = Mutex::new(BTreeSet::new());
        in_parallel(50, |index| {
            run.lock().unwrap().insert(index);
            Ok(())
        })
        .unwrap();
        assert_eq!(run.lock().unwrap().len(), 50);
        let failure = in_parallel(usize::MAX / 2, |index| {
            if index == 7 {
                fail!("the seventh");
            }
            Ok(())
        });
        assert_eq!(failure.unwrap_err().to_string(), "the seventh");
    }
}
