//! Messages between sessions, by mailbox and by topic.

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Line(String);

fn line(text: &str) -> Line {
    Line(text.into())
}

/// What a session of the test saw, in order.
type Seen = Rc<RefCell<Vec<String>>>;

/// Joins the topic `lobby` and registers the name of its key, then writes down all that comes, and answers requests with
/// how much that was. `/KEY/wait` answers after a minute, in which it reads nothing.
async fn member(mut session: Session, seen: Seen) -> Result<(), Ended> {
    let mut hit = session.next().await?;
    let key = hit.parameter_text("id").unwrap();
    session.join::<Line>("lobby");
    let taken = session.register::<Line>(&key).is_err();
    loop {
        if hit.parameter_text("what").as_deref() == Some("wait") {
            session.timers().clone().sleep(MINUTE).await;
        }
        hit.reply(page(&format!("{} {taken}", seen.borrow().len())));
        hit = loop {
            match session.next_event().await {
                Event::Hit(hit) => break hit,
                Event::Message(message) => {
                    let text = message.get::<Line>().map_or("?".into(), |line| line.0.clone());
                    seen.borrow_mut().push(format!("{key}:{text}"));
                }
                Event::Missed(count) => seen.borrow_mut().push(format!("{key} missed {count}")),
                Event::End(ended) => return Err(ended),
            }
        };
    }
}

fn members() -> (World, Seen) {
    let seen = Seen::default();
    let notes = seen.clone();
    let world = World::new(move |routes, host| {
        let route =
            host.route("/:id", Mapper::path("id"), move |session| member(session, notes.clone()));
        routes.any("/:id", route.clone()).any("/:id/:what", route)
    });
    (world, seen)
}

#[test]
fn what_is_published_comes_to_all_who_joined_in_order() {
    let (world, seen) = members();
    let lobby = world.host.topic::<Line>("lobby");
    assert_eq!(lobby.publish(line("nobody is here")), 0);
    world.visit("/a", None);
    world.visit("/b", None);
    assert_eq!(lobby.publish(line("one")), 2);
    // Another type's topic of that name is another topic.
    assert_eq!(world.host.topic::<String>("lobby").publish("other".into()), 0);
    assert_eq!(world.host.topic::<Line>("lobby").publish(line("two")), 2);
    world.run();
    assert_eq!(*seen.borrow(), ["a:one", "a:two", "b:one", "b:two"]);
}

#[test]
fn a_topic_lasts_as_long_as_its_members() {
    let (world, seen) = members();
    // Nobody but the session has it.
    world.visit("/a", None);
    assert_eq!(world.host.topic::<Line>("lobby").publish(line("one")), 1);
    world.run();
    assert_eq!(*seen.borrow(), ["a:one"]);
    world.pass(30 * MINUTE);
    assert_eq!(world.host.topic::<Line>("lobby").publish(line("two")), 0);
}

#[test]
fn who_leaves_a_topic_gets_no_more_of_it() {
    let seen = Seen::default();
    let notes = seen.clone();
    let world = World::new(move |routes, host| {
        routes.session(host, "/", Mapper::peer(), move |mut session: Session| {
            let notes = notes.clone();
            async move {
                let lobby = session.join::<Line>("lobby");
                session.join::<Line>("lobby");
                session.next().await?.reply(page("joined"));
                let line = session.next_message::<Line>().await?;
                notes.borrow_mut().push(line.0.clone());
                session.leave(&lobby);
                session.next().await?.reply(page("left"));
                let Err(ended) = session.next_message::<Line>().await else { return Ok(()) };
                notes.borrow_mut().push(format!("{ended:?}"));
                Err(ended)
            }
        })
    });
    world.visit("/", None);
    let lobby = world.host.topic("lobby");
    assert_eq!(lobby.publish(line("one")), 1, "twice joined is once joined");
    assert_eq!(world.visit("/", None).1, "left");
    assert_eq!(lobby.publish(line("two")), 0);
    world.pass(30 * MINUTE);
    assert_eq!(*seen.borrow(), ["one", "Idle"]);
}

#[test]
fn a_slow_member_is_told_how_much_it_missed_and_where() {
    let (world, seen) = members();
    let lobby = world.host.topic::<Line>("lobby");
    world.visit("/a", None);
    let waiting = world.ask("/a/wait", None);
    let reached: Vec<_> = (0..7).map(|n| lobby.publish(line(&n.to_string()))).collect();
    assert_eq!(reached, [1, 1, 1, 1, 0, 0, 0], "four wait at most");
    world.pass(MINUTE);
    assert_eq!(lobby.publish(line("late")), 1);
    world.run();
    assert_eq!(*seen.borrow(), ["a:0", "a:1", "a:2", "a:3", "a missed 3", "a:late"]);
    assert_eq!(status(waiting), 200);
}

fn status(pending: Pending) -> u16 {
    seen(pending).0
}

#[test]
fn a_mailbox_is_found_by_name_number_and_from_inside() {
    let (world, seen) = members();
    assert!(world.host.mailbox::<Line>("a").is_none());
    world.visit("/a", None);
    let named = world.host.mailbox::<Line>("a").unwrap();
    let numbered = world.host.mailbox_of::<Line>(1).unwrap();
    assert!(world.host.mailbox::<String>("a").is_none());
    assert!(world.host.mailbox_of::<Line>(2).is_none());
    named.send(line("by name")).unwrap();
    numbered.clone().send(line("by number")).unwrap();
    // A number's mailbox takes any type; the session passes over what it does not know.
    world.host.mailbox_of::<u32>(1).unwrap().send(7).unwrap();
    world.run();
    assert_eq!(*seen.borrow(), ["a:by name", "a:by number", "a:?"]);
}

#[test]
fn a_name_is_one_sessions_until_that_is_over() {
    let world = World::new(|routes, host| {
        routes.session(host, "/:id", Mapper::path("id"), async |mut session: Session| {
            loop {
                let hit = session.next().await?;
                hit.reply(page(match session.register::<Line>("king") {
                    Ok(()) => "king",
                    Err(NameTaken) => "no",
                }));
            }
        })
    });
    assert_eq!(world.visit("/a", None).1, "king");
    assert_eq!(world.visit("/a", None).1, "king");
    assert_eq!(world.visit("/b", None).1, "no");
    let king = world.host.mailbox::<Line>("king").unwrap();
    world.pass(29 * MINUTE);
    assert_eq!(world.visit("/b", None).1, "no");
    world.pass(MINUTE);
    assert!(world.host.mailbox::<Line>("king").is_none());
    let unsent = king.send(line("hello")).unwrap_err();
    assert_eq!(unsent, Unsent { value: line("hello"), reason: UnsentReason::Over });
    assert_eq!(world.visit("/b", None).1, "king");
}

#[test]
fn a_full_mailbox_gives_the_message_back() {
    let (world, seen) = members();
    world.visit("/a", None);
    let waiting = world.ask("/a/wait", None);
    let mailbox = world.host.mailbox::<Line>("a").unwrap();
    for n in 0..4 {
        mailbox.send(line(&n.to_string())).unwrap();
    }
    let unsent = mailbox.send(line("4")).unwrap_err();
    assert_eq!(unsent, Unsent { value: line("4"), reason: UnsentReason::Full });
    // Messages take no requests' places.
    let second = world.ask("/a", None);
    world.pass(MINUTE);
    assert_eq!((status(waiting), status(second), seen.borrow().len()), (200, 200, 4));
    mailbox.send(unsent.value).unwrap();
    world.run();
    assert_eq!(seen.borrow().last().unwrap(), "a:4");
}

#[test]
fn requests_pass_messages_that_wait() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::peer(), async |mut session: Session| {
            session.mailbox::<Line>().send(line("to myself")).unwrap();
            session.mailbox::<u32>().send(7).unwrap();
            session.next().await?.reply(page("first"));
            let number = session.next_message::<u32>().await?;
            session.next().await?.reply(page(&number.to_string()));
            let line = session.next_message::<Line>().await?;
            session.next().await?.reply(page(&line.0));
            Ok(())
        })
    });
    let texts: Vec<_> = (0..3).map(|_| world.visit("/", None).1).collect();
    assert_eq!(texts, ["first", "7", "to myself"]);
}

#[test]
fn names_of_sessions_that_are_over_are_forgotten() {
    let world = World::new(|routes, host| {
        routes.session(host, "/:id", Mapper::path("id"), async |mut session: Session| {
            let hit = session.next().await?;
            let name = hit.parameter_text("id").unwrap();
            session.register::<Line>(&name).unwrap();
            session.join::<Line>(&name);
            hit.reply(page("x"));
            Ok(())
        })
    });
    for n in 0..200 {
        world.visit(&format!("/{n}"), None);
    }
    assert!(world.host.names().len() < 100, "{}", world.host.names().len());
}
