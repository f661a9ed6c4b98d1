//! Basic authentication (RFC 7617).

use crate::syntax::trim;
use crate::{Answer, Layer, Request, RequestHead, Response, Status, layer::Inner};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use core::fmt;
use subtle::{Choice, ConstantTimeEq};

/// Longest credentials, encoded, in bytes: longer ones are wrong.
pub const CREDENTIALS_BYTES_MAX: usize = 1024;

/// Lets requests through that show a user's name and password; all others are answered 401 with a challenge (RFC 9110
/// section 15.5.2). The password goes over the wire as it is: use it behind TLS only. Whoever guesses is slowed down by a
/// [`RateLimit`](super::RateLimit) outside of this layer.
pub struct BasicAuth {
    challenge: String,
    is_known: Box<IsKnown>,
}

type IsKnown = dyn Fn(&Credentials) -> bool;

impl BasicAuth {
    /// Lets these users in. Names and passwords are compared in a time that says nothing of them. The
    /// realm is what clients show their user.
    ///
    /// # Panics
    /// When a name has a colon, which no client could send (RFC 7617 section 2).
    pub fn of<'a>(realm: &str, users: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let users: Vec<_> = users
            .into_iter()
            .map(|(user, password)| Credentials { user: user.into(), password: password.into() })
            .collect();
        assert!(users.iter().all(|known| !known.user.contains(':')), "a user's name has no colon");
        Self::by(realm, move |shown| {
            // All are compared, so that the time does not tell which was like it.
            users.iter().fold(Choice::from(0), |any, known| any | known.is_shown_by(shown)).into()
        })
    }

    /// Lets in whom `is_known` knows. It should take the same time whoever it is.
    pub fn by(realm: &str, is_known: impl Fn(&Credentials) -> bool + 'static) -> Self {
        // A quoted string (RFC 9110 section 5.6.4).
        let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = alloc::format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
        Self { challenge, is_known: Box::new(is_known) }
    }

    fn challenge(&self) -> Response {
        Response::plain(Status::UNAUTHORIZED).with_header("WWW-Authenticate", &self.challenge)
    }
}

impl Layer for BasicAuth {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        match Credentials::of(&request) {
            Some(shown) if (self.is_known)(&shown) => inner.answer(request).map(|mut reply| {
                // Who is known may change.
                reply.response.forbid_repeating();
                reply
            }),
            _ => Answer::Now(self.challenge().into()),
        }
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BasicAuth({})", self.challenge)
    }
}

/// A user's name and password, as a request shows them.
pub struct Credentials {
    /// The name; without a colon.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// Those of a request; `None` if it shows none, or not as RFC 7617 section 2 says, in UTF-8 and without control
    /// characters. Inside of a [`BasicAuth`] it tells a handler who asks.
    pub fn of(request: &RequestHead) -> Option<Credentials> {
        let value = request.header("authorization")?;
        let (scheme, token) = value.split_at_checked(b"Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") || token.len() > CREDENTIALS_BYTES_MAX {
            return None;
        }
        let token = core::str::from_utf8(trim(token)).ok()?;
        let text = String::from_utf8(Base64::decode_vec(token).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        let is_plain = !text.chars().any(char::is_control);
        is_plain.then(|| Credentials { user: user.into(), password: password.into() })
    }

    fn is_shown_by(&self, shown: &Credentials) -> Choice {
        is_same(&self.user, &shown.user) & is_same(&self.password, &shown.password)
    }
}

/// Not the password, for logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, ..)", self.user)
    }
}

/// Takes a time that depends on the length of what is shown only.
fn is_same(known: &str, shown: &str) -> Choice {
    let mut same = (known.len() as u64).ct_eq(&(shown.len() as u64));
    for (at, byte) in shown.bytes().enumerate() {
        // What is shorter is compared all the same.
        let own = known.as_bytes().get(at).copied().unwrap_or(0);
        same &= own.ct_eq(&byte);
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use crate::{Body, Handler};
    use flow::Address;
    use flow::task::block_on;

    async fn page(_: Request) -> Response {
        Response::ok("text/plain", "inside").repeatable()
    }

    fn asked(authorization: Option<&str>) -> Response {
        let layer =
            BasicAuth::of("a \"b\" \\", [("Aladdin", "open sesame"), ("test", "123\u{a3}")]);
        let fields = authorization.map(|value| ("Authorization", value));
        let head = parsed("GET", "/", fields.as_slice());
        let request = Request::new(head, Body::empty(), Address::Memory(0));
        block_on(page.layer(layer).answer(request).into_future()).response
    }

    fn basic(text: &str) -> String {
        String::from("Basic ") + &Base64::encode_string(text.as_bytes())
    }

    #[test]
    fn rfc7617_2_who_is_known_gets_in() {
        for value in [
            // The RFC's own examples, the second of section 2.1.
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic dGVzdDoxMjPCow==",
        ] {
            let response = asked(Some(value));
            assert_eq!((response.status(), response.is_repeatable()), (Status::OK, false));
        }
    }

    #[test]
    fn rfc9110_11_6_1_everybody_else_is_challenged() {
        let refused = [
            None,
            Some("Basic"),
            Some("Basic "),
            Some("BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Some("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ"),
            Some("Basic QWxhZGRpbg=="),
            Some("Basic !!!!"),
        ];
        for value in refused {
            let response = asked(value);
            assert_eq!(response.status(), Status::UNAUTHORIZED, "{value:?}");
            let challenge = b"Basic realm=\"a \\\"b\\\" \\\\\", charset=\"UTF-8\"";
            assert_eq!(response.header("www-authenticate"), Some(&challenge[..]));
        }
        for text in [
            "Aladdin:open sesam",
            "Aladdin:open sesame1",
            "Aladdin:open sesame\0",
            "aladdin:open sesame",
            "Aladdi:open sesame",
            "Aladdin:123\u{a3}",
            "Aladdin:",
            ":",
        ] {
            assert_eq!(asked(Some(&basic(text))).status(), Status::UNAUTHORIZED, "{text}");
        }
    }

    #[test]
    fn rfc7617_2_a_password_may_have_colons_and_no_control_characters() {
        let shown = |text: &str| {
            let head = parsed("GET", "/", &[("Authorization", &basic(text))]);
            Credentials::of(&head).map(|shown| (shown.user, shown.password))
        };
        assert_eq!(shown("a:b:c"), Some(("a".into(), "b:c".into())));
        assert_eq!(shown(":b"), Some((String::new(), "b".into())));
        assert_eq!((shown("a"), shown("a:b\n")), (None, None));
        let longest = alloc::format!("a:{}", "b".repeat(CREDENTIALS_BYTES_MAX / 4 * 3 - 2));
        assert!(shown(&longest).is_some());
        assert_eq!(shown(&(longest + "b")), None);
    }
}
