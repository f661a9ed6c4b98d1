//! Secure vats: Python's ssl and pycapnp on the one side, the appliance on the other.

use super::{
    PEER_ADDRESS, checked, on_guest_with, on_process_with, serving, serving_at, waiting_for,
};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, programs,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, contains, curl},
    peers,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

const PORT: u16 = 7001;
const KEY: &str = "rpc/key.pem";

pub(super) fn python_calls_process(harness: &mut Harness) -> Result {
    let keys = Keys::make(harness)?;
    let bundle = keys.bundle(harness, PROCESS_ADDRESS.ip())?;
    let process = harness.process_path().to_owned();
    on_process_with(harness, &bundle, |host| {
        keys.called(&process, &bundle, &format!("{host}:{PORT}"))
    })
}

pub(super) fn python_calls_guest(harness: &mut Harness) -> Result {
    let keys = Keys::make(harness)?;
    let bundle = keys.bundle(harness, GUEST_ADDRESS.ip())?;
    let process = harness.process_path().to_owned();
    on_guest_with(harness, &bundle, |host| {
        keys.called(&process, &bundle, &format!("{host}:{PORT}"))
    })
}

/// A server in Python has no services by token: its reference has none.
pub(super) fn we_call_python(harness: &mut Harness) -> Result {
    we_call(harness, &PEER_ADDRESS.to_string(), |_, keys| {
        let mut python = python()?;
        python.arg("serve").arg(peers::appliance_schema()).arg(keys.path("stranger"));
        serving(python)
    })
}

/// Has a vat of ours call one in the peer that `serve` starts with the stranger's key, at this place of a reference; by the right
/// key, and by another.
pub(crate) fn we_call<Peer>(
    harness: &mut Harness,
    place: &str,
    serve: impl FnOnce(&Harness, &Keys) -> Result<Peer>,
) -> Result {
    let keys = Keys::make(harness)?;
    let at = |fingerprint: &str| format!("capnp://{fingerprint}@{place}");
    let config = format!(
        "[capabilities]\nright = \"{}\"\nwrong = \"{}\"\n",
        at(&keys.fingerprint("stranger")?),
        at(&keys.fingerprint("known")?)
    );
    let bundle = harness.bundle(&config, &[])?;
    let _peer = serve(harness, &keys)?;
    let child = harness.trial_process(&bundle)?;
    let asked = |name: &str| curl(&[&format!("http://{PROCESS_ADDRESS}/_test/capability/{name}")]);
    let result = (|| {
        contains("the right key's answer", &asked("right")?, "olleh")?;
        contains("the wrong key's answer", &asked("wrong")?, "no TLS with the other end")
    })();
    Server::Process(Box::new(child)).judge(result)
}

/// The C++ library has no TLS of its own that shows keys: stunnel shows one for it.
pub(super) fn cpp_calls_by_stunnel(harness: &mut Harness) -> Result {
    let keys = Keys::make(harness)?;
    let bundle = keys.bundle(harness, PROCESS_ADDRESS.ip())?;
    on_process_with(harness, &bundle, |host| {
        let service = format!("client = yes\naccept = {PEER_ADDRESS}\nconnect = {host}:{PORT}\n");
        let _stunnel = stunnel(harness, &service, &keys.path("known"))?;
        checked(Command::new(peers::appliance_cpp()?).arg(PEER_ADDRESS.to_string()))
    })
}

/// Our vat knows stunnel's key for that of the C++ program behind it.
pub(super) fn we_call_cpp_by_stunnel(harness: &mut Harness) -> Result {
    we_call(harness, &PEER_ADDRESS.to_string(), |harness, keys| {
        let server = serving_at(Command::new(peers::appliance_cpp()?), BEHIND)?;
        let service = format!("accept = {PEER_ADDRESS}\nconnect = {BEHIND}\n");
        Ok((stunnel(harness, &service, &keys.path("stranger"))?, server))
    })
}

/// Where a program serves that stunnel is in front of.
const BEHIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9010);

/// Starts stunnel with a service at [`PEER_ADDRESS`] and the key and certificate of this name, as docs/vats.md shows it.
fn stunnel(harness: &Harness, service: &str, identity: &Path) -> Result<Child> {
    let file = harness.scratch.path("stunnel.conf");
    let identity = identity.display();
    let config = format!(
        "foreground = yes\npid =\n[vat]\n{service}cert = {identity}.pem\nkey = {identity}.key\nsslVersionMin = TLSv1.3\n"
    );
    files::write(&file, config)?;
    let mut command = programs::command(&programs::STUNNEL)?;
    waiting_for(command.arg(&file), || TcpStream::connect(PEER_ADDRESS).is_ok())
}

/// Keys and self-made certificates of two vats in Python, and the appliance's key.
pub(crate) struct Keys(PathBuf);

impl Keys {
    pub(crate) fn make(harness: &Harness) -> Result<Self> {
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
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn fingerprint(&self, name: &str) -> Result<String> {
        let key = self.0.join(format!("{name}.key"));
        let printed = programs::output(python()?.arg("fingerprint").arg(key))?;
        Ok(printed.trim().to_owned())
    }

    fn bundle(&self, harness: &Harness, host: IpAddr) -> Result<PathBuf> {
        self.bundle_at(harness, &format!("[rpc]\nsecure_port = {PORT}\nhost = \"{host}\"\n"))
    }

    /// The same of a vat that is where these settings say, the last of which are of `[rpc]` or of a section before.
    pub(crate) fn bundle_at(&self, harness: &Harness, place: &str) -> Result<PathBuf> {
        let known = self.fingerprint("known")?;
        let section = if place.contains("[rpc]") { "" } else { "[rpc]\n" };
        let config =
            format!("{place}{section}strangers = [\"calculator\"]\npeers = [\"{known} admin\"]\n");
        let key = std::fs::read(self.0.join("appliance.key")).or_say(|| "no key".into())?;
        harness.bundle(&config, &[(KEY, &key)])
    }

    /// Lets Python call an appliance with this bundle, which is at a host and port, or at a socket's path.
    pub(crate) fn called(&self, process: &Path, bundle: &Path, place: &str) -> Result {
        let service = format!("admin@{place}");
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

pub(crate) fn python() -> Result<Command> {
    let mut command = peers::python()?;
    command.arg(peers::source("tests/interop/rpc/secure.py"));
    Ok(command)
}
