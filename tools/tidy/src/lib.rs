//! The shape of the tree, kept by a test: crate arrows, lengths of files, unsafe code, lints.
#![forbid(unsafe_code)]

use command::{
    cargo,
    failure::{Failure, OrSay, Result, fail},
    paths, programs,
};
use image_builder::image;
use std::{
    collections::HashMap,
    path::Path,
    process::{Command, Stdio},
};
use tinyjson::JsonValue;

/// Which crate may depend on which of ours. Dev-dependencies are tests, and tests may use any.
const ARROWS: &[(&str, &[&str])] = &[
    ("aqueduct", &["config", "endpoints", "web", "net", "flow"]),
    (
        "aqueduct-bare",
        &[
            "aqueduct",
            "config",
            "endpoints",
            "web",
            "net",
            "flow",
            "machine",
            "virtio-net",
            "xen-netfront",
            "xen-store",
        ],
    ),
    ("aqueduct-linux", &["aqueduct", "config", "endpoints", "net", "flow", "offload"]),
    ("endpoints", &["flow", "web", "http", "rpc", "zmq", "pipe"]),
    ("net", &["flow"]),
    ("flow", &[]),
    ("http", &["web"]),
    ("web", &["flow"]),
    ("rpc", &[]),
    ("zmq", &[]),
    ("pipe", &[]),
    ("virtio-net", &["machine", "net", "offload"]),
    ("xen-netfront", &["machine", "net", "offload", "xen-store"]),
    ("xen-store", &["machine"]),
    ("offload", &[]),
    ("machine", &[]),
    ("config", &[]),
    ("aqueduct-command", &[]),
    ("aqueduct-image-builder", &["aqueduct-command", "config"]),
    ("aqueduct-lab", &["aqueduct-command", "aqueduct-image-builder", "config"]),
    ("aqueduct-bench", &["aqueduct-command", "aqueduct-image-builder", "aqueduct-lab", "config"]),
    ("aqueduct-tidy", &["aqueduct-command", "aqueduct-image-builder"]),
    (
        "xtask",
        &[
            "aqueduct-bench",
            "aqueduct-command",
            "aqueduct-image-builder",
            "aqueduct-lab",
            "aqueduct-tidy",
        ],
    ),
];

/// The crate that holds the unsafe code, and the one that must name a symbol for its boot code.
const MAY_BE_UNSAFE: &[&str] = &["machine", "aqueduct-bare"];
const FILE_LINES_MAX: usize = 600;
/// Documents that stay short enough to be read.
const DOCUMENTS: &[(&str, usize)] = &[("README.md", 80), ("ARCHITECTURE.md", 200)];
const ALLOWED: &str = "tools/tidy/tidy.allow";

/// Prints what is out of shape; whether nothing is.
pub fn check() -> Result<bool> {
    let mut problems = arrows(&packages()?);
    problems.extend(unsafe_code(&packages()?)?);
    problems.extend(file_lengths()?);
    problems.extend(documents());
    for problem in &problems {
        println!("tidy: {problem}");
    }
    Ok(problems.is_empty())
}

/// Clippy over the workspace and over the image's package; whether both are clean.
///
/// # Errors
///
/// Cargo cannot be started.
pub fn clippy_all() -> Result<bool> {
    let workspace = clippy(cargo::command().arg("clippy"))?;
    Ok(clippy(&mut image::Options::default().cargo("clippy", "dev"))? && workspace)
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

/// A package of the workspace.
struct Package {
    name: String,
    /// Names of the packages of ours that it depends on, other than for its tests.
    depends: Vec<String>,
    /// Below `tests/`: may depend on any.
    is_test: bool,
    /// The root files of its library and binaries.
    roots: Vec<String>,
}

fn packages() -> Result<Vec<Package>> {
    let text = programs::output(cargo::command().args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: JsonValue = text.parse().or_say(|| "cargo metadata".into())?;
    let packages = list(&metadata, "packages");
    Ok(packages.iter().map(package).collect())
}

fn package(json: &JsonValue) -> Package {
    let for_use = |dependency: &&JsonValue| {
        string(dependency, "kind") != "dev" && !string(dependency, "path").is_empty()
    };
    let is_root = |target: &&JsonValue| {
        list(target, "kind")
            .iter()
            .any(|kind| matches!(kind, JsonValue::String(kind) if kind == "lib" || kind == "bin"))
    };
    Package {
        name: string(json, "name"),
        is_test: Path::new(&string(json, "manifest_path")).starts_with(paths::root().join("tests")),
        depends: list(json, "dependencies")
            .iter()
            .filter(for_use)
            .map(|dependency| string(dependency, "name"))
            .collect(),
        roots: list(json, "targets")
            .iter()
            .filter(is_root)
            .map(|target| string(target, "src_path"))
            .collect(),
    }
}

fn list<'a>(json: &'a JsonValue, key: &str) -> &'a [JsonValue] {
    match json {
        JsonValue::Object(object) => match object.get(key) {
            Some(JsonValue::Array(items)) => items,
            _ => &[],
        },
        _ => &[],
    }
}

/// The text of a key; empty where there is none.
fn string(json: &JsonValue, key: &str) -> String {
    match json {
        JsonValue::Object(object) => match object.get(key) {
            Some(JsonValue::String(text)) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn arrows(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages.iter().filter(|package| !package.is_test) {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            problems
                .push(format!("{} has no line in the table of arrows (tools/tidy)", package.name));
            continue;
        };
        for depends in package.depends.iter().filter(|depends| !allowed.contains(&depends.as_str()))
        {
            problems.push(format!(
                "{} may not depend on {depends} (ARCHITECTURE.md has the arrows)",
                package.name
            ));
        }
    }
    problems
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

fn file_lengths() -> Result<Vec<String>> {
    let listed = programs::output(Command::new("git").current_dir(paths::root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.rs",
    ]))?;
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

fn documents() -> Vec<String> {
    let length = |name: &str| {
        std::fs::read_to_string(paths::root().join(name)).map(|text| text.lines().count())
    };
    let judge = |(name, lines_max): &(&str, usize)| match length(name) {
        Ok(lines) if lines > *lines_max => {
            Some(format!("{name} has {lines} lines; at most {lines_max}"))
        }
        Ok(_) => None,
        Err(error) => Some(format!("{name} cannot be read: {error}")),
    };
    DOCUMENTS.iter().filter_map(judge).collect()
}

/// The names of a manifest's binaries.
pub fn binaries(manifest: &Path) -> Result<Vec<String>> {
    let text = programs::output(
        cargo::command()
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(manifest),
    )?;
    let metadata: JsonValue = text.parse().or_say(|| "cargo metadata".into())?;
    let Some(package) = list(&metadata, "packages").first() else {
        fail!("{} has no package", manifest.display());
    };
    Ok(list(package, "targets").iter().map(|target| string(target, "name")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depends(name: &str, on: &[&str]) -> Vec<Package> {
        vec![Package {
            name: name.into(),
            depends: on.iter().map(|&name| name.into()).collect(),
            is_test: false,
            roots: Vec::new(),
        }]
    }

    #[test]
    fn arrows_are_only_those_of_the_table() {
        assert!(arrows(&depends("endpoints", &["flow", "http"])).is_empty());
        assert_eq!(arrows(&depends("http", &["flow"])).len(), 1);
        assert_eq!(arrows(&depends("flow", &["net"])).len(), 1);
        assert_eq!(arrows(&depends("newcomer", &[])).len(), 1);
    }

    #[test]
    fn every_crate_of_the_workspace_is_in_the_table() {
        let packages = packages().unwrap();
        assert!(packages.len() >= ARROWS.len());
        assert_eq!(arrows(&packages), Vec::<String>::new());
    }

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
