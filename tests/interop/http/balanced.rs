//! The appliance in front of two nginx, by `[proxy]`: one is killed and comes back, one is slow, and WebSockets go through.

use super::{
    nginx::{NGINX, Nginx, put},
    websocket,
};
use command::failure::{OrSay, Result, fail};
use lab::{
    harness::{Harness, PROCESS_ADDRESS, contains, curl, equal, noise, same_bytes},
    link,
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

const BODY_BYTES: usize = 1 << 20;
/// What the slow one takes seconds for.
const SLOW_BYTES: usize = 64 << 10;
const REQUESTS: usize = 24;
/// For what takes seconds on a machine that is not busy.
const PATIENCE: Duration = Duration::from_secs(40);

const OTHER: SocketAddr = SocketAddr::new(link::HOST_IPV4, 8082);
const WEBSOCKETS: SocketAddr = SocketAddr::new(link::HOST_IPV4, 8181);

pub(super) fn over_nginx(harness: &mut Harness) -> Result {
    // For its address, at which the others listen.
    harness.tap()?;
    let _websockets = harness.trial_process_at(WEBSOCKETS, &harness.bundle("", &[])?)?;
    let nginx = Replica { address: NGINX, folder: harness.scratch.path("one") };
    let other = Replica { address: OTHER, folder: harness.scratch.path("two") };
    let one = nginx.start("")?;
    let mut two = other.start("")?;
    let config = format!(
        "[proxy]\nroutes = [\"/shop {NGINX} {OTHER} strip=true\", \"/_test {WEBSOCKETS}\"]\n\
         [balance]\nejection_seconds = 1\nejection_max_seconds = 1\nslow_start_seconds = 0\n\
         [rpc]\nport = 0\n[zmq]\nport = 0\n"
    );
    let _front = harness.process(&harness.bundle(&config, &[])?)?;

    messages(harness)?;
    websocket::python_calls(PROCESS_ADDRESS)?;

    two.stop();
    ask("while one is dead")?;
    let mut two = other.start("")?;
    gets_requests_again(&two)?;

    two.stop();
    let two = other.start("limit_rate 16k;")?;
    the_slow_one_gets_fewer(&one, &two)
}

struct Replica {
    address: SocketAddr,
    folder: PathBuf,
}

impl Replica {
    fn start(&self, more: &str) -> Result<Nginx> {
        let www = self.folder.join("www");
        put(&www, "file", &noise(BODY_BYTES))?;
        put(&www, "slow", &noise(SLOW_BYTES))?;
        put(&www, "index.html", b"hello")?;
        let server = format!(
            "location / {{ root www; dav_methods PUT; client_max_body_size 16m; {more}
                add_header X-Seen '$http_x_forwarded_for|$http_via|$http_x_forwarded_host'; }}"
        );
        Nginx::start_at(self.address, &self.folder, "", &server)
    }
}

fn url(path: &str) -> String {
    format!("http://{PROCESS_ADDRESS}/shop{path}")
}

/// Bodies in both directions, and what nginx is told.
fn messages(harness: &Harness) -> Result {
    let out = harness.scratch.path("out");
    let to = out.display().to_string();
    let file = noise(BODY_BYTES);
    for _ in 0..4 {
        curl(&["--fail", "-o", &to, &url("/file")])?;
        same_bytes("a file", &out, &file)?;
    }
    let body = harness.scratch.path("body");
    std::fs::write(&body, &file).or_say(|| "cannot write a body".into())?;
    let body = body.display().to_string();
    for (name, more) in [("length", "Expect:"), ("chunked", "Transfer-Encoding: chunked")] {
        curl(&["--fail", "-H", more, "-T", &body, &url(&format!("/{name}"))])?;
        let found =
            ["one", "two"].map(|replica| harness.scratch.path(replica).join("www").join(name));
        let Some(found) = found.iter().find(|path| path.exists()) else {
            fail!("nobody has {name}");
        };
        same_bytes(name, found, &file)?;
    }
    let head =
        curl(&["-I", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "Host: shop.example", &url("/file")])?;
    let head = head.to_ascii_lowercase();
    contains("the answer to HEAD", &head, &format!("content-length: {BODY_BYTES}"))?;
    contains("what nginx was told", &head, "x-seen: 127.0.0.1|1.1 aqueduct|shop.example")?;
    contains("by whom the answer came", &head, "via: 1.1 aqueduct")
}

fn ask(when: &str) -> Result {
    for _ in 0..REQUESTS {
        let status = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/")])?;
        equal(when, &status.as_str(), &"200")?;
    }
    Ok(())
}

fn gets_requests_again(nginx: &Nginx) -> Result {
    let deadline = Instant::now() + PATIENCE;
    let asked = |nginx: &Nginx| -> Result<usize> { Ok(nginx.log()?.lines().count()) };
    let before = asked(nginx)?;
    while asked(nginx)? < before + 3 {
        if Instant::now() > deadline {
            fail!("who is back gets no requests");
        }
        ask("while it comes back")?;
    }
    Ok(())
}

/// Answers that take seconds keep their place busy: others go to the other one.
fn the_slow_one_gets_fewer(one: &Nginx, two: &Nginx) -> Result {
    let url = url("/slow?[1-24]");
    curl(&["--fail", "-Z", "--parallel-max", "4", "-o", "/dev/null", &url])?;
    let count = |nginx: &Nginx| -> Result<usize> { Ok(nginx.log()?.matches("GET /slow?").count()) };
    let deadline = Instant::now() + PATIENCE;
    // nginx writes its log after the answers.
    while count(one)? + count(two)? < REQUESTS && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (quick, slow) = (count(one)?, count(two)?);
    equal("requests that came", &(quick + slow), &REQUESTS)?;
    // Half of them each are what taking turns comes to.
    if slow + REQUESTS / 6 > quick {
        fail!("the slow one got {slow} requests, the other one {quick}");
    }
    Ok(())
}
