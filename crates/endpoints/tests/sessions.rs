//! Sessions behind HTTP: requests that wait, bodies and answers that cross from one task to another, piece by piece
//! through small buffers, and visitors that go away.

use endpoints::http::{Server, ServerConfig};
use flow::memory::MemoryNetwork;
use flow::task::{Executor, TaskHandle};
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use web::session::{Ended, Limits, Mapper, Session, SessionHost};
use web::{Response, Routes};

/// Longer than the body's queue and every buffer.
const LONG: usize = 300_000;

struct World {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    host: SessionHost,
    server: Server,
}

/// What the sessions tell the test.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    fn say(&self, what: String) {
        self.0.borrow_mut().push(what);
    }
}

/// A wizard of three steps: a name by a form, a long upload, and a summary that is streamed.
async fn wizard(mut session: Session, notes: Notes) -> Result<(), Ended> {
    let mut hit = session.next().await?;
    let form = hit.form(&web::forms::Limits::default()).await;
    let name = form.ok().and_then(|form| form.get("name").map(str::to_owned)).unwrap_or_default();
    hit.reply(Response::ok("text/plain", format!("hello {name}")));
    let mut hit = session.next().await?;
    let (mut length, mut pieces) = (0, 0);
    loop {
        match hit.body().next().await {
            Ok(Some(bytes)) => (length, pieces) = (length + bytes.len(), pieces + 1),
            Ok(None) => break,
            Err(error) => {
                notes.say(format!("upload: {error}"));
                return Ok(());
            }
        }
    }
    assert!(pieces > 1, "it is longer than what waits of it");
    hit.reply(Response::ok("text/plain", format!("{length} bytes")));
    let mut writer = session.next().await?.stream(Response::ok("text/plain", ""));
    for line in 0..LONG / 10 {
        if let Err(gone) = writer.write(format!("{line:9}\n").into_bytes()).await {
            notes.say(format!("summary: {gone} after {line} lines"));
            return Ok(());
        }
    }
    writer.finish();
    Ok(())
}

impl World {
    fn new(notes: &Notes) -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let (timers, network) = (Timers::new(), MemoryNetwork::new(700, 64));
        let count = Cell::new(0);
        let host =
            SessionHost::new(&executor.spawner(), &timers, Limits::default(), move |bytes| {
                count.set(count.get() + 1);
                bytes.fill(count.get());
            });
        let notes = notes.clone();
        let routes = Routes::new().session(&host, "/wizard", Mapper::cookie(), move |session| {
            wizard(session, notes.clone())
        });
        let server = Server::new(ServerConfig::default(), &executor.spawner(), &timers, routes);
        let listener = network.listen(&target()).unwrap();
        executor.spawner().spawn("listener", server.clone().serve(listener));
        Self { executor, timers, network, host, server }
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    /// A visitor on a connection of its own, who goes away after so many bytes of the answer.
    fn ask(&self, request: String, bytes_max: usize) -> TaskHandle<Vec<u8>> {
        let network = self.network.clone();
        let visit = self.executor.spawner().spawn_joinable("visitor", async move {
            let mut flow = network.connect(&target()).await.unwrap();
            flow.write_all(request.as_bytes()).await.unwrap();
            let mut seen = Vec::new();
            while seen.len() < bytes_max {
                let take = |bytes: &mut [u8]| {
                    seen.extend_from_slice(bytes);
                    (bytes.len(), bytes.len())
                };
                if !matches!(flow.read_with(take).await, Ok(1..)) {
                    break;
                }
            }
            seen
        });
        self.run();
        visit
    }

    fn visit(&self, request: String) -> String {
        String::from_utf8(flow::task::block_on(self.ask(request, usize::MAX)).unwrap()).unwrap()
    }
}

fn target() -> Target {
    "memory:http".parse().unwrap()
}

fn request(method: &str, cookie: &str, fields: &str, body: &str) -> String {
    format!(
        "{method} /wizard HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// The cookie that an answer sets.
fn cookie(answer: &str) -> String {
    let (_, set) = answer.split_once("Set-Cookie: ").expect("a cookie");
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn forms_uploads_and_long_answers_pass_between_visitor_and_session() {
    let world = World::new(&Notes::default());
    let first = world.visit(request("POST", "", FORM, "name=Ada+L&x=y"));
    assert!(first.starts_with("HTTP/1.1 200 ") && first.ends_with("hello Ada L"), "{first}");
    let cookie = cookie(&first);
    let second = world.visit(request("PUT", &cookie, "", &"u".repeat(LONG)));
    assert!(second.ends_with("\r\n\r\n300000 bytes") && !second.contains("Set-Cookie"), "{second}");
    let third = world.visit(request("GET", &cookie, "", ""));
    assert!(third.contains("Transfer-Encoding: chunked") && third.ends_with("\r\n0\r\n\r\n"));
    assert!(third.contains("    29999\n"));
    assert_eq!((world.host.len(), world.server.connections()), (0, 0));
}

#[test]
fn a_visitor_who_goes_away_in_an_upload_is_noticed() {
    let notes = Notes::default();
    let world = World::new(&notes);
    let cookie = cookie(&world.visit(request("POST", "", FORM, "name=x")));
    let whole = request("PUT", &cookie, "", &"u".repeat(LONG));
    world.ask(whole[..LONG / 2].to_owned(), 0);
    assert_eq!(*notes.0.borrow(), ["upload: the body did not arrive whole"]);
    assert_eq!((world.host.len(), world.server.connections()), (0, 0));
}

#[test]
fn a_visitor_who_goes_away_in_an_answer_is_noticed() {
    let notes = Notes::default();
    let world = World::new(&notes);
    let cookie = cookie(&world.visit(request("POST", "", FORM, "name=x")));
    world.visit(request("PUT", &cookie, "", &"u".repeat(LONG)));
    world.ask(request("GET", &cookie, "", ""), 5000);
    let notes = notes.0.borrow();
    assert!(notes.len() == 1 && notes[0].starts_with("summary: the visitor has gone"), "{notes:?}");
    assert_eq!((world.host.len(), world.server.connections()), (0, 0));
}

#[test]
fn a_session_that_waits_holds_no_connection() {
    let world = World::new(&Notes::default());
    let cookie = cookie(&world.visit(request("POST", "", FORM, "name=x")));
    assert_eq!((world.host.len(), world.server.connections()), (1, 0));
    world.timers.advance(Duration::from_secs(29 * 60));
    world.run();
    let answer = world.visit(request("PUT", &cookie, "", &"u".repeat(LONG)));
    assert!(answer.ends_with("300000 bytes"), "{answer}");
}
