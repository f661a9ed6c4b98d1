//! `[site]`, `[[site_host]]` and `[[site_rule]]`: how the site's files are served.

use crate::Cidr;
use crate::texts::is_field_name;
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::{fmt, net::IpAddr, str::FromStr};

/// `[site]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What the site's own folder is served with.
    pub serving: Serving,
    /// The `Cache-Control` of all files for which no rule says another. Default `no-cache`: caches keep files, and ask each time
    /// whether they are new. Empty: there is none.
    pub cache_control: String,
    /// Media types by extension, before those that are known. Default none.
    pub media_types: Vec<MediaType>,
}

impl Default for Site {
    fn default() -> Self {
        let cache_control = String::from("no-cache");
        Self { serving: Serving::default(), cache_control, media_types: Vec::new() }
    }
}

/// How the files of one folder are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Whether paths do without the extension of pages. Default off.
    pub clean_urls: CleanUrls,
    /// The file that answers, with 200, where nothing is and a page is asked for. Default none: 404.
    pub fallback: String,
    /// Whether a folder without an index is listed. Default false: nobody sees what no page leads to.
    pub listing: bool,
    /// The folder, in the served one, of pages for errors. Default `errors`.
    pub errors: String,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            clean_urls: CleanUrls::Off,
            fallback: String::new(),
            listing: false,
            errors: String::from("errors"),
        }
    }
}

/// One `[[site_host]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteHost {
    /// The hosts whose requests it is for, as `shop.example` or `*.shop.example`. One at least.
    pub names: Vec<String>,
    /// The folder of the bundle, or of the disk, that is served. There is no default.
    pub root: String,
    /// The file that answers for a folder. Default `index.html`.
    pub index: String,
    /// What else it is served with.
    pub serving: Serving,
}

impl Default for SiteHost {
    fn default() -> Self {
        let index = String::from("index.html");
        Self { names: Vec::new(), root: String::new(), index, serving: Serving::default() }
    }
}

/// One `[[site_rule]]`. Of several for the same path, what a later one says is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteRule {
    /// The paths, as `/about`, `/assets/*` or `*.js`. There is no default.
    pub path: String,
    /// The folders that it is for, by some of their [`SiteHost::names`]. Default none: all, the site's own included.
    pub hosts: Vec<String>,
    /// The `Cache-Control`. Default none: as without this rule.
    pub cache_control: String,
    /// Fields that answers get, in place of others of their names. Default none.
    pub headers: Vec<FieldText>,
    /// Names of fields that answers lose. Default none.
    pub remove_headers: Vec<String>,
    /// Who may ask, by name and password; an empty list, written `["*"]`, is everybody. Default none: as without this rule.
    pub users: Option<Vec<SiteUser>>,
    /// What browsers show those who are to say their name and password. Default none, which is "restricted".
    pub realm: String,
    /// From which addresses one may ask. Default none: as without this rule.
    pub allow: Option<Vec<Subnet>>,
    /// From which addresses nobody may, but for those that [`allow`](Self::allow) has. Default none: as without this rule.
    pub deny: Option<Vec<Subnet>>,
}

/// Somebody with a password, written `NAME:HASH`; the hash is one of crypt(5), by SHA-512 (`$6$`) or SHA-256 (`$5$`).
#[derive(Clone, PartialEq, Eq)]
pub struct SiteUser {
    /// The name.
    pub name: String,
    /// The password's hash.
    pub hash: String,
}

/// Without the hash.
impl fmt::Debug for SiteUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteUser({:?})", self.name)
    }
}

/// Rounds of one hash: each is some 0.6 microseconds in which nobody else is served.
const ROUNDS_MAX: u32 = 100_000;

impl FromStr for SiteUser {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, hash) = text.split_once(':').ok_or(())?;
        let is_name = (1..=100).contains(&name.len()) && !name.contains(char::is_control);
        let mut parts = hash.split('$').peekable();
        let digits = match (parts.next(), parts.next()) {
            (Some(""), Some("6")) => 86,
            (Some(""), Some("5")) => 43,
            _ => return Err(()),
        };
        if let Some(rounds) = parts.peek().and_then(|part| part.strip_prefix("rounds=")) {
            let rounds: u32 = rounds.parse().map_err(drop)?;
            if !(1000..=ROUNDS_MAX).contains(&rounds) {
                return Err(());
            }
            parts.next();
        }
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
        let salt = parts.next().filter(|salt| (1..=16).contains(&salt.len()));
        let digest = parts.next().filter(|digest| digest.len() == digits);
        let (Some(salt), Some(digest), None) = (salt, digest, parts.next()) else { return Err(()) };
        let is_hash = salt.bytes().chain(digest.bytes()).all(is_digit);
        let user = || Self { name: name.to_owned(), hash: hash.to_owned() };
        (is_name && is_hash).then(user).ok_or(())
    }
}

/// Addresses that begin alike, written `10.0.0.0/8`, `fd00::/8` or, of one address, as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet(Cidr);

impl Subnet {
    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address.to_canonical())
    }
}

impl FromStr for Subnet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(it, prefix)| (it, Some(prefix)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let prefix_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(prefix_max), str::parse).map_err(drop)?;
        let is_whole = match address {
            // Bits beyond the prefix would be a slip of the pen.
            IpAddr::V4(own) => {
                prefix <= 32 && own.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) == 0
            }
            IpAddr::V6(own) => {
                prefix <= 128 && own.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) == 0
            }
        };
        is_whole.then_some(Self(Cidr { address, prefix })).ok_or(())
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Paths without the extension of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanUrls {
    /// There are none.
    Off,
    /// `/about` is answered with `about.html`, as `/about.html` is.
    Answer,
    /// `/about` is answered with `about.html`, and `/about.html` is sent there.
    Redirect,
}

impl CleanUrls {
    const ALL: [Self; 3] = [Self::Off, Self::Answer, Self::Redirect];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Answer => "answer",
            Self::Redirect => "redirect",
        }
    }
}

impl FromStr for CleanUrls {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|it| it.word() == text).ok_or(())
    }
}

impl fmt::Display for CleanUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An extension and its media type, written `glb model/gltf-binary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// In lower case, without a dot.
    pub extension: String,
    /// The type, with its parameters.
    pub media_type: String,
}

impl FromStr for MediaType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (extension, media_type) = text.split_once(' ').ok_or(())?;
        let media_type = media_type.trim_matches(' ');
        let is_extension = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte);
        let essence = media_type.split(';').next().unwrap_or("").trim_end();
        let is_type = essence
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_field_name(kind) && is_field_name(subtype));
        let is_plain = media_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if extension.is_empty() || !extension.bytes().all(is_extension) || !is_type || !is_plain {
            return Err(());
        }
        let (extension, media_type) = (extension.to_ascii_lowercase(), media_type.to_owned());
        Ok(Self { extension, media_type })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.extension, self.media_type)
    }
}

/// A field, written `NAME: VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldText {
    /// A token (RFC 9110 section 5.1).
    pub name: String,
    /// Visible, one line.
    pub value: String,
}

/// Fields that are not a rule's to say: they follow from the content and the connection.
const OTHERS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a rule may set or remove the field of this name.
pub(crate) fn is_rules_field(name: &str) -> bool {
    is_field_name(name) && !OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other))
}

impl FromStr for FieldText {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, value) = text.split_once(':').ok_or(())?;
        let value = value.trim();
        let fits = is_rules_field(name) && !value.is_empty() && !value.contains(char::is_control);
        let field = || Self { name: name.to_owned(), value: value.to_owned() };
        fits.then(field).ok_or(())
    }
}

impl fmt::Display for FieldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn media_types_have_an_extension_and_a_type() {
        for text in ["glb model/gltf-binary", "x text/plain; charset=utf-8", "tar-x a/b+c"] {
            assert_eq!(text.parse::<MediaType>().unwrap().to_string(), text);
        }
        assert_eq!("GLB  a/b".parse::<MediaType>().unwrap().to_string(), "glb a/b");
        for text in
            ["", "glb", "glb model", ".glb a/b", "a/b glb", "glb a/b/c", "glb a/b\n", "glb /b"]
        {
            assert!(text.parse::<MediaType>().is_err(), "{text}");
        }
    }

    #[test]
    fn users_have_a_hash_of_crypt() {
        let (long, short) = ("a".repeat(86), "b".repeat(43));
        for (text, fits) in [
            (std::format!("ann:$6$salt${long}"), true),
            (std::format!("ann:$6$rounds=100000$salt${long}"), true),
            (std::format!("ann b:$5$s.lt/${short}"), true),
            (std::format!("ann:$6$rounds=100001$salt${long}"), false),
            (std::format!("ann:$6$rounds=999$salt${long}"), false),
            (std::format!("ann:$6$salt${short}"), false),
            (std::format!("ann:$1$salt${short}"), false),
            (std::format!(":$6$salt${long}"), false),
            (String::from("ann:$6$$") + &long, false),
            (std::format!("ann:$6$salt${long}$"), false),
            (std::format!("ann:$6$sa:t${long}"), false),
            ("ann:secret".to_string(), false),
            ("ann".to_string(), false),
        ] {
            let user = text.parse::<SiteUser>();
            assert_eq!(user.is_ok(), fits, "{text}");
            assert!(user.is_err() || !std::format!("{user:?}").contains("aaaa"));
        }
    }

    #[test]
    fn subnets_contain_what_begins_alike() {
        for (text, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("fd00::/8", "fdff::1", true),
            ("::/0", "fd00::1", true),
        ] {
            assert_eq!(
                text.parse::<Subnet>().unwrap().contains(address.parse().unwrap()),
                is_in,
                "{text}"
            );
        }
        for text in ["", "10.0.0.1/8", "10.0.0.0/33", "fd00::1/64", "10.0.0.0/", "a/8", "::/129"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn fields_have_a_name_and_a_value() {
        let csp = "Content-Security-Policy: default-src 'self'; img-src https://a.example";
        assert_eq!(csp.parse::<FieldText>().unwrap().to_string(), csp);
        assert_eq!("X-A:1".parse::<FieldText>().unwrap().to_string(), "X-A: 1");
        for text in
            ["", "X-A", "X-A:", "X A: 1", ": 1", "X-A: 1\r\nX-B: 2", "Content-length: 1", "Date: x"]
        {
            assert!(text.parse::<FieldText>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_hash_is_not_shown_for_debugging() {
        let text = "ann:$5$salt$".to_string() + &"b".repeat(43);
        let user: SiteUser = text.parse().unwrap();
        assert_eq!(std::format!("{user:?}"), "SiteUser(\"ann\")");
    }

    #[test]
    fn subnets_are_shown_as_they_are_read() {
        for (text, shown) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("fd00::/8", "fd00::/8"), ("10.9.0.2", "10.9.0.2/32")]
        {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), shown);
        }
    }
}
