//! Secure vats over flows in memory.

use super::*;
use ::flow::memory::MemoryNetwork;
use ::flow::task::Executor;
use ::flow::time::Timers;
use ::rpc::{Grants, Limits, VatPlace};
use ::tls::{ClientOptions, Clock, Trust};
use capnp::capability::Client;
use core::cell::Cell;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo as schema;
use std::string::{String, ToString};
use std::vec::Vec;

struct World {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
}

/// A vat, its table, and who it was asked what to offer to.
struct Member {
    vat: SecureVat,
    grants: Grants,
    seen: Rc<RefCell<Vec<Peer>>>,
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("a panic"))
        });
        Self { executor, timers: Timers::new(), network: MemoryNetwork::new(4096, 8) }
    }

    fn member(&self) -> Member {
        self.member_with(SecretKey::generate().unwrap())
    }

    fn member_with(&self, key: SecretKey) -> Member {
        let rpc = Rpc::new(Limits::default(), &self.executor.spawner(), &self.timers);
        let grants = Grants::new(&rpc);
        rpc.set_restorer(grants.clone());
        let seen = Rc::<RefCell<Vec<Peer>>>::default();
        let asked = seen.clone();
        let vat = SecureVat::new(&rpc, key, TlsConfig::default(), move |peer| {
            asked.borrow_mut().push(peer.clone());
            None
        });
        Member { vat: vat.unwrap(), grants, seen }
    }

    /// Serves at `HOST:1`; what ends it is cancelled with the task.
    fn serve(&self, member: &Member, host: &str) -> ::flow::task::TaskId {
        let listener = self.network.listen(&std::format!("{host}:1").parse().unwrap()).unwrap();
        let serving = member.vat.serve(listener);
        self.executor.spawner().spawn("listener", async {
            serving.await;
        })
    }

    fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let outcome = Rc::new(RefCell::new(None));
        let result = outcome.clone();
        self.executor.spawner().spawn("test", async move {
            let value = future.await;
            *result.borrow_mut() = Some(value);
        });
        self.executor.run_until_stalled();
        outcome.borrow_mut().take().expect("the future to end")
    }

    fn restore(&self, from: &Member, reference: SturdyRef) -> Result<schema::Client, RestoreError> {
        let (vat, network) = (from.vat.clone(), self.network.clone());
        self.run(async move { vat.restore(&network, &reference).await })
    }

    /// The name of the service that a reference leads to.
    fn name(&self, from: &Member, reference: SturdyRef) -> Result<String, String> {
        let demo = self.restore(from, reference).map_err(|error| error.to_string())?;
        self.name_of(&demo)
    }

    fn name_of(&self, demo: &schema::Client) -> Result<String, String> {
        let demo = demo.clone();
        let named = async move {
            let response = demo.name_request().send().promise.await?;
            Ok(response.get()?.get_name()?.to_string()?)
        };
        self.run(named).map_err(|error: capnp::Error| error.to_string())
    }
}

impl Member {
    /// Grants a service of this name by a token.
    fn grant(&self, token: &[u8], name: &str) {
        let rpc = &self.vat.inner.rpc;
        let demo: schema::Client = rpc.client(Demo::new(rpc, name));
        let text = std::format!("reference of {name}");
        self.grants.insert(token, &*demo.into_client_hook(), move || Ok(text.clone()));
    }

    fn reference(&self, host: &str, service: &[u8]) -> SturdyRef {
        let fingerprint = Some(self.vat.fingerprint());
        let place = VatPlace::Tcp { host: host.into(), port: 1 };
        SturdyRef { fingerprint, place, service: service.into() }
    }

    fn connections(&self) -> usize {
        self.vat.inner.rpc.connections()
    }
}

#[test]
fn a_reference_leads_to_its_service_and_each_vat_knows_the_other() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    there.grant(b"token", "store");
    world.serve(&there, "there");
    assert_eq!(world.name(&here, there.reference("there", b"token")).unwrap(), "store");
    let known = |member: &Member| member.seen.borrow()[0].fingerprint;
    assert_eq!(known(&there), Some(here.vat.fingerprint()));
    assert_eq!(known(&here), Some(there.vat.fingerprint()));
}

#[test]
fn an_unknown_an_empty_and_the_longest_token_fail_their_calls_and_no_others() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    let longest = [7; ::rpc::SERVICE_BYTES_MAX];
    there.grant(b"token", "store");
    there.grant(&longest, "deep store");
    world.serve(&there, "there");
    let name = |token: &[u8]| world.name(&here, there.reference("there", token));
    let held = world.restore(&here, there.reference("there", b"token")).unwrap();
    assert!(name(b"toke").unwrap_err().contains("no service has this token"));
    assert!(name(b"token2").unwrap_err().contains("no service has this token"));
    assert!(name(b"").is_err());
    assert_eq!(name(&longest).unwrap(), "deep store");
    assert_eq!(world.name_of(&held).unwrap(), "store");
    assert_eq!(here.connections(), 1);
}

#[test]
fn a_vat_with_another_key_is_refused_before_a_byte_of_rpc() {
    let world = World::new();
    let (here, there, other) = (world.member(), world.member(), world.member());
    world.serve(&there, "there");
    let refused = world.restore(&here, other.reference("there", b"token")).err();
    assert_eq!(refused, Some(RestoreError::Connect(ConnectError::Untrusted)));
    assert!(there.seen.borrow().is_empty() && here.seen.borrow().is_empty());
    assert_eq!((here.connections(), there.connections()), (0, 0));
}

#[test]
fn a_client_without_a_key_is_refused() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    there.grant(b"token", "store");
    world.serve(&there, "there");
    // By way of the certificate that a client with a key sees.
    let certificate = {
        let (vat, network) = (here.vat.clone(), world.network.clone());
        let reference = there.reference("there", b"token");
        world.run(async move {
            let flow = vat.make_flow(&network, &reference, reference.fingerprint.unwrap()).await;
            flow.unwrap().info().peer_fingerprint.unwrap()
        })
    };
    let seen = there.seen.borrow().len();
    let options = ClientOptions::new(Trust::fingerprints([certificate]), clock());
    let context = ClientContext::new(options).unwrap();
    let connector =
        TlsConnector::new(world.network.clone(), context, TlsConfig::default(), &world.timers);
    let rpc = here.vat.inner.rpc.clone();
    let failed = world.run(async move {
        let demo: schema::Client = rpc.connect(&connector, &"there:1".parse().unwrap()).await?;
        let named = demo.name_request().send().promise.await;
        Ok::<_, ConnectError>(named.map(drop).is_err())
    });
    // In TLS 1.3 the client has finished before the server has looked at what it showed.
    assert_ne!(failed, Ok(false));
    assert_eq!(there.seen.borrow().len(), seen);
}

fn clock() -> Clock {
    Clock::new(core::time::Duration::from_secs(1_800_000_000))
}

#[test]
fn plain_calls_of_a_secure_vat_and_secure_ones_of_a_plain_vat_fail() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    there.grant(b"token", "store");
    world.serve(&there, "there");
    let plain = SturdyRef { fingerprint: None, ..there.reference("there", b"token") };
    assert!(world.name(&here, plain).is_err());
    assert!(there.seen.borrow().is_empty());

    let rpc = there.vat.inner.rpc.clone();
    let listener = world.network.listen(&"plain:1".parse().unwrap()).unwrap();
    let demo: schema::Client = rpc.client(Demo::new(&rpc, "open"));
    let offering = rpc.offer(listener, demo);
    world.executor.spawner().spawn("plain listener", async {
        offering.await;
    });
    let refused = world.restore(&here, there.reference("plain", b"token")).err();
    assert_eq!(refused, Some(RestoreError::Connect(ConnectError::Untrusted)));
}

#[test]
fn those_who_restore_at_the_same_time_share_a_connection() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    there.grant(b"one", "first");
    there.grant(b"two", "second");
    world.serve(&there, "there");
    let restored = |token: &[u8]| {
        let (vat, network) = (here.vat.clone(), world.network.clone());
        let reference = there.reference("there", token);
        let restoring = async move { vat.restore::<_, schema::Client>(&network, &reference).await };
        world.executor.spawner().spawn_joinable("restore", restoring)
    };
    let (one, two) = (restored(b"one"), restored(b"two"));
    let (one, two) =
        world.run(async { (one.await.unwrap().unwrap(), two.await.unwrap().unwrap()) });
    assert_eq!(world.name_of(&one).unwrap(), "first");
    assert_eq!(world.name_of(&two).unwrap(), "second");
    assert_eq!((here.connections(), there.connections()), (1, 1));
    // It ends when nothing is held by it.
    drop((one, two));
    world.executor.run_until_stalled();
    assert_eq!((here.connections(), there.connections()), (0, 0));
    assert!(here.vat.inner.connections.borrow().is_empty());
    assert!(there.vat.inner.connections.borrow().is_empty());
}

#[test]
fn those_who_wait_for_an_attempt_that_is_given_up_or_fails_go_on() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    there.grant(b"token", "store");
    // Nobody shakes hands here.
    let _deaf = world.network.listen(&"deaf:1".parse().unwrap()).unwrap();
    let restored = |host: &str| {
        let (vat, network) = (here.vat.clone(), world.network.clone());
        let reference = there.reference(host, b"token");
        let restoring = async move { vat.restore::<_, schema::Client>(&network, &reference).await };
        world.executor.spawner().spawn_joinable("restore", restoring)
    };
    let first = restored("deaf");
    world.executor.run_until_stalled();
    world.serve(&there, "there");
    let second = restored("there");
    world.executor.run_until_stalled();
    assert_eq!(there.seen.borrow().len(), 0);
    world.executor.spawner().cancel(first.id());
    let demo = world.run(async move { second.await.unwrap().unwrap() });
    assert_eq!(world.name_of(&demo).unwrap(), "store");
    drop(demo);
    world.executor.run_until_stalled();

    let (failed, too) = (restored("deaf"), restored("deaf"));
    world.executor.run_until_stalled();
    world.timers.advance(world.timers.now() + core::time::Duration::from_secs(60));
    let outcomes =
        world.run(async move { (failed.await.unwrap().err(), too.await.unwrap().err()) });
    assert!(outcomes.0.is_some() && outcomes.0 == outcomes.1, "{outcomes:?}");
}

#[test]
fn a_connection_serves_both_ways() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    here.grant(b"back", "caller");
    there.grant(b"token", "store");
    world.serve(&there, "there");
    let held = world.restore(&here, there.reference("there", b"token")).unwrap();
    // Nobody listens for `here`: only the connection that it made leads there.
    assert_eq!(world.name(&there, here.reference("here", b"back")).unwrap(), "caller");
    assert_eq!(there.connections(), 1);
    assert_eq!(world.name_of(&held).unwrap(), "store");
    drop(held);
    world.executor.run_until_stalled();
    assert!(world.name(&there, here.reference("here", b"back")).is_err());
}

#[test]
fn a_reference_to_ourselves_needs_no_network() {
    let world = World::new();
    let here = world.member();
    here.grant(b"token", "mine");
    assert_eq!(world.name(&here, here.reference("nowhere", b"token")).unwrap(), "mine");
    assert!(world.name(&here, here.reference("nowhere", b"other")).is_err());
    assert!(world.name(&here, here.reference("nowhere", b"")).is_err());
    assert_eq!(here.connections(), 0);
}

/// Each vat's service is the next one's, so that the last leads back to the first.
#[test]
fn a_ring_of_references_leads_round() {
    let world = World::new();
    let members = ["a", "b", "c"].map(|host| {
        let member = world.member();
        world.serve(&member, host);
        (host, member)
    });
    members[0].1.grant(b"own", "first");
    let ring = [(0, 1), (1, 2), (2, 0)];
    for (from, to) in ring {
        let (host, next) = &members[to];
        let token: &[u8] = if to == 0 { b"own" } else { b"next" };
        let reference = next.reference(host, token);
        let (vat, network) = (members[from].1.vat.clone(), world.network.clone());
        members[from].1.grants.set_loader(move |_: &[u8]| {
            let (vat, network, reference) = (vat.clone(), network.clone(), reference.clone());
            capnp::capability::Promise::from_future(async move {
                let next: Client = vat
                    .restore(&network, &reference)
                    .await
                    .map_err(|error| capnp::Error::disconnected(error.to_string()))?;
                Ok(next.hook)
            })
        });
    }
    let stranger = world.member();
    let first = members[0].1.reference("a", b"next");
    assert_eq!(world.name(&stranger, first).unwrap(), "first");
}

#[test]
fn a_vat_that_starts_again_is_found_with_its_key_and_not_with_another() {
    let world = World::new();
    let pem = SecretKey::generate_pem().unwrap();
    let key = || SecretKey::from_pem(pem.as_bytes()).unwrap();
    let here = world.member();
    let reference = {
        let there = world.member_with(key());
        there.grant(b"token", "store");
        let listening = world.serve(&there, "there");
        let reference = there.reference("there", b"token");
        let held = world.restore(&here, reference.clone()).unwrap();
        assert_eq!(world.name_of(&held).unwrap(), "store");
        world.executor.spawner().cancel(listening);
        there.vat.inner.rpc.drain();
        world.executor.run_until_stalled();
        assert!(world.name_of(&held).is_err());
        reference
    };
    let impostor = world.member();
    let listening = world.serve(&impostor, "there");
    let refused = world.restore(&here, reference.clone()).err();
    assert_eq!(refused, Some(RestoreError::Connect(ConnectError::Untrusted)));
    world.executor.spawner().cancel(listening);
    world.executor.run_until_stalled();
    let again = world.member_with(key());
    again.grant(b"token", "store again");
    world.serve(&again, "there");
    assert_eq!(world.name(&here, reference).unwrap(), "store again");
}

#[test]
fn a_grant_says_its_reference_and_ends_when_it_is_revoked() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    there.grant(b"one", "store");
    there.grant(b"two", "store");
    world.serve(&there, "there");
    let one = world.restore(&here, there.reference("there", b"one")).unwrap();
    let two = world.restore(&here, there.reference("there", b"two")).unwrap();
    let persistent =
        ::rpc::persistent_capnp::persistent::Client::new(one.clone().into_client_hook());
    let saved = world.run(async move {
        let response = persistent.save_request().send().promise.await.unwrap();
        let reference = response.get().unwrap().get_sturdy_ref();
        let text = reference.get_as::<capnp::text::Reader<'_>>().unwrap();
        text.to_string().unwrap()
    });
    assert_eq!(saved, "reference of store");
    assert_eq!(world.name_of(&one).unwrap(), "store");

    assert!(there.grants.revoke(b"one") && !there.grants.revoke(b"one"));
    assert!(world.name_of(&one).unwrap_err().contains("revoked"));
    assert!(world.name(&here, there.reference("there", b"one")).is_err());
    assert_eq!(world.name_of(&two).unwrap(), "store");
    // What takes its place is another grant.
    there.grant(b"one", "new store");
    assert!(world.name_of(&one).unwrap_err().contains("revoked"));
    assert_eq!(world.name(&here, there.reference("there", b"one")).unwrap(), "new store");
}

#[test]
fn a_look_up_may_wait() {
    let world = World::new();
    let (here, there) = (world.member(), world.member());
    world.serve(&there, "there");
    let (timers, rpc) = (world.timers.clone(), there.vat.inner.rpc.clone());
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    there.grants.set_loader(move |token: &[u8]| {
        count.set(count.get() + 1);
        let (timers, rpc) = (timers.clone(), rpc.clone());
        let name = String::from_utf8_lossy(token).into_owned();
        capnp::capability::Promise::from_future(async move {
            timers.sleep(core::time::Duration::from_secs(1)).await;
            let demo: schema::Client = rpc.client(Demo::new(&rpc, &name));
            Ok(demo.into_client_hook())
        })
    });
    let demo = world.restore(&here, there.reference("there", b"late")).unwrap();
    let name = Rc::new(RefCell::new(None));
    let result = name.clone();
    world.executor.spawner().spawn("name", async move {
        let response = demo.name_request().send().promise.await.unwrap();
        *result.borrow_mut() =
            Some(response.get().unwrap().get_name().unwrap().to_string().unwrap());
    });
    world.executor.run_until_stalled();
    assert_eq!((asked.get(), name.borrow().clone()), (1, None));
    world.timers.advance(world.timers.now() + core::time::Duration::from_secs(2));
    world.executor.run_until_stalled();
    assert_eq!(name.borrow().as_deref(), Some("late"));
}
