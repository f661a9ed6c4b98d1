//! A wire that loses, doubles and reorders packets, and one with small packets.

use command::failure::{Failure, OrSay, Result};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Server, Setup, curl, noise, same_bytes},
    link,
    lossy_wire::{self, Impairments},
};
use std::time::{SystemTime, UNIX_EPOCH};

const FILE_BYTES: usize = 2 << 20;

/// Both ways, with data both ways: a download, and the echo of an upload.
pub(super) fn loss_and_reordering(harness: &mut Harness) -> Result {
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| u64::from(since.subsec_nanos()));
    let impairments = Impairments { lost: 2, doubled: 1, reordered: 5, seed };
    let file = noise(FILE_BYTES);
    let bundle = harness.bundle("[http]\nbody_bytes_max = 8_388_608\n", &[("site/file", &file)])?;
    let more = lossy_wire::start(&harness.scratch, impairments)?;
    let setup = Setup { bundle: Some(bundle), offloads: false, more, ..Setup::trial() };
    let guest = harness.boot(&setup)?;
    let result = transfers(harness, &file)
        .map_err(|failure| Failure(format!("{failure}\nwith {impairments:?}")));
    Server::Guest(Box::new(guest)).judge(result)
}

fn transfers(harness: &Harness, file: &[u8]) -> Result {
    let (down, up) = (harness.scratch.path("down"), harness.scratch.path("up"));
    curl(&["--fail", "-o", &down.display().to_string(), &format!("http://{GUEST_ADDRESS}/file")])?;
    same_bytes("the download", &down, file)?;
    let body = harness.scratch.path("body");
    std::fs::write(&body, file).or_say(|| "cannot write a body".into())?;
    let data = format!("@{}", body.display());
    let echo = format!("http://{GUEST_ADDRESS}/_test/echo");
    curl(&[
        "--fail",
        "-H",
        "Expect:",
        "-o",
        &up.display().to_string(),
        "--data-binary",
        &data,
        &echo,
    ])?;
    same_bytes("the echo of an upload", &up, file)
}

/// 576 bytes on our side: the guest must keep to the segment size that we announce.
pub(super) fn small_mtu(harness: &mut Harness) -> Result {
    let file = noise(FILE_BYTES);
    let bundle = harness.bundle("", &[("site/file", &file)])?;
    let name = harness.tap()?.name().to_owned();
    // Below 1280 bytes Linux takes IPv6 off the interface, which is no matter here.
    link::ip(&["link", "set", &name, "mtu", "576"])?;
    let guest = harness.boot(&Setup {
        words: "ip=10.9.0.2/24".into(),
        bundle: Some(bundle),
        ..Setup::default()
    })?;
    let down = harness.scratch.path("down");
    let result = curl(&[
        "--fail",
        "-o",
        &down.display().to_string(),
        &format!("http://{GUEST_ADDRESS}/file"),
    ])
    .and_then(|_| same_bytes("the download", &down, &file));
    Server::Guest(Box::new(guest)).judge(result)
}
