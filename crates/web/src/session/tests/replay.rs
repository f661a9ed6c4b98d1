//! A session's requests once more, on a copy.

use super::*;
use crate::session::replay::{RECORDED_BYTES_MAX, ReplayError};

/// Counts, adds what a request's content says, and draws a number; some targets end it, keep it waiting, or panic.
async fn counter(mut session: Session) -> Result<(), Ended> {
    let mut count = 0;
    loop {
        let mut hit = session.next().await?;
        count += 1;
        let said = hit.body().collect(100).await.unwrap_or_default();
        let said = String::from_utf8(said).unwrap();
        let id = hit.parameter_text("word").unwrap_or_default();
        let text = match &*id {
            "dice" => format!("{count} {}", session.random(0..=u64::MAX)),
            "end" => {
                hit.reply(page("bye"));
                return Ok(());
            }
            "slow" => {
                session.timers().clone().sleep(MINUTE).await;
                "at last".into()
            }
            "die" => panic!("as it was asked to"),
            "renew" => {
                session.renew_id();
                format!("{count} renewed")
            }
            word => format!("{count} {word} {said}"),
        };
        hit.reply(page(&text));
    }
}

fn counting(recorded_max: usize) -> World {
    let limits = Limits { recorded_max, ..limits() };
    World::with_limits(limits, |routes, host| {
        routes.session(host, "/:word", Mapper::cookie(), counter)
    })
}

/// Visits these, one after another, as one visitor; the number of the session, the only one.
fn visit_all(world: &World, words: &[&str]) -> u64 {
    let mut cookie: Option<String> = None;
    for word in words {
        let (_, _, set) = world.visit(&format!("/{word}"), cookie.as_deref());
        cookie = set.or(cookie);
    }
    world.host.sessions()[0].number
}

fn replay(world: &World, number: u64) -> Result<Replay, ReplayError> {
    let host = world.host.clone();
    let asked = async move { host.replay(number).await };
    let handle = world.executor.spawner().spawn_joinable("operator", asked);
    for _ in 0..10 {
        world.run();
        world.pass(Duration::from_secs(9));
    }
    flow::task::block_on(handle).unwrap()
}

/// What it is for: the fault is seen again, whose session has gone with it. The last four of a route are kept.
#[test]
fn a_session_that_panicked_is_replayed() {
    let world = counting(5);
    let mut numbers = Vec::new();
    for _ in 0..5 {
        let (_, _, cookie) = world.visit("/a", None);
        numbers.push(world.host.sessions()[0].number);
        let (status, ..) = world.visit("/die", cookie.as_deref());
        assert_eq!(status, 500);
        assert_eq!(world.host.len(), 0);
    }
    let panics = world.executor.spawner().panics();
    assert_eq!(replay(&world, numbers[0]), Err(ReplayError::NoSession));
    for number in &numbers[1..] {
        let replayed = replay(&world, *number).unwrap();
        let names: Vec<_> = replayed.requests.iter().map(|it| &*it.request).collect();
        assert_eq!(names, ["GET /a", "GET /die"]);
        assert!(replayed.requests[0].is_same());
        assert_ne!(replayed.requests[1].status, Some(200));
    }
    // Each copy has panicked as its session did; and none is kept.
    assert_eq!(world.executor.spawner().panics(), panics + 4);
    assert_eq!(replay(&world, numbers[1]).unwrap().requests.len(), 2);
}

#[test]
fn a_copy_answers_the_same_and_nobody_finds_it() {
    let world = counting(5);
    let number = visit_all(&world, &["a", "b", "renew", "c"]);
    let tasks = world.executor.spawner().count();
    let replayed = replay(&world, number).unwrap();
    assert_eq!(replayed.missing_before, 0);
    let names: Vec<_> = replayed.requests.iter().map(|it| &*it.request).collect();
    assert_eq!(names, ["GET /a", "GET /b", "GET /renew", "GET /c"]);
    for request in &replayed.requests {
        assert!(request.is_same(), "{request:?}");
        assert_eq!((request.recorded_status, request.status), (Some(200), Some(200)));
    }
    // The session has not noticed, the copy has gone, and a second time is as the first.
    assert_eq!(world.host.sessions().len(), 1);
    assert_eq!(world.host.sessions()[0].hits, 4);
    assert_eq!(world.executor.spawner().count(), tasks);
    assert_eq!(replay(&world, number).unwrap(), replayed);
}

#[test]
fn differences_are_shown_where_they_begin() {
    let world = counting(5);
    let number = visit_all(&world, &["a", "dice"]);
    let replayed = replay(&world, number).unwrap();
    let [same, dice] = &replayed.requests[..] else { panic!("{replayed:?}") };
    assert!(same.is_same() && !dice.is_same());
    let difference = dice.difference.as_ref().unwrap();
    assert!(difference.at_byte >= 2, "what they have in common is the count: {difference:?}");
    assert!(difference.recorded.starts_with("2 ") && difference.replayed.starts_with("2 "));
    assert_ne!(difference.recorded, difference.replayed);
}

#[test]
fn of_more_requests_the_last_are_recorded() {
    let world = counting(2);
    let number = visit_all(&world, &["a", "b", "c"]);
    let replayed = replay(&world, number).unwrap();
    assert_eq!((replayed.missing_before, replayed.requests.len()), (1, 2));
    // The copy begins anew: what came before is missing, which its answers show.
    let difference = replayed.requests[0].difference.as_ref().unwrap();
    assert_eq!((difference.at_byte, &*difference.recorded), (0, "2 b "));
    assert_eq!(difference.replayed, "1 b ");
}

#[test]
fn what_is_recorded_is_bounded_in_bytes() {
    let world = counting(1_000);
    let long = "x".repeat(RECORDED_BYTES_MAX / 8);
    let number = visit_all(&world, &[&*long; 12]);
    let replayed = replay(&world, number).unwrap();
    let kept = replayed.requests.len();
    assert!((2..8).contains(&kept), "{kept} of 12 requests of an eighth each, with their answers");
    assert_eq!(replayed.missing_before, 12 - kept as u64);
}

#[test]
fn content_is_given_once_more_as_far_as_it_was_read() {
    let world = counting(5);
    let post = |cookie: Option<&str>, content: &[u8]| {
        let fields: Vec<_> = cookie.map(|cookie| ("Cookie", cookie)).into_iter().collect();
        let mut head = parsed("POST", "/a", &fields);
        let length = content.len() as u64;
        head.parts_mut().unwrap().content_length = crate::ContentLength::Known(length);
        let (sender, body) = Body::channel();
        let peer = Address::Ip(([10, 0, 0, 1], 1000).into());
        let answering = world.routes.answer(Request::new(head, body, peer)).into_future();
        let pending = world.executor.spawner().spawn_joinable("connection", answering);
        for byte in content {
            world.run();
            sender.push(&[*byte]);
        }
        sender.end(Ok(None));
        world.run();
        seen(pending)
    };
    let (_, text, cookie) = post(None, b"hello");
    assert_eq!(text, "1 a hello");
    post(cookie.as_deref(), &[b'x'; 200]);
    let replayed = replay(&world, world.host.sessions()[0].number).unwrap();
    assert!(replayed.requests.iter().all(|it| it.is_same()), "{replayed:?}");
    assert_eq!(replayed.requests[0].request, "POST /a");
}

#[test]
fn a_copy_that_ends_panics_or_takes_too_long_is_told_of_and_harms_nobody() {
    let world = counting(5);
    // The session still waits; its copy will, too.
    let (_, _, cookie) = world.visit("/a", None);
    let pending = world.ask("/slow", cookie.as_deref());
    let number = world.host.sessions()[0].number;
    let replayed = replay(&world, number).unwrap();
    let slow = &replayed.requests[1];
    assert_eq!((slow.recorded_status, slow.status), (None, None));
    assert_eq!(slow.fault, Some("the copy did not answer in time"));
    drop(pending);
    // A copy may end where the session did not: one that began anew knows less.
    let world = World::with_limits(Limits { recorded_max: 2, ..limits() }, |routes, host| {
        let picky = |mut session: Session| async move {
            let first = session.next().await?;
            let is_start = first.path() == b"/start";
            first.reply(page("first"));
            assert!(is_start, "it began in the middle");
            loop {
                session.next().await?.reply(page("more"));
            }
        };
        routes.session(host, "/:word", Mapper::cookie(), picky)
    });
    let number = visit_all(&world, &["start", "b", "c"]);
    let begun = world.host.begun();
    let replayed = replay(&world, number).unwrap();
    assert_eq!(replayed.requests[0].status, Some(200));
    let last = &replayed.requests[1];
    assert!(last.fault == Some("the copy has ended") || last.status == Some(500), "{last:?}");
    // The copy alone has begun: what it left was given to nobody.
    assert_eq!((world.host.begun(), world.host.len()), (begun + 1, 1));
    assert_eq!(world.host.sessions()[0].hits, 3);
}

#[test]
fn nothing_is_replayed_that_is_not_recorded_and_one_at_a_time() {
    let world = counting(0);
    let number = visit_all(&world, &["a"]);
    assert_eq!(replay(&world, number), Err(ReplayError::NothingRecorded));
    assert_eq!(replay(&world, 99), Err(ReplayError::NoSession));
    let world = counting(5);
    let number = visit_all(&world, &["a"]);
    let first = world.host.begin_replay();
    assert_eq!(replay(&world, number), Err(ReplayError::Busy));
    drop(first);
    assert!(replay(&world, number).is_ok());
}
