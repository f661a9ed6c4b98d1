//! The wire between this machine and a guest: a TAP with addresses on our end.

use command::{
    failure::{OrSay, Result, fail},
    programs::{self, Install},
};
use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// Our end and the guest's. Addresses for private use (RFC 1918, RFC 4193).
pub const HOST_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
/// The guest's IPv4 address.
pub const GUEST_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
/// Ours of IPv6.
pub const HOST_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1));
/// The guest's IPv6 address.
pub const GUEST_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2));

/// A TAP that is removed when dropped.
pub struct Tap {
    name: String,
}

impl Tap {
    /// A TAP in the network namespace that we run in, with the addresses of this file.
    pub fn new(name: &str) -> Result<Self> {
        let tap = Self::bare(name, HOST_IPV4)?;
        ip(&["addr", "add", &format!("{HOST_IPV6}/64"), "dev", name])?;
        Ok(tap)
    }

    /// A TAP with one IPv4 address of a /24 network.
    pub fn bare(name: &str, address: IpAddr) -> Result<Self> {
        ip(&["tuntap", "add", "dev", name, "mode", "tap"])?;
        let tap = Self { name: name.to_owned() };
        tap.skip_duplicate_detection()?;
        ip(&["addr", "add", &format!("{address}/24"), "dev", name])?;
        ip(&["link", "set", name, "up"])?;
        Ok(tap)
    }

    /// A TAP for `cargo xtask run`, beside whatever else this machine has.
    pub fn for_run(install: Install) -> Result<Self> {
        if !programs::is_root() {
            fail!("a TAP needs root; run `sudo -E cargo xtask run --tap`, or leave out --tap");
        }
        programs::need(&[&programs::IP], install)?;
        Self::new("aqueduct0")
    }

    /// Addresses of IPv6 are in use at once (RFC 4862 section 5.4 would wait a second from when the guest's end is there). One
    /// that comes later is a changed network to a browser, which then gives up what it loads.
    fn skip_duplicate_detection(&self) -> Result {
        let file = format!("/proc/sys/net/ipv6/conf/{}/accept_dad", self.name);
        match std::fs::write(&file, "0") {
            // A kernel without IPv6 has nothing to wait for.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            written => written.or_say(|| format!("cannot write {file}")),
        }
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.name]);
    }
}

/// The command-line words that give the guest its end.
pub fn guest_words() -> String {
    format!("ip={GUEST_IPV4}/24 gw={HOST_IPV4} ip={GUEST_IPV6}/64")
}

/// An address of loopback where nobody listened a moment ago.
///
/// # Errors
///
/// This machine has no free port.
pub fn free_address() -> Result<SocketAddr> {
    let say = || "this machine has no free port".to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).or_say(say)?;
    listener.local_addr().or_say(say)
}

/// Runs iproute2's `ip`.
pub fn ip(arguments: &[&str]) -> Result<String> {
    programs::output(programs::command(&programs::IP)?.args(arguments))
}
