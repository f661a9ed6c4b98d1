//! Names that appliances keep for each other.

use super::{SECURE, World, fingerprint, new_key};
use aqueduct::app::App;
use aqueduct::context::Context;
use core::time::Duration;
use endpoints::rpc::SturdyRef;
use flow::registry::{Query, Service};

/// One that keeps names for vats with keys, and one of these.
struct Lab {
    world: World,
    keeper_key: String,
    user_key: String,
    other_key: String,
}

impl Lab {
    fn new() -> Self {
        let [keeper_key, user_key, other_key] = [(); 3].map(|()| new_key());
        Self { world: World::new(), keeper_key, user_key, other_key }
    }

    fn start_keeper(&self) -> (Context<super::Host>, App) {
        let may_register = [&self.user_key, &self.other_key];
        let peers: Vec<_> =
            may_register.iter().map(|key| format!("\"{} names\"", fingerprint(key))).collect();
        let settings = format!(
            "{SECURE}peers = [{}]\n[names]\nserve = true\nholder_services_max = 20\naddress = \"10.0.0.1\"\n",
            peers.join(", ")
        );
        self.world.start("keeper", &settings, &self.keeper_key)
    }

    /// An appliance that others find at an address, and that knows who keeps names: by a name of its own for it.
    fn start(&self, name: &str, address: &str, key: &str) -> (Context<super::Host>, App) {
        let keeper = self.keeper();
        let settings = format!(
            "[names]\nservers = [\"capability:keeper\"]\naddress = \"{address}\"\n[capabilities]\nkeeper = \"{keeper}\"\n"
        );
        self.world.start(name, &settings, key)
    }

    /// The reference of the keeper's directory.
    fn keeper(&self) -> SturdyRef {
        let admin = super::reference(SECURE, &self.keeper_key, "admin", "keeper:7001");
        SturdyRef { service: Vec::new(), ..admin }
    }

    /// Time passes, but not at once: leases are renewed meanwhile.
    fn pass(&self, seconds: u64) {
        (0..4 * seconds).for_each(|_| self.world.pass(Duration::from_millis(250)));
    }

    fn found(&self, by: &Context<super::Host>, query: &str) -> Vec<Service> {
        let (registry, query): (_, Query) = (by.registry.clone(), query.parse().unwrap());
        self.world.run(async move { registry.look_up(&query).await.unwrap() })
    }

    fn places(&self, by: &Context<super::Host>, query: &str) -> Vec<String> {
        let found = self.found(by, query);
        found.iter().map(|service| format!("{} {}", service.host, service.description())).collect()
    }
}

#[test]
fn appliances_find_each_other_by_the_one_that_keeps_names_until_they_are_gone() {
    let lab = Lab::new();
    let (user, _app) = lab.start("user", "10.0.0.2", &lab.user_key);
    let (keeper, keeper_app) = lab.start_keeper();
    lab.pass(2);
    let both = ["keeper http 10.0.0.1:80", "user http 10.0.0.2:80"];
    assert_eq!(
        (lab.places(&keeper, "http"), lab.places(&user, "http")),
        (both.map(Into::into).into(), both.map(Into::into).into())
    );
    // Leases are renewed.
    lab.pass(30);
    assert_eq!(lab.places(&keeper, "http@user").len(), 1);
    // The keeper is gone: what it told goes on until the lease ends.
    drop((keeper, keeper_app));
    lab.world.stop("keeper");
    lab.pass(5);
    assert_eq!(lab.places(&user, "http@keeper").len(), 1);
    lab.pass(7);
    assert!(lab.places(&user, "http@keeper").is_empty());
    // It is back, and is told of those that live.
    let (keeper, _keeper_app) = lab.start_keeper();
    lab.pass(2);
    assert_eq!(lab.places(&keeper, "http"), both);
    drop((user, _app));
    lab.world.stop("user");
    lab.pass(6);
    assert_eq!(lab.places(&keeper, "http@user").len(), 1);
    lab.pass(5);
    assert!(lab.places(&keeper, "http@user").is_empty());
}

#[test]
fn one_that_stops_says_that_it_drains() {
    let lab = Lab::new();
    let (keeper, _keeper_app) = lab.start_keeper();
    let (_user, app) = lab.start("user", "10.0.0.2", &lab.user_key);
    lab.pass(2);
    assert!(!lab.found(&keeper, "http@user")[0].is_draining);
    app.stop();
    lab.world.settle();
    assert!(lab.found(&keeper, "http@user")[0].is_draining);
}

#[test]
fn strangers_register_nothing_and_nobody_registers_what_another_has() {
    let lab = Lab::new();
    let (keeper, _keeper_app) = lab.start_keeper();
    let (_user, _user_app) = lab.start("user", "10.0.0.2", &lab.user_key);
    let (_stranger, _stranger_app) = lab.start("stranger", "10.0.0.3", &new_key());
    lab.pass(2);
    assert_eq!(lab.places(&keeper, "http@user"), ["user http 10.0.0.2:80"]);
    assert!(lab.places(&keeper, "http@stranger").is_empty());
    // One that may register claims the name of another, and more than one may have.
    let other = lab.world.vat(&lab.other_key);
    let directory: super::directory::Client = lab.world.restore(&other, &lab.keeper());
    let refusals = lab.world.run(async move {
        let mut request = directory.get_request();
        request.get().set_name("names");
        let answer = request.send().promise.await.unwrap();
        let names: aqueduct::appliance_capnp::names::Client =
            answer.get().unwrap().get_service().get_as_capability().unwrap();
        let mut request = names.register_request();
        request.get().set_lease_milliseconds(10_000);
        let mut services = request.get().init_services(30);
        for at in 0..30 {
            let mut service = services.reborrow().get(at);
            service.set_name("http");
            service.set_host(if at == 0 { "user".into() } else { format!("h{at}") });
            service.set_description("http 10.0.0.4:80");
        }
        let answer = request.send().promise.await.unwrap();
        let refusals = answer.get().unwrap().get_refusals().unwrap();
        refusals.iter().map(|it| it.unwrap().to_string().unwrap()).collect::<Vec<_>>()
    });
    assert!(refusals[0].contains("another holder"), "{}", refusals[0]);
    assert!(refusals[1..21].iter().all(String::is_empty));
    assert!(refusals[21..].iter().all(|refusal| refusal.contains("as one may have")));
    assert_eq!(lab.places(&keeper, "http@user"), ["user http 10.0.0.2:80"]);
}

#[test]
fn a_server_that_is_none_stops_the_start_and_its_secret_is_not_shown() {
    let world = World::new();
    let settings = "[names]\nservers = [\"capnp://sha-256:deadbeef@a:1/deadbeef\"]\n";
    let error = world.try_start("user", settings, "").err().unwrap();
    assert!(error.contains("`servers` in [names]"), "{error}");
    assert!(!error.contains("deadbeef"), "{error}");
}
