//! Target: what a connector is asked to reach, as a scheme and what it needs.

use crate::registry::{Label, Query};
use crate::{UnixPath, VchanPlace, VsockAddress};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

/// What a connector is asked to reach. As text:
///
/// | text | scheme |
/// |---|---|
/// | `tcp://10.0.0.2:80`, `tcp://[fe80::2]:80`, `tcp://db.example:80` | TCP |
/// | the same without `tcp://` | TCP |
/// | `tls://db.example:443`, `tls://10.0.0.2:443` | TLS over TCP, with who has a certificate of that name or address |
/// | `service://transform`, `service://transform@alpha` | a service, any of it or that of one host |
/// | `vsock://2:9000` | a port of another machine on this host, or of the host, which is machine 2 |
/// | `shm:/run/echo.shm` | memory shared with another process of this host, which listens at that path |
/// | `vchan:5/http` | memory shared with another domain of this Xen host, which listens by that name, or at a path of xenstore |
/// | `unix:/run/db.sock`, `unix:@db` | a Unix-domain socket of this machine, by its path or its abstract name |
/// | `ipc:///run/db.sock`, `ipc://@db` | the same, as ZeroMQ writes it |
/// | `memory:echo` | a listener inside this process or image |
/// | `inproc://echo` | the same, as ZeroMQ writes it |
///
/// It prints as it is shortest: TCP without its scheme, a Unix-domain socket with `unix:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// TCP to an address that needs no look-up.
    Address(SocketAddr),
    /// TCP to a host name, resolved by the connector, and a port.
    Name(String, u16),
    /// TLS over TCP to a host, by its name or address, and a port.
    Tls(String, u16),
    /// A service, of which a registry knows where it is.
    Service(Query),
    /// A vsock of another virtual machine on this host, or of the host.
    Vsock(VsockAddress),
    /// Another process of this host, by the path at which it listens and memory that both share; in an image another guest, by
    /// a name in the region that both have.
    SharedMemory(String),
    /// Another domain of this Xen host, by memory that both share.
    Vchan(VchanPlace),
    /// A Unix-domain socket.
    Unix(UnixPath),
    /// A listener inside this process or image.
    Memory(Label),
}

/// How a flow is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Over TCP.
    Tcp,
    /// Over TLS over TCP.
    Tls,
    /// By whatever a registry says that a service is reached by.
    Service,
    /// By vsock.
    Vsock,
    /// By memory shared with another process.
    SharedMemory,
    /// By memory shared with another domain of a Xen host.
    Vchan,
    /// By a Unix-domain socket.
    Unix,
    /// Inside this process or image.
    Memory,
}

impl Target {
    /// How a flow to it is made.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Address(_) | Self::Name(..) => Scheme::Tcp,
            Self::Tls(..) => Scheme::Tls,
            Self::Service(_) => Scheme::Service,
            Self::Vsock(_) => Scheme::Vsock,
            Self::SharedMemory(_) => Scheme::SharedMemory,
            Self::Vchan(_) => Scheme::Vchan,
            Self::Unix(_) => Scheme::Unix,
            Self::Memory(_) => Scheme::Memory,
        }
    }

    /// What a client calls it to its face, as in HTTP's `Host` (RFC 9110 section 7.2): `HOST:PORT`, or
    /// the name of a service, whichever host offers it, or the usual name of this host, for a path is none; all of which RFC 3986
    /// section 3.2.2 allows.
    pub fn authority(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Name(name, port) | Self::Tls(name, port) => authority(name, *port),
            Self::Service(query) => query.name.to_string(),
            Self::Vsock(address) => address.to_string(),
            // A path is none of what a host may be.
            Self::SharedMemory(_) | Self::Vchan(_) | Self::Unix(_) => "localhost".to_owned(),
            Self::Memory(name) => name.to_string(),
        }
    }
}

/// An IPv6 address has brackets there.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        alloc::format!("[{host}]:{port}")
    } else {
        alloc::format!("{host}:{port}")
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl From<Query> for Target {
    fn from(query: Query) -> Self {
        Self::Service(query)
    }
}

const TCP: &str = "tcp://";
const TLS: &str = "tls://";
const SERVICE: &str = "service://";
/// A service whose hosts DNS knows (RFC 2782).
const SERVICE_RECORD: &str = "srv:";
const VSOCK: &str = "vsock://";
const SHARED_MEMORY: &str = "shm:";
const VCHAN: &str = "vchan:";
const UNIX: &str = "unix:";
/// How ZeroMQ writes the same (zmq_ipc(7)).
const IPC: &str = "ipc://";
const MEMORY: &str = "memory:";
/// How ZeroMQ writes the same (zmq_inproc(7)).
const INPROC: &str = "inproc://";

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            // A host of these names would read as the scheme.
            Self::Name(name, port)
                if ["memory", "shm", "unix", "vchan"].contains(&name.as_str()) =>
            {
                write!(f, "{TCP}{name}:{port}")
            }
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Tls(host, port) => write!(f, "{TLS}{}", authority(host, *port)),
            Self::Service(query) => write!(f, "{SERVICE}{query}"),
            Self::Vsock(address) => write!(f, "{VSOCK}{address}"),
            Self::SharedMemory(path) => write!(f, "{SHARED_MEMORY}{path}"),
            Self::Vchan(place) => write!(f, "{VCHAN}{place}"),
            Self::Unix(path) => write!(f, "{UNIX}{path}"),
            Self::Memory(name) => write!(f, "{MEMORY}{name}"),
        }
    }
}

/// The text is no [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseTargetError {
    /// Another scheme than those that there are.
    UnknownScheme,
    /// No host and port.
    HostPort,
    /// After `service://`, no name or no host.
    Service,
    /// After `srv:`, no name of a service of DNS.
    ServiceRecord,
    /// After `vsock://`, no numbers of a machine and a port.
    Vsock,
    /// After `shm:`, no path that a socket can have.
    SharedMemory,
    /// After `vchan:`, no number of a domain and name or path.
    Vchan,
    /// After `unix:` or `ipc://`, no path or name of a socket.
    Unix,
    /// After `memory:`, no name.
    Memory,
}

impl fmt::Display for ParseTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownScheme => {
                "expected HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, service://NAME, service://NAME@HOST, srv:_SERVICE._tcp.DOMAIN, vsock://CID:PORT, shm:PATH, vchan:DOMAIN/NAME, unix:PATH or memory:NAME"
            }
            Self::HostPort => {
                "expected HOST:PORT, for example 10.0.0.2:80, [fe80::2]:80 or db.example:80"
            }
            Self::Service => {
                "expected service://NAME or service://NAME@HOST, each of 1 to 63 letters, digits, `-`, `_` or `.`"
            }
            Self::ServiceRecord => {
                "expected srv:_SERVICE._tcp.DOMAIN, for example srv:_http._tcp.example.org, of at most 63 letters, digits, `-`, `_` and `.`"
            }
            Self::Vsock => "expected vsock://CID:PORT, for example vsock://2:9000",
            Self::SharedMemory => {
                "expected shm:PATH, the path of 1 to 107 bytes without spaces and control characters"
            }
            Self::Vchan => {
                "expected vchan:DOMAIN/NAME or vchan:DOMAIN/PATH, for example vchan:5/http or vchan:0/local/domain/5/data/vchan/log, the path of at most 200 letters, digits and `/-_@`"
            }
            Self::Unix => {
                "expected unix:PATH or ipc://PATH, the path absolute or @NAME, of at most 107 letters, digits and `/-._~+,=:@`"
            }
            Self::Memory => {
                "expected memory:NAME or inproc://NAME, the name of 1 to 63 letters, digits, `-`, `_` or `.`"
            }
        })
    }
}

impl core::error::Error for ParseTargetError {}

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        if let Some(rest) = text.strip_prefix(TCP) {
            return tcp(rest);
        }
        if let Some(rest) = text.strip_prefix(TLS) {
            return tcp(rest).map(|target| match target {
                Self::Address(address) => Self::Tls(address.ip().to_string(), address.port()),
                Self::Name(name, port) => Self::Tls(name, port),
                other => other,
            });
        }
        if let Some(rest) = text.strip_prefix(SERVICE) {
            return rest.parse().map(Self::Service).map_err(|_| ParseTargetError::Service);
        }
        if let Some(rest) = text.strip_prefix(SERVICE_RECORD) {
            return service_record(rest).ok_or(ParseTargetError::ServiceRecord);
        }
        if let Some(rest) = text.strip_prefix(VSOCK) {
            return rest.parse().map(Self::Vsock).map_err(|_| ParseTargetError::Vsock);
        }
        if let Some(rest) = text.strip_prefix(SHARED_MEMORY) {
            return if is_socket_path(rest) {
                Ok(Self::SharedMemory(rest.to_owned()))
            } else {
                Err(ParseTargetError::SharedMemory)
            };
        }
        if let Some(rest) = text.strip_prefix(VCHAN) {
            return rest.parse().map(Self::Vchan).map_err(|_| ParseTargetError::Vchan);
        }
        if let Some(rest) = text.strip_prefix(IPC).or_else(|| text.strip_prefix(UNIX)) {
            return rest.parse().map(Self::Unix).map_err(|_| ParseTargetError::Unix);
        }
        if let Some(rest) = text.strip_prefix(INPROC).or_else(|| text.strip_prefix(MEMORY)) {
            return rest.parse().map(Self::Memory).map_err(|_| ParseTargetError::Memory);
        }
        if text.contains("://") {
            return Err(ParseTargetError::UnknownScheme);
        }
        tcp(text)
    }
}

/// A service as its name by which DNS knows the hosts (RFC 2782).
fn service_record(text: &str) -> Option<Target> {
    let name = text.strip_suffix('.').unwrap_or(text).parse().ok()?;
    let query = Query { name, host: None };
    query.is_of_dns().then_some(Target::Service(query))
}

/// A path at which a socket can be: as long as the kernel takes one (unix(7), `sun_path` with its last zero), and one word.
fn is_socket_path(path: &str) -> bool {
    const PATH_BYTES_MAX: usize = 107;
    let is_word = !path.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    (1..=PATH_BYTES_MAX).contains(&path.len()) && is_word
}

/// `HOST:PORT`. Host names follow RFC 1123 section 2.1: at most 253 octets of letters, digits, `-`,
/// `.`; `_` is allowed too, since service names use it.
fn tcp(text: &str) -> Result<Target, ParseTargetError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Target::Address(address));
    }
    let (host, port) = text.rsplit_once(':').ok_or(ParseTargetError::HostPort)?;
    let port = port.parse().map_err(|_| ParseTargetError::HostPort)?;
    let octet_ok = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(octet_ok) {
        return Err(ParseTargetError::HostPort);
    }
    Ok(Target::Name(host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_parse_and_print() {
        for text in [
            "10.0.0.2:80",
            "[fe80::2]:8080",
            "db.example:5432",
            "_x-y:1",
            "tcp://memory:80",
            "tcp://unix:80",
            "tls://db.example:443",
            "tls://10.0.0.2:443",
            "tls://[fe80::2]:443",
            "service://transform",
            "service://transform@alpha",
            "vsock://2:9000",
            "vsock://4294967295:0",
            "shm:/run/echo.shm",
            // Not a port: a path may be relative, and of digits.
            "shm:80",
            "tcp://shm:80",
            "vchan:5/http",
            "vchan:0/local/domain/5/data/vchan/log",
            "tcp://vchan:80",
            "unix:/run/db.sock",
            "unix:@db",
            "memory:echo",
            // Nor this: a name in memory may be of digits.
            "memory:80",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn tcp_is_what_is_meant_without_a_scheme() {
        for text in ["10.0.0.2:80", "[fe80::2]:8080", "db.example:5432"] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.scheme(), Scheme::Tcp);
            assert_eq!(alloc::format!("tcp://{text}").parse(), Ok(target));
        }
        assert_eq!("memory:80".parse::<Target>().unwrap().scheme(), Scheme::Memory);
        assert_eq!("inproc://echo".parse(), "memory:echo".parse::<Target>());
        assert_eq!("service://a".parse::<Target>().unwrap().scheme(), Scheme::Service);
    }

    #[test]
    fn rfc2782_a_service_record_is_a_service_of_that_name() {
        for text in ["srv:_http._tcp.example.org", "srv:_http._tcp.example.org."] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), "service://_http._tcp.example.org");
        }
    }

    #[test]
    fn a_socket_is_meant_as_zeromq_writes_it_too() {
        for place in ["/run/db.sock", "@db"] {
            let target: Target = alloc::format!("ipc://{place}").parse().unwrap();
            assert_eq!(target.to_string(), alloc::format!("unix:{place}"));
            assert_eq!(target.scheme(), Scheme::Unix);
        }
    }

    #[test]
    fn bad_targets_are_refused_with_what_is_expected() {
        use ParseTargetError::{
            HostPort, Memory, Service, ServiceRecord, SharedMemory, Unix, UnknownScheme, Vchan,
            Vsock,
        };
        let long_path = alloc::format!("shm:{}", "x".repeat(108));
        assert!(long_path[..4 + 107].parse::<Target>().is_ok());
        let long = alloc::format!("service://{}", "x".repeat(64));
        let host = |len: usize| alloc::format!("{}:1", "x".repeat(len));
        assert!(host(253).parse::<Target>().is_ok());
        let long_hosts = [host(254), host(255)];
        for (text, error) in [
            ("", HostPort),
            (":80", HostPort),
            ("host", HostPort),
            ("host:", HostPort),
            ("host:65536", HostPort),
            ("a b:1", HostPort),
            ("fe80::2:80", HostPort),
            (&long_hosts[0], HostPort),
            (&long_hosts[1], HostPort),
            ("h/:1", HostPort),
            ("web@:0", HostPort),
            ("tcp://", HostPort),
            ("tcp://host", HostPort),
            ("tcp://tcp://host:1", HostPort),
            ("tls://host", HostPort),
            ("tls://tcp://host:1", HostPort),
            ("service://", Service),
            ("service://@alpha", Service),
            ("service://web@", Service),
            ("service://web@alpha@beta", Service),
            ("service://web:80", Service),
            (&long, Service),
            ("srv:", ServiceRecord),
            ("srv:http", ServiceRecord),
            ("srv:_http._udp.example.org", ServiceRecord),
            ("srv:_http._tcp.", ServiceRecord),
            ("srv:_http._tcp.a..b", ServiceRecord),
            ("srv:_http._tcp.example.org@a", ServiceRecord),
            ("vsock://", Vsock),
            ("vsock://2", Vsock),
            ("vsock://2:", Vsock),
            ("vsock://2:+1", Vsock),
            ("vsock://2:4294967296", Vsock),
            ("vsock://host:1", Vsock),
            ("shm:", SharedMemory),
            ("shm:/run/a b", SharedMemory),
            ("shm:/run/a\0", SharedMemory),
            (&long_path, SharedMemory),
            ("vchan:", Vchan),
            ("vchan:80", Vchan),
            ("vchan:http/5", Vchan),
            ("unix:", Unix),
            ("unix:80", Unix),
            ("unix:run/db.sock", Unix),
            ("ipc://run/db.sock", Unix),
            ("ipc:/run/db.sock", HostPort),
            ("memory:", Memory),
            ("inproc://", Memory),
            ("memory:a b", Memory),
            ("memory://echo", Memory),
            ("http://host:80", UnknownScheme),
            ("://", UnknownScheme),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text}");
            assert!(error.to_string().starts_with("expected "), "{error}");
        }
    }

    #[test]
    fn an_authority_is_a_host_as_uris_have_it() {
        for (text, authority) in [
            ("10.0.0.2:80", "10.0.0.2:80"),
            ("[fe80::2]:80", "[fe80::2]:80"),
            ("tcp://db.example:80", "db.example:80"),
            ("tls://db.example:443", "db.example:443"),
            ("tls://[fe80::2]:443", "[fe80::2]:443"),
            ("service://web", "web"),
            ("service://web@alpha", "web"),
            ("vsock://3:80", "3:80"),
            ("shm:/run/echo.shm", "localhost"),
            ("vchan:5/http", "localhost"),
            ("unix:/run/db.sock", "localhost"),
            ("memory:echo", "echo"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().authority(), authority);
        }
    }
}
