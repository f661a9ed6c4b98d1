//! OpenSSL as a server that the appliance asks.

use super::{Papers, on_process};
use crate::interop::http::nginx::NGINX;
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs,
};
use lab::harness::{Harness, contains, curl, equal};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::Stdio,
};

const PORT: u16 = 8445;

pub(super) fn openssl(harness: &mut Harness) -> Result {
    on_process(harness, is_asked)
}

/// Servers of all kinds, whose certificates are as they should be or not.
fn is_asked(harness: &Harness, appliance: SocketAddr) -> Result {
    for (who, words, code) in [
        ("server", &["-tls1_3"][..], "200"),
        ("server", &["-tls1_2"], "200"),
        ("server", &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], "200"),
        ("server", &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], "200"),
        // RFC 8446 section 4.1.4: it asks for another share.
        ("server", &["-groups", "P-256"], "200"),
        ("server", &["-groups", "P-384"], "200"),
        ("server", &["-num_tickets", "0"], "200"),
        ("server", &["-num_tickets", "8"], "200"),
        ("server", &["-max_send_frag", "512"], "200"),
        ("server", &["-record_padding", "1000"], "200"),
        ("server", &["-no_ticket", "-tls1_2"], "200"),
        // It wants a certificate of the client, and bears with none.
        ("server", &["-verify", "1"], "200"),
        ("server", &["-Verify", "1"], "502"),
        ("server", &["-groups", "X448"], "502"),
        ("server", &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "502"),
        ("server", &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "502"),
        ("expired", &[], "502"),
        ("renamed", &[], "502"),
        ("client", &[], "502"),
        ("stranger", &[], "502"),
    ] {
        let server = started(harness, who, words)?;
        let url = format!("http://{appliance}/_test/relay/tls:%2F%2F{}:{PORT}/", NGINX.ip());
        let page = harness.scratch.path("page").display().to_string();
        let said = curl(&["-o", &page, "-w", "%{http_code}", &url])?;
        equal(&format!("asking {who} {words:?}"), &said.as_str(), &code)?;
        if code == "200" {
            let page = std::fs::read_to_string(&page).or_say(|| "no page".into())?;
            contains("openssl's page", &page, "s_server")?;
        }
        drop(server);
    }
    Ok(())
}

fn started(harness: &Harness, who: &str, words: &[&str]) -> Result<Child> {
    let papers = Papers::of(harness);
    let mut command = programs::command(&programs::OPENSSL)?;
    let (certificate, key) =
        (papers.path(&format!("{who}.pem")), papers.path(&format!("{who}.key")));
    let address = format!("{}:{PORT}", NGINX.ip());
    command.args(["s_server", "-www", "-accept", &address, "-cert", &certificate, "-key", &key]);
    command.args(words);
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    })?;
    let Some(output) = child.streams().stdout.take() else { fail!("openssl has no output") };
    for line in BufReader::new(output).lines() {
        if line.or_say(|| "openssl's output".into())?.contains("ACCEPT") {
            return Ok(child);
        }
    }
    fail!("openssl's server did not start: {words:?}")
}
