//! Selectors (RFC 1436 section 2): from a request's line to what is asked for.

use crate::Error;
use alloc::format;
use alloc::string::String;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A request target: path and query.
    Target(String),
    /// `URL:...`, by a client that does not know that this is a link: a page that leads there.
    Link(String),
}

/// Reads a request's line, without its line end.
pub(crate) fn parse(line: &[u8]) -> Result<Asked, Error> {
    let mut fields = line.split(|&byte| byte == b'\t');
    let selector = fields.next().unwrap_or_default();
    // What follows a second TAB is a later protocol's.
    let search = fields.next();
    let fields = [selector, search.unwrap_or_default()];
    if fields.iter().flat_map(|field| *field).any(u8::is_ascii_control) {
        return Err(Error::Control);
    }
    match selector.strip_prefix(b"URL:").or_else(|| selector.strip_prefix(b"/URL:")) {
        Some(url) => link(url),
        None => target(selector, search),
    }
}

fn target(selector: &[u8], search: Option<&[u8]>) -> Result<Asked, Error> {
    let path = selector.split(|&byte| byte == b'?').next().unwrap_or_default();
    if path.split(|&byte| byte == b'/').any(|part| part == b"..") {
        return Err(Error::Parent);
    }
    let mut target = String::new();
    if !selector.starts_with(b"/") {
        target.push('/');
    }
    // RFC 3986 section 2: what a target has as it is, and the percent sign of what is encoded already.
    encode(selector, b"/?%:@-._~!$&'()*+,;=", &mut target);
    if let Some(search) = search {
        target.push_str(if target.contains('?') { "&q=" } else { "?q=" });
        encode(search, b"-._~", &mut target);
    }
    Ok(Asked::Target(target))
}

fn encode(bytes: &[u8], plain: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// A page that leads elsewhere, by the schemes of documents only: others would run in the page.
fn link(url: &[u8]) -> Result<Asked, Error> {
    let url = core::str::from_utf8(url).map_err(|_| Error::Url)?;
    let schemes = ["http://", "https://", "gopher://", "ftp://", "mailto:"];
    if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(Error::Url);
    }
    let mut escaped = String::new();
    for char in url.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            plain => escaped.push(plain),
        }
    }
    Ok(Asked::Link(format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"refresh\" content=\"1; url={escaped}\">\n\
         <title>Link</title>\n<p>This leads to <a href=\"{escaped}\">{escaped}</a>.\n"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1436_2_selectors_are_targets() {
        for (line, expected) in [
            (&b""[..], "/"),
            (b"/", "/"),
            (b"a.txt", "/a.txt"),
            (b"/dir/a b.txt", "/dir/a%20b.txt"),
            (b"/a%20b", "/a%20b"),
            (b"/\xfc#", "/%FC%23"),
            (b"/list?page=2", "/list?page=2"),
            (b"/find\ttwo words&more", "/find?q=two%20words%26more"),
            (b"/find?in=a\tb", "/find?in=a&q=b"),
            (b"/find\t", "/find?q="),
            (b"/find\ta\t+", "/find?q=a"),
            (b"/a..b/...", "/a..b/..."),
            (b"/a?../b", "/a?../b"),
        ] {
            let asked = parse(line);
            assert_eq!(asked, Ok(Asked::Target(expected.into())), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for (line, error) in [
            (&b"/a\0"[..], Error::Control),
            (b"/a\rb", Error::Control),
            (b"/a\tb\x7f", Error::Control),
            (b"..", Error::Parent),
            (b"/../etc", Error::Parent),
            (b"/a/..", Error::Parent),
            (b"/a/..?b", Error::Parent),
            (b"URL:javascript:alert(1)", Error::Url),
            (b"URL:", Error::Url),
            (b"URL:http://\xff", Error::Url),
        ] {
            assert_eq!(parse(line), Err(error), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_link_is_a_page_in_which_nothing_of_it_is_markup() {
        for line in [&b"URL:http://a/?\"><script>'&"[..], b"/URL:http://a/?\"><script>'&"] {
            let Ok(Asked::Link(page)) = parse(line) else { panic!("no link") };
            assert!(page.contains("url=http://a/?&quot;&gt;&lt;script&gt;&#39;&amp;\">"));
            assert!(!page.contains("<script"));
        }
    }
}
