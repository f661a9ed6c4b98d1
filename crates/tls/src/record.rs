//! Record protocol: one direction's key, and records sealed and opened where they lie (RFC 8446 section 5, RFC 5246
//! section 6.2).

use crate::engine::{Cipher, TrafficSecret};
use crate::{Alert, TlsError};
use core::ops::Range;
use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use zeroize::Zeroize;

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 5;

/// Most bytes of a record's plaintext (RFC 8446 section 5.1).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 14;

/// Most bytes of a whole record with its header: TLS 1.2 allows the larger expansion (RFC 5246 section 6.2.3).
pub const RECORD_BYTES_MAX: usize = HEADER_BYTES + TLS12_FRAGMENT_BYTES_MAX;

/// What follows the header at most: in the clear, in TLS 1.3 (RFC 8446 section 5.2), in TLS 1.2.
const CLEAR_FRAGMENT_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX;
const TLS13_FRAGMENT_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 256;
const TLS12_FRAGMENT_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2048;

/// Most bytes that a record has beside its plaintext: header, explicit nonce or content type, tag.
pub const OVERHEAD_BYTES_MAX: usize = HEADER_BYTES + EXPLICIT_NONCE_BYTES + TAG_BYTES;

/// Records that a worn key can still seal.
const RECORDS_LEFT: u64 = 8;

const EXPLICIT_NONCE_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// What a record carries (RFC 8446 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// The one message of its own, which TLS 1.3 has for middleboxes only.
    ChangeCipherSpec,
    /// An alert.
    Alert,
    /// Handshake messages or parts of them.
    Handshake,
    /// The application's bytes.
    ApplicationData,
}

impl ContentType {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            20 => Some(Self::ChangeCipherSpec),
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::ApplicationData),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::ChangeCipherSpec => 20,
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::ApplicationData => 23,
        }
    }
}

/// A record's header: what it says of the record, and how long that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the record carries, as far as can be seen from outside.
    pub(crate) content: ContentType,
    /// Bytes of the record, header included.
    pub(crate) record_bytes: usize,
}

impl Header {
    /// The header at the front of `bytes` of a handshake; none while it is not whole.
    ///
    /// # Errors
    /// It is none, or the record is too long. What is no TLS is known by its first byte.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, TlsError> {
        // Application data is what TLS 1.3 encrypts; what TLS 1.2 does is a few bytes long.
        let is_encrypted = bytes.first() == Some(&ContentType::ApplicationData.byte());
        let max = if is_encrypted { TLS13_FRAGMENT_BYTES_MAX } else { CLEAR_FRAGMENT_BYTES_MAX };
        Self::parse_with(bytes, max)
    }

    fn parse_with(bytes: &[u8], fragment_bytes_max: usize) -> Result<Option<Self>, TlsError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let content = ContentType::from_byte(first).ok_or(TlsError::NotTls)?;
        // RFC 8446 appendix E.1 and RFC 5246 appendix E.1: the minor version tells nothing, the major one is always 3.
        if bytes.get(1).is_some_and(|&major| major != 3) {
            return Err(TlsError::NotTls);
        }
        let &[_, _, _, high, low, ..] = bytes else { return Ok(None) };
        let record_bytes = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        // RFC 8446 sections 5.1 and 5.2: record_overflow.
        if record_bytes > HEADER_BYTES + fragment_bytes_max {
            return Err(TlsError::Bad(Alert::RecordOverflow, "a record is too long"));
        }
        Ok(Some(Self { content, record_bytes }))
    }
}

/// What a direction's records look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// TLS 1.3: the content type is inside.
    Tls13,
    /// TLS 1.2 with a nonce whose second part is sent (RFC 5288 section 3).
    Tls12Explicit,
    /// TLS 1.2 without (RFC 7905 section 2).
    Tls12Implicit,
}

/// One direction's traffic key with the number of its next record.
pub(crate) struct RecordKey {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    form: Form,
    /// Records after which the key is worn out (RFC 8446 section 5.5).
    records_max: u64,
}

impl RecordKey {
    pub(crate) fn new(is_tls13: bool, secret: &TrafficSecret) -> Result<Self, TlsError> {
        let algorithm = match secret.cipher {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let is_chacha = secret.cipher == Cipher::ChaCha20Poly1305;
        let form = match (is_tls13, is_chacha) {
            (true, _) => Form::Tls13,
            (false, false) => Form::Tls12Explicit,
            (false, true) => Form::Tls12Implicit,
        };
        Ok(Self {
            key: expand(algorithm, secret.key())?,
            iv: secret.iv,
            sequence: secret.sequence,
            form,
            // RFC 8446 section 5.5: 2^24.5 full records for AES-GCM; ChaCha20-Poly1305 outlives the number.
            records_max: if is_chacha { u64::MAX } else { 1 << 24 },
        })
    }

    /// The header at the front of `bytes` that are under this key; none while it is not whole.
    ///
    /// # Errors
    /// Those of [`Header::parse`].
    pub(crate) fn header(&self, bytes: &[u8]) -> Result<Option<Header>, TlsError> {
        let is_tls13 = self.form == Form::Tls13;
        let max = if is_tls13 { TLS13_FRAGMENT_BYTES_MAX } else { TLS12_FRAGMENT_BYTES_MAX };
        Header::parse_with(bytes, max)
    }

    /// Bytes in front of a record's plaintext.
    pub(crate) fn prefix_bytes(&self) -> usize {
        HEADER_BYTES + if self.form == Form::Tls12Explicit { EXPLICIT_NONCE_BYTES } else { 0 }
    }

    /// Bytes of a record beside its plaintext.
    pub(crate) fn overhead_bytes(&self) -> usize {
        let inner_type = usize::from(self.form == Form::Tls13);
        self.prefix_bytes() + inner_type + TAG_BYTES
    }

    /// Whether the next key is due: a few records are left, for alerts and what says that there is a next one.
    pub(crate) fn is_worn(&self) -> bool {
        self.sequence >= self.records_max - RECORDS_LEFT
    }

    /// Makes a record of the plaintext that lies in `space` behind [`prefix_bytes`](Self::prefix_bytes); bytes of the
    /// whole record. `space` has [`overhead_bytes`](Self::overhead_bytes) more than the plaintext, which is not longer
    /// than [`PLAINTEXT_BYTES_MAX`].
    pub(crate) fn seal(
        &mut self,
        content: ContentType,
        space: &mut [u8],
        plaintext_bytes: usize,
    ) -> Result<usize, TlsError> {
        const TOO_SMALL: TlsError = TlsError::Internal("no space for a record");
        if self.sequence >= self.records_max {
            return Err(TlsError::WornOut);
        }
        let record_bytes = self.overhead_bytes() + plaintext_bytes;
        let prefix_bytes = self.prefix_bytes();
        let space = space.get_mut(..record_bytes).ok_or(TOO_SMALL)?;
        let (prefix, rest) = space.split_at_mut(prefix_bytes);
        let (body, tag) = rest.split_at_mut(record_bytes - prefix_bytes - TAG_BYTES);
        let outside = match (self.form, body.last_mut()) {
            // RFC 8446 section 5.2: the type goes inside, and outside all is application data.
            (Form::Tls13, Some(inner)) => {
                *inner = content.byte();
                ContentType::ApplicationData
            }
            _ => content,
        };
        let length = (record_bytes - HEADER_BYTES) as u16;
        let (header, explicit) = prefix.split_at_mut(HEADER_BYTES);
        let [high, low] = length.to_be_bytes();
        header.copy_from_slice(&[outside.byte(), 3, 3, high, low]);
        let nonce = self.nonce(self.sequence);
        // The rest of a nonce of our own is as unique as the number that is in it.
        explicit.copy_from_slice(nonce.get(NONCE_LEN - explicit.len()..).unwrap_or_default());
        let (aad, aad_bytes) = self.aad(header, body.len());
        let aad = Aad::from(aad.get(..aad_bytes).unwrap_or_default());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_separate_tag(nonce, aad, body);
        tag.copy_from_slice(
            sealed.map_err(|_| TlsError::Internal("a record not sealed"))?.as_ref(),
        );
        self.sequence += 1;
        Ok(record_bytes)
    }

    /// Opens a whole record in place: what it carries, and where its plaintext lies.
    pub(crate) fn open(
        &mut self,
        outside: ContentType,
        record: &mut [u8],
    ) -> Result<(ContentType, Range<usize>), TlsError> {
        const BAD_MAC: TlsError = TlsError::Bad(Alert::BadRecordMac, "a record does not decrypt");
        if self.sequence == u64::MAX {
            return Err(TlsError::WornOut);
        }
        // RFC 8446 section 5: everything is application data once there are keys.
        if self.form == Form::Tls13 && outside != ContentType::ApplicationData {
            return Err(TlsError::Bad(Alert::UnexpectedMessage, "a record in the clear"));
        }
        let start = self.prefix_bytes();
        let body_bytes = record.len().checked_sub(start + TAG_BYTES).ok_or(BAD_MAC)?;
        let (prefix, body) = record.split_at_mut(start);
        let (header, explicit) = prefix.split_at_mut(HEADER_BYTES);
        let mut nonce = self.nonce(self.sequence);
        if self.form == Form::Tls12Explicit {
            nonce[NONCE_LEN - EXPLICIT_NONCE_BYTES..].copy_from_slice(explicit);
        }
        let (aad, aad_bytes) = self.aad(header, body_bytes);
        let aad = Aad::from(aad.get(..aad_bytes).unwrap_or_default());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plaintext = self.key.open_in_place(nonce, aad, body).map_err(|_| BAD_MAC)?;
        self.sequence += 1;
        // RFC 8446 section 5.4, with content type and padding, and RFC 5246 section 6.2.1: record_overflow.
        let inner_type_bytes = usize::from(self.form == Form::Tls13);
        if plaintext.len() > PLAINTEXT_BYTES_MAX + inner_type_bytes {
            return Err(TlsError::Bad(Alert::RecordOverflow, "a record's plaintext is too long"));
        }
        let (content, length) = match self.form {
            Form::Tls13 => inner_type(plaintext)?,
            _ => (outside, plaintext.len()),
        };
        Ok((content, start..start + length))
    }

    /// As after as many records as make the next key due.
    #[cfg(test)]
    pub(crate) fn wear_out(&mut self) {
        self.sequence = (1 << 24) - RECORDS_LEFT;
        self.records_max = 1 << 24;
    }

    /// RFC 8446 section 5.3: the number is mixed into the IV.
    fn nonce(&self, sequence: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        let tail = nonce.iter_mut().skip(NONCE_LEN - 8);
        tail.zip(sequence.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        nonce
    }

    /// What is authenticated beside the plaintext: RFC 8446 section 5.2, RFC 5246 section 6.2.3.3.
    fn aad(&self, header: &[u8], body_bytes: usize) -> ([u8; 13], usize) {
        let mut aad = [0; 13];
        if self.form == Form::Tls13 {
            aad[..HEADER_BYTES].copy_from_slice(header);
            return (aad, HEADER_BYTES);
        }
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        aad[8..11].copy_from_slice(&header[..3]);
        aad[11..].copy_from_slice(&(body_bytes as u16).to_be_bytes());
        (aad, 13)
    }
}

impl Drop for RecordKey {
    /// What was expanded from the key is overwritten: *ring* has no call for it.
    fn drop(&mut self) {
        self.iv.zeroize();
        let algorithm = self.key.algorithm();
        if let Ok(blank) = expand(algorithm, &[0; 32][..algorithm.key_len()]) {
            self.key = blank;
            core::hint::black_box(&mut self.key);
        }
    }
}

fn expand(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, TlsError> {
    let key = UnboundKey::new(algorithm, key);
    key.map(LessSafeKey::new).map_err(|_| TlsError::Internal("a key of another cipher"))
}

/// RFC 8446 section 5.4: the content type is the last byte that is not zero; what follows is padding.
fn inner_type(plaintext: &[u8]) -> Result<(ContentType, usize), TlsError> {
    let found = plaintext.iter().rposition(|&byte| byte != 0);
    // Nothing but zeros, or a type that there is not: unexpected_message.
    let content = found.and_then(|at| Some((ContentType::from_byte(*plaintext.get(at)?)?, at)));
    content.ok_or(TlsError::Bad(Alert::UnexpectedMessage, "a record without a content type"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// The same key for both directions, of each form.
    fn pairs() -> Vec<(RecordKey, RecordKey)> {
        let mut all = Vec::new();
        for is_tls13 in [true, false] {
            for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
                let new = || RecordKey::new(is_tls13, &secret(cipher, 3)).unwrap();
                all.push((new(), new()));
            }
        }
        all
    }

    fn secret(cipher: Cipher, sequence: u64) -> TrafficSecret {
        TrafficSecret::new(cipher, &[7; 32][..cipher.key_bytes()], [9; 12], sequence)
    }

    fn sealed(key: &mut RecordKey, content: ContentType, plaintext: &[u8]) -> Vec<u8> {
        let mut record = vec![0; key.overhead_bytes() + plaintext.len()];
        let start = key.prefix_bytes();
        record[start..start + plaintext.len()].copy_from_slice(plaintext);
        assert_eq!(key.seal(content, &mut record, plaintext.len()), Ok(record.len()));
        record
    }

    /// A record of TLS 1.3 with this inner plaintext.
    fn sealed_inside(key: &mut RecordKey, inside: &[u8]) -> Vec<u8> {
        let [high, low] = ((inside.len() + TAG_BYTES) as u16).to_be_bytes();
        let header = [23, 3, 3, high, low];
        let nonce = Nonce::assume_unique_for_key(key.nonce(key.sequence));
        let mut body = inside.to_vec();
        key.key.seal_in_place_append_tag(nonce, Aad::from(&header), &mut body).unwrap();
        key.sequence += 1;
        [&header[..], &body].concat()
    }

    fn opened(key: &mut RecordKey, record: &mut [u8]) -> Result<(ContentType, Vec<u8>), TlsError> {
        let header = key.header(record)?.unwrap();
        assert_eq!(header.record_bytes, record.len());
        let (content, range) = key.open(header.content, record)?;
        Ok((content, record[range].to_vec()))
    }

    #[test]
    fn what_is_sealed_is_opened_and_each_record_once() {
        for (mut ours, mut theirs) in pairs() {
            for content in [ContentType::ApplicationData, ContentType::Alert] {
                for length in [0, 1, 255, PLAINTEXT_BYTES_MAX] {
                    let mut record = sealed(&mut ours, content, &vec![5; length]);
                    let mut replay = record.clone();
                    assert_eq!(opened(&mut theirs, &mut record), Ok((content, vec![5; length])));
                    // A replayed record has the wrong number.
                    let again = opened(&mut theirs, &mut replay).unwrap_err();
                    assert_eq!(again.alert(), Some(Alert::BadRecordMac));
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_bad_record_mac() {
        for (mut ours, mut theirs) in pairs() {
            let record = sealed(&mut ours, ContentType::ApplicationData, b"hello");
            for at in HEADER_BYTES..record.len() {
                let mut changed = record.clone();
                changed[at] ^= 1;
                let error = opened(&mut theirs, &mut changed).unwrap_err();
                assert_eq!(error.alert(), Some(Alert::BadRecordMac), "{at}");
            }
            // What did not decrypt was no record: the number is the same still.
            assert!(opened(&mut theirs, &mut record.clone()).is_ok());
        }
    }

    #[test]
    fn records_too_short_for_a_tag_do_not_decrypt() {
        for (_, mut theirs) in pairs() {
            for length in 0..theirs.overhead_bytes() - HEADER_BYTES {
                let mut record = vec![0; HEADER_BYTES + length];
                record[..HEADER_BYTES].copy_from_slice(&[23, 3, 3, 0, length as u8]);
                let error = opened(&mut theirs, &mut record).unwrap_err();
                assert_eq!(error.alert(), Some(Alert::BadRecordMac));
            }
        }
    }

    #[test]
    fn rfc8446_5_1_a_plaintext_over_the_limit_is_record_overflow() {
        for (mut ours, mut theirs) in pairs() {
            let long = vec![1; PLAINTEXT_BYTES_MAX + 1];
            let mut record = sealed(&mut ours, ContentType::ApplicationData, &long);
            let error = opened(&mut theirs, &mut record).unwrap_err();
            assert_eq!(error.alert(), Some(Alert::RecordOverflow));
        }
    }

    #[test]
    fn rfc8446_5_4_padding_is_dropped_and_a_type_is_needed() {
        assert_eq!(inner_type(b"ab\x17\0\0"), Ok((ContentType::ApplicationData, 2)));
        assert_eq!(inner_type(b"\x15"), Ok((ContentType::Alert, 0)));
        for bad in [&b""[..], b"\0\0\0", b"a\x01", b"a\x18\0"] {
            assert_eq!(inner_type(bad).unwrap_err().alert(), Some(Alert::UnexpectedMessage));
        }
    }

    #[test]
    fn rfc8446_5_a_record_in_the_clear_is_refused_under_keys() {
        let (_, mut theirs) = pairs().remove(0);
        let error = opened(&mut theirs, &mut [21, 3, 3, 0, 2, 1, 0]).unwrap_err();
        assert_eq!(error.alert(), Some(Alert::UnexpectedMessage));
    }

    #[test]
    fn headers_are_known_by_the_first_byte_that_is_wrong() {
        assert_eq!(Header::parse(b""), Ok(None));
        assert_eq!(Header::parse(b"G"), Err(TlsError::NotTls));
        assert_eq!(Header::parse(&[22, 2]), Err(TlsError::NotTls));
        assert_eq!(Header::parse(&[22, 3, 1, 0]), Ok(None));
    }

    #[test]
    fn rfc8446_5_1_and_5_2_a_record_has_a_longest() {
        let with = |content: u8, length: u16| {
            let [high, low] = length.to_be_bytes();
            [content, 3, 3, high, low]
        };
        for (content, longest) in [(22, 16_384), (21, 16_384), (20, 16_384), (23, 16_640)] {
            assert!(Header::parse(&with(content, longest)).unwrap().is_some());
            let error = Header::parse(&with(content, longest + 1)).unwrap_err();
            assert_eq!(error.alert(), Some(Alert::RecordOverflow));
        }
        for (is_tls13, longest) in [(true, 16_640), (false, 18_432)] {
            let key = RecordKey::new(is_tls13, &secret(Cipher::Aes128Gcm, 0)).unwrap();
            assert!(key.header(&with(23, longest)).unwrap().is_some());
            let error = key.header(&with(23, longest + 1)).unwrap_err();
            assert_eq!(error.alert(), Some(Alert::RecordOverflow));
        }
    }

    /// Type and padding count.
    #[test]
    fn rfc8446_5_4_an_inner_plaintext_has_a_longest() {
        for (padding, is_right) in [(PLAINTEXT_BYTES_MAX - 1, true), (PLAINTEXT_BYTES_MAX, false)] {
            let (mut ours, mut theirs) = pairs().remove(0);
            let mut inside = vec![0; 2 + padding];
            inside[..2].copy_from_slice(&[b'x', ContentType::ApplicationData.byte()]);
            let mut record = sealed_inside(&mut ours, &inside);
            assert_eq!(opened(&mut theirs, &mut record).is_ok(), is_right, "{padding}");
        }
    }

    #[test]
    fn rfc8446_5_5_a_worn_key_seals_no_more() {
        let secret = secret(Cipher::Aes128Gcm, (1 << 24) - RECORDS_LEFT - 1);
        let mut key = RecordKey::new(true, &secret).unwrap();
        assert!(!key.is_worn());
        for _ in 0..=RECORDS_LEFT {
            sealed(&mut key, ContentType::ApplicationData, b"last");
            assert!(key.is_worn());
        }
        let seal = key.seal(ContentType::ApplicationData, &mut [0; 64], 1);
        assert_eq!(seal, Err(TlsError::WornOut));
    }
}
