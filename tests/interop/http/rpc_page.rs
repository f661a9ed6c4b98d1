//! The example page of docs/browser.md in a real browser: Cap'n Proto over a WebSocket, in WebAssembly.

use crate::interop::devtools::Browser;
use command::{
    failure::{OrSay, Result},
    paths, programs,
};
use image_builder::{bundle, page};
use lab::harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains};
use std::{net::SocketAddr, path::PathBuf};

pub(super) fn of_process(harness: &mut Harness) -> Result {
    let bundle = packed(harness)?;
    let child = harness.process(&bundle)?;
    let mut server = Server::Process(Box::new(child));
    let result = Page::open(harness, PROCESS_ADDRESS, "process").and_then(|mut page| {
        page.works_sums_out()?;
        page.asks_by_zeromq()?;
        page.follows_counters()?;
        page.fits_a_phone_in_the_dark()
    });
    server.judge(result)
}

pub(super) fn of_guest(harness: &mut Harness) -> Result {
    let bundle = packed(harness)?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let mut server = Server::Guest(Box::new(guest));
    let result =
        Page::open(harness, GUEST_ADDRESS, "guest").and_then(|mut page| page.works_sums_out());
    server.judge(result)
}

/// The module in Node says byte for byte what the same code says on the host, whose test reads the same file.
pub(super) fn golden_in_node(_: &mut Harness) -> Result {
    let mut node = programs::command(&programs::NODE)?;
    node.arg(paths::root().join("wasm/tests/golden.mjs"));
    node.arg(page::folder()?.join("site/aqueduct.wasm"));
    contains("Node's output", &programs::output(&mut node)?, "all checked")
}

/// The protocol cores in Node make of their golden files what they make of them on the host (`tests/golden`).
pub(super) fn cores_in_node(_: &mut Harness) -> Result {
    let mut node = programs::command(&programs::NODE)?;
    node.arg(paths::root().join("tests/golden/tests/node.mjs"));
    node.arg(paths::made("golden")?.join("golden.wasm"));
    let said = programs::output(&mut node)?;
    for core in ["http", "pipe", "tcp", "web", "websocket", "zmq"] {
        contains("Node's output", &said, &format!("{core}: "))?;
    }
    Ok(())
}

/// The page as `cargo xtask wasm` makes it, which was built before: cases have no network.
fn packed(harness: &Harness) -> Result<PathBuf> {
    let out = harness.scratch.path("page.cpio");
    std::fs::write(&out, bundle::pack(&page::folder()?)?)
        .or_say(|| "cannot write a bundle".into())?;
    Ok(out)
}

struct Page {
    browser: Browser,
    /// Names the pictures, which are kept for people to look at.
    name: &'static str,
}

impl Page {
    fn open(harness: &Harness, address: SocketAddr, name: &'static str) -> Result<Self> {
        let mut browser = Browser::start(harness)?;
        browser.resize(1200, 900, false)?;
        browser.open(&format!("http://{address}/"))?;
        let mut page = Self { browser, name };
        page.state_is("connected; it offers calculator, counters")?;
        Ok(page)
    }

    /// By keyboard, with functions of the server's and of the page's; a wrong sum says what is wrong with it.
    fn works_sums_out(&mut self) -> Result {
        self.browser.value("document.querySelector('#line').focus()")?;
        self.browser.press("Enter")?;
        self.value_is("9.5")?;
        for (own, line, expected) in [
            (true, "2 * 3 * 7 - 0.5", "41.5"),
            (false, "1 / 0", "Infinity"),
            (false, "((((((1))))))", "1"),
        ] {
            self.browser.value(&format!("document.querySelector('#own').checked = {own}"))?;
            self.browser.value("document.querySelector('#line').select()")?;
            self.browser.write(line)?;
            self.browser.press("Enter")?;
            self.value_is(expected)?;
            if own {
                self.browser.until(
                    "document.querySelector('#how').textContent.includes('called this page 2 times')",
                )?;
            }
        }
        self.browser.value("document.querySelector('#line').select()")?;
        self.browser.write("1 + (2")?;
        self.browser.press("Enter")?;
        self.browser
            .until("document.querySelector('#how').textContent === 'a bracket is not closed'")?;
        self.browser.value("document.querySelector('#line').value = '(1 + 2) * 4 - 10 / 4'")?;
        self.browser.press("Enter")?;
        self.value_is("9.5")?;
        self.picture("desk")?;
        self.browser.no_faults()
    }

    /// A REQ socket of the page's asks the service, again and again, also in letters that are longer in UTF-8.
    fn asks_by_zeromq(&mut self) -> Result {
        for (question, reply) in [
            ("water flows".to_owned(), "WATER FLOWS".to_owned()),
            ("grün".into(), "GRÜN".into()),
            ("x".repeat(700), "X".repeat(700)),
        ] {
            let set = format!("document.querySelector('#question').value = '{question}'");
            self.browser.value(&set)?;
            self.browser.value("document.querySelector('#ask').requestSubmit()")?;
            let is = format!("document.querySelector('#reply').textContent === '{reply}'");
            self.browser.until(&is)?;
        }
        self.browser.no_faults()
    }

    /// They change while they are followed, and not afterwards.
    fn follows_counters(&mut self) -> Result {
        self.browser.until("document.querySelectorAll('#counters tr').length > 3")?;
        let table = "document.querySelector('#counters').textContent";
        let changes = format!(
            "(window.before ??= {table}) && {table} !== window.before && !(window.before = undefined)"
        );
        self.browser.value("document.querySelector('#filter').value = 'rpc_connections_made'")?;
        self.browser.until("document.querySelectorAll('#counters tr').length === 1")?;
        self.browser.value("document.querySelector('#filter').value = ''")?;
        self.browser.until("document.querySelectorAll('#counters tr').length > 20")?;
        self.browser.until(&changes)?;
        self.browser.value("document.querySelector('#follow').focus()")?;
        self.browser.press("Enter")?;
        self.browser.until("document.querySelector('#follow').textContent === 'Follow'")?;
        // The server is told, and lets the page's object go on being its own.
        self.browser.press("Enter")?;
        self.browser.until("document.querySelector('#follow').textContent === 'Stop'")?;
        self.browser.until(&changes)?;
        self.browser.value("document.querySelector('#filter').value = 'rpc'")?;
        // A call leaves although nothing else does: no turn is waited for that the counters would bring.
        self.browser.press("Enter")?;
        self.browser.until("document.querySelector('#follow').textContent === 'Follow'")?;
        self.browser.value("document.querySelector('#line').value = '6 * 7'")?;
        self.browser.value("document.querySelector('#sum').requestSubmit()")?;
        self.value_is("42")?;
        self.browser.no_faults()
    }

    fn fits_a_phone_in_the_dark(&mut self) -> Result {
        self.browser.resize(412, 900, true)?;
        self.browser.prefer("dark")?;
        self.browser.until("document.documentElement.scrollWidth <= 412")?;
        self.browser.until("matchMedia('(prefers-color-scheme: dark)').matches")?;
        self.picture("phone")?;
        self.browser.no_faults()
    }

    fn state_is(&mut self, state: &str) -> Result {
        let expression = format!("document.querySelector('#state')?.textContent === '{state}'");
        self.browser.until(&expression).map(drop)
    }

    fn value_is(&mut self, value: &str) -> Result {
        let expression = format!("document.querySelector('#value').textContent === '{value}'");
        self.browser.until(&expression).map(drop)
    }

    fn picture(&mut self, of: &str) -> Result {
        let file = paths::made("pictures")?.join(format!("rpc-{}-{of}.png", self.name));
        self.browser.picture(&file)
    }
}
