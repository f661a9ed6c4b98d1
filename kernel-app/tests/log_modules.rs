//! The list of modules that log is that of the tree.

use aqueduct::log_modules::LOG_MODULES;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates that an appliance is made of.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut crates: Vec<_> = ["", "bare", "linux", "hermit"]
        .iter()
        .map(|name| root.join("kernel-app").join(name))
        .collect();
    for folder in ["crates", "drivers"] {
        crates.extend(folders(&root.join(folder)));
    }
    crates
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// The name of a crate in paths.
fn crate_name(folder: &Path) -> String {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let name = |table: &str| {
        let (_, lines) = manifest.split_once(&format!("[{table}]\n"))?;
        let mut lines = lines.lines().take_while(|line| !line.starts_with('['));
        lines.find_map(|line| line.strip_prefix("name = "))
    };
    // A library without a name of its own is called as its package is.
    let name = name("lib").or_else(|| name("package")).unwrap();
    name.trim_matches('"').replace('-', "_")
}

/// Adds the modules of a folder that log outside of tests.
fn visit(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let own = format!("{module}::{stem}");
        if path.is_dir() {
            if stem != "tests" {
                visit(&path, &own, found);
            }
        } else if path.extension().is_some_and(|it| it == "rs")
            && !["main", "tests", "testing"].contains(&&*stem)
        {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            if text.contains("log::") && logs(text) {
                found.insert(if stem == "lib" { module.to_owned() } else { own });
            }
        }
    }
}

fn logs(text: &str) -> bool {
    ["error!(", "warn!(", "info!(", "debug!(", "trace!("].iter().any(|call| {
        text.match_indices(call).any(|(at, _)| {
            let before = text[..at].strip_suffix("log::").unwrap_or(&text[..at]);
            before.chars().next_back().is_none_or(|it| it.is_whitespace() || "({;".contains(it))
        })
    })
}

#[test]
fn the_list_has_all_modules_that_log_and_no_others() {
    let mut found = BTreeSet::from(["access".to_owned()]);
    for folder in crates() {
        visit(&folder.join("src"), &crate_name(&folder), &mut found);
    }
    let known: BTreeSet<_> = LOG_MODULES.iter().map(|it| (*it).to_owned()).collect();
    let (absent, wrong): (Vec<_>, Vec<_>) =
        (found.difference(&known).collect(), known.difference(&found).collect());
    assert!(absent.is_empty() && wrong.is_empty(), "to be added {absent:?}, and removed {wrong:?}");
    assert!(LOG_MODULES.is_sorted() && found.len() > 100);
}
