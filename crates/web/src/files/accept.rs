//! Content negotiation by media type (RFC 9110 section 12.5.1).

use super::encoding::parse_weight;
use crate::RequestHead;
use crate::syntax::trim;

/// How much a client likes a media type, in thousandths: by the most exact of what it lists. Without a list, 1000.
pub(super) fn weight(request: &RequestHead, media_type: &str) -> u16 {
    let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let mut is_said = false;
    let mut best = (0, 0);
    for value in request.headers_named("accept") {
        for element in value.split(|&byte| byte == b',') {
            is_said = true;
            let mut parts = element.split(|&byte| byte == b';').map(trim);
            let range = parts.next().unwrap_or(&[]);
            let exactness = if range.eq_ignore_ascii_case(media_type.as_bytes()) {
                3
            } else if range
                .strip_suffix(b"/*")
                .is_some_and(|own| own.eq_ignore_ascii_case(kind.as_bytes()))
            {
                2
            } else if range == b"*/*" {
                1
            } else {
                continue;
            };
            let weight = parts.find_map(parse_weight).unwrap_or(1000);
            if exactness > best.0 {
                best = (exactness, weight);
            }
        }
    }
    if is_said { best.1 } else { 1000 }
}

/// Whether a client asks for pages: it names them, as browsers do when they go somewhere, and programs do not.
pub fn wants_page(request: &RequestHead) -> bool {
    let is_named =
        |types: &[u8]| types.windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html"));
    request.headers_named("accept").any(is_named) && weight(request, "text/html") > 0
}

/// Whether a client [asks for pages](wants_page), and likes them no less than plain text.
pub fn prefers_page(request: &RequestHead) -> bool {
    wants_page(request) && weight(request, "text/html") >= weight(request, "text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;

    #[test]
    fn rfc9110_12_5_1_weights() {
        for (accept, html, json, page) in [
            ("text/html,application/json;q=0.9,*/*;q=0.8", 1000, 900, true),
            ("application/json", 0, 1000, false),
            ("*/*", 1000, 1000, false),
            ("text/*;q=0.5, */*;q=0.1", 500, 100, false),
            ("text/html;q=0, */*", 0, 1000, false),
            ("Text/HTML; level=1; q=0.3", 300, 0, true),
            ("", 0, 0, false),
        ] {
            let request = parsed("GET", "/", &[("Accept", accept)]);
            let seen = ["text/html", "application/json"].map(|name| weight(&request, name));
            assert_eq!((seen, wants_page(&request)), ([html, json], page), "{accept}");
            assert_eq!(prefers_page(&request), page, "{accept}");
        }
        let request = parsed("GET", "/", &[("Accept", "text/html;q=0.5, text/plain")]);
        assert_eq!((wants_page(&request), prefers_page(&request)), (true, false));
        let request = parsed("GET", "/", &[]);
        assert_eq!((weight(&request, "text/html"), wants_page(&request)), (1000, false));
    }
}
