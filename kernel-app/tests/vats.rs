//! Appliances as vats, on a network in memory: who may have what of them, and what they have of each other.
#![cfg(feature = "relay")]

#[path = "vats/names.rs"]
mod names;

use aqueduct::app::{App, Appliance};
use aqueduct::appliance_capnp::{admin, calculator, counters, directory};
use aqueduct::context::Context;
use aqueduct::platform::{ListenError, Platform};
use aqueduct::vat::{self, NoCapability};
use capnp::capability::{Client as AnyClient, FromClientHook};
use config::{Bundle, Config, cpio};
use core::task::{self, Poll, Waker};
use core::time::Duration;
use endpoints::http::client::{Client, ClientConfig};
use endpoints::network_capnp::{conf, network};
use endpoints::rpc::network::{Conf, RemoteNetwork, Watch};
use endpoints::rpc::{Fingerprint, Limits, Peer, Rpc, SecureVat, SturdyRef, VatPlace};
use endpoints::tls::TlsConfig;
use endpoints::websocket::Host as Sockets;
use flow::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
use flow::registry::StaticRegistry;
use flow::task::Executor;
use flow::time::Timers;
use flow::{ConnectError, Connector, Flow, FlowError, FlowExt, Listener, Target, UnixPath};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use tls::SecretKey;

/// Hosts on one network, and who calls them.
struct World {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    caller: Rpc,
    /// Those that run, each with tasks of its own.
    appliances: RefCell<Vec<(String, Executor)>>,
}

/// A host of the network, which other hosts know by its name.
#[derive(Clone)]
struct Host {
    network: MemoryNetwork,
    name: String,
}

impl Platform for Host {
    type Listener = MemoryListener;
    type Connector = MemoryNetwork;

    fn listen(&self, port: u16, _: usize) -> Result<MemoryListener, ListenError> {
        self.network.listen(&Target::Name(self.name.clone(), port)).ok_or(ListenError::InUse)
    }

    fn listen_at_path(
        &self,
        path: &UnixPath,
        _mode: u32,
        _backlog: usize,
    ) -> Result<MemoryListener, ListenError> {
        self.network.listen(&Target::Unix(path.clone())).ok_or(ListenError::InUse)
    }

    fn connector(&self) -> MemoryNetwork {
        self.network.clone()
    }

    fn wall_clock(&self) -> Duration {
        Duration::ZERO
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn memory_bytes(&self) -> usize {
        256 << 20
    }
}

impl World {
    fn new() -> Self {
        let (executor, timers) = (executor(), Timers::new());
        let caller = Rpc::new(Limits::default(), &executor.spawner(), &timers);
        let network = MemoryNetwork::new(4096, 8);
        Self { executor, timers, network, caller, appliances: RefCell::default() }
    }

    /// Starts an appliance that others know by this name.
    fn start(&self, name: &str, settings: &str, key: &str) -> (Context<Host>, App) {
        self.try_start(name, settings, key).unwrap()
    }

    fn try_start(
        &self,
        name: &str,
        settings: &str,
        key: &str,
    ) -> Result<(Context<Host>, App), String> {
        let bundle = site(name, key);
        let settings = format!("[network]\nhostname = \"{name}\"\n{settings}");
        let config = Config::parse("appliance.toml", &settings).unwrap();
        let platform = Host { network: self.network.clone(), name: name.into() };
        let registry = Rc::new(StaticRegistry::default());
        let tasks = executor();
        let context = Context::new(platform, config, bundle, registry, &tasks, &self.timers);
        let app = App::start(&context, &Appliance).map_err(|error| error.to_string())?;
        self.appliances.borrow_mut().push((name.into(), tasks));
        self.settle();
        Ok((context, app))
    }

    /// Switches an appliance off.
    fn stop(&self, name: &str) {
        self.appliances.borrow_mut().retain(|(own, _)| own != name);
        self.settle();
    }

    /// Runs all until each waits for the others.
    fn settle(&self) {
        const ROUNDS: usize = 400;
        for _ in 0..ROUNDS {
            self.executor.run(1000);
            for (_, tasks) in &*self.appliances.borrow() {
                tasks.run(1000);
            }
        }
    }

    fn pass(&self, time: Duration) {
        self.timers.advance(self.timers.now() + time);
        self.settle();
    }

    fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let outcome = Rc::new(RefCell::new(None));
        let result = outcome.clone();
        self.executor.spawner().spawn("test", async move {
            let value = future.await;
            *result.borrow_mut() = Some(value);
        });
        self.settle();
        outcome.borrow_mut().take().expect("the future to end")
    }

    /// What is ready once all has settled.
    fn run_here<T>(&self, future: impl Future<Output = T>) -> T {
        self.settle();
        let future = core::pin::pin!(future);
        match future.poll(&mut task::Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    /// What a service says of itself by `Persistent`.
    fn saved(&self, client: &admin::Client) -> String {
        let persistent = rpc_persistent(client);
        self.run(async move {
            let saved = persistent.save_request().send().promise.await.unwrap();
            let text = saved.get().unwrap().get_sturdy_ref().get_as::<capnp::text::Reader<'_>>();
            text.unwrap().to_string().unwrap()
        })
    }

    fn is_open(&self, target: &str) -> bool {
        let (network, target) = (self.network.clone(), target.parse().unwrap());
        self.run(async move { network.connect(&target).await.is_ok() })
    }

    /// The directory at a port in the clear.
    fn plain(&self, target: &str) -> directory::Client {
        let (caller, network) = (self.caller.clone(), self.network.clone());
        let target = target.parse().unwrap();
        self.run(async move { caller.connect(&network, &target).await.unwrap() })
    }

    /// The directory at a path of a web server, or why there is none.
    fn over_websocket(
        &self,
        target: &str,
        path: &'static str,
    ) -> Result<directory::Client, String> {
        let (spawner, timers) = (self.executor.spawner(), &self.timers);
        let client = Client::new(ClientConfig::default(), self.network.clone(), &spawner, timers);
        let host = Sockets::new(&spawner, timers, |bytes| bytes.fill(7), None);
        let (caller, target): (_, Target) = (self.caller.clone(), target.parse().unwrap());
        let connected = self.run(async move {
            caller.connect_websocket::<_, directory::Client>(&host, &client, &target, path).await
        });
        connected.map_err(|error| error.to_string())
    }

    /// A service of a directory.
    fn get_service<C: FromClientHook>(&self, directory: &directory::Client, name: &str) -> C {
        let mut request = directory.get_request();
        request.get().set_name(name);
        C::new(request.send().pipeline.get_service().as_cap())
    }

    /// A vat of nobody's services, with a key.
    fn vat(&self, key: &str) -> SecureVat {
        let rpc = Rpc::new(Limits::default(), &self.executor.spawner(), &self.timers);
        let key = SecretKey::from_pem(key.as_bytes()).unwrap();
        SecureVat::new(&rpc, key, TlsConfig::default(), |_| None).unwrap()
    }

    fn restore<C: FromClientHook + 'static>(&self, vat: &SecureVat, reference: &SturdyRef) -> C {
        let (vat, network, reference) = (vat.clone(), self.network.clone(), reference.clone());
        self.run(async move { vat.restore(&network, &reference).await.unwrap() })
    }

    /// A table of settings that is all a host has, for whoever knows its key.
    fn offer(&self, host: &str, key: &str, conf: impl Conf) {
        let rpc = Rpc::new(Limits::default(), &self.executor.spawner(), &self.timers);
        let client = rpc.export_conf(conf);
        let offered = move |_: &Peer| Some(client.clone().into_client_hook());
        let key = SecretKey::from_pem(key.as_bytes()).unwrap();
        let vat = SecureVat::new(&rpc, key, TlsConfig::default(), offered).unwrap();
        let listener = self.network.listen(&Target::Name(host.into(), 7001)).unwrap();
        self.executor.spawner().spawn("offer", async move {
            vat.serve(listener).await;
        });
    }

    fn list(&self, directory: &directory::Client) -> Vec<String> {
        let request = directory.list_request();
        self.run(async move {
            let listed = request.send().promise.await.unwrap();
            let services = listed.get().unwrap().get_services().unwrap();
            services.iter().map(|it| it.get_name().unwrap().to_string().unwrap()).collect()
        })
    }

    fn has(&self, directory: &directory::Client, name: &str) -> bool {
        let mut request = directory.get_request();
        request.get().set_name(name);
        self.run(async move { request.send().promise.await.is_ok() })
    }

    /// The version that an admin tells.
    fn version(&self, admin: &admin::Client) -> Result<String, String> {
        let request = admin.status_request();
        let told = self.run(async move {
            let status = request.send().promise.await?;
            Ok(status.get()?.get_version()?.to_string()?)
        });
        told.map_err(|error: capnp::Error| error.to_string())
    }
}

impl World {
    /// What a web server answers in full.
    fn get(&self, host: &str, path: &str) -> String {
        self.rest(&mut self.ask(host, path))
    }

    /// The same, at a port.
    fn get_at(&self, target: &str, path: &str) -> String {
        self.rest(&mut self.ask_at(target, path))
    }

    /// A request, whose answer nobody takes yet.
    fn ask(&self, host: &str, path: &str) -> MemoryFlow {
        self.ask_at(&format!("{host}:80"), path)
    }

    fn ask_at(&self, target: &str, path: &str) -> MemoryFlow {
        let (network, target) = (self.network.clone(), target.parse().unwrap());
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        self.run(async move {
            let mut flow = network.connect(&target).await.unwrap();
            flow.write_all(request.as_bytes()).await.unwrap();
            flow
        })
    }

    fn rest(&self, flow: &mut MemoryFlow) -> String {
        let mut text = String::new();
        let mut cx = task::Context::from_waker(Waker::noop());
        loop {
            let read = flow.poll_read_with(&mut cx, &mut |bytes| {
                text += &String::from_utf8_lossy(bytes);
                bytes.len()
            });
            match read {
                Poll::Ready(Ok(0) | Err(_)) => return text,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => self.settle(),
            }
        }
    }

    /// The answer to one more request of a connection, by the same head as those before.
    fn once_more(&self, flow: &mut MemoryFlow, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut cx = task::Context::from_waker(Waker::noop());
        let mut left = request.as_bytes();
        while !left.is_empty() {
            let written = flow.poll_write_with(&mut cx, &mut |room| {
                let count = room.len().min(left.len());
                room[..count].copy_from_slice(&left[..count]);
                count
            });
            match written {
                Poll::Ready(Ok(count)) => left = &left[count..],
                other => panic!("{other:?}"),
            }
        }
        self.settle();
        let mut text = String::new();
        let mut take = |bytes: &mut [u8]| {
            text += &String::from_utf8_lossy(bytes);
            bytes.len()
        };
        while let Poll::Ready(Ok(1..)) = flow.poll_read_with(&mut cx, &mut take) {}
        text
    }

    fn write(&self, conf: &conf::Client, key: &str, value: &[u8]) -> Result<(), String> {
        let mut request = conf.write_request();
        request.get().set_key(key);
        request.get().set_value(value);
        let written = self.run(async move { request.send().promise.await.map(drop) });
        written.map_err(|error| error.to_string())
    }
}

fn executor() -> Executor {
    Executor::new(|body| catch_unwind(AssertUnwindSafe(body)).map_err(|_| "a panic".to_string()))
}

fn bundle(key: &str) -> Bundle<'static> {
    site("nobody", key)
}

fn site(name: &str, key: &str) -> Bundle<'static> {
    let mut writer = cpio::Writer::new();
    writer.file("site/index.html", format!("hello of {name}").as_bytes(), 0).unwrap();
    if !key.is_empty() {
        writer.file("rpc/key.pem", key.as_bytes(), 0).unwrap();
    }
    Bundle::parse(writer.finish().leak()).unwrap()
}

fn new_key() -> String {
    SecretKey::generate_pem().unwrap().to_string()
}

fn fingerprint(key: &str) -> Fingerprint {
    Fingerprint(SecretKey::from_pem(key.as_bytes()).unwrap().fingerprint())
}

/// The reference of a service of an appliance with this key and these settings.
fn reference(settings: &str, key: &str, service: &str, address: &str) -> SturdyRef {
    let config = Config::parse("appliance.toml", settings).unwrap();
    vat::reference(&config, &bundle(key), service, address).unwrap()
}

const SECURE: &str = "[rpc]\nsecure_port = 7001\n";

#[test]
fn rpc_is_closed_unless_it_is_opened_and_opened_it_gives_nothing_to_strangers() {
    let world = World::new();
    let (_closed, _app) = world.start("closed", "", "");
    assert!(!world.is_open("closed:7000") && !world.is_open("closed:7001"));
    let (_open, _app) = world.start("open", "[rpc]\nport = 7000\n", "");
    let directory = world.plain("open:7000");
    assert!(world.list(&directory).is_empty());
    assert!(!world.has(&directory, "admin") && !world.has(&directory, "calculator"));
}

#[test]
fn strangers_have_what_is_theirs_by_the_directory_and_by_name() {
    let world = World::new();
    let settings = "[rpc]\nport = 7000\nstrangers = [\"calculator\"]\n";
    let (_open, _app) = world.start("open", settings, "");
    let directory = world.plain("open:7000");
    assert_eq!(world.list(&directory), ["calculator"]);
    assert!(!world.has(&directory, "admin") && world.has(&directory, "calculator"));
    let vat = world.vat(&new_key());
    let named = |service: &str| SturdyRef {
        fingerprint: None,
        place: VatPlace::Tcp { host: "open".into(), port: 7000 },
        service: service.into(),
    };
    let admin: admin::Client = world.restore(&vat, &named("admin"));
    assert!(world.version(&admin).unwrap_err().contains("no service of this name"));
    let calculator: calculator::Client = world.restore(&vat, &named("calculator"));
    let echo = calculator.echo_request();
    world.run(async move { echo.send().promise.await.map(drop) }).unwrap();
}

#[test]
fn over_websockets_everybody_is_a_stranger() {
    let world = World::new();
    let settings = "[rpc]\nwebsocket_path = \"/rpc\"\nstrangers = [\"calculator\"]\n";
    let (_open, app) = world.start("open", settings, "");
    let directory = world.over_websocket("open:80", "/rpc").unwrap();
    assert_eq!(world.list(&directory), ["calculator"]);
    assert!(!world.has(&directory, "admin") && world.has(&directory, "calculator"));
    let elsewhere = world.over_websocket("open:80", "/other").err();
    assert_eq!(elsewhere.unwrap(), "the server answered 404");
    // No port came with it, and who is there is let go.
    assert!(!world.is_open("open:7000"));
    app.stop();
    world.settle();
    assert!(app.has_stopped(0));
}

#[test]
fn a_service_that_there_is_not_is_refused_where_only_websockets_have_it() {
    let world = World::new();
    let settings = "[rpc]\nwebsocket_path = \"/rpc\"\nstrangers = [\"calculatr\"]\n";
    let refused = world.try_start("open", settings, "").err().unwrap();
    assert!(refused.contains("there is no service `calculatr`"), "{refused}");
}

#[test]
fn counters_are_told_to_the_callers_object_until_it_wants_no_more() {
    let world = World::new();
    let settings = "[rpc]\nport = 7000\nstrangers = [\"counters\"]\n";
    let (_open, _app) = world.start("open", settings, "");
    let directory = world.plain("open:7000");
    let counters: counters::Client = world.get_service(&directory, "counters");
    let told = Rc::new(RefCell::new(Vec::new()));
    let watcher: counters::watcher::Client = world.caller.client(Watcher(told.clone()));
    let mut request = counters.follow_request();
    request.get().set_watcher(watcher);
    request.get().set_interval_milliseconds(500);
    let following = request.send();
    world.settle();
    // At once, and then each half second; nothing in between.
    assert_eq!(told.borrow().len(), 1);
    world.pass(Duration::from_millis(499));
    assert_eq!(told.borrow().len(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(told.borrow().len(), 2);
    assert!(told.borrow()[1].iter().any(|name| name == "rpc_connections_made"));
    drop(following);
    world.settle();
    world.pass(Duration::from_secs(5));
    assert_eq!(told.borrow().len(), 2);
}

#[test]
fn counters_are_told_no_more_often_than_ten_times_a_second_and_not_to_who_refuses_them() {
    let world = World::new();
    let settings = "[rpc]\nport = 7000\nstrangers = [\"counters\"]\n";
    let (_open, _app) = world.start("open", settings, "");
    let directory = world.plain("open:7000");
    let counters: counters::Client = world.get_service(&directory, "counters");
    let follow = |watcher: counters::watcher::Client| {
        let mut request = counters.follow_request();
        request.get().set_watcher(watcher);
        request.get().set_interval_milliseconds(0);
        request.send().promise
    };
    let told = Rc::new(RefCell::new(Vec::new()));
    let watcher: counters::watcher::Client = world.caller.client(Watcher(told.clone()));
    let following = follow(watcher);
    world.settle();
    world.pass(Duration::from_millis(99));
    assert_eq!(told.borrow().len(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(told.borrow().len(), 2);
    drop(following);
    let refusing: counters::watcher::Client = world.caller.client(Refusing);
    let refused = follow(refusing);
    world.settle();
    // How a stream's call ended is learnt by the next one.
    world.pass(Duration::from_millis(100));
    assert!(world.run(refused).is_err());
}

struct Watcher(Rc<RefCell<Vec<Vec<String>>>>);

impl counters::watcher::Server for Watcher {
    async fn update(
        self: Rc<Self>,
        params: counters::watcher::UpdateParams,
    ) -> Result<(), capnp::Error> {
        let all = params.get()?.get_counters()?;
        let names = all.iter().map(|it| it.get_name().unwrap().to_string().unwrap());
        self.0.borrow_mut().push(names.collect());
        Ok(())
    }
}

/// Has no method.
struct Refusing;

impl counters::watcher::Server for Refusing {}

#[test]
fn each_vat_sees_what_the_table_gives_it() {
    let world = World::new();
    let (own, known) = (new_key(), new_key());
    let table = format!(
        "{SECURE}strangers = [\"calculator\"]\npeers = [\"{} admin\"]\n",
        fingerprint(&known)
    );
    let (_open, _app) = world.start("open", &table, &own);
    let bootstrap =
        SturdyRef { service: Vec::new(), ..reference(&table, &own, "admin", "open:7001") };
    for (key, expected) in
        [(&known, &["admin", "calculator"][..]), (&new_key(), &["calculator"][..])]
    {
        let directory: directory::Client = world.restore(&world.vat(key), &bootstrap);
        assert_eq!(world.list(&directory), expected);
        assert_eq!(world.has(&directory, "admin"), expected.contains(&"admin"));
    }
}

#[test]
fn a_reference_is_right_enough_and_says_itself() {
    let world = World::new();
    let key = new_key();
    let (_open, _app) = world.start("open", SECURE, &key);
    let known = reference(SECURE, &key, "admin", "open:7001");
    let admin: admin::Client = world.restore(&world.vat(&new_key()), &known);
    assert_eq!(world.version(&admin).unwrap(), env!("CARGO_PKG_VERSION"));
    // By `Persistent`, and by the admin service of itself and the others.
    assert_eq!(world.saved(&admin), known.to_string());
    let request = admin.references_request();
    let told = world.run(async move {
        let told = request.send().promise.await.unwrap();
        let list = told.get().unwrap().get_references().unwrap();
        let text =
            |text: capnp::Result<capnp::text::Reader<'_>>| text.unwrap().to_string().unwrap();
        list.iter().map(|it| (text(it.get_service()), text(it.get_reference()))).collect::<Vec<_>>()
    });
    let calculator = reference(SECURE, &key, "calculator", "open:7001");
    assert_eq!(
        told[..2],
        [("admin".into(), known.to_string()), ("calculator".into(), calculator.to_string())]
    );
    assert_ne!(known.service, calculator.service);
}

fn rpc_persistent(client: &admin::Client) -> endpoints::rpc::persistent::Client {
    endpoints::rpc::persistent::Client::new(client.clone().into_client_hook())
}

#[test]
fn another_epoch_takes_references_back() {
    let world = World::new();
    let key = new_key();
    let old = reference(SECURE, &key, "admin", "open:7001");
    let settings = format!("{SECURE}epochs = [\"admin 1\"]\n");
    let (_open, _app) = world.start("open", &settings, &key);
    let vat = world.vat(&new_key());
    let revoked: admin::Client = world.restore(&vat, &old);
    assert!(world.version(&revoked).is_err());
    let new: admin::Client = world.restore(&vat, &reference(&settings, &key, "admin", "open:7001"));
    assert!(world.version(&new).is_ok());
    let same = reference(SECURE, &key, "calculator", "open:7001");
    assert_eq!(same, reference(&settings, &key, "calculator", "open:7001"));
}

#[test]
fn an_appliance_has_services_of_others_by_name_and_again_when_they_return() {
    let world = World::new();
    let key = new_key();
    let store = reference(SECURE, &key, "admin", "store:7001");
    let settings = format!("[capabilities]\nstore = \"{store}\"\n");
    let (user, _app) = world.start("user", &settings, "");
    assert_eq!(
        user.capability::<AnyClient>("other").err(),
        Some(NoCapability::Unknown("other".into()))
    );
    // Nobody is there yet.
    let early: admin::Client = user.capability("store").unwrap();
    assert!(world.version(&early).unwrap_err().contains("store: connection refused"));

    let (first, app) = world.start("store", SECURE, &key);
    let admin: admin::Client = user.capability("store").unwrap();
    let same: admin::Client = user.capability("store").unwrap();
    world.pass(Duration::from_secs(1));
    assert!(world.version(&admin).is_ok() && world.version(&same).is_ok());
    assert_eq!(first.services.connections(), 1);

    // What is held breaks, and is found again when it is asked for again.
    drop((first, app));
    world.stop("store");
    assert!(world.version(&admin).is_err());
    let (_impostor, _app) = world.start("store", SECURE, &new_key());
    let refused: admin::Client = user.capability("store").unwrap();
    world.pass(Duration::from_secs(20));
    assert!(world.version(&refused).unwrap_err().contains("no TLS with the other end"));
    world.stop("store");
    let (_again, _app) = world.start("store", SECURE, &key);
    world.pass(Duration::from_secs(20));
    let again: admin::Client = user.capability("store").unwrap();
    assert!(world.version(&again).is_ok());
    assert!(world.version(&admin).is_err());
}

/// What only those find wrong who use it is said with its line, too.
#[test]
fn a_setting_that_cannot_be_used_is_named_with_its_line() {
    for (settings, said) in [
        (
            "[capabilities]\nstore = \"capnp://secret\"\n",
            "appliance.toml:2: `store` in [capabilities]: it is no reference",
        ),
        (
            "[rpc]\nport = 7000\nstrangers = [\"admim\"]\n",
            "appliance.toml:3: `strangers` in [rpc]: there is no service `admim`",
        ),
        (
            "[log]\nlevel = \"info\"\nsyslog = \"udp://collector:514\"\n",
            "appliance.toml:3: `syslog` in [log]: udp:// leads to an address",
        ),
    ] {
        let mut writer = cpio::Writer::new();
        writer.file("appliance.toml", settings.as_bytes(), 0).unwrap();
        writer.file("site/index.html", b"hello", 0).unwrap();
        let bundle = Bundle::parse(writer.finish().leak()).unwrap();
        let config = Config::load(&bundle, "").unwrap();
        let platform = Host { network: MemoryNetwork::new(4096, 8), name: "own".into() };
        let (tasks, registry) = (executor(), Rc::new(StaticRegistry::default()));
        let context = Context::new(platform, config, bundle, registry, &tasks, &Timers::new());
        let error = App::start(&context, &Appliance).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(said) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn vats_of_one_machine_have_each_other_by_sockets_that_references_name() {
    let world = World::new();
    let (key, path) = (new_key(), "/run/store.sock");
    let settings = format!(
        "[rpc]\nstrangers = [\"calculator\"]\n[unix]\nrpc = \"/run/open.sock\"\nsecure_rpc = \"{path}\"\n"
    );
    let (store, _app) = world.start("store", &settings, &key);
    assert!(!world.is_open("store:7000") && !world.is_open("store:7001"));
    let secret = reference(&settings, &key, "admin", path);
    assert_eq!(secret.place, VatPlace::Unix { path: path.into() });
    // In the clear a service has its name, as mirage/capnp-rpc writes it: Y2FsY3VsYXRvcg.
    let calculator = "capnp://insecure@/run/open.sock/Y2FsY3VsYXRvcg";
    let user = format!("[capabilities]\nstore = \"{secret}\"\nsums = \"{calculator}\"\n");
    let (user, _app) = world.start("user", &user, "");
    let admin: admin::Client = user.capability("store").unwrap();
    assert!(world.version(&admin).is_ok());
    let sums: calculator::Client = user.capability("sums").unwrap();
    let echo = sums.echo_request();
    world.run(async move { echo.send().promise.await.map(drop) }).unwrap();
    assert_eq!(store.services.connections(), 2);
    // The service says the same of itself.
    assert_eq!(world.saved(&admin), secret.to_string());
}

#[test]
fn an_appliance_serves_another_s_site_and_follows_its_changes() {
    let world = World::new();
    let key = new_key();
    let follows = |service: &str| {
        let reference = reference(SECURE, &key, service, "origin:7001");
        format!("[capabilities]\norigin = \"{reference}\"\n[conf]\nfrom = \"origin\"\n")
    };
    let (_copy, _app) = world.start("copy", &follows("site"), "");
    // What is its own, as long as the other is not there.
    assert!(world.get("copy", "/").ends_with("hello of copy"));
    let (_origin, _app) = world.start("origin", SECURE, &key);
    world.pass(Duration::from_secs(20));
    assert!(world.get("copy", "/").ends_with("hello of origin"));

    let editor: conf::Client = world
        .restore(&world.vat(&new_key()), &reference(SECURE, &key, "site-editor", "origin:7001"));
    let long = vec![b'x'; 100_000];
    assert_eq!(world.write(&editor, "site/long", &long), Ok(()));
    world.pass(Duration::from_secs(2));
    // An answer that has begun ends on what it began with; the next is of what is new.
    let mut begun = world.ask("copy", "/long");
    assert_eq!(world.write(&editor, "site/long", b"short"), Ok(()));
    world.pass(Duration::from_secs(2));
    assert!(world.get("copy", "/long").ends_with("\r\n\r\nshort"));
    assert!(world.rest(&mut begun).ends_with(&"x".repeat(100_000)));

    // The site that there is stays while the other is gone, and changes when it returns with another.
    world.stop("origin");
    world.pass(Duration::from_secs(20));
    assert!(world.get("copy", "/long").ends_with("\r\n\r\nshort"));
    let (_again, _app) = world.start("origin", SECURE, &key);
    world.pass(Duration::from_secs(20));
    assert!(world.get("copy", "/long").starts_with("HTTP/1.1 404"));
    assert!(world.get("copy", "/").ends_with("hello of origin"));
}

/// Answers that follow from a head alone are given again without a question, but not when the site has changed.
#[test]
fn who_asks_again_by_the_same_head_gets_what_is_new() {
    let world = World::new();
    let key = new_key();
    let (_origin, _app) = world.start("origin", SECURE, &key);
    let editor: conf::Client = world
        .restore(&world.vat(&new_key()), &reference(SECURE, &key, "site-editor", "origin:7001"));
    let (network, target) = (world.network.clone(), "origin:80".parse().unwrap());
    let mut flow = world.run(async move { network.connect(&target).await.unwrap() });
    for content in ["first", "second", "third, which is longer"] {
        assert_eq!(world.write(&editor, "site/t.txt", content.as_bytes()), Ok(()));
        for _ in 0..4 {
            let answer = world.once_more(&mut flow, "/t.txt");
            assert!(answer.ends_with(&format!("\r\n\r\n{content}")), "{content}: {answer}");
        }
    }
    let mut request = editor.delete_request();
    request.get().set_key("site/t.txt");
    world.run(async move { request.send().promise.await.map(drop) }).unwrap();
    assert!(world.once_more(&mut flow, "/t.txt").starts_with("HTTP/1.1 404"));
}

#[test]
fn who_may_read_the_site_may_not_write_it_and_who_may_is_bounded() {
    let world = World::new();
    let key = new_key();
    let settings = format!("{SECURE}[conf]\nsite_bytes_max = 5000\n");
    let (_origin, _app) = world.start("origin", &settings, &key);
    let vat = world.vat(&new_key());
    let service = |name: &str| {
        world.restore::<conf::Client>(&vat, &reference(SECURE, &key, name, "origin:7001"))
    };
    let (reader, editor) = (service("site"), service("site-editor"));
    let refused = |conf: &conf::Client, name: &str, content: &[u8]| {
        world.write(conf, name, content).unwrap_err()
    };
    assert!(refused(&reader, "site/a", b"x").contains("read only"));
    for bad in ["a", "site/", "site/../a", "site/a//b", "site/a\nb", "site"] {
        assert!(refused(&editor, bad, b"x").contains("is no file of the site"), "{bad}");
    }
    // What is said of it is cut as it is itself.
    refused(&editor, &format!("site/{}", "a".repeat(1025)), b"x");
    assert_eq!(world.write(&editor, &format!("site/{}", "a".repeat(1019)), b""), Ok(()));
    assert!(refused(&editor, "site/a", &[0; 5000]).contains("at most 5000 bytes"));
    assert_eq!(world.write(&editor, "site/a", &[b'x'; 4900]), Ok(()));
    // The one that it takes the place of does not count.
    assert_eq!(world.write(&editor, "site/a", b"page"), Ok(()));
    assert!(world.get("origin", "/a").ends_with("page"));
}

#[test]
fn an_appliance_follows_another_s_settings_and_keeps_what_is_its_own() {
    let world = World::new();
    let key = new_key();
    let reference = reference(SECURE, &key, "site", "origin:7001");
    let follows = format!("[capabilities]\norigin = \"{reference}\"\n[conf]\nfrom = \"origin\"\n");
    let (copy, _app) = world.start("copy", &follows, "");
    let (deaf, _app) = world.start("deaf", &format!("{follows}settings = false\n"), "");
    let status = |host: &str| {
        let path = format!("/{}", "x".repeat(100));
        world.get(host, &path)[.."HTTP/1.1 404".len()].to_string()
    };
    let all = |expected: [&str; 3]| {
        let seen = ["origin", "copy", "deaf"].map(|host| status(host)[9..].to_string());
        assert_eq!(seen, expected);
    };
    assert_eq!(status("copy"), "HTTP/1.1 404");
    let settings = format!(
        "{SECURE}[http]\nrequest_line_bytes_max = 64\nindex = \"other.html\"\n[tasks]\ntasks_max = 500\n"
    );
    let (_origin, _app) = world.start("origin", &settings, &key);
    world.pass(Duration::from_secs(20));
    all(["414", "414", "404"]);
    assert_eq!((copy.spawner.tasks_max(), deaf.spawner.tasks_max()), (500, 65_536));
    // What takes a restart is as it was, and so is what it is called.
    assert!(world.get("copy", "/").ends_with("hello of origin"));
    let editor: conf::Client = world.restore(
        &world.vat(&new_key()),
        &self::reference(SECURE, &key, "site-editor", "origin:7001"),
    );
    let edit = |text: &str| world.write(&editor, "settings", text.as_bytes());
    assert_eq!(edit("[http]\nrequest_line_bytes_max = 8000\n"), Ok(()));
    world.pass(Duration::from_secs(2));
    all(["404", "404", "404"]);
    assert_eq!(copy.spawner.tasks_max(), 500);
    for (text, said) in [
        (
            "[http]\nrequest_line_bytes_max = 1\n",
            "settings:2:26: found `1`; allowed: a whole number",
        ),
        ("[http]\nport = 81\n", "settings:2:1: found `port = 81`; allowed: settings that need no"),
    ] {
        let refused = edit(text).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    let reader: conf::Client = world
        .restore(&world.vat(&new_key()), &self::reference(SECURE, &key, "site", "origin:7001"));
    assert!(world.write(&reader, "settings", b"").unwrap_err().contains("read only"));
    all(["404", "404", "404"]);
}

/// An answer that has begun keeps the limits that it began with.
#[test]
fn connections_that_are_open_keep_their_settings() {
    let world = World::new();
    let key = new_key();
    let (_origin, _app) = world.start("origin", SECURE, &key);
    let editor: conf::Client = world
        .restore(&world.vat(&new_key()), &reference(SECURE, &key, "site-editor", "origin:7001"));
    let (network, target) = (world.network.clone(), "origin:80".parse().unwrap());
    let mut open = world.run(async move { network.connect(&target).await.unwrap() });
    let long = format!("/{}", "x".repeat(100));
    assert!(world.once_more(&mut open, &long).starts_with("HTTP/1.1 404"));
    let settings = b"[http]\nrequest_line_bytes_max = 64\n";
    assert_eq!(world.write(&editor, "settings", settings), Ok(()));
    assert!(world.once_more(&mut open, &long).starts_with("HTTP/1.1 404"));
    assert!(world.get("origin", &long).starts_with("HTTP/1.1 414"));
}

/// A table of settings that says whatever it likes, and something new whenever it is asked.
#[derive(Clone, Default)]
struct Hostile {
    values: Rc<RefCell<HashMap<String, Vec<u8>>>>,
    asked: Rc<Cell<u32>>,
    never_answers: Rc<Cell<bool>>,
}

impl Hostile {
    async fn value(&self, key: &str) -> Result<Option<Vec<u8>>, capnp::Error> {
        self.asked.set(self.asked.get() + 1);
        if self.never_answers.get() {
            core::future::pending::<()>().await;
        }
        Ok(self.values.borrow().get(key).cloned())
    }
}

impl Conf for Hostile {
    type Watch = HostileWatch;

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, capnp::Error> {
        self.value(key).await
    }

    async fn write(&self, _: &str, _: &[u8]) -> Result<(), capnp::Error> {
        Ok(())
    }

    async fn delete(&self, _: &str) -> Result<bool, capnp::Error> {
        Ok(false)
    }

    async fn watch(&self, key: &str) -> Result<HostileWatch, capnp::Error> {
        Ok(HostileWatch(self.clone(), key.into()))
    }
}

struct HostileWatch(Hostile, String);

impl Watch for HostileWatch {
    async fn next(&self) -> Result<Option<Vec<u8>>, capnp::Error> {
        self.0.value(&self.1).await
    }
}

#[test]
fn a_hostile_origin_changes_nothing_and_is_asked_once_a_second() {
    let world = World::new();
    let (key, hostile) = (new_key(), Hostile::default());
    world.offer("origin", &key, hostile.clone());
    let reference =
        SturdyRef { service: Vec::new(), ..reference(SECURE, &key, "site", "origin:7001") };
    let settings = format!(
        "[capabilities]\norigin = \"{reference}\"\n[conf]\nfrom = \"origin\"\nsite_bytes_max = 5000\n"
    );
    let (copy, _app) = world.start("copy", &settings, "");
    let many_files = format!("1{}", "\na".repeat(1_000_000));
    let (some_files, too_large) = ("1\na\nb", vec![b'x'; 3000]);
    let bad_settings = [
        &b"[http]\nheaders_max = 1\n"[..],
        b"[htp]\n",
        b"\xff\xff",
        &[b'['; 100_000],
        &vec![b'#'; 1 << 20],
        b"[network]\nhostname = \"evil\"\n[capabilities]\norigin = \"capnp://insecure@evil:1\"\n",
    ];
    for (number, settings) in bad_settings.into_iter().enumerate() {
        let list = [many_files.as_str(), "1\n../a", "", "1", "x", some_files][number];
        let values = [
            ("site", list.as_bytes()),
            ("site/a", &too_large),
            ("site/b", &too_large),
            ("settings", settings),
        ];
        let values = values.map(|(key, value)| (key.to_string(), value.to_vec()));
        hostile.values.replace(values.into());
        world.pass(Duration::from_secs(1));
        world.pass(Duration::from_secs(1));
        assert!(world.get("copy", "/").ends_with("hello of copy"), "{number}");
        assert_eq!(copy.live_config(), *copy.config, "{number}");
    }
    // Settings that are allowed, and the same each time that it is asked, at once: it is asked no more often for that.
    hostile.values.borrow_mut().insert("settings".into(), b"[http]\nheaders_max = 9\n".into());
    hostile.values.borrow_mut().insert("site".into(), b"1\na".into());
    world.pass(Duration::from_secs(1));
    let before = hostile.asked.get();
    for _ in 0..10 {
        world.pass(Duration::from_secs(1));
    }
    // The list, a file, the list again, and the settings.
    assert!(hostile.asked.get() - before <= 10 * 4, "{}", hostile.asked.get() - before);
    assert_eq!(copy.live_config().http.headers_max, 9);
    hostile.never_answers.set(true);
    world.pass(Duration::from_secs(30));
    assert!(world.get("copy", "/a").ends_with(&"x".repeat(3000)));
}

/// A gate that lets one vat listen and connect, and that vat, which has no port of its own there.
struct Relayed {
    world: World,
    gate_settings: String,
    gate_key: String,
    inner_key: String,
}

impl Relayed {
    fn new() -> Self {
        let (gate_key, inner_key) = (new_key(), new_key());
        let gate_settings = format!(
            "{SECURE}peers = [\"{} network\"]\n[relay]\nlisten_ports = [\"8081\"]\n\
             connect_targets = [\"outside:9\"]\nconnections_max = 3\n",
            fingerprint(&inner_key)
        );
        Self { world: World::new(), gate_settings, gate_key, inner_key }
    }

    fn gate(&self) -> (Context<Host>, App) {
        self.world.start("gate", &self.gate_settings, &self.gate_key)
    }

    fn through(&self, port: u16) -> String {
        let gate = reference(&self.gate_settings, &self.gate_key, "network", "gate:7001");
        assert!(gate.service.is_empty(), "nobody has it by a token");
        format!(
            "[capabilities]\ngate = \"{gate}\"\n[relay]\nthrough = \"gate\"\nhttp_port = {port}\n"
        )
    }

    fn inner(&self) -> (Context<Host>, App) {
        self.world.start("inner", &self.through(8081), &self.inner_key)
    }
}

#[test]
fn an_appliance_serves_by_another_s_network_and_again_when_that_returns() {
    let relayed = Relayed::new();
    let world = &relayed.world;
    let (_inner, _app) = relayed.inner();
    world.pass(Duration::from_secs(1));
    assert!(!world.is_open("gate:8081"));
    let (gate, app) = relayed.gate();
    world.pass(Duration::from_secs(20));
    assert!(world.get_at("gate:8081", "/").ends_with("hello of inner"));
    assert!(world.get("gate", "/").ends_with("hello of gate"));

    // It goes on by itself when the other is gone, and there again when that is back.
    drop((gate, app));
    world.stop("gate");
    world.pass(Duration::from_secs(20));
    assert!(world.get("inner", "/").ends_with("hello of inner"));
    assert!(!world.is_open("gate:8081"));
    let (_gate, _app) = relayed.gate();
    world.pass(Duration::from_secs(20));
    assert!(world.get_at("gate:8081", "/").ends_with("hello of inner"));
}

#[test]
fn a_slow_client_of_a_relay_holds_back_who_serves_it() {
    const LONG: usize = 1_000_000;
    let relayed = Relayed::new();
    let world = &relayed.world;
    let (gate, _app) = relayed.gate();
    let settings = format!("{SECURE}{}", relayed.through(8081));
    let (inner, _app) = world.start("inner", &settings, &relayed.inner_key);
    world.pass(Duration::from_secs(1));
    let editor: conf::Client = world.restore(
        &world.vat(&new_key()),
        &reference(&settings, &relayed.inner_key, "site-editor", "inner:7001"),
    );
    let long: Vec<u8> = (0..LONG).map(|at| b'a' + (at % 23) as u8).collect();
    assert_eq!(world.write(&editor, "site/long", &long), Ok(()));
    let mut slow = world.ask_at("gate:8081", "/long");
    world.pass(Duration::from_secs(1));
    let held = [&gate, &inner].map(|context| context.ledger.held_bytes());
    assert!(held.iter().all(|held| *held < LONG / 4), "{held:?}");
    // Others are served meanwhile.
    assert!(world.get_at("gate:8081", "/").ends_with("hello of inner"));
    let answer = world.rest(&mut slow);
    assert!(answer.ends_with(std::str::from_utf8(&long).unwrap()));
    // What is left is the calls that wait, for the next connection among them.
    let held = [&gate, &inner].map(|context| context.ledger.held_bytes());
    assert!(held.iter().all(|held| *held < 10_000), "{held:?}");
}

#[test]
fn a_relay_connects_where_it_allows_and_as_often_as_it_allows() {
    let relayed = Relayed::new();
    let world = &relayed.world;
    let (_gate, _app) = relayed.gate();
    let (inner, _app) = relayed.inner();
    world.pass(Duration::from_secs(1));
    let connect = |target: &str| {
        let (connector, target) = (inner.connector(), target.parse().unwrap());
        world.run(async move { connector.connect(&target).await })
    };
    for (target, error) in [
        ("outside:9", ConnectError::Refused),
        ("outside:10", ConnectError::NotAllowed),
        ("gate:80", ConnectError::NotAllowed),
        ("10.0.0.1:9", ConnectError::NotAllowed),
    ] {
        assert_eq!(connect(target).err(), Some(error), "{target}");
    }
    let mut outside = world.network.listen(&"outside:9".parse().unwrap()).unwrap();
    let mut here: Vec<_> = (0..3).map(|_| connect("outside:9").unwrap()).collect();
    assert_eq!(connect("outside:9").err(), Some(ConnectError::Exhausted));
    let mut there: Vec<_> = (0..3).map(|_| world.run_here(outside.accept())).collect();
    let (near, far) = (here.pop().unwrap(), there.remove(2).unwrap());
    let (mut near, mut far) = (near, far);
    let echoed = world.run(async move {
        near.write_all(b"question").await.unwrap();
        let mut text = [0; 8];
        far.read(&mut text).await.unwrap();
        far.write_all(&text).await.unwrap();
        let mut answer = [0; 8];
        near.read(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(&echoed, b"question");
    // The place of one that ended is free.
    world.settle();
    assert!(connect("outside:9").is_ok());
}

/// A vat that was cut off does not wait for its port until the relay has noticed, and no other vat takes it.
#[test]
fn a_relay_gives_a_port_again_to_the_vat_that_has_it() {
    let relayed = Relayed::new();
    let world = &relayed.world;
    let other_key = new_key();
    let both = format!(
        "{SECURE}peers = [\"{} network\", \"{} network\"]\n[relay]\nlisten_ports = [\"8081\"]\n",
        fingerprint(&relayed.inner_key),
        fingerprint(&other_key)
    );
    let (_gate, _app) = world.start("gate", &both, &relayed.gate_key);
    let bootstrap = reference(&both, &relayed.gate_key, "network", "gate:7001");
    let listen = |key: &str| {
        let directory: directory::Client = world.restore(&world.vat(key), &bootstrap);
        let mut request = directory.get_request();
        request.get().set_name("network");
        let service = request.send().pipeline.get_service().as_cap();
        let network = RemoteNetwork::new(network::Client::new(service));
        // The connection stays as long as the directory is held.
        world.run(async move { (network.listen(8081).await, directory) })
    };
    let (first, _held) = listen(&relayed.inner_key);
    let mut first = first.unwrap();
    let (refused, _held) = listen(&other_key);
    assert!(refused.err().unwrap().extra.contains("another listens"));
    let (second, _held) = listen(&relayed.inner_key);
    let mut second = second.unwrap();
    world.settle();
    let ended = world.run(async move { first.accept().await.err() });
    assert_eq!(ended, Some(FlowError::Closed));
    let _outside = world.ask_at("gate:8081", "/");
    assert!(world.run(async move { second.accept().await.is_ok() }));
}

#[test]
fn a_relay_is_for_listed_vats_and_its_own_ports_only() {
    let relayed = Relayed::new();
    let world = &relayed.world;
    let known_key = new_key();
    let all = fingerprint(&known_key);
    let (gate, _app) = relayed.gate();
    drop(gate);
    // Another port than it lets others have.
    let (_inner, _app) = world.start("inner", &relayed.through(8082), &relayed.inner_key);
    // Not listed.
    let (_other, _app) = world.start("other", &relayed.through(8081), &new_key());
    world.pass(Duration::from_secs(1));
    assert!(!world.is_open("gate:8082") && !world.is_open("gate:8081"));
    // All services are not the network.
    let key = new_key();
    let settings = format!("{SECURE}peers = [\"{all} *\"]\n[relay]\nlisten_ports = [\"1\"]\n");
    let (_open, _app) = world.start("open", &settings, &key);
    let bootstrap = reference(&settings, &key, "network", "open:7001");
    let directory: directory::Client = world.restore(&world.vat(&known_key), &bootstrap);
    assert!(world.has(&directory, "admin") && !world.has(&directory, "network"));
    let by_name = SturdyRef { service: b"network".into(), ..bootstrap };
    let network: network::Client = world.restore(&world.vat(&new_key()), &by_name);
    let listening = world.run(async move { RemoteNetwork::new(network).listen(1).await.err() });
    assert!(listening.is_some());
}

#[test]
fn what_is_wrong_with_keys_and_references_is_said_at_the_start_and_no_secret_is() {
    let world = World::new();
    let cases = [
        (SECURE, "no key", "rpc/key.pem of the bundle: there is no private key in it"),
        ("[rpc]\nstrangers = [\"admim\"]\nport = 7000\n", "", "there is no service `admim`"),
        (
            "[capabilities]\nstore = \"capnp://sha-256:secret@a:1/x\"\n",
            "",
            "`store` in [capabilities]: it is no reference",
        ),
    ];
    for (number, (settings, key, part)) in cases.into_iter().enumerate() {
        let message = world.try_start(&format!("bad{number}"), settings, key).err().unwrap();
        assert!(message.contains(part) && !message.contains("secret"), "{message}");
    }
    let config = Config::parse("appliance.toml", SECURE).unwrap();
    let key = new_key();
    for (key, service, address, part) in [
        ("", "admin", "a:1", "rpc/key.pem is not in the bundle"),
        (&*key, "admim", "a:1", "there is no service `admim`, but admin, calculator, site"),
        (&*key, "admin", "a", "`a` is no HOST:PORT"),
        (&*key, "admin", "a:1/b", "no HOST:PORT"),
    ] {
        let message = vat::reference(&config, &bundle(key), service, address).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}
