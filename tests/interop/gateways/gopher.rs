//! curl and lynx as clients of the appliance's Gopher.

use super::{FILE_BYTES, GOPHER_PORT, on_guest, on_process};
use command::{failure::Result, programs};
use lab::harness::{Harness, contains, curl, equal, noise, same_bytes};
use std::net::SocketAddr;

pub(super) fn curl_guest(harness: &mut Harness) -> Result {
    on_guest(harness, by_curl)
}

pub(super) fn curl_process(harness: &mut Harness) -> Result {
    on_process(harness, by_curl)
}

pub(super) fn lynx(harness: &mut Harness) -> Result {
    on_process(harness, by_lynx)
}

/// What curl says is the selector, behind an item's type.
fn by_curl(harness: &Harness, appliance: SocketAddr) -> Result {
    let host = appliance.ip();
    let url = |path: &str| format!("gopher://{host}:{GOPHER_PORT}{path}");
    let place = format!("\t{host}\t{GOPHER_PORT}\r\n");
    let front = curl(&[&url("/")])?;
    let expected =
        format!("1folder/\t/folder/{place}9file\t/file{place}hindex.html\t/index.html{place}.\r\n");
    equal("the site's menu", &front, &expected)?;
    let folder = curl(&[&url("/1/folder")])?;
    contains("a folder's menu", &folder, &format!("0a text.txt\t/folder/a%20text.txt{place}"))?;
    contains("a folder's menu", &folder, &format!("gpicture.gif\t/folder/picture.gif{place}"))?;
    let text = curl(&[&url("/0/folder/a%20text.txt")])?;
    equal("a text", &text.as_str(), &"one line\r\n..dotted\r\n.\r\n")?;
    let out = harness.scratch.path("out");
    curl(&["-o", &out.display().to_string(), &url("/9/file")])?;
    same_bytes("a file", &out, &noise(FILE_BYTES))?;
    let page = curl(&[&url("/h/index.html")])?;
    equal("a page", &page.as_str(), &"<!doctype html><title>Front</title>\n")?;
    // curl makes a TAB of `?`, and of `%09`, too.
    let found = curl(&[&url("/7/_test/search%09two%20words")])?;
    equal("a search", &found.as_str(), &"searched for two words\r\n.\r\n")?;
    let menu = curl(&[&url("/1/_test/menu")])?;
    contains("a handler's menu", &menu, &format!("7A search\t/_test/search{place}"))?;
    contains("a handler's menu", &menu, "1Elsewhere\t/\tgopher.example\t70\r\n")?;
    for (path, error) in [
        ("/0/nothing", "3404 Not Found\t"),
        ("/0/../appliance.toml", "3selector with ..\t"),
        ("/0/_test/panic", "3500 Internal Server Error\t"),
    ] {
        contains(path, &curl(&["--path-as-is", &url(path)])?, error)?;
    }
    sessions(appliance)
}

/// One session, by its path, by HTTP and Gopher in turn.
fn sessions(appliance: SocketAddr) -> Result {
    let path = "/_test/named-session/shared";
    let by_http = || curl(&["--fail", &format!("http://{appliance}{path}")]);
    let by_gopher = || curl(&[&format!("gopher://{}:{GOPHER_PORT}/0{path}", appliance.ip())]);
    let first = by_http()?;
    let number = first.split(' ').next().unwrap_or_default();
    contains("a first visit", &first, &format!("{number} 1 "))?;
    contains("a visit by Gopher", &by_gopher()?, &format!("{number} 2 "))?;
    contains("a visit by HTTP", &by_http()?, &format!("{number} 3 "))
}

fn by_lynx(_: &Harness, appliance: SocketAddr) -> Result {
    let host = appliance.ip();
    let dump = |path: &str| {
        let url = format!("gopher://{host}:{GOPHER_PORT}{path}");
        programs::output(programs::command(&programs::LYNX)?.args(["-dump", "-width=200", &url]))
    };
    let front = dump("/")?;
    contains("the site's menu", &front, "folder/")?;
    contains("its links", &front, &format!("gopher://{host}:{GOPHER_PORT}/1/folder/"))?;
    let text = dump("/0/folder/a%20text.txt")?;
    contains("a text", &text, "one line\n")?;
    contains("a text", &text, ".dotted")?;
    contains("a search", &dump("/7/_test/search?words")?, "searched for words")?;
    contains("a handler's menu", &dump("/1/_test/menu")?, "A menu for tests")
}
