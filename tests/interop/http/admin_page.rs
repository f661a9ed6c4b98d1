//! The admin page in a real browser, as an operator uses it: with a mouse, by keyboard, on a phone, in the dark.

use crate::interop::admin_port::{self, PORT as ADMIN_PORT, TOKEN};
use crate::interop::devtools::Browser;
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    paths,
    programs::{self, CURL},
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, noise},
    lossy_wire::{self, Impairments},
};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const FILE_BYTES: usize = 8 << 20;
/// More than sockets on its way take while its client is slow.
const LONG_FILE_BYTES: usize = 32 << 20;
const LIMIT: Duration = Duration::from_secs(20);
/// Long enough that a page which asks every second would have asked.
const PAUSE: Duration = Duration::from_secs(3);
/// What a client that does not read has room for, as it asks Linux, which doubles it.
const STALL_BUFFER_BYTES: usize = 32 << 10;
const VIEWS: &[&str] = &[
    "glance",
    "tasks",
    "connections",
    "shared_memory_flows",
    "listeners",
    "services",
    "routes",
    "places",
    "ways",
    "databases",
    "database_servers",
    "sessions",
    "cards",
    "disks",
    "memory",
    "timers",
    "panics",
    "config",
    "packets",
    "profile",
    "trace",
    "log",
];

/// Of a guest behind a wire that loses frames: the graphs show what was lost, and when a client's window was zero.
pub(super) fn of_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(&admin_port::config(), &[("site/file", &noise(FILE_BYTES))])?;
    let impairments = Impairments { lost: 3, doubled: 0, reordered: 0, seed: 7 };
    let more = lossy_wire::start(&harness.scratch, impairments)?;
    let setup = Setup { bundle: Some(bundle), offloads: false, more, ..Setup::trial() };
    let guest = harness.boot(&setup)?;
    let result = Page::start(harness, SocketAddr::new(GUEST_ADDRESS.ip(), ADMIN_PORT), "guest")
        .and_then(|mut page| {
            page.log_in()?;
            page.has_all_views()?;
            page.draws_what_the_wire_did()
        });
    Server::Guest(Box::new(guest)).judge(result)
}

/// Of a process on the kernel's sockets, open to this machine: a session's values are looked at and changed, and the rings of a
/// flow through shared memory, whose both ends it has, are drawn.
pub(super) fn of_process(harness: &mut Harness) -> Result {
    let path = harness.scratch.path("http.shm");
    let config = format!(
        "[admin]\nport = {ADMIN_PORT}\n[shared_memory]\nhttp_path = \"{}\"\n",
        path.display()
    );
    let bundle = harness.bundle(&config, &[("site/file", &noise(LONG_FILE_BYTES))])?;
    let child = harness.trial_process(&bundle)?;
    let address = SocketAddr::new(PROCESS_ADDRESS.ip(), ADMIN_PORT);
    let result = Page::start(harness, address, "process").and_then(|mut page| {
        page.browser.open(&page.url.clone())?;
        page.browser.until("document.querySelector('#glance').textContent.includes(', up ')")?;
        page.has_all_views()?;
        // There is no token, and the kernel's connections have no graphs.
        page.browser.until("document.querySelector('#logout').hidden")?;
        page.browser.value("location.hash = 'connections'")?;
        page.browser.until(
            "document.querySelector('#view tbody td') && !document.querySelector('#view tbody a')",
        )?;
        page.changes_a_session()?;
        page.draws_what_the_rings_did(&path)
    });
    Server::Process(Box::new(child)).judge(result)
}

struct Page {
    browser: Browser,
    url: String,
    /// Names the pictures, which are kept for people to look at.
    name: &'static str,
}

impl Page {
    fn start(harness: &Harness, address: SocketAddr, name: &'static str) -> Result<Self> {
        let mut browser = Browser::start(harness)?;
        browser.resize(1200, 900, false)?;
        Ok(Self { browser, url: format!("http://{address}/"), name })
    }

    /// By keyboard: the token is asked for, a wrong one opens nothing, and the right one shows the machine.
    fn log_in(&mut self) -> Result {
        // Whatever view was asked for.
        for view in ["#profile", "#nothing", ""] {
            self.browser.open("about:blank")?;
            self.browser.open(&format!("{}{view}", self.url))?;
            self.browser.until("document.querySelector('#login')?.hidden === false")?;
        }
        self.picture("login")?;
        // Before that nothing is to be had, and nothing is asked for again and again.
        let asked = "performance.getEntriesByType('resource').length";
        let before = self.browser.value(asked)?;
        thread::sleep(PAUSE);
        if self.browser.value(asked)? != before {
            fail!("the page asks for what the token opens while it asks for the token");
        }
        self.browser.until("document.querySelector('#logout').hidden")?;
        for (token, expected) in
            [("a wrong one, and of no use", "this is not the token"), (TOKEN, "")]
        {
            self.browser.until("document.activeElement.id === 'token'")?;
            self.browser.write(token)?;
            self.browser.press("Enter")?;
            self.browser
                .until(&format!("document.querySelector('#said').textContent === '{expected}'"))?;
        }
        self.browser.until("document.querySelector('#glance').textContent.includes(', up ')")?;
        self.browser.until("!document.querySelector('#logout').hidden")?;
        // Of the refusals the browser itself says so.
        for fault in self.browser.take_faults()? {
            contains("a fault before the token was shown", &fault, "401")?;
        }
        Ok(())
    }

    /// Each view, on a desk and on a phone, in the light and in the dark: it has what it shows, no error, and no more width
    /// than the window.
    fn has_all_views(&mut self) -> Result {
        for (width, height, is_phone, scheme) in
            [(1200, 900, false, "light"), (390, 844, true, "dark")]
        {
            self.browser.resize(width, height, is_phone)?;
            self.browser.prefer(scheme)?;
            for view in VIEWS {
                self.browser.value(&format!("location.hash = '{view}'"))?;
                self.browser.until(&format!(
                    "document.querySelector('nav [aria-current]')?.textContent === '{}' \
                     && document.querySelector('#view').childNodes.length",
                    view.replace('_', " ")
                ))?;
                if *view == "log" {
                    self.browser.until("document.querySelector('pre').childNodes.length")?;
                }
                let fault = self
                    .browser
                    .value("document.querySelector('[role=alert]')?.innerText || ''")?;
                if fault != "" {
                    fail!("the view {view} says {fault}");
                }
                self.fits(view, width)?;
                if *view == "config" {
                    self.browser.until(
                        "[...document.querySelectorAll('.scroll')].every((it) => it.scrollWidth <= it.clientWidth)",
                    )?;
                }
                self.picture(&format!("{view}-{scheme}"))?;
            }
        }
        self.browser.resize(1200, 900, false)?;
        self.browser.no_faults()
    }

    /// Only tables are wider than the window, and scroll in themselves.
    fn fits(&mut self, view: &str, width: u32) -> Result {
        // Of a phone `innerWidth` grows with what does not fit.
        let wide = self.browser.value("document.documentElement.scrollWidth")?;
        match wide.as_u64() {
            Some(wide) if wide <= u64::from(width) => Ok(()),
            _ => fail!("the view {view} is {wide} pixels wide in a window of {width}"),
        }
    }

    /// Two downloads: a client that reads slowly, and one that does not read until its graph has shown that its window is zero.
    fn draws_what_the_wire_did(&mut self) -> Result {
        let url = format!("http://{GUEST_ADDRESS}/file");
        let slow = thread::spawn(move || {
            curl(&["--limit-rate", "200k", "--max-time", "25", "-o", "/dev/null", &url])
        });
        // Whatever ends this ends the stall, too.
        let (goes_on, told) = mpsc::channel();
        let stalls = thread::spawn(move || stalls(&told));
        let ids = self.downloads(2)?;
        self.browser.value("location.hash = 'connections'")?;
        self.browser.until("document.querySelector('#view tbody a')")?;
        self.browser.value(&format!("location.hash = 'graph/{}'", ids.join(",")))?;
        // Whenever all that follows has been seen, the stall is in view still.
        let span = "document.querySelector('[aria-label=\"time that is shown\"]')";
        self.browser.until(span)?;
        self.browser.value(&format!("{span}.value = '60', {span}.onchange()"))?;
        // However young the flows are.
        self.browser.until(&format!("{span}.value === '60'"))?;
        let label = |what: &str| {
            format!(
                "[...document.querySelectorAll('canvas')].find((canvas) => / [1-9][0-9]* {what}/.test(canvas.ariaLabel))?.ariaLabel"
            )
        };
        self.browser.until(&label("zero windows"))?;
        drop(goes_on);
        self.browser.until(&label("sent again"))?;
        self.browser.until(&label("duplicate acknowledgements"))?;
        self.picture("graphs")?;
        self.says("zero", "the receiver's window is zero")?;
        self.picture("reason")?;
        self.zooms_by_keyboard()?;
        self.browser.resize(390, 844, true)?;
        self.browser.prefer("dark")?;
        self.fits("graph", 390)?;
        self.picture("graphs-dark")?;
        stalls.join().expect("a client does not panic")?;
        // Its end is its own time's.
        let _ = slow.join();
        self.browser.no_faults()
    }

    /// A click on a graph that has some of `what` says the reason somewhere.
    fn says(&mut self, what: &str, reason: &str) -> Result {
        let place = format!(
            "(() => {{ const canvas = [...document.querySelectorAll('canvas')].find((one) => / [1-9][0-9]* {what}/.test(one.ariaLabel)); \
             canvas.scrollIntoView(); const box = canvas.getBoundingClientRect(); return [box.left, box.top, box.width]; }})()"
        );
        let place = self.browser.value(&place)?;
        let number = |index: usize| place[index].as_f64().unwrap_or(0.0);
        for part in 1..40 {
            self.browser
                .click(number(0) + number(2) * f64::from(part) / 40.0, number(1) + 100.0)?;
            thread::sleep(Duration::from_millis(60));
            let said = self.browser.value("document.querySelector('#view').innerText")?;
            if said.as_str().is_some_and(|said| said.contains(reason)) {
                return Ok(());
            }
        }
        fail!("nowhere a click says that {reason}")
    }

    fn zooms_by_keyboard(&mut self) -> Result {
        self.browser.value("document.querySelector('canvas').focus()")?;
        let seconds = "(() => { const [, number, unit] = / in ([0-9.]+) (µs|ms|s)/.exec(document.querySelector('canvas').ariaLabel) ?? []; \
            return number * { s: 1, ms: 1e-3, 'µs': 1e-6 }[unit]; })()";
        self.browser.press("Escape")?;
        self.browser.until("document.querySelector('.tools button').textContent === 'Pause'")?;
        self.browser.press("ArrowLeft")?;
        self.browser.until("document.querySelector('.tools button').textContent === 'Follow'")?;
        // A graph is painted, and says what it shows, with the next picture of the screen.
        self.browser.value(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))",
        )?;
        let before = self.browser.until(seconds)?.as_f64().unwrap_or(0.0);
        self.browser.press("+")?;
        self.browser.until(&format!("{seconds} < {before} * 0.7"))?;
        self.browser.press("Escape").map(drop)
    }

    /// A download that the process has of itself by shared memory, for a client that reads slowly: the server waits for room.
    fn draws_what_the_rings_did(&mut self, path: &Path) -> Result {
        let target = path.display().to_string().replace('/', "%2F");
        let url = format!("http://{PROCESS_ADDRESS}/_test/relay/shm:{target}/file");
        let mut command = programs::command(&CURL)?;
        command.args(["-s", "--limit-rate", "200k", "-o", "/dev/null", &url]);
        // It is still at it when all has been looked at, and ends then.
        let _slow = Child::start(&command, |_| {})?;
        self.browser.prefer("light")?;
        self.browser.value("location.hash = 'shared_memory_flows'")?;
        self.browser.until("document.querySelectorAll('#view tbody tr').length === 2")?;
        self.picture("shared-memory")?;
        // Both ends, the one that sends first.
        self.browser.value(
            "location.hash = 'graph/' + [...document.querySelectorAll('#view tbody a')] \
             .map((link) => link.hash.slice('#graph/'.length)).sort().join(',')",
        )?;
        self.browser.until(
            "[...document.querySelectorAll('canvas')].find((canvas) => / [1-9][0-9]* times full/.test(canvas.ariaLabel))?.ariaLabel",
        )?;
        // The next picture has more than a moment.
        thread::sleep(PAUSE);
        self.picture("rings")?;
        self.says("times full", "the ring is full: the other side does not read")?;
        self.picture("rings-reason")?;
        self.browser.resize(390, 844, true)?;
        self.browser.prefer("dark")?;
        self.fits("graph", 390)?;
        self.picture("rings-dark")?;
        self.browser.no_faults()
    }

    /// The ids of connections of HTTP's port that have much to send.
    fn downloads(&mut self, count: usize) -> Result<Vec<String>> {
        let expression = format!(
            "fetch('api/v1/connections').then((answer) => answer.json()).then((rows) => {{ \
             const ids = rows.filter((row) => row.local === '{GUEST_ADDRESS}' && row.tx_bytes > 20000).map((row) => row.id); \
             return ids.length >= {count} && ids; }})"
        );
        let deadline = Instant::now() + LIMIT;
        loop {
            let ids = self.browser.value(&expression)?;
            if let Some(ids) = ids.as_array() {
                return Ok(ids.iter().filter_map(|id| id.as_str()).map(String::from).collect());
            }
            if Instant::now() > deadline {
                fail!("{count} downloads do not begin");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A visitor counts; the operator sees the count, and changes it; the visitor sees that.
    fn changes_a_session(&mut self) -> Result {
        let jar = paths::made("pictures")?.join("cookies");
        let _ = std::fs::remove_file(&jar);
        let jar = jar.display().to_string();
        let url = format!("http://{PROCESS_ADDRESS}/samples/counter");
        let visit = || curl(&["--fail", "-L", "-b", &jar, "-c", &jar, &url]);
        visit()?;
        self.browser.value("location.hash = 'sessions'")?;
        self.browser.until("document.querySelector('#view .value input')")?;
        self.picture("sessions")?;
        self.browser.value(
            "(() => { const input = document.querySelector('#view .value input'); input.value = '4711'; \
             input.form.requestSubmit(); })()",
        )?;
        self.browser.until("document.querySelector('#view .value input')?.value === '4711'")?;
        contains("the visitor's page", &visit()?, "4711")?;
        self.browser.no_faults()
    }

    fn picture(&mut self, of: &str) -> Result {
        let file = paths::made("pictures")?.join(format!("admin-{}-{of}.png", self.name));
        self.browser.picture(&file)
    }
}

/// Reads nothing until `told` says so by its end.
fn stalls(told: &mpsc::Receiver<()>) -> Result {
    let mut stream = TcpStream::connect(GUEST_ADDRESS).or_say(|| "no connection".into())?;
    // With as much as Linux would take it may drop what comes before the window is zero, and a sender that has lost so much never fills it.
    set_socket_recv_buffer_size(&stream, STALL_BUFFER_BYTES)
        .or_say(|| "a buffer of its own".into())?;
    let request = b"GET /file HTTP/1.1\r\nHost: 10.9.0.2\r\nConnection: close\r\n\r\n";
    stream.write_all(request).or_say(|| "no request".into())?;
    let _ = told.recv_timeout(2 * LIMIT);
    let mut rest = [0; 1 << 16];
    let deadline = Instant::now() + LIMIT;
    while stream.read(&mut rest).or_say(|| "the download".into())? > 0 {
        if Instant::now() > deadline {
            fail!("a download does not end within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
