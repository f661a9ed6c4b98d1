//! The admin port, on the appliance as it runs over flows in memory: what it shows, and that a test that causes something
//! sees it counted.

#[path = "admin/content.rs"]
mod content;
#[path = "admin/openapi.rs"]
mod openapi;

use aqueduct::app::App;
use aqueduct::context::Context;
use aqueduct::disk::{AtStart, Disks};
use aqueduct::platform::Platform;
use aqueduct::service::{ServiceEntry, Table, WebRoutes};
use aqueduct::{app, log_ring, services};
use config::{Bundle, Config, cpio};
use endpoints::tls::{TlsConfig, TlsConnector};
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::registry::StaticRegistry;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{self, Poll, Waker};
use std::time::Duration;
use storage::{BlockDevice, memory::MemoryDisk};
use sweep::{Memory, VsockHost, target};
use tls::{ClientContext, ClientOptions, Clock, Identity, Trust};
use web::session::{Ended, Mapper, Session};
use web::{Request, Response, Routes};

const PORT: u16 = 9001;
const TOKEN: &str = "0123456789abcdef-token";
const CAPACITY_BYTES: usize = 64 << 10;

/// A running appliance, whose admin port is open, and its clock.
struct World {
    network: MemoryNetwork,
    executor: Executor,
    timers: Timers,
    context: Context<Memory>,
    app: App,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let outlet = log_ring::Outlet { write: |_| {}, now: || Duration::ZERO };
        log_ring::install(outlet, log::LevelFilter::Info);
        let mut config = Config::default();
        (config.gopher.port, config.admin.port) = (Some(70), Some(PORT));
        config.rpc.port = Some(7000);
        change(&mut config);
        let network = MemoryNetwork::new(CAPACITY_BYTES, 1000);
        let executor = Executor::new(|body| {
            catch_unwind(AssertUnwindSafe(body)).map_err(|_| String::from("a panic"))
        });
        let timers = Timers::new();
        let registry = Rc::new(StaticRegistry::default());
        // So that what is seen of its sockets is described, too.
        let VsockHost { machine, .. } = VsockHost::new(vsock::Limits::default());
        let memory_bytes = 256 << 20;
        let platform = Memory {
            network: network.clone(),
            memory_bytes,
            vsock: Some(machine),
            clock: Some(clock),
        };
        let context = Context::new(platform, config, bundle(), registry, &executor, &timers);
        let context = aqueduct::disk::with_site(context, &OneDisk, None, &executor).unwrap();
        let app = App::start(&context, &Services).unwrap();
        let world = Self { network, executor, timers, context, app };
        world.run();
        world
    }

    /// The answer to a request to the admin port.
    fn admin(&self, method: &str, path: &str) -> (u16, String) {
        self.admin_with(method, path, "", "")
    }

    fn admin_with(&self, method: &str, path: &str, fields: &str, content: &str) -> (u16, String) {
        let length = content.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Length: {length}\r\n{fields}Connection: close\r\n\r\n{content}"
        );
        let answer = self.ask(PORT, &request);
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map_or_else(String::new, |it| it.1.to_owned()))
    }

    /// The rows of a table.
    fn rows(&self, table: &str) -> Vec<Value> {
        let (status, text) = self.admin("GET", &format!("/api/v1/{table}"));
        assert_eq!(status, 200, "{table}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{table}: {error}: {text}"))
    }

    /// Every sample of the metrics, by what stands before its number.
    fn metrics(&self) -> BTreeMap<String, f64> {
        let (_, text) = self.admin("GET", "/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
        pairs.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
    }

    fn get(&self, path: &str) -> String {
        self.ask(80, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    }

    fn ask(&self, port: u16, request: &str) -> String {
        let mut flow = self.connect(port);
        block_on(flow.write_all(request.as_bytes())).unwrap();
        self.run();
        let mut answer = Vec::new();
        while receive(&mut flow, &mut answer).is_some_and(|count| count > 0) {
            self.run();
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn connect(&self, port: u16) -> MemoryFlow {
        block_on(self.network.connect(&target(port))).unwrap()
    }

    fn run(&self) {
        assert!(!self.executor.run(100_000), "a task runs for ever");
    }

    fn pass(&self, time: Duration) {
        let now = self.timers.now() + time;
        NOW.set(now.max(NOW.get()));
        self.timers.advance(now);
        self.executor.advance(now);
        self.run();
    }
}

thread_local! {
    /// The time of the world that this thread has.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Goes on by a microsecond with each look, too.
fn clock() -> Duration {
    NOW.set(NOW.get() + Duration::from_micros(1));
    NOW.get()
}

fn receive(flow: &mut MemoryFlow, answer: &mut Vec<u8>) -> Option<usize> {
    let mut cx = task::Context::from_waker(Waker::noop());
    let read = flow.poll_read_with(&mut cx, &mut |bytes| {
        answer.extend_from_slice(bytes);
        bytes.len()
    });
    match read {
        Poll::Pending => None,
        Poll::Ready(outcome) => Some(outcome.unwrap_or(0)),
    }
}

/// A disk that nothing is on.
struct OneDisk;

impl AtStart for OneDisk {
    fn devices(&self) -> Disks {
        Vec::from([Rc::new(MemoryDisk::new([0; 4096])) as Rc<dyn BlockDevice>])
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(&self, _: Option<Duration>) {}
}

/// The product's services, with routes that cause what is to be seen.
struct Services;

impl Table for Services {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        let web = WebRoutes::new(|context: &Context<P>| {
            let timers = context.timers.clone();
            let slow = move |_: Request| {
                let timers = timers.clone();
                async move {
                    timers.sleep(Duration::from_secs(3)).await;
                    Response::ok("text/plain", "slow")
                }
            };
            let routes = Routes::new().get("/slow", slow).get("/panic", panics);
            let routes = routes.session(&context.sessions, "/session", Mapper::cookie(), session);
            app::routes(routes, context)
        });
        Vec::from([
            ServiceEntry::web("http", &web, services::http::open),
            ServiceEntry::web("gopher", &web, services::gopher::open),
            ServiceEntry::new("rpc", services::rpc::open),
            ServiceEntry::new("zmq", services::zmq::open),
            ServiceEntry::new("admin", services::admin::open),
        ])
    }
}

async fn panics(_: Request) -> Response {
    panic!("as it was asked to");
}

async fn session(mut session: Session) -> Result<(), Ended> {
    let count = Rc::new(std::cell::RefCell::new(0_u32));
    session.watch_and_set("count", &count);
    let reset = count.clone();
    session.command("reset", "counts from there", move |words| match words.parse() {
        Ok(start) => Ok(format!("instead of {}", reset.replace(start))),
        Err(_) => Err("that is no number".into()),
    });
    loop {
        let hit = session.next().await?;
        *count.borrow_mut() += 1;
        hit.reply(Response::ok("text/plain", "counted"));
    }
}

fn bundle() -> Bundle<'static> {
    let mut writer = cpio::Writer::new();
    writer.file("site/page", b"site page", 1_700_000_000).unwrap();
    writer.file("tls/cert.pem", sweep::CERTIFICATE, 1_700_000_000).unwrap();
    writer.file("tls/key.pem", sweep::KEY, 1_700_000_000).unwrap();
    Bundle::parse(writer.finish().leak()).unwrap()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_else(|| panic!("{name} of {row}"))
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("{name} of {row}"))
}

/// What is done, and samples that are to grow by that, each by so much at least.
type Cause = (&'static str, fn(&World), &'static [(&'static str, f64)]);

#[rustfmt::skip]
static CAUSES: &[Cause] = &[
        (
            "a page",
            |world| drop(world.get("/page")),
            &[
                ("aqueduct_web_requests_total{service=\"http\"}", 1.0),
                ("aqueduct_web_connections_accepted_total{service=\"http\"}", 1.0),
                ("aqueduct_web_responses_total{service=\"http\",code=\"2xx\"}", 1.0),
                ("aqueduct_web_response_seconds_count{service=\"http\"}", 1.0),
                ("aqueduct_web_route_responses_total{route=\"GET /*path\",code=\"2xx\"}", 1.0),
                ("aqueduct_web_route_response_seconds_count{route=\"GET /*path\"}", 1.0),
                ("aqueduct_task_polls_total", 1.0),
            ],
        ),
        (
            "a method that the site does not have",
            |world| drop(world.ask(80, "PUT /page HTTP/1.1\r\nHost: a\r\n\r\n")),
            &[("aqueduct_web_route_responses_total{route=\"none\",code=\"4xx\"}", 1.0)],
        ),
        (
            "no page",
            |world| drop(world.get("/nothing")),
            &[("aqueduct_web_responses_total{service=\"http\",code=\"4xx\"}", 1.0)],
        ),
        (
            "no request",
            |world| drop(world.ask(80, "nonsense\r\n\r\n")),
            &[
                ("aqueduct_web_responses_total{service=\"http\",code=\"4xx\"}", 1.0),
                ("aqueduct_log_lines_total{level=\"info\"}", 1.0),
            ],
        ),
        (
            "a selector",
            |world| drop(world.ask(70, "page\r\n")),
            &[("aqueduct_web_requests_total{service=\"gopher\"}", 1.0)],
        ),
        (
            "a panic",
            |world| drop(world.get("/panic")),
            &[
                ("aqueduct_task_panics_total", 1.0),
                ("aqueduct_web_handlers_failed_total{service=\"http\"}", 1.0),
                ("aqueduct_web_responses_total{service=\"http\",code=\"5xx\"}", 1.0),
                ("aqueduct_web_route_responses_total{route=\"GET /panic\",code=\"5xx\"}", 1.0),
                ("aqueduct_log_lines_total{level=\"error\"}", 1.0),
            ],
        ),
        (
            "a session",
            |world| drop(world.get("/session")),
            &[
                ("aqueduct_sessions", 1.0),
                ("aqueduct_sessions_begun_total", 1.0),
                ("aqueduct_tasks", 1.0),
            ],
        ),
        ("time", |world| world.pass(Duration::from_secs(2)), &[("aqueduct_uptime_seconds", 2.0)]),
        (
            "a connection of RPC",
            |world| {
                drop(world.connect(7000));
                world.run();
            },
            &[("aqueduct_rpc_connections_made_total{service=\"rpc\"}", 1.0)],
        ),
        (
            "a request that waits",
            |world| {
                // Kept, so that it is there when it is looked at.
                let flow = Box::leak(Box::new(world.connect(80)));
                block_on(flow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
                world.run();
            },
            &[
                ("aqueduct_web_requests_in_flight{service=\"http\"}", 1.0),
                ("aqueduct_web_route_in_flight{route=\"GET /slow\"}", 1.0),
                ("aqueduct_connections{service=\"http\"}", 1.0),
                ("aqueduct_timers", 1.0),
            ],
        ),
];

#[test]
fn every_cause_moves_its_counters() {
    let world = World::new();
    for (name, cause, grown) in CAUSES {
        let before = world.metrics();
        cause(&world);
        let after = world.metrics();
        for (sample, by) in *grown {
            let value = |of: &BTreeMap<String, f64>| *of.get(*sample).unwrap_or(&f64::NAN);
            let grown = value(&after) - value(&before);
            assert!(grown >= *by, "{name}: {sample} grows by {grown}");
        }
    }
}

#[test]
fn a_slow_answer_is_in_the_histogram() {
    let world = World::new();
    let bucket = |world: &World, le: &str| {
        let name = "aqueduct_web_response_seconds_bucket";
        world.metrics()[&format!("{name}{{service=\"http\",le=\"{le}\"}}")]
    };
    let mut flow = world.connect(80);
    block_on(flow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    world.run();
    world.pass(Duration::from_secs(3));
    assert_eq!((bucket(&world, "2.5"), bucket(&world, "5")), (0.0, 1.0));
}

#[test]
fn an_answer_at_once_takes_the_time_of_its_handler() {
    let world = World::new();
    let sum =
        |world: &World| world.metrics()["aqueduct_web_response_seconds_sum{service=\"http\"}"];
    let before = sum(&world);
    world.get("/page");
    let time = sum(&world) - before;
    assert!(time > 0.0 && time < 0.1, "{time}");
}

#[test]
fn routes_count_their_answers_whichever_protocol_and_however_often_they_come() {
    let world = World::new();
    let route = |name: &str| {
        let rows = world.rows("routes");
        rows.into_iter().find(|row| row["route"] == name).expect(name)
    };
    let names: Vec<_> =
        world.rows("routes").iter().map(|row| text(row, "route").to_string()).collect();
    assert_eq!(names, ["GET /slow", "GET /panic", "* /session", "GET /*path", "none"]);
    assert!(route("GET /*path")["mean_us"].is_null());
    // The third is answered from what is kept of the second.
    for _ in 0..3 {
        world.get("/page");
    }
    world.get("/nothing");
    world.ask(70, "page\r\n");
    let site = route("GET /*path");
    assert_eq!((number(&site, "responses"), number(&site, "responses_4xx")), (5, 1));
    assert_eq!(number(&site, "p99_us"), 100);
    let mut flow = world.connect(80);
    block_on(flow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    world.run();
    assert_eq!(number(&route("GET /slow"), "in_flight"), 1);
    world.pass(Duration::from_secs(3));
    let slow = route("GET /slow");
    assert_eq!((number(&slow, "in_flight"), number(&slow, "responses_2xx")), (0, 1));
    assert_eq!(number(&slow, "p99_us"), 5_000_000);
    // Whoever goes is answered nothing, and is in flight no more.
    block_on(flow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    world.run();
    drop(flow);
    world.run();
    assert_eq!((number(&route("GET /slow"), "in_flight"), number(&slow, "responses")), (0, 1));
    // What is no request is of no route, not even of the one before on its connection.
    world.ask(80, "GET /page HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n");
    assert_eq!(number(&route("GET /*path"), "responses"), 6);
}

#[test]
fn every_family_stands_once_and_every_sample_has_its_family() {
    let world = World::new();
    let (_, text) =
        world.admin_with("GET", "/metrics", "Accept: application/openmetrics-text\r\n", "");
    assert!(text.ends_with("# EOF\n"));
    let mut families = BTreeSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} stands twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} is below {family}");
        }
    }
    assert!(families.len() > 25, "{families:?}");
}

#[test]
fn tables_have_the_fields_that_scripts_rely_on() {
    let world = World::new();
    world.get("/session");
    let tasks = world.rows("tasks");
    let acceptor = tasks.iter().find(|task| task["name"] == "http listener").unwrap();
    assert_eq!(text(acceptor, "state"), "waiting");
    assert!(text(acceptor, "waits_at").contains(".rs:"), "{acceptor}");
    for name in ["polls", "run_us", "age_ms"] {
        number(acceptor, name);
    }
    assert!(tasks.iter().any(|task| task["name"] == "admin" || task["state"] == "running"));
    let version = &world.rows("version")[0];
    assert_eq!((text(version, "name"), text(version, "hostname")), ("aqueduct", "aqueduct"));
    let services = world.rows("services");
    let names: Vec<_> = services.iter().map(|row| text(row, "name")).collect();
    assert_eq!(names, ["http", "gopher", "rpc", "zmq", "admin"]);
    assert_eq!(number(&services[0], "port"), 80);
    let memory = world.rows("memory");
    assert!(memory.iter().any(|row| row["purpose"] == "peers of http"), "{memory:?}");
    let config = world.rows("config");
    let port = config.iter().find(|row| row["section"] == "admin" && row["key"] == "port").unwrap();
    assert_eq!((text(port, "value"), port["is_default"].as_bool()), ("9001", Some(false)));
    assert!(!world.rows("timers").is_empty());
    assert!(world.rows("log").iter().any(|row| text(row, "message").contains("on port 9001")));
    for empty in ["connections", "listeners", "cards"] {
        assert!(world.rows(empty).is_empty(), "{empty}");
    }
}

#[test]
fn sessions_are_shown_with_their_values_which_can_be_set() {
    let world = World::new();
    world.get("/session");
    let session = &world.rows("sessions")[0];
    assert_eq!((text(session, "route"), number(session, "requests")), ("/session", 1));
    assert!(text(session, "waits_at").contains("admin.rs:"), "{session}");
    assert_eq!(session["values"]["count"], "1");
    let id = number(session, "id");
    let path = format!("/api/v1/sessions/{id}/values/count");
    assert_eq!(world.admin_with("PUT", &path, "", "41").0, 204);
    assert_eq!(world.rows("sessions")[0]["values"]["count"], "41");
    assert_eq!(world.admin_with("PUT", &path, "", "many").0, 400);
    assert_eq!(world.admin_with("PUT", &path.replace("count", "sum"), "", "1").0, 404);
    assert_eq!(world.admin("PUT", "/api/v1/sessions/99/values/count").0, 404);
    assert_eq!(session["commands"]["reset"], "counts from there");
    let path = format!("/api/v1/sessions/{id}/commands/reset");
    assert_eq!(world.admin_with("POST", &path, "", "7"), (200, "instead of 41".into()));
    assert_eq!(world.rows("sessions")[0]["values"]["count"], "7");
    assert_eq!(world.admin_with("POST", &path, "", "x").0, 409);
    assert_eq!(world.admin_with("POST", &path.replace("reset", "set"), "", "1").0, 404);
    assert_eq!(world.admin("POST", "/api/v1/sessions/99/commands/reset").0, 404);
    assert_eq!(world.admin("GET", &path).0, 405);
}

#[test]
fn a_task_is_cancelled_by_post_only() {
    let world = World::new();
    let mut flow = world.connect(80);
    block_on(flow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    world.run();
    let tasks = world.rows("tasks");
    let slow = tasks.iter().find(|task| task["name"] == "http" && task["state"] == "waiting");
    let path = format!("/api/v1/tasks/{}/cancel", text(slow.unwrap(), "id"));
    assert_eq!(world.admin("GET", &path).0, 405);
    assert_eq!(world.context.services.connections(), 2 - 1);
    assert_eq!(world.admin("POST", &path).0, 204);
    assert_eq!(world.context.services.connections(), 0);
    assert_eq!(world.admin("POST", &path).0, 404);
    assert_eq!(world.admin("POST", "/api/v1/tasks/x/cancel").0, 400);
    assert_eq!(receive(&mut flow, &mut Vec::new()), Some(0));
}

#[test]
fn a_session_that_is_recorded_is_replayed_by_post_only() {
    let world = World::with(|config| config.sessions.recorded_max = 5);
    world.get("/session");
    let path = format!("/api/v1/sessions/{}/replay", world.rows("sessions")[0]["id"]);
    assert_eq!(world.admin("GET", &path).0, 405);
    let (status, text) = world.admin("POST", &path);
    let replay: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &replay["missing_before"]), (200, &Value::from(0)), "{text}");
    let request = &replay["requests"][0];
    assert_eq!(request["request"], "GET /session");
    assert_eq!((&request["is_same"], &request["status"]), (&true.into(), &200.into()), "{text}");
    assert!(request["differs_at_byte"].is_null() && request["fault"].is_null(), "{text}");
    assert_eq!(world.rows("sessions").len(), 1);
    let unrecorded = World::new();
    unrecorded.get("/session");
    let path = format!("/api/v1/sessions/{}/replay", unrecorded.rows("sessions")[0]["id"]);
    assert_eq!(unrecorded.admin("POST", &path).0, 409);
}

#[test]
fn the_level_of_all_is_as_configured_again_when_it_is_deleted() {
    let world = World::new();
    let all = |world: &World| world.rows("log/levels")[0]["level"].clone();
    assert_eq!(world.admin("PUT", "/api/v1/log/levels/*?level=debug").0, 204);
    assert_eq!(all(&world), "debug");
    assert_eq!(world.admin("DELETE", "/api/v1/log/levels/*").0, 204);
    assert_eq!(all(&world), "info");
}

#[test]
fn tasks_are_dumped_by_post_those_together_that_wait_at_one_place() {
    let world = World::new();
    let mut flows: Vec<_> = (0..5).map(|_| world.connect(80)).collect();
    for flow in &mut flows {
        block_on(flow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    }
    world.run();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.admin("GET", "/api/v1/tasks/dump").0, 405);
    let (status, dump) = world.admin("POST", "/api/v1/tasks/dump");
    let lines: Vec<_> = dump.lines().collect();
    assert_eq!(status, 200);
    assert!(lines[0].starts_with("tasks: "), "{dump}");
    let running = lines[1];
    assert!(running.contains("1 x http, running at "), "what runs is told first: {dump}");
    let slow = lines.iter().find(|line| line.contains(" 5 x http, waiting at ")).expect(&dump);
    assert_eq!(slow.matches(".0, ").count(), 3, "three are named: {slow}");
    assert!(slow.ends_with(", ...; the oldest 2 s"), "{slow}");
    assert!(lines.iter().any(|line| line.contains("x http listener, waiting at ")), "{dump}");
    let log = world.rows("log");
    for line in &lines {
        assert!(log.iter().any(|row| row["message"] == *line), "{line} is logged");
    }
}

#[test]
fn rows_come_in_pages() {
    let world = World::new();
    let all = world.rows("config");
    let (status, text) = world.admin("GET", "/api/v1/config?offset=2&limit=3");
    let page: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &page[..]), (200, &all[2..5]));
    let request =
        "GET /api/v1/config?limit=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let answer = world.ask(PORT, request).to_ascii_lowercase();
    assert!(answer.contains(&format!("x-total-count: {}\r\n", all.len())), "{answer}");
    assert_eq!(world.admin("GET", "/api/v1/config?limit=-1").0, 400);
    assert_eq!(world.admin("GET", "/api/v1/nothing").0, 404);
}

#[test]
fn the_log_is_followed_and_its_level_is_changed_by_module() {
    let world = World::new();
    let mut flow = world.connect(PORT);
    let request = "GET /api/v1/log?follow&module=follow_test HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    block_on(flow.write_all(request.as_bytes())).unwrap();
    world.run();
    log::debug!(target: "follow_test", "unseen");
    assert_eq!(world.admin("PUT", "/api/v1/log/levels/follow_test?level=debug").0, 204);
    log::debug!(target: "follow_test", "seen");
    log::info!(target: "others", "elsewhere");
    world.pass(Duration::from_secs(1));
    let mut answer = Vec::new();
    receive(&mut flow, &mut answer);
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains("text/event-stream") && answer.contains("\"message\":\"seen\""),
        "{answer}"
    );
    assert!(!answer.contains("unseen") && !answer.contains("elsewhere"), "{answer}");
    let (_, levels) = world.admin("GET", "/api/v1/log/levels");
    assert!(levels.contains(r#"{"module":"follow_test","level":"debug"}"#), "{levels}");
    assert_eq!(world.admin("DELETE", "/api/v1/log/levels/follow_test").0, 204);
    // What has logged is known, and what would if its level were lower.
    let modules: Vec<String> =
        serde_json::from_str(&world.admin("GET", "/api/v1/log/modules").1).unwrap();
    let is_known = |module: &str| modules.iter().any(|known| known == module);
    assert!(is_known("follow_test") && is_known("net::link::dhcp") && !is_known("net::lnk"));
    assert_eq!(world.admin("PUT", "/api/v1/log/levels/follow_test?level=loud").0, 400);
}

#[test]
fn followers_are_bounded_and_end_with_the_appliance() {
    let world = World::new();
    let follow = || {
        let mut flow = world.connect(PORT);
        let request = "GET /api/v1/log?follow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        block_on(flow.write_all(request.as_bytes())).unwrap();
        world.run();
        let mut answer = Vec::new();
        receive(&mut flow, &mut answer);
        let answer = String::from_utf8(answer).unwrap();
        (flow, answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap())
    };
    let mut followers: Vec<_> = (0..9).map(|_| follow()).collect();
    let codes: Vec<_> = followers.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, [200, 200, 200, 200, 200, 200, 200, 200, 503]);
    followers.remove(0);
    world.pass(Duration::from_secs(20));
    let (_last, code) = follow();
    assert_eq!(code, 200, "a place is free again");
    world.app.stop();
    world.pass(Duration::from_secs(1));
    // Their ends, which the clients of this test do not close, are lingered for.
    world.pass(Duration::from_secs(5));
    assert!(world.app.has_stopped(0), "{} are left", world.context.services.connections());
}

#[test]
fn readiness_ends_when_the_appliance_stops() {
    let world = World::with(|config| config.admin.health_on_http = true);
    assert_eq!(world.admin("GET", "/healthz"), (200, "live\n".into()));
    assert_eq!(world.admin("GET", "/readyz"), (200, "ready\n".into()));
    assert!(world.get("/readyz").ends_with("ready\n"));
    let mut before = world.connect(80);
    block_on(before.write_all(
        b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    ))
    .unwrap();
    world.run();
    world.context.sessions.withhold();
    assert_eq!(world.admin("GET", "/readyz").0, 503);
}

#[test]
fn an_image_without_a_token_does_not_start() {
    let platform = sweep::Remote(Memory {
        network: MemoryNetwork::new(1, 1),
        memory_bytes: 1 << 20,
        vsock: None,
        clock: Some(clock),
    });
    let mut config = Config::default();
    config.admin.port = Some(PORT);
    let executor = Executor::new(|_| Ok(()));
    let registry = Rc::new(StaticRegistry::default());
    let context = Context::new(platform, config, bundle(), registry, &executor, &Timers::new());
    let error = services::admin::open(&context).err().unwrap().to_string();
    assert!(error.starts_with("`token` in [admin]: it says what requests have to show"), "{error}");
}

/// What is answered by TLS to a client that shows this identity; none if TLS fails.
fn ask_by_tls(world: &World, identity: Option<Identity>, request: String) -> Option<String> {
    let server = Identity::from_pem(sweep::CERTIFICATE, sweep::KEY).unwrap();
    let trust = Trust::fingerprints([server.fingerprint()]);
    let clock = Clock::new(Duration::from_secs(1_800_000_000));
    let client = ClientContext::new(ClientOptions { identity, ..ClientOptions::new(trust, clock) });
    let config = TlsConfig::default();
    let connector =
        TlsConnector::new(world.network.clone(), client.unwrap(), config, &world.timers);
    let asking = world.context.spawner.spawn_joinable("client", async move {
        let mut flow = connector.connect(&Target::Tls("here".into(), PORT)).await.ok()?;
        flow.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 4096];
            match flow.read(&mut piece).await.ok()? {
                0 => return Some(String::from_utf8_lossy(&answer).into_owned()),
                count => answer.extend_from_slice(&piece[..count]),
            }
        }
    });
    world.pass(Duration::from_secs(1));
    world.pass(Duration::from_secs(5));
    block_on(asking).unwrap()
}

#[test]
fn by_tls_a_certificate_opens_as_the_token_does_and_others_do_not() {
    let (operator, stranger) =
        (Identity::self_made(&["operator"]).unwrap(), Identity::self_made(&["stranger"]).unwrap());
    let known = config::Octets32(operator.fingerprint());
    let world = World::with(|config| {
        config.admin.tls = true;
        config.admin.token = Some(TOKEN.parse().unwrap());
        config.admin.client_fingerprints = Vec::from([known]);
    });
    let ask = |identity: Option<&Identity>, line: &str, fields: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n");
        let answer = ask_by_tls(&world, identity.cloned(), request)?;
        answer.split(' ').nth(1)?.parse::<u16>().ok()
    };
    let table = "GET /api/v1/version";
    assert_eq!(ask(None, table, ""), Some(401));
    assert_eq!(ask(None, table, &format!("Authorization: Bearer {TOKEN}\r\n")), Some(200));
    assert_eq!(ask(Some(&operator), table, ""), Some(200));
    assert_eq!(ask(Some(&stranger), table, ""), None);
    let change = "PUT /api/v1/log/levels/tls_test?level=info";
    assert_eq!(ask(Some(&operator), change, ""), Some(403));
    assert_eq!(ask(Some(&operator), change, "Origin: https://localhost\r\n"), Some(204));
    // In the clear nobody is answered.
    assert_eq!(world.admin("GET", "/healthz").0, 0);
    let request =
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned();
    let metrics = ask_by_tls(&world, Some(operator.clone()), request).unwrap();
    for sample in [
        "aqueduct_tls_handshakes_total{service=\"admin\",version=\"1.3\"} 6\n",
        "aqueduct_tls_handshakes_total{service=\"admin\",version=\"1.2\"} 0\n",
        "aqueduct_tls_handshake_failures_total{service=\"admin\",reason=\"protocol\"} 1\n",
        "aqueduct_tls_handshake_failures_total{service=\"admin\",reason=\"not_tls\"} 1\n",
        "aqueduct_tls_handshakes_at_work{service=\"admin\"} 0\n",
        "aqueduct_tls_certificate_end_seconds{certificate=\"",
    ] {
        assert!(metrics.contains(sample), "{sample} in {metrics}");
    }
}

#[test]
fn events_of_the_loop_are_a_trace_that_one_takes_at_a_time() {
    let world = World::new();
    let mut flow = world.connect(PORT);
    let request = "GET /api/v1/trace?seconds=2 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    block_on(flow.write_all(request.as_bytes())).unwrap();
    world.run();
    assert_eq!(world.admin("GET", "/api/v1/trace").0, 503);
    assert!(world.get("/page").contains("site page"));
    let mut step = world.executor.trace().turn();
    step.step("ingress");
    for _ in 0..3 {
        world.pass(Duration::from_secs(1));
    }
    let mut answer = Vec::new();
    while receive(&mut flow, &mut answer).is_some_and(|count| count > 0) {
        world.run();
    }
    let answer = String::from_utf8(answer).unwrap();
    let trace: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(trace["otherData"]["dropped"], "0");
    let events = trace["traceEvents"].as_array().unwrap();
    let has = |name: &str, category: &str| {
        let mut named = events.iter().filter(|event| event["name"] == name);
        named.any(|event| event["cat"] == category && event["dur"].is_number())
    };
    assert!(has("http", "task") && has("http listener", "task"), "{events:?}");
    assert!(has("ingress", "loop"), "{events:?}");
    assert_eq!(world.admin("GET", "/api/v1/trace?seconds=601").0, 400);
    assert_eq!(world.admin("GET", "/api/v1/trace?seconds=1").0, 200, "the last one is over");
}

/// Whoever holds all connections and asks nothing gives way to who asks.
#[test]
fn a_crowd_at_the_admin_port_gives_way_to_who_asks() {
    let world = World::new();
    let mut crowd: Vec<_> = (0..40).map(|_| world.connect(PORT)).collect();
    // Some have begun to ask.
    for flow in &mut crowd {
        block_on(flow.write_all(b"GET /api")).unwrap_or_default();
    }
    world.run();
    let admin = &world.context.services.all()[4].1;
    assert_eq!((crowd.len(), admin.connections()), (40, 32));
    let has_ended = |flow: &mut MemoryFlow| receive(flow, &mut Vec::new()).is_some();
    let ended: Vec<_> = crowd.iter_mut().map(has_ended).collect();
    assert!(ended[..8].iter().all(|it| *it) && !ended[8..].contains(&true), "{ended:?}");
    assert_eq!(world.admin("GET", "/api/v1/services").0, 200);
    assert!(world.get("/page").contains("site page"));
    drop(crowd);
    world.run();
    assert_eq!(admin.connections(), 0);
}
