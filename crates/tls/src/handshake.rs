//! Handshake: from the first byte to keys, fed in pieces of any length.

use crate::engine::Engine;
use crate::record::{HEADER_BYTES, Header};
use crate::{Alert, Session, TlsError};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Most bytes that a peer may send in a handshake: chains of certificates take a few thousand, and a key of ML-KEM one.
pub const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// A handshake on one connection, of either side.
///
/// Feed it with [`handle_input`](Self::handle_input), send [`output`](Self::output), and when it
/// [is complete](Self::is_complete) make a [`Session`] of it. After an error there is output still: the alert.
pub struct Handshake {
    engine: Box<dyn Engine>,
    /// Records that the engine is not done with, and the part of the next one that is there.
    input: Vec<u8>,
    /// Where in `input` the part begins.
    part_start: usize,
    output: Vec<u8>,
    /// Bytes taken since the start.
    taken_bytes: usize,
    /// There was output.
    has_spoken: bool,
    failure: Option<TlsError>,
}

impl Handshake {
    /// A client has something to say at once.
    pub(crate) fn new(engine: Box<dyn Engine>) -> Result<Self, TlsError> {
        let mut handshake = Self {
            engine,
            input: Vec::new(),
            part_start: 0,
            output: Vec::new(),
            taken_bytes: 0,
            has_spoken: false,
            failure: None,
        };
        handshake.advance()?;
        Ok(handshake)
    }

    /// Takes input up to the end of the handshake; how many bytes. What follows belongs to the session.
    ///
    /// # Errors
    /// The handshake failed; what is left of the input has no meaning any more, and more input gets the same error.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let taken = self.take_parts(bytes);
        self.failure = taken.clone().err();
        taken
    }

    /// Both sides have finished. There may be output still, which goes over to the session.
    pub fn is_complete(&self) -> bool {
        self.engine.is_complete()
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// So many bytes of the output were sent.
    pub fn output_taken(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
        if self.output.is_empty() {
            self.output = Vec::new();
        }
    }

    /// Bytes that the handshake holds for its peer.
    pub fn held_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity() + ENGINE_BYTES
    }

    /// What the handshake came to.
    ///
    /// # Errors
    /// It is not complete.
    pub fn into_session(self) -> Result<Session, TlsError> {
        Session::new(self.engine.establish()?, self.output)
    }

    fn take_parts(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_complete() {
            taken += self.take_part(bytes.get(taken..).unwrap_or_default())?;
        }
        Ok(taken)
    }

    /// Takes input up to the end of a header or of a record, and hands a whole record over.
    fn take_part(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        let wanted = self.wanted_bytes()?;
        let count = wanted.min(bytes.len());
        self.taken_bytes += count;
        if self.taken_bytes > HANDSHAKE_BYTES_MAX {
            return self.fail(TlsError::Bad(Alert::DecodeError, "a handshake is too long"));
        }
        self.input.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.wanted_bytes()? == 0 {
            // RFC 8446 section 6.1: whoever gives up before there are keys says so, too. rustls would wait for more.
            if let [21, _, _, 0, 2, _, 0] = self.input.get(self.part_start..).unwrap_or_default() {
                return Err(TlsError::Received(0));
            }
            self.advance()?;
        }
        Ok(count)
    }

    /// Bytes that the header lacks, or the record if that is known.
    fn wanted_bytes(&mut self) -> Result<usize, TlsError> {
        let part = self.input.get(self.part_start..).unwrap_or_default();
        let part_bytes = part.len();
        match Header::parse(part) {
            Ok(Some(header)) => Ok(header.record_bytes - part_bytes),
            Ok(None) => Ok(HEADER_BYTES - part_bytes),
            Err(error) => self.fail(error),
        }
    }

    fn advance(&mut self) -> Result<(), TlsError> {
        let before = self.output.len();
        let handled = self.engine.handle_records(&mut self.input, &mut self.output);
        let done = match handled {
            // What is no message at all rustls tells us only.
            Err(TlsError::Handshake(reason)) if self.output.len() == before => {
                self.tell(Alert::DecodeError);
                return Err(TlsError::Handshake(reason));
            }
            Err(error @ TlsError::Bad(..)) => return self.fail(error),
            handled => handled?,
        };
        self.has_spoken |= self.output.len() > before;
        self.input.drain(..done);
        self.part_start = self.input.len();
        if self.input.is_empty() {
            // Between two flights nothing is held.
            self.input = Vec::new();
        }
        Ok(())
    }

    fn fail<T>(&mut self, error: TlsError) -> Result<T, TlsError> {
        if let (Some(alert), false) = (error.alert(), error == TlsError::NotTls) {
            self.tell(alert);
        }
        Err(error)
    }

    /// Sends an alert in the clear. There may be keys once we have spoken; what is not under them would be refused.
    fn tell(&mut self, alert: Alert) {
        if !self.has_spoken {
            self.output.extend_from_slice(&[21, 3, 3, 0, 2, 2, alert.number()]);
        }
    }
}

/// What an engine takes while its handshake lasts, measured: with both flights and the hashes.
const ENGINE_BYTES: usize = 8 * 1024;
