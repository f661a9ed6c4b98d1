//! Secure vats: Python's ssl and pycapnp on the one side, the appliance on the other.

use super::{PEER_ADDRESS, checked, on_guest_with, on_process_with, serving};
use command::{
    failure::{OrSay, Result, fail},
    programs,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, contains, curl},
    peers,
};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

const PORT: u16 = 7001;
const KEY: &str = "rpc/key.pem";

pub(super) fn python_calls_process(harness: &mut Harness) -> Result {
    let keys = Keys::make(harness)?;
    let bundle = keys.bundle(harness, PROCESS_ADDRESS.ip())?;
    let process = harness.process_path().to_owned();
    on_process_with(harness, &bundle, |host| keys.called(&process, &bundle, host))
}

pub(super) fn python_calls_guest(harness: &mut Harness) -> Result {
    let keys = Keys::make(harness)?;
    let bundle = keys.bundle(harness, GUEST_ADDRESS.ip())?;
    let process = harness.process_path().to_owned();
    on_guest_with(harness, &bundle, |host| keys.called(&process, &bundle, host))
}

/// A server in Python has no services by token: its reference has none.
pub(super) fn we_call_python(harness: &mut Harness) -> Result {
    let keys = Keys::make(harness)?;
    let at = |fingerprint: &str| format!("capnp://{fingerprint}@{PEER_ADDRESS}");
    let config = format!(
        "[capabilities]\nright = \"{}\"\nwrong = \"{}\"\n",
        at(&keys.fingerprint("stranger")?),
        at(&keys.fingerprint("known")?)
    );
    let bundle = harness.bundle(&config, &[])?;
    let mut python = python()?;
    python.arg("serve").arg(peers::appliance_schema()).arg(keys.path("stranger"));
    let _server = serving(python)?;
    let child = harness.trial_process(&bundle)?;
    let asked = |name: &str| curl(&[&format!("http://{PROCESS_ADDRESS}/_test/capability/{name}")]);
    let result = (|| {
        contains("the right key's answer", &asked("right")?, "olleh")?;
        contains("the wrong key's answer", &asked("wrong")?, "no TLS with the other end")
    })();
    Server::Process(Box::new(child)).judge(result)
}

/// Keys and self-made certificates of two vats in Python, and the appliance's key.
struct Keys(PathBuf);

impl Keys {
    fn make(harness: &Harness) -> Result<Self> {
        let keys = Self(harness.scratch.path("keys"));
        std::fs::create_dir_all(&keys.0).or_say(|| "no folder for keys".into())?;
        let p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        for (name, algorithm) in [
            ("appliance", &p256[..]),
            ("known", &["-algorithm", "ED25519"]),
            ("stranger", &["-algorithm", "RSA"]),
        ] {
            let key = format!("{name}.key");
            keys.openssl(&[&["genpkey", "-out", &key], algorithm].concat())?;
            let subject = format!("/CN={name}");
            let certificate = format!("{name}.pem");
            keys.openssl(&[
                "req",
                "-x509",
                "-key",
                &key,
                "-out",
                &certificate,
                "-subj",
                &subject,
                "-days",
                "1",
            ])?;
        }
        Ok(keys)
    }

    fn openssl(&self, words: &[&str]) -> Result<String> {
        let mut command = programs::command(&programs::OPENSSL)?;
        programs::output(command.current_dir(&self.0).args(words))
    }

    /// Without its suffix.
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn fingerprint(&self, name: &str) -> Result<String> {
        let key = self.0.join(format!("{name}.key"));
        let printed = programs::output(python()?.arg("fingerprint").arg(key))?;
        Ok(printed.trim().to_owned())
    }

    fn bundle(&self, harness: &Harness, host: IpAddr) -> Result<PathBuf> {
        let known = self.fingerprint("known")?;
        let config = format!(
            "[rpc]\nsecure_port = {PORT}\nhost = \"{host}\"\nstrangers = [\"calculator\"]\npeers = [\"{known} admin\"]\n"
        );
        let key = std::fs::read(self.0.join("appliance.key")).or_say(|| "no key".into())?;
        harness.bundle(&config, &[(KEY, &key)])
    }

    /// Lets Python call an appliance with this bundle.
    fn called(&self, process: &Path, bundle: &Path, host: IpAddr) -> Result {
        let service = format!("admin@{host}:{PORT}");
        let mut asked = Command::new(process);
        asked.arg("--bundle").arg(bundle).args(["--capability", &service]);
        let reference = programs::output(&mut asked)?;
        if reference.lines().count() != 1 {
            fail!("`{reference}` is not one reference");
        }
        checked(
            python()?
                .arg("check")
                .arg(peers::appliance_schema())
                .arg(reference.trim())
                .args([self.path("known"), self.path("stranger")]),
        )
    }
}

fn python() -> Result<Command> {
    let mut command = peers::python()?;
    command.arg(peers::source("tests/interop/rpc/secure.py"));
    Ok(command)
}
