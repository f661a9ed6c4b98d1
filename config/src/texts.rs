//! Texts: what hosts, paths and addresses look like that a key or a word may hold.

use core::net::Ipv6Addr;

/// An `http` or `https` URI of a host, a port if it is not 80 or 443, and a path that needs no decoding (RFC 9110 sections
/// 4.2.1 and 4.2.2).
pub(crate) fn is_http_address(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some((authority, path)) = rest.and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().is_ok()),
        _ => (authority, true),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    port && is_host_text(host) && path.bytes().all(is_plain)
}

/// The origin of a page as a browser sends it (RFC 6454 section 6.2): a scheme, a host, and a port if it is not the scheme's own.
pub(crate) fn is_origin(text: &str) -> bool {
    is_http_address(&alloc::format!("{text}/")) && text.matches('/').count() == 2
}

/// RFC 1123 section 2.1: one label of a host name.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// What a `Host` field may say: a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn is_host_text(text: &str) -> bool {
    match text.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok()),
        None => text.len() <= 253 && text.split('.').all(is_label),
    }
}

/// Where a Unix-domain socket is (unix(7)): an absolute path, or a name in Linux' abstract namespace after `@`. None of its
/// characters has to be escaped in references.
pub(crate) fn is_unix_path(text: &str) -> bool {
    let is_named = text.starts_with('@') || text.starts_with('/') && !text.ends_with('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~+,=:@".contains(&byte);
    is_named && (2..=107).contains(&text.len()) && text.bytes().all(is_plain)
}

/// One path of the web server, of letters that need no decoding (RFC 3986 section 2.3) and are no pattern's.
pub(crate) fn is_web_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    text.starts_with('/') && text.len() <= 200 && text.bytes().all(is_plain)
}

/// A name of hosts: as a `Host` field has it, or `*.` and what a name ends with.
pub(crate) fn is_host_pattern(text: &str) -> bool {
    is_host_text(text.strip_prefix("*.").unwrap_or(text))
}

/// A pattern of paths of the web server, as `web::files::rules` takes them.
pub(crate) fn is_path_pattern(text: &str) -> bool {
    const ASTERISKS_MAX: usize = 4;
    let is_bounded = text.len() <= 200 && text.matches('*').count() <= ASTERISKS_MAX;
    text.starts_with(['/', '*']) && is_bounded && !text.contains(char::is_control)
}

/// A token (RFC 9110 section 5.6.2), such as a field's name.
pub(crate) fn is_field_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(is_token)
}

/// The value of a field `Cache-Control` (RFC 9111 section 5.2), or nothing.
pub(crate) fn is_cache_control(text: &str) -> bool {
    text.len() <= 200 && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// A path inside the bundle: relative, without empty or dotted parts.
pub(crate) fn is_path(text: &str) -> bool {
    text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !text.contains('\0')
}

/// A reference, a target or `capability:NAME`, which is not looked into here: one word with a colon, in which nothing has to be
/// escaped.
pub(crate) fn is_place(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    text.len() <= 1500 && text.contains(':') && text.bytes().all(is_plain)
}

/// A path at which a socket can be, in one word: as long as the kernel takes one (unix(7), `sun_path` with its last zero).
pub(crate) fn is_socket_path_or_none(text: &str) -> bool {
    let is_word = !text.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    let has_escapes = text.contains(['"', '\\']);
    text.len() <= 107 && is_word && !has_escapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::ToString};

    #[track_caller]
    fn judge(is: fn(&str) -> bool, taken: &[&str], refused: &[&str]) {
        for text in taken {
            assert!(is(text), "{text:?} is taken");
        }
        for text in refused {
            assert!(!is(text), "{text:?} is refused");
        }
    }

    /// A text of so many bytes that begins and ends so.
    fn long(start: &str, end: &str, bytes: usize) -> std::string::String {
        format!("{start}{}{end}", "a".repeat(bytes - start.len() - end.len()))
    }

    #[test]
    fn an_origin_has_a_scheme_a_host_and_no_path() {
        // Four labels of 63 bytes at most are a host of 253 bytes: an origin of 261, which a port cannot bring to 300.
        let host =
            [long("", "", 63), long("", "", 63), long("", "", 63), long("", "", 61)].join(".");
        let longest = format!("https://{host}:65535");
        judge(
            is_origin,
            &["https://app.example", "http://10.9.0.2:8080", "http://[fd00::2]:1", &longest],
            &[
                "",
                "https://app.example/",
                "https://app.example/a",
                "https:///",
                "https://",
                "https:/a",
                "https:a",
                "app.example",
                "wss://app.example",
                "https://app.example:70000",
                "https://a b",
                "null",
                &long("https://", "", 301),
            ],
        );
    }

    #[test]
    fn a_path_of_the_web_server_is_absolute_and_plain() {
        judge(
            is_web_path,
            &["/", "/rpc", "/a-b_c.d~/E9", &long("/", "", 200)],
            &["", "rpc", "/a b", "/a:b", "/a*", "/a%20", "/ä", "/a?b", &long("/", "", 201)],
        );
    }

    #[test]
    fn a_place_is_one_word_with_a_colon() {
        judge(
            is_place,
            &["unix:/run/names.sock", "capability:keeper", ":", &long("a:", "", 1500)],
            &["", "keeper", "a: b", "a:\"b", "a:\\b", "a:\n", "ä:b", &long("a:", "", 1501)],
        );
    }

    #[test]
    fn a_path_of_a_socket_is_as_long_as_the_kernel_takes_one() {
        judge(
            is_socket_path_or_none,
            &["", "a", "/run/ä", &long("/", "", 107)],
            &["/a b", "/a\tb", "/a\0", "/a\"", "/a\\", &long("/", "", 108)],
        );
        judge(
            is_unix_path,
            &["@a", "/a", "/run/b-c._~+,=:@", &long("/", "", 107), &long("@", "", 107)],
            &["", "@", "/", "a", "a/b", "/a/", "/a b", "/ä", "/a*", &long("/", "", 108)],
        );
    }

    #[test]
    fn a_host_is_a_name_of_labels_or_an_address() {
        let label = |bytes| long("", "", bytes);
        let name = |last| [label(63), label(63), label(63), label(last)].join(".");
        judge(
            is_host_text,
            &["a", "A-9.example", "10.9.0.2", "[::1]", &label(63), &name(61)],
            &[
                "",
                ".",
                "a.",
                "-a",
                "a-",
                "a_b",
                "a..b",
                "[a]",
                "[::1",
                "::1]",
                &label(64),
                &name(62),
            ],
        );
        judge(
            is_host_pattern,
            &["*.a", "a", "*.shop.example"],
            &["", "*", "*.", "*a", "*.*.a", "a.*", "**.a"],
        );
    }

    #[test]
    fn a_pattern_of_paths_has_four_asterisks_at_most() {
        judge(
            is_path_pattern,
            &["/", "*", "/a*b*c*d*", "*.js", "/a b", &long("/", "", 200)],
            &["", "a", ".js", "/*a*b*c*d*", "/a\n", &long("/", "", 201)],
        );
    }

    #[test]
    fn names_and_values_of_fields_are_bounded() {
        judge(
            is_field_name,
            &["a", "X-Frame-Options", "!#$%&'*+-.^_`|~", &long("", "", 100)],
            &["", "a b", "a:", "a\"", "ä", "a/b", "(a)", &long("", "", 101)],
        );
        judge(
            is_cache_control,
            &["", "public, max-age=1", &long("", "", 200)],
            &["a\tb", "a\n", "ä", &long("", "", 201)],
        );
    }

    #[test]
    fn a_path_of_the_bundle_is_relative() {
        judge(
            is_path,
            &["a", "tls/cert.pem", ".a", "a/..b", "ä b"],
            &["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/../b", "a\0b"],
        );
    }

    #[test]
    fn an_address_of_the_web_needs_no_decoding() {
        judge(
            is_http_address,
            &["http://a/", "https://a:65535/b-c._~/d", "http://[::1]/", "http://[::1]:80/"],
            &[
                "http://a",
                "ftp://a/",
                "a/",
                "http://a:/",
                "http://a:65536/",
                "http://[::1/",
                "http://a/?b",
            ],
        );
        assert!(!is_label(&"a".repeat(64).to_string()) && is_label("a"));
    }
}
