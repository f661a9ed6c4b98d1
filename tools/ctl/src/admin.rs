//! The admin port, asked by HTTP.

use crate::local::LocalConnector;
use crate::options::Options;
use crate::table::printable_lines;
use crate::tls::TlsConnector;
use serde_json::{Map, Value};
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};
use ureq::{Agent, AsSendBody, Body};

/// A row of a table: its columns in the order of the appliance.
pub(crate) type Row = Map<String, Value>;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An appliance's admin port.
pub(crate) struct Admin {
    agent: Agent,
    url: String,
    token: Option<String>,
}

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// An answer, and a line of an event stream, are not longer, whoever gives them.
const TEXT_BYTES_MAX: u64 = 64 << 20;
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Of what is said about an error.
const SAID_CHARS_MAX: usize = 500;

impl Admin {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let token = match &options.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| Failure(format!("{}: {error}", path.display())))?;
                Some(text.trim().to_owned())
            }
            None => std::env::var("AQUEDUCT_TOKEN").ok().filter(|token| !token.is_empty()),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // What a redirect names is neither asked for nor known by its certificate, and is not to have the token.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_recv_response(Some(CONNECT_LIMIT));
        let url = options.url.trim_end_matches('/');
        // As curl takes it.
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let is_by_tls = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let local = match (&options.unix, &options.vsock) {
            (Some(socket), _) => Some((socket, None)),
            (None, Some(socket)) => Some((socket, Some(options.vsock_port))),
            (None, None) => None,
        };
        let agent = if let Some((socket, vsock_port)) = local {
            let connector = LocalConnector { socket: socket.clone(), vsock_port };
            Agent::with_parts(config.build(), connector, DefaultResolver::default())
        } else if is_by_tls {
            let connector = TcpConnector::default().chain(TlsConnector::new(options)?);
            Agent::with_parts(config.build(), connector, DefaultResolver::default())
        } else {
            config.build().into()
        };
        Ok(Self { agent, url, token })
    }

    /// All rows of a table.
    pub(crate) fn rows(&self, table: &str) -> Result<Vec<Row>, Failure> {
        let text = self.text(&format!("/api/v1/{table}"))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure(format!("{}: {table} is no table: {error}", self.url)))
    }

    pub(crate) fn text(&self, path: &str) -> Result<String, Failure> {
        let mut text = String::new();
        let read = self.open(path)?.take(TEXT_BYTES_MAX).read_to_string(&mut text);
        match read.map_err(|error| Failure(format!("{}{path}: {error}", self.url)))? {
            length if length as u64 == TEXT_BYTES_MAX => {
                Err(Failure(format!("{}{path}: more than {TEXT_BYTES_MAX} bytes", self.url)))
            }
            _ => Ok(text),
        }
    }

    /// What is at a path, as it comes.
    pub(crate) fn open(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        self.judge(path, request.call()).map(|response| response.into_body().into_reader())
    }

    /// The data of the events at a path, one after another.
    pub(crate) fn events(
        &self,
        path: &str,
    ) -> Result<impl Iterator<Item = (String, String)> + use<>, Failure> {
        let mut reader = BufReader::new(self.open(path)?);
        let mut lines = std::iter::from_fn(move || {
            let mut line = Vec::new();
            let count = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
            let is_whole = count > 0 && (count as u64) < LINE_BYTES_MAX;
            let text = String::from_utf8_lossy(&line);
            is_whole.then(|| Ok(text.trim_end_matches(['\n', '\r']).to_owned()))
        });
        Ok(std::iter::from_fn(move || event(&mut lines)))
    }

    /// Has something done; what is said of it.
    pub(crate) fn change(&self, method: &str, path: &str) -> Result<String, Failure> {
        self.send(method, path, ())
    }

    /// Puts something there; what is said of it.
    pub(crate) fn put(&self, path: &str, content: &[u8]) -> Result<String, Failure> {
        self.send("PUT", path, content)
    }

    fn send(&self, method: &str, path: &str, content: impl AsSendBody) -> Result<String, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        // Who shows a certificate has to say that no other site's page has made him.
        request = request.header("Origin", &self.url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.body(content).map_err(|error| Failure(format!("{path}: {error}")))?;
        let mut said = String::new();
        let answer = self.judge(path, self.agent.run(request))?;
        let read = answer.into_body().into_reader().take(TEXT_BYTES_MAX).read_to_string(&mut said);
        read.map_err(|error| Failure(format!("{}{path}: {error}", self.url)))?;
        Ok(said)
    }

    /// An answer that is none says what to do.
    fn judge(
        &self,
        path: &str,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let url = &self.url;
        let mut response = answer.map_err(|error| {
            Failure(format!(
                "{url} does not answer: {error}; --url says where the admin port is, and `port` in [admin] turns it on"
            ))
        })?;
        let status = response.status();
        match status.as_u16() {
            200..=299 => Ok(response),
            401 => Err(Failure(format!(
                "{url} wants the token of [admin]: --token-file FILE, or AQUEDUCT_TOKEN, says it; or, by TLS, a certificate: --cert, --key"
            ))),
            300..=399 => {
                let place = response.headers().get("location");
                let place =
                    place.map(|it| printable_lines(&String::from_utf8_lossy(it.as_bytes())));
                let place: String =
                    place.as_deref().unwrap_or("nowhere").chars().take(SAID_CHARS_MAX).collect();
                Err(Failure(format!(
                    "{url}{path}: {status}, a redirect to {place}: it is not followed; --url says where the admin port is"
                )))
            }
            _ => {
                let said = response.body_mut().read_to_string().unwrap_or_default();
                let said: String = said.trim().chars().take(SAID_CHARS_MAX).collect();
                let said = printable_lines(&said);
                Err(Failure(format!("{url}{path}: {status}: {said}")))
            }
        }
    }
}

/// The next event of a stream (WHATWG HTML section 9.2.6): its kind and its data; none at the end.
fn event(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Option<(String, String)> {
    let (mut kind, mut data) = (String::new(), None::<String>);
    loop {
        let line = lines.next()?.ok()?;
        match line.split_once(':') {
            None if line.is_empty() => {
                if let Some(data) = data.take() {
                    return Some((kind, data));
                }
            }
            Some(("event", value)) => kind = value.trim_start().to_owned(),
            Some(("data", value)) => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                data = Some(match data {
                    Some(data) => data + "\n" + value,
                    None => value.to_owned(),
                });
            }
            // Comments, ids and what is not known.
            _ => {}
        }
    }
}

/// Text of a query, percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                all.push(char::from(byte));
            }
            _ => all.push_str(&format!("%{byte:02X}")),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn events_are_their_data_whatever_is_between_them() {
        let text =
            ": hello\n\nid: 1\ndata: a\n\nevent: other\ndata:b\ndata: c\n\nretry: 5\n\ndata: cut";
        let mut lines = text.lines().map(|line| Ok(line.to_owned()));
        assert_eq!(event(&mut lines), Some((String::new(), "a".into())));
        assert_eq!(event(&mut lines), Some(("other".into(), "b\nc".into())));
        assert_eq!(event(&mut lines), None);
    }

    /// Whatever is asked, by whatever method: what a redirect names is not asked, and the error names it.
    #[test]
    fn redirects_are_errors_and_are_not_followed() {
        for status in [300, 301, 302, 303, 304, 307, 308] {
            let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
            elsewhere.set_nonblocking(true).unwrap();
            let place = format!("http://{}/api/v1/tasks", elsewhere.local_addr().unwrap());
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", server.local_addr().unwrap());
            let answer = format!(
                "HTTP/1.1 {status} Moved\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for mut stream in server.incoming().take(3).map(Result::unwrap) {
                        let mut head = Vec::new();
                        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                            let mut bytes = [0; 1024];
                            let count = stream.read(&mut bytes).unwrap();
                            head.extend_from_slice(&bytes[..count]);
                        }
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                });
                let words = ["aqueductctl", "--url", &url, "ps"];
                let admin = Admin::new(&Options::try_parse_from(words).unwrap()).unwrap();
                let said = [
                    admin.rows("tasks").map(|_| ()),
                    admin.put("/api/v1/bundle", b"").map(|_| ()),
                    admin.change("POST", "/api/v1/tasks/dump").map(|_| ()),
                ];
                for said in said {
                    let said = said.unwrap_err().0;
                    assert!(said.contains("not followed") && said.contains(&place), "{said}");
                }
            });
            assert!(elsewhere.accept().is_err(), "{status} was followed");
        }
    }

    #[test]
    fn an_address_without_a_scheme_is_asked_by_http() {
        for (said, asked) in [
            ("127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("localhost:9001/", "http://localhost:9001"),
            ("[::1]:9001", "http://[::1]:9001"),
            ("http://a:1/", "http://a:1"),
            ("https://a:1", "https://a:1"),
        ] {
            let words = ["aqueductctl", "-u", said, "--fingerprint", &"00".repeat(32), "ps"];
            let admin = Admin::new(&Options::try_parse_from(words).unwrap()).unwrap();
            assert_eq!(admin.url, asked);
        }
    }

    #[test]
    fn queries_are_percent_encoded() {
        assert_eq!(encoded("tcp port 80"), "tcp%20port%2080");
        assert_eq!(encoded("a&b=ü"), "a%26b%3D%C3%BC");
    }
}
