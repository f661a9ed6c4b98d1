//! Verbs of `cargo xtask` for an appliance: to run it, to make its image and bundles, and to test it. [`main`] is the whole
//! program of an appliance in a workspace of its own, as `cargo xtask new` makes it; Aqueduct's own takes the parts.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod image;
mod own;
pub mod run;
pub mod test;
pub mod values;

pub use own::OwnVerb;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use command::{
    failure::{OrSay, Result},
    interrupt, paths,
    programs::Install,
};
use image_builder::image::Options;
use lab::{process, run::Application};
use std::{path::Path, process::ExitCode};

/// Builds, runs and tests the appliance.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, propagate_version = true)]
struct Words {
    /// Says which programs of others are missing, and installs none
    #[arg(long, global = true)]
    no_install: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Builds the appliance, starts it, says where its services answer, and stops it at Ctrl-C
    ///
    /// It runs in QEMU unless --linux or --xen says otherwise. Each service that the configuration switches on has a port of this
    /// machine, on loopback: the same number, or 8000 more where that is below 1024, or the next that is free.
    Run(run::RunOptions),
    /// Builds the bootable ELF; the last line printed is its path
    Image(image::ImageOptions),
    Bundle(bundle::Words),
    Test(test::Words),
}

/// The program of an appliance, for its `main`. In the `workspace` are the packages `NAME`, which has its table and a `config`
/// folder, `NAME-linux`, whose program is `NAME`, and `NAME-bare`.
///
/// Exit status: 0 if what was asked for was done, 1 if it was not, which is said on standard error, 2 if the command line is not
/// understood, 130 and 143 after Ctrl-C and SIGTERM while something is built.
pub fn main(workspace: &Path, name: &str) -> ExitCode {
    main_with(workspace, name, &[])
}

/// The same with verbs of the appliance's own, which do not have the name of another.
///
/// The exit status of such a verb is its own.
pub fn main_with(workspace: &Path, name: &str, own: &[OwnVerb]) -> ExitCode {
    done(workspace, name, own).unwrap_or_else(|failure| {
        eprintln!("xtask: {failure}");
        ExitCode::FAILURE
    })
}

fn done(workspace: &Path, name: &str, own: &[OwnVerb]) -> Result<ExitCode> {
    let mut program = own::add(Words::command(), own)?;
    let matches = program.get_matches_mut();
    if let Some(code) = own::run(&matches, own) {
        return Ok(code);
    }
    let Words { no_install, verb } =
        Words::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Some(verb) = verb else {
        program.print_help().or_say(|| "cannot write to standard output".into())?;
        return Ok(ExitCode::SUCCESS);
    };
    let install = if no_install { Install::OnlyTell } else { Install::Yes };
    let workspace = std::fs::canonicalize(workspace)
        .or_say(|| format!("cannot find {}", workspace.display()))?;
    dispatch(verb, &workspace, name, install)
}

fn dispatch(verb: Verb, workspace: &Path, name: &str, install: Install) -> Result<ExitCode> {
    interrupt::end_with_children().or_say(|| "cannot watch for signals".into())?;
    paths::work_in(workspace);
    let application = application(workspace, name);
    match verb {
        Verb::Run(words) => lab::run::run(&words.options(application, install)),
        Verb::Image(words) => words.build(&application, install),
        Verb::Bundle(words) => bundle::main(&words),
        Verb::Test(words) => test::main(&words, &application, install),
    }
}

fn application(workspace: &Path, name: &str) -> Application {
    Application {
        image: Options {
            workspace: workspace.to_owned(),
            package: format!("{name}-bare"),
            output: name.to_owned(),
            ..Options::default()
        },
        process: process::Options {
            package: format!("{name}-linux"),
            program: name.to_owned(),
            ..process::Options::default()
        },
        bundle: workspace.join("config"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_sound() {
        Words::command().debug_assert();
        let asked = Words::try_parse_from(["xtask", "run", "--linux", "--gdb"]);
        let said = asked.err().unwrap().to_string();
        assert!(said.contains("--linux") && said.contains("--gdb"), "{said}");
    }
}
