//! What the command line says of a socket.

use endpoints::zmq::{
    Authority, CurveClient, CurveServer, Heartbeat, Options, Security, public_key, z85_decode,
};
use flow::Target;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

pub struct SocketPlan {
    pub options: Options,
    pub places: Vec<Place>,
    pub topics: Vec<String>,
}

pub enum Place {
    Bind(u16),
    Connect(Target),
}

impl SocketPlan {
    pub fn parse(words: &mut Peekable<impl Iterator<Item = String>>) -> Self {
        let socket_type = crate::socket_type(&words.next().expect("a socket type"));
        let mut plan =
            Self { options: Options::new(socket_type), places: Vec::new(), topics: Vec::new() };
        while let Some(word) = words.next_if(|word| word != "--") {
            match word.as_str() {
                "bind" => plan.places.push(Place::Bind(words.next().unwrap().parse().unwrap())),
                "connect" => {
                    plan.places.push(Place::Connect(words.next().unwrap().parse().unwrap()));
                }
                option => plan.option(option.split_once('=').unwrap_or((option, ""))),
            }
        }
        words.next_if_eq("--");
        plan
    }

    fn option(&mut self, (name, value): (&str, &str)) {
        let config = &mut self.options.config;
        let pair = || value.split_once(':').unwrap_or((value, ""));
        match name {
            "identity" => config.identity = value.to_owned().into(),
            "plain" => {
                let (username, password) = pair();
                config.security = Security::PlainClient {
                    username: username.to_owned().into(),
                    password: password.to_owned().into(),
                };
            }
            "plain-server" => {
                let (username, password) = pair();
                let door = Door(username.to_owned(), password.to_owned());
                config.security = Security::PlainServer(Arc::new(door));
            }
            "curve" => {
                // Z85 has colons of its own: 40 characters, one colon, 40 characters.
                let (server, client) = value.split_at(40);
                config.security = Security::CurveClient(CurveClient {
                    server_public_key: z85_decode(server).unwrap(),
                    secret_key: z85_decode(&client[1..]).unwrap(),
                });
            }
            "curve-server" => {
                let (secret, client) = value.split_at(40);
                let client = public_key(&z85_decode(&client[1..]).unwrap());
                config.security = Security::CurveServer(CurveServer {
                    secret_key: z85_decode(secret).unwrap(),
                    authority: Arc::new(KeyDoor(client)),
                });
            }
            "subscribe" => self.topics.push(value.to_owned()),
            "heartbeat" => {
                let interval = Duration::from_millis(value.parse().unwrap());
                config.heartbeat =
                    Some(Heartbeat { interval, timeout: interval * 3, ttl: interval * 5 });
            }
            "hwm" => {
                self.options.send_messages_max = value.parse().unwrap();
                self.options.receive_messages_max = value.parse().unwrap();
            }
            "relaxed" => self.options.request_relaxed = true,
            "correlate" => self.options.request_correlate = true,
            _ => panic!("unknown option {name:?}"),
        }
    }
}

struct Door(String, String);

impl Authority for Door {
    fn admits_password(&self, username: &[u8], password: &[u8]) -> bool {
        (username, password) == (self.0.as_bytes(), self.1.as_bytes())
    }
}

struct KeyDoor([u8; 32]);

impl Authority for KeyDoor {
    fn admits_key(&self, key: &[u8; 32]) -> bool {
        *key == self.0
    }
}
