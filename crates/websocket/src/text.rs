//! Text that arrives in pieces: UTF-8 (RFC 3629) checked as far as it is there.

use alloc::string::String;

/// A text of which each byte is checked once, and refused with the first piece that no continuation could make right
/// (RFC 6455 section 8.1).
#[derive(Debug, Default)]
pub(crate) struct TextBuilder {
    text: String,
    /// The beginning of a character that is not whole, and its length.
    tail: [u8; 4],
    tail_bytes: u8,
}

/// These bytes are no UTF-8, whatever may follow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

impl TextBuilder {
    /// Bytes so far, those of an unfinished character included.
    pub(crate) fn len(&self) -> usize {
        self.text.len() + usize::from(self.tail_bytes)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), InvalidUtf8> {
        while self.tail_bytes > 0 {
            let [first, rest @ ..] = bytes else { return Ok(()) };
            self.push_to_tail(*first)?;
            bytes = rest;
        }
        let mut rest = bytes.len();
        for chunk in bytes.utf8_chunks() {
            self.text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            rest -= chunk.valid().len() + invalid.len();
            if rest > 0 && !invalid.is_empty() {
                return Err(InvalidUtf8);
            }
            for byte in invalid {
                self.push_to_tail(*byte)?;
            }
        }
        Ok(())
    }

    /// The text, if it does not end inside a character.
    pub(crate) fn finish(self) -> Result<String, InvalidUtf8> {
        if self.tail_bytes == 0 { Ok(self.text) } else { Err(InvalidUtf8) }
    }

    /// One byte more of an unfinished character.
    fn push_to_tail(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let at = usize::from(self.tail_bytes);
        *self.tail.get_mut(at).ok_or(InvalidUtf8)? = byte;
        match core::str::from_utf8(&self.tail[..=at]) {
            Ok(character) => {
                self.text.push_str(character);
                self.tail_bytes = 0;
            }
            Err(error) if error.error_len().is_none() => self.tail_bytes += 1,
            Err(_) => return Err(InvalidUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<String, InvalidUtf8> {
        let mut text = TextBuilder::default();
        pieces.iter().try_for_each(|piece| text.push(piece))?;
        text.finish()
    }

    #[test]
    fn rfc6455_8_1_a_text_is_the_same_however_it_is_cut() {
        let whole = "a \u{e9} \u{20ac} \u{10ffff} \u{1f600}\u{0}z";
        let bytes = whole.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(read(&pieces).as_deref(), Ok(whole));
            }
        }
    }

    /// Overlong forms, surrogates, beyond U+10FFFF, bytes that never occur, lone continuations.
    #[test]
    fn rfc3629_3_what_is_no_utf8_is_refused_with_its_first_wrong_byte() {
        for (good, bad) in [
            (&b"a"[..], 0x80),
            (b"", 0xc0),
            (b"", 0xc1),
            (b"\xe0", 0x9f),
            (b"\xed", 0xa0),
            (b"\xf0", 0x8f),
            (b"\xf4", 0x90),
            (b"", 0xf5),
            (b"", 0xfe),
            (b"\xce\xba\xe1", 0x61),
            (b"\xf0\x90\x80", 0xc0),
        ] {
            for cut in 0..=good.len() {
                let mut text = TextBuilder::default();
                assert_eq!(text.push(&good[..cut]), Ok(()));
                assert_eq!(text.push(&good[cut..]), Ok(()), "{good:x?} may go on");
                assert_eq!(text.push(&[bad, b'a']), Err(InvalidUtf8), "{good:x?} {bad:x}");
            }
            assert_eq!(read(&[good, &[bad]]), Err(InvalidUtf8));
            let whole = [good, &[bad], b"abc"].concat();
            assert_eq!(read(&[&whole]), Err(InvalidUtf8));
        }
        assert_eq!(read(&[b"ab\xe2\x82"]), Err(InvalidUtf8), "it ends inside a character");
    }
}
