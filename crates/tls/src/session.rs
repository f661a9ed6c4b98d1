//! Session: what follows a handshake. Records are opened where they arrived and sealed where they will be sent from.

use crate::engine::{Established, Info, Successor};
use crate::record::{ContentType, HEADER_BYTES, Header, RecordKey};
use crate::{Alert, TlsError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// Longest message of a handshake that follows the handshake: tickets are the longest.
const MESSAGE_BYTES_MAX: usize = 1 << 16;

/// Records in a row that carry no data: whoever sends more makes us work for nothing.
const IDLE_RECORDS_MAX: u8 = 32;

/// One connection with keys.
pub struct Session {
    opener: RecordKey,
    sealer: RecordKey,
    /// None in TLS 1.2.
    successor: Option<Box<dyn Successor>>,
    info: Info,
    /// The part of a message that has arrived.
    message: Vec<u8>,
    /// Records that are to be sent before all others.
    output: Vec<u8>,
    /// Records in a row without data.
    idle_records: u8,
    /// The answer to the peer's wish for a new key is among the output.
    update_waits: bool,
    close_sent: bool,
}

/// What came of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// No whole record is there; the one that is has this length, if that is known.
    Incomplete(Option<usize>),
    /// A record of so many bytes, with data that lies here.
    Data {
        /// Bytes of the record.
        record_bytes: usize,
        /// Where its plaintext lies. It may be empty.
        plaintext: Range<usize>,
    },
    /// A record of so many bytes that was not data. There may be output.
    Other(usize),
    /// The record of this length was close_notify: the peer sends no more.
    Closed(usize),
}

impl Session {
    pub(crate) fn new(established: Established, output: Vec<u8>) -> Result<Self, TlsError> {
        let Established { transmit, receive, successor, info } = established;
        Ok(Self {
            opener: RecordKey::new(info.is_tls13, &receive)?,
            sealer: RecordKey::new(info.is_tls13, &transmit)?,
            successor,
            info,
            message: Vec::new(),
            output,
            idle_records: 0,
            update_waits: false,
            close_sent: false,
        })
    }

    /// What was agreed on.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Opens the first record of `bytes` in place.
    ///
    /// # Errors
    /// The peer broke the protocol or ended the connection; the alert is among the output.
    pub fn open(&mut self, bytes: &mut [u8]) -> Result<Opened, TlsError> {
        let opened = self.open_record(bytes);
        if let Err(error) = &opened
            && let Some(alert) = error.alert()
        {
            self.alert(Level::Fatal, alert);
        }
        opened
    }

    /// Bytes that the record lacks of which this is the first part, or its header.
    ///
    /// # Errors
    /// It is no record.
    pub fn wanted_record_bytes(&self, part: &[u8]) -> Result<usize, TlsError> {
        let header = self.opener.header(part)?;
        let whole = header.map_or(HEADER_BYTES, |header| header.record_bytes);
        Ok(whole.saturating_sub(part.len()))
    }

    /// Bytes in front of the plaintext in a record.
    pub fn prefix_bytes(&self) -> usize {
        self.sealer.prefix_bytes()
    }

    /// Bytes of a record beside its plaintext.
    pub fn overhead_bytes(&self) -> usize {
        self.sealer.overhead_bytes()
    }

    /// Sees to it that there is a key for the next record; there may be output that must leave before it.
    ///
    /// # Errors
    /// [`TlsError::WornOut`].
    pub fn prepare(&mut self) -> Result<(), TlsError> {
        if !self.sealer.is_worn() {
            return Ok(());
        }
        if self.successor.is_none() {
            return Err(TlsError::WornOut);
        }
        self.update_transmit()
    }

    /// Makes a record of the plaintext that lies in `space` behind [`prefix_bytes`](Self::prefix_bytes); its length.
    ///
    /// # Errors
    /// There is no space, or no [prepared](Self::prepare) key.
    pub fn seal(&mut self, space: &mut [u8], plaintext_bytes: usize) -> Result<usize, TlsError> {
        self.sealer.seal(ContentType::ApplicationData, space, plaintext_bytes)
    }

    /// Ends our direction, by close_notify among the output (RFC 8446 section 6.1). Later calls do nothing.
    pub fn close(&mut self) {
        if !core::mem::replace(&mut self.close_sent, true) {
            self.alert(Level::Warning, Alert::CloseNotify);
        }
    }

    /// Records that are to be sent before all others.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// So many bytes of the output were sent.
    pub fn output_taken(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
        if self.output.is_empty() {
            self.output = Vec::new();
            self.update_waits = false;
        }
    }

    /// Bytes that the session holds beside itself.
    pub fn held_bytes(&self) -> usize {
        self.message.capacity() + self.output.capacity()
    }

    fn open_record(&mut self, bytes: &mut [u8]) -> Result<Opened, TlsError> {
        let Some(Header { content, record_bytes }) = self.opener.header(bytes)? else {
            return Ok(Opened::Incomplete(None));
        };
        let Some(record) = bytes.get_mut(..record_bytes) else {
            return Ok(Opened::Incomplete(Some(record_bytes)));
        };
        let (content, plaintext) = self.opener.open(content, record)?;
        let inside = record.get(plaintext.clone()).unwrap_or_default();
        self.count_idle(content, inside)?;
        // RFC 8446 section 5.1: no other record between the parts of a message.
        if content != ContentType::Handshake && !self.message.is_empty() {
            return Err(unexpected("a record inside a handshake message"));
        }
        match content {
            ContentType::ApplicationData => Ok(Opened::Data { record_bytes, plaintext }),
            ContentType::Handshake => {
                self.take_messages(inside).map(|()| Opened::Other(record_bytes))
            }
            ContentType::Alert => self.take_alert(inside, record_bytes),
            // RFC 8446 section 5: not after the handshake; RFC 5246 section 7.1: not without one.
            ContentType::ChangeCipherSpec => Err(unexpected("change_cipher_spec")),
        }
    }

    fn count_idle(&mut self, content: ContentType, inside: &[u8]) -> Result<(), TlsError> {
        if content == ContentType::ApplicationData && !inside.is_empty() {
            self.idle_records = 0;
            return Ok(());
        }
        self.idle_records += 1;
        if self.idle_records > IDLE_RECORDS_MAX {
            return Err(unexpected("too many records without data"));
        }
        Ok(())
    }

    /// RFC 8446 section 6; RFC 5246 section 7.2 has warnings, too.
    fn take_alert(&mut self, inside: &[u8], record_bytes: usize) -> Result<Opened, TlsError> {
        const USER_CANCELED: u8 = 90;
        match *inside {
            [_, 0] => Ok(Opened::Closed(record_bytes)),
            // RFC 8446 section 6.1: what cancels is close_notify, which follows.
            [_, USER_CANCELED] => Ok(Opened::Other(record_bytes)),
            [1, _] if !self.info.is_tls13 => Ok(Opened::Other(record_bytes)),
            [_, number] => Err(TlsError::Received(number)),
            // RFC 8446 section 5.1: an alert is in one record, alone.
            _ => Err(TlsError::Bad(Alert::DecodeError, "an alert that is none")),
        }
    }

    /// Takes handshake messages, which may be parts.
    fn take_messages(&mut self, mut inside: &[u8]) -> Result<(), TlsError> {
        // RFC 8446 section 5.1: no empty parts.
        if inside.is_empty() {
            return Err(unexpected("an empty part of a handshake message"));
        }
        while !inside.is_empty() {
            let count = self.wanted_bytes()?.min(inside.len());
            let (part, rest) = inside.split_at(count);
            self.message.extend_from_slice(part);
            inside = rest;
            if self.wanted_bytes()? == 0 {
                let message = core::mem::take(&mut self.message);
                self.take_message(&message, rest)?;
            }
        }
        Ok(())
    }

    /// Bytes that the message lacks, or its header.
    fn wanted_bytes(&self) -> Result<usize, TlsError> {
        let have = self.message.len();
        let &[_, high, middle, low, ..] = &*self.message else { return Ok(4 - have) };
        let message_bytes = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
        if message_bytes > MESSAGE_BYTES_MAX {
            return Err(TlsError::Bad(Alert::DecodeError, "a handshake message is too long"));
        }
        Ok(message_bytes - have)
    }

    /// Takes a whole message, which `rest` follows in the same record.
    fn take_message(&mut self, message: &[u8], rest: &[u8]) -> Result<(), TlsError> {
        const HELLO_REQUEST: u8 = 0;
        const CLIENT_HELLO: u8 = 1;
        const NEW_SESSION_TICKET: u8 = 4;
        const KEY_UPDATE: u8 = 24;
        let (kind, content) = match message {
            [kind, _, _, _, content @ ..] => (*kind, content),
            _ => return Err(unexpected("a handshake message without a header")),
        };
        let Some(successor) = &mut self.successor else {
            if !matches!(kind, HELLO_REQUEST | CLIENT_HELLO) {
                return Err(unexpected("a handshake message after the handshake"));
            }
            // RFC 5246 section 7.2.2: a handshake that we do not make again; the peer may go on without.
            self.alert(Level::Warning, Alert::NoRenegotiation);
            return Ok(());
        };
        match kind {
            NEW_SESSION_TICKET => successor.take_ticket(content),
            // RFC 8446 section 5.1: a message that changes keys ends its record.
            KEY_UPDATE if !rest.is_empty() => Err(unexpected("something behind a key update")),
            KEY_UPDATE => self.take_key_update(content),
            // Nothing else was offered (RFC 8446 section 4.6).
            _ => Err(unexpected("a handshake message after the handshake")),
        }
    }

    /// RFC 8446 section 4.6.3.
    fn take_key_update(&mut self, content: &[u8]) -> Result<(), TlsError> {
        let Some(successor) = &mut self.successor else { return Ok(()) };
        let is_requested = match content {
            [0] => false,
            [1] => true,
            _ => return Err(TlsError::Bad(Alert::DecodeError, "a key update that is none")),
        };
        self.opener = RecordKey::new(true, &successor.next_receive()?)?;
        // One answer does for all wishes that come before it leaves.
        if is_requested && !self.update_waits && !self.close_sent {
            self.update_waits = true;
            self.update_transmit()?;
        }
        Ok(())
    }

    /// Says that the next key follows, and takes it.
    fn update_transmit(&mut self) -> Result<(), TlsError> {
        const KEY_UPDATE_NOT_REQUESTED: [u8; 5] = [24, 0, 0, 1, 0];
        self.push(ContentType::Handshake, &KEY_UPDATE_NOT_REQUESTED)?;
        if let Some(successor) = &mut self.successor {
            self.sealer = RecordKey::new(true, &successor.next_transmit()?)?;
        }
        Ok(())
    }

    /// Nothing follows a key that cannot seal it.
    fn alert(&mut self, level: Level, alert: Alert) {
        let _ = self.push(ContentType::Alert, &[level as u8, alert.number()]);
    }

    fn push(&mut self, content: ContentType, plaintext: &[u8]) -> Result<(), TlsError> {
        let start = self.output.len();
        self.output.resize(start + self.sealer.overhead_bytes() + plaintext.len(), 0);
        let record = self.output.get_mut(start..).unwrap_or_default();
        let place = record.iter_mut().skip(self.sealer.prefix_bytes());
        place.zip(plaintext).for_each(|(place, byte)| *place = *byte);
        let sealed = self.sealer.seal(content, record, plaintext.len());
        if sealed.is_err() {
            self.output.truncate(start);
        }
        sealed.map(drop)
    }
}

#[derive(Clone, Copy)]
enum Level {
    Warning = 1,
    Fatal = 2,
}

fn unexpected(reason: &'static str) -> TlsError {
    TlsError::Bad(Alert::UnexpectedMessage, reason)
}

/// What tests need of a peer that does what it must not.
#[cfg(test)]
impl Session {
    /// A record of this content, as only a peer that breaks the protocol sends it.
    pub(crate) fn sealed_as(&mut self, content: u8, inside: &[u8]) -> Vec<u8> {
        let content = match content {
            20 => ContentType::ChangeCipherSpec,
            21 => ContentType::Alert,
            22 => ContentType::Handshake,
            _ => ContentType::ApplicationData,
        };
        self.push(content, inside).unwrap();
        core::mem::take(&mut self.output)
    }

    /// Goes on with the next key without a word.
    pub(crate) fn next_key(&mut self) {
        let secret = self.successor.as_mut().unwrap().next_transmit().unwrap();
        self.sealer = RecordKey::new(true, &secret).unwrap();
    }

    /// Asks the peer for its next key, too.
    pub(crate) fn request_update(&mut self) -> Vec<u8> {
        let request = self.sealed_as(22, &[24, 0, 0, 1, 1]);
        self.next_key();
        request
    }

    pub(crate) fn wear_out(&mut self) {
        self.sealer.wear_out();
    }

    pub(crate) fn expect_worn(&mut self) {
        self.opener.wear_out();
    }
}
