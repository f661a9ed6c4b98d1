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

/// The text is no [`ProxyRoute`]. As text, what may stand in place of which word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRoute {
    /// The word; none if one is missing.
    pub word: String,
    /// What may stand there.
    pub allowed: &'static str,
}

impl fmt::Display for BadRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { word, allowed } = self;
        if word.is_empty() { f.write_str(allowed) } else { write!(f, "{allowed}, not `{word}`") }
    }
}

impl core::error::Error for BadRoute {}

impl Proxy {
    /// The route that a text means, beside those that there are.
    ///
    /// # Errors
    /// It is none, or there is one for the same requests.
    pub(crate) fn route(&self, text: &str) -> Result<ProxyRoute, BadRoute> {
        let route: ProxyRoute = text.parse()?;
        if self.routes.iter().any(|other| other.is_for_the_same(&route)) {
            let word = text.split_ascii_whitespace().next().unwrap_or("").to_owned();
            return Err(BadRoute { word, allowed: "each host and path once" });
        }
        Ok(route)
    }
}

impl FromStr for ProxyRoute {
    type Err = BadRoute;

    fn from_str(text: &str) -> Result<Self, BadRoute> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or("");
        let refused = |word: &str, allowed| BadRoute { word: word.to_owned(), allowed };
        let (host, prefix) = from(first).ok_or_else(|| refused(first, FROM))?;
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
        let mut options = Vec::new();
        for word in words {
            let option = word.split_once('=').map(|(name, value)| (option(name), value));
            let put = match option {
                Some((Some(name), _)) if options.contains(&name) => Err("each option once"),
                Some((Some(name), value)) => {
                    options.push(name);
                    name.put(&mut route, value).ok_or(name.allowed())
                }
                _ => route.add_place(word),
            };
            put.map_err(|allowed| refused(word, allowed))?;
        }
        if route.places.is_empty() { Err(refused("", "a target at least")) } else { Ok(route) }
    }
}

const FROM: &str = "first a host, a path or both, as shop.example/cart, the path without `?`, `#`, `\\` and quotes";
const PLACE: &str = "a target, as 10.9.0.2:80, with a weight from 1 to 1000 or without, as 10.9.0.2:80*2, or one of policy=, key=, strip=, health= and timeout=";

/// What may be said of a route, each once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RouteOption {
    Policy,
    Key,
    Strip,
    Health,
    Timeout,
}

fn option(name: &str) -> Option<RouteOption> {
    Some(match name {
        "policy" => RouteOption::Policy,
        "key" => RouteOption::Key,
        "strip" => RouteOption::Strip,
        "health" => RouteOption::Health,
        "timeout" => RouteOption::Timeout,
        _ => return None,
    })
}

impl RouteOption {
    fn allowed(self) -> &'static str {
        match self {
            Self::Policy => {
                "policy=least_outstanding, policy=round_robin, policy=weighted or policy=consistent_hash"
            }
            Self::Key => "key=client, key=path, key=header:NAME or key=cookie:NAME",
            Self::Strip => "strip=true or strip=false",
            Self::Health => "health= and an absolute path",
            Self::Timeout => "timeout= and whole seconds from 1 to 3600",
        }
    }

    fn put(self, route: &mut ProxyRoute, value: &str) -> Option<()> {
        match self {
            Self::Policy => route.policy = Some(value.parse().ok()?),
            Self::Key => route.key = value.parse().ok()?,
            Self::Strip => route.strips_prefix = value.parse().ok()?,
            Self::Health => route.health = Some(path_text(value)?),
            Self::Timeout => {
                let seconds = value.parse().ok().filter(|seconds| (1..=3600).contains(seconds))?;
                route.response_timeout = Some(Duration::from_secs(seconds));
            }
        }
        Some(())
    }
}

impl ProxyRoute {
    fn add_place(&mut self, word: &str) -> Result<(), &'static str> {
        let place: ProxyPlace = word.parse().map_err(|()| PLACE)?;
        if self.places.iter().any(|other| other.target == place.target) {
            return Err("each target once: a weight says how much it gets");
        }
        if self.places.len() == PLACES_MAX {
            return Err("at most 64 targets");
        }
        self.places.push(place);
        Ok(())
    }

    /// Whether requests to this one would never come to the other.
    fn is_for_the_same(&self, other: &Self) -> bool {
        let host = |route: &Self| {
            let host = route.host.as_ref().map(|host| host.to_ascii_lowercase());
            host.map(|host| host.strip_suffix('.').map(ToOwned::to_owned).unwrap_or(host))
        };
        let path = |route: &Self| route.prefix.trim_end_matches('/').to_owned();
        host(self) == host(other) && path(self) == path(other)
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
        let many: String = (1..=65).map(|port| std::format!(" a:{port:02}")).collect();
        let many = "/a".to_string() + &many;
        assert!(many[..2 + 64 * 5].parse::<ProxyRoute>().is_ok());
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
            "/a a:\"1",
            "/a a:\\1",
            "/a a:\u{7f}",
            "/a a:ü",
            "/a a:1 key=cookie:",
            "/a a:1 key=cookie:a=b",
            "/a a:1 key=header:a/b",
            "/a a:1 policy=best",
            "/a a:1 strip=yes",
            "/a a:1 health=x",
            "/a a:1 timeout=0",
            "/a a:1 timeout=3601",
            "/a a:1 key=header:",
            "/a a:1 key=user",
            "/a a:1 colour=red",
            "/a policy=weighted",
            "/a a:1 a:1*2",
            "/a a:1 strip=true strip=true",
            "/a a:1 policy=weighted policy=round_robin",
            &many,
        ] {
            assert!(text.parse::<ProxyRoute>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_of_its_word() {
        for (text, said) in [
            ("", FROM.to_string()),
            ("a:1 b:2", std::format!("{FROM}, not `a:1`")),
            ("/a", "a target at least".to_string()),
            ("/a a:1 strip=yes", "strip=true or strip=false, not `strip=yes`".to_string()),
            (
                "/a a:1 timeout=0",
                "timeout= and whole seconds from 1 to 3600, not `timeout=0`".to_string(),
            ),
            ("/a a:1 colour=red", std::format!("{PLACE}, not `colour=red`")),
            ("/a a:1 strip=true strip=false", "each option once, not `strip=false`".to_string()),
        ] {
            assert_eq!(text.parse::<ProxyRoute>().unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn two_routes_for_the_same_requests_are_one_too_many() {
        let mut proxy = Proxy::default();
        proxy.routes.push("shop.example/a a:1".parse().unwrap());
        for (text, fits) in [
            ("Shop.Example./a/ b:1", false),
            ("shop.example/a b:1", false),
            ("/a b:1", true),
            ("shop.example/ab b:1", true),
        ] {
            assert_eq!(proxy.route(text).is_ok(), fits, "{text}");
        }
    }
}
