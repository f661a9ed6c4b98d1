//! An appliance of one's own, made by `cargo new-appliance`: its unit test, its process and its image, and what a debugger shows of them.

use command::{
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, GDB},
};
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    harness::{Case, Harness, contains},
    http_client, link,
    qemu::{Machine, Netdev, Spec},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

pub(crate) const CASES: &[Case] = &[
    // They compile the crates of this workspace for another one.
    Case::new("own_appliance/is_made_tested_and_run", &[], 2400, is_made_tested_and_run)
        .on_its_own()
        .only_in_long_form(),
    Case::new("own_appliance/gdb_shows_arguments_and_locals", &[&GDB], 2400, gdb_shows_arguments)
        .on_its_own()
        .only_in_long_form(),
];

const NAME: &str = "greeting-card";
/// Another name: both are compiled into one folder, where a program of one name is one file.
const DEBUGGED_NAME: &str = "name-tag";
/// A boot under software emulation, with a debugger attached.
const DEBUGGED_BOOT_LIMIT: Duration = Duration::from_secs(300);
/// A question to a guest that a debugger may have stopped.
const ASK_LIMIT: Duration = Duration::from_secs(30);

fn is_made_tested_and_run(harness: &mut Harness) -> Result {
    let folder = harness.scratch.path(NAME);
    let path = folder.to_string_lossy().into_owned();
    let made = new(&path)?;
    contains("what `new` says", &said(&made)?, "greeting-card is in ")?;
    // What somebody has written is not written over.
    let again = new(&path)?;
    contains("a refusal", &refused(&again)?, "is there already, and not empty")?;
    let inside = new("tools/greeting-card")?;
    contains("a refusal", &refused(&inside)?, "inside Aqueduct's own workspace")?;
    if paths::root().join("tools").join(NAME).exists() {
        fail!("a refused folder was made");
    }

    let handler = folder.join("src/greet.rs");
    let text = files::read_text(&handler)?;
    let greeting = "format!(\"hello {name}\\n\")";
    contains("the handler", &text, greeting)?;
    files::write(&handler, text.replace(greeting, "format!(\"bye {name}\\n\")"))?;
    let broken = xtask(&folder, &["test"])?;
    contains("a broken handler", &refused(&broken)?, "a unit test fails")?;
    files::write(&handler, text)?;
    let tested = said(&xtask(&folder, &["test", "--image", "--path", "/greet/you"])?)?;
    contains("a test", &tested, "xtask: the process answers /greet/you with 10 bytes")?;
    contains("a test", &tested, "xtask: the image answers /greet/you with 10 bytes")?;
    let elsewhere = xtask(&folder, &["test", "--path", "/not/there"])?;
    contains("a missing page", &refused(&elsewhere)?, "answers /not/there with status 404")
}

/// A guest halts at its start, gdb attaches by the ELF that has the symbols, and stops in a handler that a request has come to.
fn gdb_shows_arguments(harness: &mut Harness) -> Result {
    let folder = harness.scratch.path(DEBUGGED_NAME);
    said(&new(&folder.to_string_lossy())?)?;
    let built = xtask(&folder, &["image", "--profile", "dev"])?;
    let symbols = said(&built)?
        .lines()
        .find_map(|line| line.split_once("with symbols: ").map(|(_, path)| PathBuf::from(path)));
    let Some(symbols) = symbols else { fail!("`image` does not say where the symbols are") };
    let image = String::from_utf8_lossy(&built.stdout).trim().to_owned();
    let bundle = harness.bundle("", &[])?;
    let (server, debugger) = (link::free_address()?, link::free_address()?);
    let spec = Spec {
        machine: Machine::Microvm,
        accel: Accel::Tcg,
        memory_mib: 128,
        kernel: image.into(),
        initrd: Some(bundle),
        append: String::new(),
        netdev: Netdev::User { forwards: vec![(server.port(), 80)] },
        without: &[],
        entropy: true,
        more: vec!["-S".into(), "-gdb".into(), format!("tcp:{debugger}").into()],
    };
    let _guest = Guest::start(&spec, &Echo::ToTerminal)?;
    let text = files::read_text(&folder.join("src/greet.rs"))?;
    let Some(line) = text.lines().position(|line| line.contains("Some(name) =>")) else {
        fail!("the handler is another")
    };
    let mut gdb = programs::command(&GDB)?;
    gdb.args(["-nx", "-batch"]).arg(&symbols);
    for command in [
        "set pagination off",
        &format!("target remote {debugger}"),
        &format!("break greet.rs:{}", line + 1),
        "continue",
        "backtrace 2",
        "info args",
        "info locals",
        // The same line has the name only once the arm is taken.
        "continue",
        "print *name.vec.buf.inner.ptr.pointer.pointer@name.vec.len",
        "detach",
    ] {
        gdb.args(["-ex", command]);
    }
    let asking = std::thread::spawn(move || {
        let deadline = std::time::Instant::now() + DEBUGGED_BOOT_LIMIT;
        while std::time::Instant::now() < deadline {
            let answer = http_client::get(server, "/greet/Ann", ASK_LIMIT);
            if answer.is_some() {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    });
    let output = gdb.output().or_say(|| "cannot start gdb".into())?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    contains("gdb's backtrace", &shown, "name_tag::greet::greet")?;
    contains("gdb's locals", &shown, "= [65, 110, 110]")?;
    contains("gdb's locals", &shown, "request = ")?;
    // It goes on when the debugger is gone.
    match asking.join() {
        Ok(Some(answer)) if answer.status == 200 => Ok(()),
        _ => fail!("no answer after the debugger was gone"),
    }
}

/// Makes the workspace of an appliance.
fn new(folder: &str) -> Result<Output> {
    cargo(paths::root(), &["new-appliance", folder])
}

/// Runs `cargo xtask` in a workspace.
fn xtask(workspace: &Path, words: &[&str]) -> Result<Output> {
    cargo(workspace, &[&["xtask"], words, &["--no-install"]].concat())
}

/// What is compiled is shared with this workspace's, and nothing comes over a network.
fn cargo(workspace: &Path, words: &[&str]) -> Result<Output> {
    let mut command = Command::new("cargo");
    command.current_dir(workspace).args(words);
    command.env("CARGO_TARGET_DIR", paths::target()).env("CARGO_NET_OFFLINE", "true");
    for inherited in ["RUSTUP_TOOLCHAIN", "CARGO", "CARGO_MANIFEST_DIR"] {
        command.env_remove(inherited);
    }
    command.output().or_say(|| "cannot start cargo".into())
}

fn said(output: &Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { fail!("{}: {said}", output.status) }
}

fn refused(output: &Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(1) { Ok(said) } else { fail!("{}: {said}", output.status) }
}
