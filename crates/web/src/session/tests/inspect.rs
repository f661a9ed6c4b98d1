//! What is seen of sessions from outside, and done in them.

use super::*;

/// Keeps a cart and a count, which are watched; `/die` is a value that cannot be written.
async fn shop(mut session: Session) -> Result<(), Ended> {
    struct Secret;
    impl fmt::Debug for Secret {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("it is not shown")
        }
    }
    let cart = Rc::new(RefCell::new(["apple"].to_vec()));
    let count = Rc::new(RefCell::new(1_u32));
    session.watch("cart", &Rc::new(RefCell::new(())));
    session.watch("cart", &cart);
    session.watch_and_set("count", &count);
    session.watch("secret", &Rc::new(RefCell::new(Secret)));
    session.command("add", "an earlier one", |_| Err("it is not the last".into()));
    let added = cart.clone();
    session.command("add", "puts something into the cart", move |words| match words {
        "" => Err("what?".into()),
        "bomb" => panic!("it went off"),
        words => {
            added.borrow_mut().push(String::from(words).leak());
            Ok(format!("{} in the cart", added.borrow().len()))
        }
    });
    loop {
        let hit = session.next().await?;
        let text = format!("{} {:?}", count.borrow(), cart.borrow());
        if hit.path() == b"/slow" {
            session.timers().clone().sleep(MINUTE).await;
        }
        hit.reply(page(&text));
    }
}

fn shops() -> World {
    World::new(|routes, host| {
        let route = host.route("/", Mapper::peer(), shop);
        routes.any("/", route.clone()).any("/slow", route)
    })
}

/// Asks for something in a session and lets it happen.
fn ask<T: 'static>(world: &World, asked: impl Future<Output = T> + 'static) -> TaskHandle<T> {
    let handle = world.executor.spawner().spawn_joinable("inspector", asked);
    world.run();
    handle
}

fn done<T>(handle: TaskHandle<T>) -> T {
    flow::task::block_on(handle).unwrap()
}

fn set(
    world: &World,
    number: u64,
    name: &'static str,
    text: &'static str,
) -> TaskHandle<Result<(), SetError>> {
    let host = world.host.clone();
    ask(world, async move { host.set(number, name, text).await })
}

#[test]
fn a_session_says_where_it_waits() {
    let world = shops();
    world.visit("/", None);
    let info = world.host.sessions().pop().unwrap();
    let place = info.waits_at.unwrap();
    assert!(place.file().ends_with("inspect.rs"));
    let source = include_str!("inspect.rs").lines().nth(place.line() as usize - 1).unwrap();
    assert!(source.contains("session.next()"), "{source}");
    assert_eq!((info.number, info.route, info.hits, info.queue), (1, "/", 1, 0));
    let _waiting = world.ask("/slow", None);
    let info = world.host.sessions().pop().unwrap();
    assert_eq!((info.waits_at, info.hits), (None, 2));
}

#[test]
fn watched_values_are_seen_and_set() {
    let world = shops();
    world.visit("/", None);
    let cart = ("cart", "[\"apple\"]".to_string());
    let secret = ("secret", "panicked: a panic".to_string());
    let count = |n: u32| ("count", n.to_string());
    assert_eq!(world.host.watched(1), [cart.clone(), count(1), secret.clone()]);
    assert_eq!(world.host.watched(2), []);
    assert_eq!(done(set(&world, 1, "count", "7")), Ok(()));
    assert_eq!(world.host.watched(1), [cart, count(7), secret]);
    assert_eq!(world.visit("/", None).1, "7 [\"apple\"]");
}

#[test]
fn what_cannot_be_set_says_why() {
    let world = shops();
    world.visit("/", None);
    assert_eq!(done(set(&world, 1, "cart", "x")), Err(SetError::ReadOnly));
    assert_eq!(done(set(&world, 1, "hat", "x")), Err(SetError::NoValue));
    assert_eq!(done(set(&world, 2, "count", "1")), Err(SetError::NoSession));
    let Err(SetError::Unreadable(reason)) = done(set(&world, 1, "count", "-1")) else { panic!() };
    assert_eq!(reason, "invalid digit found in string");
    assert_eq!(world.visit("/", None).1, "1 [\"apple\"]");
}

#[test]
fn a_session_does_what_it_offers_when_it_waits_and_no_panic_is_anothers() {
    let world = shops();
    world.visit("/", None);
    let told = |number, name: &'static str, words: &'static str| {
        let host = world.host.clone();
        ask(&world, async move { host.command(number, name, words).await })
    };
    assert_eq!(world.host.commands(1), [("add", "puts something into the cart".to_string())]);
    assert_eq!(done(told(1, "add", "pear")), Ok("2 in the cart".into()));
    assert_eq!(world.visit("/", None).1, "1 [\"apple\", \"pear\"]");
    assert_eq!(done(told(1, "add", "")), Err(CommandError::Failed("what?".into())));
    assert_eq!(done(told(1, "remove", "")), Err(CommandError::NoCommand));
    assert_eq!(done(told(2, "add", "")), Err(CommandError::NoSession));
    let waiting = world.ask("/slow", None);
    let late = told(1, "add", "plum");
    assert_eq!(world.host.sessions()[0].queue, 1);
    world.pass(MINUTE);
    drop(waiting);
    assert_eq!(done(late), Ok("3 in the cart".into()));
    assert_eq!(done(told(1, "add", "bomb")), Err(CommandError::NoSession));
    assert_eq!(world.visit("/", None).1, "1 [\"apple\"]");
}

#[test]
fn a_command_waits_for_the_session_and_ends_with_it() {
    let world = shops();
    world.visit("/", None);
    let waiting = world.ask("/slow", None);
    let mut setting = set(&world, 1, "count", "5");
    let cx = &mut Context::from_waker(core::task::Waker::noop());
    assert!(core::pin::Pin::new(&mut setting).poll(cx).is_pending());
    world.pass(MINUTE);
    assert_eq!((done(setting), seen(waiting).1.as_str()), (Ok(()), "1 [\"apple\"]"));
    // One that never comes to its turn.
    let waiting = world.ask("/slow", None);
    let setting = set(&world, 1, "count", "6");
    world.executor.spawner().limit_tasks(1000);
    let task = world.executor.spawner().tasks().into_iter().find(|task| task.name == "session");
    world.executor.spawner().cancel(task.unwrap().id);
    world.run();
    assert_eq!((done(setting), seen(waiting).0), (Err(SetError::NoSession), 500));
}

#[test]
fn a_command_that_panics_ends_that_session_only() {
    let world = shops();
    world.visit("/", None);
    seen(world.ask_from("/", None, 2));
    let host = world.host.clone();
    let asked = ask(&world, async move { host.run(1, |_| -> () { panic!("a bug") }).await });
    assert_eq!((done(asked), world.host.len()), (None, 1));
    assert_eq!(world.host.sessions()[0].number, 2);
}
