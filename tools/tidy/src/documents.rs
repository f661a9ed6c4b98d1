//! Documents: short enough to be read, and of files that are there.

use command::{
    failure::{OrSay, Result},
    files, paths,
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

/// The pages that `docs/book.toml` makes a book of, in the order of the summary.
const BOOK: &str = "docs";
const SUMMARY: &str = "SUMMARY.md";

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
        let missing = quoted_files(&text).filter(|path| !is_there(path));
        problems.extend(missing.map(|path| format!("{name} names {path}, which is not there")));
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let dead = links(&text).filter(|link| !paths::root().join(folder).join(link).exists());
        problems.extend(dead.map(|link| format!("{name} links to {link}, which is not there")));
    }
    problems.extend(book(&paths::root().join(BOOK))?);
    Ok(problems)
}

/// What is wrong with the pages of a book: one that the summary does not have, and links that lead nowhere, or to no heading of a
/// page.
fn book(folder: &Path) -> Result<Vec<String>> {
    let mut pages = Vec::new();
    list(folder, "", &mut pages)?;
    let mut problems = Vec::new();
    let read = |page: &str| {
        std::fs::read_to_string(folder.join(page)).or_say(|| format!("cannot read {page}"))
    };
    let summary = read(SUMMARY)?;
    for page in &pages {
        let is_told = links(&summary).any(|link| link == page);
        if page != SUMMARY && !is_told {
            problems.push(format!("{BOOK}/{SUMMARY} has no line for {page}"));
        }
        let text = read(page)?;
        let base = Path::new(page).parent().unwrap_or(Path::new(""));
        for (link, heading) in links_with_headings(&text) {
            let target =
                if link.is_empty() { folder.join(page) } else { folder.join(base).join(link) };
            if !target.exists() {
                problems.push(format!("{BOOK}/{page} links to {link}, which is not there"));
                continue;
            }
            let is_page = target.extension().is_some_and(|extension| extension == "md");
            if let (Some(heading), true) = (heading, is_page) {
                let there =
                    std::fs::read_to_string(&target).or_say(|| format!("cannot read {link}"))?;
                if !anchors(&there).any(|anchor| anchor == heading) {
                    problems.push(format!(
                        "{BOOK}/{page} links to #{heading} of {link}, which is no heading there"
                    ));
                }
            }
        }
    }
    Ok(problems)
}

/// The pages below a folder, as paths from there.
fn list(folder: &Path, below: &str, pages: &mut Vec<String>) -> Result {
    for entry in files::list(&folder.join(below))? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.is_dir() {
            list(folder, &path, pages)?;
        } else if path.ends_with(".md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(())
}

/// Links that stay inside the tree, each with its fragment.
fn links_with_headings(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let text = text.split("```").step_by(2);
    let targets = text.flat_map(|part| part.split("](").skip(1));
    let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0));
    let inside = targets.filter(|target| !target.is_empty() && !target.contains("://"));
    inside.map(|target| match target.split_once('#') {
        Some((link, heading)) => (link, Some(heading)),
        None => (target, None),
    })
}

/// What the headings of a page are reached by: small letters, digits, `_` and, for spaces, hyphens.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let heads =
        text.split("```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    heads.map(|line| {
        let letters = line.trim_start_matches('#').trim().chars();
        let kept = letters.filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ if letter.is_alphanumeric() => Some(letter),
            _ => None,
        });
        kept.flat_map(char::to_lowercase).collect()
    })
}

/// What stands between single backquotes and is a file of Rust's or assembly's with its folder.
fn quoted_files(text: &str) -> impl Iterator<Item = &str> {
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
        assert_eq!(quoted_files(text).collect::<Vec<_>>(), ["a/b.rs", "c/d.s"]);
        assert_eq!(links(text).collect::<Vec<_>>(), ["h/i.md"]);
    }

    #[test]
    fn a_book_without_a_page_or_with_a_dead_link_is_told() {
        let folder = paths::Scratch::new().unwrap();
        let write = |name: &str, text: &str| files::write(&folder.path(name), text).unwrap();
        write(SUMMARY, "- [A](a.md)\n");
        write(
            "a.md",
            "# A title, `x`\n[b](b.md#one-two) [own](#a-title-x)\n```\n# no\n[c](c.md)\n```\n",
        );
        write("b.md", "# One\n## One two\n[a](a.md#nothing) [c](c.md) [far](https://a/c.md)\n");
        let problems = book(&folder.path("")).unwrap();
        let expected = [
            "docs/SUMMARY.md has no line for b.md",
            "docs/b.md links to #nothing of a.md, which is no heading there",
            "docs/b.md links to c.md, which is not there",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn the_documents_are_in_shape() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }
}
