//! ZeroMQ sockets of every pattern and mechanism, told by a line of words what to do. What libzmq
//! is checked against, in the image and in a process.
//!
//! ```text
//! echo   SOCKET               send each message back
//! bridge SOCKET SOCKET        send each message of the first by the second
//! relay  SOCKET SOCKET        the same, long messages in pieces
//! ask    SOCKET COUNT BYTES   requests that an echo must answer; "ok COUNT lost COUNT"
//! flood  SOCKET COUNT BYTES   send messages, numbered in their first 8 bytes; "ok COUNT"
//! beat   SOCKET TEXT          send a message fifty times a second
//! drain  SOCKET COUNT         receive messages; "ok COUNT BYTES"
//!
//! SOCKET: TYPE (bind PORT | connect HOST:PORT)+ [OPTION=VALUE]* --
//! options: identity plain=USER:PASSWORD plain-server=USER:PASSWORD curve=SERVERKEY:SECRET
//!          curve-server=SECRET:CLIENTSECRET subscribe heartbeat=MILLISECONDS hwm stream=BYTES
//!          relaxed correlate
//! ```

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use core::fmt::Debug;
use core::ops::Deref;
use core::pin::Pin;
use core::str::FromStr;
use core::time::Duration;
use endpoints::zmq::{
    Authority, Bind, Bytes, Connect, CurveClient, CurveServer, Heartbeat, Host, Message, Options,
    RecvFailed, Security, SocketType, ZmqSocket, public_key, z85_decode,
};
use flow::{Connector, Listener};

/// Where a script's sockets live.
pub trait Place {
    /// Where connections come from.
    type Listener: Listener + 'static;
    /// How connections are made.
    type Connector: Connector;

    /// Tasks, time and entropy.
    fn host(&self) -> Host;

    /// Listens on a port.
    fn listen(&self, port: u16) -> Result<Self::Listener, String>;

    /// Opens connections.
    fn connector(&self) -> Self::Connector;
}

/// What a script does, and what it says at its end. Dropping it ends all its connections.
pub type Script = Pin<Box<dyn Future<Output = String>>>;

/// Opens the sockets that `words` tell of, or says what is wrong with the words.
pub fn open(place: &impl Place, words: &str) -> Result<Script, String> {
    let mut words = Words(words.split_ascii_whitespace());
    let verb = words.next()?;
    let socket = socket(place, &mut words)?;
    Ok(match verb {
        "echo" => Box::pin(bridge(Rc::new(socket), None)),
        "bridge" => Box::pin(bridge(Rc::new(socket), Some(self::socket(place, &mut words)?))),
        "relay" => Box::pin(relay(socket, self::socket(place, &mut words)?)),
        "ask" => Box::pin(ask(socket, words.parse()?, words.parse()?)),
        "flood" => Box::pin(flood(socket, words.parse()?, words.parse()?)),
        "beat" => Box::pin(beat(socket, place.host(), words.next()?.to_string())),
        "drain" => Box::pin(drain(socket, words.parse()?)),
        _ => return Err(format!("unknown verb {verb}")),
    })
}

async fn bridge(from: Rc<Open>, to: Option<Open>) -> String {
    loop {
        let message = from.recv().await.unwrap();
        to.as_ref().unwrap_or(&from).send(message).await.unwrap();
    }
}

async fn relay(from: Open, to: Open) -> String {
    loop {
        let (start, rest) = from.recv_start().await.unwrap();
        let left = rest.as_ref().map_or(0, |rest| rest.part_left());
        let mut outgoing = to.send_start(start, left).await.unwrap();
        let Some(mut rest) = rest else { continue };
        while let Some(chunk) = rest.next().await.unwrap() {
            outgoing.send(chunk.bytes).await.unwrap();
        }
    }
}

async fn ask(socket: Open, count: usize, len: usize) -> String {
    let mut lost = 0;
    for number in 0..count {
        let mut request = Message::new(vec![number as u8; len]);
        request.push(Bytes::copy_from_slice(&number.to_be_bytes()));
        socket.send(request.clone()).await.unwrap();
        match socket.recv().await {
            Ok(reply) => assert!(reply == request, "another reply"),
            Err(RecvFailed::Refused(_)) => lost += 1,
            Err(RecvFailed::Closed) => panic!("closed"),
        }
    }
    format!("ok {count} lost {lost}")
}

async fn flood(socket: Open, count: usize, len: usize) -> String {
    let mut body = vec![0x5A; len.max(8)];
    for number in 0..count as u64 {
        body[..8].copy_from_slice(&number.to_be_bytes());
        let body = Bytes::copy_from_slice(&body);
        socket.send(Message::new(body)).await.unwrap();
    }
    socket.clone().close(Duration::from_secs(60)).await;
    format!("ok {count}")
}

async fn beat(socket: Open, host: Host, text: String) -> String {
    loop {
        socket.send(text.clone()).await.unwrap();
        host.timers.sleep(Duration::from_millis(20)).await;
    }
}

async fn drain(socket: Open, count: usize) -> String {
    let mut bytes = 0;
    for _ in 0..count {
        bytes += socket.recv().await.unwrap().body_bytes();
    }
    format!("ok {count} {bytes}")
}

/// A socket whose connections end with the script.
struct Open(ZmqSocket);

impl Deref for Open {
    type Target = ZmqSocket;

    fn deref(&self) -> &ZmqSocket {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// A socket and where it is attached.
fn socket(place: &impl Place, words: &mut Words<'_>) -> Result<Open, String> {
    let kind = words.next()?.to_ascii_uppercase();
    let kind = SocketType::from_name(kind.as_bytes()).ok_or_else(|| format!("no type {kind}"))?;
    let mut options = Options::new(kind);
    let (mut ports, mut targets, mut topics) = (vec![], vec![], vec![]);
    while let Ok(word) = words.next()
        && word != "--"
    {
        match word.split_once('=').unwrap_or((word, "")) {
            ("bind", _) => ports.push(words.parse()?),
            ("connect", _) => targets.push(words.parse()?),
            ("subscribe", topic) => topics.push(topic.to_string()),
            (name, value) => option(&mut options, name, value)?,
        }
    }
    let socket = Open(ZmqSocket::new(&place.host(), options));
    for topic in topics {
        socket.subscribe(topic);
    }
    for port in ports {
        socket.attach(Bind(place.listen(port)?));
    }
    for target in targets {
        socket.attach(Connect::new(place.connector(), target));
    }
    Ok(socket)
}

fn option(options: &mut Options, name: &str, value: &str) -> Result<(), String> {
    let config = &mut options.config;
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let (user, password) = value.split_once(':').unwrap_or((value, ""));
    match name {
        "identity" => config.identity = bytes(value),
        "plain" => {
            let (username, password) = (bytes(user), bytes(password));
            config.security = Security::PlainClient { username, password };
        }
        "plain-server" => {
            let door = Door { user: user.to_string(), password: password.to_string() };
            config.security = Security::PlainServer(Arc::new(door));
        }
        "curve" => {
            let (server_public_key, secret_key) = keys(value)?;
            let keys = CurveClient { server_public_key, secret_key };
            config.security = Security::CurveClient(keys);
        }
        "curve-server" => {
            let (secret_key, client) = keys(value)?;
            let authority = Arc::new(KeyDoor(public_key(&client)));
            config.security = Security::CurveServer(CurveServer { secret_key, authority });
        }
        "heartbeat" => {
            let interval = Duration::from_millis(parse(value)?);
            config.heartbeat =
                Some(Heartbeat { interval, timeout: interval * 3, ttl: interval * 5 });
        }
        "hwm" => {
            options.send_messages_max = parse(value)?;
            options.receive_messages_max = parse(value)?;
        }
        "stream" => options.stream_over_bytes = Some(parse(value)?),
        "relaxed" => options.request_relaxed = true,
        "correlate" => options.request_correlate = true,
        _ => return Err(format!("unknown option {name}")),
    }
    Ok(())
}

/// Two keys with a colon between them. Z85 has colons of its own: a key is 40 characters.
fn keys(value: &str) -> Result<([u8; 32], [u8; 32]), String> {
    let key = |text: Option<&str>| text.and_then(z85_decode);
    let both = key(value.get(..40)).zip(key(value.get(41..)));
    both.ok_or_else(|| format!("not two keys: {value}"))
}

fn parse<T: FromStr<Err: Debug>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{word}: {error:?}"))
}

struct Words<'a>(core::str::SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| "a word is missing".to_string())
    }

    fn parse<T: FromStr<Err: Debug>>(&mut self) -> Result<T, String> {
        parse(self.next()?)
    }
}

struct Door {
    user: String,
    password: String,
}

impl Authority for Door {
    fn admits_password(&self, username: &[u8], password: &[u8]) -> bool {
        (username, password) == (self.user.as_bytes(), self.password.as_bytes())
    }
}

struct KeyDoor([u8; 32]);

impl Authority for KeyDoor {
    fn admits_key(&self, key: &[u8; 32]) -> bool {
        *key == self.0
    }
}
