use super::*;
use crate::{Config, SocketType};
use alloc::sync::Arc;
use alloc::vec;

fn peer() -> Peer {
    let config = Arc::new(Config::new(SocketType::Pull));
    Peer::new(Connection::new(Duration::ZERO, config, &[1; 48]))
}

fn delivery(body: &'static str) -> Delivery {
    Delivery { message: Message::new(body), part_left: 0 }
}

/// An idle peer does not keep what a busy one had.
#[test]
fn a_long_inbox_gives_its_places_back_and_a_short_one_keeps_them() {
    for (messages, places) in [(64, 64), (65, 0)] {
        let mut peer = peer();
        (0..messages).for_each(|_| peer.deliver(delivery("x")));
        peer.inbox.shrink_to_fit();
        while peer.receive().is_some() {}
        assert_eq!((peer.inbox.capacity(), peer.inbox_bytes), (places, 0));
    }
}

/// A body weighs with what its allocation costs, 32 bytes.
#[test]
fn chunks_and_parts_weigh_what_they_take() {
    let chunk = |bytes: &'static str| Chunk { bytes: bytes.into(), part_left: 0, more: false };
    assert_eq!(chunk("").held_bytes(), size_of::<Chunk>());
    assert_eq!(chunk("abc").held_bytes(), size_of::<Chunk>() + 3 + 32);
    let mut assembly = Assembly::default();
    let options = Options::new(SocketType::Pull);
    for bodies in [100, 200, 300] {
        let taken = vec![7; 100];
        assert!(assembly.add(Body::taken(100, 0, true), &taken, &options).unwrap().is_none());
        let list = assembly.parts.capacity() * size_of::<Bytes>();
        assert_eq!(assembly.held_bytes(), list + bodies + 32 * bodies / 100);
    }
    let whole = assembly.add(Body::taken(0, 0, false), b"", &options).unwrap().unwrap();
    assert_eq!((whole.message.part_count(), assembly.held_bytes()), (4, 0));
}

/// A part of 10 MiB that comes in pieces of 64 KiB: memory follows what has come.
#[test]
fn memory_for_a_part_is_at_most_four_times_what_has_come_and_grows_in_few_steps() {
    const PIECE: usize = 64 << 10;
    let (mut assembly, options) = (Assembly::default(), Options::new(SocketType::Pull));
    let (taken, pieces) = (vec![7; PIECE], 160);
    let (mut steps, mut capacity) = (Vec::new(), 0);
    for number in 1..pieces {
        let left = ((pieces - number) * PIECE) as u64;
        assert!(assembly.add(Body::taken(PIECE, left, false), &taken, &options).unwrap().is_none());
        if assembly.part.capacity() != capacity {
            capacity = assembly.part.capacity();
            steps.push((number, capacity / PIECE));
        }
    }
    assert_eq!(steps, [(1, 4), (5, 16), (17, 64), (65, 160)]);
    let whole = assembly.add(Body::taken(PIECE, 0, false), &taken, &options).unwrap().unwrap();
    assert_eq!(whole.message.body_bytes(), 10 << 20);
    // A short part takes no more than itself.
    assert!(assembly.add(Body::taken(10, 90, false), &[7; 10], &options).unwrap().is_none());
    assert_eq!(assembly.part.capacity(), 100);
}

#[test]
fn only_a_part_that_is_longer_and_lacks_bytes_streams() {
    let mut options = Options::new(SocketType::Pull);
    options.stream_over_bytes = Some(100);
    let taken = [7; 200];
    // Of a part so much at once, and what its start, or the whole of it, then lacks.
    for (bytes, left, expected) in
        [(100, 0, Some(0)), (150, 0, Some(0)), (100, 1, Some(1)), (99, 1, None), (99, 2, None)]
    {
        let mut assembly = Assembly::default();
        let added =
            assembly.add(Body::taken(bytes, left, false), &taken[..bytes], &options).unwrap();
        assert_eq!(added.map(|it| it.part_left), expected, "{bytes} {left}");
        assert_eq!(assembly.streams, expected == Some(1));
    }
    // What does not stream has to be as short as a message may be, which its header says already.
    options.config.limits.message_bytes_max = 50;
    for (left, expected) in
        [(40, Ok(())), (41, Err(Error::MessageTooLong)), (90, Err(Error::MessageTooLong))]
    {
        let added = Assembly::default().add(Body::taken(10, left, false), &taken[..10], &options);
        assert_eq!(added.map(|it| assert!(it.is_none())), expected, "{left}");
    }
    assert!(Assembly::default().add(Body::taken(10, 91, false), &taken[..10], &options).is_ok());
}
