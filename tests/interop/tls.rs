//! TLS against real peers: curl, OpenSSL, GnuTLS, Chromium, Python's ssl and tlslite-ng as clients; OpenSSL as a server; nginx in
//! front of the appliance and behind it.

mod clients;
mod nginx;
mod operators;
mod papers;
mod servers;

use super::http::curl;
use command::{failure::Result, programs, programs::Program};
use lab::{
    harness::{Case, Harness, noise},
    peers,
};
use papers::Papers;
use std::{net::SocketAddr, path::PathBuf};

const CURL: &[&Program] = &[&programs::CURL, &programs::OPENSSL];
const OPENSSL: &[&Program] = &[&programs::OPENSSL];
const GNUTLS: &[&Program] = &[&programs::OPENSSL, &programs::GNUTLS];
const PYTHON: &[&Program] = &[&programs::OPENSSL, &peers::PYTHON];

const BROWSER: &[&Program] = &[&programs::OPENSSL, &programs::CHROMIUM, &programs::CERTUTIL];

pub(crate) const CASES: &[Case] = &[
    Case::new("tls/curl_guest", CURL, 120, clients::curl_guest),
    Case::new("tls/curl_process", CURL, 60, clients::curl_process),
    Case::new("tls/clients_certificates", CURL, 60, clients::certificates),
    Case::new("tls/openssl_guest", OPENSSL, 120, clients::openssl_guest),
    Case::new("tls/openssl_process", OPENSSL, 60, clients::openssl_process),
    Case::new("tls/gnutls_process", GNUTLS, 60, clients::gnutls),
    Case::new("tls/python_process", PYTHON, 60, clients::python),
    Case::new("tls/tlslite_process", PYTHON, 120, clients::tlslite),
    Case::new("tls/browser_process", BROWSER, 180, clients::browser),
    Case::new("tls/operators_process", CURL, 300, operators::by_tls),
    Case::new("tls/openssl_behind", CURL, 120, servers::openssl),
    Case::new("tls/nginx_in_front", CURL, 60, nginx::in_front),
    Case::new("tls/nginx_behind", CURL, 60, nginx::behind),
];

const HTTPS_PORT: u16 = 8443;
const FILE_BYTES: usize = 4 << 20;

/// A bundle with a certificate for the name `web.example` and for the appliance's addresses.
fn bundle(harness: &Harness, papers: &Papers, more: &str) -> Result<PathBuf> {
    let config = format!(
        "[http]\nbody_bytes_max = 16_777_216\n[tls]\nport = {HTTPS_PORT}\nauthorities = \"tls/ca.pem\"\n{more}"
    );
    let file = noise(FILE_BYTES);
    let (authority, certificate, key) =
        (papers.read("ca.pem")?, papers.read("server.pem")?, papers.read("server.key")?);
    harness.bundle(
        &config,
        &[
            ("site/file", &file),
            ("site/index.html", b"<!doctype html><title>TLS</title><p>This page came by TLS.</p>"),
            ("tls/ca.pem", &authority),
            ("tls/cert.pem", &certificate),
            ("tls/key.pem", &key),
        ],
    )
}

fn on_guest(harness: &mut Harness, check: curl::Check) -> Result {
    let papers = Papers::make(harness)?;
    let bundle = bundle(harness, &papers, "")?;
    curl::on_trial_guest(harness, bundle, check)
}

fn on_process(harness: &mut Harness, check: curl::Check) -> Result {
    // For its address, at which web servers listen.
    harness.tap()?;
    let papers = Papers::make(harness)?;
    let bundle = bundle(harness, &papers, "")?;
    curl::on_trial_process(harness, &bundle, check)
}

/// Where the appliance's HTTPS is, if its HTTP is there.
fn https(appliance: SocketAddr) -> SocketAddr {
    SocketAddr::new(appliance.ip(), HTTPS_PORT)
}
