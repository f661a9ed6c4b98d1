//! What an operator can say to the appliance, typed and checked: `appliance.toml`, the words of the
//! kernel command line that override it, and the boot bundle that carries the file and the site.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut writer = config::cpio::Writer::new();
//! writer.file("appliance.toml", b"[http]\nport = 8080\n", 0)?;
//! writer.file("site/index.html", b"<h1>hello</h1>", 1_700_000_000)?;
//! let archive = writer.finish();
//!
//! let bundle = config::Bundle::parse(&archive)?;
//! let config = config::Config::load(&bundle, "ip=10.9.0.2/24 log=debug")?;
//! assert_eq!(config.http.port, 8080);
//! assert_eq!(bundle.get("site/index.html").unwrap().bytes, b"<h1>hello</h1>");
//! # Ok(()) }
//! ```
//!
//! Every error is one sentence with the place, what was found and what is allowed.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "folder"))]
extern crate std;

mod bundle;
mod check;
mod cmdline;
pub mod cpio;
mod error;
#[cfg(any(test, feature = "folder"))]
pub mod folder;
mod follow;
mod keys;
mod linux_ip;
mod named_files;
mod network;
mod places;
#[cfg(test)]
mod reference_page;
mod schema;
mod texts;
mod toml;
mod values;

pub use bundle::{Bundle, File, Index};
pub use cmdline::unknown_words;
pub use error::ConfigError;
pub use follow::{Followed, Following, following};
pub use keys::keys;
pub use named_files::NamedFiles;
pub use network::{Cidr, CongestionControl};
pub use places::{Sought, line_of};
pub use schema::{
    AccessLogFormat, Admin, Affinity, BadGroupKey, Balance, BalancePolicy, Capabilities, CleanUrls,
    ClientCertificates, Conf, Config, Database, Fastcgi, FieldText, Gopher, GroupKey, Http, Log,
    LogFormat, MediaType, Memory, Names, Network, Octets32, PasswordMethod, PortRange, Proxy,
    ProxyKey, ProxyPlace, ProxyRoute, Relay, Rpc, RpcEpoch, RpcPeer, Serving, Sessions,
    SharedMemory, Shutdown, Site, SiteHost, SiteRule, SiteUser, SslMode, Storage, Subnet,
    SyslogPlace, SyslogTransport, TargetRule, TargetSessionAttributes, Tasks, Tcp, Tls, Token,
    Unix, Vsock, WayKind, Zmq, has_port_key, port_key,
};
pub use values::{KeyValue, SECRET, values};

/// Folders besides the site's that a bundle has, whose files nobody is served: `data` is the handlers' own.
pub const PRIVATE_FOLDERS: [&str; 4] = ["data", "keys", "rpc", "tls"];
/// The name of the configuration file inside a bundle.
pub const CONFIG_FILE: &str = "appliance.toml";
/// The name of the file of services by name inside a bundle, which may do without.
pub const NAMES_FILE: &str = "names";
/// The name of the file inside a bundle with what the load generator does, which no other appliance reads.
pub const LOAD_FILE: &str = "load.toml";

/// The name of the file of media types inside a bundle, which may do without: a line for each extension that is not among the
/// usual ones.
pub const MEDIA_TYPES_FILE: &str = "media-types";

/// The commented default: what a bundle without an `appliance.toml` gets, and the example to start
/// from. Parsing it gives `Config::default()`; a test keeps the two equal.
pub const DEFAULT_TOML: &str = include_str!("../appliance.toml");
