//! Z85 (RFC 32): how ZeroMQ writes keys as text.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// A key as 40 characters.
pub fn z85_encode(key: &[u8; 32]) -> String {
    let mut text = String::with_capacity(40);
    for group in key.as_chunks::<4>().0 {
        let value = u32::from_be_bytes(*group);
        for power in [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1] {
            text.push(char::from(ALPHABET[(value / power % 85) as usize]));
        }
    }
    text
}

/// The key that 40 characters write; `None` if they do not write one.
pub fn z85_decode(text: &str) -> Option<[u8; 32]> {
    let mut key = Vec::with_capacity(32);
    let (groups, rest) = text.as_bytes().as_chunks::<5>();
    if !rest.is_empty() {
        return None;
    }
    for group in groups {
        let mut value = 0u32;
        for character in group {
            let digit = ALPHABET.iter().position(|known| known == character)?;
            value = value.checked_mul(85)?.checked_add(digit as u32)?;
        }
        key.extend_from_slice(&value.to_be_bytes());
    }
    key.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc32_keys_round_trip() {
        let text = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
        let key = z85_decode(text).unwrap();
        assert_eq!(key[..4], [0x54, 0xFC, 0xBA, 0x24]);
        assert_eq!(z85_encode(&key), text);
        assert_eq!(z85_decode("short"), None);
        assert_eq!(z85_decode(&"#".repeat(40)), None, "overflows 32 bits");
    }
}
