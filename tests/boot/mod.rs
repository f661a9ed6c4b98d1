//! Boot tests: the real image in QEMU, one property each. `cargo xtask test boot`.

mod clock;
mod console;
mod faults;
mod machines;
mod power;
mod refusals;
mod sessions;

use crate::{
    lab::Case,
    tools::{CURL, Tool},
};
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    case("boot/microvm_16_mib", &[], 60, machines::microvm_16_mib),
    case("boot/microvm_4_gib", &[], 60, machines::microvm_4_gib),
    case("boot/q35_16_mib", &[], 60, machines::q35_16_mib),
    case("boot/q35_4_gib", &[], 60, machines::q35_4_gib),
    case("boot/microvm_4_mib", &[], 60, machines::microvm_4_mib),
    case("boot/q35_8_mib", &[], 60, machines::q35_8_mib),
    case("boot/no_bundle", &[], 60, machines::no_bundle),
    case("boot/power_button_microvm", &[], 90, power::button_microvm),
    case("boot/power_button_q35", &[], 90, power::button_q35),
    case("boot/power_button_finishes_a_transfer", &[&CURL], 120, power::finishes_a_transfer),
    case("boot/power_button_does_not_wait_for_ever", &[], 120, power::does_not_wait_for_ever),
    case("boot/power_button_again_under_load", &[], 90, power::several_presses_under_load),
    case("boot/bad_config_stops", &[], 60, refusals::bad_config),
    case("boot/bad_command_line_stops", &[], 60, refusals::bad_command_line),
    case("boot/cut_bundle_stops", &[], 60, refusals::cut_bundle),
    case("boot/no_entropy_stops", &[], 60, refusals::no_entropy),
    case("boot/panic_ends_one_session", &[], 120, sessions::panic_ends_one_session),
    case("boot/a_million_panics_leave_nothing", &[], 1600, sessions::panics_leave_nothing),
    case("boot/out_of_memory_ends_one_task", &[&CURL], 90, sessions::out_of_memory),
    case("boot/fault_full_stack", &[], 60, faults::stack),
    case("boot/fault_null", &[], 60, faults::null),
    case("boot/fault_write_code", &[], 60, faults::write_code),
    case("boot/fault_write_constant", &[], 60, faults::write_constant),
    case("boot/fault_run_heap", &[], 60, faults::run_heap),
    case("boot/fault_instruction", &[], 60, faults::instruction),
    case("boot/clock_microvm", &[&CURL], 60, clock::microvm),
    case("boot/clock_q35", &[&CURL], 60, clock::q35),
    case("boot/console_flood", &[], 90, console::flood),
    case("boot/log_level", &[], 60, console::level),
    case("boot/addresses_are_told", &[], 60, console::addresses),
    case("boot/test_endpoints_are_off", &[], 60, sessions::test_endpoints_are_off),
];

const fn case(
    name: &'static str,
    needs: &'static [&'static Tool],
    seconds: u64,
    run: fn(&mut crate::lab::Lab) -> crate::failure::Result,
) -> Case {
    Case { name, needs, deadline: Duration::from_secs(seconds), run }
}
