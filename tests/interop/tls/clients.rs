//! Clients of the appliance's HTTPS.

use super::{FILE_BYTES, Papers, bundle, https, on_guest, on_process};
use crate::interop::http::browser::chromium;
use command::{
    failure::{Failure, OrSay, Result, fail},
    paths, programs,
};
use lab::{
    harness::{self, Harness, contains, equal, noise, same_bytes},
    peers,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::Duration,
};

pub(super) fn curl_guest(harness: &mut Harness) -> Result {
    on_guest(harness, by_curl)
}

pub(super) fn curl_process(harness: &mut Harness) -> Result {
    on_process(harness, by_curl)
}

pub(super) fn openssl_guest(harness: &mut Harness) -> Result {
    on_guest(harness, by_openssl)
}

pub(super) fn openssl_process(harness: &mut Harness) -> Result {
    on_process(harness, by_openssl)
}

pub(super) fn gnutls(harness: &mut Harness) -> Result {
    on_process(harness, by_gnutls)
}

pub(super) fn tlslite(harness: &mut Harness) -> Result {
    on_process(harness, by_tlslite)
}

pub(super) fn browser(harness: &mut Harness) -> Result {
    on_process(harness, by_browser)
}

pub(super) fn python(harness: &mut Harness) -> Result {
    on_process(harness, by_python)
}

/// Ciphers of TLS 1.2, by OpenSSL's names; none stands for TLS 1.3.
const CIPHERS: &[&str] = &[
    "",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
];

/// Pages, a long file and long uploads, by each cipher; the authority is asked for, and so is the name.
fn by_curl(harness: &Harness, appliance: SocketAddr) -> Result {
    let authority = Papers::of(harness).path("ca.pem");
    let server = https(appliance);
    let url = |path: &str| format!("https://{server}{path}");
    let out = harness.scratch.path("out");
    let to = out.display().to_string();
    let body = harness.scratch.path("body");
    let file = noise(FILE_BYTES);
    std::fs::write(&body, &file).or_say(|| "cannot write a body".into())?;
    let data = format!("@{}", body.display());
    for cipher in CIPHERS {
        let version = ["--tlsv1.3"];
        let version_2 = ["--tlsv1.2", "--tls-max", "1.2", "--ciphers", cipher];
        let version = if cipher.is_empty() { &version[..] } else { &version_2[..] };
        let ask = |words: &[&str]| {
            harness::curl(&[&["--fail", "--cacert", &authority], version, words].concat())
        };
        ask(&["-o", &to, &url("/file")])?;
        same_bytes("a file", &out, &file)?;
        for more in ["Expect:", "Transfer-Encoding: chunked"] {
            ask(&["-H", more, "-o", &to, "--data-binary", &data, &url("/_test/echo")])?;
            same_bytes("an echo", &out, &file)?;
        }
        let twice = ask(&["-o", &to, "-o", &to, "-w", "%{num_connects} ", &url("/"), &url("/")])?;
        equal("connections of two requests", &twice, &"1 0 ".into())?;
    }
    let cookie = harness::curl(&["-i", "--cacert", &authority, &url("/_test/session")])?;
    contains("a session's cookie", &cookie, "; Secure")?;
    let named = format!("web.example:{}:{}", server.port(), server.ip());
    let page = format!("https://web.example:{}/", server.port());
    harness::curl(&["--fail", "--cacert", &authority, "--resolve", &named, &page])?;
    let other = named.replace("web.example", "other.example");
    let page = page.replace("web.example", "other.example");
    // curl's code of a certificate that it does not accept.
    const REFUSED: &str = "curl: (60)";
    let other = harness::curl(&["--cacert", &authority, "--resolve", &other, &page]);
    fails_with("a name of another", other, REFUSED)?;
    fails_with("without its authority", harness::curl(&[&url("/")]), REFUSED)
}

/// A failure unless it failed, and for this reason.
pub(super) fn fails_with(what: &str, outcome: Result<String>, reason: &str) -> Result {
    match outcome {
        Ok(answer) => fail!("{what}: it succeeded, with {answer}"),
        Err(failure) => contains(what, &failure.to_string(), reason),
    }
}

/// Clients show certificates: an authority's, one that is known by its fingerprint, and a stranger's.
pub(super) fn certificates(harness: &mut Harness) -> Result {
    let papers = Papers::make(harness)?;
    let stranger = papers.path("stranger.pem");
    let words = ["x509", "-noout", "-fingerprint", "-sha256", "-in", &stranger];
    let shown = programs::output(programs::command(&programs::OPENSSL)?.args(words))?;
    let Some((_, fingerprint)) = shown.trim().split_once('=') else {
        fail!("no fingerprint in {shown}");
    };
    let by_authority = "client_authorities = \"tls/ca.pem\"\n".to_owned();
    let by_both = format!("{by_authority}client_fingerprints = [\"{fingerprint}\"]\n");
    for (rule, who, expected) in [
        (format!("clients = \"required\"\n{by_authority}"), "client", true),
        (format!("clients = \"required\"\n{by_authority}"), "stranger", false),
        (format!("clients = \"required\"\n{by_authority}"), "", false),
        (format!("clients = \"required\"\n{by_both}"), "stranger", true),
        (format!("clients = \"optional\"\n{by_authority}"), "", true),
        (format!("clients = \"optional\"\n{by_authority}"), "stranger", false),
    ] {
        let bundle = bundle(harness, &papers, &rule)?;
        let process = harness.process(&bundle)?;
        let (certificate, key) =
            (papers.path(&format!("{who}.pem")), papers.path(&format!("{who}.key")));
        let own = ["--cert", &certificate, "--key", &key];
        let own = if who.is_empty() { &own[..0] } else { &own[..] };
        let (authority, url) =
            (papers.path("ca.pem"), format!("https://{}/", https(harness::PROCESS_ADDRESS)));
        for version in ["1.2", "1.3"] {
            let words = ["--fail", "--cacert", &authority, "--tls-max", version, &url];
            let answer = harness::curl(&[&words, own].concat());
            let what = format!("`{who}` by {rule}, TLS {version}");
            match expected {
                true => {
                    answer.map_err(|failure| Failure(format!("{what}: {failure}"))).map(drop)?;
                }
                // The server says so, and why.
                false => fails_with(&what, answer, "alert")?,
            }
        }
        drop(process);
    }
    Ok(())
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Resumption, new keys on request, a renegotiation, old versions, and what is not TLS.
fn by_openssl(harness: &Harness, appliance: SocketAddr) -> Result {
    let server = https(appliance);
    for version in ["-tls1_2", "-tls1_3"] {
        let session = harness.scratch.path("session").display().to_string();
        let first = s_client(harness, server, &[version, "-sess_out", &session], &[REQUEST])?;
        contains("a handshake", &first, "New, TLSv1.")?;
        contains("a handshake", &first, "Verify return code: 0 (ok)")?;
        contains("an answer", &first, "HTTP/1.1 200 OK")?;
        let second = s_client(harness, server, &[version, "-sess_in", &session], &[REQUEST])?;
        contains("a second handshake", &second, "Reused, TLSv1.")?;
        contains("an answer", &second, "HTTP/1.1 200 OK")?;
    }
    let keys = s_client(harness, server, &["-tls1_3"], &["K\n", "k\n", "K\n", REQUEST])?;
    contains("an answer under new keys", &keys, "HTTP/1.1 200 OK")?;
    let again = s_client(harness, server, &["-tls1_2"], &["R\n"])?;
    contains("a renegotiation", &again, "no renegotiation")?;
    for version in ["-tls1", "-tls1_1"] {
        let words = [version, "-cipher", "ALL:@SECLEVEL=0"];
        let old = s_client(harness, server, &words, &[])?;
        contains(version, &old, "alert")?;
    }
    let protocol = s_client(harness, server, &["-alpn", "h2"], &[])?;
    contains("a protocol that is not spoken", &protocol, "alert number 120")?;
    not_tls(server)
}

/// openssl's client, which gets these lines, each some time after the one before; all that it says.
fn s_client(
    harness: &Harness,
    server: SocketAddr,
    words: &[&str],
    lines: &[&str],
) -> Result<String> {
    let mut command = programs::command(&programs::OPENSSL)?;
    let (authority, address) = (Papers::of(harness).path("ca.pem"), server.to_string());
    command.args(["s_client", "-CAfile", &authority, "-connect", &address]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().or_say(|| "cannot start openssl".into())?;
    let Some(mut input) = child.stdin.take() else { fail!("openssl has no input") };
    for line in lines {
        // It takes a letter for a command only if it is read alone.
        std::thread::sleep(Duration::from_millis(300));
        if input.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    if !lines.contains(&REQUEST) {
        std::thread::sleep(Duration::from_millis(300));
        drop(input);
    }
    let output = child.wait_with_output().or_say(|| "openssl does not end".into())?;
    let (said, errors) = (output.stdout, output.stderr);
    Ok(String::from_utf8_lossy(&[said, errors].concat()).into_owned())
}

/// A request in the clear ends the connection.
fn not_tls(server: SocketAddr) -> Result {
    let mut stream = TcpStream::connect(server).or_say(|| "cannot connect".into())?;
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).or_say(|| "no limit".into())?;
    stream.write_all(REQUEST.as_bytes()).or_say(|| "cannot write".into())?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    equal("the answer to what is not TLS", &answer, &Vec::new())
}

fn by_gnutls(harness: &Harness, appliance: SocketAddr) -> Result {
    let server = https(appliance);
    let authority = Papers::of(harness).path("ca.pem");
    for priority in [
        "NORMAL",
        "NORMAL:-VERS-ALL:+VERS-TLS1.2",
        "NORMAL:-GROUP-ALL:+GROUP-X25519",
        "NORMAL:-GROUP-ALL:+GROUP-SECP384R1",
        "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305",
        "NORMAL:-CIPHER-ALL:+AES-128-GCM",
    ] {
        let mut command = programs::command(&programs::GNUTLS)?;
        command.args(["--x509cafile", &authority, "--priority", priority, "-p"]);
        command.args([&server.port().to_string(), &server.ip().to_string()]);
        let requests = harness.scratch.path("request");
        std::fs::write(&requests, REQUEST).or_say(|| "cannot write".into())?;
        let input = std::fs::File::open(&requests).or_say(|| "cannot read".into())?;
        let said = programs::output_for(&mut command, input)?;
        contains(priority, &said, "The certificate is trusted")?;
    }
    // It resumes by itself.
    let mut command = programs::command(&programs::GNUTLS)?;
    command.args(["--x509cafile", &authority, "--resume", "-p", &server.port().to_string()]);
    command.arg(server.ip().to_string());
    contains("a second handshake", &programs::output(&mut command)?, "This is a resumed session")
}

/// Pieces of all sizes, ends of both kinds, and odd records.
fn by_python(harness: &Harness, appliance: SocketAddr) -> Result {
    python_says(harness, appliance, "python_ssl.py")
}

/// Messages that no usual client sends.
fn by_tlslite(harness: &Harness, appliance: SocketAddr) -> Result {
    python_says(harness, appliance, "tlslite_odd.py")
}

fn python_says(harness: &Harness, appliance: SocketAddr, program: &str) -> Result {
    let server = https(appliance);
    let mut command = peers::python()?;
    command.arg(paths::root().join("tests/interop/tls").join(program));
    command.args([server.ip().to_string(), server.port().to_string()]);
    command.arg(Papers::of(harness).path("ca.pem"));
    let said = programs::output(&mut command)?;
    contains(program, &said, "all is well")
}

/// The page of a server whose authority the browser knows, and nothing of one whose it does not.
fn by_browser(harness: &Harness, appliance: SocketAddr) -> Result {
    let url = format!("https://{}/", https(appliance));
    let dump = |home: &str| {
        let mut command = chromium(harness)?;
        command.env("HOME", harness.scratch.path(home));
        command.args(["--timeout=20000", "--dump-dom", &url]);
        programs::output(&mut command)
    };
    let database = harness.scratch.path("home/.pki/nssdb");
    std::fs::create_dir_all(&database).or_say(|| "no folder".into())?;
    let database = format!("sql:{}", database.display());
    let authority = Papers::of(harness).path("ca.pem");
    let certutil = |words: &[&str]| {
        let mut command = programs::command(&programs::CERTUTIL)?;
        programs::output(command.args(["-d", &database]).args(words))
    };
    certutil(&["-N", "--empty-password"])?;
    certutil(&["-A", "-t", "C,,", "-n", "authority", "-i", &authority])?;
    let page = dump("home")?;
    contains("the page", &page, "This page came by TLS.")?;
    // It shows nothing of one that it refuses.
    let page = dump("stranger")?;
    equal("a page without its authority", &page.contains("TLS"), &false)
}
