//! How the guest comes by an address, and that it is there.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs,
};
use lab::{
    harness::{BOOT_LIMIT, GUEST_ADDRESS, Harness, Server, Setup, contains, curl, equal},
    http_client, link, qemu,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};

const ASK_LIMIT: Duration = Duration::from_millis(500);

/// Not the address of the other tests, so that it can only come from the server.
const LEASE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 77);

pub(super) fn dhcp(harness: &mut Harness) -> Result {
    let lease = format!("--dhcp-host={},{LEASE}", qemu::MAC);
    let _server = dnsmasq(harness, &["--dhcp-range=10.9.0.70,10.9.0.80,255.255.255.0,2m", &lease])?;
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.start(&Setup {
        words: "ip=dhcp".into(),
        bundle: Some(bundle),
        ..Setup::default()
    })?;
    let address = SocketAddr::from((LEASE, 80));
    guest.wait_until("an answer at the leased address", BOOT_LIMIT, |_| {
        http_client::get(address, "/", ASK_LIMIT).is_some()
    })
}

pub(super) fn slaac(harness: &mut Harness) -> Result {
    let _server =
        dnsmasq(harness, &["--enable-ra", "--ra-param=tap0,4", "--dhcp-range=fd09::,ra-only,64"])?;
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.start(&Setup {
        words: "ip=10.9.0.2/24".into(),
        bundle: Some(bundle),
        ..Setup::default()
    })?;
    let address = SocketAddr::from((slaac_address()?, 80));
    guest.wait_until("an answer at the formed address", BOOT_LIMIT, |_| {
        http_client::get(address, "/", ASK_LIMIT).is_some()
    })
}

/// The advertised prefix with the modified EUI-64 of the card (RFC 4291 appendix A).
fn slaac_address() -> Result<IpAddr> {
    let octets: std::result::Result<Vec<u8>, _> =
        qemu::MAC.split(':').map(|part| u8::from_str_radix(part, 16)).collect();
    let mac = octets.or_say(|| "the card's address".into())?;
    let [a, b, c, d, e, f] = mac[..] else { fail!("the card's address has {} parts", mac.len()) };
    let word = |high: u8, low: u8| u16::from(high) << 8 | u16::from(low);
    let address =
        Ipv6Addr::new(0xfd09, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f));
    Ok(address.into())
}

fn dnsmasq(harness: &mut Harness, more: &[&str]) -> Result<Child> {
    let leases = format!("--dhcp-leasefile={}", harness.scratch.path("leases").display());
    let tap = format!("--interface={}", harness.tap()?.name());
    let mut command = programs::command(&programs::DNSMASQ)?;
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--bind-interfaces",
        "--user=root",
        "--group=root",
        "--log-facility=-",
    ]);
    command.args([leases.as_str(), tap.as_str()]).args(more);
    Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })
}

pub(super) fn ipv6(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let status = curl(&[
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        &format!("http://[{}]/", link::GUEST_IPV6),
    ]);
    let result = status.and_then(|status| equal("the status over IPv6", &status.as_str(), &"200"));
    Server::Guest(Box::new(guest)).judge(result)
}

pub(super) fn ping(harness: &mut Harness) -> Result {
    let guest = harness.boot(&Setup::default())?;
    let mut result = Ok(());
    for address in [GUEST_ADDRESS.ip(), link::GUEST_IPV6] {
        // The last needs fragments both ways.
        for bytes in ["56", "1400", "4000"] {
            let mut command = programs::command(&programs::PING)?;
            command
                .args(["-c", "5", "-i", "0.2", "-w", "10", "-s", bytes])
                .arg(address.to_string());
            // One answer is enough for ping.
            result = result.and_then(|()| {
                contains("ping's report", &programs::output(&mut command)?, " 0% packet loss")
            });
        }
    }
    Server::Guest(Box::new(guest)).judge(result)
}
