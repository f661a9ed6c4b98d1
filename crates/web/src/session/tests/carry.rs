//! Sessions before and after a restart: two appliances with the same routes.

use super::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct State {
    count: u32,
}

/// Counts, and goes on counting after a restart; `/forget` ends it for good, `/long` tries to save more than it may.
async fn counter(mut session: Session) -> Result<(), Ended> {
    let mut state = session.resumed().unwrap_or(State { count: 0 });
    loop {
        let hit = session.next().await?;
        if hit.path() == b"/forget" {
            hit.reply(page("over"));
            return Ok(());
        }
        state.count += 1;
        let saved = match hit.path() {
            b"/long" => session.save(&"x".repeat(29)),
            b"/odd" => session.save(&alloc::collections::BTreeMap::from([((1, 2), 3)])),
            _ => session.save(&state),
        };
        hit.reply(page(&match saved {
            Ok(()) => state.count.to_string(),
            Err(error) => format!("{error:?}"),
        }));
    }
}

fn counting() -> World {
    World::new(|routes, host| {
        let route = host.route("/*path", Mapper::cookie(), counter);
        let keyed = host.route("/key/:id", Mapper::path("id"), counter);
        routes.any("/key/:id", keyed).any("/*path", route)
    })
}

/// What is there after a graceful stop.
fn stop(world: &World) -> Vec<u8> {
    world.host.drain();
    world.run();
    world.host.archive()
}

fn restarted(archive: &[u8]) -> (World, usize) {
    let world = counting();
    // Ids of before are not given out again.
    for _ in 0..50 {
        world.host.new_id();
    }
    let restored = world.host.restore(archive).unwrap();
    (world, restored)
}

#[test]
fn whether_anything_is_lost_without_an_archive_is_known_beforehand() {
    let world = counting();
    assert!(!world.host.has_archived());
    let cookie = world.visit("/", None).2.unwrap();
    assert!(world.host.has_archived());
    let archive = stop(&world);
    assert!(!world.host.has_archived());
    // Nobody has visited these yet.
    let (world, _) = restarted(&archive);
    assert!(world.host.has_archived());
    world.visit("/", Some(&cookie));
    world.host.drain();
    world.run();
    assert!(world.host.has_archived());
    let (world, restored) = restarted(&counting().host.archive());
    assert_eq!((restored, world.host.has_archived()), (0, false));
}

#[test]
fn a_session_goes_on_after_a_restart() {
    let world = counting();
    let cookie = world.visit("/", None).2.unwrap();
    world.visit("/", Some(&cookie));
    world.visit("/key/%00a", None);
    let (world, restored) = restarted(&stop(&world));
    assert_eq!((restored, world.host.len()), (2, 0));
    assert_eq!(world.visit("/", Some(&cookie)), (200, "3".into(), None));
    assert_eq!(world.visit("/key/%00a", None).1, "2");
    // Another visitor is another session, and the saved state is had once.
    assert_eq!(world.visit("/", None).1, "1");
    assert_eq!(world.visit("/", Some(&cookie)).1, "4");
    let (world, restored) = restarted(&stop(&world));
    assert_eq!(restored, 3);
    assert_eq!(world.visit("/", Some(&cookie)).1, "5");
}

#[test]
fn who_was_not_visited_in_between_goes_on_after_the_second_restart() {
    let world = counting();
    let cookie = world.visit("/", None).2.unwrap();
    world.pass(10 * MINUTE);
    let (world, _) = restarted(&stop(&world));
    world.pass(10 * MINUTE);
    let (world, restored) = restarted(&stop(&world));
    assert_eq!(restored, 1);
    world.pass(9 * MINUTE);
    assert_eq!(world.visit("/", Some(&cookie)).1, "2");
}

#[test]
fn who_stays_away_too_long_begins_anew() {
    let world = counting();
    let cookie = world.visit("/", None).2.unwrap();
    world.pass(10 * MINUTE);
    let archive = stop(&world);
    let (world, _) = restarted(&archive);
    world.pass(20 * MINUTE);
    let (_, text, new) = world.visit("/", Some(&cookie));
    assert_eq!(text, "1");
    assert!(new.is_some_and(|new| new != cookie));
    let late = String::from_utf8(archive)
        .unwrap()
        .replace("\"idle_seconds\":600", "\"idle_seconds\":1800");
    assert_eq!(restarted(late.as_bytes()).1, 0);
}

#[test]
fn what_ended_for_other_reasons_is_not_resumed() {
    let world = counting();
    let cookie = world.visit("/", None).2.unwrap();
    world.visit("/forget", Some(&cookie));
    world.visit("/key/idle", None);
    world.pass(30 * MINUTE);
    assert_eq!(restarted(&stop(&world)).1, 0);
}

#[test]
fn a_session_that_does_not_hear_the_stop_is_taken_along() {
    let world = World::new(|routes, host| {
        routes.session(host, "/*path", Mapper::cookie(), async |mut session: Session| {
            let hit = session.next().await?;
            session.save(&State { count: 7 }).unwrap();
            hit.reply(page("saved"));
            core::future::pending().await
        })
    });
    let cookie = world.visit("/", None).2.unwrap();
    let (world, restored) = restarted(&stop(&world));
    assert_eq!(restored, 1);
    assert_eq!(world.visit("/", Some(&cookie)).1, "8");
}

#[test]
fn what_cannot_be_saved_leaves_what_was() {
    let world = counting();
    let cookie = world.visit("/", None).2.unwrap();
    assert_eq!(world.visit("/long", Some(&cookie)).1, "TooLong");
    assert_eq!(world.visit("/odd", Some(&cookie)).1, "NotJson");
    let (world, _) = restarted(&stop(&world));
    assert_eq!(world.visit("/", Some(&cookie)).1, "2");
}

#[test]
fn a_state_of_another_shape_begins_anew_under_the_same_id() {
    let world = counting();
    let cookie = world.visit("/", None).2.unwrap();
    let archive = String::from_utf8(stop(&world)).unwrap().replace("count", "other");
    let (world, restored) = restarted(archive.as_bytes());
    assert_eq!(restored, 1);
    assert_eq!(world.visit("/", Some(&cookie)), (200, "1".into(), None));
}

#[test]
fn more_than_there_may_be_are_not_kept() {
    let world = World::with_limits(
        Limits { sessions_max: 100, newcomers_max: 100, ..limits() },
        |routes, host| {
            let keyed = host.route("/key/:id", Mapper::path("id"), counter);
            routes.any("/key/:id", keyed)
        },
    );
    for n in 0..20 {
        world.visit(&format!("/key/{n}"), None);
    }
    let (world, _) = restarted(&stop(&world));
    let archive = stop(&world);
    assert_eq!(restarted(&archive).1, 8);
}

#[test]
fn bytes_that_are_no_archive_are_refused_whole() {
    let world = counting();
    world.visit("/key/a", None);
    world.visit("/", None);
    let archive = String::from_utf8(stop(&world)).unwrap();
    for (bad, reason) in [
        (String::new(), "EOF while parsing a value at line 1 column 0"),
        (archive[..archive.len() - 1].into(), "EOF while parsing an object"),
        (archive.replace("\"version\":1", "\"version\":2"), "its version is 2, not 1"),
        (archive.replace("key 61", "key 6"), "a key is \"key 6\""),
        (archive.replace("key 61", "key xx"), "a key is \"key xx\""),
        (archive.replace("\"key 61", "\"61"), "a key is \"61\""),
        (archive.replace("id 0", "id "), "a key is \"id 0"),
        (archive.replace("\"state\"", "\"stat\""), "missing field `state`"),
    ] {
        let world = counting();
        let error = world.host.restore(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("no archive of sessions: ") && error.contains(reason), "{error}");
        assert_eq!(world.visit("/key/a", None).1, "1");
    }
}

#[test]
fn more_than_a_session_may_save_is_not_taken_up() {
    let world = counting();
    world.visit("/key/a", None);
    let archive = String::from_utf8(stop(&world)).unwrap();
    let long = archive.replace("\\\"count\\\":1", &format!("\\\"count\\\":1{}", " ".repeat(30)));
    assert_ne!(long, archive);
    assert_eq!(restarted(long.as_bytes()).1, 0);
}

#[test]
fn of_two_states_of_one_key_the_newer_is_taken_along() {
    let world = counting();
    world.visit("/key/a", None);
    let archive = stop(&world);
    // The archive of before is had late only, when the visitor has begun anew.
    let world = counting();
    world.visit("/key/a", None);
    world.visit("/key/a", None);
    world.host.drain();
    world.run();
    assert_eq!(world.host.restore(&archive), Ok(1));
    let (world, _) = restarted(&world.host.archive());
    assert_eq!(world.visit("/key/a", None).1, "3");
}

#[test]
fn nobody_is_let_in_before_what_was_saved_is_there() {
    let world = World::new(|routes, _| routes);
    world.host.withhold();
    let listeners: Vec<_> = (0..2)
        .map(|_| {
            let host = world.host.clone();
            world
                .executor
                .spawner()
                .spawn_joinable("listener", async move { host.admitted().await })
        })
        .collect();
    world.run();
    assert_eq!(world.executor.spawner().tasks().len(), 2);
    world.host.admit();
    world.run();
    for listener in listeners {
        assert_eq!(flow::task::block_on(listener), Ok(()));
    }
    flow::task::block_on(world.host.admitted());
}
