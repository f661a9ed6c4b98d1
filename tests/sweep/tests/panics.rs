//! A panic at every wait of every handler: it costs the request, call or connection that it was about, and nobody else
//! notices.

use sweep::{CONVERSATIONS, World, panic_at};

#[test]
fn a_panic_at_any_wait_of_a_handler_is_nobody_elses() {
    sweep::say_only_own_panics();
    let world = World::new(&config::Config::default());
    let plain = |turn: &mut dyn FnMut()| turn();
    let talk = |conversation| world.converse(conversation, &plain).expect("an end");
    let expected: Vec<_> = CONVERSATIONS.iter().map(|one| talk(one).unwrap()).collect();
    let at_rest = world.rest(&plain);
    for conversation in CONVERSATIONS {
        let mut panics = 0;
        for n in 1.. {
            panic_at(n);
            let seen = talk(conversation);
            if !panic_at(0) {
                break;
            }
            panics += 1;
            let name = conversation.name;
            assert!(
                seen.is_err() || seen.is_ok_and(|seen| !expected.contains(&seen)),
                "{name} {n}"
            );
            for (other, expected) in CONVERSATIONS.iter().zip(&expected) {
                let seen = talk(other);
                assert_eq!(
                    seen.as_ref(),
                    Ok(expected),
                    "{} after a panic of {name} at {n}",
                    other.name
                );
            }
            assert_eq!(world.rest(&plain), at_rest, "after a panic of {name} at {n}");
        }
        assert!(panics >= 6, "{}: {panics} waits", conversation.name);
    }
}
