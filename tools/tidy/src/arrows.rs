//! Crate arrows: the dependencies between our crates are exactly those of the drawing in `ARCHITECTURE.md`.
//!
//! A line of the drawing is `CRATES -> CRATES  what it is`, or `CRATES -> none of ours`, or `CRATES -> any`; two spaces
//! end the crates. A crate is called by its folder (`kernel-app/bare`), by the folder's last part (`net`) or by its
//! package (`xtask`); `tools/*` are the crates below that folder that have no line of their own. Other people's crates may be
//! drawn, too. Dev-dependencies are tests, and tests may use any.

use crate::packages::Package;
use command::{
    failure::{OrSay, Result},
    paths,
};

const DRAWING: &str = "ARCHITECTURE.md";
const HEADING: &str = "## The parts and the arrows";
const NONE: &str = "none of ours";
const ANY: &str = "any";

/// What the drawing and the crates do not agree on.
///
/// # Errors
///
/// The drawing cannot be read.
pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(paths::root().join(DRAWING))
        .or_say(|| format!("cannot read {DRAWING}"))?;
    Ok(compare(&drawing(&text), packages))
}

/// A line of the drawing.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    from: Vec<&'a str>,
    /// None for `any`.
    to: Option<Vec<&'a str>>,
}

/// The lines of the code block under the heading.
fn drawing(text: &str) -> Vec<Line<'_>> {
    let section = text.split_once(HEADING).map_or("", |(_, rest)| rest);
    let block = section.split("```").nth(1).unwrap_or("");
    block.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line<'_>> {
    let (from, to) = text.split_once("->")?;
    let to = to.trim();
    let to = to.split_once("  ").map_or(to, |(crates, _)| crates);
    Some(Line {
        from: words(from),
        to: match to {
            NONE => Some(Vec::new()),
            ANY => None,
            _ => Some(words(to)),
        },
    })
}

fn words(text: &str) -> Vec<&str> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).collect()
}

fn compare(drawing: &[Line<'_>], packages: &[Package]) -> Vec<String> {
    if drawing.is_empty() {
        return vec![format!("{DRAWING} has no drawing of arrows below `{HEADING}`")];
    }
    let mut problems = unknown(drawing, packages);
    for package in packages {
        let name = &package.folder;
        match lines_of(package, drawing).as_slice() {
            [] => problems.push(format!("{name} has no line in the drawing of {DRAWING}")),
            [line] => problems.extend(not_drawn(package, line, packages)),
            _ => {
                problems.push(format!("{name} has more than one line in the drawing of {DRAWING}"));
            }
        }
    }
    for line in drawing {
        problems.extend(not_used(line, drawing, packages));
    }
    problems
}

/// Words before an arrow that are no crate of ours.
fn unknown(drawing: &[Line<'_>], packages: &[Package]) -> Vec<String> {
    let words = drawing.iter().flat_map(|line| &line.from);
    words
        .filter(|word| !packages.iter().any(|package| is_meant(word, package)))
        .map(|word| format!("{DRAWING} draws an arrow from {word}, which is no crate of ours"))
        .collect()
}

/// The lines that begin at a package: by its name, or else by its folder's.
fn lines_of<'a>(package: &Package, drawing: &'a [Line<'a>]) -> Vec<&'a Line<'a>> {
    let named = |is_group: bool| {
        let is_it = move |word: &&str| word.ends_with("/*") == is_group && is_meant(word, package);
        drawing.iter().filter(move |line| line.from.iter().any(is_it))
    };
    let own: Vec<_> = named(false).collect();
    if own.is_empty() { named(true).collect() } else { own }
}

/// Whether a word of the drawing means a package.
fn is_meant(word: &str, package: &Package) -> bool {
    match word.strip_suffix("/*") {
        Some(folder) => {
            package.folder.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        }
        None => {
            let last = package.folder.rsplit('/').next();
            package.folder == word || package.name == word || last == Some(word)
        }
    }
}

/// Dependencies of a package that its line does not show.
fn not_drawn(package: &Package, line: &Line<'_>, packages: &[Package]) -> Vec<String> {
    let Some(to) = &line.to else { return Vec::new() };
    let ours = packages.iter().filter(|other| package.depends.contains(&other.name));
    ours.filter(|other| !to.iter().any(|word| is_meant(word, other)))
        .map(|other| {
            let (from, to) = (&package.folder, &other.folder);
            format!("{from} depends on {to}, and {DRAWING} has no such arrow")
        })
        .collect()
}

/// Arrows of a line that no package needs.
fn not_used(line: &Line<'_>, drawing: &[Line<'_>], packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for from in &line.from {
        let members: Vec<_> = packages
            .iter()
            .filter(|package| is_meant(from, package))
            .filter(|package| lines_of(package, drawing).contains(&line))
            .collect();
        for to in line.to.iter().flatten() {
            let is_used = members.iter().any(|member| uses(member, to, packages));
            if !is_used {
                problems.push(format!("{DRAWING} draws {from} -> {to}, which nothing uses"));
            }
        }
    }
    problems
}

/// Whether a package depends on what a word means: one of ours, or else another's by its name.
fn uses(package: &Package, word: &str, packages: &[Package]) -> bool {
    let ours =
        packages.iter().any(|other| package.depends.contains(&other.name) && is_meant(word, other));
    ours || package.depends.iter().any(|name| name == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWN: &str = "\
## The parts and the arrows

```
kernel-app -> net, flow          the appliance
kernel-app/bare -> kernel-app    the image
net -> flow smoltcp
flow xtask -> none of ours
tests tests/* -> any
tools/* -> flow
```
";

    fn package(folder: &str, depends: &[&str]) -> Package {
        let name =
            if folder == "kernel-app" { "aqueduct" } else { folder.rsplit('/').next().unwrap() };
        Package {
            name: name.to_owned(),
            library: name.to_owned(),
            folder: folder.to_owned(),
            depends: depends.iter().map(|&name| name.to_owned()).collect(),
            roots: Vec::new(),
            published: None,
        }
    }

    fn house() -> Vec<Package> {
        vec![
            package("kernel-app", &["net", "flow", "bytes"]),
            package("kernel-app/bare", &["aqueduct"]),
            package("crates/net", &["flow", "smoltcp"]),
            package("crates/flow", &[]),
            package("xtask", &["lexopt"]),
            package("tests", &["net", "aqueduct"]),
            package("tests/sim", &["net"]),
            package("tools/one", &["flow"]),
            package("tools/two", &[]),
            package("tests/sim/more", &["flow"]),
        ]
    }

    fn problems(packages: &[Package]) -> Vec<String> {
        compare(&drawing(DRAWN), packages)
    }

    #[test]
    fn what_is_drawn_and_used_is_right() {
        assert_eq!(problems(&house()), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_told() {
        let mut house = house();
        house[3].depends.push("net".into());
        assert_eq!(
            problems(&house),
            ["crates/flow depends on crates/net, and ARCHITECTURE.md has no such arrow"]
        );
    }

    #[test]
    fn an_arrow_that_is_not_used_is_told() {
        let mut house = house();
        house[0].depends.retain(|name| name != "flow");
        house[2].depends.retain(|name| name != "smoltcp");
        house[7].depends.clear();
        assert_eq!(
            problems(&house),
            [
                "ARCHITECTURE.md draws kernel-app -> flow, which nothing uses",
                "ARCHITECTURE.md draws net -> smoltcp, which nothing uses",
                "ARCHITECTURE.md draws tools/* -> flow, which nothing uses",
            ]
        );
    }

    #[test]
    fn a_crate_has_one_line() {
        let mut larger = house();
        larger.push(package("crates/newcomer", &[]));
        assert_eq!(problems(&larger).len(), 1);
        let twice = format!("{}flow -> net\n```\n", DRAWN.trim_end().trim_end_matches('`'));
        assert!(compare(&drawing(&twice), &house()).len() >= 2);
        assert_eq!(compare(&drawing(""), &[]).len(), 1);
        let stranger = DRAWN.replace("flow xtask", "flow xtask stranger");
        assert_eq!(compare(&drawing(&stranger), &house()).len(), 1);
    }

    #[test]
    fn the_drawing_of_the_tree_is_exact() {
        let packages = crate::packages::all().unwrap();
        assert_eq!(check(&packages).unwrap(), Vec::<String>::new());
        assert_eq!(crate::imports::check(&packages).unwrap(), Vec::<String>::new());
    }
}
