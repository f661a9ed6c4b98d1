//! Documents: short enough to be read, and of files that are there.

use command::{
    failure::{OrSay, Result},
    paths,
};
use std::path::Path;

/// Documents, and how many lines each may have.
const DOCUMENTS: &[(&str, usize)] = &[
    ("README.md", 80),
    ("ARCHITECTURE.md", 200),
    ("CONTRIBUTING.md", 80),
    ("SECURITY.md", 80),
    ("docs/tour.md", 160),
    ("docs/glossary.md", 80),
    ("docs/web.md", 240),
    ("docs/hermit.md", 80),
];

/// Where a path of a document may begin: at the root, or at the folder of crates.
const BASES: &[&str] = &["", "crates"];

/// Documents that are too long, or that name a file which is not there.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (name, lines_max) in DOCUMENTS {
        let text = std::fs::read_to_string(paths::root().join(name))
            .or_say(|| format!("cannot read {name}"))?;
        let lines = text.lines().count();
        if lines > *lines_max {
            problems.push(format!("{name} has {lines} lines; at most {lines_max}"));
        }
        let is_there =
            |path: &str| BASES.iter().any(|base| paths::root().join(base).join(path).exists());
        let missing = files(&text).filter(|path| !is_there(path));
        problems.extend(missing.map(|path| format!("{name} names {path}, which is not there")));
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let dead = links(&text).filter(|link| !paths::root().join(folder).join(link).exists());
        problems.extend(dead.map(|link| format!("{name} links to {link}, which is not there")));
    }
    Ok(problems)
}

/// What stands between single backquotes and is a file of Rust's or assembly's with its folder.
fn files(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| {
        word.contains('/') && !word.contains(' ') && (word.ends_with(".rs") || word.ends_with(".s"))
    })
}

/// Where links lead that stay inside the tree, without their fragments.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_links_are_found_and_nothing_else() {
        let text = "see `a/b.rs`, `b.rs`, `run a/b.rs`, `c/d.s`, `e/f`: [g](h/i.md#j), [k](https://l/m.md), [n](#o)";
        assert_eq!(files(text).collect::<Vec<_>>(), ["a/b.rs", "c/d.s"]);
        assert_eq!(links(text).collect::<Vec<_>>(), ["h/i.md"]);
    }

    #[test]
    fn the_documents_are_in_shape() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }
}
