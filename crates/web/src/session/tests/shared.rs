//! Several requests of one visitor at once, that share an answer.

use super::*;

/// Answers each request after a minute with its place in line; `/stream` piece by piece.
async fn slow(mut session: Session) -> Result<(), Ended> {
    for count in 1.. {
        let hit = session.next().await?;
        session.timers().clone().sleep(MINUTE).await;
        match hit.path() {
            b"/stream" => hit.stream(page("")).finish(),
            b"/drop" => drop(hit),
            _ => hit.reply(page(&count.to_string())),
        }
    }
    Ok(())
}

fn sharing() -> World {
    World::new(|routes, host| routes.session(host, "/*path", Mapper::peer().shared(), slow))
}

fn post(world: &World, target: &str) -> Pending {
    let request = Request::new(
        parsed("POST", target, &[]),
        Body::empty(),
        Address::Ip(([10, 0, 0, 1], 9).into()),
    );
    let Answer::Later(later) = world.routes.answer(request) else { panic!("a session answers") };
    let pending = world.executor.spawner().spawn_joinable("connection", later);
    world.run();
    pending
}

#[test]
fn equal_requests_get_one_answer() {
    let world = sharing();
    let asked: Vec<_> =
        ["/a?x", "/a?x", "/a?y", "/a?x"].map(|target| world.ask(target, None)).into();
    world.pass(MINUTE);
    world.pass(MINUTE);
    let texts: Vec<_> = asked.into_iter().map(|pending| seen(pending).1).collect();
    assert_eq!(texts, ["1", "1", "2", "1"]);
    assert_eq!(world.host.sessions()[0].hits, 4);
    // What was answered is asked anew.
    let again = world.ask("/a?x", None);
    world.pass(MINUTE);
    assert_eq!(seen(again).1, "3");
}

#[test]
fn others_are_others_sessions_and_posts_are_each_a_step() {
    let world = sharing();
    let (mine, other) = (world.ask_from("/a", None, 1), world.ask_from("/a", None, 2));
    let (first, second) = (post(&world, "/a"), post(&world, "/a"));
    for _ in 0..3 {
        world.pass(MINUTE);
    }
    let texts = [mine, other, first, second].map(|pending| seen(pending).1);
    assert_eq!(texts, ["1", "1", "2", "3"]);
}

#[test]
fn a_reload_gets_the_answer_that_its_first_request_was_for() {
    let world = sharing();
    let first = world.ask("/a", None);
    let second = world.ask("/a", None);
    world.executor.spawner().cancel(first.id());
    world.pass(MINUTE);
    assert_eq!(seen(second).1, "1");
    // With nobody left it is over, and the next is a step of its own.
    let gone = world.ask("/a", None);
    world.executor.spawner().cancel(gone.id());
    let next = world.ask("/a", None);
    world.pass(MINUTE);
    world.pass(MINUTE);
    assert_eq!(seen(next).1, "3");
}

#[test]
fn a_stream_goes_to_the_last_who_asked() {
    let world = sharing();
    let asked = [(); 3].map(|()| world.ask("/stream", None));
    world.executor.spawner().cancel(asked[2].id());
    world.pass(MINUTE);
    let [first, second, _] = asked;
    assert_eq!(seen(first).0, 409);
    let reply = flow::task::block_on(second).unwrap();
    assert!(matches!(reply.next, Next::Produce(_)));
}

#[test]
fn a_request_that_is_dropped_is_answered_to_all() {
    let world = sharing();
    let asked = [(); 2].map(|()| world.ask("/drop", None));
    world.pass(MINUTE);
    assert_eq!(asked.map(|pending| seen(pending).0), [500, 500]);
}

#[test]
fn a_page_that_was_printed_is_html() {
    use core::fmt::Write;
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::peer(), async |mut session: Session| {
            let mut hit = session.next().await?;
            hit.print("<p>");
            write!(hit, "{}", 7).unwrap();
            hit.finish();
            // What was printed and not sent is no answer.
            session.next().await?.print("lost");
            Ok(())
        })
    });
    let reply = flow::task::block_on(world.ask("/", None)).unwrap();
    assert_eq!(reply.response.content_type(), Some("text/html; charset=utf-8"));
    assert_eq!(text(&reply.response), "<p>7");
    assert_eq!(world.visit("/", None).0, 500);
}
