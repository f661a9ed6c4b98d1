//! nginx in front of the appliance's HTTPS, and behind it as a server that the appliance asks.

use super::{FILE_BYTES, Papers, https, on_process};
use crate::interop::http::nginx::{NGINX, Nginx};
use command::failure::{OrSay, Result, fail};
use lab::harness::{Harness, curl, equal, noise, same_bytes};
use std::net::SocketAddr;

pub(super) fn in_front(harness: &mut Harness) -> Result {
    on_process(harness, passes_on)
}

pub(super) fn behind(harness: &mut Harness) -> Result {
    on_process(harness, is_asked)
}

/// nginx checks our certificate, and keeps its connections.
fn passes_on(harness: &Harness, appliance: SocketAddr) -> Result {
    let papers = Papers::of(harness);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = format!(
            "location / {{
                proxy_pass https://appliance; proxy_http_version 1.1; proxy_set_header Connection '';
                proxy_ssl_verify on; proxy_ssl_trusted_certificate {}; proxy_ssl_name web.example;
                proxy_ssl_server_name on; proxy_ssl_protocols {version}; client_max_body_size 16m;
            }}",
            papers.path("ca.pem")
        );
        let upstream =
            format!("upstream appliance {{ server {}; keepalive 4; }}", https(appliance));
        let mut nginx = Nginx::start_with(harness, &upstream, &server)?;
        let result = through(harness);
        let ends = nginx.log()?;
        nginx.stop();
        result?;
        if let Some(line) = ends.lines().find(|line| line.ends_with(" 502")) {
            fail!("nginx was not content with an answer of ours: {line}");
        }
    }
    Ok(())
}

fn through(harness: &Harness) -> Result {
    let url = |path: &str| format!("http://{NGINX}{path}");
    let (out, body) = (harness.scratch.path("out"), harness.scratch.path("body"));
    let to = out.display().to_string();
    let file = noise(FILE_BYTES);
    curl(&["--fail", "-o", &to, &url("/file")])?;
    same_bytes("a file", &out, &file)?;
    std::fs::write(&body, &file).or_say(|| "cannot write a body".into())?;
    let data = format!("@{}", body.display());
    curl(&["--fail", "-o", &to, "--data-binary", &data, &url("/_test/echo")])?;
    same_bytes("an echo", &out, &file)
}

/// Our client checks nginx' certificate, by its authority and by its name.
fn is_asked(harness: &Harness, appliance: SocketAddr) -> Result {
    const PORT: u16 = 8444;
    let papers = Papers::of(harness);
    let www = harness.scratch.path("www");
    std::fs::create_dir_all(&www).or_say(|| "no folder".into())?;
    let file = noise(FILE_BYTES);
    std::fs::write(www.join("file"), &file).or_say(|| "cannot write a file".into())?;
    let server = |certificate: &str, version: &str| {
        format!(
            "listen {}:{PORT} ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_protocols {version};
            location / {{ root www; dav_methods PUT; client_max_body_size 16m; }}",
            NGINX.ip(),
            papers.path(&format!("{certificate}.pem")),
            papers.path(&format!("{certificate}.key"))
        )
    };
    let url = |path: &str| {
        format!("http://{appliance}/_test/relay/tls:%2F%2F{}:{PORT}{path}", NGINX.ip())
    };
    let (out, body) = (harness.scratch.path("out"), harness.scratch.path("body"));
    let to = out.display().to_string();
    std::fs::write(&body, &file).or_say(|| "cannot write a body".into())?;
    for version in ["TLSv1.2", "TLSv1.3"] {
        let mut nginx = Nginx::start_with(harness, "", &server("server", version))?;
        for _ in 0..3 {
            curl(&["--fail", "-o", &to, &url("/file")])?;
            same_bytes("a file", &out, &file)?;
        }
        curl(&["--fail", "-T", &body.display().to_string(), &url("/uploaded")])?;
        same_bytes("an upload", &www.join("uploaded"), &file)?;
        nginx.stop();
    }
    let _nginx = Nginx::start_with(harness, "", &server("stranger", "TLSv1.3"))?;
    let code = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/file")])?;
    equal("a server that nobody vouches for", &code.as_str(), &"502")
}
