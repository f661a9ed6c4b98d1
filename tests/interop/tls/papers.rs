//! Keys and certificates of a test, made by OpenSSL: an authority, a server and a client.

use command::{
    failure::{OrSay, Result},
    programs,
};
use lab::{harness::Harness, link};
use std::path::PathBuf;

/// What [`Papers::make`] has made, in the case's folder.
pub(super) struct Papers(PathBuf);

impl Papers {
    /// `ca.pem`; `server.pem` and `server.key`; the same of `client`, of `expired` and `renamed`, who would be servers, and of
    /// `stranger`, whom no authority knows.
    pub(super) fn make(harness: &Harness) -> Result<Self> {
        let papers = Self(harness.scratch.path("papers"));
        std::fs::create_dir_all(&papers.0).or_say(|| "no folder for keys".into())?;
        let authority = [
            "-x509",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=authority",
            "-days",
            "90",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ];
        papers.request(&authority)?;
        let addresses = format!(
            "subjectAltName=DNS:web.example,DNS:localhost,IP:127.0.0.1,IP:{},IP:{}\n",
            link::GUEST_IPV4,
            link::HOST_IPV4
        );
        let server = format!("{addresses}extendedKeyUsage=serverAuth\n");
        papers.sign("server", &server, 90)?;
        papers.sign("expired", &server, -1)?;
        papers.sign("renamed", "subjectAltName=DNS:other.example\n", 90)?;
        papers.sign("client", &format!("{addresses}extendedKeyUsage=clientAuth\n"), 90)?;
        let stranger =
            ["-x509", "-keyout", "stranger.key", "-out", "stranger.pem", "-subj", "/CN=stranger"];
        papers.request(&stranger)?;
        Ok(papers)
    }

    /// Those that were made before.
    pub(super) fn of(harness: &Harness) -> Self {
        Self(harness.scratch.path("papers"))
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        std::fs::read(self.0.join(name)).or_say(|| format!("no {name}"))
    }

    fn request(&self, words: &[&str]) -> Result<String> {
        let key = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        self.openssl(&[&key, words].concat())
    }

    fn sign(&self, name: &str, extensions: &str, days: i32) -> Result {
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        self.request(&["-keyout", &key, "-out", &request, "-subj", &subject])?;
        let text = format!("{extensions}basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n");
        std::fs::write(self.0.join("extensions"), text).or_say(|| "no extensions".into())?;
        let signing = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        let days = days.to_string();
        let words =
            ["-in", &request, "-out", &certificate, "-days", &days, "-extfile", "extensions"];
        self.openssl(&[&signing[..], &words].concat()).map(drop)
    }

    fn openssl(&self, words: &[&str]) -> Result<String> {
        let mut command = programs::command(&programs::OPENSSL)?;
        programs::output(command.current_dir(&self.0).args(words))
    }
}
