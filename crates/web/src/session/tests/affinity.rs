//! A group of appliances that pass requests to each other, in one executor.

use super::*;
use alloc::vec;
use flow::registry::Label;

const KEY: GroupKey = *b"one for a group.";

/// What members can reach, by name.
type Members = Rc<RefCell<Vec<(Label, Rc<Routes>)>>>;

struct Group {
    world: World,
    members: Members,
}

/// A member named and keyed so, that asks the others.
fn member(world: &World, members: &Members, name: &str, key: GroupKey, lost: OwnerLost) {
    let others = members.clone();
    let pass = move |owner: Label, request: Request| -> Passing {
        let others = others.clone();
        Box::pin(async move {
            let routes = others.borrow().iter().find(|(name, _)| *name == owner).cloned();
            let Some((_, routes)) = routes else {
                let response = Response::plain(crate::Status::BAD_GATEWAY);
                return Err(NotPassed { response, untouched: Some(request) });
            };
            match routes.answer(request) {
                Answer::Now(reply) => Ok(reply),
                Answer::Later(later) => Ok(later.await),
            }
        })
    };
    let own = label(name);
    let by_name = members.clone();
    let formula = move |_: &Request, key: &[u8]| {
        let names: Vec<_> = by_name.borrow().iter().map(|(name, _)| name.clone()).collect();
        rendezvous(&KEY, key, &names).cloned()
    };
    let affinity = Affinity::new(own.clone(), key, pass).when_lost(lost).with_formula(formula);
    let host = world.host.with_affinity(affinity);
    let says_who = move |session: Session| named_counter(session, own.clone());
    let routes = Routes::new()
        .session(&host, "/count", Mapper::cookie(), says_who.clone())
        .session(&host, "/key/:id", Mapper::path("id"), says_who);
    members.borrow_mut().push((label(name), Rc::new(routes)));
}

/// Says where it is and how often it was visited.
async fn named_counter(mut session: Session, name: Label) -> Result<(), Ended> {
    for count in 1.. {
        session.next().await?.reply(page(&format!("{name} {count}")));
    }
    Ok(())
}

fn label(name: &str) -> Label {
    name.parse().unwrap()
}

impl Group {
    fn new(lost: OwnerLost) -> Self {
        let world =
            World::with_limits(Limits { sessions_max: 100, ..limits() }, |routes, _| routes);
        let members = Members::default();
        for name in ["a", "b", "c"] {
            member(&world, &members, name, KEY, lost);
        }
        Self { world, members }
    }

    /// A visitor asks the member of that name.
    fn visit(
        &self,
        name: &str,
        target: &str,
        cookie: Option<&str>,
    ) -> (u16, String, Option<String>) {
        let fields: Vec<_> = cookie.map(|cookie| ("Cookie", cookie)).into_iter().collect();
        let head = parsed("GET", target, &fields);
        let request = Request::new(head, Body::empty(), Address::Memory(1));
        let (_, routes) =
            self.members.borrow().iter().find(|(own, _)| own.as_str() == name).cloned().unwrap();
        let answering = routes.answer(request).into_future();
        let pending = self.world.executor.spawner().spawn_joinable("connection", answering);
        self.world.run();
        seen(pending)
    }

    fn remove(&self, name: &str) -> Rc<Routes> {
        let mut members = self.members.borrow_mut();
        let place = members.iter().position(|(own, _)| own.as_str() == name).unwrap();
        members.remove(place).1
    }
}

#[test]
fn whoever_is_asked_the_owner_answers() {
    let group = Group::new(OwnerLost::Begin);
    let (_, text, cookie) = group.visit("b", "/count", None);
    let cookie = cookie.unwrap();
    assert_eq!(text, "b 1");
    let texts = ["a", "b", "c", "a"].map(|name| group.visit(name, "/count", Some(&cookie)));
    assert!(texts.iter().all(|(status, _, cookie)| (*status, cookie) == (200, &None)));
    assert_eq!(texts.map(|(_, text, _)| text), ["b 2", "b 3", "b 4", "b 5"]);
}

#[test]
fn an_owner_that_is_gone_loses_its_sessions_and_a_new_member_takes_part() {
    let group = Group::new(OwnerLost::Begin);
    let cookie = group.visit("b", "/count", None).2.unwrap();
    let routes = group.remove("b");
    let (_, text, new) = group.visit("a", "/count", Some(&cookie));
    assert_eq!(text, "a 1");
    let new = new.expect("a new session has a new id");
    assert_eq!(group.visit("c", "/count", Some(&new)).1, "a 2");
    // For a while nobody asks for it, then it is found again.
    group.members.borrow_mut().push((label("b"), routes));
    assert_eq!(group.visit("a", "/count", Some(&cookie)).1, "a 1");
    group.world.pass(Duration::from_secs(5));
    assert_eq!(group.visit("a", "/count", Some(&cookie)).1, "b 2");
    member(&group.world, &group.members, "d", KEY, OwnerLost::Begin);
    let cookie = group.visit("d", "/count", None).2.unwrap();
    assert_eq!(group.visit("a", "/count", Some(&cookie)).1, "d 2");
}

#[test]
fn an_owner_that_is_gone_may_be_waited_for() {
    let group = Group::new(OwnerLost::Refuse);
    let cookie = group.visit("b", "/count", None).2.unwrap();
    let routes = group.remove("b");
    assert_eq!(group.visit("a", "/count", Some(&cookie)), (502, "Bad Gateway".into(), None));
    group.members.borrow_mut().push((label("b"), routes));
    assert_eq!(group.visit("a", "/count", Some(&cookie)).1, "b 2");
}

#[test]
fn a_cookie_that_nobody_of_the_group_made_is_no_cookie() {
    let group = Group::new(OwnerLost::Begin);
    member(&group.world, &group.members, "stranger", *b"another group's.", OwnerLost::Begin);
    let cookie = group.visit("a", "/count", None).2.unwrap();
    let mut forged = vec![
        cookie.replace(".a.", ".b."),
        cookie.replace(".a.", ".."),
        cookie.replace(".a.", "."),
        cookie.replace(".a.", ".a.a."),
        cookie[.."session=".len() + 32].into(),
        cookie[..cookie.len() - 1].into(),
        format!("{cookie}0"),
        "session=".into(),
        format!("session=.a.{}", &cookie[cookie.len() - 32..]),
        group.visit("stranger", "/count", None).2.unwrap(),
    ];
    for place in "session=".len()..cookie.len() {
        let mut bytes = cookie.clone().into_bytes();
        bytes[place] ^= 1;
        forged.push(String::from_utf8(bytes).unwrap());
    }
    for forged in forged {
        let (status, text, new) = group.visit("c", "/count", Some(&forged));
        assert_eq!((status, text.as_str()), (200, "c 1"), "{forged}");
        assert!(new.is_some_and(|new| new != forged));
    }
    assert_eq!(group.visit("c", "/count", Some(&cookie)).1, "a 2");
}

#[test]
fn sessions_without_cookies_are_where_the_formula_says() {
    let group = Group::new(OwnerLost::Begin);
    let mut owners = Vec::new();
    for key in 0..30 {
        let target = format!("/key/{key}");
        let texts = ["a", "b", "c"].map(|name| group.visit(name, &target, None).1);
        let owner = texts[0][..1].to_string();
        assert_eq!(texts, [1, 2, 3].map(|count| format!("{owner} {count}")));
        owners.push(owner);
    }
    let share = |name: &str| owners.iter().filter(|owner| *owner == name).count();
    assert!(["a", "b", "c"].iter().all(|name| share(name) > 3), "{owners:?}");
    // Who leaves takes its own keys along, and no others.
    group.remove("b");
    for (key, owner) in owners.iter().enumerate() {
        let text = group.visit("a", &format!("/key/{key}"), None).1;
        assert_eq!(text.starts_with(owner.as_str()), owner != "b", "{key}: {owner}, {text}");
    }
}

#[test]
fn a_renewed_id_has_its_owner_too() {
    let world = World::new(|routes, _| routes);
    let members = Members::default();
    let pass = |_, _| -> Passing { panic!("it is here") };
    let host = world.host.with_affinity(Affinity::new(label("a"), KEY, pass));
    let routes =
        Routes::new().session(&host, "/count", Mapper::cookie(), async |mut session: Session| {
            session.next().await?.reply(page("1"));
            let hit = session.next().await?;
            session.renew_id();
            hit.reply(page("2"));
            session.next().await?.reply(page("3"));
            Ok(())
        });
    members.borrow_mut().push((label("a"), Rc::new(routes)));
    let group = Group { world, members };
    let old = group.visit("a", "/count", None).2.unwrap();
    let new = group.visit("a", "/count", Some(&old)).2.unwrap();
    assert!(new != old && new.contains(".a."));
    assert_eq!(group.visit("a", "/count", Some(&new)).1, "3");
}
