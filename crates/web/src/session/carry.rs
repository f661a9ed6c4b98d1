//! Sessions that outlive a restart: what they saved is taken along when the appliance stops, and sessions that begin where
//! it comes back are given it.
//!
//! Coroutines cannot be written down; what a session wants to keep it [saves](Session::save), and takes up again by
//! [`Session::resumed`]. A session whose visitor never comes back costs its saved bytes only.

use super::store::Key;
use super::{Session, SessionHost, SessionId};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The layout of an archive; another one is refused.
const VERSION: u32 = 1;

/// Why a value was not saved. What was saved before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// It takes more bytes than [`Limits::saved_bytes_max`](super::Limits::saved_bytes_max).
    TooLong,
    /// It cannot be written as JSON, such as a map whose keys are no texts.
    NotJson,
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the session has more to save than it may",
            Self::NotJson => "the session's state cannot be written as JSON",
        })
    }
}

impl core::error::Error for SaveError {}

/// Bytes that are no archive of sessions, and what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadArchive(String);

impl fmt::Display for BadArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no archive of sessions: {}", self.0)
    }
}

impl core::error::Error for BadArchive {}

/// What a session saved, and how long that is good.
pub(super) struct Saved {
    pub(super) state: Box<str>,
    pub(super) good_until: Duration,
}

#[derive(Serialize, Deserialize)]
struct Archive {
    version: u32,
    sessions: Vec<Archived>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Archived {
    route: String,
    /// See [`key_text`].
    key: String,
    /// How long its visitor has not come.
    idle_seconds: u64,
    /// As JSON: its shape is the application's.
    state: String,
}

impl Archived {
    pub(super) fn new(route: &str, key: &Key, idle: Duration, state: &str) -> Self {
        let (route, state) = (route.to_owned(), state.to_owned());
        Self { route, key: key_text(key), idle_seconds: idle.as_secs(), state }
    }
}

impl Session {
    /// Says what is to be there after a restart, in place of what was said before. A session that ends because the
    /// appliance stops (it returns the [`Ended::ShuttingDown`](super::Ended) that it was given) or is still there then is
    /// resumed with it. As JSON, so that a later version of the application may read what an earlier one wrote.
    ///
    /// # Errors
    /// When it cannot be written, or is too long.
    pub fn save(&self, state: &impl Serialize) -> Result<(), SaveError> {
        let state = serde_json::to_string(state).map_err(|_| SaveError::NotJson)?;
        if state.len() > self.store.host.limits().saved_bytes_max {
            return Err(SaveError::TooLong);
        }
        self.entry.extras().saved.replace(Some(state.into()));
        Ok(())
    }

    /// What this session saved before a restart, once. None for a session that begins, or if what was saved is nothing
    /// that `T` can be read from, which the log says.
    pub fn resumed<T: DeserializeOwned>(&self) -> Option<T> {
        let state = self.entry.known_extras()?.resumed.take()?;
        match serde_json::from_str(&state) {
            Ok(state) => Some(state),
            Err(error) => {
                let (number, route) = (self.entry.number, self.store.route);
                log::warn!("session {number} on {route}: what it saved does not fit: {error}");
                None
            }
        }
    }
}

impl SessionHost {
    /// What sessions saved that ended as the appliance stopped, or are still there: see [`Session::save`]. Ids are in it:
    /// who reads it can be any of the visitors.
    pub fn archive(&self) -> Vec<u8> {
        let sessions = self.stores().flat_map(|store| store.archived()).collect();
        let archive = Archive { version: VERSION, sessions };
        serde_json::to_vec(&archive).expect("it has texts and numbers only")
    }

    /// Whether [`archive`](Self::archive) would have anything of a session.
    pub fn has_archived(&self) -> bool {
        self.stores().any(|store| store.has_archived())
    }

    /// Takes up what [`archive`](Self::archive) gave before a restart, for routes of the same patterns; says how many
    /// sessions may go on. Those of other routes, and those that nobody visited for too long, are left out.
    ///
    /// # Errors
    /// When the bytes are no archive: nothing is taken up then.
    pub fn restore(&self, archive: &[u8]) -> Result<usize, BadArchive> {
        let bad = |error: serde_json::Error| BadArchive(format!("{error}"));
        let Archive { version, sessions } = serde_json::from_slice(archive).map_err(bad)?;
        if version != VERSION {
            return Err(BadArchive(format!("its version is {version}, not {VERSION}")));
        }
        let keyed = |session: Archived| match key_of_text(&session.key) {
            Some(key) => Ok((key, session)),
            None => Err(BadArchive(format!("a key is {:?}", session.key))),
        };
        let sessions = sessions.into_iter().map(keyed).collect::<Result<Vec<_>, _>>()?;
        let mut restored = 0;
        for (key, session) in sessions {
            let Archived { route, idle_seconds, state, .. } = session;
            let idle = Duration::from_secs(idle_seconds);
            let store = self.stores().find(|store| store.route == route);
            restored +=
                usize::from(store.is_some_and(|store| store.resume_later(key, idle, &state)));
        }
        Ok(restored)
    }
}

/// `id DIGITS` or `key HEX`, since keys are bytes.
fn key_text(key: &Key) -> String {
    match key {
        Key::Id(id) => format!("id {}", id.as_str()),
        Key::Chosen(bytes) => {
            bytes.iter().fold(String::from("key "), |text, byte| text + &format!("{byte:02x}"))
        }
    }
}

fn key_of_text(text: &str) -> Option<Key> {
    let (kind, text) = text.split_once(' ')?;
    match kind {
        "id" => SessionId::of_value(text.as_bytes()).map(Key::Id),
        "key" => {
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            let byte = |pair: &[u8; 2]| {
                let text = core::str::from_utf8(pair).ok()?;
                u8::from_str_radix(text, 16).ok()
            };
            let bytes = pairs.iter().map(byte).collect::<Option<_>>()?;
            rest.is_empty().then_some(Key::Chosen(bytes))
        }
        _ => None,
    }
}
