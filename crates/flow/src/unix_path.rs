//! Path of a Unix-domain socket, as targets, settings and references write it.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;

/// Where a Unix-domain socket is (unix(7)): an absolute path of the file system, as `/run/aqueduct/http.sock`, or a name in
/// Linux' abstract namespace after `@`, as `@aqueduct`.
///
/// At most [`UNIX_PATH_BYTES_MAX`] bytes: letters, digits and `/-._~+,=:@`. Nothing of it has to be escaped where it is
/// written, which includes the URIs of sturdy references.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixPath(Box<str>);

/// Longest path of a Unix-domain socket in bytes: the 108 of `sun_path` (unix(7)) without the final zero.
pub const UNIX_PATH_BYTES_MAX: usize = 107;

impl UnixPath {
    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in the abstract namespace, if it is one.
    pub fn abstract_name(&self) -> Option<&str> {
        self.0.strip_prefix('@')
    }
}

impl fmt::Display for UnixPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no [`UnixPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadUnixPath;

impl fmt::Display for BadUnixPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected an absolute path or @NAME, of at most 107 letters, digits and `/-._~+,=:@`",
        )
    }
}

impl core::error::Error for BadUnixPath {}

impl FromStr for UnixPath {
    type Err = BadUnixPath;

    fn from_str(text: &str) -> Result<Self, BadUnixPath> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~+,=:@".contains(&byte);
        let is_named = text.starts_with('@') || text.starts_with('/') && !text.ends_with('/');
        let fits = (2..=UNIX_PATH_BYTES_MAX).contains(&text.len());
        if fits && is_named && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned().into_boxed_str()))
        } else {
            Err(BadUnixPath)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_parse_and_print() {
        let longest = alloc::format!("/{}", "x".repeat(106));
        for text in ["/a", "/run/aqueduct/http.sock", "@a", "@aqueduct/http", "/a:b@c", &longest] {
            let path: UnixPath = text.parse().unwrap();
            assert_eq!((path.as_str(), &*alloc::format!("{path}")), (text, text));
            assert_eq!(path.abstract_name(), text.strip_prefix('@'));
        }
    }

    #[test]
    fn what_is_no_place_or_would_have_to_be_escaped_is_refused() {
        let long = alloc::format!("/{}", "x".repeat(107));
        for text in
            ["", "/", "@", "a", "a/b", "./a", "/a/", "/a b", "/a\"", "/a%20", "/a?", "/ä", &long]
        {
            assert_eq!(text.parse::<UnixPath>(), Err(BadUnixPath), "{text}");
        }
    }
}
