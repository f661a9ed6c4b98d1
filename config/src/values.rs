//! Values: a configuration as an operator may see it, key by key, without its secrets.

use crate::keys::{KEYS, Key, Rule, is_repeated};
use crate::{ClientCertificates, Config, Database, Serving, Site, SiteHost, SiteRule};
use alloc::{format, string::String, vec::Vec};
use core::fmt::Display;

/// A key, and the value that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The section.
    pub section: &'static str,
    /// The name in it.
    pub name: &'static str,
    /// The value as `appliance.toml` has it; [`SECRET`] for a secret that is set.
    pub value: String,
    /// It is the default.
    pub is_default: bool,
}

/// What stands for a secret.
pub const SECRET: &str = "(secret)";

/// Every key with its value, in the order of the file; those of a section of which there may be several for each of them.
pub fn values(config: &Config) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(KEYS.len());
    for section in KEYS.chunk_by(|one, next| one.section == next.section) {
        if section.first().is_some_and(|key| is_repeated(key.section)) {
            // Each as the only one.
            match section.first().map_or("", |key| key.section) {
                "site_host" => config.site_hosts.iter().for_each(|it| {
                    add(
                        section,
                        Config { site_hosts: [it.clone()].into(), ..Config::default() },
                        &mut all,
                    );
                }),
                "site_rule" => config.site_rules.iter().for_each(|it| {
                    add(
                        section,
                        Config { site_rules: [it.clone()].into(), ..Config::default() },
                        &mut all,
                    );
                }),
                _ => config.databases.iter().for_each(|it| {
                    add(
                        section,
                        Config { databases: [it.clone()].into(), ..Config::default() },
                        &mut all,
                    );
                }),
            }
        } else {
            add(section, config.clone(), &mut all);
        }
    }
    all
}

fn add(keys: &[Key], mut config: Config, all: &mut Vec<KeyValue>) {
    let mut defaults = Config {
        databases: [Database::default()].into(),
        site_hosts: [SiteHost::default()].into(),
        site_rules: [SiteRule::default()].into(),
        ..Config::default()
    };
    all.extend(keys.iter().map(|key| {
        let value = shown(key, &mut config);
        let is_default = value == shown(key, &mut defaults);
        KeyValue { section: key.section, name: key.name, value, is_default }
    }));
}

fn shown(key: &Key, config: &mut Config) -> String {
    match &key.rule {
        Rule::Flag(field) => format!("{}", field(config)),
        Rule::Count { field, .. } => format!("{}", field(config).get()),
        Rule::Seconds { field, .. } => format!("{}", field(config).as_secs()),
        Rule::Port(field) => format!("{}", field(config)),
        Rule::PortOrOff(field) => format!("{}", field(config).unwrap_or(0)),
        Rule::Text { .. } | Rule::List { .. } => text(config, key.section, key.name),
        Rule::Named { .. } => {
            let names = config.capabilities.references.iter().map(|(name, _)| name);
            let pairs: Vec<_> = names.map(|name| format!("{name} = \"{SECRET}\"")).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// The value of a key that holds a text, or a list of them.
fn text(config: &Config, section: &str, name: &str) -> String {
    if is_repeated(section) {
        return repeated_text(config, section, name);
    }
    let Config { network, http, gopher, tls, tcp, storage, sessions, affinity, admin, .. } = config;
    match (section, name) {
        ("network", "addresses") => list(&network.addresses),
        ("network", "gateways") => list(&network.gateways),
        ("network", "dns") => list(&network.dns),
        ("network", "hostname") => quoted(&network.hostname),
        ("http", "hosts") => list(&http.hosts),
        ("http", "site_root") => quoted(&http.site_root),
        ("http", "access_log_format") => quoted(&http.access_log_format),
        ("http", "index") => quoted(&http.index),
        ("http", "server_header") => quoted(&http.server_header),
        ("site", _) => site_text(&config.site, name),
        ("gopher", "host") => quoted(&gopher.host),
        ("tls", "certificates") => list(&tls.certificates),
        ("tls", "keys") => list(&tls.keys),
        ("tls", "clients") => quoted(&match tls.clients {
            ClientCertificates::Off => "off",
            ClientCertificates::Optional => "optional",
            ClientCertificates::Required => "required",
        }),
        ("tls", "client_authorities") => quoted(&tls.client_authorities),
        ("tls", "client_fingerprints") => list(&tls.client_fingerprints),
        ("tls", "authorities") => quoted(&tls.authorities),
        ("tls", "ticket_key") => secret(tls.ticket_key.is_some()),
        ("tcp", "congestion_control") => quoted(&tcp.congestion_control.name()),
        ("storage", "site_folder") => quoted(&storage.site_folder),
        // Who knows where sessions are kept may be able to read them.
        ("sessions", "carry_over") => secret(!sessions.carry_over.is_empty()),
        ("affinity", "key") => secret(affinity.key.is_some()),
        ("affinity", "owner_lost") => {
            quoted(&if affinity.begins_when_lost { "begin" } else { "refuse" })
        }
        // References may have tokens.
        ("names", "servers") => {
            list(&config.names.servers.iter().map(|_| SECRET).collect::<Vec<_>>())
        }
        ("names", "address") => match &config.names.address {
            Some(address) => quoted(address),
            None => quoted(&""),
        },
        ("names", "ways") => list(&config.names.ways),
        ("proxy", "routes") => list(&config.proxy.routes),
        ("balance", "policy") => quoted(&config.balance.policy),
        ("admin", "token") => secret(admin.token.is_some()),
        ("admin", "client_authorities") => quoted(&admin.client_authorities),
        ("admin", "client_fingerprints") => list(&admin.client_fingerprints),
        ("admin", "hosts") => list(&admin.hosts),
        ("conf", "from") => quoted(&config.conf.from),
        ("relay", "listen_ports") => list(&config.relay.listen_ports),
        ("relay", "connect_targets") => list(&config.relay.connect_targets),
        ("relay", "through") => quoted(&config.relay.through),
        ("unix" | "shared_memory", _) => path_text(config, section, name),
        ("rpc", "websocket_path") => quoted(&config.rpc.websocket_path),
        ("rpc", "websocket_origins") => list(&config.rpc.websocket_origins),
        ("zmq", "websocket_path") => quoted(&config.zmq.websocket_path),
        ("zmq", "websocket_origins") => list(&config.zmq.websocket_origins),
        ("rpc", "key") => quoted(&config.rpc.key),
        ("rpc", "host") => quoted(&config.rpc.host),
        ("rpc", "strangers") => list(&config.rpc.strangers),
        ("rpc", "peers") => list(&config.rpc.peers),
        ("rpc", "epochs") => list(&config.rpc.epochs),
        ("log", "level") => quoted(&config.log.level.as_str().to_ascii_lowercase()),
        ("log", "format") => quoted(&config.log.format.name()),
        ("log", "syslog") => match &config.log.syslog {
            Some(place) => quoted(place),
            None => quoted(&""),
        },
        // A test finds what is missing here.
        _ => String::new(),
    }
}

fn path_text(config: &Config, section: &str, name: &str) -> String {
    let Config { unix, shared_memory, .. } = config;
    match (section, name) {
        ("shared_memory", "http_path") => quoted(&shared_memory.http_path),
        ("shared_memory", "rpc_path") => quoted(&shared_memory.rpc_path),
        ("shared_memory", "zmq_path") => quoted(&shared_memory.zmq_path),
        ("unix", "http") => quoted(&unix.http),
        ("unix", "fastcgi") => quoted(&unix.fastcgi),
        ("unix", "rpc") => quoted(&unix.rpc),
        ("unix", "secure_rpc") => quoted(&unix.secure_rpc),
        ("unix", "zmq") => quoted(&unix.zmq),
        ("unix", "admin") => quoted(&unix.admin),
        ("unix", "mode") => format!("\"{:04o}\"", unix.mode),
        _ => String::new(),
    }
}

/// The value of a key of a section of which there may be several: of the last.
fn repeated_text(config: &Config, section: &str, name: &str) -> String {
    let shown = match section {
        "site_host" => config.site_hosts.last().map(|own| host_text(own, name)),
        "site_rule" => config.site_rules.last().map(|own| rule_text(own, name)),
        _ => config.databases.last().map(|own| database_text(own, name)),
    };
    shown.unwrap_or_default()
}

fn site_text(site: &Site, name: &str) -> String {
    match name {
        "cache_control" => quoted(&site.cache_control),
        "media_types" => list(&site.media_types),
        _ => serving_text(&site.serving, name),
    }
}

fn serving_text(serving: &Serving, name: &str) -> String {
    match name {
        "clean_urls" => quoted(&serving.clean_urls),
        "fallback" => quoted(&serving.fallback),
        "errors" => quoted(&serving.errors),
        _ => String::new(),
    }
}

fn host_text(host: &SiteHost, name: &str) -> String {
    match name {
        "names" => list(&host.names),
        "root" => quoted(&host.root),
        "index" => quoted(&host.index),
        _ => serving_text(&host.serving, name),
    }
}

fn rule_text(rule: &SiteRule, name: &str) -> String {
    match name {
        "path" => quoted(&rule.path),
        "hosts" => list(&rule.hosts),
        "cache_control" => quoted(&rule.cache_control),
        "headers" => list(&rule.headers),
        "remove_headers" => list(&rule.remove_headers),
        // Whoever has a hash can try passwords.
        "users" => match rule.users.as_deref() {
            Some([]) => list(&["*"]),
            users => {
                let users = users.unwrap_or_default().iter();
                list(&users.map(|_| SECRET).collect::<Vec<_>>())
            }
        },
        "realm" => quoted(&rule.realm),
        "allow" => list(rule.allow.as_deref().unwrap_or_default()),
        "deny" => list(rule.deny.as_deref().unwrap_or_default()),
        _ => String::new(),
    }
}

fn database_text(database: &Database, name: &str) -> String {
    match name {
        "name" => quoted(&database.name),
        "servers" => list(&database.servers),
        "user" => quoted(&database.user),
        "password" => secret(!database.password.is_empty()),
        "password_file" => quoted(&database.password_file),
        "database" => quoted(&database.database),
        "sslmode" => quoted(&database.ssl_mode),
        "authorities" => quoted(&database.authorities),
        "server_name" => quoted(&database.server_name),
        "target_session_attrs" => quoted(&database.target),
        "methods" => list(&database.methods),
        _ => String::new(),
    }
}

fn secret(is_set: bool) -> String {
    quoted(&if is_set { SECRET } else { "" })
}

/// As TOML has texts; none that a key takes has control characters.
fn quoted(text: &dyn Display) -> String {
    let text = format!("{text}");
    if text.contains(['"', '\\']) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    format!("\"{text}\"")
}

fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, DEFAULT_TOML};
    use std::string::ToString;

    #[test]
    fn the_defaults_are_those_that_the_file_shows() {
        let with_one = Config {
            databases: [Database::default()].into(),
            site_hosts: [SiteHost::default()].into(),
            site_rules: [SiteRule::default()].into(),
            ..Config::default()
        };
        for KeyValue { section, name, value, is_default } in values(&with_one) {
            assert!(is_default);
            if section == "capabilities" {
                // It has no keys of its own.
                assert_eq!(value, "{}");
                continue;
            }
            let heading = crate::keys::heading(section);
            let heading = heading.strip_prefix('[').unwrap();
            let part = DEFAULT_TOML.split_once(&format!("[{heading}\n")).unwrap().1;
            let line = part.lines().find_map(|line| line.strip_prefix(&format!("#{name} = ")));
            assert_eq!(
                value.replace('_', ""),
                line.unwrap().replace('_', ""),
                "[{section}] {name}"
            );
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same_configuration() {
        let file = "[network]\naddresses = [\"10.9.0.2/24\", \"fd00::2/64\"]\ngateways = [\"10.9.0.1\"]\n\
            [tls]\nclients = \"optional\"\nclient_fingerprints = [\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\"]\n\
            [tcp]\ncongestion_control = \"bbr\"\n[rpc]\nepochs = [\"admin 2\"]\n\
            peers = [\"sha-256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8 admin\"]\n[affinity]\nowner_lost = \"refuse\"\n[log]\nlevel = \"debug\"\n";
        let config = load(file);
        let mut again = String::new();
        let mut before = "";
        for KeyValue { section, name, value, .. } in values(&config) {
            if section == "capabilities" {
                continue;
            }
            if section != before {
                again += &format!("[{section}]\n");
                before = section;
            }
            again += &format!("{name} = {value}\n");
        }
        assert_eq!(load(&again), config);
    }

    #[test]
    fn secrets_are_not_shown() {
        let secrets = [
            (
                "tls",
                "ticket_key",
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            ),
            ("affinity", "key", "0123456789abcdef0123456789abcdef"),
            ("admin", "token", "0123456789abcdef-token"),
            ("sessions", "carry_over", "http://10.9.0.1/0123456789abcdef"),
        ];
        let file: String = secrets
            .iter()
            .map(|(section, name, secret)| format!("[{section}]\n{name} = \"{secret}\"\n"))
            .collect();
        let file = file
            + "[capabilities]\nstore = \"capnp://sha-256:AAAA@10.9.0.3:7001/0123456789abcdef\"\n";
        let shown = values(&load(&file));
        for (section, name, _) in secrets {
            let own = shown.iter().find(|it| (it.section, it.name) == (section, name)).unwrap();
            assert_eq!((own.value.as_str(), own.is_default), ("\"(secret)\"", false), "{name}");
        }
        let store = shown.iter().find(|it| it.section == "capabilities").unwrap();
        assert_eq!((store.value.as_str(), store.is_default), ("{store = \"(secret)\"}", false));
        assert!(!format!("{shown:?}").contains("0123456789abcdef"));
    }

    fn load(file: &str) -> Config {
        let mut writer = crate::cpio::Writer::new();
        writer.file("appliance.toml", file.as_bytes(), 0).unwrap();
        writer.file("site/index.html", b"hello", 0).unwrap();
        let archive = writer.finish();
        Config::load(&Bundle::parse(&archive).unwrap(), "")
            .map_err(|error| error.to_string())
            .unwrap()
    }
}
