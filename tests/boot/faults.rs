//! A fault of the CPU ends the machine with a failure code, and says what happened and where.

use command::failure::{Result, fail};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup},
    http_client,
};
use std::time::Duration;

/// What `isa-debug-exit` makes of the image's failure code.
const FAILURE: i32 = 33;
const REPORT_LIMIT: Duration = Duration::from_secs(10);

/// Calls deeper than the stack.
pub(super) fn stack(harness: &mut Harness) -> Result {
    reports(
        harness,
        "stack",
        &["fault: page fault at", "the stack is full", "machine::fault_injection::deeper+0x"],
    )
}

/// Reads through a null pointer.
pub(super) fn null(harness: &mut Harness) -> Result {
    reports(harness, "null", &["fault: page fault at", "address 0x0000000000000000", CALLER])
}

/// Writes to code.
pub(super) fn write_code(harness: &mut Harness) -> Result {
    reports(harness, "write-code", &["fault: page fault at", "code 0x3", CALLER])
}

/// Writes to a constant.
pub(super) fn write_constant(harness: &mut Harness) -> Result {
    reports(harness, "write-constant", &["fault: page fault at", "code 0x3", CALLER])
}

/// Runs what is in the heap: the backtrace begins at the caller.
pub(super) fn run_heap(harness: &mut Harness) -> Result {
    reports(harness, "run-heap", &["fault: page fault at", "code 0x11", CALLER])
}

/// An instruction that is none.
pub(super) fn instruction(harness: &mut Harness) -> Result {
    reports(harness, "instruction", &["fault: invalid instruction at", CALLER])
}

/// The machine's whole way to a handler is in every backtrace.
const CALLER: &str = "trial_bare::faults::fault";

fn reports(harness: &mut Harness, name: &str, sentences: &[&str]) -> Result {
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    let path = format!("/_test/fault/{name}");
    if let Some(answer) = http_client::get(GUEST_ADDRESS, &path, Duration::from_secs(3)) {
        fail!("{path} was answered {}; the last lines:\n{}", answer.status, guest.tail());
    }
    let code = guest.wait_end(REPORT_LIMIT)?;
    // The lines before the exit may still be on their way to us.
    let last = "machine_start+0x";
    let whole = |serial: &str| serial.contains(last) || name == "stack";
    let deadline = std::time::Instant::now() + REPORT_LIMIT;
    while !whole(&guest.serial()) && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let serial = guest.serial();
    let missing =
        sentences.iter().copied().chain(["backtrace:"]).find(|part| !serial.contains(part));
    match missing {
        Some(part) => fail!("no `{part}` in the report:\n{serial}"),
        None if !whole(&serial) => fail!("the backtrace does not reach the start:\n{serial}"),
        None if code != FAILURE => fail!("exit code {code} instead of {FAILURE}:\n{serial}"),
        None => Ok(()),
    }
}
