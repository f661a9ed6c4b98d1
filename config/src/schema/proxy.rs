//! `[proxy]`: requests that others answer.

use super::BalancePolicy;
use crate::texts::is_host_text;
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::{fmt, str::FromStr, time::Duration};

/// `[proxy]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Which requests go where. Default none.
    pub routes: Vec<ProxyRoute>,
    /// How long a service may take for the first byte of an answer; 504 after. Default 30 s.
    pub response_timeout: Duration,
    /// Whether clients are proxies themselves, whose `X-Forwarded-` fields and `Forwarded` are passed on. Default false: anybody
    /// can say anything.
    pub trust_forwarded: bool,
}

impl Default for Proxy {
    fn default() -> Self {
        let response_timeout = Duration::from_secs(30);
        Self { routes: Vec::new(), response_timeout, trust_forwarded: false }
    }
}

/// Most places of one route that are written down.
const PLACES_MAX: usize = 64;

/// Requests that go to a service, written `FROM TARGET... OPTION=VALUE...`: `/api service://api strip=true`, or
/// `shop.example/cart 10.9.0.2:80 10.9.0.3:80*2 policy=round_robin health=/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRoute {
    /// For requests to this host alone.
    pub host: Option<String>,
    /// The path, and what is below it.
    pub prefix: String,
    /// Where they go: one at least.
    pub places: Vec<ProxyPlace>,
    /// How a place is chosen, if not as `[balance]` says.
    pub policy: Option<BalancePolicy>,
    /// What requests have in common that go to one place, by consistent hash.
    pub key: ProxyKey,
    /// The prefix is taken off before a request is passed on.
    pub strips_prefix: bool,
    /// The path by which places are asked whether they are well.
    pub health: Option<String>,
    /// As the section's, if not the same.
    pub response_timeout: Option<Duration>,
}

/// A place of a service: a target as connectors have it, and its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyPlace {
    /// What a connector is asked to reach. It is read where it is used.
    pub target: String,
    /// Its share beside the others', from 1 to 1000.
    pub weight: u32,
}

/// What requests have in common that go to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyKey {
    /// The client's address.
    Client,
    /// The path.
    Path,
    /// A field, by its name.
    Header(String),
    /// A cookie, by its name.
    Cookie(String),
}

impl FromStr for ProxyRoute {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split_ascii_whitespace();
        let (host, prefix) = from(words.next().ok_or(())?).ok_or(())?;
        let mut route = Self {
            host,
            prefix,
            places: Vec::new(),
            policy: None,
            key: ProxyKey::Client,
            strips_prefix: false,
            health: None,
            response_timeout: None,
        };
        words.try_for_each(|word| route.word(word).ok_or(()))?;
        let fits = (1..=PLACES_MAX).contains(&route.places.len());
        if fits { Ok(route) } else { Err(()) }
    }
}

impl ProxyRoute {
    fn word(&mut self, word: &str) -> Option<()> {
        match word.split_once('=') {
            Some(("policy", policy)) => self.policy = Some(policy.parse().ok()?),
            Some(("key", key)) => self.key = key.parse().ok()?,
            Some(("strip", flag)) => self.strips_prefix = flag.parse().ok()?,
            Some(("health", path)) => self.health = Some(path_text(path)?),
            Some(("timeout", seconds)) => {
                let seconds =
                    seconds.parse().ok().filter(|seconds| (1..=3600).contains(seconds))?;
                self.response_timeout = Some(Duration::from_secs(seconds));
            }
            _ => self.places.push(word.parse().ok()?),
        }
        Some(())
    }
}

/// What a route is for: a host, a path, or both.
fn from(text: &str) -> Option<(Option<String>, String)> {
    let slash = text.find('/').unwrap_or(text.len());
    let (host, path) = text.split_at(slash);
    let host = if host.is_empty() { None } else { Some(host.to_owned()) };
    let fits = host.as_deref().is_none_or(is_host_text) && !(host.is_none() && path.is_empty());
    let path = if path.is_empty() { "/" } else { path };
    fits.then_some((host, path_text(path)?))
}

/// An absolute path without a query, of letters that need no escape in TOML.
fn path_text(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\?#".contains(&byte);
    (text.starts_with('/') && text.bytes().all(is_plain)).then(|| text.to_owned())
}

impl FromStr for ProxyPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (target, weight) = text.rsplit_once('*').unwrap_or((text, "1"));
        let weight = weight.parse().ok().filter(|weight| (1..=1000).contains(weight)).ok_or(())?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        if !target.contains(':') || !target.bytes().all(is_plain) {
            return Err(());
        }
        Ok(Self { target: target.to_owned(), weight })
    }
}

impl FromStr for ProxyKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_token = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !name.is_empty() && name.bytes().all(is_plain)
        };
        match text.split_once(':') {
            None if text == "client" => Ok(Self::Client),
            None if text == "path" => Ok(Self::Path),
            Some(("header", name)) if is_token(name) => Ok(Self::Header(name.to_owned())),
            Some(("cookie", name)) if is_token(name) => Ok(Self::Cookie(name.to_owned())),
            _ => Err(()),
        }
    }
}

/// As the configuration has it.
impl fmt::Display for ProxyRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host.as_deref().unwrap_or(""), self.prefix)?;
        for ProxyPlace { target, weight } in &self.places {
            write!(f, " {target}")?;
            if *weight != 1 {
                write!(f, "*{weight}")?;
            }
        }
        if let Some(policy) = self.policy {
            write!(f, " policy={policy}")?;
        }
        match &self.key {
            ProxyKey::Client => {}
            ProxyKey::Path => f.write_str(" key=path")?,
            ProxyKey::Header(name) => write!(f, " key=header:{name}")?,
            ProxyKey::Cookie(name) => write!(f, " key=cookie:{name}")?,
        }
        if self.strips_prefix {
            f.write_str(" strip=true")?;
        }
        if let Some(path) = &self.health {
            write!(f, " health={path}")?;
        }
        match self.response_timeout {
            Some(timeout) => write!(f, " timeout={}", timeout.as_secs()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn routes_parse_and_print() {
        for text in [
            "/api service://api",
            "/ 10.9.0.2:80",
            "shop.example/ [fd00::2]:80*3 unix:/run/a=b.sock",
            "shop.example/cart a:1 b:2*1000 policy=round_robin strip=true health=/healthz timeout=3600",
            "/a a:1 policy=consistent_hash key=path",
            "/a a:1 key=header:x-user",
            "/a a:1 key=cookie:user",
        ] {
            assert_eq!(text.parse::<ProxyRoute>().unwrap().to_string(), text);
        }
        let route: ProxyRoute = "shop.example  a:1  key=client strip=false".parse().unwrap();
        assert_eq!(route.to_string(), "shop.example/ a:1");
    }

    #[test]
    fn what_is_no_route_is_refused() {
        let many = "/a".to_string() + &" a:1".repeat(65);
        assert!(many[..2 + 64 * 4].parse::<ProxyRoute>().is_ok());
        for text in [
            "",
            "/a",
            "a:1",
            "ü/ a:1",
            "/a?b a:1",
            "/a\" a:1",
            "/a a",
            "/a a:1*0",
            "/a a:1*1001",
            "/a a:1*",
            "/a a:1 policy=best",
            "/a a:1 strip=yes",
            "/a a:1 health=x",
            "/a a:1 timeout=0",
            "/a a:1 timeout=3601",
            "/a a:1 key=header:",
            "/a a:1 key=user",
            "/a a:1 colour=red",
            "/a policy=weighted",
            &many,
        ] {
            assert_eq!(text.parse::<ProxyRoute>(), Err(()), "{text}");
        }
    }
}
