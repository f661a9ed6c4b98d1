//! Command line of the process.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};
use clap_complete::Shell;
use config::{Bundle, Config};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Serves a bundle, which is configuration and content, as a Linux process: by the kernel's sockets, or by our own network
/// stack on a TAP.
#[derive(Debug, Parser)]
#[command(version, after_help = NOTES)]
struct Words {
    /// The boot bundle, or the folder it would be made from
    #[arg(long, value_name = "FILE_OR_DIR")]
    bundle: Option<PathBuf>,
    /// A disk: an archive, a file system, or a block device; given once for each. Without --bundle, the first is the bundle
    #[arg(long, value_name = "FILE")]
    disk: Vec<PathBuf>,
    /// Where HTTP is served; the other services are on the same address [default: all addresses, IPv6's [::] and IPv4's, and the
    /// port of appliance.toml; 0.0.0.0:PORT is IPv4's alone]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, conflicts_with = "tap")]
    http: Option<SocketAddr>,
    /// The port of HTTPS; 0 is off
    #[arg(long, value_name = "PORT", value_parser = port_or_off, help_heading = "Ports")]
    https_port: Option<u16>,
    /// The port of the Cap'n Proto services in the clear; 0 is off
    #[arg(long, value_name = "PORT", value_parser = port_or_off, help_heading = "Ports")]
    rpc_port: Option<u16>,
    /// The port of the same by TLS, for vats with keys; 0 is off
    #[arg(long, value_name = "PORT", value_parser = port_or_off, help_heading = "Ports")]
    rpc_secure_port: Option<u16>,
    /// The port of the ZeroMQ service; 0 is off
    #[arg(long, value_name = "PORT", value_parser = port_or_off, help_heading = "Ports")]
    zmq_port: Option<u16>,
    /// The port at which a web server asks by FastCGI; 0 is off
    #[arg(long, value_name = "PORT", value_parser = port_or_off, help_heading = "Ports")]
    fastcgi_port: Option<u16>,
    /// The port of Gopher; 0 is off
    #[arg(long, value_name = "PORT", value_parser = port_or_off, help_heading = "Ports")]
    gopher_port: Option<u16>,
    /// Where operators look inside, as 127.0.0.1:9001; on loopback without a token
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, conflicts_with_all = ["tap", "admin_port"], help_heading = "Ports")]
    admin: Option<SocketAddr>,
    /// The same port of a TAP, or of 127.0.0.1; 0 is off
    #[arg(long, value_name = "PORT", value_parser = port_or_off, help_heading = "Ports")]
    admin_port: Option<u16>,
    /// Our own network stack on this TAP, instead of the kernel's sockets
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    tap: Option<String>,
    /// An address of the TAP's other end, given once for each; `dhcp` asks for one [default: what appliance.toml says]
    #[arg(long, value_name = "ADDRESS/PREFIX", requires = "tap", help_heading = "Network")]
    ip: Vec<String>,
    /// Its gateway, one for IPv4 and one for IPv6
    #[arg(long, value_name = "ADDRESS", requires = "tap", help_heading = "Network")]
    gw: Vec<String>,
    /// With --tap: words of the image's command line, as http_port=81
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// The least level that the log shows [default: what appliance.toml says]
    #[arg(long, value_name = "LEVEL", value_parser = level())]
    log: Option<String>,
    /// Writes the references of the Cap'n Proto services to the log: they are secrets
    #[arg(long)]
    log_references: bool,
    /// Prints the reference of a service of this bundle at that address, or at the path of a Unix-domain socket, and serves
    /// nothing; given once for each
    #[arg(long, value_name = "SERVICE@HOST:PORT", value_parser = capability)]
    capability: Vec<(String, String)>,
    /// Prints completions of a shell, and serves nothing
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completions: Option<Shell>,
    /// Prints the manual page, and serves nothing
    #[arg(long, exclusive = true)]
    man: bool,
}

const NOTES: &str = "\
SIGTERM, SIGINT and SIGHUP stop it: what is under way is finished first, for as long as [shutdown]
drain_seconds says. SIGUSR1 writes the tasks to the log, which is standard error.

Exit status: 0 if it was stopped so, 1 if it did not start, 2 if the command line is not understood,
3 if its TAP is gone, 4 if a second signal ended it at once.

Examples:
  aqueduct --bundle my-site --http 127.0.0.1:8080
  aqueduct --bundle site.cpio --http [::]:80 --https-port 443 --admin 127.0.0.1:9001
  aqueduct --bundle my-site --tap tap0 --ip 10.9.0.2/24 --gw 10.9.0.1 log=debug";

/// What a port may be.
const PORT_OR_OFF: &str = "allowed: a port from 1 to 65535, or 0 for off";
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

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To serve.
    Serve(Options),
    /// To print this, and no more.
    Print(Vec<u8>),
}

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

    /// What the description of the words does not say.
    fn check(&self) -> Result<(), (ErrorKind, String)> {
        if self.bundle.is_none() && self.disks.is_empty() {
            let which = "which site? say --bundle FILE_OR_DIR, or --disk FILE";
            return Err((ErrorKind::MissingRequiredArgument, which.into()));
        }
        if let (None, Some(word)) = (&self.tap, self.words.first()) {
            let why = format!("{word} is for a TAP: say --tap NAME");
            return Err((ErrorKind::UnknownArgument, why));
        }
        let names =
            || self.words.iter().chain(&self.overrides).filter_map(|word| word.split_once('='));
        let count = |name: &str| names().filter(|(other, _)| *other == name).count();
        match SINGLE_WORDS.iter().find(|name| count(name) > 1) {
            None => Ok(()),
            Some(name) => {
                let why =
                    format!("{name} is given twice; allowed: once, as a word or as an option");
                Err((ErrorKind::ArgumentConflict, why))
            }
        }
    }
}

impl From<Words> for Options {
    fn from(given: Words) -> Self {
        let port = |name: &str, port: Option<u16>| port.map(|port| format!("{name}={port}"));
        let overrides = [
            port("http_port", given.http.map(|at| at.port())),
            port("https_port", given.https_port),
            port("rpc_port", given.rpc_port),
            port("rpc_secure_port", given.rpc_secure_port),
            port("zmq_port", given.zmq_port),
            port("fastcgi_port", given.fastcgi_port),
            port("gopher_port", given.gopher_port),
            port("admin_port", given.admin.map(|at| at.port()).or(given.admin_port)),
            given.log.map(|level| format!("log={level}")),
            given.log_references.then(|| "log_references=true".into()),
        ];
        let addresses = given.ip.iter().map(|address| format!("ip={address}"));
        let gateways = given.gw.iter().map(|gateway| format!("gw={gateway}"));
        Self {
            bundle: given.bundle,
            disks: given.disk,
            address: given.http.map(|at| at.ip()),
            operators: given.admin.map(|at| at.ip()),
            tap: given.tap,
            capabilities: given.capability,
            words: addresses.chain(gateways).chain(given.words).collect(),
            overrides: overrides.into_iter().flatten().collect(),
        }
    }
}

/// The description of a process of this name.
pub(crate) fn command(name: &'static str) -> clap::Command {
    Words::command().name(name)
}

/// What the words after the name of the process ask for. The error is what they should be, or what they ask to be told.
pub(crate) fn parse(
    name: &'static str,
    words: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Asked, clap::Error> {
    let all = std::iter::once(name.into()).chain(words.into_iter().map(Into::into));
    let mut given = command(name).try_get_matches_from(all)?;
    let words = Words::from_arg_matches_mut(&mut given)?;
    let mut printed = Vec::new();
    if let Some(shell) = words.completions {
        clap_complete::generate(shell, &mut command(name), name, &mut printed);
        return Ok(Asked::Print(printed));
    }
    if words.man {
        clap_mangen::Man::new(command(name)).render(&mut printed)?;
        return Ok(Asked::Print(printed));
    }
    let options = Options::from(words);
    match options.check() {
        Ok(()) => Ok(Asked::Serve(options)),
        Err((kind, why)) => Err(command(name).error(kind, why)),
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let at = text.parse().ok().filter(|at: &SocketAddr| at.port() > 0);
    at.ok_or("allowed: ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080, with a port from 1 to 65535")
}

fn port_or_off(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| PORT_OR_OFF)
}

fn level() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
}

fn capability(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('@') {
        Some((service, address))
            if !service.is_empty() && (address.contains(':') || address.starts_with('/')) =>
        {
            Ok((service.to_owned(), address.to_owned()))
        }
        _ => Err("allowed: SERVICE@HOST:PORT, as calculator@10.9.0.2:7001, or SERVICE@PATH"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn options(words: &str) -> Result<Options, String> {
        match parse("aqueduct", words.split_whitespace()) {
            Ok(Asked::Serve(options)) => Ok(options),
            Ok(Asked::Print(_)) => panic!("{words} prints"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_option_overrules_the_file() {
        let words = "--bundle x --http 127.0.0.1:8080 --rpc-port 7001 --rpc-secure-port 7002 --log-references --zmq-port 0 --fastcgi-port 9000 --gopher-port 70 --https-port 443 --admin [::1]:9001 --log debug";
        let options = options(words).unwrap();
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
        let options = options(words).unwrap();
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
            ("--bundle x --admin 127.0.0.1:80 --admin-port 81", "--admin-port"),
            ("--bundle x --tap a --tap b", "--tap"),
            ("--bundle x --rpc-port 1 --rpc-port 1", "--rpc-port"),
            ("--bundle x --zmq-port 0 --zmq-port 1", "--zmq-port"),
            ("--bundle x --gopher-port 0 --gopher-port 1", "--gopher-port"),
            ("--bundle x --log info --log debug", "--log"),
            ("--bundle x --tap t http_port=1 http_port=2", "http_port is given twice"),
            ("--bundle x --tap t --rpc-port 1 rpc_port=2", "rpc_port is given twice"),
        ] {
            let message = options(words).unwrap_err();
            assert!(message.contains(named), "{words}: {message}");
        }
        let words =
            "--bundle x --tap t --ip 10.9.0.2/24 --ip fd09::2/64 --gw 10.9.0.1 --gw fd09::1";
        assert!(options(words).is_ok());
    }

    #[test]
    fn a_value_out_of_range_says_what_is_allowed() {
        for (words, allowed) in [
            ("--rpc-port 70000", "a port from 1 to 65535, or 0 for off"),
            ("--zmq-port=-1", "a port from 1 to 65535, or 0 for off"),
            ("--http 127.0.0.1:70000", "allowed: ADDRESS:PORT"),
            ("--http 127.0.0.1:0", "allowed: ADDRESS:PORT"),
            ("--admin 9001", "allowed: ADDRESS:PORT"),
            ("--log loud", "off, error"),
        ] {
            let message = options(&format!("--bundle x {words}")).unwrap_err();
            let (option, value) = words.split_once([' ', '=']).unwrap();
            for part in [option, value, allowed] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn disks_are_in_the_order_of_the_words() {
        let options = options("--disk b --disk a").unwrap();
        assert_eq!((options.address, options.bundle), (None, None));
        assert_eq!(options.disks, ["b", "a"].map(PathBuf::from));
    }

    #[test]
    fn bad_words_are_named() {
        for (words, named) in [
            ("--bundle", "--bundle"),
            ("", "--bundle"),
            ("--bundle x --http 8080", "8080"),
            ("--bundle x --capability admin", "admin"),
            ("--bundle x --capability @a:1", "@a:1"),
            ("--bundle x --frob", "--frob"),
            ("--bundle x stray", "stray"),
            ("--bundle x --ip 10.9.0.2/24", "--tap"),
            ("--bundle x --tap t --http 127.0.0.1:80", "--http"),
            ("--bundle x --tap t --admin 127.0.0.1:80", "--admin"),
        ] {
            let message = options(words).unwrap_err();
            assert!(message.contains(named), "{words:?}: {message}");
        }
    }

    #[test]
    fn what_is_only_told_needs_no_site() {
        for (words, part) in [("--completions bash", "--bundle"), ("--man", ".SH")] {
            let Ok(Asked::Print(text)) = parse("aqueduct-other", words.split(' ')) else {
                panic!("{words} prints nothing");
            };
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(part) && text.contains("aqueduct"), "{text}");
        }
        let version = parse("aqueduct", ["--version"]).unwrap_err();
        assert_eq!(version.exit_code(), 0);
        assert_eq!(version.to_string(), concat!("aqueduct ", env!("CARGO_PKG_VERSION"), "\n"));
    }

    #[test]
    fn the_page_of_the_command_line_is_current() {
        let page = reference::command_line(command("aqueduct"));
        reference::keep_current("aqueduct.md", &page).unwrap();
    }
}
