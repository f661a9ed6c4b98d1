//! What goes over a connection, and how it ends.

use super::*;

#[test]
fn a_handshake_may_come_split_at_every_byte() {
    let (client, server) = contexts();
    // One byte at a time is split at every byte at once; others fall where records and messages are cut.
    for piece in [1, 2, 3, 5, 7, 64, 511, 4096] {
        let (mut here, mut there) = shake(&client, &server, piece).unwrap();
        assert_eq!(here.info().cipher_suite, there.info().cipher_suite);
        assert!(here.info().is_tls13 && there.info().is_tls13);
        let mut records = sealed(&mut here, b"question");
        assert_eq!(opened(&mut there, &mut records).unwrap(), b"question");
        let mut records = sealed(&mut there, b"answer");
        assert_eq!(opened(&mut here, &mut records).unwrap(), b"answer");
    }
}

#[test]
fn what_follows_the_handshake_in_the_same_input_is_the_session_s() {
    let (client, server) = contexts();
    let (mut here, mut there) = (client.handshake(NAME).unwrap(), server.handshake().unwrap());
    pass(&mut here, &mut there, usize::MAX).unwrap();
    pass(&mut there, &mut here, usize::MAX).unwrap();
    assert!(here.is_complete());
    let mut here = here.into_session().unwrap();
    let mut flight = here.output().to_vec();
    here.output_taken(flight.len());
    let finished_bytes = flight.len();
    flight.extend(sealed(&mut here, b"early"));
    assert_eq!(there.handle_input(&flight), Ok(finished_bytes));
    let mut there = there.into_session().unwrap();
    assert_eq!(opened(&mut there, &mut flight[finished_bytes..]).unwrap(), b"early");
}

#[test]
fn incomplete_records_say_how_long_they_are() {
    let (mut here, mut there) = sessions();
    let mut record = sealed(&mut here, b"hello");
    let whole = record.len();
    for cut in 0..whole {
        let expected = (cut >= 5).then_some(whole);
        assert_eq!(there.open(&mut record[..cut]), Ok(Opened::Incomplete(expected)));
    }
    assert_eq!(opened(&mut there, &mut record).unwrap(), b"hello");
}

#[test]
fn rfc8446_4_6_1_a_ticket_resumes_and_is_used_once() {
    let (client, server) = contexts();
    let resumed = |_| {
        let (mut here, mut there) = shake(&client, &server, usize::MAX).unwrap();
        // The ticket comes with the first data.
        let mut records = sealed(&mut there, b"x");
        opened(&mut here, &mut records).unwrap();
        assert_eq!(here.info().is_resumed, there.info().is_resumed);
        there.info().is_resumed
    };
    assert_eq!([0, 1, 2].map(resumed), [false, true, true]);
}

#[test]
fn rfc8446_4_6_3_keys_change_when_asked_and_one_answer_does() {
    let (mut here, mut there) = sessions();
    opened(&mut here, &mut sealed(&mut there, b"with the ticket")).unwrap();
    let mut records = [here.request_update(), here.request_update()].concat();
    records.extend(sealed(&mut here, b"under the third key"));
    assert_eq!(opened(&mut there, &mut records).unwrap(), b"under the third key");
    let answer = there.output().len();
    let mut records = sealed(&mut there, b"under the next key");
    assert!(records.len() > answer);
    assert_eq!(opened(&mut here, &mut records).unwrap(), b"under the next key");
    // Again, now that the answer left.
    let mut request = here.request_update();
    opened(&mut there, &mut request).unwrap();
    assert_eq!(there.output().len(), answer);
}

#[test]
fn rfc8446_5_5_a_worn_key_is_followed_by_another() {
    let (mut here, mut there) = sessions();
    here.wear_out();
    let mut records = sealed(&mut here, b"first");
    // A key update goes before it.
    assert!(records.len() > here.overhead_bytes() + 5);
    there.expect_worn();
    assert_eq!(opened(&mut there, &mut records).unwrap(), b"first");
    let mut records = sealed(&mut here, b"second");
    assert_eq!(records.len(), here.overhead_bytes() + 6);
    assert_eq!(opened(&mut there, &mut records).unwrap(), b"second");
}

#[test]
fn rfc8446_6_1_close_notify_is_sent_once_and_seen() {
    let (mut here, mut there) = sessions();
    here.close();
    here.close();
    let mut records = here.output().to_vec();
    assert_eq!(there.open(&mut records), Ok(Opened::Closed(records.len())));
}

#[test]
fn alpn_agrees_on_the_server_s_first_and_refuses_what_it_has_not() {
    let agree = |ours: &[&str], theirs: &[&str]| {
        let identity = Identity::self_made(&[NAME]).unwrap();
        let trust = Trust::fingerprints([identity.fingerprint()]);
        let list = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut server = ServerOptions::new(vec![identity], Clock::new(NOW));
        server.protocols = list(ours);
        let mut client = ClientOptions::new(trust, Clock::new(NOW));
        client.protocols = list(theirs);
        let (client, server) =
            (ClientContext::new(client).unwrap(), ServerContext::new(server).unwrap());
        let (here, there) = shake(&client, &server, usize::MAX)?;
        assert_eq!(here.info().protocol, there.info().protocol);
        Ok::<_, TlsError>(here.info().protocol.clone())
    };
    assert_eq!(agree(&["http/1.1"], &["h2", "http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
    assert_eq!(agree(&["a", "b"], &["b", "a"]), Ok(Some(b"a".to_vec())));
    assert_eq!(agree(&["http/1.1"], &[]), Ok(None));
    assert_eq!(agree(&[], &["h2"]), Ok(None));
    // RFC 7301 section 3.2: no_application_protocol.
    let refused = agree(&["http/1.1"], &["h2"]).unwrap_err();
    assert!(matches!(refused, TlsError::Handshake(_)), "{refused}");
}

#[test]
fn an_idle_session_is_small() {
    let (mut here, mut there) = sessions();
    opened(&mut here, &mut sealed(&mut there, b"x")).unwrap();
    opened(&mut there, &mut sealed(&mut here, b"x")).unwrap();
    assert_eq!((here.held_bytes(), there.held_bytes()), (0, 0));
    assert!(size_of::<Session>() <= 1600, "{}", size_of::<Session>());
}

#[test]
fn tls12_carries_data_both_ways_and_closes() {
    let (mut here, mut there) = tls12_sessions();
    for length in [0, 1, 1000, PLAINTEXT_BYTES_MAX] {
        let data = vec![7; length];
        assert_eq!(opened(&mut there, &mut sealed(&mut here, &data)).unwrap(), data);
        assert_eq!(opened(&mut here, &mut sealed(&mut there, &data)).unwrap(), data);
    }
    here.close();
    let mut output = here.output().to_vec();
    let count = output.len();
    assert_eq!(there.open(&mut output), Ok(Opened::Closed(count)));
}

#[test]
fn tls12_handshakes_come_in_pieces_and_resume() {
    let identity = Identity::self_made(&[NAME]).unwrap();
    let trust = Trust::fingerprints([identity.fingerprint()]);
    let options = ServerOptions::new(vec![identity], Clock::new(NOW));
    let server = ServerContext::new(options).unwrap();
    let client = ClientContext::tls12(ClientOptions::new(trust, Clock::new(NOW))).unwrap();
    for piece in [1, 7, usize::MAX] {
        let (mut here, mut there) = shake(&client, &server, piece).unwrap();
        assert_eq!(opened(&mut there, &mut sealed(&mut here, b"data")).unwrap(), b"data");
    }
    let (_, there) = shake(&client, &server, usize::MAX).unwrap();
    assert!(there.info().is_resumed);
}
