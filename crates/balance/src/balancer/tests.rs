//! What places get, lose and get back.

use super::*;
use crate::config::{Ejection, Probes, Retries};
use std::vec;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn config(policy: Policy) -> Config {
    Config { policy, slow_start: Duration::ZERO, ..Config::default() }
}

fn balancer(config: Config, weights: &[(&'static str, u32)]) -> Balancer<&'static str> {
    let mut balancer = Balancer::new(config);
    let places: Vec<_> = weights.iter().map(|(name, weight)| Place::new(*name, *weight)).collect();
    balancer.set_places(s(0), &places);
    balancer
}

/// One request after the other, each with its outcome; who got them.
fn ask(
    balancer: &mut Balancer<&'static str>,
    now: Duration,
    count: u64,
    outcome: impl Fn(&str) -> Outcome,
) -> Vec<&'static str> {
    let mut asked = Vec::new();
    for random in 0..count {
        let ticket = balancer.choose(now, random, None).unwrap();
        asked.push(*ticket.target());
        let outcome = outcome(ticket.target());
        balancer.finish(now, ticket, outcome);
    }
    asked
}

fn state(balancer: &Balancer<&'static str>, name: &str) -> State {
    balancer.places().find(|info| info.place.target == name).unwrap().state
}

fn fail_once(balancer: &mut Balancer<&'static str>, now: Duration, name: &str) {
    for random in 0.. {
        let ticket = balancer.choose(now, random, None).unwrap();
        let is_it = *ticket.target() == name;
        balancer.finish(now, ticket, if is_it { Outcome::Failure } else { Outcome::Cancelled });
        if is_it {
            return;
        }
    }
}

#[test]
fn round_robin_is_smooth_and_by_weight() {
    let mut balancer = balancer(config(Policy::RoundRobin), &[("a", 5), ("b", 1), ("c", 1)]);
    let asked = ask(&mut balancer, s(1), 7, |_| Outcome::Success);
    assert_eq!(asked, ["a", "a", "b", "a", "c", "a", "a"]);
}

#[test]
fn requests_go_where_fewest_are() {
    let mut balancer = balancer(config(Policy::LeastOutstanding), &[("a", 1), ("b", 1)]);
    let first = balancer.choose(s(1), 0, None).unwrap();
    let second = balancer.choose(s(1), 0, None).unwrap();
    assert_eq!((first.target(), second.target()), (&"a", &"b"));
    balancer.finish(s(1), second, Outcome::Cancelled);
    let third = balancer.choose(s(1), 0, None).unwrap();
    assert_eq!(third.target(), &"b");
    assert_eq!(balancer.places().map(|info| info.outstanding).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_place_that_is_new_begins_with_a_small_share() {
    let config = Config { policy: Policy::RoundRobin, ..Config::default() };
    let mut balancer = balancer(config, &[("a", 1)]);
    balancer.set_places(s(100), &[Place::new("a", 1), Place::new("b", 1)]);
    let share = |balancer: &mut Balancer<_>, now| {
        ask(balancer, now, 110, |_| Outcome::Success).iter().filter(|name| **name == "b").count()
    };
    assert_eq!(share(&mut balancer, s(100)), 10);
    assert_eq!(share(&mut balancer, s(110)), 55);
}

#[test]
fn a_place_that_fails_is_left_out_and_comes_back_on_trial() {
    let mut balancer = balancer(config(Policy::LeastOutstanding), &[("a", 1), ("b", 1)]);
    let outcome = |name: &str| if name == "b" { Outcome::Failure } else { Outcome::Success };
    let asked = ask(&mut balancer, s(1), 40, outcome);
    assert_eq!(asked.iter().filter(|name| **name == "b").count(), 5);
    assert_eq!(balancer.poll_event(), Some(Event::Ejected("b", s(5))));
    assert_eq!(balancer.next_deadline(), Some(s(6)));
    let until = balancer.places().filter_map(|info| info.ejected_until).collect::<Vec<_>>();
    assert_eq!(until, [s(6)]);
    balancer.handle_timeout(s(6));
    assert_eq!(balancer.poll_event(), Some(Event::Returned("b")));
    assert_eq!(state(&balancer, "b"), State::Used);
    fail_once(&mut balancer, s(6), "b");
    assert_eq!(balancer.poll_event(), Some(Event::Ejected("b", s(10))));
    assert!(ask(&mut balancer, s(15), 20, outcome).iter().all(|name| *name == "a"));
    assert!(ask(&mut balancer, s(16), 20, outcome).contains(&"b"), "a choice takes it back, too");
}

#[test]
fn only_so_many_places_are_left_out_and_a_lone_one_never() {
    let all = &[("a", 1), ("b", 1), ("c", 1)];
    for (count, used) in [(1, 1), (2, 1), (3, 1)] {
        let mut balancer = balancer(config(Policy::LeastOutstanding), &all[..count]);
        ask(&mut balancer, s(1), 200, |_| Outcome::Failure);
        let still = balancer.places().filter(|info| info.state == State::Used).count();
        assert_eq!(still, used, "of {count}");
    }
}

#[test]
fn when_too_few_are_well_all_are_used() {
    let probes = Some(Probes { failures_max: 1, ..Probes::default() });
    let ejection = Ejection { panic_percent: 50, ..Ejection::default() };
    let config = Config { probes, ejection, ..config(Policy::RoundRobin) };
    let mut balancer = balancer(config, &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    balancer.handle_timeout(s(0));
    let mut ids = vec![];
    while let Some(Event::Probe(id, _)) = balancer.poll_event() {
        ids.push(id);
    }
    assert_eq!(ids.len(), 4);
    let mut used = |ill: usize| {
        balancer.handle_probe(s(0), 0, ids[ill], false);
        let mut asked = ask(&mut balancer, s(0), 12, |_| Outcome::Success);
        asked.sort_unstable();
        asked.dedup();
        asked.len()
    };
    assert_eq!([used(0), used(1), used(2)], [3, 2, 4]);
}

#[test]
fn a_place_that_drains_gets_nothing_new_and_finishes_what_it_has() {
    let mut balancer = balancer(config(Policy::LeastOutstanding), &[("a", 1), ("b", 1)]);
    let ticket = balancer.choose(s(1), 0, None).unwrap();
    assert_eq!(ticket.target(), &"a");
    balancer.set_places(s(1), &[Place::new("a", 1).draining(), Place::new("b", 1)]);
    assert!(ask(&mut balancer, s(1), 20, |_| Outcome::Failure).iter().all(|name| *name == "b"));
    assert_eq!(state(&balancer, "a"), State::Draining);
    balancer.finish(s(2), ticket, Outcome::Success);
    assert_eq!(balancer.places().next().unwrap().outstanding, 0);
    balancer.set_places(s(2), &[Place::new("a", 1).draining()]);
    assert_eq!(balancer.choose(s(2), 0, None), Err(NoPlace::Draining));
    balancer.set_places(s(2), &[]);
    assert_eq!(balancer.choose(s(2), 0, None), Err(NoPlace::None));
}

#[test]
fn what_is_known_of_a_place_stays_when_others_come_and_goes_with_it() {
    let mut balancer = balancer(config(Policy::LeastOutstanding), &[("a", 1), ("b", 1)]);
    let outcome = |name: &str| if name == "b" { Outcome::Failure } else { Outcome::Success };
    ask(&mut balancer, s(1), 40, outcome);
    balancer.set_places(
        s(2),
        &[Place::new("c", 1), Place::new("b", 1), Place::new("a", 1), Place::new("a", 9)],
    );
    assert_eq!(state(&balancer, "b"), State::Ejected);
    assert_eq!(balancer.places().count(), 3);
    let held = balancer.choose(s(2), 0, None).unwrap();
    balancer.set_places(s(2), &[]);
    balancer.set_places(s(2), &[Place::new("b", 1), Place::new("c", 1)]);
    assert_eq!(state(&balancer, "b"), State::Used);
    balancer.finish(s(2), held, Outcome::Failure);
    assert!(balancer.places().all(|info| info.outstanding == 0 && info.requests == 0));
}

#[test]
fn a_request_is_tried_again_elsewhere_within_its_tries_and_the_budget() {
    let retries = Retries { tries_max: 2, percent_max: 100, per_second_min: 0 };
    let mut balancer = balancer(
        Config { retries, ..config(Policy::LeastOutstanding) },
        &[("a", 1), ("b", 1), ("c", 1)],
    );
    let first = balancer.choose(s(1), 0, None).unwrap();
    let second = balancer.choose_again(s(1), 0, None, &[first.id()]).unwrap();
    assert_ne!(first.id(), second.id());
    let tried = [first.id(), second.id()];
    assert_eq!(balancer.choose_again(s(1), 0, None, &tried), Err(NotAgain::Tries));
    assert_eq!(balancer.choose_again(s(1), 0, None, &tried[..1]), Err(NotAgain::Budget));
    balancer.set_places(s(1), &[Place::new("a", 1)]);
    assert_eq!(balancer.choose_again(s(1), 0, None, &tried[..1]), Err(NotAgain::NoOther));
}

#[test]
fn places_of_a_higher_priority_number_are_for_when_the_others_are_not_used() {
    for policy in [Policy::LeastOutstanding, Policy::RoundRobin, Policy::Weighted] {
        let ejection = Ejection { failures_max: 1, ..Ejection::default() };
        let config = Config { ejection, ..config(policy) };
        let mut balancer = balancer(config, &[]);
        let places = [("a", 1), ("b", 2), ("c", 1)];
        let places = places.map(|(name, priority)| Place::new(name, 1).with_priority(priority));
        balancer.set_places(s(0), &places);
        let names = |balancer: &mut Balancer<&'static str>| {
            let spread = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8;
            let mut names: Vec<_> = (0..20)
                .map(|random| {
                    let ticket = balancer.choose(s(1), spread(random), None).unwrap();
                    let name = *ticket.target();
                    balancer.finish(s(1), ticket, Outcome::Cancelled);
                    name
                })
                .collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        assert_eq!(names(&mut balancer), ["a", "c"]);
        // One that was tried at all of the first goes on to the next.
        let tried: Vec<_> = balancer.places().filter(|it| it.place.priority == 1).collect();
        let tried: Vec<_> = tried.iter().map(|it| it.id).collect();
        let first = balancer.choose(s(1), 0, None).unwrap();
        balancer.finish(s(1), first, Outcome::Cancelled);
        assert_eq!(balancer.choose_again(s(1), 0, None, &tried).map(|it| *it.target()), Ok("b"));
        balancer
            .set_places(s(2), &places.map(|it| if it.priority == 1 { it.draining() } else { it }));
        assert_eq!(names(&mut balancer), ["b"]);
    }
}

#[test]
fn a_request_is_repeated_at_the_same_place_within_its_tries_and_the_budget() {
    let retries = Retries { tries_max: 2, percent_max: 100, per_second_min: 0 };
    let mut balancer =
        balancer(Config { retries, ..config(Policy::LeastOutstanding) }, &[("a", 1)]);
    let first = balancer.choose(s(1), 0, None).unwrap();
    assert_eq!(balancer.repeat(s(1), &[first.id()]), Ok(()));
    assert_eq!(balancer.repeat(s(1), &[first.id()]), Err(NotAgain::Budget));
    assert_eq!(balancer.repeat(s(1), &[first.id(); 2]), Err(NotAgain::Tries));
}

#[test]
fn slow_requests_are_hedged_by_key_only_where_there_is_another_place() {
    let config = Config { hedge_percentile: Some(90), ..config(Policy::LeastOutstanding) };
    let mut balancer = balancer(config, &[("a", 1), ("b", 1)]);
    assert_eq!(balancer.hedge_after(s(1)), None);
    for number in 0..100 {
        let ticket = balancer.choose(s(1), number, None).unwrap();
        balancer.finish(s(1) + Duration::from_millis(number), ticket, Outcome::Success);
    }
    let after = balancer.hedge_after(s(1)).unwrap().as_millis();
    assert!((90..=100).contains(&after), "{after}");
    balancer.set_places(s(1), &[Place::new("a", 1)]);
    assert_eq!(balancer.hedge_after(s(1)), None);
}

#[test]
fn latency_is_the_time_to_the_first_of_an_answer() {
    let mut balancer = balancer(config(Policy::LeastOutstanding), &[("a", 1)]);
    let mut ticket = balancer.choose(s(1), 0, None).unwrap();
    ticket.note_answer(s(2));
    ticket.note_answer(s(3));
    balancer.finish(s(60), ticket, Outcome::Success);
    assert_eq!(balancer.places().next().unwrap().latency, Some(s(1)));
}

#[test]
fn a_key_leads_to_the_same_place_whatever_the_order_and_past_one_that_is_out() {
    let all = [("a", 1), ("b", 1), ("c", 1)];
    let config = Config { load_percent_max: 1000, ..config(Policy::ConsistentHash) };
    let mut one = balancer(config.clone(), &all);
    let mut other = balancer(config, &[all[2], all[0], all[1]]);
    let owner = |balancer: &mut Balancer<&'static str>, key| {
        let ticket = balancer.choose(s(1), 0, Some(key)).unwrap();
        let target = *ticket.target();
        balancer.finish(s(1), ticket, Outcome::Cancelled);
        target
    };
    let before: Vec<_> = (0..100).map(|key| owner(&mut one, key)).collect();
    assert_eq!(before, (0..100).map(|key| owner(&mut other, key)).collect::<Vec<_>>());
    for _ in 0..5 {
        fail_once(&mut one, s(1), "b");
    }
    for key in 0..100 {
        let (was, is) = (before[key as usize], owner(&mut one, key));
        assert!(is != "b" && (was == "b" || was == is), "{key}: {was} {is}");
    }
}
