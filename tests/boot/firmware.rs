//! Media that firmware boots, by BIOS and by UEFI.

use super::power;
use command::{failure::Result, paths::Scratch, programs::Install};
use image_builder::{
    bundle,
    media::{self, Form, Media},
};
use lab::{
    firmware::{Drive, Firmware, Pc},
    guest::{Echo, Guest},
    harness::{GUEST_ADDRESS, Harness},
    http_client, link,
};
use std::time::Duration;

/// Firmware and boot loader are emulated, too.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
const ASK_LIMIT: Duration = Duration::from_secs(1);
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn disk_bios(harness: &mut Harness) -> Result {
    boots(harness, Firmware::Bios, Form::Disk)
}

pub(super) fn disk_uefi(harness: &mut Harness) -> Result {
    boots(harness, Firmware::Uefi, Form::Disk)
}

pub(super) fn cd_bios(harness: &mut Harness) -> Result {
    boots(harness, Firmware::Bios, Form::Iso)
}

pub(super) fn cd_uefi(harness: &mut Harness) -> Result {
    boots(harness, Firmware::Uefi, Form::Iso)
}

/// The words, the bundle, the memory and ACPI, whose power button stops it, come by way of the boot loader.
fn boots(harness: &mut Harness, firmware: Firmware, form: Form) -> Result {
    const PAGE: &str = "by firmware";
    let medium = harness.scratch.path("medium");
    let bundle = bundle::of(&[("site/index.html", PAGE.as_bytes())])?;
    let words = format!("{} log=debug", link::guest_words());
    let media = Media { image: harness.kernel(), bundle: &bundle, words: &words };
    media::write(&media, form, &medium, Install::OnlyTell)?;
    let tap = harness.tap()?.name().to_owned();
    let drive = if form == Form::Iso { Drive::Cd } else { Drive::Disk };
    let pc = Pc { firmware, medium: &medium, drive, tap: &tap };
    let scratch = Scratch::new()?;
    let command = pc.command(&scratch.path("qmp"))?;
    let mut guest = Guest::start_command(&command, scratch, &Echo::No)?;
    guest.wait_until("an HTTP answer", BOOT_LIMIT, |_| {
        http_client::content(GUEST_ADDRESS, "/", ASK_LIMIT) == Some((200, PAGE.into()))
    })?;
    guest.qmp()?.power_button()?;
    power::stopped(&mut guest, STOP_LIMIT)
}
