//! FastCGI and Gopher against real peers: nginx, lighttpd, HAProxy and cgi-fcgi in front of the appliance, curl and lynx as
//! clients of its Gopher.

mod fastcgi;
mod gopher;

use super::http::curl;
use command::{failure::Result, programs, programs::Program};
use lab::harness::{Case, Harness, noise};
use std::path::PathBuf;

const CURL: &[&Program] = &[&programs::CURL];

pub(crate) const CASES: &[Case] = &[
    Case::new("gateways/fastcgi_nginx_guest", CURL, 180, fastcgi::nginx_guest),
    Case::new("gateways/fastcgi_nginx_process", CURL, 120, fastcgi::nginx_process),
    Case::new("gateways/fastcgi_lighttpd", CURL, 120, fastcgi::lighttpd),
    Case::new(
        "gateways/fastcgi_haproxy",
        &[&programs::CURL, &programs::HAPROXY],
        120,
        fastcgi::haproxy,
    ),
    Case::new("gateways/fastcgi_cgi_fcgi", &[&programs::CGI_FCGI], 60, fastcgi::cgi_fcgi),
    Case::new("gateways/gopher_curl_guest", CURL, 120, gopher::curl_guest),
    Case::new("gateways/gopher_curl_process", CURL, 60, gopher::curl_process),
    Case::new("gateways/gopher_lynx", &[&programs::LYNX], 60, gopher::lynx),
];

const FASTCGI_PORT: u16 = 9000;
const GOPHER_PORT: u16 = 7070;
const CONFIG: &str = "[fastcgi]\nport = 9000\nbody_bytes_max = 16_777_216\n[gopher]\nport = 7070\n";
const FILE_BYTES: usize = 4 << 20;

/// A site with files of several kinds.
fn bundle(harness: &Harness) -> Result<PathBuf> {
    let file = noise(FILE_BYTES);
    harness.bundle(
        CONFIG,
        &[
            ("site/file", &file),
            ("site/index.html", b"<!doctype html><title>Front</title>\n"),
            ("site/folder/index.html", b"<!doctype html><title>Folder</title>\n"),
            ("site/folder/a text.txt", b"one line\n.dotted\n"),
            ("site/folder/picture.gif", b"GIF89a"),
        ],
    )
}

/// Checks what the trial image serves.
fn on_guest(harness: &mut Harness, check: curl::Check) -> Result {
    let bundle = bundle(harness)?;
    curl::on_trial_guest(harness, bundle, check)
}

/// Checks what the trial process serves.
fn on_process(harness: &mut Harness, check: curl::Check) -> Result {
    // For its address, at which web servers listen.
    harness.tap()?;
    let bundle = bundle(harness)?;
    curl::on_trial_process(harness, &bundle, check)
}
