use super::*;
use std::vec;

/// All that it writes, in pieces of 1000 bytes.
fn written(outbox: &mut Outbox) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 1000]);
    for _ in 0..10_000 {
        match outbox.write(&mut buf) {
            0 => return all,
            count => all.extend_from_slice(&buf[..count]),
        }
    }
    panic!("it writes for ever");
}

fn send(outbox: &mut Outbox, body: impl Into<Bytes>) {
    outbox.message(Message::new(body), 0).unwrap();
}

/// What waits: messages, bytes of memory.
fn waiting(outbox: &Outbox) -> (usize, usize) {
    (outbox.message_count(), outbox.held_bytes())
}

#[test]
fn commands_overtake_short_messages() {
    let mut outbox = Outbox::default();
    send(&mut outbox, "x");
    outbox.pong(b"1");
    assert_eq!(written(&mut outbox), b"\x04\x06\x04PONG1\0\x01x");
    assert_eq!(waiting(&outbox), (0, 0));
}

#[test]
fn short_messages_that_are_written_weigh_nothing_any_more() {
    let mut outbox = Outbox::default();
    for body in ["a", "", "bc"] {
        send(&mut outbox, body);
    }
    let before = waiting(&outbox);
    assert_eq!(before.0, 3);
    // The first two fit.
    assert_eq!(outbox.write(&mut [0; 5]), 5);
    assert_eq!(waiting(&outbox).0, 1);
    assert!(waiting(&outbox).1 < before.1);
    assert_eq!(written(&mut outbox), b"\0\x02bc");
    assert_eq!(waiting(&outbox), (0, 0));
}

#[test]
fn a_body_is_given_out_where_it_lies_from_64_kib_on() {
    for (len, head, is_long) in
        [(65_535, 9, false), (65_536, 9, true), (65_536, 8, false), (65_536, 10, false)]
    {
        let mut outbox = Outbox::default();
        send(&mut outbox, vec![7; len]);
        assert_eq!(outbox.write(&mut vec![0; head]), head);
        assert_eq!(outbox.long_body().is_some(), is_long, "{len} {head}");
    }
    // What is left of it is long, too, and comes from there on.
    let mut outbox = Outbox::default();
    send(&mut outbox, [vec![1; 10], vec![2; 65_536]].concat());
    outbox.write(&mut [0; 9]);
    outbox.advance(10);
    assert_eq!(outbox.long_body().unwrap(), vec![2; 65_536]);
    outbox.advance(1);
    assert_eq!(outbox.long_body(), None);
}

#[test]
fn what_is_dropped_weighs_nothing_any_more_and_commands_stay() {
    let mut outbox = Outbox::default();
    // One that was written the long way before counts no more.
    send(&mut outbox, vec![7; 300]);
    written(&mut outbox);
    send(&mut outbox, "x");
    send(&mut outbox, vec![7; 300]);
    outbox.pong(b"");
    outbox.drop_messages();
    assert_eq!(outbox.message_count(), 0);
    assert_eq!(written(&mut outbox), b"\x04\x05\x04PONG");
    assert_eq!(waiting(&outbox), (0, 0));
    // One whose last part is half written is still written whole.
    send(&mut outbox, vec![7; 300]);
    send(&mut outbox, "x");
    outbox.write(&mut [0; 100]);
    outbox.drop_messages();
    assert_eq!(outbox.message_count(), 1);
    assert_eq!(written(&mut outbox), [7; 209]);
    assert_eq!(waiting(&outbox), (0, 0));
    // Of one that lacks parts nothing can follow.
    outbox.message(Message::from_parts([vec![7; 300].into(), "x".into()]).unwrap(), 0).unwrap();
    outbox.write(&mut [0; 100]);
    outbox.pong(b"");
    outbox.drop_messages();
    assert_eq!((waiting(&outbox), written(&mut outbox)), ((0, 0), vec![]));
}

#[test]
fn only_messages_that_are_whole_and_of_which_nothing_is_written_come_back() {
    let mut outbox = Outbox::default();
    send(&mut outbox, "one");
    outbox.begin_part(4, false).unwrap();
    outbox.piece("ab".into()).unwrap();
    outbox.piece("cd".into()).unwrap();
    send(&mut outbox, "two");
    assert_eq!(outbox.take_unsent(), [Message::new("one"), Message::new("two")]);
    assert_eq!(waiting(&outbox), (0, 0));
    // The rest of a message that is half written is no message.
    let parts = ["first", "second", "third"].map(Bytes::from);
    outbox.message(Message::from_parts(parts).unwrap(), 0).unwrap();
    send(&mut outbox, "whole");
    assert_eq!(outbox.write(&mut [0; 7]), 7);
    assert_eq!(outbox.take_unsent(), [Message::new("whole")]);
    assert_eq!(waiting(&outbox), (0, 0));
}

#[test]
fn a_long_queue_is_given_back_when_it_is_empty_and_a_short_one_kept() {
    for (messages, kept) in [(64, 64), (65, 0)] {
        let mut outbox = Outbox::default();
        for _ in 0..messages {
            send(&mut outbox, "x");
        }
        assert_eq!(written(&mut outbox).len(), messages * 3);
        assert_eq!(outbox.queue.capacity(), kept);
    }
}
