//! nginx on both sides: our HTTP client asks it, and it passes requests on to our server.

use super::{curl, websocket};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files,
};
use lab::{
    harness::{BOOT_LIMIT, Harness, contains, curl, equal, noise, same_bytes},
    http_client, link, peers,
};
use rustix::process::Signal;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

const BODY_BYTES: usize = 4 << 20;
const CONFIG: &str = "[http]\nbody_bytes_max = 16_777_216\n";
const ASK_LIMIT: Duration = Duration::from_millis(500);
/// nginx, wherever our appliance is: the guest reaches it over the wire, the process on this machine.
pub(crate) const NGINX: SocketAddr = SocketAddr::new(link::HOST_IPV4, 8081);

pub(super) fn behind_the_guest(harness: &mut Harness) -> Result {
    on_guest(harness, behind)
}

pub(super) fn behind_the_process(harness: &mut Harness) -> Result {
    on_process(harness, behind)
}

pub(super) fn before_the_guest(harness: &mut Harness) -> Result {
    on_guest(harness, before)
}

pub(super) fn before_the_process(harness: &mut Harness) -> Result {
    on_process(harness, before)
}

fn on_guest(harness: &mut Harness, check: curl::Check) -> Result {
    let bundle = bundle(harness)?;
    curl::on_trial_guest(harness, bundle, check)
}

fn on_process(harness: &mut Harness, check: curl::Check) -> Result {
    // For its address, at which nginx listens.
    harness.tap()?;
    let bundle = bundle(harness)?;
    curl::on_trial_process(harness, &bundle, check)
}

fn bundle(harness: &Harness) -> Result<PathBuf> {
    harness.bundle(CONFIG, &[("site/file", &noise(BODY_BYTES))])
}

/// Our client asks nginx, which serves files and takes uploads.
fn behind(harness: &Harness, appliance: SocketAddr) -> Result {
    let file = noise(BODY_BYTES);
    let text = "a line that is worth compressing\n".repeat(2_000);
    let www = harness.scratch.path("www");
    put(&www, "file", &file)?;
    put(&www, "text.html", text.as_bytes())?;
    put(&www, AGAIN, b"again")?;
    let server = "gzip on; location / { root www; dav_methods PUT; client_max_body_size 16m; }";
    let mut nginx = Nginx::start(harness, server)?;
    let url = |path: &str| format!("http://{appliance}/_test/relay/{NGINX}{path}");
    let code = |words: &[&str]| {
        curl(&[&["-o", "/dev/null", "-w", "%{http_code} %{size_download}"], words].concat())
    };

    let out = harness.scratch.path("out");
    let to = out.display().to_string();
    curl(&["--fail", "-o", &to, &url("/file")])?;
    same_bytes("a file", &out, &file)?;
    let head = curl(&["-I", &url("/file")])?.to_ascii_lowercase();
    contains("the answer to HEAD", &head, &format!("content-length: {BODY_BYTES}"))?;
    equal("a range", &code(&["-r", "100-199", &url("/file")])?, &"206 100".into())?;
    equal("what is missing", &code(&[&url("/nothing")])?.starts_with("404 "), &true)?;
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    let condition = format!("If-None-Match: {}", tag.unwrap_or("none").trim());
    equal("a known file", &code(&["-H", &condition, &url("/file")])?, &"304 0".into())?;
    // Compressed as it goes out, so that its length is not known before: chunked.
    let zipped =
        curl(&["-i", "--raw", "-H", "Accept-Encoding: gzip", "-o", &to, &url("/text.html")])
            .and_then(|_| std::fs::read(&out).or_say(|| "no answer".into()))?;
    let head = String::from_utf8_lossy(&zipped[..zipped.len().min(1_000)]).to_ascii_lowercase();
    contains("a compressed text", &head, "transfer-encoding: chunked")?;
    equal("a text", &curl(&["--compressed", &url("/text.html")])?, &text)?;

    uploads(harness, &file, &url)?;
    keeps_its_connections(&nginx, &url)?;

    nginx.stop();
    equal("without nginx", &code(&[&url("/file")])?.starts_with("502 "), &true)?;
    let _again = Nginx::start(harness, server)?;
    equal("with nginx again", &curl(&["--fail", &url("/text.html")])?, &text)
}

/// With a length and chunked; what nginx wrote is what was sent.
fn uploads(harness: &Harness, file: &[u8], url: &dyn Fn(&str) -> String) -> Result {
    let body = harness.scratch.path("body");
    std::fs::write(&body, file).or_say(|| "cannot write a body".into())?;
    let body = body.display().to_string();
    for (name, more) in [("length", "Expect:"), ("chunked", "Transfer-Encoding: chunked")] {
        let path = format!("/{name}");
        curl(&["--fail", "-H", more, "-T", &body, &url(&path)])?;
        same_bytes(name, &harness.scratch.path("www").join(name), file)?;
    }
    Ok(())
}

/// A file that is asked for in one place only, to be found in the log.
const AGAIN: &str = "again.txt";

/// Requests that come one after the other go over one connection.
fn keeps_its_connections(nginx: &Nginx, url: &dyn Fn(&str) -> String) -> Result {
    const REQUESTS: usize = 12;
    for _ in 0..REQUESTS {
        curl(&["--fail", "-o", "/dev/null", &url(&format!("/{AGAIN}"))])?;
    }
    let log = nginx.log_of(AGAIN, REQUESTS)?;
    let asked = log.lines().filter(|line| line.contains(AGAIN));
    let mut connections: Vec<_> = asked.filter_map(|line| line.split(' ').next()).collect();
    equal("requests that nginx saw", &connections.len(), &REQUESTS)?;
    connections.dedup();
    equal("connections that they took", &connections.len(), &1)
}

/// nginx is the proxy, our server is behind it.
fn before(harness: &Harness, appliance: SocketAddr) -> Result {
    let server = "location / {
        proxy_pass http://appliance; proxy_http_version 1.1; proxy_set_header Connection '';
        proxy_request_buffering off; proxy_buffering off; client_max_body_size 16m;
    }";
    let upstream = format!("upstream appliance {{ server {appliance}; keepalive 4; }}");
    let nginx = Nginx::start_with(harness, &upstream, server)?;
    let file = noise(BODY_BYTES);
    let out = harness.scratch.path("out");
    let to = out.display().to_string();
    let url = |path: &str| format!("http://{NGINX}{path}");
    curl(&["--fail", "-o", &to, &url("/file")])?;
    same_bytes("a file", &out, &file)?;
    let head = curl(&["-I", &url("/file")])?.to_ascii_lowercase();
    contains("the answer to HEAD", &head, &format!("content-length: {BODY_BYTES}"))?;
    let range = curl(&["-o", &to, "-w", "%{http_code}", "-r", "1000-1999", &url("/file")])?;
    equal("a range", &range.as_str(), &"206")?;
    same_bytes("a range", &out, &file[1_000..2_000])?;
    let body = harness.scratch.path("body");
    std::fs::write(&body, &file).or_say(|| "cannot write a body".into())?;
    let data = format!("@{}", body.display());
    for more in ["Expect:", "Transfer-Encoding: chunked"] {
        let echo = url("/_test/echo");
        curl(&["--fail", "-H", more, "-o", &to, "--data-binary", &data, &echo])?;
        same_bytes("an echo", &out, &file)?;
    }
    let status = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/_test/panic")])?;
    equal("a panic", &status.as_str(), &"500")?;
    curl(&["--fail", "-o", &to, &url("/file")])?;
    same_bytes("a file after a panic", &out, &file)?;
    let ends = nginx.log()?;
    match ends.lines().find(|line| line.ends_with(" 502") || line.ends_with(" 504")) {
        Some(line) => fail!("nginx was not content with an answer of ours: {line}"),
        None => Ok(()),
    }
}

/// WebSockets by way of nginx, as its manual has it.
pub(super) fn before_websockets(harness: &mut Harness) -> Result {
    on_process(harness, |harness, appliance| {
        let server = "location / {
            proxy_pass http://appliance; proxy_http_version 1.1; proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
        }";
        let upstream = format!("upstream appliance {{ server {appliance}; }}");
        let _nginx = Nginx::start_with(harness, &upstream, server)?;
        websocket::python_calls(NGINX)
    })
}

/// A running nginx. Its log has a line per request: the connection's number, the request, the status.
pub(crate) struct Nginx {
    child: Child,
    log: PathBuf,
}

impl Nginx {
    pub(super) fn start(harness: &Harness, server: &str) -> Result<Self> {
        Self::start_with(harness, "", server)
    }

    pub(crate) fn start_with(harness: &Harness, upstream: &str, server: &str) -> Result<Self> {
        Self::start_at(NGINX, &harness.scratch.path(""), upstream, server)
    }

    /// Starts one at an address, with its files in a folder.
    pub(super) fn start_at(
        address: SocketAddr,
        folder: &Path,
        upstream: &str,
        server: &str,
    ) -> Result<Self> {
        let config = format!(
            "daemon off; user root; pid pid; error_log stderr error; worker_processes 1;
            events {{}}
            http {{
                log_format short '$connection $request $status'; access_log access.log short;
                client_body_temp_path body-temp; proxy_temp_path proxy-temp;
                fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
                types {{ text/html html; }} default_type application/octet-stream;
                {upstream}
                server {{ listen {address}; {server} }}
            }}"
        );
        put(folder, "nginx.conf", config.as_bytes())?;
        let mut command = peers::nginx()?;
        command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        let child = Child::start(&command, |command| {
            command.stdin(Stdio::null());
        })?;
        let mut nginx = Self { child, log: folder.join("access.log") };
        let deadline = Instant::now() + BOOT_LIMIT;
        while http_client::get(address, "/", ASK_LIMIT).is_none() {
            if let Some(status) = nginx.child.ended() {
                fail!("nginx ended: {status}");
            }
            if Instant::now() > deadline {
                fail!("nginx gave no answer within {BOOT_LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(nginx)
    }

    pub(crate) fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).or_say(|| "nginx wrote no log".into())
    }

    /// The log once it has so many lines about a file, which come after the answers that they are
    /// about; or what there is in the end.
    fn log_of(&self, file: &str, lines: usize) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let log = self.log()?;
            let about = log.lines().filter(|line| line.contains(file)).count();
            if about >= lines || Instant::now() > deadline {
                return Ok(log);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn stop(&mut self) {
        self.child.signal(Signal::TERM);
        let _ = self.child.wait(Duration::from_secs(5));
    }
}

pub(super) fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result {
    files::make_folder(folder)?;
    std::fs::write(folder.join(name), bytes).or_say(|| format!("cannot write {name}"))
}
