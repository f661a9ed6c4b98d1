//! Byte classes of HTTP fields (RFC 9110 section 5), and how far a run of each class goes.

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const HOST: u8 = 4;
const PATH: u8 = 8;
const CLASS: [u8; 256] = classes();
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the token that begins at `at` ends (RFC 9110 section 5.6.2).
///
/// Letters and hyphens, which most names consist of, go eight a step.
#[inline]
pub fn token_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(bytes, at) {
        let others = no_letters(word);
        if others != 0 {
            at += others.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| CLASS[usize::from(byte)] & TOKEN != 0) {
        at += 1;
    }
    at
}

/// How many leading bytes may stand in a request target: visible ASCII, no fragment.
#[inline]
pub fn target_len(bytes: &[u8]) -> usize {
    run_len(bytes, TARGET)
}

/// How many leading bytes may stand in a registered name (RFC 3986 section 3.2.2).
#[inline]
pub fn host_len(bytes: &[u8]) -> usize {
    run_len(bytes, HOST)
}

/// How many leading bytes of a target come before its query.
#[inline]
pub fn path_len(target: &[u8]) -> usize {
    run_len(target, PATH)
}

/// Where the field value that begins at `at` ends: at the first byte that is neither HTAB, SP,
/// visible ASCII nor obs-text.
#[inline]
pub fn value_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = printable_end(bytes, at);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Whether all of `bytes` is one non-empty token.
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_end(bytes, 0) == bytes.len()
}

/// Whether the byte may stand in a token.
#[inline]
pub fn is_token_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// `bytes` without leading and trailing SP and HTAB.
#[inline]
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether `name` is `lower`, letter case aside. `lower` holds only small letters and hyphens;
/// for a token, setting bit 5 then changes nothing but capitals.
#[inline]
pub fn is_name<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    if name.len() != N {
        return false;
    }
    // Two words that overlap cover any name of 8 to 16 bytes; longer ones are compared on.
    match (
        name.first_chunk::<8>(),
        lower.first_chunk::<8>(),
        name.last_chunk::<8>(),
        lower.last_chunk::<8>(),
    ) {
        (Some(a), Some(b), Some(c), Some(d)) => {
            same_letters(a, b)
                && same_letters(c, d)
                && (N <= 16 || name.eq_ignore_ascii_case(lower))
        }
        _ => name.iter().zip(lower).all(|(a, b)| a | 0x20 == *b),
    }
}

#[inline]
fn same_letters(name: &[u8; 8], lower: &[u8; 8]) -> bool {
    u64::from_le_bytes(*name) | (LOW * 0x20) == u64::from_le_bytes(*lower)
}

#[inline]
fn run_len(bytes: &[u8], class: u8) -> usize {
    let mut at = 0;
    for block in bytes.as_chunks::<4>().0 {
        let [a, b, c, d] = block.map(|byte| CLASS[usize::from(byte)] & class);
        if a == 0 {
            return at;
        }
        if b == 0 {
            return at + 1;
        }
        if c == 0 {
            return at + 2;
        }
        if d == 0 {
            return at + 3;
        }
        at += 4;
    }
    while let Some(&byte) = bytes.get(at) {
        if CLASS[usize::from(byte)] & class == 0 {
            break;
        }
        at += 1;
    }
    at
}

/// Where the bytes from `at` on are no longer free of control bytes and DEL. Most of a head is
/// values, so they go sixteen a step.
#[inline]
fn printable_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        // Without a branch inside, so that it compiles to a handful of vector instructions.
        let bad = block.iter().fold(false, |bad, &byte| bad | (byte < 0x20) | (byte == 0x7f));
        if bad {
            break;
        }
        at += 16;
    }
    while let Some(word) = word_at(bytes, at) {
        let hits = unprintable(word);
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| byte >= 0x20 && byte != 0x7f) {
        at += 1;
    }
    at
}

#[inline]
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..).and_then(<[u8]>::first_chunk::<8>).map(|word| u64::from_le_bytes(*word))
}

/// Marks each byte of a word that is neither a letter nor a hyphen by its highest bit.
#[inline]
fn no_letters(word: u64) -> u64 {
    let low = word & !HIGH;
    let small = low | (LOW * 0x20);
    let letter = (small + LOW * (0x80 - 0x61)) ^ (small + LOW * (0x80 - 0x7b));
    let no_hyphen = (low ^ (LOW * 0x2d)) + LOW * 0x7f;
    (!letter & no_hyphen | word) & HIGH
}

/// Marks each control byte and DEL of a word by its highest bit.
#[inline]
fn unprintable(word: u64) -> u64 {
    let low = word & !HIGH;
    let del = low + LOW;
    let no_control = low + LOW * 0x60;
    (del | !no_control) & !word & HIGH
}

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let b = byte as u8;
        if b != b'#' {
            table[byte] |= TARGET;
        }
        if b != b'?' {
            table[byte] |= PATH;
        }
        if b.is_ascii_alphanumeric() || is_host_mark(b) {
            table[byte] |= HOST;
        }
        if b.is_ascii_alphanumeric() || is_token_mark(b) {
            table[byte] |= TOKEN;
        }
        byte += 1;
    }
    table
}

const fn is_host_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'-' | b'.'
            | b'_'
            | b'~'
            | b'%'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
    )
}

const fn is_token_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stop_at_every_control_byte_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut bytes = [b'x'; 20];
                bytes[place] = byte;
                let stops = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
                assert_eq!(
                    value_end(&bytes, 0),
                    if stops { place } else { 20 },
                    "{byte:#x} at {place}"
                );
            }
        }
    }

    #[test]
    fn tokens_stop_at_delimiters_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut bytes = [b'x'; 20];
                bytes[place] = byte;
                let goes_on = byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
                assert_eq!(
                    token_end(&bytes, 0),
                    if goes_on { 20 } else { place },
                    "{byte:#x} at {place}"
                );
            }
        }
    }

    #[test]
    fn names_compare_without_case_and_nothing_else() {
        assert!(is_name(b"HoSt", b"host"));
        assert!(is_name(b"CONTENT-length", b"content-length"));
        for byte in (0..=255u8).filter(|b| CLASS[usize::from(*b)] & TOKEN != 0) {
            assert_eq!(is_name(&[b'-', byte], b"-t"), byte == b't' || byte == b'T', "{byte:#x}");
            assert_eq!(is_name(&[b't', byte], b"t-"), byte == b'-', "{byte:#x}");
        }
    }
}
