//! `cargo xtask`: build, run, test, bench. One thin file per verb; the work is done by the crates in `tools/`.
#![forbid(unsafe_code)]

mod bench;
mod capability;
mod codegen;
mod completions;
mod deb;
mod docs;
mod fuzz;
mod image;
mod man;
mod mutants;
mod new;
mod run;
mod test;
mod tidy;
mod values;
mod wasm;
mod xen;

use clap::{CommandFactory, Parser, Subcommand};
use command::{
    failure::{OrSay, Result, fail},
    interrupt,
    programs::Install,
};
use std::process::ExitCode;

/// Builds, runs, tests and measures the appliance.
#[derive(Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    version,
    propagate_version = true,
    disable_help_subcommand = false,
    after_help = NOTES
)]
struct Words {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What every verb takes.
#[derive(clap::Args)]
struct Common {
    /// Says which programs of others are missing, and installs none
    #[arg(long, global = true)]
    no_install: bool,
}

const NOTES: &str = "\
`cargo xtask VERB --help` says more of each verb.

Exit status: 0 if what was asked for was done, 1 if it was not, which is said, 2 if the command line is
not understood, 130 and 143 after Ctrl-C and SIGTERM while something is built.

Examples:
  cargo xtask run
  cargo xtask run --bundle my-site --machine q35 --mem 64
  cargo xtask image --services http,https
  cargo xtask test unit";

#[derive(Subcommand)]
enum Verb {
    Run(run::Words),
    Test(test::Words),
    /// One case alone, in the namespace that this process is in.
    #[command(hide = true)]
    Case(values::Raw),
    Bench(bench::Words),
    #[command(name = ::bench::WORKER_VERB, hide = true)]
    BenchWorker(bench::SideBySide),
    #[command(name = ::bench::NATIVE_VERB, hide = true)]
    NativeWorker(bench::NativeWorker),
    #[command(name = ::bench::LOSS_VERB, hide = true)]
    LossWorker(bench::LossWorker),
    #[command(name = ::bench::HOLD_VERB, hide = true)]
    Hold(bench::Hold),
    #[command(name = ::bench::SHARED_VERB, hide = true)]
    SharedWorker(bench::OfShared),
    New(new_appliance::Words),
    Image(image::Words),
    Bundle(verbs::bundle::Words),
    Capability(capability::Words),
    Wasm(wasm::Words),
    Xen(xen::Words),
    Codegen(codegen::Words),
    Deb(deb::Words),
    Docs(docs::Words),
    Tidy(tidy::Words),
    Fuzz(fuzz::Words),
    Mutants(mutants::Words),
    Completions(completions::Words),
    Man(man::Words),
}

fn main() -> ExitCode {
    let Words { common, verb } = Words::parse();
    let Some(verb) = verb else {
        // As README.md has it: without a verb there is a list of them.
        let printed = Words::command().print_help();
        return if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    let install = if common.no_install { Install::OnlyTell } else { Install::Yes };
    let done = interrupt::end_with_children()
        .or_say(|| "cannot watch for signals".into())
        .and_then(|()| dispatch(verb, install));
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb, install: Install) -> Result<ExitCode> {
    match verb {
        Verb::Run(words) => run::main(words, install),
        Verb::Test(words) => test::main(&words, install),
        Verb::Case(words) => test::case(&words),
        Verb::Bench(words) => bench::main(words, install),
        Verb::BenchWorker(words) => ::bench::side_by_side_worker(&words.options(install)),
        Verb::NativeWorker(words) => ::bench::native_worker(&words.process),
        Verb::LossWorker(words) => {
            ::bench::loss_worker(&words.subject, &words.loss.options(install))
        }
        Verb::Hold(words) => ::bench::hold(words.server, words.connections),
        Verb::SharedWorker(words) => match words.options(install) {
            Some(options) => ::bench::guests_worker(&options),
            None => fail!("--guests is missing"),
        },
        Verb::New(words) => new::main(words),
        Verb::Image(words) => image::main(words, install),
        Verb::Bundle(words) => verbs::bundle::main(&words),
        Verb::Capability(words) => capability::main(words),
        Verb::Wasm(words) => wasm::main(&words, install),
        Verb::Xen(words) => xen::main(words, install),
        Verb::Codegen(words) => codegen::main(&words, install),
        Verb::Deb(words) => deb::main(&words, install),
        Verb::Docs(words) => docs::main(&words),
        Verb::Tidy(words) => tidy::main(&words),
        Verb::Fuzz(words) => fuzz::main(&words, install),
        Verb::Mutants(words) => mutants::main(words, install),
        Verb::Completions(words) => completions::main(&words),
        Verb::Man(words) => man::main(&words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(words: &str) -> String {
        let all = ["xtask"].into_iter().chain(words.split(' '));
        Words::try_parse_from(all).err().expect(words).to_string()
    }

    #[test]
    fn the_description_is_sound() {
        Words::command().debug_assert();
    }

    #[test]
    fn every_verb_has_help_with_an_example() {
        for verb in Words::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let name = verb.get_name();
            assert!(verb.get_about().is_some(), "{name} says nothing of itself");
            let notes = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(notes.contains(&format!("cargo xtask {name}")), "{name} has no example");
            for option in verb.get_arguments() {
                assert!(option.get_help().is_some(), "{name} {} has no help", option.get_id());
            }
        }
    }

    #[test]
    fn what_does_not_apply_is_refused_by_name() {
        for (words, named) in [
            ("run --linux --machine q35", &["--linux", "--machine"][..]),
            ("run --linux --mem 64", &["--linux", "--mem"]),
            ("run --linux --accel tcg", &["--linux", "--accel"]),
            ("run --linux --pcap x", &["--linux", "--pcap"]),
            ("run --xen --tap", &["--xen", "--tap"]),
            ("run --xen --machine q35", &["--xen", "--machine"]),
            ("run --hermit --machine q35", &["--hermit", "--machine"]),
            ("run --tap --port 8081", &["--tap", "--port"]),
            ("run --group x --mem 64", &["--group", "--mem"]),
            ("run --group x --port 81", &["--group", "--port"]),
            ("run --state x", &["--group"]),
            ("image --services http --http-only", &["--services", "--http-only"]),
            ("image --bundle x", &["--disk-image", "--iso"]),
            ("image --hermit --iso x", &["--hermit", "--iso"]),
            ("run --mem 0", &["--mem", "allowed: MiB from 3"]),
            ("run --port 0", &["--port", "allowed: a port from 1 to 65535"]),
            ("run --machine pc", &["--machine", "microvm-pcie"]),
            ("run --frob", &["--frob"]),
            ("frob", &["frob"]),
            ("bundle x", &["--out"]),
        ] {
            let said = refusal(words);
            for part in named {
                assert!(said.contains(part), "{words}: {said}");
            }
        }
    }

    #[test]
    fn the_page_of_the_command_line_is_current() {
        let page = reference::command_line(Words::command());
        reference::keep_current("xtask.md", &page).unwrap();
    }
}
