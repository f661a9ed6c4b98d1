//! What time a server has for its answers, and what its start costs others.

use super::*;
use ::flow::task::yield_once;
use core::cell::Cell;
use std::vec;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// As a simple query has it in front of its rows: one column.
fn heading() -> Vec<u8> {
    message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xFF\xFF\xFF\xFF\xFF\xFF\0\0")
}

/// What a server may say at any time.
fn asides() -> Vec<u8> {
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mstill here\0\0");
    let notification = message(b'A', b"\0\0\0\x01news\0text\0");
    [notice, notification, message(b'S', b"TimeZone\0UTC\0")].concat()
}

/// As [`Peer::say`], to who may be gone.
async fn say(peer: &mut Peer, bytes: &[u8]) -> bool {
    peer.0.write_all(bytes).await.is_ok()
}

type Cancels = Rc<RefCell<Vec<Vec<u8>>>>;

/// Starts connections, each of which is `answer`'s from then on, and takes cancel requests.
async fn serve<F: Future<Output = ()> + 'static>(
    mut listener: MemoryListener,
    environment: Environment,
    cancels: Cancels,
    mut answer: impl FnMut(Peer, Timers) -> F,
) {
    loop {
        let mut peer = Peer(listener.accept().await.unwrap());
        let first = peer.take_untagged().await;
        if first[0] == 4 {
            cancels.borrow_mut().push(first);
            continue;
        }
        let key = message(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]);
        peer.say(&[message(b'R', &[0; 4]), key, ready(b'I')].concat()).await;
        environment.spawner.spawn("answers", answer(peer, environment.timers.clone()));
    }
}

/// What becomes of `client` at a server that does `answer`, after how long; and how often it was asked to cancel.
fn outcome<T: 'static, F: Future<Output = ()> + 'static, G: Future<Output = T> + 'static>(
    query_timeout: Duration,
    answer: impl FnMut(Peer, Timers) -> F + 'static,
    client: impl FnOnce(Client, Timers) -> G + 'static,
) -> (T, Duration, usize) {
    let world = World::new();
    let (cancels, environment) = (Cancels::default(), world.environment.clone());
    let serving = serve(world.listen(), environment.clone(), cancels.clone(), answer);
    let server = world.server();
    let (outcome, took) = world.run(serving, async move {
        let options = Options { query_timeout, ..Options::default() };
        let settings = Settings::new("alice");
        let connected = connect(&[server], &settings, &options, &environment).await.unwrap();
        let timers = &environment.timers;
        let begin = timers.now();
        let outcome = client(connected, timers.clone()).await;
        let took = timers.now() - begin;
        timers.sleep(seconds(1)).await;
        (outcome, took)
    });
    let cancels = cancels.borrow();
    for cancel in &*cancels {
        assert_eq!(*cancel, [4, 210, 22, 46, 0, 0, 0, 9, 1, 2, 3, 4]);
    }
    (outcome, took, cancels.len())
}

/// One query without rows that are kept, and whether the connection has ended by it.
async fn batch(client: Client, _: Timers) -> (Result<(), ClientError>, bool) {
    (client.batch("select").await, client.is_ended())
}

#[test]
fn a_server_that_does_not_go_on_is_cancelled_and_left() {
    let late = ((Err(ClientError::QueryTimeout), true), seconds(30), 1);
    let silent = |mut peer: Peer, _| async move {
        peer.up_to(b'Q').await;
        peer.up_to(b'?').await;
    };
    assert_eq!(outcome(seconds(30), silent, batch), late);
    // It says a lot, and no answer.
    let chatty = |mut peer: Peer, timers: Timers| async move {
        peer.up_to(b'Q').await;
        while say(&mut peer, &asides()).await {
            timers.sleep(seconds(1)).await;
        }
    };
    assert_eq!(outcome(seconds(30), chatty, batch), late);
    // It begins, and has more than a row to go.
    let stops = |mut peer: Peer, timers: Timers| async move {
        peer.up_to(b'Q').await;
        timers.sleep(seconds(7)).await;
        peer.say(&[heading(), rows(1)].concat()).await;
        peer.up_to(b'?').await;
    };
    let (failed, took, cancels) = outcome(seconds(30), stops, batch);
    assert_eq!((failed, took, cancels), ((Err(ClientError::QueryTimeout), true), seconds(37), 1));
}

#[test]
fn a_server_that_goes_on_has_all_the_time() {
    let fine = (Ok(()), false);
    let slow = |mut peer: Peer, timers: Timers| async move {
        peer.up_to(b'Q').await;
        peer.say(&heading()).await;
        for _ in 0..5 {
            timers.sleep(seconds(29)).await;
            peer.say(&rows(1)).await;
        }
        peer.say(&done()).await;
        peer.up_to(b'?').await;
    };
    assert_eq!(outcome(seconds(30), slow, batch), (fine.clone(), seconds(145), 0));
    // One row, which comes in parts.
    let parts = |mut peer: Peer, timers: Timers| async move {
        peer.up_to(b'Q').await;
        peer.say(&heading()).await;
        for part in rows(1).chunks(5) {
            timers.sleep(seconds(29)).await;
            peer.say(part).await;
        }
        peer.say(&done()).await;
        peer.up_to(b'?').await;
    };
    assert_eq!(outcome(seconds(30), parts, batch), (fine.clone(), seconds(87), 0));
    // There is no limit.
    let at_last = |mut peer: Peer, timers: Timers| async move {
        peer.up_to(b'Q').await;
        timers.sleep(seconds(100_000)).await;
        peer.say(&done()).await;
        peer.up_to(b'?').await;
    };
    assert_eq!(outcome(Duration::ZERO, at_last, batch), (fine, seconds(100_000), 0));
}

#[test]
fn what_is_not_the_servers_fault_does_not_count() {
    // Nobody takes the rows.
    let many = |mut peer: Peer, timers: Timers| async move {
        peer.up_to(b'S').await;
        peer.say(&described()).await;
        peer.up_to(b'S').await;
        peer.say(&bound()).await;
        peer.say(&rows(20_000)).await;
        timers.sleep(seconds(29)).await;
        peer.say(&done()).await;
        peer.up_to(b'?').await;
    };
    let reads_late = |client: Client, timers: Timers| async move {
        let mut stream = client.query_stream("select a", &[]).await?;
        timers.sleep(seconds(100)).await;
        let mut count = 0;
        while stream.next().await?.is_some() {
            count += 1;
        }
        Ok::<_, ClientError>(count)
    };
    assert_eq!(outcome(seconds(30), many, reads_late), (Ok(20_000), seconds(129), 0));
    // The data of a COPY come late; once they are there, it is the server's turn.
    let copies = |mut peer: Peer, _| async move {
        peer.up_to(b'Q').await;
        peer.say(&message(b'G', &[0, 0, 0])).await;
        peer.up_to(b'?').await;
    };
    let sends_late = |client: Client, timers: Timers| async move {
        let mut copy = client.copy_in("copy t from stdin").await?;
        for _ in 0..2 {
            timers.sleep(seconds(100)).await;
            copy.send(b"abc\n").await?;
        }
        copy.finish().await
    };
    let failed = outcome(seconds(30), copies, sends_late);
    assert_eq!(failed, (Err(ClientError::QueryTimeout), seconds(230), 1));
}

#[test]
fn each_answer_of_a_pipeline_has_its_own_time_and_the_late_one_takes_the_others_along() {
    let steady = |mut peer: Peer, timers: Timers| async move {
        for _ in 0..3 {
            timers.sleep(seconds(20)).await;
            peer.up_to(b'Q').await;
            peer.say(&done()).await;
        }
        peer.up_to(b'?').await;
    };
    let all = |client: Client, _| async move {
        let (mut a, mut b, mut c) =
            (Box::pin(client.batch("a")), Box::pin(client.batch("b")), Box::pin(client.batch("c")));
        poll_fn(|cx| {
            let _ = (a.as_mut().poll(cx), b.as_mut().poll(cx), c.as_mut().poll(cx));
            Poll::Ready(())
        })
        .await;
        [a.await, b.await, c.await]
    };
    assert_eq!(outcome(seconds(30), steady, all), ([Ok(()), Ok(()), Ok(())], seconds(60), 0));
    let stops = |mut peer: Peer, timers: Timers| async move {
        timers.sleep(seconds(20)).await;
        peer.up_to(b'Q').await;
        peer.say(&done()).await;
        peer.up_to(b'?').await;
    };
    let late = || Err(ClientError::QueryTimeout);
    assert_eq!(outcome(seconds(30), stops, all), ([Ok(()), late(), late()], seconds(50), 1));
}

/// Those who ask keep their connections until they are answered, whoever has gone meanwhile.
#[test]
fn a_server_that_hangs_does_not_take_a_pool_out() {
    let world = World::new();
    let (cancels, environment) = (Cancels::default(), world.environment.clone());
    let connections = Cell::new(0);
    let answer = move |mut peer: Peer, _| {
        connections.set(connections.get() + 1);
        let is_well = connections.get() > 2;
        async move {
            while peer.up_to(b'Q').await.ends_with('Q') && is_well {
                peer.say(&done()).await;
            }
            peer.up_to(b'?').await;
        }
    };
    let serving = serve(world.listen(), environment.clone(), cancels.clone(), answer);
    let server = world.server();
    world.run(serving, async move {
        let config = PoolConfig { connections_max: 2, ..PoolConfig::default() };
        let (settings, options) = (Settings::new("alice"), Options::default());
        let pool = Pool::new(vec![server], settings, options, config, environment.clone());
        for _ in 0..2 {
            let pool = pool.clone();
            environment.spawner.spawn("asks", async move {
                let client = pool.get().await.unwrap();
                assert_eq!(client.batch("select").await, Err(ClientError::QueryTimeout));
            });
        }
        environment.timers.sleep(seconds(10)).await;
        assert_eq!(pool.get().await.map(drop), Err(ClientError::PoolTimeout));
        environment.timers.sleep(seconds(20)).await;
        assert_eq!(pool.get().await.unwrap().batch("select").await, Ok(()));
    });
    assert_eq!(cancels.borrow().len(), 2);
}

/// RFC 5802: the server chooses how much the client computes.
#[test]
fn who_computes_for_a_server_lets_others_have_their_turns() {
    const ITERATIONS: usize = 100_000;
    let world = World::new();
    let (mut listener, server) = (world.listen(), world.server());
    let (turns, is_done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (count, over) = (turns.clone(), is_done.clone());
    let spawner = world.environment.spawner.clone();
    let scram = async move {
        let mut peer = Peer(listener.accept().await.unwrap());
        peer.take_untagged().await;
        peer.say(&message(b'R', b"\0\0\0\x0ASCRAM-SHA-256\0\0")).await;
        let (_, first) = peer.take().await.unwrap();
        let first = String::from_utf8_lossy(&first).into_owned();
        let nonce = first.split_once("r=").unwrap().1;
        let answer = format!("r={nonce}x,s=AAAA,i={ITERATIONS}");
        peer.say(&message(b'R', &[b"\0\0\0\x0B", answer.as_bytes()].concat())).await;
        spawner.spawn("others", async move {
            while !over.get() {
                count.set(count.get() + 1);
                yield_once().await;
            }
        });
        let (_, last) = peer.take().await.unwrap();
        assert!(last.starts_with(b"c=biws,r="));
        is_done.set(true);
    };
    let environment = world.environment.clone();
    let failed = world.run(scram, async move {
        let settings = Settings::new("alice").password("secret");
        connect(&[server], &settings, &Options::default(), &environment).await.map(drop)
    });
    assert!(failed.is_err(), "the server leaves");
    assert!(turns.get() >= ITERATIONS / 2048, "{} turns", turns.get());
}
