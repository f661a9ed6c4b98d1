//! Groups: several appliances that use each other's services, described by one file, as guests of one network or as
//! processes.

mod bundles;
mod file;
mod members;
mod run;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

pub use bundles::Bundles;
pub use members::{Running, Start};
pub use run::{Options, run};

/// Appliances of one group: each is a machine of its own on this one.
const MEMBERS_MAX: usize = 16;
/// The port of processes that are not to be reached: each has an address of its own.
const PORT_HIDDEN: u16 = 8080;

/// What a group file says.
#[derive(Clone, Debug)]
pub struct Group {
    file: PathBuf,
    /// In the order of the file.
    members: Vec<Member>,
}

/// An appliance of a group.
#[derive(Clone, Debug)]
struct Member {
    /// It is the host name, too.
    name: String,
    /// Where the file begins with it.
    line: usize,
    /// As for `cargo xtask bundle`. Without one it has a page that tells its name.
    folder: Option<PathBuf>,
    memory_mib: u32,
    /// What its image carries, with a comma between two; all without.
    services: Option<String>,
    /// It is the load generator, whose scenario its folder has.
    load: bool,
    /// Where this machine reaches its HTTP; 0 is nowhere. It has one once the file is read.
    port: Option<u16>,
    /// More of its ports that this machine reaches, under the same numbers.
    ports: Vec<u16>,
    /// Its own connections leave the group, which is QEMU's user network, and do not go to other members.
    uplink: bool,
    /// Services of others.
    capabilities: Vec<Capability>,
    /// What it has besides in its `appliance.toml`.
    settings: file::Settings,
}

impl Member {
    /// The ports of this machine at which it is reached.
    fn reached(&self) -> impl Iterator<Item = u16> {
        self.port.into_iter().filter(|port| *port > 0).chain(self.ports.iter().copied())
    }
}

/// A service of another member.
#[derive(Clone, Debug)]
struct Capability {
    /// In `[capabilities]`.
    name: String,
    of: String,
    service: String,
    line: usize,
}

impl Capability {
    /// Nobody has it by a reference alone: the other member has to list who may.
    fn is_for_listed(&self) -> bool {
        self.service == "network"
    }
}

/// What members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Guests of QEMU, on one network.
    Guests,
    /// Processes, each with an address of loopback.
    Processes,
}

impl Kind {
    /// Where members have each other. Guests have a network of their own; of loopback, Linux has all of 127/8.
    fn address(self, place: usize) -> IpAddr {
        let host = u8::try_from(place + 2).expect("members are few");
        IpAddr::V4(match self {
            Self::Guests => Ipv4Addr::new(10, 77, 0, host),
            Self::Processes => Ipv4Addr::new(127, 77, 0, host),
        })
    }
}

/// QEMU's user network, of which each guest has one for itself, with this machine at its other end. Each guest has another
/// address in it nevertheless, since it has all of its addresses on all of its cards.
mod user_network {
    use std::net::Ipv4Addr;

    pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
    pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

    pub(super) fn address(place: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 2, u8::try_from(place + 15).expect("members are few"))
    }
}

impl Group {
    /// The names of its members, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// Where this machine reaches a member's HTTP, if it does.
    fn reached_at(&self, kind: Kind, place: usize) -> Option<SocketAddr> {
        let port = self.members[place].port.filter(|port| *port > 0)?;
        Some(match kind {
            Kind::Guests => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            Kind::Processes => self.listens_at(place),
        })
    }

    /// Where a member's HTTP is, as a process: reached or not, it has a port.
    fn listens_at(&self, place: usize) -> SocketAddr {
        let port = self.members[place].port.filter(|port| *port > 0).unwrap_or(PORT_HIDDEN);
        SocketAddr::new(Kind::Processes.address(place), port)
    }
}
