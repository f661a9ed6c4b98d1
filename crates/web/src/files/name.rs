//! File names: from a request's path to a name in a tree of files, and nowhere else.

use crate::percent::decode;
use alloc::borrow::Cow;
use alloc::string::String;

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// 400: a broken percent-encoding, a control byte, a backslash, an encoded slash, a `..`, or no text.
    Malformed,
    /// 404: a name that begins with a dot, which is not for clients. `.well-known` is (RFC 8615).
    Hidden,
}

/// The name a request's path stands for: decoded once, without its first slash, without `.` and
/// empty segments, with its last slash if it has one. Empty for the root.
///
/// `..` is refused rather than resolved: clients resolve it before they ask (RFC 3986 section 5.2.4), so who
/// sends it means harm.
///
/// # Errors
/// See [`PathError`].
pub(super) fn normalise(path: &[u8]) -> Result<Cow<'_, str>, PathError> {
    let path = path.strip_prefix(b"/").ok_or(PathError::Malformed)?;
    if is_plain(path) {
        return core::str::from_utf8(path).map(Cow::Borrowed).map_err(|_| PathError::Malformed);
    }
    if has_encoded_slash(path) {
        return Err(PathError::Malformed);
    }
    let decoded = decode(path).ok_or(PathError::Malformed)?;
    if decoded.iter().any(|&byte| byte < 0x20 || byte == 0x7f || byte == b'\\') {
        return Err(PathError::Malformed);
    }
    let text = core::str::from_utf8(&decoded).map_err(|_| PathError::Malformed)?;
    let mut name = String::with_capacity(text.len());
    let mut is_directory = true;
    for (index, segment) in text.split('/').enumerate() {
        is_directory = matches!(segment, "" | ".");
        match segment {
            "" | "." => continue,
            ".." => return Err(PathError::Malformed),
            _ if segment.starts_with('.') && !(index == 0 && segment == ".well-known") => {
                return Err(PathError::Hidden);
            }
            _ => {}
        }
        name.push_str(segment);
        name.push('/');
    }
    if !is_directory {
        name.pop();
    }
    Ok(Cow::Owned(name))
}

/// Whether a path is its own normal form: nothing encoded, no segment that begins with a dot or is empty.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = b'/';
    for &byte in path {
        let plain = match byte {
            b'.' | b'/' => previous != b'/',
            b'%' | b'\\' => false,
            _ => (0x21..0x7f).contains(&byte),
        };
        if !plain {
            return false;
        }
        previous = byte;
    }
    true
}

fn has_encoded_slash(path: &[u8]) -> bool {
    path.windows(3).any(|window| matches!(window, [b'%', b'2', b'f' | b'F']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (path, name) in [
            ("/", ""),
            ("/a", "a"),
            ("/a/", "a/"),
            ("/a/b.c", "a/b.c"),
            ("//a///b", "a/b"),
            ("/./a/./b/.", "a/b/"),
            ("/a%20b", "a b"),
            ("/%61", "a"),
            ("/%2561", "%61"),
            ("/%e2%82%ac/", "\u{20ac}/"),
            ("/.well-known/x", ".well-known/x"),
            ("/a.", "a."),
            ("/a..b", "a..b"),
        ] {
            assert_eq!(normalise(path.as_bytes()).as_deref(), Ok(name), "{path}");
        }
    }

    #[test]
    fn nothing_outside_the_tree() {
        for path in [
            "",
            "a",
            "*",
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/%2e%2e/a",
            "/.%2e/a",
            "/%2E./a",
            "/..%2fa",
            "/a%2fb",
            "/a\\..\\b",
            "/..%5ca",
            "/a%5Cb",
            "/a%00b",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/a%0a",
            "/%7f",
            "/%ff",
            "/%c0%ae%c0%ae/a",
        ] {
            assert_eq!(normalise(path.as_bytes()), Err(PathError::Malformed), "{path}");
        }
        for path in
            ["/.git/config", "/a/.htaccess", "/%2egit", "/a/.well-known/x", "/...", "/.well-known2"]
        {
            assert_eq!(normalise(path.as_bytes()), Err(PathError::Hidden), "{path}");
        }
    }
}
