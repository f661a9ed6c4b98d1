//! Entity tags (RFC 9110 section 8.8.3).

/// An entity tag, borrowed from wherever it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag<'a> {
    /// Whether it only promises equivalence, not equality byte for byte.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> ETag<'a> {
    /// The tag that is all of `text`.
    pub fn parse(text: &'a [u8]) -> Option<ETag<'a>> {
        let (tag, rest) = split_tag(text)?;
        rest.is_empty().then_some(tag)
    }

    /// Equal, and both strong (RFC 9110 section 8.8.3.2).
    pub fn strong_eq(&self, other: &ETag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Equal, strong or not.
    pub fn weak_eq(&self, other: &ETag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// A strong tag made of a 64-bit hash of the content: 16 hexadecimal digits between quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashTag([u8; 18]);

impl HashTag {
    /// The tag of this hash.
    pub fn new(hash: u64) -> HashTag {
        let mut text = *b"\"0000000000000000\"";
        for (place, digit) in text.iter_mut().skip(1).take(16).enumerate() {
            *digit = b"0123456789abcdef"[(hash >> (60 - 4 * place) & 15) as usize];
        }
        HashTag(text)
    }

    /// The tag of this content, by the FNV-1a hash: it tells versions of one's own files apart
    /// and resists no forger.
    pub fn of_content(content: &[u8]) -> HashTag {
        let mut hash = ContentHash::default();
        hash.update(content);
        hash.tag()
    }

    /// The text, with its quotes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a tag to compare with.
    pub fn tag(&self) -> ETag<'_> {
        ETag { weak: false, opaque: self.0.get(1..17).unwrap_or(&[]) }
    }
}

/// The hash of a [tag of content](HashTag::of_content), part by part.
pub(crate) struct ContentHash(u64);

impl Default for ContentHash {
    fn default() -> Self {
        ContentHash(0xcbf2_9ce4_8422_2325)
    }
}

impl ContentHash {
    /// What follows of the content.
    pub(crate) fn update(&mut self, part: &[u8]) {
        let next = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        self.0 = part.iter().fold(self.0, next);
    }

    /// The tag of all of it.
    pub(crate) fn tag(&self) -> HashTag {
        HashTag::new(self.0)
    }
}

/// Whether `value`, a list of tags or `*`, names one for which `same` holds. A malformed list
/// names what stands before the fault.
pub(crate) fn list_has(value: &[u8], same: impl Fn(&ETag<'_>) -> bool) -> bool {
    let mut rest = value;
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let Some((tag, after)) = split_tag(rest) else { return false };
        if same(&tag) {
            return true;
        }
        rest = after;
    }
}

fn split_tag(text: &[u8]) -> Option<(ETag<'_>, &[u8])> {
    let (weak, quoted) = match text.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let inside = quoted.strip_prefix(b"\"")?;
    let len = inside.iter().position(|&byte| byte == b'"')?;
    let (opaque, rest) = inside.split_at_checked(len)?;
    let legal =
        opaque.iter().all(|&byte| byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80);
    legal.then_some((ETag { weak, opaque }, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_8_8_3_2_comparison() {
        let tag = |text: &'static str| ETag::parse(text.as_bytes()).unwrap();
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            assert_eq!(
                (tag(a).strong_eq(&tag(b)), tag(a).weak_eq(&tag(b))),
                (strong, weak),
                "{a} {b}"
            );
        }
    }

    #[test]
    fn what_is_no_tag() {
        for text in ["", "1", "\"1", "1\"", "w/\"1\"", "W/1", "\"a b\"", "\"a\" ", "*", "\"\x7f\""]
        {
            assert_eq!(ETag::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(ETag::parse(b"\"\"").unwrap().opaque, b"");
    }

    #[test]
    fn lists_are_searched_up_to_their_fault() {
        let has = |list: &str, opaque: &str| {
            list_has(list.as_bytes(), |tag| tag.opaque == opaque.as_bytes())
        };
        assert!(has("\"a\", W/\"b,c\",,\"d\"", "b,c") && has("\"a\",\"d\"", "d"));
        assert!(!has("\"a\" x \"d\"", "d") && !has("", "a") && !has("*", "*"));
    }

    #[test]
    fn hash_tags() {
        let tag = HashTag::new(0x0123_4567_89ab_cdef);
        assert_eq!(tag.as_bytes(), b"\"0123456789abcdef\"");
        assert!(tag.tag().strong_eq(&ETag::parse(tag.as_bytes()).unwrap()));
        assert_ne!(HashTag::of_content(b"a"), HashTag::of_content(b"b"));
    }
}
