//! The engine over rustls: its unbuffered connections make the handshake, and what they call a kernel connection the
//! keys that follow.

use super::{Cipher, Engine, Established, Info, Successor, TrafficSecret};
use crate::end_point::end_point;
use crate::{Alert, TlsError};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{
    CipherSuite, ClientConfig, CommonState, ConnectionTrafficSecrets, ExtractedSecrets,
    HandshakeKind, ProtocolVersion, ServerConfig,
};

/// The server's side of a handshake.
pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Box<dyn Engine>, TlsError> {
    let connection = UnbufferedServerConnection::new(config).map_err(failed)?;
    Ok(Box::new(Server { connection, has_begun: false }))
}

/// The client's side of a handshake with who has this name.
pub(crate) fn client(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Box<dyn Engine>, TlsError> {
    let connection = UnbufferedClientConnection::new(config, name).map_err(failed)?;
    Ok(Box::new(Client(connection)))
}

struct Server {
    connection: UnbufferedServerConnection,
    /// The first record was seen.
    has_begun: bool,
}

struct Client(UnbufferedClientConnection);

impl Engine for Server {
    fn handle_records(
        &mut self,
        input: &mut [u8],
        output: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let is_first = !core::mem::replace(&mut self.has_begun, !input.is_empty());
        if is_first && is_old_hello(input) {
            return Err(TlsError::Bad(Alert::ProtocolVersion, "a client of TLS 1.1 or older"));
        }
        advance(input, output, |input, output| {
            step(self.connection.process_tls_records(input), output)
        })
    }

    fn is_complete(&self) -> bool {
        !self.connection.is_handshaking()
    }

    fn establish(self: Box<Self>) -> Result<Established, TlsError> {
        let info = info(&self.connection)?;
        let (secrets, connection) =
            self.connection.dangerous_into_kernel_connection().map_err(failed)?;
        established(info, &secrets, || Box::new(ServerSuccessor(connection)))
    }
}

/// A client's hello whose newest version (RFC 8446 section 4.1.2, legacy_version) is older than TLS 1.2: rustls misses in it
/// what came later, and does not come to the version.
fn is_old_hello(record: &[u8]) -> bool {
    const CLIENT_HELLO: u8 = 1;
    matches!(*record, [22, _, _, _, _, CLIENT_HELLO, _, _, _, 3, minor, ..] if minor < 3)
}

impl Engine for Client {
    fn handle_records(
        &mut self,
        input: &mut [u8],
        output: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        advance(input, output, |input, output| step(self.0.process_tls_records(input), output))
    }

    fn is_complete(&self) -> bool {
        !self.0.is_handshaking()
    }

    fn establish(self: Box<Self>) -> Result<Established, TlsError> {
        let info = info(&self.0)?;
        let (secrets, connection) = self.0.dangerous_into_kernel_connection().map_err(failed)?;
        established(info, &secrets, || Box::new(ClientSuccessor(connection)))
    }
}

/// What one call of rustls came to.
struct Step {
    /// Bytes that are done with.
    done: usize,
    outcome: Outcome,
}

enum Outcome {
    /// There is more to do.
    More,
    /// A record is needed.
    Waits,
    Failed(TlsError),
}

/// Goes on until a record is needed. Of an error the alert is sent, too: rustls gives it when asked again. It is not asked for
/// more than that, since it would take the same input for a second error.
fn advance(
    input: &mut [u8],
    output: &mut Vec<u8>,
    mut step: impl FnMut(&mut [u8], &mut Vec<u8>) -> Step,
) -> Result<usize, TlsError> {
    let mut done = 0;
    let mut failed = None;
    loop {
        let before = output.len();
        let Step { done: count, outcome } = step(input.get_mut(done..).unwrap_or_default(), output);
        done += count;
        match (outcome, failed.take()) {
            (Outcome::More, Some(error)) if is_alert(&output[before..]) => return Err(error),
            (Outcome::More, before) => failed = before,
            (Outcome::Failed(error), None) => failed = Some(error),
            (Outcome::Waits, None) => return Ok(done),
            // Again, or with nothing more to say.
            (_, Some(error)) => return Err(error),
        }
    }
}

/// Whether a record is an alert. In TLS 1.3 it looks like data (RFC 8446 section 5.2); nothing else that is enciphered in a
/// handshake is as short.
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const APPLICATION_DATA: u8 = 23;
    /// Header, level and description, content type, tag.
    const ENCIPHERED_BYTES: usize = 5 + 2 + 1 + 16;
    match record {
        [ALERT, ..] => true,
        [APPLICATION_DATA, ..] => record.len() <= ENCIPHERED_BYTES,
        _ => false,
    }
}

/// Does what rustls asks for.
fn step<Data>(status: UnbufferedStatus<'_, '_, Data>, output: &mut Vec<u8>) -> Step {
    let UnbufferedStatus { discard: done, state, .. } = status;
    let outcome = match state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, output),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It is in the output now, and leaves before anything else.
            data.done();
            Outcome::More
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Outcome::Waits,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
            Outcome::Failed(TlsError::Handshake(String::from("the peer closed the connection")))
        }
        // Nothing is shown that could have any, and no early data is offered.
        Ok(_) => Outcome::Failed(TlsError::Internal("data in a handshake")),
        Err(error) => Outcome::Failed(failed(error)),
    };
    Step { done, outcome }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, output: &mut Vec<u8>) -> Outcome {
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return Outcome::More;
    };
    let start = output.len();
    output.resize(start + size.required_size, 0);
    match data.encode(output.get_mut(start..).unwrap_or_default()) {
        Ok(_) => Outcome::More,
        Err(_) => Outcome::Failed(TlsError::Internal("a handshake record not encoded")),
    }
}

fn failed(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::AlertReceived(alert) => TlsError::Received(alert.into()),
        // Without rustls' words before, which are "unexpected error".
        rustls::Error::General(reason) => TlsError::Handshake(reason),
        error => TlsError::Handshake(error.to_string()),
    }
}

fn info(state: &CommonState) -> Result<Info, TlsError> {
    const NOTHING: TlsError = TlsError::Internal("a handshake that agreed on nothing");
    let suite = state.negotiated_cipher_suite().ok_or(NOTHING)?;
    let peer = state.peer_certificates().and_then(|chain| chain.first());
    Ok(Info {
        is_tls13: state.protocol_version() == Some(ProtocolVersion::TLSv1_3),
        is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        protocol: state.alpn_protocol().map(<[u8]>::to_vec),
        peer_fingerprint: peer.map(|certificate| crate::fingerprint(certificate)),
        peer_key: peer
            .and_then(|certificate| crate::identity::public_key(certificate))
            .map(crate::fingerprint),
        peer_end_point: peer.and_then(|certificate| end_point(certificate)),
        cipher_suite: name(suite.suite()),
    })
}

/// The names of IANA's registry; rustls has names of its own for those of TLS 1.3.
fn name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}

fn established(
    info: Info,
    secrets: &ExtractedSecrets,
    successor: impl FnOnce() -> Box<dyn Successor>,
) -> Result<Established, TlsError> {
    Ok(Established {
        transmit: own(&secrets.tx)?,
        receive: own(&secrets.rx)?,
        successor: info.is_tls13.then(successor),
        info,
    })
}

fn own((sequence, secrets): &(u64, ConnectionTrafficSecrets)) -> Result<TrafficSecret, TlsError> {
    let (cipher, key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Cipher::ChaCha20Poly1305, key, iv)
        }
        _ => return Err(TlsError::Internal("a cipher without records")),
    };
    let iv = iv.as_ref().try_into().map_err(|_| TlsError::Internal("an IV of another length"))?;
    Ok(TrafficSecret::new(cipher, key.as_ref(), iv, *sequence))
}

struct ServerSuccessor(KernelConnection<ServerConnectionData>);
struct ClientSuccessor(KernelConnection<ClientConnectionData>);

impl Successor for ServerSuccessor {
    fn next_transmit(&mut self) -> Result<TrafficSecret, TlsError> {
        own(&self.0.update_tx_secret().map_err(failed)?)
    }

    fn next_receive(&mut self) -> Result<TrafficSecret, TlsError> {
        own(&self.0.update_rx_secret().map_err(failed)?)
    }

    fn take_ticket(&mut self, _: &[u8]) -> Result<(), TlsError> {
        // RFC 8446 section 4.6.1: only servers send them.
        Err(TlsError::Bad(Alert::UnexpectedMessage, "a client sent a ticket"))
    }
}

impl Successor for ClientSuccessor {
    fn next_transmit(&mut self) -> Result<TrafficSecret, TlsError> {
        own(&self.0.update_tx_secret().map_err(failed)?)
    }

    fn next_receive(&mut self) -> Result<TrafficSecret, TlsError> {
        own(&self.0.update_rx_secret().map_err(failed)?)
    }

    fn take_ticket(&mut self, content: &[u8]) -> Result<(), TlsError> {
        let taken = self.0.handle_new_session_ticket(content);
        taken.map_err(|_| TlsError::Bad(Alert::DecodeError, "a ticket that is none"))
    }
}
