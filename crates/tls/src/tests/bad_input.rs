//! What a peer must not send, and what it is told then.

use super::*;
use alloc::format;

/// What the server says of input that a client never sends: its error, and its alert in the clear.
fn refused(input: &[u8]) -> (TlsError, Option<u8>) {
    let (_, server) = contexts();
    let mut handshake = server.handshake().unwrap();
    let error = handshake.handle_input(input).unwrap_err();
    let alert = match *handshake.output() {
        [21, 3, _, 0, 2, 2, alert] => Some(alert),
        [] => None,
        ref other => panic!("{other:?}"),
    };
    (error, alert)
}

fn client_hello() -> Vec<u8> {
    let (client, _) = contexts();
    client.handshake(NAME).unwrap().output().to_vec()
}

#[test]
fn what_is_not_tls_is_known_by_its_first_byte() {
    for input in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"G", b"\x80\x2e\x01\x00\x02", b"\0", b"\x16\x02"]
    {
        assert_eq!(refused(input), (TlsError::NotTls, None));
    }
}

#[test]
fn rfc8446_5_1_a_record_of_a_handshake_that_is_too_long_is_record_overflow() {
    let (error, alert) = refused(&[22, 3, 1, 0xff, 0xff]);
    assert_eq!((error.alert(), alert), (Some(Alert::RecordOverflow), Some(22)));
}

#[test]
fn an_endless_handshake_ends() {
    let (_, server) = contexts();
    let mut handshake = server.handshake().unwrap();
    // A client's hello of 16 MB, in records of 16 KiB.
    let mut record = vec![0; 5 + 16_384];
    record[..9].copy_from_slice(&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]);
    let mut sent = 0;
    while handshake.handle_input(&record).is_ok() {
        sent += record.len();
        assert!(sent <= HANDSHAKE_BYTES_MAX && handshake.held_bytes() < 400_000);
        record[5..9].fill(0);
    }
    assert_eq!(handshake.output(), [21, 3, 3, 0, 2, 2, 50]);
}

#[test]
fn messages_of_another_time_are_unexpected_message() {
    // Data, and a message that a client does not begin with.
    for input in [&[23, 3, 3, 0, 1, 0][..], &[22, 3, 3, 0, 4, 20, 0, 0, 0]] {
        let (error, alert) = refused(input);
        assert!(matches!(error, TlsError::Handshake(_)), "{error}");
        assert_eq!(alert, Some(10));
    }
}

#[test]
fn rfc8446_4_1_2_a_damaged_hello_is_an_alert_whatever_byte_it_is() {
    let hello = client_hello();
    let (_, server) = contexts();
    for at in 0..hello.len() {
        let mut changed = hello.clone();
        changed[at] ^= 0x55;
        let mut handshake = server.handshake().unwrap();
        match handshake.handle_input(&changed) {
            // A name or a random byte is another one as well; or more of it is waited for.
            Ok(taken) => assert!(taken <= changed.len()),
            Err(TlsError::NotTls) => assert!(at < 2),
            // In the clear, or behind what was agreed on before it was seen.
            Err(error) => assert!(handshake.output().len() >= 7, "{at}: {error}"),
        }
    }
}

#[test]
fn after_an_error_there_is_no_other() {
    for input in [&b"GET"[..], &[22, 3, 1, 0xff, 0xff], &[23, 3, 3, 0, 1, 0]] {
        let (_, server) = contexts();
        let mut handshake = server.handshake().unwrap();
        let error = handshake.handle_input(input).unwrap_err();
        let alert = handshake.output().to_vec();
        for more in [input, &client_hello(), &[]] {
            assert_eq!(handshake.handle_input(more), Err(error.clone()));
            assert_eq!(handshake.output(), alert);
        }
    }
}

#[test]
fn old_versions_are_protocol_version() {
    // A hello of TLS 1.1 with a cipher suite of its time, and signature_algorithms, which came later.
    let mut hello = vec![22, 3, 1, 0, 55, 1, 0, 0, 51, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let (error, alert) = refused(&hello);
    assert_eq!(alert, Some(70), "{error}");
    // As they really are, without that extension.
    for minor in 0..3 {
        let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
        let (error, alert) = refused(&hello);
        assert_eq!(alert, Some(70), "{error}");
    }
}

#[test]
fn rfc8446_6_1_a_close_before_there_are_keys_ends_it_at_once() {
    for level in [1, 2] {
        let (error, alert) = refused(&[21, 3, 3, 0, 2, level, 0]);
        assert_eq!((error, alert), (TlsError::Received(0), None));
    }
}

/// What TLS 1.2's server says of a handshake message after the handshake.
fn told_by_tls12(message: &[u8]) -> (Result<Vec<u8>, TlsError>, Vec<u8>) {
    let (mut here, mut there) = tls12_sessions();
    let mut record = here.sealed_as(22, message);
    let opened = opened(&mut there, &mut record);
    let mut output = there.output().to_vec();
    // Warnings pass; what is fatal is an error here.
    let told = match super::opened(&mut here, &mut output) {
        Err(TlsError::Received(alert)) => vec![alert],
        _ => Vec::new(),
    };
    (opened, told)
}

#[test]
fn rfc5246_7_2_2_only_a_hello_is_answered_by_no_renegotiation() {
    for hello in [&[1, 0, 0, 0][..], &[0, 0, 0, 0]] {
        assert_eq!(told_by_tls12(hello), (Ok(Vec::new()), Vec::new()));
    }
    for kind in [2, 4, 11, 14, 16, 20, 24, 254] {
        let (opened, told) = told_by_tls12(&[kind, 0, 0, 0]);
        assert_eq!(opened.unwrap_err().alert(), Some(Alert::UnexpectedMessage), "{kind}");
        assert_eq!(told, [10], "{kind}");
    }
}

#[test]
fn an_alert_ends_a_handshake() {
    let (_, server) = contexts();
    let mut handshake = server.handshake().unwrap();
    let error = handshake.handle_input(&[21, 3, 3, 0, 2, 2, 40]).unwrap_err();
    assert_eq!(error, TlsError::Received(40));
    assert_eq!(format!("{error}"), "the peer ended it: handshake_failure");
}

/// What the peer says of a record with this content, and which alert it sends.
fn refused_in_session(content: u8, inside: &[u8]) -> (TlsError, Option<u8>) {
    let (mut here, mut there) = sessions();
    let mut record = here.sealed_as(content, inside);
    let error = opened(&mut there, &mut record).unwrap_err();
    let mut output = there.output().to_vec();
    let alert = match opened(&mut here, &mut output) {
        Err(TlsError::Received(alert)) => Some(alert),
        _ => None,
    };
    (error, alert)
}

#[test]
fn records_that_must_not_follow_a_handshake_are_refused() {
    for (content, inside, alert) in [
        // RFC 8446 section 5: change_cipher_spec under keys.
        (20, &[1][..], 10),
        // RFC 8446 section 5.1: an empty part, an alert of three bytes, of one, of none.
        (22, &[], 10),
        (21, &[1, 0, 0], 50),
        (21, &[2], 50),
        (21, &[], 50),
        // RFC 8446 section 4.6: a client's ticket, a hello, a request for a certificate.
        (22, &[4, 0, 0, 0], 10),
        (22, &[1, 0, 0, 0], 10),
        (22, &[13, 0, 0, 0], 10),
        // RFC 8446 section 4.6.3: a key update that is none, and one with something behind it.
        (22, &[24, 0, 0, 1, 2], 50),
        (22, &[24, 0, 0, 2, 0, 0], 50),
        (22, &[24, 0, 0, 1, 0, 24], 10),
        // A message that is too long, from its header on.
        (22, &[4, 1, 0, 0], 50),
    ] {
        let (error, sent) = refused_in_session(content, inside);
        assert_eq!(error.alert().map(Alert::number), Some(alert), "{content} {inside:?}: {error}");
        assert_eq!(sent, Some(alert), "{content} {inside:?}");
    }
}

#[test]
fn rfc8446_5_1_nothing_comes_between_the_parts_of_a_message() {
    let (mut here, mut there) = sessions();
    let mut records = here.sealed_as(22, &[24, 0]);
    records.extend(sealed(&mut here, b"data"));
    let error = opened(&mut there, &mut records).unwrap_err();
    assert_eq!(error.alert(), Some(Alert::UnexpectedMessage));
    // In parts it is a message all the same.
    let (mut here, mut there) = sessions();
    let mut records = Vec::new();
    for part in [24, 0, 0, 1, 0] {
        records.extend(here.sealed_as(22, &[part]));
    }
    here.next_key();
    records.extend(sealed(&mut here, b"data"));
    assert_eq!(opened(&mut there, &mut records).unwrap(), b"data");
}

#[test]
fn rfc8446_6_2_an_error_alert_ends_it_and_user_canceled_does_not() {
    for (inside, expected) in [
        ([2, 20], Err(TlsError::Received(20))),
        // RFC 8446 section 6: the level tells nothing.
        ([1, 20], Err(TlsError::Received(20))),
        ([1, 90], Ok(Vec::new())),
        ([1, 0], Ok(Vec::new())),
    ] {
        let (mut here, mut there) = sessions();
        let ticket = there.output().len();
        let mut record = here.sealed_as(21, &inside);
        assert_eq!(opened(&mut there, &mut record), expected, "{inside:?}");
        assert_eq!(there.output().len(), ticket, "an alert is not answered");
    }
}

#[test]
fn records_without_data_are_borne_with_for_a_while() {
    let (mut here, mut there) = sessions();
    for _ in 0..3 {
        for _ in 0..32 {
            opened(&mut there, &mut sealed(&mut here, b"")).unwrap();
        }
        opened(&mut there, &mut sealed(&mut here, b"data")).unwrap();
    }
    for _ in 0..32 {
        opened(&mut there, &mut sealed(&mut here, b"")).unwrap();
    }
    let error = opened(&mut there, &mut sealed(&mut here, b"")).unwrap_err();
    assert_eq!(error.alert(), Some(Alert::UnexpectedMessage));
}

#[test]
fn reordered_and_lost_records_do_not_decrypt() {
    let (mut here, mut there) = sessions();
    let (first, second) = (sealed(&mut here, b"first"), sealed(&mut here, b"second"));
    let error = opened(&mut there, &mut second.clone()).unwrap_err();
    assert_eq!(error.alert(), Some(Alert::BadRecordMac));
    drop(first);
}
