//! Peers of ZMTP 2.0 (RFC 15).

use super::*;

/// What a peer of ZMTP 2.0 sends first: signature, revision, socket type, identity.
fn v2_hello(socket_type: u8, identity: &[u8]) -> Vec<u8> {
    let mut hello = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 1, socket_type, 0];
    hello.push(identity.len() as u8);
    hello.extend_from_slice(identity);
    hello
}

#[test]
fn rfc15_a_zmtp_2_peer_is_spoken_to_as_it_speaks() {
    let three_frames = b"\x01\x05first\x01\0\x02\0\0\0\0\0\0\x01\x2C";
    for step in [1, 2, 11, 12, 1000] {
        let mut config = Config::new(SocketType::Router);
        config.identity = "us".into();
        config.heartbeat = Some(Heartbeat::default());
        let mut a = Connection::new(ZERO, Arc::new(config), &[0; 48]);
        // It may wait for our version before it says more.
        assert_eq!(output(&mut a), b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03");
        let traffic = [&three_frames[..], &[5; 300]].concat();
        let all = [&v2_hello(5, b"anna")[..], &traffic].concat();
        let seen = feed(&mut a, &all, step).unwrap();
        let part = |bytes: &[u8], tail| format!("{} {:x}{tail}", bytes.len(), sum(bytes));
        let parts = [part(b"first", "+"), part(b"", "+"), part(&[5; 300], ".")];
        assert_eq!(seen, [&["ready".to_string()][..], &parts].concat(), "{step}");
        let peer = a.peer().unwrap();
        assert_eq!((peer.socket_type, &peer.identity[..]), (SocketType::Dealer, &b"anna"[..]));
        assert_eq!((peer.major_version, peer.minor_version), (2, 0));
        assert_eq!(output(&mut a), b"\x06\0\x02us");
        a.send(three_parts()).unwrap();
        assert_eq!(output(&mut a), traffic);
        assert_eq!(a.next_deadline(ZERO), None, "it knows no PING");
    }
}

#[test]
fn rfc15_a_zmtp_2_subscriber_sends_messages_and_commands_are_no_frames_of_it() {
    let mut a = null(SocketType::Pub);
    let all = [&v2_hello(2, b"")[..], b"\0\x02\x01x"].concat();
    let seen = feed(&mut a, &all, 3).unwrap();
    assert_eq!(seen, ["ready".to_string(), format!("2 {:x}.", sum(b"\x01x"))]);
    assert_eq!(feed(&mut a, b"\x04\x07\x04PING\0\0", 9), Err(Error::ReservedFlags));
    let mut a = null(SocketType::Sub);
    feed(&mut a, &v2_hello(1, b""), 100).unwrap();
    output(&mut a);
    a.send_subscription(true, b"y").unwrap();
    assert_eq!(output(&mut a), b"\0\x02\x01y");
}

#[test]
fn rfc15_what_does_not_fit_is_refused() {
    for (hello, security, why) in [
        (v2_hello(8, b""), Security::Null, Error::SocketTypeMismatch),
        (v2_hello(0, b""), Security::Null, Error::SocketTypeMismatch),
        (v2_hello(77, b""), Security::Null, Error::SocketTypeMismatch),
        (v2_hello(7, b""), curve(7).1, Error::Version(2)),
        (v2_hello(7, b""), plain("1815").1, Error::Version(2)),
        (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x07\x02\0".to_vec(), Security::Null, Error::Identity),
        (b"\xFF\0\0\0\0\0\0\0\x01\x7F\0\x07\0\0".to_vec(), Security::Null, Error::Version(0)),
    ] {
        for step in [1, 100] {
            let mut a = connection(SocketType::Push, security.clone(), 1);
            output(&mut a);
            assert_eq!(feed(&mut a, &hello, step), Err(why.clone()), "{hello:?}");
        }
    }
}
