//! Media types (RFC 9110 section 8.3): by file name, and of received content.

use crate::syntax::trim;

/// The media type of a file of this name; `application/octet-stream` for an unknown extension.
pub fn of_name(name: &str) -> &'static str {
    let file = name.rsplit('/').next().unwrap_or(name);
    let Some((_, extension)) = file.rsplit_once('.') else { return UNKNOWN };
    let found = TYPES.iter().find(|(own, _)| own.eq_ignore_ascii_case(extension));
    found.map_or(UNKNOWN, |(_, media_type)| media_type)
}

/// Whether the extension of a file of this name is known.
pub fn is_known(name: &str) -> bool {
    of_name(name) != UNKNOWN
}

/// Type and subtype of a `Content-Type` field's value, without its parameters (RFC 9110 section 8.3.1).
pub fn essence(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    trim(value.get(..end).unwrap_or(value))
}

const UNKNOWN: &str = "application/octet-stream";

/// What sites consist of, the commonest first. Text says its charset, since browsers guess otherwise.
const TYPES: [(&str, &str); 36] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("json", "application/json"),
    ("ico", "image/x-icon"),
    ("txt", "text/plain; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("avif", "image/avif"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("map", "application/json"),
    ("xml", "application/xml"),
    ("htm", "text/html; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("webmanifest", "application/manifest+json"),
    ("atom", "application/atom+xml"),
    ("rss", "application/rss+xml"),
    ("pdf", "application/pdf"),
    ("woff", "font/woff"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("wav", "audio/wav"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("tar", "application/x-tar"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, media_type) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.b/c.PNG", "image/png"),
            ("a.tar.gz", "application/gzip"),
            ("a.js/b", UNKNOWN),
            ("README", UNKNOWN),
            ("a.", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(of_name(name), media_type, "{name}");
        }
    }
}
