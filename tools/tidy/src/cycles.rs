//! Module cycles: files of one crate that use each other, in a circle.
//!
//! Read as text, without a compiler: every path that begins with `crate::`, `super::`, `self::` or the
//! name of a module inside the file's own one is an arrow from that file to the file that holds what the
//! path names. Tests at the end of a file do not count, and neither does a bare `mod name;`.

use command::{
    failure::{OrSay, Result},
    files, paths,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Crates whose files must not use each other in large circles, and where they are.
const CRATES: &[(&str, &str)] = &[("machine", "crates/machine/src"), ("net", "crates/net/src")];
/// Files that may use each other in a circle: a few that are one thought.
const CYCLE_FILES_MAX: usize = 3;

/// Every circle that is too large.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn problems() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (name, folder) in CRATES {
        let mut files = BTreeMap::new();
        read(&paths::root().join(folder), "", &mut files)?;
        problems.extend(judge(name, &files));
    }
    Ok(problems)
}

/// Reads all files below a folder, by their paths inside the crate.
pub(crate) fn read(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, String>,
) -> Result<()> {
    let say = || format!("cannot read {}", folder.display());
    for entry in std::fs::read_dir(folder).or_say(say)? {
        let path = entry.or_say(say)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            read(&path, &format!("{prefix}{name}/"), files)?;
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = files::read_text(&path)?;
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
}

fn judge(crate_name: &str, files: &BTreeMap<String, String>) -> Vec<String> {
    let arrows = arrows(files);
    let too_large = circles(&arrows).into_iter().filter(|circle| circle.len() > CYCLE_FILES_MAX);
    too_large
        .map(|circle| {
            let inside: Vec<String> = circle
                .iter()
                .map(|file| {
                    let uses: Vec<_> =
                        arrows[file].intersection(&circle).map(String::as_str).collect();
                    format!("\n    {file} -> {}", uses.join(", "))
                })
                .collect();
            format!(
                "{crate_name}: {} files use each other in a circle; at most {CYCLE_FILES_MAX}:{}",
                circle.len(),
                inside.concat()
            )
        })
        .collect()
}

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Which file uses which.
fn arrows(files: &BTreeMap<String, String>) -> Arrows {
    let modules: BTreeMap<Vec<String>, &str> =
        files.keys().map(|file| (module(file), file.as_str())).collect();
    let uses = |(file, text): (&String, &String)| {
        let own = module(file);
        let mut used = BTreeSet::new();
        for path in named(text, &own, &modules) {
            let holder = (0..=path.len()).rev().find_map(|end| modules.get(&path[..end]));
            used.extend(
                holder.filter(|holder| **holder != file).map(|holder| (*holder).to_owned()),
            );
        }
        (file.clone(), used)
    };
    files.iter().map(uses).collect()
}

/// The path of the module that a file is.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(path, "lib" | "main") {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

/// All paths that a file's code names, from the crate's root on.
fn named(text: &str, own: &[String], modules: &BTreeMap<Vec<String>, &str>) -> Vec<Vec<String>> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let starts = tokens.get(at + 1).is_some_and(|next| next == "::")
            && (at == 0 || tokens[at - 1] != "::");
        if !starts {
            continue;
        }
        let child = || [own, std::slice::from_ref(&tokens[at])].concat();
        let base = match tokens[at].as_str() {
            "crate" => Vec::new(),
            "self" => own.to_vec(),
            "super" => own[..own.len().saturating_sub(1)].to_vec(),
            _ if modules.contains_key(&child()) => child(),
            _ => continue,
        };
        tree(&tokens, at + 2, base, &mut found);
    }
    found
}

/// Follows a path, or a tree of them in braces, from behind a `::`; where it ends.
fn tree(
    tokens: &[String],
    mut at: usize,
    mut path: Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    let before = at;
                    at = tree(tokens, at, path.clone(), found);
                    at += usize::from(at == before || tokens.get(at).is_some_and(|t| t == ","));
                }
                return at + 1;
            }
            Some("super") => drop(path.pop()),
            Some("self" | "*") => {}
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push(word.to_owned());
            }
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    // `use path as name`.
    if tokens.get(at).is_some_and(|token| token == "as") { at + 2 } else { at }
}

/// Words and the signs that make paths of them, without comments, texts and the tests at the end.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let tests = ["\n#[cfg(test)]\nmod ", "\n#[cfg(test)]\npub(crate) mod "];
    let code = tests.iter().fold(text, |text, start| text.split(start).next().unwrap_or_default());
    let mut tokens = Vec::new();
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or_default();
        // What is between quotes is text, as long as no quote is in it.
        for part in line.split('"').step_by(2) {
            words(part, &mut tokens);
        }
    }
    tokens
}

fn words(part: &str, tokens: &mut Vec<String>) {
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(length);
        if !token.trim().is_empty() {
            tokens.push(token.to_owned());
        }
        rest = behind;
    }
}

/// Files that reach each other, in groups of more than one.
fn circles(arrows: &Arrows) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        arrows.keys().map(|file| (file, reach(file, arrows))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, reaches) in &reached {
        if circles.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let back = |other: &&&String| reached.get(**other).is_some_and(|back| back.contains(file));
        let circle: BTreeSet<String> =
            reaches.iter().filter(back).map(|other| (**other).clone()).collect();
        if circle.len() > 1 {
            circles.push(circle);
        }
    }
    circles
}

/// All files to which arrows lead from one.
fn reach<'a>(file: &str, arrows: &'a Arrows) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = arrows.get(file).into_iter().flatten().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(arrows.get(file).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()
    }

    fn uses(all: &[(&str, &str)], file: &str) -> Vec<String> {
        arrows(&files(all))[file].iter().cloned().collect()
    }

    #[test]
    fn paths_lead_to_the_file_that_holds_what_they_name() {
        let others =
            [("lib.rs", "mod a;"), ("a.rs", ""), ("a/b.rs", ""), ("a/b/c.rs", ""), ("d.rs", "")];
        let cases: [(&str, &[&str]); 10] = [
            ("use crate::a::b::Thing;", &["a/b.rs"]),
            ("use crate::a::Thing;", &["a.rs"]),
            ("use crate::{Error, d};", &["d.rs", "lib.rs"]),
            (
                "use crate::a::{self, b::{Thing, c::Other as Name}, Last};",
                &["a.rs", "a/b.rs", "a/b/c.rs"],
            ),
            ("fn f() { crate::d::call(super::a::VALUE) }", &["a.rs", "d.rs"]),
            ("// use crate::a;\nuse std::a::b;", &[]),
            ("fn f() { say(\"crate::a::b\") }", &[]),
            ("use bytes::a::b;", &[]),
            ("use super::*;", &["lib.rs"]),
            ("\n#[cfg(test)]\nmod tests {\n use crate::a;\n}", &[]),
        ];
        for (text, expected) in cases {
            let all = [&others[..], &[("e.rs", text)]].concat();
            assert_eq!(uses(&all, "e.rs"), expected, "{text}");
        }
    }

    #[test]
    fn a_module_inside_needs_no_prefix() {
        let all = [
            ("a.rs", "mod b;\npub use b::Thing;\n"),
            ("a/b.rs", "use super::c::f;"),
            ("a/c.rs", "mod x { fn g() { other::b::f() } }"),
        ];
        assert_eq!(uses(&all, "a.rs"), ["a/b.rs"]);
        assert_eq!(uses(&all, "a/b.rs"), ["a/c.rs"]);
        assert!(uses(&all, "a/c.rs").is_empty());
    }

    #[test]
    fn circles_of_more_than_three_files_are_told() {
        let three = [
            ("a.rs", "use crate::b::X;"),
            ("b.rs", "use crate::c::X;"),
            ("c.rs", "use crate::a::X;"),
        ];
        assert_eq!(circles(&arrows(&files(&three))).len(), 1);
        assert!(judge("net", &files(&three)).is_empty());
        let four = [
            ("a.rs", "use crate::b::X;"),
            ("b.rs", "use crate::c::X;"),
            ("c.rs", "use crate::d::X;"),
            ("d.rs", "use crate::a::X;\nuse crate::e::X;"),
            ("e.rs", ""),
        ];
        let told = judge("net", &files(&four));
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("d.rs -> a.rs") && !told[0].contains("e.rs"), "{}", told[0]);
    }

    #[test]
    fn the_tree_has_no_large_circles() {
        assert_eq!(problems().unwrap(), Vec::<String>::new());
    }
}
