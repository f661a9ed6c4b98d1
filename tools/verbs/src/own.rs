//! Verbs of an appliance's own, beside those that every appliance has.

use clap::{Arg, ArgMatches, Command, builder::ValueParser};
use command::failure::{Result, fail};
use std::{ffi::OsString, process::ExitCode};

/// The words behind such a verb.
const WORDS: &str = "words";

/// A verb that one appliance has and others have not: in `--help` it stands with them.
#[derive(Clone, Copy, Debug)]
pub struct OwnVerb {
    /// What is typed behind `cargo xtask`.
    pub name: &'static str,
    /// What it does: a line, and behind an empty line, if there is more to say, what its own `--help` says besides.
    pub about: &'static str,
    /// Does it, with the words behind the name; the exit status.
    pub run: fn(&[OsString]) -> ExitCode,
}

/// The command line of `program` with these verbs as well.
///
/// # Errors
///
/// Two verbs have one name, or a name is none that can be typed.
pub(crate) fn add(mut program: Command, verbs: &[OwnVerb]) -> Result<Command> {
    for verb in verbs {
        let OwnVerb { name, about, run: _ } = *verb;
        if name == "help" || program.find_subcommand(name).is_some() {
            fail!("there are two verbs `{name}`: call your own one otherwise");
        }
        if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
            fail!("`{name}` is no name for a verb: it is one word, and does not begin with `-`");
        }
        let words = Arg::new(WORDS)
            .help("Words that are handed on to it as they are")
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(ValueParser::os_string());
        let line = about.lines().next().unwrap_or_default();
        program = program.subcommand(Command::new(name).about(line).long_about(about).arg(words));
    }
    Ok(program)
}

/// Does what was typed, if it is one of these verbs.
pub(crate) fn run(matches: &ArgMatches, verbs: &[OwnVerb]) -> Option<ExitCode> {
    let (name, matches) = matches.subcommand()?;
    let verb = verbs.iter().find(|verb| verb.name == name)?;
    let words: Vec<OsString> = matches.get_many(WORDS).unwrap_or_default().cloned().collect();
    Some((verb.run)(&words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(name: &'static str) -> OwnVerb {
        OwnVerb {
            name,
            about: "Counts its words\n\nAll of them.",
            // What a test can compare.
            run: |words| ExitCode::from(u8::from(words == ["-n", "two"])),
        }
    }

    fn program() -> Command {
        Command::new("xtask").subcommand(Command::new("run").about("Runs it"))
    }

    #[test]
    fn help_names_them_beside_the_others() {
        let mut program = add(program(), &[verb("count")]).unwrap();
        program.clone().debug_assert();
        let help = program.render_help().to_string();
        assert!(help.contains("  run    Runs it\n  count  Counts its words\n"), "{help}");
        let own = program.find_subcommand_mut("count").unwrap().render_long_help().to_string();
        assert!(own.starts_with("Counts its words\n\nAll of them.\n"), "{own}");
    }

    #[test]
    fn words_are_handed_on_as_they_are() {
        let verbs = [verb("count")];
        let run_with = |words: &[&str]| {
            let program = add(program(), &verbs).unwrap();
            run(&program.get_matches_from([&["xtask"], words].concat()), &verbs)
        };
        assert_eq!(run_with(&["count", "-n", "two"]), Some(ExitCode::from(1)));
        assert_eq!(run_with(&["count"]), Some(ExitCode::from(0)));
        assert_eq!(run_with(&["run"]), None);
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for (names, said) in [
            (&["run"][..], "two verbs `run`"),
            (&["help"], "two verbs `help`"),
            (&["count", "count"], "two verbs `count`"),
            (&[""], "no name for a verb"),
            (&["-c"], "no name for a verb"),
            (&["a b"], "no name for a verb"),
        ] {
            let verbs: Vec<_> = names.iter().map(|name| verb(name)).collect();
            let refusal = add(program(), &verbs).unwrap_err().to_string();
            assert!(refusal.contains(said), "{refusal}");
        }
    }
}
