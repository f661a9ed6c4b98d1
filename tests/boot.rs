//! Boot tests: the real image in QEMU, one property each. `cargo xtask test boot`.

mod clock;
mod console;
mod disks;
mod faults;
mod firmware;
mod handlers;
mod hogs;
mod http_only;
mod idle;
mod libvirt;
mod machines;
mod power;
mod refusals;
mod running;
mod starts;

use command::programs::{CC, CURL, MKFS_EROFS, Program};
use image_builder::media::{GRUB, GRUB_BIOS, GRUB_UEFI, MTOOLS, XORRISO};
use lab::{
    firmware::OVMF,
    harness::Case,
    libvirt::{LIBVIRTD, QEMU_DRIVER, VIRSH},
};

/// What media are made by, and the firmware that QEMU has not itself.
const MEDIA: &[&Program] = &[&GRUB, &GRUB_BIOS, &GRUB_UEFI, &XORRISO, &MTOOLS, &OVMF];
const LIBVIRT: &[&Program] = &[&LIBVIRTD, &QEMU_DRIVER, &VIRSH];

pub(crate) const CASES: &[Case] = &[
    Case::new("boot/microvm_16_mib", &[], 60, machines::microvm_16_mib),
    Case::new("boot/microvm_4_gib", &[], 60, machines::microvm_4_gib),
    Case::new("boot/q35_16_mib", &[], 60, machines::q35_16_mib),
    Case::new("boot/q35_4_gib", &[], 60, machines::q35_4_gib),
    Case::new("boot/microvm_8_mib", &[], 60, machines::microvm_8_mib),
    Case::new("boot/q35_8_mib", &[], 60, machines::q35_8_mib),
    Case::new("boot/http_only", &[&CURL], 120, http_only::boots),
    Case::new("boot/one_hardware_address_twice_is_told", &[], 90, machines::one_address_twice),
    Case::new("boot/no_bundle", &[], 60, machines::no_bundle),
    Case::new("boot/power_button_microvm", &[], 90, power::button_microvm),
    Case::new("boot/power_button_q35", &[], 90, power::button_q35),
    Case::new("boot/power_button_finishes_a_transfer", &[&CURL], 120, power::finishes_a_transfer),
    Case::new("boot/power_button_does_not_wait_for_ever", &[], 120, power::does_not_wait_for_ever),
    Case::new("boot/power_button_again_under_load", &[], 90, power::several_presses_under_load),
    Case::new("boot/an_idle_guest_executes_nothing", &[&CC], 180, idle::executes_nothing),
    Case::new("boot/signals_end_a_run_of_a_guest", &[], 240, running::guest),
    Case::new("boot/signals_end_a_run_of_a_process", &[], 240, running::process),
    Case::new("boot/bad_config_stops", &[], 60, refusals::bad_config),
    Case::new("boot/all_faults_are_told", &[], 60, refusals::many_faults),
    Case::new("boot/bad_command_line_stops", &[], 60, refusals::bad_command_line),
    Case::new("boot/cut_bundle_stops", &[], 60, refusals::cut_bundle),
    Case::new("boot/damaged_image_stops", &[], 60, refusals::damaged_image),
    Case::new("boot/no_clock_stops", &[], 60, refusals::no_clock),
    Case::new("boot/too_little_memory_is_said", &[], 60, refusals::too_little_memory),
    Case::new("boot/a_bundle_over_the_image_is_said", &[], 90, refusals::bundle_over_the_image),
    Case::new("boot/an_unfit_cpu_is_said", &[], 60, refusals::unfit_cpu),
    Case::new("boot/no_card_says_what_is_there", &[], 120, refusals::no_card),
    Case::new("boot/a_failed_start_switches_off", &[], 90, refusals::switches_off),
    Case::new("boot/a_failed_start_is_a_crash_by_pvpanic", &[], 60, refusals::pvpanic),
    Case::new("boot/starts_on_the_usual_cpu_by_jitter", &[], 120, starts::usual_cpu),
    Case::new("boot/sequence_numbers_of_two_starts", &[], 120, starts::sequence_numbers),
    Case::new("boot/starts_without_pit", &[], 60, starts::without_pit),
    Case::new("boot/starts_with_access_platform", &[], 60, starts::access_platform),
    Case::new("boot/starts_on_microvm_with_pcie", &[], 60, starts::microvm_with_pcie),
    Case::new("boot/a_panic_ends_one_request", &[], 120, handlers::a_panic_ends_one_request),
    Case::new("boot/many_panics_leave_nothing", &[], 600, handlers::panics_leave_nothing),
    Case::new("boot/out_of_memory_ends_one_task", &[&CURL], 90, handlers::out_of_memory),
    Case::new("boot/small_requests_beside_hogs_64_mib", &[&CURL], 180, hogs::beside_small_requests)
        .with_long_form(600),
    Case::new("boot/fault_full_stack", &[], 60, faults::stack),
    Case::new("boot/fault_null", &[], 60, faults::null),
    Case::new("boot/fault_write_code", &[], 60, faults::write_code),
    Case::new("boot/fault_write_constant", &[], 60, faults::write_constant),
    Case::new("boot/fault_run_heap", &[], 60, faults::run_heap),
    Case::new("boot/fault_instruction", &[], 60, faults::instruction),
    Case::new("boot/bundle_on_a_disk_microvm", &[&CURL], 60, disks::bundle_microvm),
    Case::new("boot/bundle_on_a_disk_q35", &[&CURL], 60, disks::bundle_q35),
    Case::new("boot/disk_larger_than_memory", &[&CURL], 120, disks::larger_than_memory),
    Case::new("boot/disk_with_a_file_system", &[&CURL, &MKFS_EROFS], 60, disks::file_system),
    Case::new("boot/disk_that_is_slow", &[&CURL], 120, disks::slow),
    Case::new("boot/disk_with_a_bad_sector", &[&CURL], 60, disks::bad_sector),
    Case::new("boot/clock_microvm", &[&CURL], 60, clock::microvm),
    Case::new("boot/clock_no_date", &[&CURL], 90, clock::no_date),
    Case::new("boot/clock_q35", &[&CURL], 60, clock::q35),
    Case::new("boot/console_flood", &[], 90, console::flood),
    Case::new("boot/log_level", &[], 60, console::level),
    Case::new("boot/unknown_words_are_named", &[], 60, console::unknown_words),
    Case::new("boot/addresses_are_told", &[], 60, console::addresses),
    Case::new("boot/a_stall_is_told", &[], 120, console::stall),
    Case::new("boot/syslog_by_udp", &[], 60, console::syslog_by_udp),
    Case::new("boot/firmware_disk_bios", MEDIA, 180, firmware::disk_bios),
    Case::new("boot/firmware_disk_uefi", MEDIA, 180, firmware::disk_uefi),
    Case::new("boot/firmware_cd_bios", MEDIA, 180, firmware::cd_bios),
    Case::new("boot/firmware_cd_uefi", MEDIA, 180, firmware::cd_uefi),
    Case::new("boot/libvirt_start_save_restore_reboot_shutdown", LIBVIRT, 300, libvirt::life),
    Case::new("boot/libvirt_crash", LIBVIRT, 180, libvirt::crash),
    Case::new("boot/no_test_routes", &[], 60, handlers::no_test_routes),
    Case::new("boot/no_test_routes_process", &[], 60, handlers::no_test_routes_process),
];
