//! The appliance with a disk, on a platform of flows in memory: what a slow, failing, full or changed disk costs whom.

use aqueduct::app::{App, Appliance};
use aqueduct::context::Context;
use aqueduct::disk::{self, Disks};
use config::cpio::Writer;
use config::{Bundle, Config};
use core::task::{self, Poll, Waker};
use core::time::Duration;
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::registry::StaticRegistry;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use storage::memory::MemoryDisk;
use storage::{BlockDevice, DiskError};
use sweep::{Memory, target};

const MEMORY_BYTES: usize = 64 << 20;
const PAGE_BYTES: usize = 64 << 10;
const LONG_BYTES: usize = 40 * PAGE_BYTES;

/// A running appliance, and its disk.
struct World {
    network: MemoryNetwork,
    executor: Executor,
    timers: Timers,
    context: Context<Memory>,
    disk: MemoryDisk,
    _app: App,
}

/// A request, and what has come of it.
struct Client {
    flow: MemoryFlow,
    answer: Vec<u8>,
    is_ended: bool,
}

impl World {
    /// The bundle is on the disk.
    fn new() -> Self {
        Self::with_disk(&archive("[storage]\nread_timeout_seconds = 20\n"))
    }

    fn with_disk(content: &[u8]) -> Self {
        Self::start(content, None).unwrap()
    }

    /// Starts with this disk, and with what the boot module says, if there is one.
    fn start(content: &[u8], module: Option<&str>) -> Result<Self, String> {
        let executor = Executor::new(|body| {
            catch_unwind(AssertUnwindSafe(body)).map_err(|_| "a panic".to_owned())
        });
        let (timers, disk) = (Timers::new(), MemoryDisk::new(content));
        let disks: Disks = vec![Rc::new(disk.clone()) as Rc<dyn BlockDevice>];
        let spawner = executor.spawner();
        let (bundle, volume) = match module {
            Some(config) => (module_of(config), None),
            None => {
                let (devices, clock) = (disks.clone(), timers.clone());
                let loading = async move { disk::load_bundle(&devices, &spawner, &clock).await };
                let loaded = wait(&executor, loading)?.ok_or("no bundle")?;
                (loaded.bundle, Some(loaded.volume))
            }
        };
        let config = Config::load(&bundle, "").map_err(|error| error.to_string())?;
        let network = MemoryNetwork::new(4096, 1000);
        let platform = Memory {
            network: network.clone(),
            memory_bytes: MEMORY_BYTES,
            vsock: None,
            clock: None,
        };
        let registry = Rc::new(StaticRegistry::default());
        let context = Context::new(platform, config, bundle, registry, &executor, &timers);
        let its = context.clone();
        let opening = async move { disk::open_site(&its, &disks, volume).await };
        let context = context.with_disk_site(wait(&executor, opening)?);
        let app = App::start(&context, &Appliance).map_err(|error| error.to_string())?;
        let world = Self { network, executor, timers, context, disk, _app: app };
        world.run();
        Ok(world)
    }

    fn run(&self) {
        assert!(!self.executor.run(1_000_000), "a task runs for ever");
    }

    fn advance(&self, time: Duration) {
        self.timers.advance(self.timers.now() + time);
        self.run();
    }

    /// Sends a request, whose answer comes as far as it can.
    fn ask(&self, path: &str) -> Client {
        let mut flow = block_on(self.network.connect(&target(80))).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        block_on(flow.write_all(request.as_bytes())).unwrap();
        let mut client = Client { flow, answer: Vec::new(), is_ended: false };
        client.receive(self);
        client
    }

    /// The status of an answer that comes at once, and its content.
    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let client = self.ask(path);
        assert!(client.is_ended, "{path} is answered at once");
        (client.status(), client.content().to_vec())
    }

    fn held_bytes(&self) -> usize {
        self.context.ledger.held_bytes()
    }
}

impl Client {
    /// Takes what comes until nothing does.
    fn receive(&mut self, world: &World) {
        let mut cx = task::Context::from_waker(Waker::noop());
        loop {
            world.run();
            let answer = &mut self.answer;
            let read = self.flow.poll_read_with(&mut cx, &mut |bytes| {
                answer.extend_from_slice(bytes);
                bytes.len()
            });
            match read {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => {
                    self.is_ended = true;
                    return;
                }
                Poll::Pending => return,
            }
        }
    }

    fn status(&self) -> u16 {
        let line = String::from_utf8_lossy(&self.answer[..15.min(self.answer.len())]).into_owned();
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn content(&self) -> &[u8] {
        let end = self.answer.windows(4).position(|four| four == b"\r\n\r\n");
        end.map_or(&[], |end| &self.answer[end + 4..])
    }
}

/// What comes of work at the start.
fn wait<T: 'static>(
    executor: &Executor,
    what: impl Future<Output = Result<T, String>> + 'static,
) -> Result<T, String> {
    let outcome = Rc::new(core::cell::RefCell::new(None));
    let told = outcome.clone();
    executor.spawner().spawn("start", async move {
        let value = what.await;
        told.replace(Some(value));
    });
    executor.run(usize::MAX);
    outcome.take().expect("a disk in memory answers at once")
}

fn long() -> Vec<u8> {
    (0..LONG_BYTES).map(|at| (at / 3) as u8).collect()
}

fn archive(config: &str) -> Vec<u8> {
    let long = long();
    let mut writer = Writer::new();
    let mut files: Vec<(String, &[u8])> = vec![
        ("appliance.toml".into(), config.as_bytes()),
        ("site/index.html".into(), b"front"),
        ("site/404.html".into(), b"<h1>nothing</h1>"),
        ("site/long".into(), &long),
    ];
    let parts: Vec<_> = long.chunks(2 * PAGE_BYTES).collect();
    files.extend(parts.iter().enumerate().map(|(at, part)| (format!("site/part{at}"), *part)));
    files.push(("site/last".into(), b"last"));
    for (path, bytes) in files {
        writer.file(&path, bytes, 1_700_000_000).unwrap();
    }
    writer.finish()
}

/// A boot module with this configuration and one page.
fn module_of(config: &str) -> Bundle<'static> {
    let mut writer = Writer::new();
    writer.file("appliance.toml", config.as_bytes(), 0).unwrap();
    writer.file("site/index.html", b"in memory", 0).unwrap();
    Bundle::parse(writer.finish().leak()).unwrap()
}

#[test]
fn a_bundle_on_a_disk_is_its_configuration_and_its_site() {
    let world = World::with_disk(&archive("[http]\nindex = \"last\"\n"));
    assert_eq!(world.get("/"), (200, b"last".to_vec()));
    assert_eq!(world.get("/index.html"), (200, b"front".to_vec()));
    let (status, content) = world.get("/long");
    assert!(status == 200 && content == long());
    assert_eq!(world.get("/none").0, 404);
}

#[test]
fn a_boot_module_may_have_its_site_on_a_disk() {
    let config = "[storage]\nsite_disk = 1\nsite_folder = \"site\"\n";
    let world = World::start(&archive(""), Some(config)).unwrap();
    assert_eq!(world.get("/"), (200, b"front".to_vec()));
    let mut bare = Writer::new();
    bare.file("site/last", b"last", 0).unwrap();
    bare.file("keys/of-a-piano", b"88", 0).unwrap();
    let world = World::start(&bare.finish(), Some("[storage]\nsite_disk = 1\n")).unwrap();
    assert_eq!(world.get("/site/last"), (200, b"last".to_vec()));
    assert_eq!(world.get("/keys/of-a-piano"), (200, b"88".to_vec()));
    // A disk that nobody names is left alone.
    let world = World::start(&archive(""), Some("")).unwrap();
    assert_eq!(world.get("/"), (200, b"in memory".to_vec()));
    assert_eq!(world.disk.reads(), 0);
}

#[test]
fn a_start_that_cannot_be_says_what_to_change() {
    for (disk, module, words) in [
        (archive(""), Some("[storage]\nsite_disk = 2\n"), "of disk 2 it has none (it has 1)"),
        (vec![0; 4096], Some("[storage]\nsite_disk = 1\n"), "cargo xtask bundle"),
        (
            archive(""),
            Some("[storage]\nsite_disk = 1\n"),
            "found all of a bundle, with its appliance.toml",
        ),
        (
            archive(""),
            Some("[storage]\nsite_disk = 1\nsite_folder = \"tls\"\n"),
            "found all of a bundle",
        ),
        (archive("")[..3000].to_vec(), Some("[storage]\nsite_disk = 1\n"), "copied whole"),
        (archive("")[..3000].to_vec(), None, "copied whole"),
        (archive("[http]\nsite_root = \"www\"\n"), None, "www/ has none"),
        (archive("[http]\nport = 0\n"), None, "appliance.toml:2"),
        (archive(""), Some("[storage]\nsite_disk = 1\nsite_folder = \"x\"\n"), "x/ has none"),
    ] {
        let refusal = World::start(&disk, module).err().unwrap_or_default();
        assert!(refusal.contains(words), "{refusal:?} does not say {words}");
    }
}

/// Whether its index is in memory or not, a folder is a menu.
#[test]
fn gopher_has_menus_of_the_disk_s_folders() {
    let world = World::with_disk(&archive("[gopher]\nport = 70\n"));
    for _ in 0..2 {
        let mut flow = block_on(world.network.connect(&target(70))).unwrap();
        block_on(flow.write_all(b"\r\n")).unwrap();
        let mut client = Client { flow, answer: Vec::new(), is_ended: false };
        client.receive(&world);
        let menu = String::from_utf8(client.answer).unwrap();
        assert!(menu.contains("hindex.html\t/index.html\t"), "{menu}");
    }
}

/// Whoever waits for the disk holds nobody else up, and the disk is asked for many things at once.
#[test]
fn a_slow_disk_holds_up_only_who_wants_it() {
    let world = World::new();
    assert_eq!(world.get("/"), (200, b"front".to_vec()));
    world.disk.hold();
    let mut waiting: Vec<_> = (0..10).map(|at| world.ask(&format!("/part{at}"))).collect();
    assert!(waiting.iter().all(|client| client.answer.is_empty()));
    assert!(world.disk.depth_max() >= 8, "{}", world.disk.depth_max());
    assert_eq!(world.get("/"), (200, b"front".to_vec()), "what is in memory");
    assert_eq!(world.get("/none").0, 404);
    world.disk.release();
    for (client, part) in waiting.iter_mut().zip(long().chunks(2 * PAGE_BYTES)) {
        client.receive(&world);
        assert!(client.is_ended && client.content() == part);
    }
}

#[test]
fn a_disk_that_does_not_answer_ends_the_wait() {
    let world = World::new();
    world.disk.hold();
    let mut client = world.ask("/last");
    world.advance(Duration::from_secs(19));
    client.receive(&world);
    assert!(client.answer.is_empty() && !client.is_ended);
    world.advance(Duration::from_secs(1));
    client.receive(&world);
    assert_eq!(client.status(), 500);
}

#[test]
fn a_failing_disk_fails_who_wants_what_it_has_lost() {
    let world = World::new();
    let place = archive("[storage]\nread_timeout_seconds = 20\n")
        .windows(4)
        .rposition(|four| four == b"last")
        .unwrap();
    for fault in [DiskError::Failed, DiskError::Short, DiskError::Gone] {
        world.disk.fail(place as u64, Some(fault));
        assert_eq!(world.get("/last").0, 500, "{fault:?}");
        assert_eq!(world.get("/").0, 200);
    }
    world.disk.fail(place as u64, None);
    assert_eq!(world.get("/last"), (200, b"last".to_vec()), "an error is not kept");
}

#[test]
fn an_error_behind_the_head_cuts_the_answer() {
    let world = World::new();
    world.disk.fail(LONG_BYTES as u64 / 2, Some(DiskError::Failed));
    let (status, content) = world.get("/long");
    assert_eq!(status, 200, "its head was true when it was sent");
    assert!(content.len() < LONG_BYTES && long().starts_with(&content));
    assert_eq!(world.get("/last"), (200, b"last".to_vec()));
}

/// Slow readers do not make the appliance hold the disk: what they have not taken is bounded, and so is what is kept.
#[test]
fn slow_readers_hold_no_more_than_they_may() {
    let world = World::new();
    let most = 2 * MEMORY_BYTES / 8 + (1 << 20);
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut flow = block_on(world.network.connect(&target(80))).unwrap();
            block_on(flow.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
            world.run();
            assert!(world.held_bytes() < most, "{}", world.held_bytes());
            flow
        })
        .collect();
    assert_eq!(world.get("/").0, 200);
    drop(clients);
    world.run();
    assert_eq!(world.get("/last").0, 200);
}

/// A world with a boot module, its admin port and two disks, of which the site is on none.
fn with_two_disks(first: &[u8], second: &[u8]) -> (World, MemoryDisk) {
    let mut world = World::start(first, Some("")).unwrap();
    let other = MemoryDisk::new(second);
    let disks: Disks = vec![
        Rc::new(world.disk.clone()) as Rc<dyn BlockDevice>,
        Rc::new(other.clone()) as Rc<dyn BlockDevice>,
    ];
    let network = MemoryNetwork::new(4096, 1000);
    let platform =
        Memory { network: network.clone(), memory_bytes: MEMORY_BYTES, vsock: None, clock: None };
    let bundle = module_of("[admin]\nport = 9001\n[gopher]\nport = 70\n");
    let config = Config::load(&bundle, "").unwrap();
    let registry = Rc::new(StaticRegistry::default());
    let context = Context::new(platform, config, bundle, registry, &world.executor, &world.timers);
    world.context = context.with_disks(disks);
    world.network = network;
    world._app = App::start(&world.context, &Appliance).unwrap();
    world.run();
    (world, other)
}

impl World {
    /// The menu of the site's root.
    fn menu(&self) -> String {
        let mut flow = block_on(self.network.connect(&target(70))).unwrap();
        block_on(flow.write_all(b"\r\n")).unwrap();
        let mut client = Client { flow, answer: Vec::new(), is_ended: false };
        client.receive(self);
        String::from_utf8(client.answer).unwrap()
    }

    /// The answer to POST at the admin port, as far as there is one.
    fn post(&self, path: &str) -> Client {
        let mut flow = block_on(self.network.connect(&target(9001))).unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        block_on(flow.write_all(request.as_bytes())).unwrap();
        let mut client = Client { flow, answer: Vec::new(), is_ended: false };
        client.receive(self);
        client
    }
}

#[test]
fn a_disk_s_site_takes_the_place_of_what_is_served() {
    let mut next = Writer::new();
    next.file("site/index.html", b"second disk", 7).unwrap();
    next.file("site/_redirects", b"/old /last\n/x/* /a\n/x/b /c\n", 7).unwrap();
    let (world, other) = with_two_disks(&archive(""), &next.finish());
    assert_eq!(world.get("/"), (200, b"in memory".to_vec()));
    let answer = world.post("/api/v1/bundle?disk=1");
    let said = String::from_utf8_lossy(answer.content()).into_owned();
    assert_eq!((answer.status(), said.lines().count()), (200, 1), "{said}");
    assert_eq!(world.get("/"), (200, b"front".to_vec()));
    let (status, content) = world.get("/long");
    assert!(status == 200 && content == long());
    assert!(world.menu().contains("/last\t"), "{}", world.menu());
    // An answer that has begun ends with what it began with.
    world.disk.hold();
    let mut waiting = world.ask("/part3");
    let answer = world.post("/api/v1/bundle?disk=2&folder=site");
    let said = String::from_utf8_lossy(answer.content()).into_owned();
    assert_eq!(answer.status(), 200, "{said}");
    assert!(said.contains("warning: site/ of the disk: _redirects:3: it never counts"), "{said}");
    assert_eq!(world.get("/"), (200, b"second disk".to_vec()));
    assert_eq!(world.get("/last").0, 404);
    assert_eq!(world.get("/old").0, 301);
    let menu = world.menu();
    assert!(menu.contains("/index.html\t") && !menu.contains("/last\t"), "{menu}");
    world.disk.release();
    waiting.receive(&world);
    assert!(waiting.is_ended && (waiting.status(), waiting.content().len()) != (200, 0));
    assert!(other.reads() > 0);
}

#[test]
fn a_disk_that_cannot_be_served_from_changes_nothing() {
    let mut bad = Writer::new();
    bad.file("appliance.toml", b"[http]\nport = 0\n", 7).unwrap();
    bad.file("site/index.html", b"x", 7).unwrap();
    let (world, other) = with_two_disks(&[0; 4096], &bad.finish());
    for (query, status, words) in [
        ("", 400, "?disk="),
        ("?disk=0", 400, "?disk="),
        ("?disk=x", 400, "?disk="),
        ("?disk=3", 404, "of 3 it has none (it has 2)"),
        ("?disk=1", 422, "disk 1: it begins with neither an archive"),
        ("?disk=2", 422, "appliance.toml:2:8: found `0`"),
        ("?disk=2&folder=", 422, "found all of a bundle, with its appliance.toml"),
    ] {
        let answer = world.post(&format!("/api/v1/bundle{query}"));
        let said = String::from_utf8_lossy(answer.content()).into_owned();
        assert_eq!(answer.status(), status, "{query}: {said}");
        assert!(said.contains(words), "{query}: {said}");
        assert_eq!(world.get("/"), (200, b"in memory".to_vec()));
    }
    // One that does not answer is waited for no longer than a minute, and keeps others from being read only so long.
    other.hold();
    let mut waiting = world.post("/api/v1/bundle?disk=2");
    assert!(waiting.answer.is_empty());
    assert_eq!(world.post("/api/v1/bundle?disk=1").status(), 409);
    world.advance(Duration::from_secs(61));
    waiting.receive(&world);
    assert!([422, 504].contains(&waiting.status()), "{}", waiting.status());
    assert_eq!(world.post("/api/v1/bundle?disk=1").status(), 422);
}

/// What is on a disk of many files is read, and its site made, slice by slice: no turn of the loop has all of it.
#[test]
fn others_have_their_turn_while_a_disk_of_many_files_is_read() {
    const FILES: usize = 4000;
    let mut many = Writer::new();
    // From the last to the first, as other tools may write them.
    for number in (0..FILES).rev() {
        many.file(&format!("site/{number}"), b"x", 7).unwrap();
    }
    let (world, _) = with_two_disks(&archive(""), &many.finish());
    let mut flow = block_on(world.network.connect(&target(9001))).unwrap();
    let request = b"POST /api/v1/bundle?disk=2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    block_on(flow.write_all(request)).unwrap();
    let mut turns = 0;
    while world.executor.turn(100_000) {
        turns += 1;
        assert!(turns < 100_000, "it never ends");
    }
    let mut client = Client { flow, answer: Vec::new(), is_ended: false };
    client.receive(&world);
    assert_eq!(client.status(), 200, "{}", String::from_utf8_lossy(client.content()));
    // Its heads, its weight, its index and its fields.
    assert!(turns >= 4 * FILES / 256 - 2, "{turns}");
    assert_eq!(world.get("/3999"), (200, b"x".to_vec()));
}
