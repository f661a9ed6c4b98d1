//! The pages of `docs/reference`. A page is made of what it describes by a test beside that, and the same test says whether the
//! page is current: [`keep_current`].
#![forbid(unsafe_code)]

use std::path::Path;

/// Where this variable of the environment is set, pages are written; else they are compared.
pub const WRITE: &str = "AQUEDUCT_WRITE_REFERENCE";

/// Options that clap adds to each verb.
const COMMON: [&str; 2] = ["help", "version"];
/// Letters of a line, as help is wrapped.
const WIDTH: usize = 110;

/// The page of a program: what `--help` says of it and of each of its verbs.
pub fn command_line(command: clap::Command) -> String {
    let mut command = command.term_width(WIDTH);
    // Names of verbs, with the program's before them.
    command.build();
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let mut page = format!(
        "# {name}\n\nMade by `cargo xtask docs`: what `--help` says. Options that all verbs have are told once.\n"
    );
    let mut waiting = vec![command];
    while let Some(mut command) = waiting.pop() {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        let is_verb = page.contains("```");
        if is_verb {
            page += &format!("\n## {name}\n");
            // What every verb has is told once.
            let is_told =
                |arg: clap::Arg| arg.is_global_set() || COMMON.contains(&arg.get_id().as_str());
            command =
                command.mut_args(|arg| if is_told(arg.clone()) { arg.hide(true) } else { arg });
        }
        let help = command.render_long_help().to_string();
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        page += &format!("\n```\n{}\n```\n", lines.join("\n").trim());
        let verbs = command.get_subcommands().filter(|verb| is_told(verb)).cloned();
        // The first is the next to be taken.
        waiting.extend(verbs.collect::<Vec<_>>().into_iter().rev());
    }
    page
}

/// Neither a verb of a program's own use, nor `help` itself.
fn is_told(verb: &clap::Command) -> bool {
    !verb.is_hide_set() && verb.get_name() != "help"
}

/// Compares a page with the file of this name, or writes it, where [`WRITE`] wants that.
///
/// # Errors
///
/// The file differs, or cannot be read or written.
pub fn keep_current(name: &str, page: &str) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders deep");
    let file = root.join("docs/reference").join(name);
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(&file, page).map_err(|error| format!("{}: {error}", file.display()));
    }
    compare(name, &std::fs::read_to_string(&file).unwrap_or_default(), page)
}

fn compare(name: &str, found: &str, page: &str) -> Result<(), String> {
    let Some(line) = first_difference(found, page) else { return Ok(()) };
    Err(format!("docs/reference/{name}:{line} is not current; `cargo xtask docs` remakes it"))
}

/// The number of the first line that two texts do not have in common.
fn first_difference(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return None;
    }
    let same = one.lines().zip(other.lines()).take_while(|(one, other)| one == other);
    Some(same.count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_is_told_with_its_options() {
        let verb = |name| clap::Command::new(name).about("does it");
        let inner = verb("inner").arg(clap::Arg::new("x").long("some-option"));
        let outer = verb("outer").subcommand(inner).subcommand(verb("other"));
        let page = command_line(outer.subcommand(verb("secret").hide(true)));
        let at = |text: &str| page.find(text).expect(text);
        assert!(
            at("## outer inner") < at("--some-option")
                && at("--some-option") < at("## outer other")
        );
        assert!(!page.contains("secret") && !page.contains("outer help"), "{page}");
        assert_eq!((page.matches("```").count(), page.matches("--help").count()), (6, 2), "{page}");
    }

    #[test]
    fn a_page_that_differs_is_told_by_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nc\n"), Some(2));
        assert!(compare("some.md", "a\nb\n", "a\n").unwrap_err().contains("some.md:2"));
        assert_eq!(compare("some.md", "a\n", "a\n"), Ok(()));
    }
}
