//! The smallest image that is of use: HTTP alone.

use command::{
    failure::{OrSay, Result, fail},
    files,
};
use image_builder::image::Options;
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, contains, equal},
    http_client,
};
use std::time::Duration;

/// README.md says that it is a quarter of the whole; it grows with what HTTP does, and by no more than is noticed here.
const BYTES_MAX: u64 = 1_010_000;

/// The runner has built it.
pub(super) fn boots(harness: &mut Harness) -> Result {
    let image = Options::http_only().image()?.shipped;
    let bytes_of = |path| -> Result<u64> { Ok(files::read(path)?.len() as u64) };
    let (bytes, whole) = (bytes_of(&image)?, bytes_of(harness.kernel())?);
    if bytes > BYTES_MAX || bytes * 10 > whole * 3 {
        fail!(
            "it has {bytes} bytes; allowed: {BYTES_MAX}, and three tenths of the {whole} of the whole"
        );
    }
    // What it has not is said, and stops nothing.
    let bundle =
        Some(harness.bundle("[http]\ncompress = true\nserver_header = \"version\"\n", &[])?);
    let setup = Setup { kernel: Some(image), bundle, ..Setup::default() };
    let mut guest = harness.boot(&setup)?;
    guest.wait_for("compress is without effect", Duration::from_secs(5))?;
    let answer = http_client::get(GUEST_ADDRESS, "/", Duration::from_secs(5));
    equal("the status of a page", &answer.map(|answer| answer.status), &Some(200))?;
    let text = std::process::Command::new("curl")
        .args(["-sSi", "--max-time", "10", &format!("http://{GUEST_ADDRESS}/")])
        .output()
        .or_say(|| "cannot start curl".into())?;
    contains("an answer", &String::from_utf8_lossy(&text.stdout), "Server: aqueduct/")
}
