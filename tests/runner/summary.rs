//! Summary: what passed, failed and was skipped, and which cases took longest.

use command::failure::Result;
use std::{cmp::Reverse, ffi::OsStr, time::Duration};

/// How many of the slowest cases are told.
const SLOWEST: usize = 10;

/// What it means that this machine cannot run a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skips {
    /// It is told: a programmer's machine may lack something.
    AreTold,
    /// It is a failure: where changes are judged, a case that never ran has proved nothing.
    Fail,
}

impl Skips {
    /// By the variable `CI`, which continuous integration sets.
    pub(super) fn said_by(variable: Option<&OsStr>) -> Self {
        match variable {
            Some(value) if !["", "0", "false"].iter().any(|no| value == *no) => Self::Fail,
            _ => Self::AreTold,
        }
    }
}

/// The results so far.
#[derive(Default)]
pub(super) struct Summary {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
    /// Cases that failed, and passed when they were run again.
    unsteady: Vec<&'static str>,
    took: Vec<(Duration, &'static str)>,
}

impl Summary {
    pub(super) fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    /// Adds the result of a step that is no case.
    pub(super) fn step(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }

    /// Adds a case that cannot run here, with the reason.
    pub(super) fn skip(&mut self, what: String, skips: Skips) {
        match skips {
            Skips::AreTold => self.skipped.push(what),
            Skips::Fail => self.failed.push(format!("{what}: not run, and CI is set")),
        }
    }

    /// Adds the result of a case, and prints it.
    pub(super) fn case(&mut self, name: &'static str, took: Duration, result: &Result) {
        match result {
            Ok(()) => println!("ok      {name} ({:.1} s)", took.as_secs_f32()),
            Err(failure) => println!("FAILED  {name}\n{failure}\n"),
        }
        self.took.push((took, name));
        self.step(name, result.is_ok());
    }

    /// Adds what came of a case that failed and was run again, and prints it.
    pub(super) fn second_attempt(&mut self, name: &'static str, result: &Result) {
        match result {
            Ok(()) => {
                println!("ok      {name}, at the second attempt");
                self.failed.retain(|failed| failed != name);
                self.unsteady.push(name);
                self.passed += 1;
            }
            Err(failure) => println!("FAILED  {name}, at the second attempt\n{failure}\n"),
        }
    }

    /// Adds the results that libtest printed.
    pub(super) fn libtest(&mut self, output: &str, success: bool) {
        let failed_before = self.failed.len();
        for line in output.lines().filter_map(|line| line.strip_prefix("test ")) {
            match line.rsplit_once(" ... ") {
                Some((_, "ok")) => self.passed += 1,
                Some((name, "FAILED")) => self.failed.push(name.to_owned()),
                Some((name, ignored)) if ignored.starts_with("ignored") => {
                    self.skipped.push(format!("{name} ({ignored})"));
                }
                _ => {}
            }
        }
        if !success && self.failed.len() == failed_before {
            self.failed.push("cargo test (it does not build; its messages are above)".into());
        }
    }

    pub(super) fn print(&self, took: Duration) {
        println!();
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for failed in &self.failed {
            println!("failed: {failed}");
        }
        for unsteady in &self.unsteady {
            println!("unsteady: {unsteady} (it failed, and passed when it was run again alone)");
        }
        for (took, name) in self.slowest() {
            println!("slow: {name} ({:.1} s)", took.as_secs_f32());
        }
        println!("in {} s", took.as_secs());
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        );
    }

    fn slowest(&self) -> Vec<(Duration, &'static str)> {
        let mut cases = self.took.clone();
        cases.sort_by_key(|&(took, _)| Reverse(took));
        cases.truncate(SLOWEST);
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use command::failure::Failure;

    #[test]
    fn libtest_lines_are_counted() {
        let mut summary = Summary::default();
        summary.libtest(
            "test a::b ... ok\ntest c - d (line 3) ... FAILED\ntest e ... ignored, slow\ntest result: FAILED. 1 passed\n",
            false,
        );
        let Summary { passed, failed, skipped, .. } = &summary;
        assert_eq!((*passed, failed.len(), skipped.len()), (1, 1, 1));
        summary.libtest("error: nothing builds", false);
        assert_eq!(summary.failed.len(), 2);
    }

    #[test]
    fn a_case_that_did_not_run_is_a_failure_where_changes_are_judged() {
        for (value, skips) in [
            (None, Skips::AreTold),
            (Some(""), Skips::AreTold),
            (Some("false"), Skips::AreTold),
            (Some("0"), Skips::AreTold),
            (Some("true"), Skips::Fail),
            (Some("1"), Skips::Fail),
        ] {
            assert_eq!(Skips::said_by(value.map(OsStr::new)), skips, "{value:?}");
            let mut summary = Summary::default();
            summary.skip("one (no namespace)".into(), skips);
            assert_eq!(summary.is_success(), skips == Skips::AreTold);
            assert_eq!(summary.failed.len() + summary.skipped.len(), 1);
        }
    }

    #[test]
    fn the_slowest_come_first() {
        let mut summary = Summary::default();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        for (name, seconds) in names.into_iter().zip([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]) {
            summary.case(name, Duration::from_secs(seconds), &Ok(()));
        }
        let slowest = summary.slowest();
        assert_eq!(slowest.len(), SLOWEST);
        assert_eq!(slowest[..3].iter().map(|(_, name)| *name).collect::<String>(), "flh");
    }

    #[test]
    fn a_case_that_passes_again_is_unsteady_and_one_that_does_not_has_failed_once() {
        let failure = || -> Result { Err(Failure::new("no".to_owned())) };
        let mut summary = Summary::default();
        for name in ["one", "two"] {
            summary.case(name, Duration::ZERO, &failure());
        }
        summary.second_attempt("one", &Ok(()));
        summary.second_attempt("two", &failure());
        assert_eq!(summary.failed, ["two"]);
        assert_eq!((summary.passed, summary.unsteady.as_slice()), (1, &["one"][..]));
        assert!(!summary.is_success());
    }
}
