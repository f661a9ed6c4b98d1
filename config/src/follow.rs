//! Following: which settings of another appliance are taken over, which of them while this one runs, and as what text they
//! come.

use crate::{
    Config, ConfigError, KeyValue, check::Contradiction, error::Origin, keys, places::Places, toml,
    values,
};
use alloc::{borrow::ToOwned, string::String, vec, vec::Vec};

/// What becomes of a setting of another appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// It is in force at once.
    Live,
    /// It takes a restart, with the setting in the appliance's own file.
    Restart,
    /// Each appliance has its own: names, addresses, ports, files, secrets, whom it trusts, what fits its machine.
    Own,
}

/// What becomes of a key of `appliance.toml`.
pub fn following(section: &str, name: &str) -> Following {
    match (section, name) {
        (_, "port" | "secure_port")
        | ("http", "hosts" | "site_root")
        | ("gopher", "host")
        | ("log", "syslog") => Following::Own,
        ("http", "index" | "requests_per_minute_max" | "compress") | ("site", _) => {
            Following::Restart
        }
        (
            "http",
            "compress_bytes_min" | "compress_streams_max" | "compress_bytes_per_second_max",
        ) => Following::Restart,
        ("http" | "fastcgi" | "gopher" | "log" | "tasks" | "shutdown", _) => Following::Live,
        ("tls", "redirect" | "hsts_seconds" | "handshake_timeout_seconds" | "handshakes_max") => {
            Following::Restart
        }
        (
            "rpc",
            "websocket_path" | "websocket_origins" | "key" | "host" | "strangers" | "peers"
            | "epochs" | "log_references",
        )
        | ("zmq", "websocket_path" | "websocket_origins")
        | ("memory", "peers_bytes_max")
        | ("sessions", "carry_over")
        | ("affinity", "key") => Following::Own,
        ("tcp" | "rpc" | "zmq" | "memory" | "sessions" | "affinity", _) => Following::Restart,
        _ => Following::Own,
    }
}

/// What comes of another's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The configuration with those that are in force at once.
    pub config: Config,
    /// Those that differ, and take a restart.
    pub waiting: Vec<KeyValue>,
    /// Those that are each appliance's own, which another has no business to say.
    pub refused: Vec<KeyValue>,
}

impl Config {
    /// What others may take over of this configuration, as TOML. No secret is in it.
    pub fn shared_settings(&self) -> String {
        text(values(self).iter().filter(|it| following(it.section, it.name) != Following::Own))
    }

    /// This configuration with the settings of another, whose text is called `file` in errors. What it does not say stays.
    ///
    /// # Errors
    /// As of [`parse`](Self::parse): then nothing of it is taken over.
    pub fn follow(&self, file: &str, theirs: &str) -> Result<Followed, ConfigError> {
        let (config, places) = toml::read(Origin { file, text: theirs })?;
        let said = said(&config, &places);
        let is = |it: &&KeyValue, what| following(it.section, it.name) == what;
        let live = text(said.iter().filter(|it| is(it, Following::Live)));
        let (config, _) = toml::change(Origin { file, text: &live }, self.clone())?;
        let own = values(self);
        let waiting = said.iter().filter(|it| is(it, Following::Restart) && !own.contains(it));
        let refused = said.iter().filter(|it| is(it, Following::Own));
        let (waiting, refused) = (waiting.cloned().collect(), refused.cloned().collect());
        Ok(Followed { config, waiting, refused })
    }

    /// This configuration changed by a text, which is called `file` in errors and says nothing that takes a restart.
    ///
    /// # Errors
    /// As of [`parse`](Self::parse), and a setting that takes one: then nothing is changed.
    pub fn edit(&self, file: &str, changes: &str) -> Result<Self, ConfigError> {
        let (config, places) = toml::change(Origin { file, text: changes }, self.clone())?;
        let said = said(&config, &places);
        let fixed = said.iter().find(|it| following(it.section, it.name) != Following::Live);
        match fixed {
            None => Ok(config),
            Some(KeyValue { section, name, .. }) => Err(places.error(Contradiction {
                keys: vec![(section, name)],
                allowed: "settings that need no restart".to_owned(),
            })),
        }
    }
}

/// The keys that a text has, with their values.
fn said(config: &Config, places: &Places<'_>) -> Vec<KeyValue> {
    let is_given = |it: &KeyValue| {
        keys::find(it.section, it.name).is_some_and(|(index, _)| places.is_given(index))
    };
    values(config).into_iter().filter(is_given).collect()
}

fn text<'a>(values: impl Iterator<Item = &'a KeyValue>) -> String {
    let (mut text, mut before) = (String::new(), "");
    for KeyValue { section, name, value, .. } in values {
        if *section != before {
            text += &alloc::format!("[{section}]\n");
            before = section;
        }
        text += &alloc::format!("{name} = {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECRET;
    use core::time::Duration;
    use std::string::ToString;

    fn parse(text: &str) -> Config {
        Config::parse("own", text).unwrap()
    }

    #[test]
    fn what_is_not_anothers_to_say_is_named_and_changes_nothing() {
        let theirs = "[http]\nport = 81\nheaders_max = 7\n[admin]\ntoken = \"0123456789abcdef\"\n";
        let Followed { config, waiting, refused } = parse("").follow("a", theirs).unwrap();
        let names: Vec<_> = refused.iter().map(|it| (it.section, it.name)).collect();
        assert_eq!(names, [("http", "port"), ("admin", "token")]);
        assert_eq!((config, waiting), (parse("[http]\nheaders_max = 7\n"), Vec::new()));
    }

    #[test]
    fn each_key_is_in_force_at_once_or_takes_a_restart_or_is_ones_own() {
        for (expected, keys) in [
            (
                Following::Live,
                "http.headers_max fastcgi.body_timeout_seconds gopher.listing log.level tasks.tasks_max shutdown.drain_seconds",
            ),
            (
                Following::Restart,
                "http.index http.requests_per_minute_max http.compress http.compress_bytes_min http.compress_streams_max \
                 http.compress_bytes_per_second_max site.x tls.redirect tls.hsts_seconds tls.handshake_timeout_seconds \
                 tls.handshakes_max tcp.time_wait_seconds rpc.nesting_max zmq.x memory.x sessions.x affinity.x",
            ),
            (
                Following::Own,
                "http.port tls.port rpc.secure_port http.hosts http.site_root gopher.host log.syslog rpc.websocket_path \
                 rpc.websocket_origins rpc.key rpc.host rpc.strangers rpc.peers rpc.epochs rpc.log_references \
                 zmq.websocket_path zmq.websocket_origins memory.peers_bytes_max sessions.carry_over affinity.key \
                 tls.ticket_key network.hostname admin.token capabilities.a",
            ),
        ] {
            for key in keys.split_whitespace() {
                let (section, name) = key.split_once('.').unwrap();
                assert_eq!(following(section, name), expected, "{key}");
            }
        }
    }

    /// Every key of every kind is shared as it reads back, and none that is each one's own.
    #[test]
    fn what_is_shared_is_read_back_and_has_no_secret() {
        let config = parse(
            "[http]\nport = 81\nhosts = [\"a.example\"]\nindex = \"a.html\"\nhead_timeout_seconds = 7\n\
             [tls]\nticket_key = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n\
             [rpc]\nstrangers = [\"admin\"]\nnesting_max = 9\n[capabilities]\na = \"capnp://insecure@a:1\"\n\
             [admin]\ntoken = \"0123456789abcdef\"\n[log]\nlevel = \"debug\"\n",
        );
        let shared = config.shared_settings();
        for part in ["head_timeout_seconds = 7\n", "index = \"a.html\"", "nesting_max = 9"] {
            assert!(shared.contains(part), "{part}");
        }
        for part in [SECRET, "port = ", "hosts", "strangers", "capabilities", "token", "0123456789"]
        {
            assert!(!shared.contains(part), "{part}");
        }
        let followed = parse("").follow("a", &shared).unwrap();
        let Followed { config: follower, waiting, refused } = followed;
        assert_eq!(refused, []);
        assert_eq!(follower.http.head_timeout, Duration::from_secs(7));
        assert_eq!(follower.log.level, log::LevelFilter::Debug);
        let (port, hosts) = (follower.http.port, &follower.http.hosts);
        assert_eq!((port, hosts.len(), follower.rpc.nesting_max), (80, 0, 64));
        let waiting: Vec<_> = waiting.iter().map(|it| (it.section, it.name)).collect();
        assert_eq!(waiting, [("http", "index"), ("rpc", "nesting_max")]);
    }

    #[test]
    fn what_another_does_not_say_or_may_not_say_stays() {
        let own =
            parse("[network]\nhostname = \"own\"\n[http]\nheaders_max = 7\naccess_log = true\n");
        let theirs = "[network]\nhostname = \"theirs\"\n[http]\nport = 1\nheaders_max = 8\n\
                      [capabilities]\na = \"capnp://insecure@a:1\"\n[rpc]\nstrangers = [\"*\"]\n";
        let mut expected = own.clone();
        expected.http.headers_max = 8;
        let followed = own.follow("a", theirs).unwrap();
        assert_eq!((followed.config, followed.waiting), (expected, Vec::new()));
    }

    #[test]
    fn broken_settings_change_nothing_and_are_said_with_their_place() {
        let long = "x".repeat(300_000);
        for (theirs, said) in [
            ("[http]\nheaders_max = 0\n", "origin:2:15: found `0`; allowed: a whole number"),
            ("[htp]\n", "origin:1:2: found `htp`"),
            ("\u{0}", "origin:1:2: found key"),
            (long.as_str(), "origin:1:1: found a file of 300000 bytes"),
        ] {
            let error = parse("").follow("origin", theirs).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn an_edit_changes_what_needs_no_restart_and_is_refused_otherwise() {
        let own = parse("[http]\nheaders_max = 7\n[capabilities]\na = \"capnp://insecure@a:1\"\n");
        let edited = own.edit("edit", "[log]\nlevel = \"warn\"\n").unwrap();
        assert_eq!((edited.log.level, edited.http.headers_max), (log::LevelFilter::Warn, 7));
        assert_eq!(edited.capabilities, own.capabilities);
        for (changes, said) in [
            ("[log]\nlevel = \"warn\"\n[http]\nport = 81\n", "edit:4:1: found `port = 81`"),
            ("[tcp]\ntime_wait_seconds = 7\n", "edit:2:1: "),
            ("[capabilities]\nb = \"capnp://insecure@a:1\"\n", "edit:2:1: "),
            ("[log]\nlevel = \"loud\"\n", "edit:2:9: found `\"loud\"`"),
        ] {
            let error = own.edit("edit", changes).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn of_sections_of_which_there_may_be_several_the_keys_that_are_said_are_refused() {
        let theirs =
            "[[site_rule]]\npath = \"/a\"\n[[database]]\nuser = \"u\"\n[http]\nheaders_max = 8\n";
        let Followed { config, waiting, refused } = parse("").follow("a", theirs).unwrap();
        let refused: Vec<_> = refused.iter().map(|it| (it.section, it.name)).collect();
        assert_eq!(refused, [("site_rule", "path"), ("database", "user")]);
        assert_eq!((config.http.headers_max, waiting), (8, Vec::new()));
        assert!(config.site_rules.is_empty() && config.databases.is_empty());
    }
}
