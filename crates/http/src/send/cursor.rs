//! Write cursor over a buffer whose size was checked before.

use web::decimal::{self, DIGITS_MAX};

/// Appends to a buffer. What does not fit is left out; callers reserve enough beforehand.
pub(crate) struct Cursor<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Cursor<'a> {
        Cursor { out, len: 0 }
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let room = self.out.get_mut(self.len..self.len + bytes.len());
        debug_assert!(room.is_some(), "the head is longer than reserved");
        if let Some(room) = room {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// Writes over what was put at `at`.
    pub(crate) fn put_over(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Writes a number in decimal digits.
    pub(crate) fn put_decimal(&mut self, number: u64) {
        if let Ok(digit @ 0..10) = u8::try_from(number) {
            return self.put(&[b'0' + digit]);
        }
        if number < 100 {
            return self.put(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
        }
        self.put(decimal::write(number, &mut [0; DIGITS_MAX]));
    }
}

/// The size line of a chunk. Leading zeros are allowed (RFC 9112 section 7.1), so its length is fixed.
pub(crate) fn chunk_size_line(len: usize) -> [u8; 10] {
    let mut line = *b"00000000\r\n";
    for (place, digit) in line.iter_mut().take(8).enumerate() {
        *digit = b"0123456789abcdef"[len >> (28 - 4 * place) & 15];
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 99, 100, 12_345_678_901, u64::MAX] {
            let mut out = [0; 24];
            let mut cursor = Cursor::new(&mut out);
            cursor.put_decimal(number);
            let len = cursor.len();
            assert_eq!(&out[..len], alloc::format!("{number}").as_bytes());
        }
    }

    #[test]
    fn chunk_sizes() {
        assert_eq!(&chunk_size_line(0x1a_2b3c), b"001a2b3c\r\n");
        assert_eq!(&chunk_size_line(0xffff_ffff), b"ffffffff\r\n");
    }
}
