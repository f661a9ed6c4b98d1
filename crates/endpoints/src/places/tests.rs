//! Places that come and go, and those that are asked whether they are well.

use super::*;
use alloc::boxed::Box;
use balance::State;
use flow::registry::{Answer, RegistryError};
use flow::task::Executor;
use inspect::{Row, Value};
use std::format;
use std::string::ToString;
use std::vec;

struct Lab {
    executor: Executor,
    timers: Timers,
}

impl Lab {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        Self { executor, timers: Timers::new() }
    }

    fn places(&self, config: Config) -> Places {
        Places::new("shop", config, 1, &self.executor.spawner(), &self.timers)
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    fn advance(&self, seconds: u64) {
        for _ in 0..seconds {
            self.timers.advance(self.timers.now() + Duration::from_secs(1));
            self.run();
        }
    }
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn states(places: &Places) -> Vec<(String, State)> {
    let balancer = places.0.balancer.borrow();
    balancer.places().map(|info| (info.place.target.to_string(), info.state)).collect()
}

/// A registry whose services are what a test says.
pub(crate) struct Changing(pub(crate) Rc<Watch<Result<Vec<Service>, RegistryError>>>);

impl Changing {
    fn find(&self, query: &Query) -> Result<Vec<Service>, RegistryError> {
        let services = self.0.get()?;
        Ok(services.into_iter().filter(|service| query.matches(service)).collect())
    }
}

impl Registry for Changing {
    fn register<'a>(&'a self, _: &'a Service) -> Answer<'a, ()> {
        Box::pin(async { Err(RegistryError::Fixed) })
    }

    fn look_up<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<Service>> {
        Box::pin(async { self.find(query) })
    }

    fn watch<'a>(&'a self, query: &'a Query, known: &'a [Service]) -> Answer<'a, Vec<Service>> {
        Box::pin(async move {
            let mut watcher = self.0.watch();
            loop {
                match self.find(query) {
                    Ok(services) if services == known => watcher.changed().await?,
                    other => return other,
                };
            }
        })
    }
}

pub(crate) fn services(text: &str) -> Vec<Service> {
    let registry = flow::registry::StaticRegistry::parse(text.as_bytes()).unwrap();
    flow::task::block_on(registry.look_up(&"shop".parse().unwrap())).unwrap()
}

#[test]
fn places_come_and_go_as_the_registry_says() {
    let lab = Lab::new();
    let places = lab.places(Config::default());
    let watch = Watch::new(Err(RegistryError::Unavailable));
    places.follow(Rc::new(Changing(watch.clone())), "shop".parse().unwrap());
    lab.run();
    assert_eq!(flow::task::block_on(places.lease(None)).unwrap_err(), NoPlace::None);
    watch.set(Ok(services("shop alpha http a:80\nshop beta http b:80")));
    lab.advance(5);
    let names = |places: &Places| states(places).into_iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(names(&places), ["service://shop@alpha", "service://shop@beta"]);
    watch.set(Ok(services("shop beta http b:81\nshop gamma http c:80 weight=3 drains")));
    lab.run();
    assert_eq!(names(&places), ["service://shop@beta", "service://shop@gamma"]);
    assert_eq!(states(&places)[1].1, State::Draining);
    let weights =
        places.0.balancer.borrow().places().map(|info| info.place.weight).collect::<Vec<_>>();
    assert_eq!(weights, [1, 3]);
    let count = lab.executor.spawner().count();
    drop(places);
    lab.run();
    assert_eq!(lab.executor.spawner().count(), count - 1, "nobody follows it any more");
}

#[test]
fn a_place_that_moves_or_comes_again_is_somewhere_else() {
    let lab = Lab::new();
    let places = lab.places(Config::default());
    let watch = Watch::new(Ok(services("shop alpha http a:80")));
    places.follow(Rc::new(Changing(watch.clone())), "shop".parse().unwrap());
    let location = |text: &str| {
        watch.set(Ok(services(text)));
        lab.run();
        flow::task::block_on(places.lease(None)).ok().map(|lease| lease.location().clone())
    };
    let first = location("shop alpha http a:80").unwrap();
    assert_eq!(first.target, target("service://shop@alpha"));
    assert_eq!(location("shop alpha http a:80 weight=2").unwrap(), first);
    let moved = location("shop alpha http b:80").unwrap();
    assert!(moved.moves > first.moves && moved.target == first.target);
    assert_eq!(location(""), None);
    assert!(location("shop alpha http b:80").unwrap().moves > moved.moves);
}

#[test]
fn who_asks_before_the_places_are_known_waits() {
    let lab = Lab::new();
    let places = lab.places(Config::default());
    let asking = places.clone();
    let spawner = lab.executor.spawner();
    let handle = spawner
        .spawn_joinable("asks", async move { asking.lease(None).await.unwrap().target().clone() });
    lab.run();
    places.set(&[Place::new(target("a:80"), 1)]);
    lab.run();
    assert_eq!(flow::task::block_on(handle).unwrap(), target("a:80"));
}

#[test]
fn a_lease_is_given_back_once_with_what_came_of_it() {
    let lab = Lab::new();
    let places = lab.places(Config::default());
    places.set(&[Place::new(target("a:80"), 1)]);
    let lease = || flow::task::block_on(places.lease(None)).unwrap();
    let seen = || {
        let balancer = places.0.balancer.borrow();
        let info = balancer.places().next().unwrap();
        (info.outstanding, info.failures, info.latency)
    };
    let given_up = lease();
    assert_eq!(seen(), (1, 0, None));
    drop(given_up);
    lease().failed();
    assert_eq!(seen(), (0, 1, None));
    let mut answered = lease();
    lab.advance(2);
    answered.answered();
    lab.advance(3);
    assert_eq!(seen(), (1, 1, None));
    drop(answered);
    assert_eq!(seen(), (0, 1, Some(Duration::from_secs(2))));
}

#[test]
fn places_are_asked_whether_they_are_well_and_silence_is_none() {
    let lab = Lab::new();
    let probes = Probes { interval: Duration::from_secs(2), failures_max: 1, successes_min: 1 };
    let places = lab.places(Config { probes: Some(probes), ..Config::default() });
    let is_silent = Rc::new(Cell::new(true));
    let silent = is_silent.clone();
    places.probe_with(Duration::from_secs(3), move |asked| {
        let silent = silent.clone();
        async move {
            if asked.target == target("b:80") && silent.get() {
                core::future::pending::<()>().await;
            }
            true
        }
    });
    lab.run();
    places.set(&[Place::new(target("a:80"), 1), Place::new(target("b:80"), 1)]);
    lab.run();
    let state = || states(&places).into_iter().map(|row| row.1).collect::<Vec<_>>();
    assert_eq!(state(), [State::Used, State::Used]);
    lab.advance(3);
    assert_eq!(state(), [State::Used, State::Ill]);
    is_silent.set(false);
    lab.advance(3);
    assert_eq!(state(), [State::Used, State::Used]);
    drop(places);
    lab.advance(4);
    assert_eq!(lab.executor.spawner().count(), 0);
}

#[test]
fn rows_show_what_is_known_of_each_place() {
    let lab = Lab::new();
    let places = lab.places(Config::default());
    places.set(&[Place::new(target("a:80"), 3)]);
    for _ in 0..2 {
        flow::task::block_on(places.lease(None)).unwrap().failed();
    }
    let mut shown = vec![];
    places.visit(&mut |row| {
        let row = PLACES.row(row);
        for column in 0..row.columns() {
            shown.push(match row.value(column) {
                Value::Number(number) => format!("{}={number}", row.name(column)),
                Value::Text(text) => format!("{}={text}", row.name(column)),
                Value::Shown(shown) => format!("{}={shown}", row.name(column)),
                _ => format!("{}=", row.name(column)),
            });
        }
    });
    let expected = "service=shop target=a:80 state=used weight=3 outstanding=0 latency_us= ejected_for_ms= requests=2 failures=2";
    assert_eq!(shown.join(" "), expected);
}
