//! The client with a server of this process, which answers as it is told. A real one is asked by `tests/interop/postgres.rs`.

mod late;
mod many;
mod unnamed;

use super::*;
use ::flow::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
use ::flow::task::Executor;
use ::flow::{ConnectError, Flow, FlowExt, Listener, Target};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use std::boxed::Box;
use std::format;

/// A message of the server's.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn done() -> Vec<u8> {
    [message(b'C', b"DONE\0"), ready(b'I')].concat()
}

/// One value of text, so many times.
fn rows(count: usize) -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x03abc").repeat(count)
}

/// To a parse and a describe: no parameters and a column of text.
fn described() -> Vec<u8> {
    let column = b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xFF\xFF\xFF\xFF\xFF\xFF\0\0";
    [message(b'1', b""), message(b't', b"\0\0"), message(b'T', column), ready(b'I')].concat()
}

fn bound() -> Vec<u8> {
    message(b'2', b"")
}

struct World {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    environment: Environment,
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let (spawner, timers) = (executor.spawner(), Timers::new());
        let environment = Environment {
            spawner,
            timers: timers.clone(),
            entropy: Rc::new(|bytes| bytes.fill(7)),
            ledger: None,
        };
        Self { executor, timers, network: MemoryNetwork::new(4096, 8), environment }
    }

    fn target() -> Target {
        "db.example:5432".parse().unwrap()
    }

    fn listen(&self) -> MemoryListener {
        self.network.listen(&Self::target()).unwrap()
    }

    fn server(&self) -> Server {
        Server::plain(self.network.clone(), Self::target())
    }

    /// Runs both to the end of `client`, as time passes.
    fn run<T: 'static>(
        &self,
        server: impl Future<Output = ()> + 'static,
        client: impl Future<Output = T> + 'static,
    ) -> T {
        self.executor.spawner().spawn("server", server);
        let result = Rc::new(RefCell::new(None));
        let to = result.clone();
        self.executor.spawner().spawn("client", async move {
            to.replace(Some(client.await));
        });
        for _ in 0..1000 {
            self.executor.run_until_stalled();
            if let Some(result) = result.take() {
                return result;
            }
            let next = self.timers.next_deadline().expect("somebody waits for ever");
            self.timers.advance(next);
        }
        panic!("it does not come to an end")
    }

    fn connecting(&self) -> impl Future<Output = Result<Client, ClientError>> + use<> {
        let (server, environment) = (self.server(), self.environment.clone());
        async move {
            connect(&[server], &Settings::new("alice"), &Options::default(), &environment).await
        }
    }
}

/// One connection of the server's.
struct Peer(MemoryFlow);

impl Peer {
    async fn accept(listener: &mut MemoryListener) -> Self {
        let mut peer = Self(listener.accept().await.unwrap());
        peer.take_untagged().await;
        let key = message(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]);
        peer.say(&[message(b'R', &[0; 4]), key, ready(b'I')].concat()).await;
        peer
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = std::vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.0.read(&mut bytes[filled..]).await {
                Ok(count @ 1..) => filled += count,
                _ => return None,
            }
        }
        Some(bytes)
    }

    /// A start-up message, or a cancel request.
    async fn take_untagged(&mut self) -> Vec<u8> {
        let length = self.bytes(4).await.unwrap();
        let length = u32::from_be_bytes(length.try_into().unwrap());
        self.bytes(length as usize - 4).await.unwrap()
    }

    /// The next message's type and body; none at the end.
    async fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let header = self.bytes(5).await?;
        let length = u32::from_be_bytes(header[1..].try_into().unwrap());
        Some((header[0], self.bytes(length as usize - 4).await?))
    }

    /// Takes messages up to one of that type, and gives the types.
    async fn up_to(&mut self, last: u8) -> String {
        let mut kinds = String::new();
        while let Some((kind, _)) = self.take().await {
            kinds.push(kind.into());
            if kind == last {
                break;
            }
        }
        kinds
    }
}

#[test]
fn a_statement_is_prepared_once_and_the_connection_ends_in_order() {
    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let seen = Rc::new(RefCell::new(String::new()));
    let kinds = seen.clone();
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        let sent = peer.up_to(b'S').await;
        kinds.borrow_mut().push_str(&sent);
        peer.say(&described()).await;
        for _ in 0..2 {
            let sent = peer.up_to(b'S').await;
            kinds.borrow_mut().push_str(&sent);
            peer.say(&[bound(), rows(1), done()].concat()).await;
        }
        let sent = peer.up_to(b'?').await;
        kinds.borrow_mut().push_str(&sent);
    };
    let timers = world.timers.clone();
    world.run(server, async move {
        let client = connecting.await.unwrap();
        for _ in 0..2 {
            let row = client.query_one("select a", &[]).await.unwrap();
            assert_eq!(row.get::<&str>(0), Ok("abc"));
        }
        drop(client);
        timers.sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(*seen.borrow(), "PDSBESBESX");
}

#[test]
fn who_refuses_version_3_2_is_asked_for_3_0_from_then_on() {
    let world = World::new();
    let (mut listener, server, environment) =
        (world.listen(), world.server(), world.environment.clone());
    let versions = Rc::new(RefCell::new(Vec::new()));
    let seen = versions.clone();
    let pooler = async move {
        // A peer that is dropped is a reset, which may overtake what it said.
        let mut peers = Vec::new();
        loop {
            let mut peer = Peer(listener.accept().await.unwrap());
            let start = peer.take_untagged().await;
            seen.borrow_mut().push(start[3]);
            if start[3] == 0 {
                peer.say(&[message(b'R', &[0; 4]), ready(b'I')].concat()).await;
            } else {
                peer.say(&message(b'E', b"SFATAL\0VFATAL\0C08P01\0Mbad packet header\0\0")).await;
            }
            peers.push(peer);
        }
    };
    world.run(pooler, async move {
        let (servers, settings, options) = ([server], Settings::new("alice"), Options::default());
        for _ in 0..2 {
            connect(&servers, &settings, &options, &environment).await.unwrap();
        }
    });
    assert_eq!(*versions.borrow(), [2, 0, 0]);
}

#[test]
fn a_query_given_up_is_cancelled_and_nothing_is_sent_until_that_is_done() {
    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    let timers = world.timers.clone();
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        peer.up_to(b'Q').await;
        let mut other = Peer(listener.accept().await.unwrap());
        let taken = other.take_untagged().await;
        log.borrow_mut().push(format!("{taken:?}"));
        // The query has ended, and the cancel request has not yet: what follows must still wait.
        peer.say(&[message(b'E', b"VERROR\0C57014\0Mx\0\0"), ready(b'I')].concat()).await;
        let early = poll_fn(|cx| Poll::Ready(peer.0.poll_read_with(cx, &mut |_| 0).is_ready()));
        timers.sleep(Duration::from_secs(1)).await;
        let early = early.await;
        log.borrow_mut().push(format!("early: {early}"));
        other.0.finish();
        drop(other);
        let sent = peer.up_to(b'Q').await;
        log.borrow_mut().push(sent);
        peer.say(&done()).await;
        std::future::pending::<()>().await;
    };
    world.run(server, async move {
        let client = connecting.await.unwrap();
        let mut sleeping = Box::pin(client.batch("sleep"));
        let is_pending = poll_fn(|cx| Poll::Ready(sleeping.as_mut().poll(cx).is_pending())).await;
        assert!(is_pending);
        drop(sleeping);
        client.batch("next").await.unwrap();
    });
    let cancel = format!("{:?}", [4, 210, 22, 46, 0, 0, 0, 9, 1, 2, 3, 4]);
    assert_eq!(*seen.borrow(), [cancel, "early: false".into(), "Q".into()]);
}

#[test]
fn a_query_with_others_behind_it_is_skipped_and_not_cancelled() {
    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        assert_eq!(peer.up_to(b'Q').await, "Q");
        assert_eq!(peer.up_to(b'Q').await, "Q");
        let first = message(b'C', b"DELETE 1\0");
        peer.say(&[first, ready(b'I'), done()].concat()).await;
        // Nobody else connects.
        let _ = listener.accept().await;
        panic!("a cancel request");
    };
    world.run(server, async move {
        let client = connecting.await.unwrap();
        let (mut one, mut two) = (Box::pin(client.batch("one")), Box::pin(client.batch("two")));
        poll_fn(|cx| {
            let _ = (one.as_mut().poll(cx), two.as_mut().poll(cx));
            Poll::Ready(())
        })
        .await;
        drop(one);
        two.await.unwrap();
    });
}

#[test]
fn rows_that_nobody_takes_stay_on_the_server() {
    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let sent = Rc::new(RefCell::new(0));
    let count = sent.clone();
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        peer.up_to(b'S').await;
        peer.say(&described()).await;
        peer.up_to(b'S').await;
        peer.say(&bound()).await;
        for _ in 0..10_000 {
            peer.say(&rows(100)).await;
            *count.borrow_mut() += 100;
        }
        peer.say(&done()).await;
        std::future::pending::<()>().await;
    };
    let timers = world.timers.clone();
    let early = sent.clone();
    world.run(server, async move {
        let client = connecting.await.unwrap();
        let mut rows = client.query_stream("select a", &[]).await.unwrap();
        rows.next().await.unwrap();
        timers.sleep(Duration::from_secs(1)).await;
        let sent = *early.borrow();
        // 14 bytes each on the way.
        assert!(sent * 14 < 300_000, "{sent} rows");
        assert!(client.shared().state.borrow().held_bytes() < 200_000);
        let mut count = 1;
        while rows.next().await.unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 1_000_000);
    });
    assert_eq!(*sent.borrow(), 1_000_000);
}

#[test]
fn a_transaction_that_is_dropped_is_rolled_back_before_anything_else() {
    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        while let Some((b'Q', body)) = peer.take().await {
            log.borrow_mut().push(String::from_utf8(body).unwrap());
            let status = if log.borrow().len() == 1 { b'T' } else { b'I' };
            peer.say(&[message(b'C', b"X\0"), ready(status)].concat()).await;
        }
    };
    world.run(server, async move {
        let mut client = connecting.await.unwrap();
        drop(client.transaction().await.unwrap());
        client.batch("next").await.unwrap();
    });
    assert_eq!(*seen.borrow(), ["BEGIN\0", "ROLLBACK\0", "next\0"]);
}

#[test]
fn a_commit_that_rolls_back_says_so() {
    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        for answer in ["BEGIN\0", "ROLLBACK\0"] {
            peer.take().await;
            peer.say(&[message(b'C', answer.as_bytes()), ready(b'I')].concat()).await;
        }
        assert_eq!(peer.take().await.map(|(kind, _)| kind), Some(b'X'));
    };
    let outcome = world.run(server, async move {
        let mut client = connecting.await.unwrap();
        client.transaction().await.unwrap().commit().await
    });
    assert_eq!(outcome, Err(ClientError::RolledBack));
}

#[test]
fn the_end_of_the_connection_is_told_to_all_that_wait() {
    let shutdown = message(b'E', b"VFATAL\0C57P01\0Mgone\0\0");
    for reason in [Vec::new(), shutdown, b"nonsense".to_vec()] {
        let is_shutdown = reason.first() == Some(&b'E');
        let world = World::new();
        let (mut listener, connecting) = (world.listen(), world.connecting());
        let server = async move {
            let mut peer = Peer::accept(&mut listener).await;
            peer.up_to(b'Q').await;
            peer.say(&done()).await;
            peer.up_to(b'Q').await;
            peer.up_to(b'Q').await;
            peer.say(&reason).await;
            peer.0.finish();
            std::future::pending::<()>().await;
        };
        world.run(server, async move {
            let client = connecting.await.unwrap();
            let mut heard = client.listen("news").await.unwrap();
            let (mut one, mut two) = (Box::pin(client.batch("one")), Box::pin(client.batch("two")));
            poll_fn(|cx| {
                let _ = (one.as_mut().poll(cx), two.as_mut().poll(cx));
                Poll::Ready(())
            })
            .await;
            for error in
                [one.await.unwrap_err(), two.await.unwrap_err(), heard.next().await.unwrap_err()]
            {
                assert!(error.is_end(), "{error}");
                if is_shutdown {
                    assert_eq!(error.state(), Some(SqlState::AdminShutdown));
                }
            }
            client.ended().await;
            assert!(client.is_ended() && client.batch("late").await.is_err());
        });
    }
}

#[test]
fn notifications_beyond_their_number_are_lost_and_that_is_said() {
    let world = World::new();
    let (server, environment) = (world.server(), world.environment.clone());
    let mut listener = world.listen();
    let serving = async move {
        let mut peer = Peer::accept(&mut listener).await;
        peer.up_to(b'Q').await;
        let heard = message(b'A', b"\0\0\0\x01news\0x\0");
        let other = message(b'A', b"\0\0\0\x01other\0x\0");
        peer.say(&[done(), heard.repeat(5), other].concat()).await;
        peer.up_to(b'Q').await;
        peer.say(&[done(), heard].concat()).await;
        std::future::pending::<()>().await;
    };
    world.run(serving, async move {
        let options = Options { notifications_max: 3, ..Options::default() };
        let client = connect(&[server], &Settings::new("a"), &options, &environment).await.unwrap();
        let mut heard = client.listen("news").await.unwrap();
        environment.timers.sleep(Duration::from_secs(1)).await;
        for _ in 0..3 {
            assert_eq!(heard.next().await.unwrap().payload, "x");
        }
        assert_eq!(heard.next().await, Err(ClientError::NotificationsLost(2)));
        client.batch("next").await.unwrap();
        assert_eq!(heard.next().await.unwrap().channel, "news");
    });
}

#[test]
fn a_pool_waits_for_a_server_and_gives_up_in_time() {
    let world = World::new();
    let (server, environment) = (world.server(), world.environment.clone());
    let config = PoolConfig { connections_max: 1, ..PoolConfig::default() };
    let pool = Pool::new(
        [server].into(),
        Settings::new("alice"),
        Options::default(),
        config,
        environment.clone(),
    );
    let first = pool.clone();
    let refused = world.run(async {}, async move { first.get().await.map(drop) });
    assert_eq!(refused, Err(ClientError::Connect(ConnectError::Refused)));
    let mut listener = world.listen();
    let server = async move {
        let mut peers = Vec::new();
        loop {
            let mut peer = Peer::accept(&mut listener).await;
            peer.up_to(b'Q').await;
            peer.say(&done()).await;
            peers.push(peer);
        }
    };
    world.run(server, async move {
        let pooled = pool.get().await.unwrap();
        pooled.batch("a").await.unwrap();
        // There is one connection, and it is taken.
        assert_eq!(pool.get().await.map(drop), Err(ClientError::PoolTimeout));
        drop(pooled);
        assert_eq!(pool.idle_count(), 1);
        drop(pool.get().await.unwrap());
        // Its time has come, and the sweep has seen it.
        environment.timers.sleep(Duration::from_secs(601)).await;
        assert_eq!(pool.idle_count(), 0);
        pool.get().await.unwrap().batch("b").await.unwrap();
        let shown = ::inspect::Inspector::default();
        let counted = pool.clone();
        shown.add_metrics(POOL_METRICS, move |visit| {
            visit(Some(("database", &"main")), &counted);
        });
        let mut text = String::new();
        let format = ::inspect::openmetrics::Format::OpenMetrics;
        ::inspect::openmetrics::write(&shown, format, &mut text).unwrap();
        for (name, count) in
            [("leases", 3), ("timeouts", 1), ("connections_made", 2), ("connect_failures", 1)]
        {
            let line = format!("aqueduct_database_{name}_total{{database=\"main\"}} {count}\n");
            // The first attempts are as many as the pauses between them let.
            assert!(text.contains(&line) || name == "connect_failures", "{line} {text}");
        }
        let row = pool.row("main");
        let expected =
            "main used=0 idle=1 waiting=0 connections_max=1 failures=0 connection refused";
        assert_eq!(shown_of(&POOLS.row(&row)), expected);
        let mut servers = Vec::new();
        pool.visit_servers("main", &mut |row| servers.push(shown_of(&SERVERS.row(row))));
        let [server] = &servers[..] else { panic!("{servers:?}") };
        let (counts, error) = server.split_once(" failures=").unwrap();
        assert_eq!(counts, "main db.example:5432 connections=1 made=2");
        assert!(error.ends_with(" connection refused"), "{error}");
    });
}

/// What a row has beside times.
fn shown_of(row: &impl ::inspect::Row) -> String {
    let values = (0..row.columns()).filter(|column| !row.name(*column).ends_with("_ms"));
    let shown = values.map(|column| match row.value(column) {
        ::inspect::Value::Number(number) => format!("{}={number}", row.name(column)),
        ::inspect::Value::Text(text) => text.into(),
        _ => "none".into(),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// A server that has all the time of the world is given none, at the start and in the midst of an answer.
#[test]
fn a_server_that_goes_silent_is_given_up() {
    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let server = async move {
        let mut silent = Peer(listener.accept().await.unwrap());
        silent.take_untagged().await;
        std::future::pending::<()>().await;
    };
    let failed = world.run(server, async move { connecting.await.map(drop) });
    assert_eq!(failed, Err(ClientError::Protocol(::postgres::Error::StartTimeout)));

    let world = World::new();
    let (mut listener, connecting) = (world.listen(), world.connecting());
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        peer.up_to(b'S').await;
        peer.say(&described()).await;
        peer.up_to(b'S').await;
        let answer = [bound(), rows(1)].concat();
        peer.say(&answer[..answer.len() - 1]).await;
        std::future::pending::<()>().await;
    };
    let failed = world.run(server, async move {
        let client = connecting.await.unwrap();
        let failed = client.query("select a", &[]).await.map(drop);
        assert!(client.is_ended());
        failed
    });
    // Which is sooner than `Limits::stall_timeout`.
    assert_eq!(failed, Err(ClientError::QueryTimeout));
}

/// PostgreSQL documentation, section "SSL Session Encryption": `N` is for a server without TLS.
#[cfg(feature = "tls")]
#[test]
fn a_server_without_tls_is_asked_in_the_clear_only_where_that_will_do() {
    let context = || {
        let clock = ::tls::Clock::new(Duration::from_secs(1_800_000_000));
        let options = ::tls::ClientOptions::new(::tls::Trust::any_server(), clock);
        ::tls::ClientContext::new(options).unwrap()
    };
    for (answer, is_preferred, is_reached) in
        [(&b"N"[..], true, true), (b"N", false, false), (b"NR", true, true), (b"E", false, false)]
    {
        let world = World::new();
        let mut listener = world.listen();
        let tls = ServerTls {
            context: context(),
            config: crate::tls::TlsConfig::default(),
            timers: world.timers.clone(),
        };
        let (network, target) = (world.network.clone(), World::target());
        let server = if is_preferred {
            Server::tls_or_plain(network, tls, "db.example", target)
        } else {
            Server::tls(network, tls, "db.example", target)
        };
        let peer = async move {
            let mut asked = Peer(listener.accept().await.unwrap());
            assert_eq!(asked.take_untagged().await, ::postgres::SSL_REQUEST[4..]);
            asked.say(answer).await;
            let _reached = Peer::accept(&mut listener).await;
            std::future::pending::<()>().await;
        };
        let environment = world.environment.clone();
        let reached = world.run(peer, async move {
            let settings = Settings::new("alice");
            connect(&[server], &settings, &Options::default(), &environment).await.map(drop)
        });
        let expected =
            if is_reached { Ok(()) } else { Err(ClientError::Connect(ConnectError::Untrusted)) };
        assert_eq!(reached, expected, "{answer:?}");
    }
}
