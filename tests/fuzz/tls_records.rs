//! Any bytes to a server's handshake, and any records to a session: no panic, bounds are kept, and pieces make no
//! difference.

use std::sync::LazyLock;
use tls::{
    ClientContext, ClientOptions, Clock, HANDSHAKE_BYTES_MAX, Handshake, Identity, Opened,
    ServerContext, ServerOptions, Session, TlsError, Trust,
};

struct Contexts {
    client: ClientContext,
    server: ServerContext,
}

static CONTEXTS: LazyLock<Contexts> = LazyLock::new(|| {
    let identity = Identity::self_made(&["a.example"]).expect("random bytes");
    let trust = Trust::fingerprints([identity.fingerprint()]);
    let clock = Clock::new(std::time::Duration::from_secs(1_800_000_000));
    let server = ServerContext::new(ServerOptions::new(vec![identity], clock.clone()));
    let client = ClientContext::new(ClientOptions::new(trust, clock));
    Contexts { client: client.expect("a client"), server: server.expect("a server") }
});

pub(crate) fn target(data: &[u8]) {
    let Some(([kind, piece], rest)) = data.split_first_chunk::<2>() else { return };
    let piece = 1 + usize::from(*piece);
    match kind % 3 {
        0 => {
            let whole = handshake(rest, rest.len().max(1));
            assert_eq!(whole, handshake(rest, piece));
        }
        1 => changed(rest, piece),
        _ => records(rest),
    }
}

/// What a server says of these bytes.
fn handshake(input: &[u8], piece: usize) -> (bool, usize) {
    let mut handshake = CONTEXTS.server.handshake().expect("random bytes");
    let is_refused = input.chunks(piece).any(|piece| handshake.handle_input(piece).is_err());
    assert!(handshake.held_bytes() < 4 * HANDSHAKE_BYTES_MAX);
    (is_refused, handshake.output().len().min(7))
}

/// A client's handshake, some of whose bytes are others: both ends end or go on.
fn changed(changes: &[u8], piece: usize) {
    let mut client = CONTEXTS.client.handshake("a.example").expect("random bytes");
    let mut server = CONTEXTS.server.handshake().expect("random bytes");
    let mut changes = changes.chunks_exact(3);
    for _ in 0..6 {
        if pass(&mut client, &mut server, &mut changes, piece).is_err() {
            return;
        }
        if pass(&mut server, &mut client, &mut changes, piece).is_err() {
            return;
        }
    }
}

fn pass(
    from: &mut Handshake,
    to: &mut Handshake,
    changes: &mut std::slice::ChunksExact<'_, u8>,
    piece: usize,
) -> Result<(), TlsError> {
    let mut output = from.output().to_vec();
    from.output_taken(output.len());
    if let Some([high, low, change]) = changes.next() {
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        if let Some(byte) = output.get_mut(at) {
            *byte ^= change;
        }
    }
    for piece in output.chunks(piece) {
        to.handle_input(piece)?;
    }
    Ok(())
}

/// Bytes that are no records of the peer's, behind one that is.
fn records(input: &[u8]) {
    let Some((mut here, mut there)) = sessions() else { return };
    let mut bytes = vec![0; here.overhead_bytes() + 5];
    let start = here.prefix_bytes();
    bytes[start..start + 5].copy_from_slice(b"hello");
    let count = here.seal(&mut bytes, 5).expect("a record");
    bytes.truncate(count);
    bytes.extend_from_slice(input);
    let mut at = 0;
    while let Ok(opened) = there.open(&mut bytes[at..]) {
        match opened {
            Opened::Data { record_bytes, plaintext } => {
                assert!(at == 0 && plaintext.len() == 5);
                at += record_bytes;
            }
            Opened::Incomplete(_) => return,
            Opened::Other(_) | Opened::Closed(_) => panic!("a record that nobody sealed"),
        }
    }
    assert!(!there.output().is_empty());
}

fn sessions() -> Option<(Session, Session)> {
    let mut client = CONTEXTS.client.handshake("a.example").ok()?;
    let mut server = CONTEXTS.server.handshake().ok()?;
    for _ in 0..3 {
        pass(&mut client, &mut server, &mut [].chunks_exact(3), 100_000).ok()?;
        pass(&mut server, &mut client, &mut [].chunks_exact(3), 100_000).ok()?;
    }
    Some((client.into_session().ok()?, server.into_session().ok()?))
}
