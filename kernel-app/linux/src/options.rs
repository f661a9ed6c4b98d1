//! Command line of the process.

use config::{Bundle, Config};
use lexopt::{Arg, ValueExt};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// What `--help` says.
pub(crate) const HELP: &str = "\
usage: aqueduct --bundle FILE_OR_DIR [options]
       aqueduct --disk FILE [options]

  --bundle FILE_OR_DIR   the boot bundle, or the folder it would be made from
  --disk FILE            a disk: an archive, a file system, or a block device; without --bundle,
                         the first is the bundle
  --http ADDRESS:PORT    where HTTP is served; the other services are on the same address
                         (default: all addresses, IPv6's [::] and IPv4's, and the port of
                         appliance.toml; 0.0.0.0:PORT is IPv4's alone)
  --tap NAME [WORD...]   our own network stack on this TAP, instead of the kernel's sockets
  --ip ADDRESS/PREFIX    its address; --ip dhcp asks for one (default: what appliance.toml says)
  --gw ADDRESS           its gateway; WORDs are those of the image's command line
  --rpc-port PORT        the port of the Cap'n Proto services in the clear; 0, the default, is off
  --rpc-secure-port PORT the port of the same by TLS, for vats with keys; 0, the default, is off
  --log-references       writes the references of these services to the log: they are secrets
  --capability SERVICE@HOST:PORT
                         prints the reference of a service of this bundle at that address, or at
                         the path of a Unix-domain socket, and serves nothing; given once for each
  --zmq-port PORT        the port of the ZeroMQ service; 0 is off
  --fastcgi-port PORT    the port at which a web server asks by FastCGI; 0 is off
  --gopher-port PORT     the port of Gopher; 0 is off
  --https-port PORT      the port of HTTPS; 0 is off
  --admin ADDRESS:PORT   where operators look inside, as 127.0.0.1:9001; on loopback without a token
  --admin-port PORT      the same port of a TAP, or of 127.0.0.1; 0 is off
  --log LEVEL            off, error, warn, info, debug or trace
  --help                 this text

Each option is given once, --ip and --gw once for each address, and --disk once for each disk.";

/// What a port may be.
const PORT_OR_OFF: &str = "a port from 1 to 65535, or 0 for off";
/// Words of the image's command line that hold one value each.
const SINGLE_WORDS: &[&str] = &[
    "http_port",
    "rpc_port",
    "rpc_secure_port",
    "zmq_port",
    "fastcgi_port",
    "gopher_port",
    "https_port",
    "log_references",
    "admin_port",
    "log",
];
/// Options that choose a port, and the words that say the same.
const PORTS: [(&str, &str); 7] = [
    ("rpc-port", "rpc_port"),
    ("rpc-secure-port", "rpc_secure_port"),
    ("zmq-port", "zmq_port"),
    ("fastcgi-port", "fastcgi_port"),
    ("gopher-port", "gopher_port"),
    ("https-port", "https_port"),
    ("admin-port", "admin_port"),
];

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where the bundle is; none if it is on the first disk.
    pub(crate) bundle: Option<PathBuf>,
    /// Files, or devices, that are the process's disks.
    pub(crate) disks: Vec<PathBuf>,
    /// On which address services listen; none is all.
    pub(crate) address: Option<IpAddr>,
    /// On which address operators are listened for; none is loopback's.
    pub(crate) operators: Option<IpAddr>,
    /// The TAP that takes the place of the kernel's sockets.
    pub(crate) tap: Option<String>,
    /// Services whose references are asked for, each with the address that they are to name.
    pub(crate) capabilities: Vec<(String, String)>,
    /// Words of the image's command line.
    words: Vec<String>,
    /// The same, for options that a process has on any network.
    overrides: Vec<String>,
}

impl Options {
    /// The bundle's configuration, overruled by the command line.
    pub(crate) fn configuration(&self, bundle: &Bundle<'_>) -> Result<Config, String> {
        let words = [&self.words[..], &self.overrides].concat();
        let line = words.join(" ");
        // Nobody but the operator has written them.
        if let Some(word) = config::unknown_words(&line).next() {
            return Err(format!("`{word}` is no word of the command line; see --help"));
        }
        Config::load(bundle, &line).map_err(|error| error.to_string())
    }

    /// Words that say something of a TAP, or a TAP's lack of an address to listen on.
    fn check(&self) -> Result<(), String> {
        match (&self.tap, self.words.first()) {
            (None, Some(word)) => Err(format!("{word} is for a TAP: say --tap NAME")),
            (Some(_), _) if self.overrides.iter().any(|word| word.starts_with("http_port")) => {
                Err("--http is for the kernel's sockets: say http_port=PORT with --tap".into())
            }
            (Some(_), _) if self.operators.is_some() => {
                Err("--admin is for the kernel's sockets: say --admin-port PORT with --tap".into())
            }
            _ => self.check_twice(),
        }
    }

    /// A word's value that another word or option gives, too.
    fn check_twice(&self) -> Result<(), String> {
        let names =
            || self.words.iter().chain(&self.overrides).filter_map(|word| word.split_once('='));
        let count = |name: &str| names().filter(|(other, _)| *other == name).count();
        match SINGLE_WORDS.iter().find(|name| count(name) > 1) {
            None => Ok(()),
            Some(name) => {
                Err(format!("{name} is given twice; allowed: once, as a word or as an option"))
            }
        }
    }
}

/// The words after the process's name; `None` asks for help.
pub(crate) fn parse(
    words: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Option<Options>, String> {
    let mut arguments = lexopt::Parser::from_args(words);
    let mut options = Options {
        bundle: None,
        disks: Vec::new(),
        address: None,
        operators: None,
        tap: None,
        capabilities: Vec::new(),
        words: Vec::new(),
        overrides: Vec::new(),
    };
    let mut given = Vec::new();
    let mut once = |name: &'static str| {
        let first = !given.contains(&name);
        given.push(name);
        if first { Ok(()) } else { Err(format!("--{name} is given twice; allowed: once")) }
    };
    while let Some(argument) = arguments.next().map_err(|error| say(&error))? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("bundle") => {
                once("bundle")?;
                options.bundle = Some(arguments.value().map_err(|error| say(&error))?.into());
            }
            Arg::Long("disk") => {
                options.disks.push(arguments.value().map_err(|error| say(&error))?.into());
            }
            Arg::Long("http") => {
                once("http")?;
                let at = address(&mut arguments, "http")?;
                options.address = Some(at.ip());
                options.overrides.push(format!("http_port={}", at.port()));
            }
            Arg::Long("admin") => {
                once("admin")?;
                let at = address(&mut arguments, "admin")?;
                options.operators = Some(at.ip());
                options.overrides.push(format!("admin_port={}", at.port()));
            }
            Arg::Long("tap") => {
                once("tap")?;
                options.tap = Some(text(&mut arguments)?);
            }
            Arg::Long(name @ ("ip" | "gw")) => {
                let name = name.to_owned();
                options.words.push(format!("{name}={}", text(&mut arguments)?));
            }
            Arg::Value(word) => options.words.push(word.string().map_err(|error| say(&error))?),
            Arg::Long(name) if let Some((name, word)) = port_option(name) => {
                once(name)?;
                let port: u16 = value(&mut arguments, name, PORT_OR_OFF)?;
                options.overrides.push(format!("{word}={port}"));
            }
            Arg::Long("log-references") => {
                once("log-references")?;
                options.overrides.push("log_references=true".into());
            }
            Arg::Long("capability") => options.capabilities.push(capability(&mut arguments)?),
            Arg::Long("log") => {
                once("log")?;
                options.overrides.push(log_word(&mut arguments)?);
            }
            other => return Err(say(&other.unexpected())),
        }
    }
    if options.bundle.is_none() && options.disks.is_empty() {
        return Err("which site? say --bundle FILE_OR_DIR, or --disk FILE".into());
    }
    options.check()?;
    Ok(Some(options))
}

/// What follows an option.
fn text(arguments: &mut lexopt::Parser) -> Result<String, String> {
    arguments.value().and_then(|value| value.string()).map_err(|error| say(&error))
}

/// An option that chooses a port, and the word that says the same.
fn port_option(name: &str) -> Option<(&'static str, &'static str)> {
    PORTS.into_iter().find(|(option, _)| *option == name)
}

/// The value of an option that is an address with a port.
fn address(arguments: &mut lexopt::Parser, name: &str) -> Result<SocketAddr, String> {
    let allowed = "ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080, with a port from 1 to 65535";
    let at: SocketAddr = value(arguments, name, allowed)?;
    if at.port() == 0 { Err(refusal(name, &at.to_string(), allowed)) } else { Ok(at) }
}

/// The value of an option; what is allowed, if it is something else.
fn value<T: FromStr>(
    arguments: &mut lexopt::Parser,
    name: &str,
    allowed: &str,
) -> Result<T, String> {
    let text = text(arguments)?;
    text.parse().map_err(|_| refusal(name, &text, allowed))
}

/// The word that says what `--log` does.
fn log_word(arguments: &mut lexopt::Parser) -> Result<String, String> {
    let allowed = "off, error, warn, info, debug or trace";
    let level: log::LevelFilter = value(arguments, "log", allowed)?;
    Ok(format!("log={}", level.as_str().to_ascii_lowercase()))
}

/// The value of `--capability`.
fn capability(arguments: &mut lexopt::Parser) -> Result<(String, String), String> {
    let text = text(arguments)?;
    match text.split_once('@') {
        Some((service, address))
            if !service.is_empty() && (address.contains(':') || address.starts_with('/')) =>
        {
            Ok((service.to_owned(), address.to_owned()))
        }
        _ => {
            let allowed = "SERVICE@HOST:PORT, as calculator@10.9.0.2:7001, or SERVICE@PATH";
            Err(refusal("capability", &text, allowed))
        }
    }
}

fn refusal(name: &str, found: &str, allowed: &str) -> String {
    format!("--{name}: found `{found}`; allowed: {allowed}")
}

fn say(error: &lexopt::Error) -> String {
    format!("{error}; `aqueduct --help` lists the options")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn every_option_overrules_the_file() {
        let words = "--bundle x --http 127.0.0.1:8080 --rpc-port 7001 --rpc-secure-port 7002 --log-references --zmq-port 0 --fastcgi-port 9000 --gopher-port 70 --https-port 443 --admin [::1]:9001 --log debug";
        let options = parse(words.split(' ')).unwrap().unwrap();
        let config = options.configuration(&Bundle::default()).unwrap();
        assert_eq!(options.address, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!((config.rpc.port, config.zmq.port), (Some(7001), None));
        assert_eq!((config.fastcgi.port, config.gopher.port), (Some(9000), Some(70)));
        assert_eq!(config.tls.port, Some(443));
        assert_eq!((config.rpc.secure_port, config.rpc.log_references), (Some(7002), true));
        assert_eq!((config.http.port, config.admin.port), (8080, Some(9001)));
        assert_eq!(options.operators, Some(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)));
        assert_eq!(config.log.level, log::LevelFilter::Debug);
    }

    #[test]
    fn a_tap_takes_the_words_of_the_image() {
        let words =
            "--bundle x --tap tap0 --ip 10.9.0.2/24 --gw 10.9.0.1 http_port=81 ip=fd09::2/64";
        let options = parse(words.split(' ')).unwrap().unwrap();
        let config = options.configuration(&Bundle::default()).unwrap();
        assert_eq!(options.tap.as_deref(), Some("tap0"));
        assert_eq!((config.network.addresses.len(), config.network.dhcp), (2, false));
        assert_eq!(config.network.gateways, [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1))]);
        assert_eq!(config.http.port, 81);
    }

    #[test]
    fn what_has_one_value_is_given_once() {
        for (words, named) in [
            ("--bundle a --bundle b", "--bundle"),
            ("--bundle x --http 127.0.0.1:80 --http 127.0.0.1:81", "--http"),
            ("--bundle x --admin 127.0.0.1:80 --admin 127.0.0.1:81", "--admin"),
            ("--bundle x --admin 127.0.0.1:80 --admin-port 81", "admin_port"),
            ("--bundle x --tap a --tap b", "--tap"),
            ("--bundle x --rpc-port 1 --rpc-port 1", "--rpc-port"),
            ("--bundle x --zmq-port 0 --zmq-port 1", "--zmq-port"),
            ("--bundle x --gopher-port 0 --gopher-port 1", "--gopher-port"),
            ("--bundle x --log info --log debug", "--log"),
            ("--bundle x --tap t http_port=1 http_port=2", "http_port"),
            ("--bundle x --tap t --rpc-port 1 rpc_port=2", "rpc_port"),
        ] {
            let message = parse(words.split(' ')).unwrap_err();
            assert!(message.starts_with(&format!("{named} is given twice")), "{words}: {message}");
        }
        let words =
            "--bundle x --tap t --ip 10.9.0.2/24 --ip fd09::2/64 --gw 10.9.0.1 --gw fd09::1";
        assert!(parse(words.split(' ')).is_ok());
    }

    #[test]
    fn a_value_out_of_range_says_what_is_allowed() {
        for (words, allowed) in [
            (
                "--rpc-port 70000",
                "--rpc-port: found `70000`; allowed: a port from 1 to 65535, or 0",
            ),
            ("--zmq-port -1", "--zmq-port: found `-1`; allowed: a port from 1 to 65535, or 0"),
            ("--http 127.0.0.1:70000", "--http: found `127.0.0.1:70000`; allowed: ADDRESS:PORT"),
            ("--http 127.0.0.1:0", "--http: found `127.0.0.1:0`; allowed: ADDRESS:PORT"),
            ("--admin 9001", "--admin: found `9001`; allowed: ADDRESS:PORT"),
            ("--log loud", "--log: found `loud`; allowed: off, error"),
        ] {
            let message = parse(format!("--bundle x {words}").split(' ')).unwrap_err();
            assert!(message.starts_with(allowed), "{message}");
        }
    }

    #[test]
    fn the_help_says_where_is_listened_by_default() {
        let options = parse(["--bundle", "x"]).unwrap().unwrap();
        assert_eq!(options.address, None);
        assert!(HELP.contains("all addresses, IPv6's [::] and IPv4's"));
    }

    #[test]
    fn disks_are_in_the_order_of_the_words() {
        let options = parse("--disk b --disk a".split(' ')).unwrap().unwrap();
        assert_eq!((options.bundle, options.disks), (None, vec!["b".into(), "a".into()]));
    }

    #[test]
    fn bad_words_are_named() {
        for (words, named) in [
            (&["--bundle"][..], "--bundle"),
            (&[], "--bundle"),
            (&["--bundle", "x", "--http", "8080"], "8080"),
            (&["--bundle", "x", "--log", "loud"], "loud"),
            (&["--bundle", "x", "--rpc-port", "70000"], "70000"),
            (&["--bundle", "x", "--capability", "admin"], "admin"),
            (&["--bundle", "x", "--capability", "@a:1"], "@a:1"),
            (&["--bundle", "x", "--frob"], "--frob"),
            (&["--bundle", "x", "stray"], "stray"),
            (&["--bundle", "x", "--ip", "10.9.0.2/24"], "ip=10.9.0.2/24"),
            (&["--bundle", "x", "--tap", "t", "--http", "127.0.0.1:80"], "--http"),
            (&["--bundle", "x", "--tap", "t", "--admin", "127.0.0.1:80"], "--admin"),
        ] {
            let message = parse(words).unwrap_err();
            assert!(message.contains(named), "{words:?}: {message}");
        }
    }
}
