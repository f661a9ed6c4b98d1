//! A ZeroMQ peer for tests: our sockets over the kernel's TCP, told what to do by arguments.
//!
//! ```text
//! zmq-peer serve (bind PORT | connect HOST:PORT)    a service: the sum of a list, or an error
//! zmq-peer call (bind PORT | connect HOST:PORT) COUNT    calls that service, COUNT at a time
//! zmq-peer bench ...          one side of a row of bench/bench.py
//! zmq-peer codecs MEGABYTES   pipelines beside straight-line code; prints CPU seconds
//! zmq-peer VERB SOCKET ...    a script, as the trial appliance runs it: `trial::script`
//! ```

mod bench;
mod codecs;
mod host;

use aqueduct_linux::sockets::{KernelConnector, KernelListener};
use endpoints::pipe::{CallFailed, Compress, make_client, make_server};
use endpoints::zmq::{Attach, Bind, Connect, Host, ZmqSocket};
use host::World;
use trial::script;

fn main() {
    host::log_to_stderr();
    let words: Vec<_> = std::env::args().skip(1).collect();
    let (verb, rest) = words.split_first().expect("a verb");
    match verb.as_str() {
        "bench" => bench::run(rest),
        "codecs" => codecs::run(rest[0].parse().expect("megabytes")),
        "serve" => serve(rest),
        "call" => call(rest, rest[2].parse().expect("a number")),
        _ => {
            let world = World::new();
            let script = script::open(&world, &words.join(" ")).unwrap();
            println!("ready");
            world.run(async move { println!("{}", script.await) });
        }
    }
}

impl script::Place for World {
    type Listener = KernelListener;
    type Connector = KernelConnector;

    fn host(&self) -> Host {
        self.host.clone()
    }

    fn listen(&self, port: u16) -> Result<KernelListener, String> {
        Ok(World::listen(self, port))
    }

    fn connector(&self) -> KernelConnector {
        World::connector(self)
    }
}

/// `bind PORT` or `connect HOST:PORT`.
struct Place<'a>(&'a World, &'a [String]);

impl Attach for Place<'_> {
    fn attach(self, socket: &ZmqSocket) {
        let Self(world, words) = self;
        match words[0].as_str() {
            "bind" => Bind(world.listen(words[1].parse().unwrap())).attach(socket),
            _ => Connect::new(world.connector(), words[1].parse().unwrap()).attach(socket),
        }
    }
}

/// The sum of a list; a list that starts with 0 panics.
fn serve(words: &[String]) {
    let world = World::new();
    let handler = async |list: Vec<u64>| {
        assert!(list.first() != Some(&0), "a zero");
        (list.iter().sum::<u64>(), list)
    };
    make_server(&world.host, handler, Place(&world, words));
    println!("ready");
    world.run(std::future::pending::<()>());
}

fn call(words: &[String], count: usize) {
    type Sum = (u64, Vec<u64>);
    let world = World::new();
    let client = make_client::<Vec<u64>, Sum>(&world.host, Place(&world, words));
    let calls: Vec<_> = (1..=count as u64)
        .map(|number| {
            let client = client.clone();
            let compress = [Compress::No, Compress::Reply, Compress::Both][number as usize % 3];
            world.host.spawner.spawn_joinable("call", async move {
                let list: Vec<u64> = (number..number + 1000).collect();
                let (sum, back) = client.call(list.clone(), compress).await.unwrap();
                assert!(sum == list.iter().sum::<u64>() && back == list);
            })
        })
        .collect();
    world.run(async move {
        for call in calls {
            call.await.unwrap();
        }
        let million: Vec<u64> = (1..=1_000_000).collect();
        for compress in [Compress::No, Compress::Both] {
            let (_, back) = client.call(million.clone(), compress).await.unwrap();
            assert!(back == million);
        }
        let failed = client.call(vec![0], Compress::No).await;
        assert!(matches!(failed, Err(CallFailed::Remote(_))), "{failed:?}");
        println!("ok {count}");
    });
}
