//! Byte classes of RFC 9110 section 5, and how far a run of each class goes.

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const CLASS: [u8; 256] = classes();
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many leading bytes are token characters (RFC 9110 section 5.6.2).
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    run_len(bytes, TOKEN)
}

/// How many leading bytes may stand in a request target: visible ASCII, no fragment.
pub(crate) fn target_len(bytes: &[u8]) -> usize {
    run_len(bytes, TARGET)
}

/// How many leading bytes may stand in a field value: HTAB, SP, visible ASCII and obs-text.
///
/// Eight bytes a step, since most of a head is values.
pub(crate) fn value_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or(&[]);
        at += printable_len(rest);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Whether all of `bytes` is one non-empty token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

/// `bytes` without leading and trailing SP and HTAB.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
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
pub(crate) fn is_name<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    let mut difference = 0;
    for (a, b) in name.iter().zip(lower) {
        difference |= (a | 0x20) ^ b;
    }
    difference == 0
}

fn run_len(bytes: &[u8], class: u8) -> usize {
    let (blocks, rest) = bytes.as_chunks::<8>();
    for (index, block) in blocks.iter().enumerate() {
        for (offset, &byte) in block.iter().enumerate() {
            if CLASS[usize::from(byte)] & class == 0 {
                return index * 8 + offset;
            }
        }
    }
    let tail = rest.iter().position(|&byte| CLASS[usize::from(byte)] & class == 0);
    blocks.len() * 8 + tail.unwrap_or(rest.len())
}

/// How many leading bytes are neither a control byte nor DEL.
fn printable_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let without_del = word ^ (LOW * 0x7f);
        let control = word.wrapping_sub(LOW * 0x20) & !word;
        let del = without_del.wrapping_sub(LOW) & !without_del;
        let hits = (control | del) & HIGH;
        if hits != 0 {
            // A borrow reaches only bytes after the first hit, so the first one is exact.
            return index * 8 + hits.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest.iter().position(|&byte| byte < 0x20 || byte == 0x7f);
    words.len() * 8 + tail.unwrap_or(rest.len())
}

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let b = byte as u8;
        if b != b'#' {
            table[byte] |= TARGET;
        }
        if b.is_ascii_alphanumeric() || is_token_mark(b) {
            table[byte] |= TOKEN;
        }
        byte += 1;
    }
    table
}

const fn is_token_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
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
                assert_eq!(value_len(&bytes), if stops { place } else { 20 }, "{byte:#x} at {place}");
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
                assert_eq!(token_len(&bytes), if goes_on { 20 } else { place }, "{byte:#x} at {place}");
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
