//! `[admin]`: what operators look at.

use crate::Octets32;
use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

/// `[admin]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// TCP port; none is off. Default off: who can reach it and knows the token sees all that there is.
    pub port: Option<u16>,
    /// What requests have to show. Default none, with which only a process serves, on its machine's loopback.
    pub token: Option<Token>,
    /// It is served by TLS, with the certificates of `[tls]`. Default false: they are somebody's decision.
    pub tls: bool,
    /// The file of the bundle with the authorities of clients' certificates, in PEM, each of which opens as the token does.
    /// Default none.
    pub client_authorities: String,
    /// SHA-256 of clients' certificates that do, and need no authority. Default none.
    pub client_fingerprints: Vec<Octets32>,
    /// Names by which it may be asked, beside addresses, `localhost` and the host's name. Default none.
    pub hosts: Vec<String>,
    /// Whether `/healthz` and `/readyz` are on the port of `[http]`, too. Default false.
    pub health_on_http: bool,
}

impl Admin {
    /// There is a port, and it is served by TLS.
    pub fn is_by_tls(&self) -> bool {
        self.port.is_some() && self.tls
    }
}

/// A secret that is shown as a bearer token (RFC 6750 section 2.1): 16 to 128 letters, digits and `-._~+/=`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let fits = (16..=128).contains(&text.len()) && text.bytes().all(is_plain);
        fits.then(|| Self(text.into())).ok_or(())
    }
}

/// It is a secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_token_is_of_plain_letters_and_not_shown() {
        let longest = "a".repeat(128);
        for text in ["0123456789abcdef", "AZaz09-._~+/=+/=", &longest] {
            let token: Token = text.parse().unwrap();
            assert_eq!(token.secret(), text);
            assert_eq!(format!("{token:?}"), "Token(..)");
        }
        let long = "a".repeat(129);
        for text in ["", "0123456789abcde", "0123456789abcde ", "0123456789abcdé", &long] {
            assert_eq!(text.parse::<Token>(), Err(()), "{text}");
        }
    }

    #[test]
    fn without_a_port_nothing_is_by_tls() {
        for (port, tls, is_by_tls) in [
            (None, false, false),
            (None, true, false),
            (Some(1), false, false),
            (Some(1), true, true),
        ] {
            let admin = Admin { port, tls, ..Admin::default() };
            assert_eq!(admin.is_by_tls(), is_by_tls, "{port:?} {tls}");
        }
    }
}
