//! A panic is its request's own affair: whoever comes next is served right, sees no byte that is another's,
//! and every count is back where it was.

use super::raw::raw_caller;
use super::*;
use flow::task::TaskError;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MILLISECOND: Duration = Duration::from_millis(1);
/// So few that a slot which is lost is noticed.
const REQUESTS_MAX: usize = 2;
const COMPRESS: [Compress; 3] = [Compress::No, Compress::Reply, Compress::Both];
const FAILED: &str = "the handler failed";

/// A text whose code panics in the middle of it, when it says so.
#[derive(Clone, Debug, PartialEq)]
struct Trap(String);

const IN_WRITING: &str = "panics in writing";
const IN_READING: &str = "panics in reading";

impl Serialize for Trap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&self.0)?;
        assert!(self.0 != IN_WRITING, "as told");
        tuple.serialize_element(&7)?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Trap;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a trap")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Trap, A::Error> {
                let text: String = elements.next_element()?.unwrap_or_default();
                assert!(text != IN_READING, "as told");
                elements.next_element::<u8>()?;
                Ok(Trap(text))
            }
        }
        deserializer.deserialize_tuple(2, Elements)
    }
}

type Asks = Client<Trap, Trap>;

/// Answers with what it is told to answer with.
fn serve_traps(world: &World) -> Service {
    let limits = ServiceLimits { requests_max: REQUESTS_MAX, ..ServiceLimits::default() };
    let handler = async |Trap(text): Trap| Trap(text.replace("answer that ", ""));
    make_server_within(&world.host, handler, world.bind("a:1"), limits)
}

#[test]
fn a_panic_at_any_await_of_a_handler_costs_its_request_only() {
    const AWAITS: u32 = 5;
    let world = World::new();
    let timers = world.host.timers.clone();
    let handler = async move |panics_at: u32| {
        for step in 0..AWAITS {
            assert!(step != panics_at, "as told");
            timers.sleep(MILLISECOND).await;
        }
        assert!(panics_at != AWAITS, "as told");
        panics_at
    };
    let limits = ServiceLimits { requests_max: REQUESTS_MAX, ..ServiceLimits::default() };
    let server = make_server_within(&world.host, handler, world.bind("a:1"), limits);
    let [one, other]: [Client<u32, u32>; 2] =
        [(); 2].map(|()| make_client(&world.host, world.connect("a:1")));
    world.run(async move {
        for panics_at in 0..=AWAITS {
            let failed = one.call(panics_at, Compress::No).await;
            assert_eq!(failed, Err(CallFailed::Remote(FAILED.into())), "{panics_at}");
            for client in [&one, &other] {
                assert_eq!(client.call(99, Compress::Both).await, Ok(99), "{panics_at}");
            }
            assert_eq!((server.requests(), server.peers()), (0, 2), "{panics_at}");
        }
    });
}

#[test]
fn a_panic_in_a_codec_of_the_service_costs_its_request_only() {
    let world = World::new();
    let server = serve_traps(&world);
    let [one, other]: [Asks; 2] = [(); 2].map(|()| make_client(&world.host, world.connect("a:1")));
    let network = world.network.clone();
    world.run(async move {
        let mut raw = raw_caller(&network, b"REQ").await;
        for trap in [IN_READING, &std::format!("answer that {IN_WRITING}")] {
            for compress in COMPRESS {
                let failed = one.call(Trap(trap.into()), compress).await;
                assert_eq!(failed, Err(CallFailed::Remote(FAILED.into())), "{trap} {compress:?}");
                // The reply as it comes: not one byte of the one before.
                let exact = raw.ask(b"p\x82\x65water\x07").await;
                assert_eq!(exact, b"p\x82\x65water\x07", "{trap} {compress:?}");
                for (client, compress) in [(&one, compress), (&other, Compress::Both)] {
                    let water = Trap("water".repeat(100));
                    assert_eq!(client.call(water.clone(), compress).await, Ok(water), "{trap}");
                }
                assert_eq!((server.requests(), server.peers()), (0, 3), "{trap} {compress:?}");
            }
        }
    });
}

#[test]
fn a_panic_in_a_codec_of_the_client_costs_its_call_only() {
    let world = World::new();
    let server = serve_traps(&world);
    let client: Asks = make_client(&world.host, world.connect("a:1"));
    let spawner = world.host.spawner.clone();
    world.run(async move {
        for trap in [IN_WRITING, &std::format!("answer that {IN_READING}")] {
            for compress in COMPRESS {
                let call = spawner.catching(client.call(Trap(trap.into()), compress)).await;
                assert!(matches!(call, Err(TaskError::Panicked(_))), "{trap} {compress:?}");
                let water = Trap("water".into());
                assert_eq!(client.call(water.clone(), compress).await, Ok(water), "{trap}");
                assert_eq!((server.requests(), server.peers()), (0, 1), "{trap} {compress:?}");
            }
        }
    });
}

/// A flow that panics when it is read for the n-th time.
struct Brittle<F>(F, usize);

impl<F: Flow> Flow for Brittle<F> {
    fn poll_read_with(
        &mut self,
        cx: &mut core::task::Context<'_>,
        read: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> core::task::Poll<Result<usize, flow::FlowError>> {
        self.1 -= 1;
        assert!(self.1 > 0, "brittle");
        self.0.poll_read_with(cx, read)
    }

    fn poll_write_with(
        &mut self,
        cx: &mut core::task::Context<'_>,
        write: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> core::task::Poll<Result<usize, flow::FlowError>> {
        self.0.poll_write_with(cx, write)
    }

    fn poll_drained(
        &mut self,
        cx: &mut core::task::Context<'_>,
    ) -> core::task::Poll<Result<(), flow::FlowError>> {
        self.0.poll_drained(cx)
    }

    fn finish(&mut self) {
        self.0.finish();
    }

    fn abort(&mut self) {
        self.0.abort();
    }

    fn peer(&self) -> flow::Address {
        self.0.peer()
    }

    fn local(&self) -> flow::Address {
        self.0.local()
    }
}

/// Opens brittle flows, each of which lasts for twice as many reads as the one before.
#[derive(Clone)]
struct BrittleNetwork(memory::MemoryNetwork, Rc<Cell<usize>>);

impl Connector for BrittleNetwork {
    type Flow = Brittle<<memory::MemoryNetwork as Connector>::Flow>;

    async fn connect(&self, target: &flow::Target) -> Result<Self::Flow, flow::ConnectError> {
        let flow = self.0.connect(target).await?;
        self.1.set(2 * self.1.get());
        Ok(Brittle(flow, self.1.get()))
    }
}

#[test]
fn a_panic_in_a_connection_leaves_no_count_behind_and_it_is_opened_again() {
    let world = World::new();
    let server = serve_traps(&world);
    let reads = Rc::new(Cell::new(1));
    let network = BrittleNetwork(world.network.clone(), reads.clone());
    let how = crate::zmq::Connect::new(network, target("a:1"));
    let client: Asks = make_client(&world.host, how);
    let client = client.timeout(Duration::from_secs(20));
    let steady: Asks = make_client(&world.host, world.connect("a:1"));
    world.run(async move {
        // In the middle of a long reply, too.
        let water = Trap("water".repeat(10_000));
        while client.call(water.clone(), Compress::No).await != Ok(water.clone()) {
            assert_eq!(steady.call(water.clone(), Compress::No).await, Ok(water.clone()));
            assert_eq!(server.requests(), 0);
        }
        assert!(reads.get() > 50, "{}", reads.get());
        let held = steady.held_bytes() + client.held_bytes() + server.held_bytes();
        assert!(held < 20_000, "{held}");
    });
}
