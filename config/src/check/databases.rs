//! What must hold of each `[[database]]`, of all of them together, and of what the bundle has for them.

use crate::{Bundle, Config, Database, SslMode};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

/// A fault of one of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its section.
    pub(crate) section: &'static str,
    /// Which, from zero.
    pub(crate) number: usize,
    /// The key to change.
    pub(crate) key: &'static str,
    pub(crate) allowed: String,
}

/// The first fault of each.
pub(crate) fn check(config: &Config, bundle: &Bundle<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, database) in config.databases.iter().enumerate() {
        let earlier = config.databases.get(..number).unwrap_or(&[]);
        let checked = unique(database, earlier)
            .and_then(|()| complete(database))
            .and_then(|()| password(database, bundle))
            .and_then(|()| authorities(database, config, bundle))
            .and_then(|()| server_name(database));
        let fault = |(key, allowed)| Fault { section: "database", number, key, allowed };
        faults.extend(checked.err().map(fault));
    }
    faults
}

type Checked = Result<(), (&'static str, String)>;

fn unique(database: &Database, earlier: &[Database]) -> Checked {
    if earlier.iter().any(|other| other.name == database.name) {
        return Err(("name", format!("each name once, and `{}` is another's", database.name)));
    }
    Ok(())
}

/// What has no default.
fn complete(database: &Database) -> Checked {
    if database.servers.is_empty() {
        return Err(("servers", "a server at least, as servers = [\"10.9.0.5:5432\"]".to_owned()));
    }
    if database.user.is_empty() {
        return Err(("user", "the role that it is asked as, as user = \"shop\"".to_owned()));
    }
    Ok(())
}

fn password(database: &Database, bundle: &Bundle<'_>) -> Checked {
    let path = &database.password_file;
    if path.is_empty() {
        return Ok(());
    }
    if !database.password.is_empty() {
        return Err(("password_file", "either password or password_file".to_owned()));
    }
    let Some(file) = bundle.get(path) else {
        return Err(("password_file", format!("a file of the bundle, and {path} is none")));
    };
    let is_line = |text: &str| !text.trim_end_matches(['\r', '\n']).contains(['\n', '\0']);
    match core::str::from_utf8(file.bytes) {
        Ok(text) if is_line(text) => Ok(()),
        _ => Err(("password_file", format!("a file with one line of text, and {path} has other"))),
    }
}

/// Whoever wants certificates checked says by whom.
fn authorities(database: &Database, config: &Config, bundle: &Bundle<'_>) -> Checked {
    let path = &database.authorities;
    if !path.is_empty() && bundle.get(path).is_none() {
        return Err(("authorities", format!("a file of the bundle, and {path} is none")));
    }
    let is_known = !path.is_empty() || !config.tls.authorities.is_empty();
    if database.ssl_mode.is_verifying() && !is_known {
        let allowed = format!(
            "authorities here or in [tls] for sslmode = \"{}\", or \"require\", which checks no certificate, or \"disable\"",
            database.ssl_mode
        );
        return Err(("sslmode", allowed));
    }
    Ok(())
}

/// A certificate is for a host: what has none is given one.
fn server_name(database: &Database) -> Checked {
    let is_nameless =
        |server: &String| server.starts_with("unix:") || server.starts_with("service:");
    let is_needed = database.ssl_mode == SslMode::VerifyFull && database.server_name.is_empty();
    match database.servers.iter().find(|server| is_needed && is_nameless(server)) {
        None => Ok(()),
        Some(server) => Err((
            "servers",
            format!("a server_name, too, which the certificate of {server} is for"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Bundle, Config, cpio};
    use std::string::{String, ToString};

    fn load(text: &str) -> Result<Config, String> {
        let mut writer = cpio::Writer::new();
        writer.file("appliance.toml", text.as_bytes(), 0).unwrap();
        writer.file("site/index.html", b"hello", 0).unwrap();
        writer.file("db/password", b"secret\n", 0).unwrap();
        writer.file("db/two", b"secret\nmore\n", 0).unwrap();
        writer.file("db/ca.pem", b"", 0).unwrap();
        let archive = writer.finish();
        Config::load(&Bundle::parse(&archive).unwrap(), "").map_err(|error| error.to_string())
    }

    const GOOD: &str = "[[database]]\nservers = [\"a:1\"]\nuser = \"u\"\nsslmode = \"disable\"\n";

    #[test]
    fn there_may_be_several_each_with_its_own_keys() {
        let two = GOOD.to_string()
            + "[http]\nport = 81\n[[database]]\nname = \"log\"\nservers = [\"b:2\", \"service://pg\"]\nuser = \"v\"\nserver_name = \"b\"\n\
               authorities = \"db/ca.pem\"\npassword_file = \"db/password\"\nconnections_max = 3\n";
        let databases = load(&two).unwrap().databases;
        let seen: std::vec::Vec<_> = databases
            .iter()
            .map(|it| (&*it.name, it.servers.len(), &*it.user, it.connections_max))
            .collect();
        assert_eq!(seen, [("main", 1, "u", 8), ("log", 2, "v", 3)]);
        assert!(load("").unwrap().databases.is_empty());
    }

    #[test]
    fn each_fault_is_refused_at_its_own_line() {
        for (more, start) in [
            ("[[database]]\n", "appliance.toml:5:1: found `[[database]]`; allowed: each name once"),
            (
                "[[database]]\nname = \"b\"\n",
                "appliance.toml:5:1: found `[[database]]`; allowed: a server",
            ),
            (
                "[[database]]\nname = \"b\"\nservers = []\n",
                "appliance.toml:7:1: found `servers = []`; allowed: a server",
            ),
            (
                "[[database]]\nname = \"b\"\nservers = [\"a:1\"]\n",
                "appliance.toml:5:1: found `[[database]]`; allowed: the role",
            ),
            (
                "[[database]]\nname = \"b\"\nservers = [\"a:1\"]\nuser = \"u\"\n",
                "appliance.toml:5:1: found `[[database]]`; allowed: authorities here",
            ),
            (
                "[[database]]\nname = \"b\"\nservers = [\"a:1\"]\nuser = \"u\"\nsslmode = \"verify-ca\"\n",
                "appliance.toml:9:1: found `sslmode = \"verify-ca\"`; allowed: authorities here",
            ),
            (
                "[[database]]\nname = \"b\"\nservers = [\"a:1\"]\nuser = \"u\"\nauthorities = \"x\"\n",
                "appliance.toml:9:1: found `authorities = \"x\"`; allowed: a file of the bundle",
            ),
            (
                "password_file = \"x\"\n",
                "appliance.toml:5:1: found `password_file = \"x\"`; allowed: a file of the bundle",
            ),
            (
                "password_file = \"db/two\"\n",
                "appliance.toml:5:1: found `password_file = \"db/two\"`; allowed: a file with one line",
            ),
            (
                "password = \"p\"\npassword_file = \"db/password\"\n",
                "appliance.toml:6:1: found `password_file = \"db/password\"`; allowed: either",
            ),
            ("user = \"v\"\n", "appliance.toml:5:1: found `user`; allowed: each key once"),
            (
                "colour = \"red\"\n",
                "appliance.toml:5:1: found `colour`; allowed: in [[database]] the keys name, servers,",
            ),
            ("sslmode = \"allow\"\n", "appliance.toml:5:"),
            ("methods = [\"md5\", \"md5\"]\n", "appliance.toml:5:19:"),
            ("connections_max = 0\n", "appliance.toml:5:19:"),
            (
                "[database]\n",
                "appliance.toml:5:2: found `database`; allowed: [[database]] for this section",
            ),
            ("[[http]]\n", "appliance.toml:5:3: found `http`; allowed: [http] for this section"),
        ] {
            let error = load(&(GOOD.to_string() + more)).expect_err(more);
            assert!(error.starts_with(start), "{more}: {error}");
        }
    }

    #[test]
    fn a_certificate_is_for_a_name_that_a_server_has_or_is_given() {
        let with = |servers: &str, more: &str| {
            load(&std::format!(
                "[[database]]\nservers = [{servers}]\nuser = \"u\"\nauthorities = \"db/ca.pem\"\n{more}\n"
            ))
        };
        for nameless in ["unix:/run/pg", "service://pg"] {
            let servers = std::format!("\"a:1\", \"{nameless}\"");
            let error = with(&servers, "sslmode = \"verify-full\"").unwrap_err();
            let said = std::format!(
                "allowed: a server_name, too, which the certificate of {nameless} is for"
            );
            assert!(error.starts_with("appliance.toml:2:1:") && error.ends_with(&said), "{error}");
            for fits in ["server_name = \"b\"", "sslmode = \"verify-ca\"", "sslmode = \"require\""]
            {
                with(&servers, fits).unwrap();
            }
        }
        with("\"a:1\", \"[fd00::1]:2\"", "").unwrap();
    }

    #[test]
    fn sessions_are_kept_by_a_database_that_there_is() {
        let kept = |name: &str| {
            load(&std::format!("[sessions]\ncarry_over = \"database:{name}\"\n{GOOD}"))
        };
        assert!(kept("main").is_ok());
        assert!(kept("a b").unwrap_err().contains("a database as"));
        let error = kept("other").unwrap_err();
        assert!(
            error.starts_with("appliance.toml:2:1:") && error.contains("`other` is none"),
            "{error}"
        );
    }

    #[test]
    fn sixteen_are_allowed() {
        let many = |count: usize| {
            let one = |number| {
                std::format!(
                    "[[database]]\nname = \"d{number}\"\nservers = [\"a:1\"]\nuser = \"u\"\nsslmode = \"disable\"\n"
                )
            };
            load(&(0..count).map(one).collect::<String>())
        };
        assert_eq!(many(16).unwrap().databases.len(), 16);
        assert!(many(17).unwrap_err().contains("at most 16 of [[database]]"));
    }

    #[test]
    fn the_password_is_in_no_error_and_no_view() {
        let text = GOOD.to_string() + "password = \"deadbeef\"\n";
        let config = load(&text).unwrap();
        assert_eq!(config.databases[0].password, "deadbeef");
        let shown = std::format!("{config:?} {:?}", crate::values(&config));
        assert!(!shown.contains("deadbeef") && shown.contains("(secret)"), "{shown}");
        assert!(shown.contains("Database(main: u to \"\" at [\"a:1\"], disable)"), "{shown}");
        let error = load(&(text + "password = \"deadbeef\"\n")).unwrap_err();
        assert!(!error.contains("deadbeef"), "{error}");
    }
}
