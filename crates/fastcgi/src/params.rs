//! CGI variables (RFC 3875 section 4.1): from a request's parameters to its head.

use crate::pairs::Pairs;
use crate::{Error, Limits};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::str;
use web::fields::{Field, HEAD_BYTES_MAX, Span, is_selecting};
use web::syntax::{is_name, is_token, path_len, target_len, trim, value_end};
use web::{Method, Parts, Version};

/// What the variables say beside the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Who asks; none if it is nobody on an IP network.
    pub(crate) client: Option<SocketAddr>,
    /// How much content follows; none if that is known when it comes.
    pub(crate) content_bytes: Option<u64>,
}

/// Fills an empty head from a request's variables.
///
/// Of a variable that is there twice the last counts, as web servers are configured by adding lines.
pub(crate) fn read(params: &[u8], limits: &Limits, parts: &mut Parts) -> Result<Said, Error> {
    let mut variables = Variables::default();
    for (index, pair) in Pairs(params).enumerate() {
        if index >= usize::from(limits.params_max) {
            return Err(Error::HeadTooLarge);
        }
        let (name, value) = pair?;
        match name.strip_prefix(b"HTTP_") {
            Some(name) => put_field(parts, name, value)?,
            None => variables.take(name, value)?,
        }
    }
    variables.fill(parts)?;
    let content_bytes = variables.content_bytes;
    Ok(Said { client: variables.client(), content_bytes })
}

/// The variables that are no fields of the client.
#[derive(Default)]
struct Variables<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    script_name: &'a [u8],
    path_info: &'a [u8],
    query: &'a [u8],
    protocol: &'a [u8],
    server_name: &'a [u8],
    server_port: &'a [u8],
    remote_address: &'a [u8],
    remote_port: &'a [u8],
    https: &'a [u8],
    content_type: &'a [u8],
    content_bytes: Option<u64>,
    content_length: &'a [u8],
}

impl<'a> Variables<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Error> {
        let place = match name {
            b"REQUEST_METHOD" => &mut self.method,
            b"REQUEST_URI" => &mut self.uri,
            b"SCRIPT_NAME" => &mut self.script_name,
            b"PATH_INFO" => &mut self.path_info,
            b"QUERY_STRING" => &mut self.query,
            b"SERVER_PROTOCOL" => &mut self.protocol,
            b"SERVER_NAME" => &mut self.server_name,
            b"SERVER_PORT" => &mut self.server_port,
            b"REMOTE_ADDR" => &mut self.remote_address,
            b"REMOTE_PORT" => &mut self.remote_port,
            b"HTTPS" => &mut self.https,
            b"CONTENT_TYPE" => &mut self.content_type,
            b"CONTENT_LENGTH" => return self.take_length(value),
            // What is of use on the web server's machine only, as DOCUMENT_ROOT.
            _ => return Ok(()),
        };
        *place = value;
        Ok(())
    }

    /// RFC 3875 section 4.1.2: digits, or nothing where there is no content.
    fn take_length(&mut self, value: &'a [u8]) -> Result<(), Error> {
        if value.is_empty() {
            return Ok(());
        }
        let digits = value.iter().all(u8::is_ascii_digit).then_some(value);
        let length = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        let length = length.ok_or(Error::ContentLength)?;
        // Two lengths are two messages: which was meant nobody knows.
        if self.content_bytes.is_some_and(|known| known != length) {
            return Err(Error::ContentLength);
        }
        self.content_bytes = Some(length);
        self.content_length = value;
        Ok(())
    }

    fn fill(&self, parts: &mut Parts) -> Result<(), Error> {
        if !is_token(self.method) {
            return Err(Error::Method);
        }
        parts.method = Method::from_name(self.method);
        parts.method_name = push(parts, self.method)?;
        self.fill_target(parts)?;
        parts.version =
            if self.protocol == b"HTTP/1.0" { Version::Http10 } else { Version::Http11 };
        parts.is_secure = !self.https.is_empty() && !self.https.eq_ignore_ascii_case(b"off");
        for (name, value) in
            [(&b"content-type"[..], self.content_type), (b"content-length", self.content_length)]
        {
            if !value.is_empty() {
                put_value(parts, name, value)?;
            }
        }
        if parts.authority == Span::default() {
            // No client of HTTP/1.0 has to say which host it asks.
            parts.authority = push(parts, self.server_name)?;
            if !self.server_port.is_empty() && !self.server_name.is_empty() {
                push(parts, b":")?;
                let port = push(parts, self.server_port)?;
                parts.authority.len += 1 + port.len;
            }
        }
        Ok(())
    }

    /// What the client asked for, as it was sent (`REQUEST_URI`, which is no standard, and which all web servers say);
    /// else made of what RFC 3875 has.
    fn fill_target(&self, parts: &mut Parts) -> Result<(), Error> {
        let start = parts.section.bytes.len();
        match self.uri {
            [] => self.put_path_and_query(&mut parts.section.bytes),
            uri => parts.section.bytes.extend_from_slice(origin_form(uri)),
        }
        let end = parts.section.bytes.len();
        if end > HEAD_BYTES_MAX {
            return Err(Error::HeadTooLarge);
        }
        let target = &parts.section.bytes[start..end];
        let asterisk = target == b"*" && parts.method == Method::Options;
        if target_len(target) < target.len() || !(target.starts_with(b"/") || asterisk) {
            return Err(Error::Target);
        }
        let path_bytes = path_len(target);
        let query = (path_bytes < target.len()).then(|| Span::new(start + path_bytes + 1, end));
        parts.target = Span::new(start, end);
        parts.path = Span::new(start, start + path_bytes);
        parts.query = query;
        Ok(())
    }

    /// RFC 3875 sections 4.1.5 and 4.1.13: the path is decoded, the query is not.
    fn put_path_and_query(&self, out: &mut Vec<u8>) {
        if !self.script_name.starts_with(b"/") && !self.path_info.starts_with(b"/") {
            out.push(b'/');
        }
        for &byte in self.script_name.iter().chain(self.path_info) {
            // RFC 3986 section 3.3: what a path has as it is.
            let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
            if is_plain {
                out.push(byte);
            } else {
                let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        if !self.query.is_empty() {
            out.push(b'?');
            out.extend_from_slice(self.query);
        }
    }

    fn client(&self) -> Option<SocketAddr> {
        let address: IpAddr = str::from_utf8(self.remote_address).ok()?.parse().ok()?;
        let port = str::from_utf8(self.remote_port).ok().and_then(|port| port.parse().ok());
        Some(SocketAddr::new(address, port.unwrap_or(0)))
    }
}

/// The path of an absolute-form target (RFC 9112 section 3.2.2), which some web servers pass on as it came.
fn origin_form(uri: &[u8]) -> &[u8] {
    let rest = match uri {
        [b'h' | b'H', ..] => {
            [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| uri.strip_prefix(scheme))
        }
        _ => None,
    };
    let Some(rest) = rest else { return uri };
    rest.iter().position(|&byte| byte == b'/').map_or(b"/", |at| &rest[at..])
}

/// Adds a field of the client, whose name came in capitals and with underscores (RFC 3875 section 4.1.18). A name that no
/// client can have sent is left out, and so is what concerned the client's connection (RFC 9110 section 7.6.1) or is a
/// variable of its own.
fn put_field(parts: &mut Parts, name: &[u8], value: &[u8]) -> Result<(), Error> {
    match name {
        b"CONNECTION" | b"KEEP_ALIVE" | b"TE" | b"TRANSFER_ENCODING" | b"UPGRADE" | b"EXPECT"
        | b"CONTENT_TYPE" | b"CONTENT_LENGTH" => return Ok(()),
        name if !is_token(name) => return Ok(()),
        _ => {}
    }
    put_value(parts, name, value)
}

fn put_value(parts: &mut Parts, name: &[u8], value: &[u8]) -> Result<(), Error> {
    if value_end(value, 0) < value.len() {
        return Err(Error::Field);
    }
    let name = push(parts, name)?;
    let start = usize::from(name.start);
    for byte in &mut parts.section.bytes[start..] {
        *byte = if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    }
    let value = push(parts, trim(value))?;
    let field = Field { name, value };
    let name = field.name.of(&parts.section.bytes);
    parts.selects |= is_selecting(name);
    if is_name(name, b"host") {
        parts.authority = value;
    }
    parts.section.fields.push(field);
    Ok(())
}

/// Appends to the head's bytes; where that is.
fn push(parts: &mut Parts, bytes: &[u8]) -> Result<Span, Error> {
    let section = &mut parts.section.bytes;
    let (start, end) = (section.len(), section.len() + bytes.len());
    if end > HEAD_BYTES_MAX {
        return Err(Error::HeadTooLarge);
    }
    section.extend_from_slice(bytes);
    Ok(Span::new(start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use web::RequestHead;

    const GET: (&str, &str) = ("REQUEST_METHOD", "GET");

    fn read_all(pairs: &[(&str, &str)], limits: &Limits) -> Result<(RequestHead, Said), Error> {
        let mut params = Vec::new();
        for (name, value) in pairs {
            for text in [name, value] {
                params.extend_from_slice(&(text.len() as u32 | 1 << 31).to_be_bytes());
            }
            params.extend_from_slice(name.as_bytes());
            params.extend_from_slice(value.as_bytes());
        }
        let mut head = RequestHead::default();
        let said = read(&params, limits, head.parts_mut().unwrap())?;
        Ok((head, said))
    }

    fn head(pairs: &[(&str, &str)]) -> Result<(RequestHead, Said), Error> {
        read_all(pairs, &Limits::default())
    }

    fn target(pairs: &[(&str, &str)]) -> Result<String, Error> {
        let (head, _) = head(&[&[GET], pairs].concat())?;
        Ok(String::from_utf8_lossy(head.target()).into_owned())
    }

    #[test]
    fn what_nginx_says() {
        let (head, said) = head(&[
            ("QUERY_STRING", "b=1"),
            ("REQUEST_METHOD", "POST"),
            ("CONTENT_TYPE", "text/plain"),
            ("CONTENT_LENGTH", "17"),
            ("SCRIPT_NAME", "/a b"),
            ("REQUEST_URI", "/a%20b?b=1"),
            ("DOCUMENT_URI", "/a b"),
            ("DOCUMENT_ROOT", "/var/www"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("HTTPS", "on"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REMOTE_ADDR", "10.9.0.7"),
            ("REMOTE_PORT", "4711"),
            ("SERVER_NAME", "ignored"),
            ("HTTP_HOST", "a.example"),
            ("HTTP_ACCEPT_LANGUAGE", " de "),
            ("HTTP_CONTENT_LENGTH", "17"),
            ("HTTP_CONNECTION", "close"),
            ("HTTP_IF_NONE_MATCH", "\"1\""),
        ])
        .unwrap();
        assert_eq!((head.method(), head.method_name()), (Method::Post, &b"POST"[..]));
        assert_eq!(head.target(), b"/a%20b?b=1");
        assert_eq!((head.path(), head.query()), (&b"/a%20b"[..], Some(&b"b=1"[..])));
        assert_eq!(head.authority(), b"a.example");
        assert!(head.is_secure());
        let fields: Vec<_> = head.headers().collect();
        let expected: [(&[u8], &[u8]); 5] = [
            (b"host", b"a.example"),
            (b"accept-language", b"de"),
            (b"if-none-match", b"\"1\""),
            (b"content-type", b"text/plain"),
            (b"content-length", b"17"),
        ];
        assert_eq!(fields, expected);
        let client = SocketAddr::new([10, 9, 0, 7].into(), 4711);
        assert_eq!(said, Said { client: Some(client), content_bytes: Some(17) });
    }

    #[test]
    fn rfc3875_4_1_13_without_a_uri_the_target_is_made_of_the_decoded_path_and_the_query() {
        let parts = [("SCRIPT_NAME", "/app"), ("PATH_INFO", "/ü %?#"), ("QUERY_STRING", "a=%20")];
        assert_eq!(target(&parts).unwrap(), "/app/%C3%BC%20%25%3F%23?a=%20");
        assert_eq!(target(&[]).unwrap(), "/");
        assert_eq!(target(&[("PATH_INFO", "/")]).unwrap(), "/");
        assert_eq!(target(&[("SCRIPT_NAME", "app")]).unwrap(), "/app");
        let bad_query = [("PATH_INFO", "/"), ("QUERY_STRING", "a b")];
        assert_eq!(target(&bad_query), Err(Error::Target));
    }

    #[test]
    fn rfc9112_3_2_forms_of_targets() {
        for (uri, expected) in [
            ("http://a.example/b?c", Ok("/b?c")),
            ("https://a.example", Ok("/")),
            ("/x?http://b/", Ok("/x?http://b/")),
            ("*", Err(Error::Target)),
            ("a.example:80", Err(Error::Target)),
            ("/a b", Err(Error::Target)),
            ("/a#b", Err(Error::Target)),
            ("/\u{fc}", Err(Error::Target)),
        ] {
            assert_eq!(target(&[("REQUEST_URI", uri)]), expected.map(String::from), "{uri}");
        }
        let options = head(&[("REQUEST_METHOD", "OPTIONS"), ("REQUEST_URI", "*")]).unwrap().0;
        assert_eq!(options.path(), b"*");
    }

    #[test]
    fn rfc3875_4_1_2_lengths() {
        for (length, expected) in [
            ("", Ok(None)),
            ("0", Ok(Some(0))),
            ("18446744073709551615", Ok(Some(u64::MAX))),
            ("18446744073709551616", Err(Error::ContentLength)),
            ("+1", Err(Error::ContentLength)),
            ("-1", Err(Error::ContentLength)),
            ("1 ", Err(Error::ContentLength)),
        ] {
            let said = head(&[GET, ("CONTENT_LENGTH", length)]).map(|(_, said)| said.content_bytes);
            assert_eq!(said, expected, "{length}");
        }
        let twice = |other| head(&[GET, ("CONTENT_LENGTH", "1"), ("CONTENT_LENGTH", other)]);
        assert!(twice("1").is_ok());
        assert_eq!(twice("2").map(drop), Err(Error::ContentLength));
    }

    #[test]
    fn who_asks_is_whom_the_web_server_names() {
        let client = |address: &str, port: &str| {
            head(&[GET, ("REMOTE_ADDR", address), ("REMOTE_PORT", port)]).unwrap().1.client
        };
        assert_eq!(client("::1", "80"), Some("[::1]:80".parse().unwrap()));
        assert_eq!(client("10.0.0.1", ""), Some("10.0.0.1:0".parse().unwrap()));
        assert_eq!(client("10.0.0.1", "70000"), Some("10.0.0.1:0".parse().unwrap()));
        assert_eq!(client("unix:", ""), None);
        assert_eq!(client("", ""), None);
    }

    #[test]
    fn the_last_of_two_counts_and_a_host_may_be_missing() {
        let (head, _) = head(&[
            GET,
            ("REQUEST_METHOD", "HEAD"),
            ("SERVER_PROTOCOL", "HTTP/1.0"),
            ("SERVER_NAME", "b.example"),
            ("SERVER_PORT", "8080"),
            ("HTTPS", "off"),
        ])
        .unwrap();
        assert_eq!((head.method(), head.version()), (Method::Head, Version::Http10));
        assert_eq!(head.authority(), b"b.example:8080");
        assert!(!head.is_secure());
    }

    #[test]
    fn what_no_client_can_have_sent_is_refused_or_left_out() {
        assert_eq!(head(&[]).map(drop), Err(Error::Method));
        assert_eq!(head(&[("REQUEST_METHOD", "G T")]).map(drop), Err(Error::Method));
        assert_eq!(head(&[GET, ("HTTP_A", "1\r\nB: 2")]).map(drop), Err(Error::Field));
        assert_eq!(head(&[GET, ("CONTENT_TYPE", "a\0")]).map(drop), Err(Error::Field));
        let (left_out, _) = head(&[GET, ("HTTP_", "1"), ("HTTP_A B", "1")]).unwrap();
        assert_eq!(left_out.headers().count(), 0);
    }

    #[test]
    fn as_many_variables_as_the_limit_says_and_no_more() {
        let limits = Limits { params_max: 3, ..Limits::default() };
        let pairs = [GET, ("A", "1"), ("B", "1"), ("C", "1")];
        assert!(read_all(&pairs[..3], &limits).is_ok());
        assert_eq!(read_all(&pairs, &limits).map(drop), Err(Error::HeadTooLarge));
    }

    #[test]
    fn a_path_that_grows_beyond_what_positions_reach_is_refused() {
        let path = |bytes: usize| String::from("/") + &"%".repeat(bytes);
        let longest = (HEAD_BYTES_MAX - "GET/".len()) / 3;
        assert!(target(&[("PATH_INFO", &path(longest))]).is_ok());
        assert_eq!(target(&[("PATH_INFO", &path(longest + 1))]), Err(Error::HeadTooLarge));
    }
}
