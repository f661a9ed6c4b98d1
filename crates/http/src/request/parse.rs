//! Request head parser (RFC 9112 sections 3 and 5).

use crate::head::{Framing, parse_fields};
use crate::{Error, Limits};
use core::net::Ipv6Addr;
use core::str;
use web::fields::Span;
use web::syntax::{host_len, path_len, target_len, token_end};
use web::{Method, Parts, Version};

/// Parses a request head at the start of `bytes` into `parts` and `framing`, all but its copy of the bytes.
///
/// Returns the head's length; `None` when `bytes` ends before the head does. Offsets count from
/// the start of `bytes`.
pub(crate) fn parse_request(
    bytes: &[u8],
    limits: &Limits,
    parts: &mut Parts,
    framing: &mut Framing,
) -> Result<Option<usize>, Error> {
    parts.section.fields.clear();
    *framing = Framing::default();
    let bytes = bytes.get(..usize::from(limits.header_bytes_max)).unwrap_or(bytes);
    // RFC 9112 section 2.2: ignore at least one empty line before the request line.
    let start = match bytes {
        b"\r" => return Ok(None),
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    let Some(at) = parse_line(bytes, start, limits, parts)? else { return Ok(None) };
    let fields_max = limits.headers_max;
    let Some(end) = parse_fields(bytes, at, fields_max, &mut parts.section.fields, framing)? else {
        return Ok(None);
    };
    check_host(bytes, parts, framing)?;
    Ok(Some(end))
}

/// Parses the request line at `start`; where the next line begins.
fn parse_line(
    bytes: &[u8],
    start: usize,
    limits: &Limits,
    line: &mut Parts,
) -> Result<Option<usize>, Error> {
    let method_end = token_end(bytes, start);
    match bytes.get(method_end) {
        Some(b' ') if method_end > start => {}
        Some(_) => return Err(Error::StartLine),
        None => return Ok(None),
    }
    let target_start = method_end + 1;
    let target_end = target_start + target_len(bytes.get(target_start..).unwrap_or(&[]));
    let line_max = start + usize::from(limits.request_line_bytes_max);
    if target_end > line_max {
        return Err(Error::TargetTooLong);
    }
    let Some(version) = parse_version(bytes.get(target_end..).unwrap_or(&[]))? else {
        return Ok(None);
    };
    if target_end == target_start {
        return Err(Error::StartLine);
    }
    if target_end + VERSION_BYTES - 2 > line_max {
        return Err(Error::TargetTooLong);
    }
    line.version = version;
    line.method_name = Span::new(start, method_end);
    line.method = Method::from_name(line.method_name.of(bytes));
    line.target = Span::new(target_start, target_end);
    split_target(bytes, line)?;
    Ok(Some(target_end + VERSION_BYTES))
}

/// Bytes of the version, the SP before it and the CRLF after it.
const VERSION_BYTES: usize = 11;

/// The version after the target.
fn parse_version(rest: &[u8]) -> Result<Option<Version>, Error> {
    const FORM: &[u8; VERSION_BYTES] = b" HTTP/1.1\r\n";
    match rest.first_chunk::<VERSION_BYTES>() {
        Some(FORM) => return Ok(Some(Version::Http11)),
        Some(b" HTTP/1.0\r\n") => return Ok(Some(Version::Http10)),
        _ => {}
    }
    for (index, (&byte, &expected)) in rest.iter().zip(FORM).enumerate() {
        let fits = match index {
            6 | 8 => byte.is_ascii_digit(),
            _ => byte == expected,
        };
        if !fits {
            return Err(Error::StartLine);
        }
    }
    match rest.first_chunk::<VERSION_BYTES>() {
        // RFC 9110 section 2.5: a higher minor version is served as the highest we know.
        Some([_, _, _, _, _, _, b'1', ..]) => Ok(Some(Version::Http11)),
        // RFC 9110 section 15.6.6: another major version.
        Some(_) => Err(Error::UnsupportedVersion),
        None => Ok(None),
    }
}

/// Splits the target by its form (RFC 9112 section 3.2).
fn split_target(bytes: &[u8], line: &mut Parts) -> Result<(), Error> {
    let target = line.target.of(bytes);
    let start = usize::from(line.target.start);
    let end = start + target.len();
    line.authority = Span::default();
    line.query = None;
    let path_start = match (line.method, target) {
        (Method::Connect, _) => {
            // RFC 9112 section 3.2.3: only CONNECT, and CONNECT only, has authority-form; its port is not optional.
            if !is_authority(target)
                || !target.last().is_some_and(u8::is_ascii_digit)
                || !target.contains(&b':')
            {
                return Err(Error::Target);
            }
            line.authority = line.target;
            line.path = Span::new(start, start);
            return Ok(());
        }
        (_, [b'/', ..]) => start,
        // RFC 9112 section 3.2.4: only OPTIONS may ask about the server as a whole.
        (Method::Options, b"*") => start,
        _ => {
            line.authority = absolute_authority(target, start)?;
            if !is_authority(line.authority.of(bytes)) {
                return Err(Error::Target);
            }
            usize::from(line.authority.start) + usize::from(line.authority.len)
        }
    };
    let rest = bytes.get(path_start..end).unwrap_or(&[]);
    let path_len = path_len(rest);
    line.path = Span::new(path_start, path_start + path_len);
    if path_len < rest.len() {
        line.query = Some(Span::new(path_start + path_len + 1, end));
    }
    Ok(())
}

/// Where the authority of an absolute-form target stands.
fn absolute_authority(target: &[u8], start: usize) -> Result<Span, Error> {
    let scheme_len = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| {
            target.get(..scheme.len()).is_some_and(|own| own.eq_ignore_ascii_case(scheme))
        })
        .ok_or(Error::Target)?
        .len();
    let rest = target.get(scheme_len..).unwrap_or(&[]);
    let len = rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
    // RFC 9110 section 4.2.1: an http URI with an empty host is invalid.
    if len == 0 || rest.first() == Some(&b':') {
        return Err(Error::Target);
    }
    Ok(Span::new(start + scheme_len, start + scheme_len + len))
}

fn check_host(bytes: &[u8], parts: &mut Parts, framing: &Framing) -> Result<(), Error> {
    let Some(host) = framing.host else {
        // RFC 9112 section 3.2: an HTTP/1.1 request without Host, reject.
        return if parts.version == Version::Http11 { Err(Error::Host) } else { Ok(()) };
    };
    if !is_authority(host.of(bytes)) {
        return Err(Error::Host);
    }
    if parts.authority.len == 0 {
        parts.authority = host;
        return Ok(());
    }
    // RFC 9112 section 3.2.2: the target's authority replaces the received Host. Replaced in the
    // field itself, so that nobody can be led to the other one.
    for field in parts.section.fields.iter_mut().filter(|field| field.value == host) {
        field.value = parts.authority;
    }
    Ok(())
}

/// `uri-host [":" port]` of RFC 9110 section 7.2; may be empty. No user information (section 4.2.4).
pub(crate) fn is_authority(bytes: &[u8]) -> bool {
    let host_len = match bytes {
        [b'[', rest @ ..] => {
            let Some(close) = rest.iter().position(|&byte| byte == b']') else { return false };
            if !is_literal(rest.get(..close).unwrap_or(&[])) {
                return false;
            }
            close + 2
        }
        _ => {
            let len = host_len(bytes);
            if !is_encoded(bytes.get(..len).unwrap_or(&[])) {
                return false;
            }
            len
        }
    };
    match bytes.get(host_len..) {
        Some([]) => true,
        Some([b':', port @ ..]) => is_port(port),
        _ => false,
    }
}

/// What stands between the brackets of an IP literal (RFC 3986 section 3.2.2): an address of IPv6, without a zone, or one
/// of a version to come.
fn is_literal(inside: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = inside {
        let dot = rest.iter().position(|&byte| byte == b'.');
        let parts = dot.and_then(|dot| Some((rest.get(..dot)?, rest.get(dot + 1..)?)));
        return parts.is_some_and(|(version, address)| {
            let is_version = !version.is_empty() && version.iter().all(u8::is_ascii_hexdigit);
            let names = address.split(|&byte| byte == b':');
            let is_address = names.into_iter().all(|name| host_len(name) == name.len());
            is_version && !address.is_empty() && is_address && !address.contains(&b'%')
        });
    }
    str::from_utf8(inside).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Whether each percent sign begins an encoded byte (RFC 3986 section 2.1).
fn is_encoded(name: &[u8]) -> bool {
    let mut parts = name.split(|&byte| byte == b'%').skip(1);
    parts.all(|part| {
        part.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Digits, possibly none (RFC 3986 section 3.2.3), of a number that TCP has.
fn is_port(digits: &[u8]) -> bool {
    let number = digits.iter().try_fold(0u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.is_some()
}

/// The host of an authority, without its port; an address of IPv6 keeps its brackets.
pub(crate) fn host_of(authority: &[u8]) -> &[u8] {
    let end = match authority.iter().position(|&byte| byte == b']') {
        Some(bracket) => Some(bracket + 1),
        None => authority.iter().position(|&byte| byte == b':'),
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_7_2_host_is_a_name_and_a_port() {
        for good in [
            "",
            "a",
            "a.example:80",
            "10.0.0.1",
            "[::1]",
            "[fe80::1]:8080",
            "a:",
            "x_y",
            "a.example.",
            "[::ffff:10.0.0.1]",
            "[v1.a:b]",
            "a:00080",
            "a:65535",
            "caf%C3%A9",
            "a!$&'()*+,;=b",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            "a/b",
            "u@h",
            "a:b",
            "a:1:2",
            "[::1",
            "[]",
            "[g]",
            "a\\b",
            "a,b c",
            "[::1]x",
            "a:65536",
            "a:123456",
            "a:+80",
            "a:-1",
            "[1.2.3.4]",
            "[:::]",
            "[1:2:3:4:5:6:7:8:9]",
            "[12345::]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[v.a]",
            "[v1.]",
            "[v1a]",
            "[vg.a]",
            "a%",
            "a%4",
            "a%zz",
            "%%41",
            "[::1]]",
            "[[::1]]",
            "a[::1]",
            "::1",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
