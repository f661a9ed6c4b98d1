//! What carries a connection: a kernel socket, in the clear or by TLS with a key of our own.

use rpc::{SturdyRef, VatPlace};
use std::io::{Error, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use tls::{ClientContext, Handshake, Opened, SecretKey, Session, TlsError};

/// A stream of bytes both ways.
pub(crate) enum Transport {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

impl Transport {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        Self::Plain(stream)
    }

    /// To the vat of a reference, which has to have its key.
    pub(crate) fn secure(reference: &SturdyRef) -> Self {
        let fingerprint = reference.fingerprint.expect("a secure reference");
        let VatPlace::Tcp { host, port } = &reference.place else { panic!("a vat at a socket") };
        let stream = TcpStream::connect((&**host, *port)).expect("a vat there");
        stream.set_nodelay(true).expect("a socket");
        let key = SecretKey::generate().expect("random bytes");
        let context = ClientContext::by_key(&key, fingerprint.0).expect("a context");
        let handshake = context.handshake("vat").expect("a handshake");
        Self::Secure(Box::new(Secure::new(stream, handshake).expect("the right key")))
    }

    /// Sends no more.
    pub(crate) fn finish(&self) {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Secure(secure) => &secure.stream,
        };
        stream.shutdown(Shutdown::Write).expect("a connection");
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(secure) => secure.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(secure) => secure.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A session over a socket.
pub(crate) struct Secure {
    stream: TcpStream,
    session: Session,
    /// What has arrived, of which this part is not opened.
    incoming: Box<[u8]>,
    sealed: Range<usize>,
    /// Where in it data lies that nobody took.
    data: Range<usize>,
    outgoing: Box<[u8]>,
}

impl Secure {
    fn new(mut stream: TcpStream, mut handshake: Handshake) -> Result<Self> {
        let mut incoming = vec![0; 4 * tls::RECORD_BYTES_MAX].into_boxed_slice();
        let mut sealed = 0..0;
        while !handshake.is_complete() {
            stream.write_all(handshake.output())?;
            handshake.output_taken(handshake.output().len());
            let count = stream.read(&mut incoming)?;
            let taken = handshake.handle_input(&incoming[..count]).map_err(failed)?;
            sealed = taken..count;
        }
        let mut session = handshake.into_session().map_err(failed)?;
        stream.write_all(session.output())?;
        session.output_taken(session.output().len());
        let outgoing = vec![0; tls::RECORD_BYTES_MAX].into_boxed_slice();
        Ok(Self { stream, session, incoming, sealed, data: 0..0, outgoing })
    }

    /// Opens a record, if one is whole; false at the end.
    fn open(&mut self) -> Result<bool> {
        let Range { start, end } = self.sealed;
        match self.session.open(&mut self.incoming[start..end]).map_err(failed)? {
            Opened::Data { record_bytes, plaintext } => {
                self.data = start + plaintext.start..start + plaintext.end;
                self.sealed.start += record_bytes;
            }
            Opened::Other(count) => self.sealed.start += count,
            Opened::Closed(_) => return Ok(false),
            Opened::Incomplete(_) => {
                self.incoming.copy_within(start..end, 0);
                let count = self.stream.read(&mut self.incoming[end - start..])?;
                self.sealed = 0..end - start + count;
                return Ok(count > 0);
            }
        }
        Ok(true)
    }
}

impl Read for Secure {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.data.is_empty() {
            if !self.open()? {
                return Ok(0);
            }
        }
        let count = self.data.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.incoming[self.data.start..][..count]);
        self.data.start += count;
        Ok(count)
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.session.prepare().map_err(failed)?;
        let count = bytes.len().min(tls::PLAINTEXT_BYTES_MAX);
        let start = self.session.prefix_bytes();
        self.outgoing[start..start + count].copy_from_slice(&bytes[..count]);
        let record = self.session.seal(&mut self.outgoing, count).map_err(failed)?;
        self.stream.write_all(&self.outgoing[..record])?;
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn failed(error: TlsError) -> Error {
    Error::other(error)
}
