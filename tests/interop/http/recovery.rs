//! TCP on bad paths, ours beside Linux's: the short form of `cargo xtask bench loss`.

use bench::{Subject, loss_ratios};
use command::failure::{Result, fail};
use lab::harness::Harness;

/// Loss, and packets that overtake others, both ways.
const ROWS: &[&str] = &["loss-1", "loss-5", "far-late", "far-late-up"];
/// Of Linux's rate in the same run. An emulated machine has half of it; who waits for a timer at each loss, a twentieth of
/// the first row's.
const LEAST: f64 = 0.2;

pub(super) fn process(harness: &mut Harness) -> Result {
    keeps_up(&Subject::Process(harness.trial().process.clone()))
}

pub(super) fn guest(harness: &mut Harness) -> Result {
    keeps_up(&Subject::Image(harness.trial().kernel.clone()))
}

fn keeps_up(subject: &Subject) -> Result {
    let ratios = loss_ratios(subject, ROWS)?;
    if ratios.iter().all(|(_, ratio)| *ratio >= LEAST) {
        return Ok(());
    }
    fail!("a row is below {LEAST} of Linux's rate: {ratios:.3?}")
}
