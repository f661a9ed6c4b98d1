//! Masking (RFC 6455 section 5.3).

/// Masks or unmasks `bytes` where they lie; gives the mask for the bytes that follow them. Eight bytes a step, which the
/// compiler makes vectors of.
pub(crate) fn apply(mask: [u8; 4], bytes: &mut [u8]) -> [u8; 4] {
    let phase = bytes.len() % 4;
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let mut following = mask;
    following.rotate_left(phase);
    following
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn rfc6455_5_3_each_byte_has_its_octet_of_the_mask() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..40_usize {
            let plain: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let expected: Vec<u8> =
                plain.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            for cut in 0..=length {
                let mut bytes = plain.clone();
                let (front, back) = bytes.split_at_mut(cut);
                let following = apply(mask, front);
                apply(following, back);
                assert_eq!(bytes, expected, "{length} bytes, cut at {cut}");
            }
        }
    }
}
