//! Contradictions: what must hold between settings, whatever each allows alone.

pub(crate) mod databases;
pub(crate) mod site;

use crate::schema::{Admin, ClientCertificates, Rpc, SyslogPlace, SyslogTransport, Tls, port_key};
use crate::{Bundle, Config, LOAD_FILE};
use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};
use core::net::IpAddr;

/// Settings that contradict each other.
pub(crate) struct Contradiction {
    /// The settings to change, by section and name, the likeliest first.
    pub(crate) keys: Vec<(&'static str, &'static str)>,
    pub(crate) allowed: String,
}

type Checked = Result<(), Contradiction>;

/// What of these does not hold.
fn broken(checks: impl IntoIterator<Item = Checked>) -> Vec<Contradiction> {
    checks.into_iter().filter_map(Result::err).collect()
}

/// What holds between sizes: checked in the file already, since no word of the command line sets one.
pub(crate) fn sizes(config: &Config) -> Vec<Contradiction> {
    let (rpc, zmq) = (&config.rpc, &config.zmq);
    broken([
        zero_or_at_least(config.tcp.buffers_max_bytes, BUFFERS_MIN, ("tcp", "buffers_max_bytes")),
        zero_or_at_least(
            config.memory.peers_bytes_max,
            PEERS_BYTES_MIN,
            ("memory", "peers_bytes_max"),
        ),
        zero_or_at_least(
            config.storage.cache_bytes_max,
            CACHE_BYTES_MIN,
            ("storage", "cache_bytes_max"),
        ),
        ways(config),
        at_most(
            rpc.unsent_bytes_high <= rpc.unsent_bytes_max,
            &[("rpc", "unsent_bytes_high"), ("rpc", "unsent_bytes_max")],
        ),
        at_most(
            zmq.message_bytes_max <= zmq.unfinished_bytes_max,
            &[("zmq", "message_bytes_max"), ("zmq", "unfinished_bytes_max")],
        ),
        at_most(
            config.balance.ejection <= config.balance.ejection_max,
            &[("balance", "ejection_seconds"), ("balance", "ejection_max_seconds")],
        ),
        hedging(config),
    ])
}

fn ways(config: &Config) -> Checked {
    if !config.names.ways.is_empty() {
        return Ok(());
    }
    let allowed = "at least one of ways in [names]".to_owned();
    Err(Contradiction { keys: vec![("names", "ways")], allowed })
}

fn hedging(config: &Config) -> Checked {
    match config.balance.hedge_percentile {
        1..50 => {
            let allowed = "0, or from 50 to 99: below, most requests would be sent twice";
            Err(Contradiction {
                keys: vec![("balance", "hedge_percentile")],
                allowed: allowed.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Some hundred connections' first buffers.
const BUFFERS_MIN: usize = 1 << 20;
/// Some pages, so that a file that is read on is not read twice.
const CACHE_BYTES_MIN: usize = 1 << 20;
/// With the default percentages a peer's part of it is 256 KiB: with much less, no request fits.
const PEERS_BYTES_MIN: usize = 1 << 20;

/// What holds of the whole: file, command line and bundle.
pub(crate) fn whole(config: &Config, bundle: &Bundle<'_>) -> Vec<Contradiction> {
    broken([
        reachable(config),
        gateways(config),
        mtu(config),
        ports(config),
        vsock_ports(config),
        shared_memory_paths(config),
        unix_sockets(config),
        tls(config, bundle),
        admin(config, bundle),
        vat(config, bundle),
        conf(config),
        carry_over(config),
        site(config, bundle),
    ])
}

fn at_most(holds: bool, keys: &'static [(&'static str, &'static str); 2]) -> Checked {
    let [(section, small), (_, large)] = *keys;
    let allowed = || format!("{small} at most {large} in [{section}]");
    holds.then_some(()).ok_or_else(|| Contradiction { keys: keys.to_vec(), allowed: allowed() })
}

/// Zero is a default that follows from the machine's memory.
fn zero_or_at_least(bytes: usize, bytes_min: usize, key: (&'static str, &'static str)) -> Checked {
    if bytes == 0 || bytes >= bytes_min {
        return Ok(());
    }
    let (section, name) = key;
    let allowed = format!("0, or at least {bytes_min}, for {name} in [{section}]");
    Err(Contradiction { keys: vec![key], allowed })
}

/// A machine that can never have an address serves nobody.
fn reachable(config: &Config) -> Checked {
    let network = &config.network;
    if network.dhcp || network.slaac || !network.addresses.is_empty() {
        return Ok(());
    }
    Err(Contradiction {
        keys: vec![("network", "dhcp"), ("network", "slaac"), ("network", "addresses")],
        allowed: "a way to an address: dhcp = true, slaac = true or addresses in [network], or ip= on the command line"
            .to_owned(),
    })
}

/// A router is another machine and a neighbour: in the prefix of an address, or of one that the network may give.
fn gateways(config: &Config) -> Checked {
    let network = &config.network;
    let near = |gateway: &IpAddr| {
        let given = match gateway {
            IpAddr::V4(_) => network.dhcp,
            IpAddr::V6(gateway) => network.slaac || gateway.is_unicast_link_local(),
        };
        given || network.addresses.iter().any(|cidr| cidr.contains(*gateway))
    };
    let own = |gateway: &IpAddr| network.addresses.iter().any(|cidr| cidr.address == *gateway);
    let broadcast =
        |gateway: &IpAddr| network.addresses.iter().any(|cidr| cidr.is_broadcast(*gateway));
    let refused = network.gateways.iter().find_map(|gateway| match gateway {
        gateway if !near(gateway) => {
            Some(format!("gateways within the prefix of an address, as {gateway} is not"))
        }
        gateway if own(gateway) => {
            Some(format!("gateways that are other machines, and {gateway} is this machine's own"))
        }
        gateway if broadcast(gateway) => Some(format!(
            "gateways that are machines, and {gateway} is no machine's but the whole network's"
        )),
        _ => None,
    });
    match refused {
        None => Ok(()),
        Some(allowed) => Err(Contradiction {
            keys: vec![("network", "gateways"), ("network", "addresses")],
            allowed,
        }),
    }
}

/// IPv6 asks of a link that it carries packets of 1280 bytes (RFC 8200 section 5).
fn mtu(config: &Config) -> Checked {
    const IPV6_MTU_BYTES_MIN: usize = 1280;
    let network = &config.network;
    let ipv6 = network.slaac || network.addresses.iter().any(|cidr| cidr.address.is_ipv6());
    if !ipv6 || network.mtu_bytes >= IPV6_MTU_BYTES_MIN {
        return Ok(());
    }
    Err(Contradiction {
        keys: vec![("network", "mtu_bytes"), ("network", "slaac"), ("network", "addresses")],
        allowed: format!(
            "at least {IPV6_MTU_BYTES_MIN} while IPv6 is on; slaac = false and no IPv6 address turn it off"
        ),
    })
}

/// A port is one service's.
fn ports(config: &Config) -> Checked {
    let ports: Vec<_> = config.ports().collect();
    let clash = ports.iter().enumerate().find_map(|(index, (one, port))| {
        let (other, _) = ports.iter().skip(index + 1).find(|(_, other_port)| other_port == port)?;
        Some((*one, *other, *port))
    });
    match clash {
        None => Ok(()),
        Some((one, other, port)) => {
            let [one, other] = [one, other].map(port_key);
            let said = |(section, key)| format!("`{key}` of [{section}]");
            let (said_one, said_other) = (said(one), said(other));
            Err(Contradiction {
                keys: vec![one, other],
                allowed: format!(
                    "a port for each service, and {port} is two services': {said_one} and {said_other}"
                ),
            })
        }
    }
}

/// So is one of vsock.
fn vsock_ports(config: &Config) -> Checked {
    let ports: Vec<_> = config.vsock.ports().collect();
    let clash = ports.iter().enumerate().find_map(|(index, (_, one, port))| {
        let same = |(_, _, other_port): &&(_, _, u32)| other_port == port;
        let (_, other, _) = ports.iter().skip(index + 1).find(same)?;
        Some((*one, *other, *port))
    });
    let Some((one, other, port)) = clash else { return Ok(()) };
    Err(Contradiction {
        keys: vec![("vsock", one), ("vsock", other)],
        allowed: format!("a port for each service in [vsock], and {port} is `{one}` and `{other}`"),
    })
}

/// So is a path.
fn shared_memory_paths(config: &Config) -> Checked {
    path_each("shared_memory", &config.shared_memory.paths().collect::<Vec<_>>())
}

/// And that of a Unix-domain socket.
fn unix_sockets(config: &Config) -> Checked {
    path_each("unix", &config.unix.sockets().collect::<Vec<_>>())
}

/// Services, keys and paths of a section.
fn path_each(section: &'static str, paths: &[(&'static str, &'static str, &str)]) -> Checked {
    let clash = paths.iter().enumerate().find_map(|(index, (_, one, path))| {
        let same = |(_, _, other_path): &&(_, _, &str)| other_path == path;
        let (_, other, _) = paths.iter().skip(index + 1).find(same)?;
        Some((*one, *other, *path))
    });
    let Some((one, other, path)) = clash else { return Ok(()) };
    Err(Contradiction {
        keys: vec![(section, one), (section, other)],
        allowed: format!(
            "a path for each service in [{section}], and {path} is `{one}` and `{other}`"
        ),
    })
}

/// Files that are named are there, each certificate has its key, and who asks for certificates says which.
fn tls(config: &Config, bundle: &Bundle<'_>) -> Checked {
    let Tls { certificates, keys, clients, client_authorities, client_fingerprints, .. } =
        &config.tls;
    let refused = |keys: &[(&'static str, &'static str)], allowed: String| {
        Err(Contradiction { keys: keys.to_vec(), allowed })
    };
    if certificates.len() != keys.len() {
        let allowed = "as many keys as certificates in [tls]".to_owned();
        return refused(&[("tls", "keys"), ("tls", "certificates")], allowed);
    }
    let asks = *clients != ClientCertificates::Off;
    if asks && client_authorities.is_empty() && client_fingerprints.is_empty() {
        let allowed =
            "client_authorities or client_fingerprints in [tls], for clients to be known by";
        return refused(&[("tls", "clients")], allowed.to_owned());
    }
    // Whoever names them means to ask.
    if !(asks || client_authorities.is_empty() && client_fingerprints.is_empty()) {
        let allowed = "clients = \"optional\" or \"required\" in [tls], since nobody is asked for a certificate otherwise";
        let keys = [("tls", "client_authorities"), ("tls", "client_fingerprints")];
        return refused(&keys[usize::from(client_authorities.is_empty())..], allowed.to_owned());
    }
    let asks_by_tls = config.sessions.carry_over.starts_with("https:");
    if asks_by_tls && config.tls.authorities.is_empty() {
        let allowed = "authorities in [tls], by which a server of https:// is known";
        return refused(&[("sessions", "carry_over")], allowed.to_owned());
    }
    let is_by_tls = |place: &SyslogPlace| place.transport == SyslogTransport::Tls;
    if config.log.syslog.as_ref().is_some_and(is_by_tls) && config.tls.authorities.is_empty() {
        let allowed = "authorities in [tls], by which a collector of tls:// is known";
        return refused(&[("log", "syslog")], allowed.to_owned());
    }
    if config.tls.redirect && config.affinity.key.is_some() {
        let allowed = "redirect = false in [tls] where [affinity] has a key: its members pass requests on by HTTP";
        return refused(&[("tls", "redirect"), ("affinity", "key")], allowed.to_owned());
    }
    let named = |name, paths: &[String]| {
        let missing = paths.iter().find(|path| !path.is_empty() && bundle.get(path).is_none())?;
        Some((("tls", name), missing.clone()))
    };
    let authorities = &config.tls.authorities;
    let missing = named("certificates", certificates)
        .or_else(|| named("keys", keys))
        .or_else(|| named("client_authorities", core::slice::from_ref(client_authorities)))
        .or_else(|| named("authorities", core::slice::from_ref(authorities)));
    match missing {
        None => Ok(()),
        Some((key, path)) => {
            refused(&[key], format!("files of the bundle, and {path} is not one of them"))
        }
    }
}

/// Clients show certificates by TLS only, and the authorities' file is there.
fn admin(config: &Config, bundle: &Bundle<'_>) -> Checked {
    let Admin { tls, client_authorities, client_fingerprints, .. } = &config.admin;
    let key = if client_authorities.is_empty() {
        ("admin", "client_fingerprints")
    } else {
        ("admin", "client_authorities")
    };
    let names_clients = !(client_authorities.is_empty() && client_fingerprints.is_empty());
    let allowed = if names_clients && !tls {
        "tls = true in [admin], since nobody shows a certificate otherwise".to_owned()
    } else if !client_authorities.is_empty() && bundle.get(client_authorities).is_none() {
        format!("a file of the bundle, and {client_authorities} is not one of them")
    } else {
        return Ok(());
    };
    Err(Contradiction { keys: vec![key], allowed })
}

/// A key that is named is there; the usual one need not be.
fn vat(config: &Config, bundle: &Bundle<'_>) -> Checked {
    let key = &config.rpc.key;
    if *key == Rpc::default().key || bundle.get(key).is_some() {
        return Ok(());
    }
    let allowed = format!("a file of the bundle, and {key} is not one of them");
    Err(Contradiction { keys: vec![("rpc", "key")], allowed })
}

/// Services of others that settings name are among the capabilities, and a port there is somebody's.
fn conf(config: &Config) -> Checked {
    named(config, ("conf", "from"), &config.conf.from)?;
    named(config, ("relay", "through"), &config.relay.through)?;
    if config.relay.http_port.is_none() || !config.relay.through.is_empty() {
        return Ok(());
    }
    let allowed = "through in [relay], which says whose port it is".to_owned();
    Err(Contradiction { keys: vec![("relay", "http_port")], allowed })
}

/// A database that keeps sessions is one of those there are.
fn carry_over(config: &Config) -> Checked {
    let Some(name) = config.sessions.carry_over.strip_prefix("database:") else { return Ok(()) };
    if config.databases.iter().any(|database| database.name == name) {
        return Ok(());
    }
    let allowed = format!("the name of a [[database]] behind `database:`, and `{name}` is none");
    Err(Contradiction { keys: vec![("sessions", "carry_over")], allowed })
}

fn named(config: &Config, key: (&'static str, &'static str), name: &str) -> Checked {
    let mut names = config.capabilities.references.iter().map(|(name, _)| name);
    if name.is_empty() || names.any(|other| other == name) {
        return Ok(());
    }
    let allowed = format!("a name of [capabilities], and `{name}` is none");
    Err(Contradiction { keys: vec![key], allowed })
}

/// What the root of a site may be, where the bundle has no files in it.
fn folder_with_files(bundle: &Bundle<'_>, root: &str) -> String {
    let mut files = bundle.files().map(|file| file.path);
    // Who packs the pages themselves has one folder too few.
    let above = match files.find(|path| matches!(*path, "index.html" | "index.htm")) {
        Some(page) => format!(": {page} lies at its top, and belongs into {root}/"),
        None => String::new(),
    };
    format!("a folder of the bundle with files, and there is no {root}/ in it{above}")
}

/// A bundle has a site, unless that is on a disk or another appliance's; a machine without a bundle has none.
fn site(config: &Config, bundle: &Bundle<'_>) -> Checked {
    let root = &config.http.site_root;
    let in_site = |path: &str| path.strip_prefix(&**root).is_some_and(|rest| rest.starts_with('/'));
    let is_elsewhere = config.storage.site_disk > 0 || bundle.has_site_elsewhere();
    let is_elsewhere = is_elsewhere || !config.conf.from.is_empty();
    // A load generator has none.
    let is_elsewhere = is_elsewhere || bundle.get(LOAD_FILE).is_some();
    if !bundle.is_given() || is_elsewhere || bundle.files().any(|file| in_site(file.path)) {
        return Ok(());
    }
    Err(Contradiction {
        keys: vec![("http", "site_root")],
        allowed: folder_with_files(bundle, root),
    })
}
