//! Cookies (RFC 6265, and its revision draft-ietf-httpbis-rfc6265bis, called 6265bis below).

use crate::syntax::{is_token, trim};
use alloc::string::String;
use core::fmt;
use core::time::Duration;
use memchr::memchr;

/// Longest name and value together, bytes: user agents drop what is longer (6265bis section 5.6).
pub const NAME_AND_VALUE_BYTES_MAX: usize = 4096;
/// Longest value of an attribute, bytes (6265bis section 5.6).
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// Longest life; user agents cut what is longer (6265bis section 5.5).
pub const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 86_400);

/// The pairs of a `Cookie` field's value, in the order sent: names and values as they are, even a value's quotes
/// (6265bis section 4.2.1). What has no name is left out, since a server cannot tell it from a name.
///
/// Their number is bounded by the head's limit, and nothing is copied.
pub fn parse(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(value);
    let pairs = core::iter::from_fn(move || {
        let pairs = rest?;
        let end = memchr(b';', pairs);
        rest = end.and_then(|end| pairs.get(end + 1..));
        pairs.get(..end.unwrap_or(pairs.len()))
    });
    pairs.filter_map(|pair| {
        let equals = memchr(b'=', pair)?;
        let (name, value) = (trim(pair.get(..equals)?), trim(pair.get(equals + 1..)?));
        (!name.is_empty()).then_some((name, value))
    })
}

/// A cookie to be set. Unless told otherwise it goes to the whole host, to no script, from other sites only with
/// navigation (`Path=/; HttpOnly; SameSite=Lax`), and lives as long as the user agent's session.
///
/// ```
/// use web::{Cookie, Response, Status};
///
/// let cookie = Cookie::new("__Host-id", "31d4d96e407aad42").expect("token and plain characters");
/// let response = Response::new(Status::NO_CONTENT).with_cookie(&cookie);
/// let expected = b"__Host-id=31d4d96e407aad42; Path=/; Secure; HttpOnly; SameSite=Lax";
/// assert_eq!(response.header("set-cookie"), Some(&expected[..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
    path: String,
    domain: Option<String>,
    max_age: Option<Duration>,
    is_secure: bool,
    is_http_only: bool,
    same_site: SameSite,
}

/// With which requests that other sites set off a cookie is sent (6265bis section 5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// With none.
    Strict,
    /// With navigation by a safe method.
    Lax,
    /// With all; such a cookie is `Secure`.
    None,
}

/// Why a cookie cannot be set: user agents would drop it, or take it for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieError {
    /// The name is no token.
    Name,
    /// The value has whitespace, control bytes, quotes, comma, semicolon, backslash or what is not ASCII: encode it.
    Value,
    /// Name and value are longer than [`NAME_AND_VALUE_BYTES_MAX`].
    TooLong,
    /// The path does not begin with a slash, is longer than [`ATTRIBUTE_BYTES_MAX`], or has a semicolon or control bytes.
    Path,
    /// The domain is no host name, or longer than [`ATTRIBUTE_BYTES_MAX`].
    Domain,
    /// A name that begins with `__Host-` promises the path `/` and no domain (6265bis section 4.1.3.2).
    Prefix,
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a cookie's name is a token",
            Self::Value => "a cookie's value has characters that must be encoded",
            Self::TooLong => "a cookie is longer than user agents take",
            Self::Path => "a cookie's path begins with a slash and has no semicolon",
            Self::Domain => "a cookie's domain is a host name",
            Self::Prefix => "a __Host- cookie has the path / and no domain",
        })
    }
}

impl core::error::Error for CookieError {}

impl Cookie {
    /// A cookie of this name and value. The prefixes `__Host-` and `__Secure-` make it `Secure`.
    ///
    /// # Errors
    /// [`CookieError::Name`], [`CookieError::Value`] and [`CookieError::TooLong`].
    pub fn new(name: &str, value: &str) -> Result<Cookie, CookieError> {
        if !is_token(name.as_bytes()) {
            return Err(CookieError::Name);
        }
        if !value.bytes().all(is_cookie_octet) {
            return Err(CookieError::Value);
        }
        if name.len() + value.len() > NAME_AND_VALUE_BYTES_MAX {
            return Err(CookieError::TooLong);
        }
        Ok(Cookie {
            name: name.into(),
            value: value.into(),
            path: "/".into(),
            domain: None,
            max_age: None,
            is_secure: has_prefix(name, "__Host-") || has_prefix(name, "__Secure-"),
            is_http_only: true,
            same_site: SameSite::Lax,
        })
    }

    /// What makes user agents forget the cookie of this name, which was set with the path `/` and no domain; else set
    /// those too.
    ///
    /// # Errors
    /// [`CookieError::Name`] and [`CookieError::TooLong`].
    pub fn removal(name: &str) -> Result<Cookie, CookieError> {
        Ok(Cookie::new(name, "")?.with_max_age(Duration::ZERO))
    }

    /// Sends it below this path only.
    ///
    /// # Errors
    /// [`CookieError::Path`] and [`CookieError::Prefix`].
    pub fn with_path(mut self, path: &str) -> Result<Cookie, CookieError> {
        let is_plain = !path.bytes().any(|byte| byte.is_ascii_control() || byte == b';');
        if !path.starts_with('/') || path.len() > ATTRIBUTE_BYTES_MAX || !is_plain {
            return Err(CookieError::Path);
        }
        if has_prefix(&self.name, "__Host-") && path != "/" {
            return Err(CookieError::Prefix);
        }
        self.path = path.into();
        Ok(self)
    }

    /// Sends it to this domain and all hosts below it, not only to the host that set it.
    ///
    /// # Errors
    /// [`CookieError::Domain`] and [`CookieError::Prefix`].
    pub fn with_domain(mut self, domain: &str) -> Result<Cookie, CookieError> {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if domain.is_empty() || domain.len() > ATTRIBUTE_BYTES_MAX || !domain.bytes().all(is_host) {
            return Err(CookieError::Domain);
        }
        if has_prefix(&self.name, "__Host-") {
            return Err(CookieError::Prefix);
        }
        self.domain = Some(domain.into());
        Ok(self)
    }

    /// How long it lives, in whole seconds, at most [`MAX_AGE_MAX`].
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Cookie {
        self.max_age = Some(max_age.min(MAX_AGE_MAX));
        self
    }

    /// Sends it over encrypted connections only.
    #[must_use]
    pub fn secure(mut self) -> Cookie {
        self.is_secure = true;
        self
    }

    /// Shows it to scripts.
    #[must_use]
    pub fn for_scripts(mut self) -> Cookie {
        self.is_http_only = false;
        self
    }

    /// With which requests that other sites set off it is sent.
    #[must_use]
    pub fn with_same_site(mut self, same_site: SameSite) -> Cookie {
        // 6265bis section 5.7: otherwise user agents drop it.
        self.is_secure |= same_site == SameSite::None;
        self.same_site = same_site;
        self
    }
}

/// The value of a `Set-Cookie` field.
impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}; Path={}", self.name, self.value, self.path)?;
        if let Some(domain) = &self.domain {
            write!(f, "; Domain={domain}")?;
        }
        if let Some(max_age) = self.max_age {
            write!(f, "; Max-Age={}", max_age.as_secs())?;
        }
        if self.is_secure {
            f.write_str("; Secure")?;
        }
        if self.is_http_only {
            f.write_str("; HttpOnly")?;
        }
        f.write_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        })
    }
}

/// `cookie-octet` of RFC 6265 section 4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// User agents compare prefixes without case (6265bis section 5.7).
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn rfc6265_4_2_1_pairs() {
        let pairs = |value: &'static str| parse(value.as_bytes()).collect::<Vec<_>>();
        let (a, b) = ((&b"a"[..], &b"1"[..]), (&b"b"[..], &b"2"[..]));
        for (value, expected) in [
            ("a=1; b=2", &[a, b][..]),
            ("a=1;b=2", &[a, b]),
            (" a = 1 ;\tb=2; ", &[a, b]),
            ("a=1; junk; =nameless; b=2;;", &[a, b]),
            ("a=1; a=2", &[a, (b"a", b"2")]),
            ("a=1=2", &[(b"a", b"1=2")]),
            ("a=", &[(b"a", b"")]),
            ("a=\"1 2\"", &[(b"a", b"\"1 2\"")]),
            ("a=\u{e9}", &[(b"a", b"\xc3\xa9")]),
            ("", &[]),
            (";", &[]),
            ("=", &[]),
        ] {
            assert_eq!(pairs(value), expected, "{value:?}");
        }
    }

    #[test]
    fn the_first_of_a_name_is_the_most_specific() {
        let fields = [("Cookie", "id=1; Id=2"), ("X", "y"), ("cookie", "id=3; c=4")];
        let request = parsed("GET", "/", &fields);
        assert_eq!(request.cookie("id"), Some(&b"1"[..]));
        assert_eq!(request.cookie("Id"), Some(&b"2"[..]));
        assert_eq!(request.cookie("c"), Some(&b"4"[..]));
        assert_eq!(request.cookie("d"), None);
        assert_eq!(request.cookies().count(), 4);
    }

    #[test]
    fn rfc6265_4_1_1_syntax() {
        let cookie = Cookie::new("a", "b").unwrap();
        assert_eq!(cookie.to_string(), "a=b; Path=/; HttpOnly; SameSite=Lax");
        let all = cookie
            .with_path("/x")
            .and_then(|cookie| cookie.with_domain("a.example"))
            .unwrap()
            .with_max_age(Duration::from_millis(3_600_500))
            .with_same_site(SameSite::Strict)
            .secure()
            .for_scripts();
        assert_eq!(
            all.to_string(),
            "a=b; Path=/x; Domain=a.example; Max-Age=3600; Secure; SameSite=Strict"
        );
        let removal = Cookie::removal("a").unwrap().to_string();
        assert_eq!(removal, "a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn no_value_becomes_another_cookie_or_attribute() {
        for name in ["", "a b", "a=b", "a;b", "\u{e9}", "a\r\nb", "a,b"] {
            assert_eq!(Cookie::new(name, ""), Err(CookieError::Name), "{name:?}");
        }
        for value in
            ["a b", "a;b", "a,b", "a\"b", "a\\b", "\u{e9}", "a\r\nSet-Cookie: b=c", "\u{7f}"]
        {
            assert_eq!(Cookie::new("a", value), Err(CookieError::Value), "{value:?}");
        }
        let cookie = Cookie::new("a", "b=c!#$%&'()*+-./:<>?@[]^_`{|}~").unwrap();
        for path in ["", "a", "/a;b", "/a\nb", &("/".to_string() + &"a".repeat(1024))] {
            assert_eq!(cookie.clone().with_path(path), Err(CookieError::Path), "{path:?}");
        }
        for domain in ["", "a;b", "a b", "a:80", &"a".repeat(1025)] {
            assert_eq!(cookie.clone().with_domain(domain), Err(CookieError::Domain), "{domain:?}");
        }
    }

    #[test]
    fn rfc6265bis_5_6_limits() {
        assert!(Cookie::new("name", &"v".repeat(4092)).is_ok());
        assert_eq!(Cookie::new("name", &"v".repeat(4093)), Err(CookieError::TooLong));
        let long = Cookie::new("a", "").unwrap().with_max_age(Duration::MAX).to_string();
        assert!(long.contains("; Max-Age=34560000;"), "{long}");
    }

    #[test]
    fn rfc6265bis_4_1_3_prefixes() {
        for name in ["__Host-a", "__host-a", "__Secure-a", "__SECURE-a"] {
            assert!(Cookie::new(name, "").unwrap().to_string().contains("; Secure;"), "{name}");
        }
        let host = Cookie::new("__Host-a", "").unwrap();
        assert_eq!(host.clone().with_path("/a"), Err(CookieError::Prefix));
        assert_eq!(host.clone().with_domain("a"), Err(CookieError::Prefix));
        assert_eq!(host.clone().with_path("/"), Ok(host));
        let third_party = Cookie::new("a", "").unwrap().with_same_site(SameSite::None);
        assert!(third_party.to_string().ends_with("; Secure; HttpOnly; SameSite=None"));
    }
}
