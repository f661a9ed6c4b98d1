//! Typed clients in one vat: services under tokens, which can be taken back; promises; and that a system's entrances for
//! a connection are those of its vat.

mod peer;

use capnp::capability::{
    Client, DispatchCallResult, DynClientHook, FromClientHook, FromServer, Params, Promise,
    Request, Results, Server,
};
use capnp::private::capability::ClientHook;
use capnp::{Error, any_pointer, text};
use peer::NOW;
use rpc::persistent_capnp::persistent;
use rpc::{Exception, Grants, Limits, Restorer, System};
use std::cell::Cell;
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// An interface of ours.
const INTERFACE: u64 = 0xa5a5;

/// Says its name, of interface [`INTERFACE`]; of another, that it has been reached.
struct Named(&'static str);

#[derive(Clone)]
struct Dispatch(Rc<Named>);

impl Deref for Dispatch {
    type Target = Named;

    fn deref(&self) -> &Named {
        &self.0
    }
}

impl Server for Dispatch {
    fn dispatch_call(
        self,
        interface: u64,
        _: u16,
        _: Params<any_pointer::Owned>,
        mut results: Results<any_pointer::Owned>,
    ) -> DispatchCallResult {
        let name = if interface == INTERFACE { self.0.0 } else { "of another interface" };
        let done = results.get().set_as(name);
        let pending = Promise::from_future(std::future::pending());
        let promise = if name == "never" { pending } else { Promise::from_future(async { done }) };
        DispatchCallResult::new(promise, false)
    }

    fn as_ptr(&self) -> usize {
        Rc::as_ptr(&self.0) as usize
    }
}

#[derive(Clone)]
struct NamedClient(Client);

impl FromClientHook for NamedClient {
    fn new(hook: Box<DynClientHook>) -> Self {
        Self(Client::new(hook))
    }

    fn into_client_hook(self) -> Box<DynClientHook> {
        self.0.hook
    }

    fn as_client_hook(&self) -> &DynClientHook {
        &*self.0.hook
    }
}

impl FromServer<Named> for NamedClient {
    type Dispatch = Dispatch;

    fn from_server(server: Rc<Named>) -> Dispatch {
        Dispatch(server)
    }
}

/// Answers each call by one of another.
struct Passing(NamedClient);

#[derive(Clone)]
struct Passes(Rc<Passing>);

impl Deref for Passes {
    type Target = Passing;

    fn deref(&self) -> &Passing {
        &self.0
    }
}

impl Server for Passes {
    fn dispatch_call(
        self,
        interface: u64,
        method: u16,
        _: Params<any_pointer::Owned>,
        results: Results<any_pointer::Owned>,
    ) -> DispatchCallResult {
        let request: Request<any_pointer::Owned, any_pointer::Owned> =
            self.0.0.0.new_call(interface, method, None);
        DispatchCallResult::new(results.hook.tail_call(request.hook), false)
    }

    fn as_ptr(&self) -> usize {
        Rc::as_ptr(&self.0) as usize
    }
}

impl FromServer<Passing> for NamedClient {
    type Dispatch = Passes;

    fn from_server(server: Rc<Passing>) -> Passes {
        Passes(server)
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a future ends, if it does without anything else happening.
fn ended<T>(systems: &[&System], future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return Some(value);
        }
        systems.iter().for_each(|system| system.poll_run(&mut cx));
    }
    None
}

/// What a call answers, or why it fails; nothing if it is not answered.
fn asked(systems: &[&System], hook: &dyn ClientHook) -> Option<Result<String, String>> {
    let sent = hook.new_call(INTERFACE, 0, None).send();
    let answer = ended(systems, sent.promise)?;
    let text = answer.and_then(|response| {
        let text: text::Reader<'_> = response.get()?.get_as()?;
        Ok(text.to_string()?)
    });
    Some(text.map_err(|error| error.extra))
}

fn says(name: &str) -> Option<Result<String, String>> {
    Some(Ok(name.to_owned()))
}

fn fails(system: &System, hook: &dyn ClientHook, reason: &str) {
    let answer = asked(&[system], hook).expect("an answer").expect_err("a failure");
    assert!(answer.contains(reason), "{answer}");
}

/// The reference that a service says it has.
fn saved(system: &System, hook: Box<DynClientHook>) -> Result<String, Error> {
    let sent = persistent::Client::new(hook).save_request().send();
    let response = ended(&[system], sent.promise).expect("an answer")?;
    let text: text::Reader<'_> = response.get()?.get_sturdy_ref().get_as()?;
    Ok(text.to_string()?)
}

fn referenced(text: &'static str) -> impl Fn() -> Result<String, Error> + 'static {
    move || Ok(text.to_owned())
}

#[test]
fn a_grant_is_taken_back_alone_and_replaced_by_the_next() {
    let system = System::new(Limits::default());
    let here = [&system];
    let store: NamedClient = system.client(Named("store"));
    let grants = Grants::new(&system);
    grants.insert(b"one", store.as_client_hook(), referenced("ref one"));
    grants.insert(b"two", store.as_client_hook(), referenced("ref two"));
    assert!(grants.get(b"").is_none() && grants.get(b"on").is_none());
    let (one, two) = (grants.get(b"one").unwrap(), grants.get(b"two").unwrap());
    assert_eq!([asked(&here, &*one), asked(&here, &*two)], [says("store"), says("store")]);
    assert_eq!(saved(&system, one.add_ref()).unwrap(), "ref one");
    assert_eq!(saved(&system, two.add_ref()).unwrap(), "ref two");
    assert!(!grants.revoke(b"three"));
    assert_eq!(asked(&here, &*one), says("store"));
    assert!(grants.revoke(b"one") && !grants.revoke(b"one"));
    assert!(grants.get(b"one").is_none());
    fails(&system, &*one, "this capability was revoked");
    assert_eq!(
        [asked(&here, &*two), asked(&here, store.as_client_hook())],
        [says("store"), says("store")]
    );

    let other: NamedClient = system.client(Named("other"));
    grants.insert(b"two", other.as_client_hook(), || Err(Error::failed("not now".to_owned())));
    fails(&system, &*two, "this capability was revoked");
    let two = grants.get(b"two").unwrap();
    assert_eq!(asked(&here, &*two), says("other"));
    assert!(saved(&system, two).unwrap_err().extra.contains("not now"));

    // What lives here is called at once, not by a call of the grant's.
    let never: NamedClient = system.client(Named("never"));
    grants.insert(b"never", never.as_client_hook(), referenced("ref"));
    let waiting = grants.get(b"never").unwrap().new_call(INTERFACE, 0, None).send();
    system.poll_run(&mut Context::from_waker(Waker::noop()));
    assert_eq!(system.live().1, 1);
    drop(waiting);

    let beside = grants.persistent(store.as_client_hook(), referenced("ref beside"));
    assert_eq!(asked(&here, &*beside), says("store"));
    assert_eq!(saved(&system, beside).unwrap(), "ref beside");
}

struct Loader(NamedClient);

impl Restorer for Loader {
    fn restore(&self, token: &[u8]) -> Promise<Box<DynClientHook>, Error> {
        match token {
            b"late" => Promise::ok(self.0.as_client_hook().add_ref()),
            _ => Promise::err(Error::failed("nor here".to_owned())),
        }
    }
}

#[test]
fn what_the_table_lacks_the_loader_may_have() {
    let system = System::new(Limits::default());
    assert!(system.restore_here(b"one").is_none(), "no services have names here");
    let [store, late] = ["store", "late"].map(|name| system.client::<NamedClient, _>(Named(name)));
    let grants = Grants::new(&system);
    grants.insert(b"one", store.as_client_hook(), referenced("ref"));
    system.set_restorer(grants.clone());
    let restored = |token: &[u8]| ended(&[&system], system.restore_here(token).unwrap()).unwrap();
    let reason = |token: &[u8]| restored(token).err().expect("a failure").extra;
    assert_eq!(asked(&[&system], &*restored(b"one").unwrap()), says("store"));
    assert!(reason(b"late").contains("no service has this token"));
    grants.set_loader(Loader(late));
    assert_eq!(asked(&[&system], &*restored(b"late").unwrap()), says("late"));
    assert_eq!(asked(&[&system], &*restored(b"one").unwrap()), says("store"));
    assert!(reason(b"lost").contains("nor here"));
}

/// A service of another vat keeps its numbers there, which are others here.
#[test]
fn a_grant_of_another_vats_service_leads_there() {
    let [here, there] = [(); 2].map(|()| System::new(Limits::default()));
    let own: NamedClient = here.client(Named("own"));
    let far: NamedClient = there.client(Named("far"));
    let grants = Grants::new(&here);
    grants.insert(b"far", far.as_client_hook(), referenced("ref"));
    grants.insert(b"own", own.as_client_hook(), referenced("ref"));
    for name in ["far", "own"] {
        let hook = grants.get(name.as_bytes()).unwrap();
        assert_eq!(asked(&[&here, &there], &*hook), says(name));
    }
}

#[test]
fn a_promised_client_stands_for_what_its_resolver_says() {
    let system = System::new(Limits::default());
    let here = [&system];
    let store: NamedClient = system.client(Named("store"));
    let hook = store.as_client_hook();
    assert!(hook.get_resolved().is_none() && hook.when_more_resolved().is_none());
    assert!(matches!(ended(&here, hook.when_resolved()), Some(Ok(()))));

    let (client, resolver) = system.promise::<NamedClient>();
    let hook = client.as_client_hook();
    let more = hook.when_more_resolved().expect("a promise");
    let settled = hook.when_resolved();
    assert!(hook.get_resolved().is_none());
    assert!(ended(&here, hook.when_resolved()).is_none());
    assert_eq!(asked(&here, hook), None, "calls wait");
    let waiting = hook.new_call(INTERFACE, 0, None).send();
    resolver.resolve(&store);
    assert!(matches!(ended(&here, settled), Some(Ok(()))));
    let resolved = ended(&here, more).unwrap().unwrap();
    assert_eq!(resolved.get_ptr(), store.as_client_hook().get_ptr());
    assert_eq!(hook.get_resolved().unwrap().get_ptr(), resolved.get_ptr());
    let again = hook.when_more_resolved().expect("it was one");
    assert_eq!(ended(&here, again).unwrap().unwrap().get_ptr(), resolved.get_ptr());
    assert!(ended(&here, waiting.promise).unwrap().is_ok());
    assert_eq!(asked(&here, hook), says("store"));

    // By way of another promise, which is a step of its own.
    let [(client, resolver), (next, last)] = [(); 2].map(|()| system.promise::<NamedClient>());
    let more = client.as_client_hook().when_more_resolved().expect("a promise");
    let settled = client.as_client_hook().when_resolved();
    resolver.resolve(&next);
    let step = ended(&here, more).expect("one step").unwrap();
    assert_eq!(step.get_ptr(), next.as_client_hook().get_ptr());
    assert!(ended(&here, client.as_client_hook().when_resolved()).is_none());
    last.resolve(&store);
    assert!(matches!(ended(&here, settled), Some(Ok(()))));

    let (client, resolver) = system.promise::<NamedClient>();
    resolver.reject(Exception::overloaded("too many"));
    fails(&system, client.as_client_hook(), "too many");
    let settled = ended(&here, client.as_client_hook().when_resolved()).unwrap();
    assert!(settled.unwrap_err().extra.contains("too many"));
    let (client, resolver) = system.promise::<NamedClient>();
    drop(resolver);
    fails(&system, client.as_client_hook(), "the promise was given up");
}

/// A system without handles is gone, and whoever ran its handlers ends.
#[test]
fn a_system_that_is_dropped_ends_its_runner() {
    let system = System::new(Limits::default());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut running = pin!(system.run());
    assert!(running.as_mut().poll(&mut cx).is_pending());
    let before = woken.0.load(Ordering::Relaxed);
    drop(system);
    assert!(woken.0.load(Ordering::Relaxed) > before);
    assert!(running.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_systems_connection_is_its_vats() {
    let system = System::new(Limits::default());
    let never: NamedClient = system.client(Named("never"));
    let conn = system.connect(Some(never.into_client_hook()));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let idle = system.held_bytes(conn);
    let call = |question| {
        peer::build(|message| {
            let mut call = message.init_call();
            call.set_question_id(question);
            call.set_interface_id(INTERFACE);
            call.init_target().init_promised_answer();
        })
    };
    let bytes = [peer::bootstrap(0), call(1)].concat();
    assert_eq!(system.handle_input(NOW, conn, &bytes), bytes.len());
    assert!(system.held_bytes(conn) > idle + call(1).len());
    let sizes = system.table_sizes(conn);
    assert_eq!((sizes.answers, sizes.exports), (2, 1));
    assert_eq!(system.all_table_sizes(), sizes);
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(system.has_output(conn, &mut nobody));
    let deadline = system.next_deadline(NOW, conn).unwrap();
    assert_eq!(deadline, Duration::from_secs(60));
    system.peer_took(deadline, conn, 1_000);
    assert_eq!(system.next_deadline(NOW, conn), Some(deadline + Duration::from_secs(2)));
    let shown = Cell::new(0);
    let took = system.transmit_with(NOW, conn, |bytes| {
        shown.set(bytes.len());
        bytes.len()
    });
    assert!(took == shown.get() && took > 0);
    assert!(!system.has_output(conn, &mut nobody));

    assert!(system.wants_input(conn) && system.poll_wants_input(conn, &mut nobody));
    system.refuse_calls(conn, true);
    let (third, fourth) = (call(2), call(3));
    let both = [&third[..], &fourth].concat();
    assert_eq!(system.handle_input(NOW, conn, &both), third.len());
    assert!(!system.wants_input(conn) && !system.poll_wants_input(conn, &mut cx));
    assert!(system.needs_input(conn), "its answers are not finished");
    let before = woken.0.load(Ordering::Relaxed);
    system.refuse_calls(conn, false);
    assert!(woken.0.load(Ordering::Relaxed) > before, "it is read again");
    assert!(system.poll_wants_input(conn, &mut cx));
    assert_eq!(system.handle_input(NOW, conn, &fourth), fourth.len());
    system.handle_end(conn);
    assert_eq!(system.held_bytes(conn) / 1_000, idle / 1_000);
    system.forget(conn);
    assert!(!system.needs_input(conn) && !system.wants_input(conn));
}

/// Whoever runs tasks is woken for what is left of them, and not for nothing.
#[test]
fn tasks_run_to_their_end_and_do_not_keep_others_waiting() {
    let system = System::new(Limits::default());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let count = || woken.0.load(Ordering::Relaxed);
    let held = Rc::new(());
    let inside = held.clone();
    system.detach(async move { drop(inside) });
    system.poll_run(&mut cx);
    assert_eq!((Rc::strong_count(&held), count()), (1, 0), "it has ended");
    let (polls, polled) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let counted = polls.clone();
    system.detach(std::future::poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        cx.waker().wake_by_ref();
        if counted.get() < 100_000 { Poll::Pending } else { Poll::Ready(()) }
    }));
    let before = count();
    system.poll_run(&mut cx);
    polled.set(polls.get());
    assert!((1..1_000).contains(&polls.get()), "{} at once", polls.get());
    assert!(count() > before, "there is more to do");
    system.poll_run(&mut cx);
    assert!(polls.get() > polled.get());
}

/// What a task sets off runs behind it, also when it asks for that at once.
#[test]
fn a_task_that_runs_others_is_not_among_them() {
    let system = System::new(Limits::default());
    let conn = system.connect(None);
    let log = Rc::new(std::cell::RefCell::new(Vec::new()));
    let (outer, inner, here) = (log.clone(), log.clone(), system.clone());
    system.detach(async move {
        outer.borrow_mut().push("begins");
        here.detach(async move { inner.borrow_mut().push("another") });
        here.run_now(conn);
        outer.borrow_mut().push("ends");
    });
    system.poll_run(&mut Context::from_waker(Waker::noop()));
    assert_eq!(*log.borrow(), ["begins", "ends", "another"]);
}

/// A panic goes to who runs tasks, where nothing catches it; those behind have their turn the next time.
#[test]
fn a_panic_leaves_other_tasks_to_the_next_run() {
    let system = System::new(Limits::default());
    let mut cx = Context::from_waker(Waker::noop());
    let ran = Rc::new(Cell::new(false));
    let runs = ran.clone();
    system.detach(async { panic!("on purpose") });
    system.detach(async move { runs.set(true) });
    let run = std::panic::AssertUnwindSafe(|| system.poll_run(&mut cx));
    assert!(std::panic::catch_unwind(run).is_err());
    assert!(!ran.get());
    system.poll_run(&mut Context::from_waker(Waker::noop()));
    assert!(ran.get());
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("on purpose, in a destructor");
    }
}

#[test]
fn a_panic_in_a_destructor_is_caught_as_one_in_a_handler() {
    let caught = Rc::new(Cell::new(0));
    let catches = caught.clone();
    let system = System::catching(Limits::default(), move |body| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|_| {
            catches.set(catches.get() + 1);
            "a panic".to_owned()
        })
    });
    let bad = PanicsOnDrop;
    system.detach(std::future::poll_fn(move |_| {
        let _ = &bad;
        Poll::Ready(())
    }));
    system.poll_run(&mut Context::from_waker(Waker::noop()));
    assert_eq!(caught.get(), 1, "of the task that ended");
}

/// A client may be dropped while the vat is in use: its reference goes a little later.
#[test]
fn a_client_that_is_dropped_amid_something_is_let_go_afterwards() {
    let system = System::new(Limits::default());
    let [offered, other] =
        ["offered", "other"].map(|name| system.client::<NamedClient, _>(Named(name)));
    let conn = system.connect(Some(offered.into_client_hook()));
    let bootstrap = peer::bootstrap(0);
    assert_eq!(system.handle_input(NOW, conn, &bootstrap), bootstrap.len());
    assert_eq!(system.live().0, 2);
    let count = system.transmit_with(NOW, conn, |bytes| {
        drop(other);
        bytes.len()
    });
    assert!(count > 0);
    system.poll_run(&mut Context::from_waker(Waker::noop()));
    assert_eq!(system.live().0, 1);
}

/// By one of the peer's own the results stay there; by one of another vat's they are brought.
#[test]
fn a_handler_answers_by_another_call() {
    let [here, there] = [(); 2].map(|()| System::new(Limits::default()));
    let systems = [&here, &there];
    for target in [here.client::<NamedClient, _>(Named("next")), there.client(Named("next"))] {
        let passing: NamedClient = here.client(Passing(target));
        assert_eq!(asked(&systems, passing.as_client_hook()), says("next"));
    }

    let (offered, resolver) = here.promise::<NamedClient>();
    let conn = here.connect(Some(offered.into_client_hook()));
    let passing: NamedClient = here.client(Passing(here.bootstrap(conn)));
    resolver.resolve(&passing);
    let ask = [peer::bootstrap(0), peer::call_on_answer(1, 0, &[])].concat();
    assert_eq!(here.handle_input(NOW, conn, &ask), ask.len());
    let mut buffer = vec![0; 4096];
    let count = here.poll_transmit(NOW, conn, &mut buffer);
    let said = peer::said(&buffer[..count]);
    // Our question for the bootstrap, the answer to theirs, the call, and where its results are.
    assert!(
        matches!(
            said[..],
            [
                peer::Said::Other,
                peer::Said::Results { question: 0, .. },
                peer::Said::Call { question: 1, .. },
                peer::Said::Other
            ]
        ),
        "{said:?}"
    );
}

/// Calls of a peer that does not read are not begun; they are once it has, and let go with its connection.
#[test]
fn calls_of_a_peer_that_has_to_read_wait_for_that() {
    for reads in [true, false] {
        let system = System::new(Limits { unsent_bytes_high: 500, ..Limits::default() });
        let server = Rc::new(Named("server"));
        let offered: NamedClient = system.client_of(server.clone());
        let conn = system.connect(Some(offered.into_client_hook()));
        let calls = (1..=20).map(|question| peer::call_on_answer(question, 0, &[]));
        let ask: Vec<u8> = std::iter::once(peer::bootstrap(0)).chain(calls).flatten().collect();
        assert_eq!(system.handle_input(NOW, conn, &ask), ask.len());
        let mut answers = Vec::new();
        while reads && answers.len() < 10 {
            let mut buffer = vec![0; 4096];
            let count = system.poll_transmit(NOW, conn, &mut buffer);
            answers.push(peer::said(&buffer[..count]).len());
            system.poll_run(&mut Context::from_waker(Waker::noop()));
        }
        if reads {
            assert!((2..15).contains(&answers[0]) && answers[1] > 1, "{answers:?}");
            assert_eq!(answers.iter().sum::<usize>(), 21, "{answers:?}");
        }
        system.handle_end(conn);
        system.poll_run(&mut Context::from_waker(Waker::noop()));
        assert_eq!((Rc::strong_count(&server), system.live()), (1, (0, 0)));
    }
}
