//! The admin port by TLS: curl and aqueductctl, with the token, with certificates, and with neither.

use super::{Papers, bundle, clients::fails_with};
use crate::interop::admin_port::{self, PORT as ADMIN_PORT};
use command::failure::{OrSay, Result, fail};
use command::{programs, programs::output};
use lab::harness::{self, Harness, contains, equal};
use lab::process;
use std::{path::Path, process::Command};

pub(super) fn by_tls(harness: &mut Harness) -> Result {
    let papers = Papers::make(harness)?;
    let admin =
        format!("{}tls = true\nclient_authorities = \"tls/ca.pem\"\n", admin_port::config());
    let bundle = bundle(harness, &papers, &admin)?;
    let process = harness.process(&bundle)?;
    with_curl(&papers)?;
    with_aqueductctl(&papers, &process::build_ctl()?)?;
    drop(process);
    Ok(())
}

fn with_curl(papers: &Papers) -> Result {
    let authority = papers.path("ca.pem");
    let url = format!("https://127.0.0.1:{ADMIN_PORT}/api/v1/version");
    let status = |words: &[&str]| {
        let ask = ["--cacert", &authority, "-o", "/dev/null", "-w", "%{http_code}", &url];
        harness::curl(&[&ask, words].concat())
    };
    let bearer = admin_port::bearer();
    let (certificate, key) = (papers.path("client.pem"), papers.path("client.key"));
    equal("a stranger", &status(&[])?, &"401".into())?;
    equal("the token", &status(&["-H", &bearer])?, &"200".into())?;
    equal("a certificate", &status(&["--cert", &certificate, "--key", &key])?, &"200".into())?;
    let (certificate, key) = (papers.path("stranger.pem"), papers.path("stranger.key"));
    let refused = status(&["--cert", &certificate, "--key", &key]);
    fails_with("a stranger's certificate", refused, "alert")
}

fn with_aqueductctl(papers: &Papers, program: &Path) -> Result {
    let shown = ["x509", "-noout", "-fingerprint", "-sha256", "-in", &papers.path("server.pem")];
    let shown = output(programs::command(&programs::OPENSSL)?.args(shown))?;
    let Some((_, fingerprint)) = shown.trim().split_once('=') else {
        fail!("no fingerprint in {shown}");
    };
    let (authority, other) = (papers.path("ca.pem"), "0f".repeat(32));
    let (certificate, key) = (papers.path("client.pem"), papers.path("client.key"));
    let by_certificate = ["--cert", &certificate, "--key", &key];
    let ask = |trust: &[&str], shown: &[&str], verb: &[&str]| -> Result<String> {
        let mut command = Command::new(program);
        command.arg("--url").arg(format!("https://127.0.0.1:{ADMIN_PORT}"));
        command.args(trust).args(shown).args(verb).env("AQUEDUCT_TOKEN", "");
        let output = command.output().or_say(|| "no aqueductctl".into())?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(if output.status.success() { said } else { format!("failed: {said}") })
    };
    for (trust, shown, verb, expected) in [
        (&["--cacert", &authority][..], &by_certificate[..], &["version"][..], "aqueduct"),
        (&["--fingerprint", fingerprint], &by_certificate, &["version"], "aqueduct"),
        (&["--fingerprint", fingerprint], &[], &["version"], "wants the token"),
        (&["--fingerprint", &other], &[], &["version"], "another SHA-256"),
        (&[], &[], &["version"], "whom is trusted?"),
        // What changes something is taken from a program as from the page.
        (&["--cacert", &authority], &by_certificate, &["level", "net", "debug"], ""),
        (&["--cacert", &authority], &by_certificate, &["metrics"], "aqueduct_"),
    ] {
        let said = ask(trust, shown, verb)?;
        contains(&format!("aqueductctl {verb:?} {trust:?}"), &said, expected)?;
        if expected.is_empty() {
            equal("what is said of a change", &said, &String::new())?;
        }
    }
    Ok(())
}
