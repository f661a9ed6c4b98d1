//! The unit for systemd, by systemd's own check.

use command::{
    failure::{Result, fail},
    files, paths,
    programs::{self, Program},
};
use lab::harness::{Case, Harness};

const SYSTEMD_ANALYZE: Program = Program { name: "systemd-analyze", package: "systemd" };
/// Where operators put the process.
const INSTALLED: &str = "/usr/local/bin/aqueduct";

pub(crate) const CASES: &[Case] =
    &[Case::new("interop/systemd_unit", &[&SYSTEMD_ANALYZE], 60, is_understood)];

fn is_understood(harness: &mut Harness) -> Result {
    let unit = files::read_text(&paths::root().join("deploy/aqueduct.service"))?;
    let process = harness.process_path().display().to_string();
    let changed = unit.replace(INSTALLED, &process);
    if changed == unit {
        fail!("the unit does not start {INSTALLED}");
    }
    verify(harness, "aqueduct.service", &changed)?;
    // What it does not understand it only says.
    match verify(harness, "other.service", &changed.replace("NoNewPrivileges", "NoNewPrivilege")) {
        Ok(()) => fail!("a setting that is none is let pass"),
        Err(_) => Ok(()),
    }
}

fn verify(harness: &Harness, name: &str, unit: &str) -> Result {
    let file = harness.scratch.path(name);
    files::write(&file, unit)?;
    let mut analyze = programs::command(&SYSTEMD_ANALYZE)?;
    let said = programs::output(
        analyze.args(["verify", "--man=no"]).arg(&file).args(["--recursive-errors=no"]),
    )?;
    if said.is_empty() { Ok(()) } else { fail!("{said}") }
}
