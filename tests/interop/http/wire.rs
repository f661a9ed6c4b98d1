//! A wire that loses, delays, reorders and doubles packets, and one with small packets.

use crate::{
    failure::{OrSay, Result},
    lab::{GUEST_ADDRESS, Lab, Server, Setup, curl, noise, same_bytes},
    link,
    tools::{self, Tool},
};

const TC: Tool = Tool {
    program: "tc",
    package: "iproute2",
};
const FILE_BYTES: usize = 4 << 20;

/// Both ways: downloads lose our acknowledgements, uploads our data. The wire's other half (from the guest) is
/// policed at its entry to us.
pub(super) fn loss_and_reordering(lab: &mut Lab) -> Result {
    let file = noise(FILE_BYTES);
    let bundle = lab.bundle(
        "[http]\nbody_bytes_max = 8_388_608\n",
        &[("site/file", &file)],
    )?;
    let words = format!("{} debug", link::guest_words());
    let guest = lab.boot(&Setup {
        words,
        bundle: Some(bundle),
        ..Setup::default()
    })?;
    let result = spoil("tap0").and_then(|()| transfers(lab, &file));
    Server::Guest(Box::new(guest)).judge(result)
}

/// netem works on what leaves an interface. What comes in is sent through a second one, `ifb0`, and spoiled there.
fn spoil(tap: &str) -> Result {
    let netem = [
        "netem",
        "delay",
        "5ms",
        "2ms",
        "loss",
        "2%",
        "duplicate",
        "1%",
        "reorder",
        "80%",
        "25%",
    ];
    tc(&[&["qdisc", "add", "dev", tap, "root"], &netem[..]].concat())?;
    // A kernel without ifb still gives us half of the test.
    if link::ip(&["link", "add", "ifb0", "type", "ifb"]).is_ok() {
        link::ip(&["link", "set", "ifb0", "up"])?;
        tc(&["qdisc", "add", "dev", tap, "handle", "ffff:", "ingress"])?;
        tc(&[
            "filter", "add", "dev", tap, "parent", "ffff:", "matchall", "action", "mirred",
            "egress", "redirect", "dev", "ifb0",
        ])?;
        tc(&[&["qdisc", "add", "dev", "ifb0", "root"], &netem[..]].concat())?;
    }
    Ok(())
}

fn tc(arguments: &[&str]) -> Result {
    tools::output(tools::command(&TC)?.args(arguments)).map(drop)
}

fn transfers(lab: &Lab, file: &[u8]) -> Result {
    let (down, up) = (lab.scratch.path("down"), lab.scratch.path("up"));
    curl(&[
        "--fail",
        "-o",
        &down.display().to_string(),
        &format!("http://{GUEST_ADDRESS}/file"),
    ])?;
    same_bytes("the download", &down, file)?;
    let body = lab.scratch.path("body");
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
pub(super) fn small_mtu(lab: &mut Lab) -> Result {
    let file = noise(FILE_BYTES);
    let bundle = lab.bundle("", &[("site/file", &file)])?;
    let name = lab.tap()?.name().to_owned();
    // Below 1280 bytes Linux takes IPv6 off the interface, which is no matter here.
    link::ip(&["link", "set", &name, "mtu", "576"])?;
    let guest = lab.boot(&Setup {
        words: "ip=10.9.0.2/24".into(),
        bundle: Some(bundle),
        ..Setup::default()
    })?;
    let down = lab.scratch.path("down");
    let result = curl(&[
        "--fail",
        "-o",
        &down.display().to_string(),
        &format!("http://{GUEST_ADDRESS}/file"),
    ])
    .and_then(|_| same_bytes("the download", &down, &file));
    Server::Guest(Box::new(guest)).judge(result)
}
