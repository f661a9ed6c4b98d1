//! Whole connections, in memory.

mod bad_input;
mod certificates;
mod identities;
mod keys;
mod sessions;

use crate::*;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

pub(super) const NOW: Duration = Duration::from_secs(1_800_000_000);
pub(super) const NAME: &str = "web.example";

/// A server's context with a certificate of its own making, and a client's that knows it.
pub(super) fn contexts() -> (ClientContext, ServerContext) {
    let identity = Identity::self_made(&[NAME]).unwrap();
    let trust = Trust::fingerprints([identity.fingerprint()]);
    let clock = Clock::new(NOW);
    let server = ServerContext::new(ServerOptions::new(vec![identity], clock.clone())).unwrap();
    (ClientContext::new(ClientOptions::new(trust, clock)).unwrap(), server)
}

/// Hands all that there is over, in pieces of at most this length.
pub(super) fn pass(from: &mut Handshake, to: &mut Handshake, piece: usize) -> Result<(), TlsError> {
    while !from.output().is_empty() {
        let count = from.output().len().min(piece);
        let taken = to.handle_input(&from.output()[..count])?;
        if taken == 0 {
            break;
        }
        from.output_taken(taken);
    }
    Ok(())
}

/// Both to their ends.
pub(super) fn shake(
    client: &ClientContext,
    server: &ServerContext,
    piece: usize,
) -> Result<(Session, Session), TlsError> {
    let (mut here, mut there) = (client.handshake(NAME)?, server.handshake()?);
    for _ in 0..8 {
        pass(&mut here, &mut there, piece)?;
        pass(&mut there, &mut here, piece)?;
    }
    assert!(here.is_complete() && there.is_complete());
    Ok((here.into_session()?, there.into_session()?))
}

pub(super) fn sessions() -> (Session, Session) {
    let (client, server) = contexts();
    shake(&client, &server, usize::MAX).unwrap()
}

/// The same by TLS 1.2.
pub(super) fn tls12_sessions() -> (Session, Session) {
    let identity = Identity::self_made(&[NAME]).unwrap();
    let trust = Trust::fingerprints([identity.fingerprint()]);
    let clock = Clock::new(NOW);
    let server = ServerContext::new(ServerOptions::new(vec![identity], clock.clone())).unwrap();
    let client = ClientContext::tls12(ClientOptions::new(trust, clock)).unwrap();
    let sessions = shake(&client, &server, usize::MAX).unwrap();
    assert!(!sessions.0.info().is_tls13);
    sessions
}

/// A record with this data.
pub(super) fn sealed(from: &mut Session, data: &[u8]) -> Vec<u8> {
    let start = from.prefix_bytes();
    let mut record = vec![0; from.overhead_bytes() + data.len()];
    record[start..start + data.len()].copy_from_slice(data);
    from.prepare().unwrap();
    let count = from.seal(&mut record, data.len()).unwrap();
    let mut all = from.output().to_vec();
    from.output_taken(all.len());
    all.extend_from_slice(&record[..count]);
    all
}

/// What is in these records, up to their end or an error.
pub(super) fn opened(to: &mut Session, records: &mut [u8]) -> Result<Vec<u8>, TlsError> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        match to.open(&mut records[at..])? {
            Opened::Data { record_bytes, plaintext } => {
                data.extend_from_slice(&records[at..][plaintext]);
                at += record_bytes;
            }
            Opened::Other(count) | Opened::Closed(count) => at += count,
            Opened::Incomplete(_) => break,
        }
    }
    assert_eq!(at, records.len());
    Ok(data)
}
