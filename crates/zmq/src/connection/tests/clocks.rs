//! Heartbeats, and messages that do not come to their end.

use super::*;

#[test]
fn heartbeats_ping_and_give_up_a_silent_peer() {
    let heartbeat = Heartbeat { interval: SECOND, timeout: 2 * SECOND, ttl: 3 * SECOND };
    let mut config = Config::new(SocketType::Push);
    config.heartbeat = Some(heartbeat);
    let mut a = Connection::new(ZERO, Arc::new(config), &[0; 48]);
    let mut b = null(SocketType::Pull);
    assert_eq!(a.next_deadline(ZERO), Some(30 * SECOND), "the handshake's");
    pump(&mut a, &mut b, 64).unwrap();
    assert_eq!(a.next_deadline(ZERO), Some(SECOND));
    a.handle_timeout(SECOND).unwrap();
    let ping = output(&mut a);
    assert_eq!(ping, b"\x04\x07\x04PING\0\x1e");
    feed(&mut b, &ping, 64).unwrap();
    assert_eq!(b.next_deadline(ZERO), Some(3 * SECOND), "the TTL we asked for");
    let pong = output(&mut b);
    assert_eq!(pong, b"\x04\x05\x04PONG");
    a.handle_input(SECOND, &pong).unwrap();
    a.handle_timeout(2 * SECOND).unwrap();
    a.poll_transmit(2 * SECOND, &mut [0; 64]);
    a.handle_timeout(3 * SECOND).unwrap();
    assert_eq!(a.handle_timeout(4 * SECOND), Err(Error::HeartbeatTimeout));
    assert_eq!(a.next_deadline(ZERO), None);
    assert_eq!(b.handle_timeout(3 * SECOND), Err(Error::HeartbeatTimeout));
}

#[test]
fn a_pings_clock_runs_from_when_it_has_left() {
    let heartbeat = Heartbeat { interval: SECOND, timeout: 2 * SECOND, ttl: Duration::ZERO };
    for security in [(Security::Null, Security::Null), curve(7)] {
        let mut config = Config { security: security.0, ..Config::new(SocketType::Push) };
        config.heartbeat = Some(heartbeat);
        let mut a = Connection::new(ZERO, Arc::new(config), &[1; 48]);
        let mut b = connection(SocketType::Pull, security.1, 2);
        pump(&mut a, &mut b, 10_000).unwrap();
        a.send(Message::new(vec![7; 100_000])).unwrap();
        // A slow peer takes a little each second, and has nothing to say.
        for second in 1..=20 {
            let count = a.poll_transmit(second * SECOND, &mut [0; 1000]);
            assert_eq!(count, 1000);
            assert_eq!(a.handle_timeout(second * SECOND), Ok(()), "{second}");
        }
        let now = 20 * SECOND;
        let mut rest = vec![0; 200_000];
        let count = a.poll_transmit(now, &mut rest);
        assert!(!a.has_output());
        // One PING, not twenty; and from now on the peer has two seconds.
        assert!((80_000..80_300).contains(&count), "{count}");
        a.handle_timeout(now + SECOND).unwrap();
        assert_eq!(a.next_deadline(ZERO), Some(now + 2 * SECOND));
        // Whatever comes is a sign of life.
        b.send_subscription(true, b"x").unwrap();
        a.handle_input(now + SECOND, &output(&mut b)[..1]).unwrap();
        assert_eq!(a.handle_timeout(now + 2 * SECOND), Ok(()));
    }
}

#[test]
fn half_a_message_does_not_stay_for_ever() {
    let limits =
        Limits { stall_timeout: 10 * SECOND, bytes_per_second_min: 100, ..Limits::default() };
    let starts: [&[u8]; 4] = [b"\0\xFFx", b"\x01\x01x", b"\x02\0", b"\x04\x20\x09SUB"];
    for start in starts {
        // Silent in the middle.
        let ready = || {
            let mut config = Config::new(SocketType::Pull);
            config.limits = limits.clone();
            let mut a = Connection::new(ZERO, Arc::new(config), &[1; 48]);
            pump(&mut a, &mut null(SocketType::Push), 100).unwrap();
            assert_eq!(a.next_deadline(ZERO), None);
            a
        };
        let feed = |a: &mut Connection, now, mut bytes: &[u8]| {
            let mut turns = Turns::default();
            while turns.more(!bytes.is_empty()) {
                bytes = &bytes[a.handle_input(now, bytes).unwrap()..];
            }
        };
        let mut a = ready();
        feed(&mut a, SECOND, start);
        assert_eq!(a.next_deadline(ZERO), Some(11 * SECOND), "{start:?}");
        a.handle_timeout(10 * SECOND).unwrap();
        assert_eq!(a.handle_timeout(11 * SECOND), Err(Error::MessageStalled), "{start:?}");
        // Read no further by us: no fault of the peer's.
        let mut a = ready();
        feed(&mut a, SECOND, start);
        a.defer_input(10 * SECOND);
        assert_eq!(a.handle_timeout(19 * SECOND), Ok(()), "{start:?}");
    }
    // Long messages of which a bit comes each second.
    for (step, dies) in [(200, false), (100, false), (50, true), (1, true)] {
        let mut config = Config::new(SocketType::Pull);
        config.limits = limits.clone();
        let mut a = Connection::new(ZERO, Arc::new(config), &[1; 48]);
        pump(&mut a, &mut null(SocketType::Push), 100).unwrap();
        a.handle_input(ZERO, b"\x02\0\0\0\0\0\x01\0\0").unwrap();
        let died = (1..=100).find_map(|second| {
            let now = second * SECOND;
            let outcome = a.handle_timeout(now).map(|()| {
                a.handle_input(now, &vec![7; step]).unwrap();
            });
            outcome.err()
        });
        assert_eq!(died, dies.then_some(Error::MessageTooSlow), "{step} bytes a second");
    }
}

#[test]
fn what_a_peer_does_not_take_does_not_wait_for_ever() {
    let ready = |write_timeout| {
        let mut config = Config::new(SocketType::Push);
        config.limits = Limits { write_timeout, bytes_per_second_min: 100, ..Limits::default() };
        let mut a = Connection::new(ZERO, Arc::new(config), &[1; 48]);
        pump(&mut a, &mut null(SocketType::Pull), 100).unwrap();
        assert_eq!(a.next_deadline(ZERO), None, "nothing waits");
        a.send(Message::new(vec![7; 100_000])).unwrap();
        a
    };
    // It takes nothing; then a little, and nothing again.
    let mut a = ready(Some(10 * SECOND));
    assert_eq!(a.next_deadline(SECOND), Some(11 * SECOND));
    assert_eq!(a.next_deadline(5 * SECOND), Some(11 * SECOND), "asking puts nothing off");
    assert_eq!(a.handle_timeout(10 * SECOND), Ok(()));
    assert_eq!(a.poll_transmit(10 * SECOND, &mut [0; 2000]), 2000);
    assert_eq!(a.next_deadline(10 * SECOND), Some(20 * SECOND));
    assert_eq!(a.handle_timeout(20 * SECOND), Err(Error::OutputStalled));
    // Whoever asks it to take nothing learns nothing.
    let mut a = ready(Some(10 * SECOND));
    assert_eq!(a.next_deadline(ZERO), Some(10 * SECOND));
    assert_eq!(a.poll_transmit(5 * SECOND, &mut []), 0);
    assert_eq!(a.handle_timeout(10 * SECOND), Err(Error::OutputStalled));
    // It takes some of what had left from here before.
    let mut a = ready(Some(10 * SECOND));
    assert_eq!(a.next_deadline(ZERO), Some(10 * SECOND));
    a.peer_took(10 * SECOND, 200);
    assert_eq!(a.handle_timeout(10 * SECOND), Ok(()));
    assert_eq!(a.next_deadline(10 * SECOND), Some(12 * SECOND));
    // It takes all, and there is no clock any more; of what is long, too.
    let mut a = ready(Some(10 * SECOND));
    assert_eq!(a.poll_transmit(ZERO, &mut [0; 9]), 9);
    let long = a.long_output().unwrap().len();
    a.long_output_taken(5 * SECOND, long - 1);
    assert_eq!(a.next_deadline(5 * SECOND), Some(15 * SECOND));
    assert_eq!(a.poll_transmit(6 * SECOND, &mut [0; 9]), 1);
    assert_eq!(a.next_deadline(6 * SECOND), None);
    // A bit each second.
    for (step, dies) in [(200, false), (100, false), (50, true), (1, true)] {
        let mut a = ready(Some(10 * SECOND));
        a.next_deadline(ZERO);
        let died = (1..=100).find_map(|second| {
            let now = second * SECOND;
            let outcome = a.handle_timeout(now);
            assert_eq!(a.poll_transmit(now, &mut vec![0; step]), step.min(100_000));
            outcome.err()
        });
        assert_eq!(died, dies.then_some(Error::OutputTooSlow), "{step} bytes a second");
    }
    assert_eq!(ready(None).next_deadline(ZERO), None, "as libzmq has it");
}

#[test]
fn silence_is_no_fault_of_a_peer_that_is_not_read() {
    let heartbeat = Heartbeat { interval: 9 * SECOND, timeout: 2 * SECOND, ttl: SECOND };
    let mut config = Config::new(SocketType::Push);
    config.heartbeat = Some(heartbeat);
    let mut a = Connection::new(ZERO, Arc::new(config), &[0; 48]);
    pump(&mut a, &mut null(SocketType::Pull), 64).unwrap();
    a.handle_timeout(9 * SECOND).unwrap();
    assert_eq!(a.poll_transmit(9 * SECOND, &mut [0; 64]), 9);
    assert_eq!(a.next_deadline(9 * SECOND), Some(11 * SECOND));
    a.defer_heartbeat(11 * SECOND);
    assert_eq!(a.handle_timeout(11 * SECOND), Ok(()));
    assert_eq!(a.next_deadline(11 * SECOND), Some(18 * SECOND), "the next PING");
}

#[test]
fn a_few_frames_are_taken_at_once() {
    let mut a = null(SocketType::Push);
    pump(&mut a, &mut null(SocketType::Pull), 64).unwrap();
    let pongs = b"\x04\x05\x04PONG".repeat(100);
    assert_eq!(a.handle_input(ZERO, &pongs), Ok(4 * 7));
    assert_eq!(a.handle_input(ZERO, &pongs[4 * 7..]), Ok(4 * 7));
}

#[test]
fn nothing_is_sent_before_the_handshake_nor_after_the_end() {
    let refused = |a: &mut Connection| {
        assert_eq!(a.send(Message::new("x")), Err(SendError::NotReady));
        assert_eq!(a.begin_part(1, false), Err(SendError::NotReady));
        assert_eq!(a.send_piece("x"), Err(SendError::NotReady));
        assert_eq!(a.send_subscription(true, b"x"), Err(SendError::NotReady));
        assert_eq!(a.queued_messages(), 0);
    };
    let mut a = null(SocketType::Push);
    refused(&mut a);
    pump(&mut a, &mut null(SocketType::Pull), 64).unwrap();
    assert_eq!(a.send(Message::new("x")), Ok(()));
    output(&mut a);
    a.fail(&Error::Disconnected);
    refused(&mut a);
}

#[test]
fn rfc37_a_ttl_of_zero_asks_nothing() {
    let mut b = null(SocketType::Pull);
    pump(&mut null(SocketType::Push), &mut b, 64).unwrap();
    feed(&mut b, b"\x04\x07\x04PING\0\x01", 64).unwrap();
    assert_eq!(b.next_deadline(ZERO), Some(SECOND / 10));
    feed(&mut b, b"\x04\x07\x04PING\0\0", 64).unwrap();
    assert_eq!(b.next_deadline(ZERO), None);
}

#[test]
fn a_connection_is_shown_without_its_secrets() {
    let (client, server) = plain("1815");
    for (security, name) in [(Security::Null, "NULL"), (client, "PLAIN"), (server, "PLAIN")] {
        let shown = format!("{:?}", connection(SocketType::Push, security, 1));
        assert!(shown.contains(&format!("handshake: {name}")), "{shown}");
        assert!(!shown.contains("1815"), "{shown}");
    }
}
