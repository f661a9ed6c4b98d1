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
    text.len() <= 300 && !text.ends_with('/') && is_http_address(&alloc::format!("{text}/"))
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
