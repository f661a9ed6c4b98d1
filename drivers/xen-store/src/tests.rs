use super::fake::{Daemon, connect};
use super::*;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

fn run<T>(store: &Store, daemon: &mut Daemon, future: impl Future<Output = T>) -> T {
    daemon.drive(store, future).expect("an answer")
}

#[test]
fn values_are_written_read_listed_and_removed() {
    let (store, mut daemon) = connect();
    run(&store, &mut daemon, async {
        store.write("data/one", b"1").await?;
        store.write("data/two", b"second").await?;
        assert_eq!(store.read("data/two").await?, b"second");
        assert_eq!(store.read_number("data/one").await?, 1);
        assert_eq!(store.read_number("data/two").await, Err(Error::Malformed));
        assert_eq!(store.directory("data").await?, ["one", "two"]);
        store.remove("data/one").await?;
        store.remove("data/one").await?;
        assert_eq!(store.read("data/one").await, Err(Error::NotFound));
        store.make("data/empty").await?;
        assert_eq!(store.read("data/empty").await?, b"");
        assert_eq!(store.directory("data/empty").await?, [""; 0]);
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!(daemon.get("/local/domain/1/data/two").unwrap(), "second");
    assert_eq!(store.counters().strays, 0);
}

#[test]
fn answers_and_requests_of_4_kib_pass_a_ring_of_1() {
    let (store, mut daemon) = connect();
    let long = vec![b'x'; PAYLOAD_BYTES_MAX - "long".len() - 1];
    run(&store, &mut daemon, async {
        store.write("long", &long).await.unwrap();
        assert_eq!(store.read("long").await.unwrap(), long);
        assert_eq!(store.write("longer", &long).await, Err(Error::TooLong));
    });
}

#[test]
fn a_directory_of_more_than_4_kib_comes_in_parts() {
    let (store, mut daemon) = connect();
    for number in 0..1000 {
        daemon.set(&format!("many/{number:08}"), "");
    }
    let names = run(&store, &mut daemon, store.directory("many")).unwrap();
    assert_eq!(names.len(), 1000);
    assert_eq!(names[999], "00000999");
}

#[test]
fn many_requests_are_under_way_at_once_and_more_wait() {
    let (store, mut daemon) = connect();
    let mut cx = Context::from_waker(Waker::noop());
    type Writing = Pin<Box<dyn Future<Output = Result<(), Error>>>>;
    let mut futures: Vec<Writing> = (0..100)
        .map(|number| {
            let store = store.clone();
            let path = format!("n/{number}");
            Box::pin(async move { store.write(&path, b"v").await }) as Pin<Box<_>>
        })
        .collect();
    for _ in 0..1000 {
        futures.retain_mut(|future| future.as_mut().poll(&mut cx).is_pending());
        store.poll();
        daemon.step();
    }
    assert!(futures.is_empty());
    assert_eq!(run(&store, &mut daemon, store.directory("n")).unwrap().len(), 100);
}

#[test]
fn a_transaction_is_tried_again_when_another_domain_was_in_the_way() {
    let (store, mut daemon) = connect();
    daemon.set("count", "5");
    let daemon = core::cell::RefCell::new(daemon);
    let tries = core::cell::Cell::new(0);
    let body = store.transact(async |transaction: &Store| {
        let count = transaction.read_number("count").await?;
        tries.set(tries.get() + 1);
        if tries.get() < 4 {
            daemon.borrow_mut().set("count", &format!("{}", count + 10));
        }
        transaction.write("count", format!("{}", count + 1).as_bytes()).await?;
        Ok(count)
    });
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let count = loop {
        if let Poll::Ready(done) = body.as_mut().poll(&mut cx) {
            break done.unwrap();
        }
        store.poll();
        daemon.borrow_mut().step();
        store.poll();
    };
    assert_eq!((count, tries.get()), (35, 4));
    assert_eq!(daemon.borrow().get("count").unwrap(), "36");
}

#[test]
fn a_failed_body_leaves_nothing_behind() {
    let (store, mut daemon) = connect();
    let done = run(
        &store,
        &mut daemon,
        store.transact(async |transaction: &Store| {
            transaction.write("a", b"1").await?;
            transaction.read("missing").await
        }),
    );
    assert_eq!(done, Err(Error::NotFound));
    assert_eq!(daemon.get("a"), None);
}

#[test]
fn a_watch_tells_of_changes_and_ends_when_dropped() {
    let (store, mut daemon) = connect();
    let mut watch = run(&store, &mut daemon, store.watch("control")).unwrap();
    assert_eq!(run(&store, &mut daemon, watch.changed()).unwrap(), "control");
    assert!(daemon.drive(&store, watch.changed()).is_none());
    daemon.set("control/shutdown", "reboot");
    daemon.set("control/shutdown", "halt");
    daemon.set("other", "x");
    assert_eq!(run(&store, &mut daemon, watch.changed()).unwrap(), "control/shutdown");
    assert!(daemon.drive(&store, watch.changed()).is_none());
    assert_eq!(daemon.watches(), 1);
    drop(watch);
    assert_eq!(run(&store, &mut daemon, store.read("nothing")), Err(Error::NotFound));
    assert_eq!(daemon.watches(), 0);
}

#[test]
fn a_dropped_request_leaves_no_trace() {
    let (store, mut daemon) = connect();
    {
        let future = pin!(store.read("a"));
        assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    daemon.set("b", "2");
    assert_eq!(run(&store, &mut daemon, store.read("b")).unwrap(), b"2");
    assert_eq!(store.counters().strays, 0);
}

#[test]
fn messages_that_answer_nothing_are_counted_and_ignored() {
    let (store, mut daemon) = connect();
    daemon.set("b", "2");
    daemon.send_message(2, 999, b"surprise");
    daemon.send_message(wire::WATCH_EVENT, 0, b"path\0token\0");
    daemon.send_message(wire::WATCH_EVENT, 0, b"no end");
    daemon.send_message(77, 2, b"");
    assert_eq!(run(&store, &mut daemon, store.read("b")).unwrap(), b"2");
    assert_eq!(store.counters().strays, 4);
}

#[test]
fn an_answer_of_another_kind_is_malformed() {
    let (store, mut daemon) = connect();
    let mut read = pin!(store.read("b"));
    assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    daemon.send_message(1, 1, b"OK\0");
    assert_eq!(run(&store, &mut daemon, read), Err(Error::Malformed));
}

/// What a daemon can do to break the connection.
type Breakage = (&'static str, fn(&mut Daemon));
const BREAKAGES: &[Breakage] = &[
    ("answers beyond the ring", |daemon| daemon.set_answer_producer(1 << 20)),
    ("answers that go back", |daemon| daemon.set_answer_producer(u32::MAX - 31)),
    ("requests consumed beyond what was sent", |daemon| daemon.set_request_consumer(500)),
    ("a message longer than allowed", |daemon| {
        let header = wire::Header { kind: 2, request: 1, transaction: 0, payload_bytes: 1 << 30 };
        daemon.send_raw(&header.emit());
    }),
];

#[test]
fn a_broken_connection_is_made_anew_with_its_watches() {
    for (name, breakage) in BREAKAGES {
        let (store, mut daemon) = connect();
        let mut watch = run(&store, &mut daemon, store.watch("w")).unwrap();
        run(&store, &mut daemon, watch.changed()).unwrap();
        let mut read = pin!(store.read("b"));
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        breakage(&mut daemon);
        store.poll();
        let answer = run(&store, &mut daemon, read);
        assert_eq!(answer, Err(Error::Disconnected), "{name}");
        daemon.set("b", "2");
        assert_eq!(run(&store, &mut daemon, store.read("b")).unwrap(), b"2", "{name}");
        assert_eq!(run(&store, &mut daemon, watch.changed()).unwrap(), "w", "{name}");
        assert_eq!(store.counters().reconnections, 1, "{name}");
    }
}

#[test]
fn without_reconnection_a_broken_connection_stays_broken() {
    for (name, breakage) in BREAKAGES {
        let (store, mut daemon) = connect();
        daemon.set_can_reconnect(false);
        let mut watch = run(&store, &mut daemon, store.watch("w")).unwrap();
        run(&store, &mut daemon, watch.changed()).unwrap();
        breakage(&mut daemon);
        store.poll();
        assert_eq!(run(&store, &mut daemon, store.read("b")), Err(Error::Broken), "{name}");
        assert_eq!(run(&store, &mut daemon, watch.changed()), Err(Error::Broken), "{name}");
    }
}

#[test]
fn a_flood_of_events_takes_bounded_memory() {
    let (store, mut daemon) = connect();
    let mut watch = run(&store, &mut daemon, store.watch("w")).unwrap();
    for number in 0..10_000 {
        daemon.set(&format!("w/{number}"), "x");
        store.poll();
        daemon.step();
    }
    let mut events = 0;
    while daemon.drive(&store, watch.changed()).is_some() {
        events += 1;
    }
    assert!((2..=64).contains(&events), "{events} events");
}

#[test]
fn random_rings_never_panic() {
    for seed in 1..200_u64 {
        let (store, mut daemon) = connect();
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = Box::pin(store.read("b"));
        for _ in 0..200 {
            match random() % 5 {
                0 => daemon.set_answer_producer(random()),
                1 => daemon.set_request_consumer(random()),
                2 => daemon.send_message(random() % 32, random() % 4, &random().to_le_bytes()),
                3 => daemon.send_raw(&random().to_le_bytes()),
                _ => drop(daemon.step()),
            }
            store.poll();
            if read.as_mut().poll(&mut cx).is_ready() {
                read = Box::pin(store.read("b"));
            }
        }
    }
}
