//! Imports: a crate that depends on another one of ours names it in its source.

use crate::packages::Package;
use command::{failure::Result, files, paths};
use std::path::Path;

/// Dependencies that no source file of a package names. Tests are not looked at.
///
/// # Errors
///
/// A folder or a file cannot be read.
pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in packages.iter().filter(|package| !package.folder.starts_with("tests")) {
        let source = source(&paths::root().join(&package.folder))?;
        let ours = packages.iter().filter(|other| package.depends.contains(&other.name));
        problems.extend(ours.filter(|other| !is_named(&other.library, &source)).map(|other| {
            format!("{} depends on {} and does not use it", package.folder, other.folder)
        }));
    }
    Ok(problems)
}

/// The Rust source of a package: what is below its folder, without other packages and tests.
fn source(folder: &Path) -> Result<String> {
    let mut text = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in files::list(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                let is_other = ["tests", "examples", "benches", "target"].contains(&&*name);
                if !is_other && !path.join("Cargo.toml").exists() {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                text += &files::read_text(&path)?;
            }
        }
    }
    Ok(text)
}

/// Whether a library's name stands in front of `::`, or alone after `use`.
fn is_named(library: &str, source: &str) -> bool {
    let is_start = |at: usize| {
        let before = source[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    };
    source.match_indices(&format!("{library}::")).any(|(at, _)| is_start(at))
        || source.contains(&format!("use {library};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole() {
        assert!(is_named("net", "use net::Stack;") && is_named("net", "fn f(s: &net::Stack)"));
        assert!(is_named("net", "use net;"));
        assert!(!is_named("net", "use subnet::Stack;") && !is_named("net", "let net = 1;"));
    }
}
