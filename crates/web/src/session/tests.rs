//! Sessions with a clock that is moved by hand, and ids that are counted.

mod affinity;
mod carry;
mod inspect;
mod messages;
mod replay;
mod shared;

use super::*;
use crate::request::parsed;
use crate::{
    Answer, Body, Content, ContentWriter, Handler, Next, Reply, Request, Response, Routes,
};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use flow::Address;
use flow::task::{Executor, Spawner, TaskHandle};

const MINUTE: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits {
        sessions_max: 8,
        newcomers_max: 4,
        queue_max: 3,
        messages_max: 4,
        saved_bytes_max: 30,
        recorded_max: 0,
        idle_timeout: 30 * MINUTE,
        end_timeout: MINUTE,
    }
}

/// An appliance with session routes, and what visitors see of it.
struct World {
    executor: Executor,
    timers: Timers,
    host: SessionHost,
    routes: Routes,
}

type Pending = TaskHandle<Reply>;

impl World {
    fn new(add: impl FnOnce(Routes, &SessionHost) -> Routes) -> Self {
        Self::with_limits(limits(), add)
    }

    fn with_limits(limits: Limits, add: impl FnOnce(Routes, &SessionHost) -> Routes) -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| "a panic".to_string())
        });
        let timers = Timers::new();
        let count = Cell::new(0_u64);
        let random = move |bytes: &mut [u8]| {
            count.set(count.get() + 1);
            bytes.fill(0);
            bytes[..8].copy_from_slice(&count.get().to_be_bytes());
        };
        let host = SessionHost::new(&executor.spawner(), &timers, limits, random);
        let routes = add(Routes::new(), &host);
        Self { executor, timers, host, routes }
    }

    /// A visitor asks, with this cookie.
    fn ask(&self, target: &str, cookie: Option<&str>) -> Pending {
        self.ask_from(target, cookie, 1)
    }

    fn ask_from(&self, target: &str, cookie: Option<&str>, host: u8) -> Pending {
        let fields: Vec<_> = cookie.map(|cookie| ("Cookie", cookie)).into_iter().collect();
        let head = parsed("GET", target, &fields);
        let peer = Address::Ip(([10, 0, 0, host], 1000).into());
        let answering = self.routes.answer(Request::new(head, Body::empty(), peer)).into_future();
        let pending = self.executor.spawner().spawn_joinable("connection", answering);
        self.run();
        pending
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    fn pass(&self, time: Duration) {
        self.timers.advance(self.timers.now() + time);
        self.run();
    }

    /// What a visitor is answered: status, text and the cookie that is set.
    fn visit(&self, target: &str, cookie: Option<&str>) -> (u16, String, Option<String>) {
        seen(self.ask(target, cookie))
    }
}

fn seen(pending: Pending) -> (u16, String, Option<String>) {
    let reply = flow::task::block_on(pending).expect("it is answered");
    let cookie = reply.response.header("set-cookie").map(|set| {
        let text = String::from_utf8(set.to_vec()).unwrap();
        text.split(';').next().unwrap().to_string()
    });
    (reply.response.status().code(), text(&reply.response), cookie)
}

fn text(response: &Response) -> String {
    match response.content() {
        Content::Full(data) => String::from_utf8(data.as_bytes().to_vec()).unwrap(),
        _ => String::new(),
    }
}

/// The connection needs no second turn.
#[test]
fn what_a_session_answers_without_waiting_is_there_at_once() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::cookie(), |mut session: Session| async move {
            loop {
                session.next().await?.reply(Response::ok("text/plain", "hello"));
                session.timers().sleep(MINUTE).await;
            }
        })
    });
    let ask = |cookie: Option<&str>| {
        let fields: Vec<_> = cookie.map(|cookie| ("Cookie", cookie)).into_iter().collect();
        let peer = Address::Ip(([10, 0, 0, 1], 1000).into());
        world.routes.answer(Request::new(parsed("GET", "/", &fields), Body::empty(), peer))
    };
    let Answer::Now(first) = ask(None) else { panic!("it begins and answers") };
    let set = first.response.header("set-cookie").map(<[u8]>::to_vec).expect("an id");
    let set = String::from_utf8(set).unwrap();
    let cookie = set.split(';').next();
    assert!(matches!(ask(cookie), Answer::Later(_)), "it sleeps");
    world.pass(2 * MINUTE);
    assert!(matches!(ask(cookie), Answer::Now(_)));
}

fn is_waiting(pending: &mut Pending) -> bool {
    let cx = &mut Context::from_waker(core::task::Waker::noop());
    core::pin::Pin::new(pending).poll(cx).is_pending()
}

fn page(text: &str) -> Response {
    Response::ok("text/plain", text.as_bytes().to_vec())
}

/// Says how many requests this visitor has made.
async fn counter(mut session: Session) -> Result<(), Ended> {
    for count in 1.. {
        session.next().await?.reply(page(&count.to_string()));
    }
    Ok(())
}

fn counting() -> World {
    World::new(|routes, host| routes.session(host, "/count", Mapper::cookie(), counter))
}

#[test]
fn a_session_goes_on_where_it_stood() {
    let world = counting();
    let (status, text, cookie) = world.visit("/count", None);
    let cookie = cookie.unwrap();
    assert_eq!((status, text.as_str(), cookie.len()), (200, "1", "session=".len() + 32));
    assert_eq!(world.visit("/count", Some(&cookie)), (200, "2".into(), None));
    assert_eq!(world.visit("/count", Some(&format!("other=x; {cookie}"))).1, "3");
    let (_, other, other_cookie) = world.visit("/count", None);
    assert_eq!(other, "1");
    assert_ne!(other_cookie.unwrap(), cookie);
    assert_eq!(world.visit("/count", Some(&cookie)).1, "4");
    let sessions = world.host.sessions();
    let seen: Vec<_> = sessions.iter().map(|session| (session.number, session.hits)).collect();
    assert_eq!((world.host.len(), seen), (2, [(2, 1), (1, 4)].into()));
}

#[test]
fn the_cookie_goes_to_no_script_no_other_site_and_no_other_route() {
    let world = World::new(|routes, host| {
        routes.session(host, "/shop/:part/*more", Mapper::cookie_named("basket"), counter)
    });
    let reply = flow::task::block_on(world.ask("/shop/a/b", None)).unwrap();
    let cookie = reply.response.header("set-cookie").unwrap();
    assert!(cookie.starts_with(b"basket="));
    assert!(cookie.ends_with(b"; Path=/shop; HttpOnly; SameSite=Lax"), "{cookie:?}");
    assert_eq!(reply.response.header("cache-control"), Some(&b"no-store"[..]));
}

#[test]
fn an_id_that_is_not_ours_is_never_given_back() {
    let world = counting();
    let made_up = "0123456789abcdef0123456789abcdef";
    for forged in [made_up, "", "x", &made_up[1..], &made_up.to_uppercase()] {
        let shown = format!("session={forged}");
        let (status, text, cookie) = world.visit("/count", Some(&shown));
        assert_eq!((status, text.as_str()), (200, "1"), "{forged:?}");
        assert_ne!(cookie.expect("a new id"), shown);
    }
}

#[test]
fn requests_that_come_together_wait_for_their_turn() {
    let world = World::new(|routes, host| {
        routes.session(host, "/:id", Mapper::path("id"), async |mut session: Session| {
            let first = session.next().await?;
            session.timers().clone().sleep(MINUTE).await;
            first.reply(page("first"));
            let second = session.next().await?;
            let third = session.next().await?;
            third.reply(page("third"));
            second.reply(page("second"));
            Ok(())
        })
    });
    let mut waiting: Vec<_> = (0..4).map(|_| world.ask("/a", None)).collect();
    let fifth = world.visit("/a", None);
    assert_eq!(fifth.0, 429, "three wait beside the one that is being answered");
    assert!(waiting.iter_mut().all(is_waiting));
    world.pass(MINUTE);
    let texts: Vec<_> = waiting.drain(..3).map(|pending| seen(pending).1).collect();
    assert_eq!(texts, ["first", "second", "third"]);
    // The fourth came for the same key, after the session had ended: it begins another.
    world.pass(MINUTE);
    assert_eq!(seen(waiting.pop().unwrap()).1, "first");
}

#[test]
fn a_request_that_the_session_drops_is_answered() {
    let world = World::new(|routes, host| {
        routes.session(host, "/:id", Mapper::path("id"), async |mut session: Session| {
            drop(session.next().await?);
            session.next().await?.reply(page("second"));
            session.next().await?;
            Ok(())
        })
    });
    assert_eq!(world.visit("/a", None).0, 500);
    assert_eq!(world.visit("/a", None).1, "second");
    assert_eq!(world.visit("/a", None).0, 500);
    assert_eq!(world.host.len(), 0);
}

#[test]
fn a_session_that_takes_nothing_does_not_begin_for_ever() {
    let world =
        World::new(|routes, host| routes.session(host, "/", Mapper::cookie(), async |_| Ok(())));
    assert_eq!(world.visit("/", None).0, 500);
    assert_eq!(world.host.len(), 0);
}

#[test]
fn a_panic_ends_one_session() {
    let world = World::new(|routes, host| {
        routes.session(host, "/:what", Mapper::cookie(), async |mut session: Session| {
            for count in 1.. {
                let hit = session.next().await?;
                if hit.parameter_text("what").as_deref() == Some("die") {
                    session.timers().clone().sleep(MINUTE).await;
                    panic!("asked to");
                }
                hit.reply(page(&count.to_string()));
            }
            Ok(())
        })
    });
    let (_, _, doomed) = world.visit("/live", None);
    let (_, _, other) = world.visit("/live", None);
    let doomed = doomed.as_deref();
    let (dying, waiting) = (world.ask("/die", doomed), world.ask("/live", doomed));
    world.pass(MINUTE);
    assert_eq!((seen(dying).0, seen(waiting).0), (500, 500));
    assert_eq!(world.executor.spawner().panics(), 1);
    let (status, text, cookie) = world.visit("/live", doomed);
    assert_eq!((status, text.as_str()), (200, "1"));
    assert_ne!(cookie.as_deref().unwrap(), doomed.unwrap());
    assert_eq!(world.visit("/live", other.as_deref()).1, "2");
}

#[test]
fn an_app_that_panics_before_it_waits_is_a_failed_session_too() {
    let world = World::new(|routes, host| {
        let app = |_| -> core::future::Ready<Result<(), Ended>> { panic!("at once") };
        routes.session(host, "/", Mapper::cookie(), app)
    });
    assert_eq!((world.visit("/", None).0, world.host.len()), (500, 0));
}

#[test]
fn who_does_not_come_back_is_told_and_then_dropped() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let said = log.clone();
    let world = World::new(|routes, host| {
        routes.session(host, "/:id", Mapper::path("id"), move |mut session: Session| {
            let said = said.clone();
            async move {
                loop {
                    match session.next_event().await {
                        Event::Hit(hit) => hit.reply(page("here")),
                        Event::End(ended) => said.borrow_mut().push(ended),
                        Event::Message(_) | Event::Missed(_) => {}
                    }
                }
            }
        })
    });
    world.visit("/a", None);
    world.pass(29 * MINUTE);
    world.visit("/a", None);
    world.pass(29 * MINUTE);
    assert!(log.borrow().is_empty());
    world.pass(MINUTE);
    assert_eq!((log.borrow().as_slice(), world.host.len()), (&[Ended::Idle][..], 1));
    // A visit calls it off.
    world.visit("/a", None);
    world.pass(29 * MINUTE);
    assert_eq!((log.borrow().len(), world.host.len()), (1, 1));
    world.pass(MINUTE);
    assert_eq!((log.borrow().len(), world.host.len()), (2, 1));
    world.pass(MINUTE);
    assert_eq!((log.borrow().len(), world.host.len()), (2, 0));
    assert_eq!(world.executor.spawner().tasks().len(), 0);
}

#[test]
fn a_question_mark_ends_a_session_that_is_told_to() {
    let world = counting();
    let (_, _, cookie) = world.visit("/count", None);
    world.pass(30 * MINUTE);
    assert_eq!((world.host.len(), world.executor.spawner().tasks().len()), (0, 0));
    assert_eq!(world.visit("/count", cookie.as_deref()).1, "1");
}

#[test]
fn a_stop_tells_all_sessions_and_begins_no_more() {
    let world = counting();
    let (_, _, cookie) = world.visit("/count", None);
    world.host.drain();
    world.run();
    assert_eq!(world.host.len(), 0);
    assert_eq!(world.visit("/count", cookie.as_deref()).0, 503);
}

#[test]
fn a_flood_without_cookies_displaces_itself() {
    let world = counting();
    let cookies: Vec<_> = (0..3).map(|_| world.visit("/count", None).2.unwrap()).collect();
    for cookie in &cookies {
        assert_eq!(world.visit("/count", Some(cookie)).1, "2");
    }
    for _ in 0..1000 {
        assert_eq!(world.visit("/count", None).1, "1");
    }
    assert_eq!((world.host.len(), world.executor.spawner().tasks().len()), (3 + 4, 3 + 4));
    for cookie in &cookies {
        assert_eq!(world.visit("/count", Some(cookie)).1, "3");
    }
}

#[test]
fn of_too_many_sessions_the_one_used_least_recently_goes() {
    let world = counting();
    let cookies: Vec<_> = (0..9)
        .map(|_| {
            let cookie = world.visit("/count", None).2.unwrap();
            assert_eq!(world.visit("/count", Some(&cookie)).1, "2");
            cookie
        })
        .collect();
    // The ninth made the first go.
    assert_eq!(world.host.len(), 8);
    for cookie in &cookies[1..] {
        assert_eq!(world.visit("/count", Some(cookie)).1, "3");
    }
    assert_eq!(world.visit("/count", Some(&cookies[0])).1, "1");
}

#[test]
fn a_table_full_of_regulars_has_room_for_newcomers() {
    let world = counting();
    for _ in 0..10 {
        let cookie = world.visit("/count", None).2.unwrap();
        world.visit("/count", Some(&cookie));
    }
    // Others come between the first two visits of each.
    let first: Vec<_> = (0..4).map(|_| world.visit("/count", None).2.unwrap()).collect();
    for cookie in &first {
        assert_eq!(world.visit("/count", Some(cookie)).1, "2");
    }
    assert_eq!(world.host.len(), 8);
}

#[test]
fn a_session_that_a_visitor_waits_for_is_not_displaced() {
    let limits = Limits { newcomers_max: 1, ..limits() };
    let world = World::with_limits(limits, |routes, host| {
        routes.session(host, "/:id", Mapper::path("id"), async |mut session: Session| {
            let _hit = session.next().await?;
            core::future::pending().await
        })
    });
    let mut first = world.ask("/a", None);
    assert_eq!(world.visit("/b", None).0, 503);
    assert!(is_waiting(&mut first));
    // He goes away: nobody waits for it any more.
    world.executor.spawner().cancel(first.id());
    let mut second = world.ask("/b", None);
    assert!(is_waiting(&mut second));
    assert_eq!(world.host.len(), 1);
}

#[test]
fn a_session_is_not_idle_while_a_visitor_waits_for_it() {
    let limits = Limits { idle_timeout: MINUTE, end_timeout: Duration::ZERO, ..limits() };
    let world = World::with_limits(limits, |routes, host| {
        routes.session(host, "/", Mapper::cookie(), async |mut session: Session| {
            loop {
                let hit = session.next().await?;
                session.timers().clone().sleep(5 * MINUTE).await;
                hit.reply(page("late"));
            }
        })
    });
    let (first, _) = (world.ask("/", None), ());
    for _ in 0..10 {
        world.pass(MINUTE / 2);
    }
    let (_, text, cookie) = seen(first);
    assert_eq!(text, "late");
    world.pass(MINUTE / 2);
    let second = world.ask("/", cookie.as_deref());
    world.pass(5 * MINUTE);
    assert_eq!(seen(second), (200, "late".into(), None));
    world.pass(MINUTE);
    assert_eq!(world.host.len(), 0);
}

#[test]
fn a_session_is_not_idle_while_it_is_attended() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::cookie(), async |mut session: Session| {
            session.next().await?.reply(page("x"));
            let attended = session.attended();
            session.timers().clone().sleep(100 * MINUTE).await;
            drop(attended);
            session.next().await?;
            Ok(())
        })
    });
    world.visit("/", None);
    for _ in 0..10 {
        world.pass(10 * MINUTE);
    }
    world.pass(29 * MINUTE);
    assert_eq!(world.host.len(), 1);
    world.pass(MINUTE);
    assert_eq!(world.host.len(), 0);
}

#[test]
fn a_session_hears_that_it_has_to_end_however_little_time_it_has() {
    let log = Rc::new(Cell::new(None));
    let said = log.clone();
    let limits = Limits { end_timeout: Duration::ZERO, ..limits() };
    let world = World::with_limits(limits, |routes, host| {
        routes.session(host, "/", Mapper::cookie(), move |mut session: Session| {
            let said = said.clone();
            async move {
                loop {
                    match session.next().await {
                        Ok(hit) => hit.reply(page("x")),
                        Err(ended) => said.set(Some(ended)),
                    }
                }
            }
        })
    });
    world.visit("/", None);
    world.pass(30 * MINUTE);
    assert_eq!((log.get(), world.host.len()), (Some(Ended::Idle), 0));
}

#[test]
fn requests_of_visitors_who_have_gone_are_no_steps() {
    let world = World::new(|routes, host| {
        routes.session(host, "/:id", Mapper::path("id"), async |mut session: Session| {
            for count in 1.. {
                let hit = session.next().await?;
                session.timers().clone().sleep(MINUTE).await;
                hit.reply(page(&count.to_string()));
            }
            Ok(())
        })
    });
    let first = world.ask("/a", None);
    for _ in 0..2 {
        let gone = world.ask("/a", None);
        world.executor.spawner().cancel(gone.id());
    }
    let last = world.ask("/a", None);
    world.pass(MINUTE);
    world.pass(MINUTE);
    assert_eq!((seen(first).1, seen(last).1), ("1".into(), "2".into()));
}

#[test]
fn requests_that_wait_for_a_session_which_ends_go_to_one_other() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::cookie(), async |mut session: Session| {
            session.next().await?.reply(page("first"));
            let hit = session.next().await?;
            session.timers().clone().sleep(MINUTE).await;
            hit.reply(page("last"));
            Ok(())
        })
    });
    let (_, _, cookie) = world.visit("/", None);
    let waiting: Vec<_> = (0..3).map(|_| world.ask("/", cookie.as_deref())).collect();
    world.pass(MINUTE);
    world.pass(MINUTE);
    let seen: Vec<_> = waiting.into_iter().map(seen).collect();
    let texts: Vec<_> = seen.iter().map(|(_, text, _)| text.as_str()).collect();
    assert_eq!(texts, ["last", "first", "last"]);
    assert!(seen[1].2.is_some() && seen[2].2.is_none(), "the new id is told once");
}

#[test]
fn rfc9110_9_2_1_safe_methods_are_no_steps() {
    let world = counting();
    let (_, _, cookie) = world.visit("/count", None);
    for (method, status) in [("HEAD", 200), ("OPTIONS", 204)] {
        let head = parsed(method, "/count", &[("Cookie", cookie.as_deref().unwrap())]);
        let request = Request::new(head, Body::empty(), Address::Memory(1));
        let Answer::Now(reply) = world.routes.answer(request) else {
            panic!("no session is asked")
        };
        assert_eq!(reply.response.status().code(), status, "{method}");
        if method == "HEAD" {
            // RFC 9110 section 8.6: a length would have to be the page's.
            assert_eq!(reply.response.content().length(), None);
        }
    }
    assert_eq!(world.visit("/count", cookie.as_deref()).1, "2");
}

#[test]
fn rfc9111_5_2_2_5_no_page_of_a_session_is_kept_for_others() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::cookie(), async |mut session: Session| {
            session.next().await?.reply(page("a"));
            session.next().await?.reply(page("b"));
            let said = page("c").with_header("Cache-Control", "private");
            session.next().await?.reply(said);
            Ok(())
        })
    });
    let (_, _, cookie) = world.visit("/", None);
    for expected in ["no-store", "private"] {
        let reply = flow::task::block_on(world.ask("/", cookie.as_deref())).unwrap();
        assert_eq!(reply.response.header("cache-control"), Some(expected.as_bytes()));
    }
}

#[test]
fn cookies_with_a_promise_and_secure_ones() {
    let world = World::new(|routes, host| {
        routes.session(host, "/host", Mapper::cookie_named("__Host-id"), counter).session(
            host,
            "/secure",
            Mapper::cookie().secure(),
            counter,
        )
    });
    for (target, end) in [
        ("/host", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ("/secure", "; Path=/secure; Secure; HttpOnly; SameSite=Lax"),
    ] {
        let reply = flow::task::block_on(world.ask(target, None)).unwrap();
        let cookie = String::from_utf8_lossy(reply.response.header("set-cookie").unwrap());
        assert!(cookie.ends_with(end), "{cookie}");
    }
}

#[test]
fn over_tls_cookies_are_secure_by_themselves() {
    let world = counting();
    let mut head = parsed("GET", "/count", &[]);
    head.parts_mut().unwrap().is_secure = true;
    let peer = Address::Ip(([10, 0, 0, 1], 1000).into());
    let answer = world.routes.answer(Request::new(head, Body::empty(), peer));
    let asked = world.executor.spawner().spawn_joinable("connection", async { answer.await });
    world.run();
    let reply = flow::task::block_on(asked).unwrap();
    let cookie = String::from_utf8_lossy(reply.response.header("set-cookie").unwrap());
    assert!(cookie.ends_with("; Path=/count; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    let (_, _, cookie) = world.visit("/count", None);
    assert!(cookie.is_some());
}

#[test]
fn no_session_begins_when_there_are_too_many_tasks() {
    let world = counting();
    let (_, _, cookie) = world.visit("/count", None);
    world.visit("/count", cookie.as_deref());
    world.executor.spawner().limit_tasks(1);
    let (status, _, _) = world.visit("/count", None);
    assert_eq!(status, 503);
    assert_eq!(world.visit("/count", cookie.as_deref()).1, "3");
}

#[test]
fn where_tasks_are_short_newcomers_of_any_route_give_way() {
    let world = World::with_limits(
        Limits { newcomers_max: 1000, sessions_max: 1000, ..limits() },
        |routes, host| {
            routes.session(host, "/flood", Mapper::cookie_named("a"), counter).session(
                host,
                "/shop",
                Mapper::cookie_named("b"),
                counter,
            )
        },
    );
    let (_, _, known) = world.visit("/flood", None);
    world.visit("/flood", known.as_deref());
    world.executor.spawner().limit_tasks(40);
    for _ in 0..200 {
        assert_eq!(world.visit("/flood", None).0, 200);
    }
    let (status, _, cookie) = world.visit("/shop", None);
    assert_eq!(status, 200);
    assert_eq!(world.visit("/shop", cookie.as_deref()).1, "2");
    assert_eq!(world.visit("/flood", known.as_deref()).1, "3");
    assert!((25..35).contains(&world.host.len()), "{}", world.host.len());
}

#[test]
fn a_renewed_id_is_told_and_the_old_one_is_nobodys() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::cookie(), async |mut session: Session| {
            session.next().await?.reply(page("who are you?"));
            let login = session.next().await?;
            session.renew_id();
            login.reply(page("welcome"));
            session.next().await?.reply(page("again"));
            Ok(())
        })
    });
    let (_, _, old) = world.visit("/", None);
    let (_, text, new) = world.visit("/", old.as_deref());
    assert_eq!(text, "welcome");
    assert!(new.is_some() && new != old);
    assert_eq!(world.visit("/", old.as_deref()).1, "who are you?");
    assert_eq!(world.visit("/", new.as_deref()), (200, "again".into(), None));
}

#[test]
fn sessions_by_what_requests_say() {
    let both = || Mapper::query("id").and(Mapper::peer());
    let world = World::new(|routes, host| {
        routes
            .session(host, "/query", Mapper::query("id"), counter)
            .session(host, "/path/:id", Mapper::path("id"), counter)
            .session(host, "/peer", Mapper::peer(), counter)
            .session(host, "/both", both(), counter)
            .session(host, "/by", Mapper::by(|request| Some(request.path().to_vec())), counter)
    });
    let count = |target, host| seen(world.ask_from(target, None, host)).1;
    for (target, host, expected) in [
        ("/query?id=a", 1, "1"),
        ("/query?x=y&id=%61", 2, "2"),
        ("/query?id=b", 1, "1"),
        ("/path/a", 1, "1"),
        ("/path/%61", 2, "2"),
        ("/peer", 1, "1"),
        ("/peer?id=a", 1, "2"),
        ("/peer", 2, "1"),
        ("/both?id=a", 1, "1"),
        ("/both?id=a", 2, "1"),
        ("/both?id=a", 1, "2"),
        ("/by", 1, "1"),
        ("/by", 2, "2"),
    ] {
        assert_eq!(count(target, host), expected, "{target} from {host}");
    }
    let long = format!("/query?id={}", "a".repeat(KEY_BYTES_MAX + 1));
    for target in ["/query", "/query?id", "/path/%6", "/both", &long] {
        let (status, _, cookie) = world.visit(target, None);
        assert_eq!(
            (status, cookie),
            (if target == "/query?id" { 200 } else { 400 }, None),
            "{target}"
        );
    }
}

#[test]
fn what_is_static_is_no_step_of_a_session() {
    let world = World::new(|routes, host| {
        let style = async |_: Request| page("style");
        let route = host
            .route("/*path", Mapper::peer(), counter)
            .beside(|request| request.path().ends_with(b".css"), style);
        routes.any("/*path", route)
    });
    let texts = ["/", "/a.css", "/"].map(|target| world.visit(target, None).1);
    assert_eq!(texts, ["1", "style", "2"]);
    assert_eq!(world.host.sessions()[0].hits, 2);
}

#[test]
fn an_answer_of_a_session_is_never_kept_for_others() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::peer(), async |mut session: Session| {
            session.next().await?.reply(page("secret").repeatable());
            Ok(())
        })
    });
    let reply = flow::task::block_on(world.ask("/", None)).unwrap();
    assert!(!reply.response.is_repeatable());
}

/// Reads a streamed answer as a connection does: the pieces, and whether it ended well.
fn read(spawner: &Spawner, reply: Reply, pieces_max: usize) -> TaskHandle<(Vec<u8>, bool)> {
    let Next::Produce(produce) = reply.next else { panic!("it is streamed") };
    let (writer, receiver) = ContentWriter::channel();
    let mut producing = Some(produce(writer));
    spawner.spawn_joinable("reader", async move {
        let (mut bytes, mut pieces) = (Vec::new(), 0);
        let is_whole = poll_fn(|cx| {
            loop {
                let Some(future) = &mut producing else { return Poll::Ready(false) };
                let is_done = future.as_mut().poll(cx).is_ready();
                if receiver.is_abandoned() {
                    return Poll::Ready(false);
                }
                match receiver.take() {
                    Some(data) => bytes.extend_from_slice(data.as_bytes()),
                    None if is_done => return Poll::Ready(true),
                    None => return Poll::Pending,
                }
                pieces += 1;
                if pieces == pieces_max {
                    // The visitor goes away.
                    producing = None;
                }
            }
        })
        .await;
        (bytes, is_whole)
    })
}

#[test]
fn content_is_written_as_it_is_read() {
    let written = Rc::new(Cell::new(0));
    let count = written.clone();
    let world = World::new(|routes, host| {
        routes.session(host, "/:how", Mapper::path("how"), move |mut session: Session| {
            let count = count.clone();
            async move {
                let hit = session.next().await?;
                let finishes = hit.parameter_text("how").as_deref() != Some("cut");
                let mut writer = hit.stream(page(""));
                for piece in ["one ", "", "two ", "three"] {
                    if writer.write(piece).await.is_err() {
                        return Ok(());
                    }
                    count.set(count.get() + 1);
                }
                if finishes {
                    writer.finish();
                }
                Ok(())
            }
        })
    });
    for (target, pieces_max, expected, writes) in [
        ("/whole", 99, ("one two three", true), 4),
        ("/cut", 99, ("one two three", false), 4),
        ("/gone", 1, ("one ", false), 0),
    ] {
        written.set(0);
        let reply = flow::task::block_on(world.ask(target, None)).unwrap();
        assert_eq!(reply.response.content().length(), None);
        let reading = read(&world.executor.spawner(), reply, pieces_max);
        world.run();
        let (bytes, is_whole) = flow::task::block_on(reading).unwrap();
        assert_eq!((core::str::from_utf8(&bytes).unwrap(), is_whole), expected, "{target}");
        assert_eq!((written.get(), world.host.len()), (writes, 0), "{target}");
    }
}

#[test]
fn a_session_learns_that_its_visitor_has_gone() {
    let seen = Rc::new(Cell::new(None));
    let told = seen.clone();
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::cookie(), move |mut session: Session| {
            let told = told.clone();
            async move {
                let hit = session.next().await?;
                session.timers().clone().sleep(MINUTE).await;
                told.set(Some(hit.is_gone()));
                Ok(())
            }
        })
    });
    let pending = world.ask("/", None);
    world.executor.spawner().cancel(pending.id());
    world.pass(MINUTE);
    assert_eq!(seen.get(), Some(true));
}

#[test]
fn a_number_is_in_its_range_and_any_can_be() {
    let executor = Executor::new(|body| {
        body();
        Ok::<(), String>(())
    });
    let state = Cell::new(1_u64);
    let random = move |bytes: &mut [u8]| {
        for byte in bytes {
            // Knuth's multiplier.
            state.set(state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            *byte = (state.get() >> 56) as u8;
        }
    };
    let host = SessionHost::new(&executor.spawner(), &Timers::new(), limits(), random);
    let mut counts = [0; 6];
    for _ in 0..6000 {
        counts[host.random(1..=6) as usize - 1] += 1;
    }
    assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    assert_eq!(host.random(7..=7), 7);
    assert!(host.random(0..=u64::MAX) != host.random(0..=u64::MAX));
    let _: Box<dyn core::error::Error> = Box::new(Ended::Idle);
}

#[test]
fn a_nested_session_has_its_cookie_sent_where_it_is() {
    let path_of = |prefixes: &[&'static str], pattern, target: &str| {
        let world = World::new(|routes, host| {
            let inner = routes.session(host, pattern, Mapper::cookie(), counter);
            prefixes.iter().fold(inner, |inner, prefix| Routes::new().nest(prefix, inner))
        });
        let reply = flow::task::block_on(world.ask(target, None)).unwrap();
        let cookie = String::from_utf8_lossy(reply.response.header("set-cookie").unwrap());
        cookie.split("; Path=").nth(1).unwrap().split(';').next().unwrap().to_string()
    };
    assert_eq!(path_of(&[], "/guess/:n", "/guess/1"), "/guess");
    assert_eq!(path_of(&["/b", "/a"], "/guess/:n", "/a/b/guess/1"), "/a/b/guess");
    assert_eq!(path_of(&["/a"], "/", "/a"), "/a");
    assert_eq!(path_of(&["/:user", "/a"], "/guess", "/a/me/guess"), "/a");
}

#[test]
fn a_session_streams_events_with_comments_between() {
    let world = World::new(|routes, host| {
        routes.session(host, "/", Mapper::cookie(), async |mut session: Session| {
            let keep_alive = crate::event_stream::KeepAlive::new(session.timers());
            let mut events = session.next().await?.events(keep_alive);
            session.timers().sleep(Duration::from_secs(20)).await;
            let _ = events.send("late").await;
            events.finish();
            Ok(())
        })
    });
    let reply = flow::task::block_on(world.ask("/", None)).unwrap();
    assert_eq!(reply.response.header("cache-control"), Some(&b"no-store"[..]));
    let Next::Produce(produce) = reply.next else { panic!("it is streamed") };
    let seen = Rc::new(RefCell::new(String::new()));
    let note = seen.clone();
    world.executor.spawner().spawn("connection", async move {
        let mut pieces = crate::writer::Pieces::new(produce);
        while let crate::writer::Piece::Data(data) = poll_fn(|cx| pieces.poll_next(cx)).await {
            note.borrow_mut().push_str(core::str::from_utf8(data.as_bytes()).unwrap());
        }
        note.borrow_mut().push_str("end");
    });
    world.run();
    for _ in 0..20 {
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(*seen.borrow(), ":\n\ndata: late\n\nend");
}
