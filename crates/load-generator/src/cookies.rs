//! Cookies: what a visitor sends back of what the server set (RFC 6265), as far as it is of use to a load generator: by name, for
//! all paths, until the server takes them back.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Cookies of one visitor at most; further ones are not kept (RFC 6265 section 6.1 asks for 50).
const COOKIES_MAX: usize = 50;
/// Bytes of one cookie's name and value at most (RFC 6265 section 6.1).
const COOKIE_BYTES_MAX: usize = 4096;

/// A visitor's cookies.
#[derive(Debug, Default)]
pub(crate) struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Takes in a field `Set-Cookie` (RFC 6265 section 5.2).
    pub(crate) fn set(&mut self, field: &[u8]) {
        let Ok(text) = core::str::from_utf8(field) else { return };
        let mut parts = text.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > COOKIE_BYTES_MAX {
            return;
        }
        let is_taken_back = parts.any(|attribute| {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let seconds = value.trim().parse::<i64>();
            name.trim().eq_ignore_ascii_case("max-age") && seconds.is_ok_and(|it| it <= 0)
        });
        self.0.retain(|(known, _)| known != name);
        if !is_taken_back && self.0.len() < COOKIES_MAX {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The field `Cookie` (RFC 6265 section 5.4); none without cookies.
    pub(crate) fn field(&self) -> Option<String> {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_sent_back_until_the_server_takes_them_back() {
        let mut cookies = Cookies::default();
        assert_eq!(cookies.field(), None);
        cookies.set(b"id=1; Path=/; HttpOnly");
        cookies.set(b" theme = dark ");
        cookies.set(b"id=2; Max-Age=60");
        assert_eq!(cookies.field().as_deref(), Some("theme=dark; id=2"));
        for refused in [&b"novalue"[..], b"=x", b"\xff=1", &[&b"long="[..], &[b'x'; 4096]].concat()]
        {
            cookies.set(refused);
        }
        cookies.set(b"theme=; max-age=0");
        assert_eq!(cookies.field().as_deref(), Some("id=2"));
        (0..100).for_each(|number| cookies.set(format!("n{number}=1").as_bytes()));
        assert_eq!(cookies.0.len(), 50);
    }
}
