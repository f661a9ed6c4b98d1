//! `[rpc]` and `[capabilities]`: the vat, and services of others.

use super::Octets32;
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use base64ct::{Base64UrlUnpadded, Encoding};
use core::{fmt, str::FromStr, time::Duration};

/// `[rpc]`: ports, who may have what, and what one peer may make the vat hold. Beyond the limits on its calls they wait, or fail as
/// overloaded; a peer that exceeds another limit is disconnected with its name as the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// TCP port of the Cap'n Proto services in the clear; none is off. Default none: whoever reaches it is a stranger, and
    /// may listen in.
    pub port: Option<u16>,
    /// TCP port of the same by TLS, for vats with keys; none is off. Default none: a reference to it is of use only if
    /// its owner keeps the key.
    pub secure_port: Option<u16>,
    /// The path of the web server at which the same is served as by `port`, over WebSockets, for programs in browsers. Empty,
    /// the default, is off.
    pub websocket_path: String,
    /// Origins whose pages may connect there beside those of the host that is asked, as `https://app.example`. Default none.
    pub websocket_origins: Vec<String>,
    /// The file of the bundle with the vat's key, in PEM. Default `rpc/key.pem`; without that file a key is made at each
    /// start.
    pub key: String,
    /// What references name as the host of this vat. Empty, the default, is its host name in `[network]`.
    pub host: String,
    /// The services that everybody may have, by name. Default none.
    pub strangers: Vec<String>,
    /// Vats that may have more. Default none.
    pub peers: Vec<RpcPeer>,
    /// The services whose references are no longer the first ones. Default none.
    pub epochs: Vec<RpcEpoch>,
    /// Whether the log gets the references of all services at the start. Default false: they are secrets.
    pub log_references: bool,
    /// Longest message, in words of 8 bytes. Default 4 Mi (32 MiB): three times the 10 MB messages that
    /// peers are known to send.
    pub message_words_max: u32,
    /// Most segments in one message. Default 512, the reference implementation's.
    pub segments_max: u32,
    /// Words that may be visited in one message, so that overlapping pointers do not amplify it.
    /// Default 8 Mi, the reference implementation's.
    pub traversal_words_max: usize,
    /// Deepest nesting of pointers. Default 64, the reference implementation's.
    pub nesting_max: u32,
    /// Most capabilities in one message. Default 16,384; a thousand at once is known practice.
    pub message_caps_max: u32,
    /// Most fields in the path of one promised capability. Default 64.
    pub path_fields_max: u32,
    /// Most parts of one result to which calls may be sent before it is there. Default 1024.
    pub parts_max: usize,
    /// Calls of ours that a peer has not answered. Default 65,536.
    pub questions_max: usize,
    /// Calls of a peer that are not answered; more wait unread. Default 65,536.
    pub answers_max: usize,
    /// Capabilities that a peer holds of us. Default 65,536.
    pub exports_max: usize,
    /// Capabilities that we hold of a peer. Default 65,536.
    pub imports_max: usize,
    /// Promises of a peer that we wait for it to disembargo. Default 65,536.
    pub embargoes_max: usize,
    /// Bytes of a peer's unanswered calls; more wait unread. Beyond twice as much of results that it does not finish
    /// its calls fail as overloaded. Default 64 MiB: two of the longest messages; less where `[memory]` gives less.
    pub call_bytes_max: usize,
    /// Bytes queued for a peer above which its calls wait unread. Default 1 MiB, a few windows' worth; less where
    /// `[memory]` gives less.
    pub unsent_bytes_high: usize,
    /// Bytes queued for a peer above which it is disconnected; results that come near fail. Default 128 MiB: four of the
    /// longest messages; less where `[memory]` gives less.
    pub unsent_bytes_max: usize,
    /// Bytes kept of a peer's exception. Default 1024.
    pub reason_bytes_max: usize,
    /// How long half a message, a byte that a peer does not take, or a call without room may wait. Default 60 s.
    pub stall_timeout: Duration,
    /// Bytes per second at which a message must move on the whole, a peer's as well as ours; zero is no least rate.
    /// Default 500, a tenth of the slowest modem's.
    pub bytes_per_second_min: u32,
}

impl Default for Rpc {
    fn default() -> Self {
        Self {
            port: None,
            secure_port: None,
            websocket_path: String::new(),
            websocket_origins: Vec::new(),
            key: "rpc/key.pem".to_owned(),
            host: String::new(),
            strangers: Vec::new(),
            peers: Vec::new(),
            epochs: Vec::new(),
            log_references: false,
            message_words_max: 4 << 20,
            segments_max: 512,
            traversal_words_max: 8 << 20,
            nesting_max: 64,
            message_caps_max: 16_384,
            path_fields_max: 64,
            parts_max: 1024,
            questions_max: 65_536,
            answers_max: 65_536,
            exports_max: 65_536,
            imports_max: 65_536,
            embargoes_max: 65_536,
            call_bytes_max: 64 << 20,
            unsent_bytes_high: 1 << 20,
            unsent_bytes_max: 128 << 20,
            reason_bytes_max: 1024,
            stall_timeout: Duration::from_secs(60),
            bytes_per_second_min: 500,
        }
    }
}

/// A vat that may have more than strangers: its fingerprint and the names of services, as
/// `sha-256:FINGERPRINT admin calculator`; `*` is all services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcPeer {
    /// SHA-256 of its public key.
    pub fingerprint: Octets32,
    /// What it may have.
    pub services: Vec<String>,
}

/// As the configuration has it.
impl fmt::Display for RpcPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = Base64UrlUnpadded::encode_string(&self.fingerprint.0);
        write!(f, "sha-256:{fingerprint} {}", self.services.join(" "))
    }
}

impl FromStr for RpcPeer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split_ascii_whitespace();
        let digest = words.next().and_then(|word| word.strip_prefix("sha-256:")).ok_or(())?;
        let mut fingerprint = [0; 32];
        let decoded = Base64UrlUnpadded::decode(digest, &mut fingerprint).map_err(drop)?;
        let is_whole = decoded.len() == fingerprint.len();
        let services: Vec<String> = words.map(str::to_owned).collect();
        let is_named = |name: &String| name == "*" || is_service(name);
        if !is_whole || services.is_empty() || !services.iter().all(is_named) {
            return Err(());
        }
        Ok(Self { fingerprint: Octets32(fingerprint), services })
    }
}

/// A service whose references are made anew, as `admin 2`: with another number those of before are good for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcEpoch {
    /// Its name.
    pub service: String,
    /// How often it was changed; zero where nothing is said.
    pub epoch: u32,
}

/// As the configuration has it.
impl fmt::Display for RpcEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.service, self.epoch)
    }
}

impl FromStr for RpcEpoch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (service, epoch) = text.split_once(' ').ok_or(())?;
        let epoch = epoch.parse().map_err(drop)?;
        if is_service(service) { Ok(Self { service: service.to_owned(), epoch }) } else { Err(()) }
    }
}

/// What services, and the capabilities of `[capabilities]`, may be called: 1 to 63 letters, digits, `-` and `_`.
pub(crate) fn is_service(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=63).contains(&name.len()) && name.bytes().all(inner)
}

/// `[capabilities]`: services of other vats, each by a name of the appliance's own. Default none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Names and sturdy references, `capnp://...`.
    pub references: Vec<(String, String)>,
}

/// `[conf]`: what this appliance has from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conf {
    /// The capability, by its name in `[capabilities]`, of which the site is taken. Default none.
    pub from: String,
    /// Whether its settings are followed, too, as far as they need no restart. Default true.
    pub settings: bool,
    /// Bytes of all files of a site that is taken, or written by others. Default 64 MiB; it is held in memory.
    pub site_bytes_max: usize,
}

impl Default for Conf {
    fn default() -> Self {
        Self { from: String::new(), settings: true, site_bytes_max: 64 << 20 }
    }
}

/// A reference is a secret.
impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.references.iter().map(|(name, _)| name)).finish()
    }
}
