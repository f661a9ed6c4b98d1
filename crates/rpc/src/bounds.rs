//! Message bounds: where the messages of our own output end, for transports that have messages, too.

const WORD_BYTES: usize = 8;

/// Follows a stream of messages in the standard framing (Cap'n Proto encoding specification, "Serialization over a stream")
/// that is well formed, as what a vat sends is.
///
/// ```
/// use rpc::MessageBounds;
///
/// // One segment of one word.
/// let message = [0, 0, 0, 0, 1, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9];
/// let mut bounds = MessageBounds::default();
/// // Until its head is known, no more than that is sure to be of one message.
/// assert_eq!((bounds.wanted_bytes(), bounds.advance(&message[..8])), (8, false));
/// assert_eq!((bounds.wanted_bytes(), bounds.advance(&message[8..])), (8, true));
/// ```
#[derive(Clone, Debug, Default)]
pub struct MessageBounds {
    /// Bytes of the segment table so far; how many that is to be is known from its first word on.
    table_bytes: usize,
    /// Its first four bytes: the number of segments, less one.
    count: [u8; 4],
    /// The length of a segment that is not there as a whole, and the sum of those before it.
    length: [u8; 4],
    words: u64,
    /// Bytes of the segments that are to come; none while the table is read.
    body_bytes: Option<u64>,
}

impl MessageBounds {
    /// How many bytes are sure to be of the message under way; at least one.
    pub fn wanted_bytes(&self) -> usize {
        match self.body_bytes {
            Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            None => self.table_end() - self.table_bytes,
        }
    }

    /// Takes note of bytes, at most [`wanted_bytes`](Self::wanted_bytes) of them; whether they end a message.
    pub fn advance(&mut self, bytes: &[u8]) -> bool {
        if let Some(left) = &mut self.body_bytes {
            *left = left.saturating_sub(bytes.len() as u64);
        } else {
            bytes.iter().for_each(|byte| self.table_byte(*byte));
            if self.table_bytes < self.table_end() {
                return false;
            }
            self.body_bytes = Some(self.words * WORD_BYTES as u64);
        }
        let is_end = self.body_bytes == Some(0);
        if is_end {
            *self = Self::default();
        }
        is_end
    }

    /// The table is padded to a whole word.
    fn table_end(&self) -> usize {
        if self.table_bytes < WORD_BYTES {
            return WORD_BYTES;
        }
        (4 + 4 * self.segments()).next_multiple_of(WORD_BYTES)
    }

    fn segments(&self) -> usize {
        u32::from_le_bytes(self.count) as usize + 1
    }

    fn table_byte(&mut self, byte: u8) {
        let (place, within) = (self.table_bytes / 4, self.table_bytes % 4);
        self.table_bytes += 1;
        match place {
            0 => self.count[within] = byte,
            // The padding counts for nothing.
            _ if place > self.segments() => {}
            _ => {
                self.length[within] = byte;
                if within == 3 {
                    self.words += u64::from(u32::from_le_bytes(self.length));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Segments of so many words, each byte of which is 0xff, as a length that is none.
    fn message(segments: &[u32]) -> Vec<u8> {
        let mut bytes = (segments.len() as u32 - 1).to_le_bytes().to_vec();
        segments.iter().for_each(|words| bytes.extend(words.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(8), 0xff);
        let words: u32 = segments.iter().sum();
        bytes.resize(bytes.len() + 8 * words as usize, 0xff);
        bytes
    }

    #[test]
    fn once_its_table_is_there_a_message_is_wanted_whole() {
        let mut bounds = MessageBounds::default();
        assert_eq!((bounds.wanted_bytes(), bounds.advance(&[2, 0, 0])), (8, false));
        assert_eq!((bounds.wanted_bytes(), bounds.advance(&[0, 1, 0, 0, 0])), (5, false));
        assert_eq!((bounds.wanted_bytes(), bounds.advance(&[2, 0, 0, 0, 0, 1, 0, 0])), (8, false));
        assert_eq!((bounds.wanted_bytes(), bounds.advance(&[0; 2_000])), (8 * 259, false));
        assert_eq!((bounds.wanted_bytes(), bounds.advance(&[0; 72])), (72, true));
        assert_eq!(bounds.wanted_bytes(), 8, "of the next");
    }

    #[test]
    fn messages_end_where_they_do_however_they_are_cut() {
        let messages = [&[1][..], &[3, 2], &[2, 0, 5], &[0, 0, 0, 1], &[300]].map(message);
        let stream = messages.concat();
        for step in 1..=stream.len() {
            let mut bounds = MessageBounds::default();
            let (mut at, mut from, mut found) = (0, 0, Vec::new());
            while at < stream.len() {
                let count = bounds.wanted_bytes().min(step).min(stream.len() - at);
                let is_end = bounds.advance(&stream[at..at + count]);
                at += count;
                if is_end {
                    found.push(stream[from..at].to_vec());
                    from = at;
                }
            }
            assert_eq!(found, messages, "in steps of {step}");
        }
    }
}
