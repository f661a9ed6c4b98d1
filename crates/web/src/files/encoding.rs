//! Content negotiation (RFC 9110 section 12.5.3): choosing among variants that were compressed beforehand.

use crate::syntax::trim;

/// A content coding this crate can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// Codings that there are of something, beside identity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Codings {
    /// RFC 1952.
    pub gzip: bool,
    /// RFC 7932.
    pub brotli: bool,
    /// RFC 8878.
    pub zstd: bool,
}

impl ContentCoding {
    /// The value of `Content-Encoding`; `None` for identity, which is never named.
    pub fn name(self) -> Option<&'static str> {
        match self {
            ContentCoding::Identity => None,
            ContentCoding::Gzip => Some("gzip"),
            ContentCoding::Brotli => Some("br"),
            ContentCoding::Zstd => Some("zstd"),
        }
    }
}

/// Chooses the coding a client likes best among identity and those available; of equals the
/// smallest, so brotli before zstd before gzip before identity. `None` if it accepts none of them: 406.
///
/// `accept` are the values of `Accept-Encoding`. Without any, identity.
pub fn choose<'a>(
    accept: impl Iterator<Item = &'a [u8]>,
    available: Codings,
) -> Option<ContentCoding> {
    let mut weights = Weights::default();
    let mut present = false;
    for value in accept {
        present = true;
        value.split(|&byte| byte == b',').for_each(|element| weights.note(trim(element)));
    }
    if !present {
        return Some(ContentCoding::Identity);
    }
    let other = weights.any.unwrap_or(0);
    // Identity is acceptable unless refused, by name or by the asterisk; what is listed goes before it.
    let identity = weights.identity.or(weights.any).unwrap_or(1);
    let candidates = [
        (available.brotli, weights.brotli.unwrap_or(other), ContentCoding::Brotli),
        (available.zstd, weights.zstd.unwrap_or(other), ContentCoding::Zstd),
        (available.gzip, weights.gzip.unwrap_or(other), ContentCoding::Gzip),
        (true, identity, ContentCoding::Identity),
    ];
    let mut best = None;
    let mut best_weight = 0;
    for (available, weight, coding) in candidates {
        if available && weight > best_weight {
            (best, best_weight) = (Some(coding), weight);
        }
    }
    best
}

/// What the client says of each coding, in thousandths.
#[derive(Default)]
struct Weights {
    brotli: Option<u16>,
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    /// Takes note of one element; a malformed one is left out.
    fn note(&mut self, element: &[u8]) {
        let mut parts = element.splitn(2, |&byte| byte == b';');
        let coding = trim(parts.next().unwrap_or(&[]));
        let Some(weight) = parts.next().map_or(Some(1000), |weight| parse_weight(trim(weight)))
        else {
            return;
        };
        let place = match coding {
            b"*" => &mut self.any,
            _ if coding.eq_ignore_ascii_case(b"br") => &mut self.brotli,
            _ if coding.eq_ignore_ascii_case(b"zstd") => &mut self.zstd,
            _ if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") => {
                &mut self.gzip
            }
            _ if coding.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            _ => return,
        };
        *place = Some(weight);
    }
}

/// `q=` and a number of 0 to 1 with at most three digits (RFC 9110 section 12.4.2), in thousandths.
pub(super) fn parse_weight(text: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', whole @ (b'0' | b'1'), fraction @ ..] = text else { return None };
    let digits = match fraction {
        [] => fraction,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0');
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        weight = weight * 10 + u16::from(digit - b'0');
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Codings = Codings { gzip: true, brotli: true, zstd: true };

    fn chosen(accept: &str) -> Option<ContentCoding> {
        choose([accept.as_bytes()].into_iter(), ALL)
    }

    #[test]
    fn rfc9110_12_5_3_choices() {
        use ContentCoding::{Brotli, Gzip, Identity, Zstd};
        for (accept, coding) in [
            ("gzip, deflate, br", Some(Brotli)),
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, ZSTD", Some(Zstd)),
            ("br;q=0.9, zstd", Some(Zstd)),
            ("zstd;q=0, br;q=0.1, gzip;q=0.2", Some(Gzip)),
            ("gzip", Some(Gzip)),
            ("X-GZIP", Some(Gzip)),
            ("", Some(Identity)),
            ("deflate", Some(Identity)),
            ("*", Some(Brotli)),
            ("br;q=0, zstd;q=0, *", Some(Gzip)),
            ("br;q=0.5, gzip;q=0.8", Some(Gzip)),
            ("gzip;q=0.5, identity", Some(Identity)),
            ("br;q=0, gzip;q=0", Some(Identity)),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("*;q=0, gzip", Some(Gzip)),
            ("*;q=0, identity", Some(Identity)),
            ("br;q=2, gzip ; q=0.001", Some(Gzip)),
            ("br ;Q=1.000,gzip", Some(Brotli)),
        ] {
            assert_eq!(chosen(accept), coding, "{accept}");
        }
        assert_eq!(choose(core::iter::empty(), ALL), Some(Identity));
        assert_eq!(
            choose(
                [&b"br"[..], b"gzip"].into_iter(),
                Codings { brotli: false, zstd: false, ..ALL }
            ),
            Some(Gzip)
        );
    }

    #[test]
    fn rfc9110_12_4_2_weights() {
        for (text, weight) in [
            ("q=1", 1000),
            ("q=0", 0),
            ("q=0.", 0),
            ("Q=0.5", 500),
            ("q=0.123", 123),
            ("q=1.000", 1000),
        ] {
            assert_eq!(parse_weight(text.as_bytes()), Some(weight), "{text}");
        }
        for text in
            ["", "q", "q=", "q=2", "q=1.001", "q=0.1234", "q=.5", "q=0,5", "q=-1", "q=0.a", "q =1"]
        {
            assert_eq!(parse_weight(text.as_bytes()), None, "{text}");
        }
    }
}
