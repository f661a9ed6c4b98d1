//! The shape of the tree, kept by a test: crate arrows, lengths of files, unsafe code, lints.
#![forbid(unsafe_code)]

mod arrows;
mod broken_lines;
mod claims;
mod crates;
mod cycles;
mod documents;
mod imports;
mod messages;
mod module_access;
mod packages;

use command::{
    cargo,
    failure::{Failure, OrSay, Result},
    paths, programs,
};
use image_builder::image;
use packages::Package;
use std::{
    collections::HashMap,
    process::{Command, Stdio},
};

/// The crates that hold the unsafe code, and those that must name a symbol for its boot code.
const MAY_BE_UNSAFE: &[&str] = &[
    "aqueduct-machine",
    "aqueduct-machine-runtime",
    "hermit-system",
    "aqueduct-bare",
    "trial-bare",
    "load-bare",
    "aqueduct-hermit",
    "trial-hermit",
    "aqueduct-hermit-loader",
    "aqueduct-wasm",
    "golden",
];
const FILE_LINES_MAX: usize = 600;
const ALLOWED: &str = "tools/tidy/tidy.allow";

/// Prints what is out of shape; whether nothing is.
pub fn check() -> Result<bool> {
    let packages = packages::all()?;
    let mut problems = arrows::check(&packages)?;
    problems.extend(imports::check(&packages)?);
    problems.extend(unsafe_code(&packages)?);
    problems.extend(file_lengths()?);
    problems.extend(crates::check(&packages)?);
    problems.extend(documents::check()?);
    problems.extend(broken_lines::check()?);
    problems.extend(claims::check()?);
    problems.extend(messages::check()?);
    problems.extend(cycles::problems()?);
    problems.extend(module_access::problems()?);
    for problem in &problems {
        println!("tidy: {problem}");
    }
    Ok(problems.is_empty())
}

/// Clippy over the workspace and over the packages of images; whether both are clean.
///
/// # Errors
///
/// Cargo cannot be started.
pub fn clippy_all() -> Result<bool> {
    let workspace = clippy(cargo::command().arg("clippy"))?;
    Ok(clippy_images()? && workspace)
}

/// Clippy over the packages of images; whether they are clean. Those of applications for Hermit's target are left out,
/// since the pinned toolchain has no library for it.
///
/// # Errors
///
/// Cargo cannot be started.
pub fn clippy_images() -> Result<bool> {
    let loader =
        image::Options { package: "aqueduct-hermit-loader".into(), ..image::Options::default() };
    let mut all = true;
    for options in [image::Options::default(), image::Options::trial(), loader] {
        all &= clippy(&mut options.cargo("clippy", "dev"))?;
    }
    Ok(all)
}

/// Runs a clippy command with our limits, the length of functions among them.
pub fn clippy(command: &mut Command) -> Result<bool> {
    eprintln!("xtask: cargo clippy");
    command.args([
        "--quiet",
        "--all-targets",
        "--",
        "-D",
        "warnings",
        "-D",
        "clippy::too_many_lines",
    ]);
    command.env("CLIPPY_CONF_DIR", paths::root().join("tools/tidy")).stdin(Stdio::null());
    Ok(command.status().or_say(|| "cannot start cargo".into())?.success())
}

fn unsafe_code(packages: &[Package]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in packages.iter().filter(|package| !MAY_BE_UNSAFE.contains(&package.name.as_str()))
    {
        for root in &package.roots {
            let text = std::fs::read_to_string(root).or_say(|| format!("cannot read {root}"))?;
            if !text.contains("#![forbid(unsafe_code)]") {
                problems.push(format!("{root} does not say #![forbid(unsafe_code)]"));
            }
        }
    }
    Ok(problems)
}

/// The paths of the files that git has or would have, of these patterns, a line each.
fn listed(patterns: &[&str]) -> Result<String> {
    let all = ["ls-files", "--cached", "--others", "--exclude-standard"];
    programs::output(Command::new("git").current_dir(paths::root()).args(all).args(patterns))
}

fn file_lengths() -> Result<Vec<String>> {
    let listed = listed(&["*.rs"])?;
    let mut allowed = allowances()?;
    let mut problems = Vec::new();
    for path in listed.lines().filter(|path| !is_test(path) && !is_generated(path)) {
        let Ok(text) = std::fs::read_to_string(paths::root().join(path)) else {
            continue;
        };
        problems.extend(judge_length(path, code_lines(&text), allowed.remove(path)));
    }
    problems
        .extend(allowed.keys().map(|path| format!("{ALLOWED} names {path}, which is not there")));
    Ok(problems)
}

fn judge_length(path: &str, lines: usize, allowed: Option<usize>) -> Option<String> {
    match allowed {
        None if lines > FILE_LINES_MAX => Some(format!(
            "{path} has {lines} lines before its tests; at most {FILE_LINES_MAX}: split it by nouns"
        )),
        Some(allowed) if lines > allowed => {
            Some(format!("{path} has {lines} lines before its tests; {ALLOWED} gives it {allowed}"))
        }
        Some(allowed) if lines <= FILE_LINES_MAX || lines < allowed => {
            Some(format!("{path} has only {lines} lines now: lower its line in {ALLOWED}"))
        }
        _ => None,
    }
}

/// A file of nothing but tests.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// What Cap'n Proto's compiler wrote.
fn is_generated(path: &str) -> bool {
    path.ends_with("_capnp.rs")
}

/// The lines before the tests, which stand at the end of a file.
fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    tests.unwrap_or(lines.len())
}

fn allowances() -> Result<HashMap<String, usize>> {
    let text = std::fs::read_to_string(paths::root().join(ALLOWED))
        .or_say(|| format!("cannot read {ALLOWED}"))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parse = |line: &str| {
        let (path, number) = line.split_once(' ')?;
        Some((path.to_owned(), number.trim().parse().ok()?))
    };
    lines
        .map(|line| {
            parse(line)
                .ok_or_else(|| Failure(format!("{ALLOWED}: `{line}` is not a path and a number")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_a_ratchet() {
        assert_eq!(judge_length("a.rs", 600, None), None);
        assert!(judge_length("a.rs", 601, None).is_some());
        assert_eq!(judge_length("a.rs", 700, Some(700)), None);
        assert!(judge_length("a.rs", 701, Some(700)).is_some());
        assert!(judge_length("a.rs", 699, Some(700)).is_some());
        assert!(judge_length("a.rs", 600, Some(600)).is_some());
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        assert_eq!(code_lines("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(code_lines("#[cfg(test)]\nmod sim;\nb\n"), 3);
        assert!(
            is_test("tests/boot/mod.rs")
                && is_test("crates/net/tests/sim.rs")
                && is_test("crates/net/src/tests.rs")
        );
        assert!(!is_test("xtask/src/test.rs"));
    }
}
