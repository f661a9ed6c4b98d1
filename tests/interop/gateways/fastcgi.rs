//! Web servers in front of the appliance.

use super::{FASTCGI_PORT, FILE_BYTES, on_guest, on_process};
use crate::interop::http::nginx::{NGINX, Nginx};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, programs,
};
use lab::{
    harness::{BOOT_LIMIT, Harness, contains, curl, equal, noise, same_bytes},
    http_client, peers,
};
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const ASK_LIMIT: Duration = Duration::from_millis(500);

pub(super) fn nginx_guest(harness: &mut Harness) -> Result {
    on_guest(harness, nginx)
}

pub(super) fn nginx_process(harness: &mut Harness) -> Result {
    on_process(harness, nginx)
}

pub(super) fn lighttpd(harness: &mut Harness) -> Result {
    on_process(harness, behind_lighttpd)
}

pub(super) fn haproxy(harness: &mut Harness) -> Result {
    on_process(harness, behind_haproxy)
}

pub(super) fn cgi_fcgi(harness: &mut Harness) -> Result {
    on_process(harness, by_cgi_fcgi)
}

/// Where the appliance's FastCGI is, if its HTTP is there.
fn beside(appliance: SocketAddr) -> SocketAddr {
    SocketAddr::new(appliance.ip(), FASTCGI_PORT)
}

/// The variables that docs/fastcgi.md shows.
const VARIABLES: &str = "
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;
    fastcgi_param QUERY_STRING $query_string; fastcgi_param CONTENT_TYPE $content_type;
    fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param SERVER_PROTOCOL $server_protocol;
    fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param REMOTE_PORT $remote_port;
    fastcgi_param HTTPS $https if_not_empty;";

/// With a connection for each request and with connections that are kept, each with and without nginx's buffers.
fn nginx(harness: &Harness, appliance: SocketAddr) -> Result {
    let address = beside(appliance);
    let upstream = format!("upstream appliance {{ server {address}; keepalive 4; }}");
    for (pass, kept) in [(address.to_string(), "off"), ("appliance".into(), "on")] {
        for buffers in ["on", "off"] {
            let server = format!(
                "location / {{
                    fastcgi_pass {pass}; fastcgi_keep_conn {kept};
                    fastcgi_buffering {buffers}; fastcgi_request_buffering {buffers};
                    client_max_body_size 16m; {VARIABLES}
                }}"
            );
            let mut nginx = Nginx::start_with(harness, &upstream, &server)?;
            let result = through(harness, "chunked");
            let ends = nginx.log()?;
            nginx.stop();
            result?;
            if let Some(line) = ends.lines().find(|line| line.ends_with(" 502")) {
                fail!("nginx was not content with an answer of ours: {line}");
            }
        }
    }
    Ok(())
}

fn url(path: &str) -> String {
    format!("http://{NGINX}{path}")
}

/// What is asked of the appliance through any web server. `chunked` says how a body without a length is sent, if the web
/// server passes that on.
fn through(harness: &Harness, chunked: &str) -> Result {
    let out = harness.scratch.path("out");
    let to = out.display().to_string();
    let code = |words: &[&str]| {
        curl(&[&["-o", "/dev/null", "-w", "%{http_code} %{size_download}"], words].concat())
    };
    let file = noise(FILE_BYTES);
    curl(&["--fail", "-o", &to, &url("/file")])?;
    same_bytes("a file", &out, &file)?;
    let head = curl(&["-I", &url("/file")])?.to_ascii_lowercase();
    contains("the answer to HEAD", &head, &format!("content-length: {FILE_BYTES}"))?;
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    let condition = format!("If-None-Match: {}", tag.unwrap_or("none").trim());
    equal("a known file", &code(&["-H", &condition, &url("/file")])?, &"304 0".into())?;
    equal("a range", &code(&["-r", "1000-1999", &url("/file")])?, &"206 1000".into())?;
    equal("what is missing", &code(&[&url("/nothing")])?.starts_with("404 "), &true)?;
    equal("a panic", &code(&[&url("/_test/panic")])?.starts_with("500 "), &true)?;
    let moved = curl(&["-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", &url("/folder")])?;
    // HAProxy makes 302 of it.
    equal("a folder", &moved.split(' ').nth(1), &Some(&*url("/folder/")))?;
    uploads(harness, &file, chunked)?;
    sessions(harness)
}

fn uploads(harness: &Harness, file: &[u8], chunked: &str) -> Result {
    let (out, body) = (harness.scratch.path("out"), harness.scratch.path("body"));
    std::fs::write(&body, file).or_say(|| "cannot write a body".into())?;
    let (to, data) = (out.display().to_string(), format!("@{}", body.display()));
    let ways = ["Expect:", &format!("Transfer-Encoding: {chunked}")];
    for more in ways.into_iter().take(if chunked.is_empty() { 1 } else { 2 }) {
        let echo = url("/_test/echo");
        curl(&["--fail", "-H", more, "-o", &to, "--data-binary", &data, &echo])?;
        same_bytes("an echo", &out, file)?;
        let sunk = curl(&["--fail", "-H", more, "--data-binary", &data, &url("/_test/sink")])?;
        equal("a sink", &sunk, &format!("{}\n", file.len()))?;
    }
    Ok(())
}

/// A session by its cookie; and one by its path, which says who asked.
fn sessions(harness: &Harness) -> Result {
    let jar = harness.scratch.path("jar");
    let _ = std::fs::remove_file(&jar);
    let jar = jar.display().to_string();
    let visit = || curl(&["--fail", "-b", &jar, "-c", &jar, &url("/_test/session")]);
    let first = visit()?;
    let Some((number, "1\n")) = first.split_once(' ') else {
        fail!("a first visit is answered {first:?}");
    };
    equal("a second visit", &visit()?, &format!("{number} 2\n"))?;
    let named = curl(&["--fail", &url("/_test/named-session/by-path")])?;
    contains("who asked", &named, &format!(" {}\n", NGINX.ip()))
}

fn behind_lighttpd(harness: &Harness, appliance: SocketAddr) -> Result {
    let folder = harness.scratch.path("lighttpd");
    files::make_folder(&folder)?;
    let address = beside(appliance);
    let config = format!(
        "server.bind = \"{}\"\nserver.port = {}\nserver.document-root = \"{}\"\n\
         server.upload-dirs = ( \"{}\" )\nserver.modules = ( \"mod_fastcgi\" )\n\
         fastcgi.server = ( \"/\" => (( \"host\" => \"{}\", \"port\" => {}, \
         \"check-local\" => \"disable\", \"fix-root-scriptname\" => \"enable\" )) )\n",
        NGINX.ip(),
        NGINX.port(),
        folder.display(),
        folder.display(),
        address.ip(),
        address.port(),
    );
    let file = folder.join("lighttpd.conf");
    files::write(&file, config)?;
    let mut command = peers::lighttpd()?;
    command.arg("-D").arg("-f").arg(&file);
    let _lighttpd = started(&command, "lighttpd")?;
    through(harness, "chunked")
}

fn behind_haproxy(harness: &Harness, appliance: SocketAddr) -> Result {
    let address = beside(appliance);
    // HAProxy opens a connection for each request, or keeps them, as its server line says.
    for keeps in ["no option keep-conn", "option keep-conn"] {
        let config = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             fcgi-app appliance\n  docroot /site\n  {keeps}\n\
             frontend web\n  bind {NGINX}\n  default_backend appliance\n\
             backend appliance\n  use-fcgi-app appliance\n  server one {address} proto fcgi\n"
        );
        let file = harness.scratch.path("haproxy.cfg");
        files::write(&file, config)?;
        let mut command = programs::command(&programs::HAPROXY)?;
        command.arg("-db").arg("-f").arg(&file);
        let _haproxy = started(&command, "HAProxy")?;
        // A long body without a length it refuses itself.
        through(harness, "")?;
    }
    Ok(())
}

/// Starts a web server and waits until it answers.
fn started(command: &Command, name: &str) -> Result<Child> {
    let mut child = Child::start(command, |command| {
        command.stdin(Stdio::null());
    })?;
    let deadline = Instant::now() + BOOT_LIMIT;
    while http_client::get(NGINX, "/", ASK_LIMIT).is_none() {
        if let Some(status) = child.ended() {
            fail!("{name} ended: {status}");
        }
        if Instant::now() > deadline {
            fail!("{name} gave no answer within {BOOT_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

/// libfcgi's own client: its environment is the request, its output the response.
fn by_cgi_fcgi(harness: &Harness, appliance: SocketAddr) -> Result {
    let address = beside(appliance).to_string();
    let ask = |variables: &[(&str, &str)], body: &[u8]| {
        let input = harness.scratch.path("input");
        std::fs::write(&input, body).or_say(|| "cannot write a body".into())?;
        let input = std::fs::File::open(&input).or_say(|| "cannot read a body".into())?;
        let mut command = programs::command(&programs::CGI_FCGI)?;
        command.args(["-bind", "-connect", &address]).envs(variables.iter().copied());
        programs::output_for(&mut command, input)
    };
    let get = [("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/folder"), ("PATH_INFO", "/a text.txt")];
    let text = ask(&get, b"")?;
    contains("a text", &text, "Status: 200 OK\r\n")?;
    contains("a text", &text, "\r\n\r\none line\n.dotted\n")?;
    let post =
        [("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/_test/sink"), ("CONTENT_LENGTH", "100000")];
    contains("a sink", &ask(&post, &noise(100_000))?, "\r\n\r\n100000\n")
}
