//! Mapper: which session a request belongs to.

use crate::percent;
use crate::{ContentLength, Cookie, Method, Request};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// Longest key that a request may choose, in bytes, when it is not an id of ours.
pub const KEY_BYTES_MAX: usize = 128;

/// From a request to the key of its session, and what becomes of equal requests.
pub struct Mapper {
    how: How,
    shares: bool,
}

enum How {
    Cookie { name: &'static str, is_secure: bool },
    Key(Box<KeyOf>),
}

type KeyOf = dyn Fn(&Request) -> Option<Vec<u8>>;

/// What a mapper makes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mapped<'a> {
    /// It shows this value of the cookie, if any: when it is no id that somebody has, a new session is given a new one.
    Cookie(Option<&'a [u8]>),
    /// Its session is the one of this key, which is made if there is none. Whoever knows the key is in the session.
    Key(Vec<u8>),
    /// It has no key, or a longer one than [`KEY_BYTES_MAX`]: it is answered 400.
    None,
}

impl Mapper {
    /// By the cookie `session`, which we give out with a random id.
    pub fn cookie() -> Self {
        Self::cookie_named("session")
    }

    /// By a cookie of this name. One that begins with `__Host-` is sent with every path, so that each route needs a name
    /// of its own.
    ///
    /// # Panics
    /// When the name is no token: no such cookie could be set.
    pub fn cookie_named(name: &'static str) -> Self {
        assert!(Cookie::new(name, "").is_ok(), "{name:?} is a cookie's name");
        How::Cookie { name, is_secure: false }.into()
    }

    /// The cookie is sent over encrypted connections only, also where it was given out over another: for a server behind a
    /// proxy that has TLS. Over TLS of our own it is so by itself. Without effect where no cookie is used.
    #[must_use]
    pub fn secure(mut self) -> Self {
        if let How::Cookie { is_secure, .. } = &mut self.how {
            *is_secure = true;
        }
        self
    }

    /// Equal requests share one answer: a GET that comes while the same target's is not answered yet, as by a reload or in
    /// a second window, is no step of its own. Otherwise it waits for its turn. An answer that is streamed goes to the
    /// last of them, and the others are told so by 409.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shares = true;
        self
    }

    /// By what the query says under this name, decoded.
    pub fn query(name: &'static str) -> Self {
        Self::by(move |request| {
            let limits = crate::forms::Limits::default();
            let form = request.query_form(&limits).ok()?;
            form.get(name).map(|value| value.as_bytes().to_vec())
        })
    }

    /// By the part of the path that the route's pattern names so, decoded.
    pub fn path(name: &'static str) -> Self {
        Self::by(move |request| percent::decode(request.parameter(name)?))
    }

    /// By the peer's address, without its port: all behind one address translator are one.
    pub fn peer() -> Self {
        Self::by(|request| match request.peer().ip()? {
            IpAddr::V4(own) => Some(own.octets().to_vec()),
            IpAddr::V6(own) => Some(own.octets().to_vec()),
        })
    }

    /// By whatever the closure makes of the request.
    pub fn by(key: impl Fn(&Request) -> Option<Vec<u8>> + 'static) -> Self {
        How::Key(Box::new(key)).into()
    }

    /// By this and another key together, neither of which may be a cookie's.
    ///
    /// # Panics
    /// When one of them goes by an id that we give out: that is a key of its own.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let (How::Key(one), How::Key(other)) = (self.how, other.how) else {
            panic!("an id that we give out needs no other key");
        };
        Self::by(move |request| {
            let (one, other) = (one(request)?, other(request)?);
            // With its length in front, so that no two pairs are one key.
            let mut key = (one.len() as u32).to_be_bytes().to_vec();
            key.extend_from_slice(&one);
            key.extend_from_slice(&other);
            Some(key)
        })
    }

    /// The cookie that tells a visitor of his id by this value, sent with paths below `path`.
    /// What was given out over an encrypted connection stays on such ones.
    pub(super) fn cookie_for(&self, value: &str, path: &str, encrypted: bool) -> Option<Cookie> {
        let How::Cookie { name, is_secure } = self.how else { return None };
        let cookie = Cookie::new(name, value).ok()?;
        let cookie = if is_secure || encrypted { cookie.secure() } else { cookie };
        // What promises the path `/` has that.
        Some(cookie.clone().with_path(path).unwrap_or(cookie))
    }

    /// Whether that request may share its answer with equal ones: it changes nothing, and is known by its target.
    pub(super) fn shares(&self, request: &Request) -> bool {
        self.shares
            && request.method() == Method::Get
            && request.content_length() == ContentLength::Empty
    }

    pub(super) fn map<'a>(&self, request: &'a Request) -> Mapped<'a> {
        match &self.how {
            How::Cookie { name, .. } => Mapped::Cookie(request.cookie(name)),
            How::Key(key) => match key(request) {
                Some(key) if key.len() <= KEY_BYTES_MAX => Mapped::Key(key),
                _ => Mapped::None,
            },
        }
    }
}

impl From<How> for Mapper {
    fn from(how: How) -> Self {
        Self { how, shares: false }
    }
}

impl fmt::Debug for Mapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            How::Cookie { name, .. } => write!(f, "Mapper::cookie_named({name:?})"),
            How::Key(_) => f.write_str("Mapper::by(..)"),
        }
    }
}
