//! Command line of the process.

use config::{Bundle, Config};
use lexopt::{Arg, ValueExt};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What `--help` says.
pub(crate) const HELP: &str = "\
usage: aqueduct --bundle FILE_OR_DIR [options]

  --bundle FILE_OR_DIR   the boot bundle, or the folder it would be made from
  --http ADDRESS:PORT    where HTTP is served (default: all addresses, the port of appliance.toml)
  --tap NAME [WORD...]   our own network stack on this TAP, instead of the kernel's sockets
  --ip ADDRESS/PREFIX    its address; --ip dhcp asks for one (default: what appliance.toml says)
  --gw ADDRESS           its gateway; WORDs are those of the image's command line
  --rpc-port PORT        the port of the Cap'n Proto service; 0 is off
  --zmq-port PORT        the port of the ZeroMQ service; 0 is off
  --log LEVEL            off, error, warn, info, debug or trace
  --help                 this text";

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where the bundle is.
    pub(crate) bundle: PathBuf,
    /// On which address services listen.
    pub(crate) address: IpAddr,
    /// The TAP that takes the place of the kernel's sockets.
    pub(crate) tap: Option<String>,
    /// Words of the image's command line.
    words: Vec<String>,
    /// The same, for options that a process has on any network.
    overrides: Vec<String>,
}

impl Options {
    /// The bundle's configuration, overruled by the command line.
    pub(crate) fn configuration(&self, bundle: &Bundle<'_>) -> Result<Config, String> {
        let words = [&self.words[..], &self.overrides].concat();
        Config::load(bundle, &words.join(" ")).map_err(|error| error.to_string())
    }

    /// Words that say something of a TAP, or a TAP's lack of an address to listen on.
    fn check(&self) -> Result<(), String> {
        match (&self.tap, self.words.first()) {
            (None, Some(word)) => Err(format!("{word} is for a TAP: say --tap NAME")),
            (Some(_), _) if self.overrides.iter().any(|word| word.starts_with("http_port")) => {
                Err("--http is for the kernel's sockets: say http_port=PORT with --tap".into())
            }
            _ => Ok(()),
        }
    }
}

/// The words after the process's name; `None` asks for help.
pub(crate) fn parse(
    words: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Option<Options>, String> {
    let mut arguments = lexopt::Parser::from_args(words);
    let mut bundle = None;
    let mut options = Options {
        bundle: PathBuf::new(),
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        tap: None,
        words: Vec::new(),
        overrides: Vec::new(),
    };
    let say = |error: lexopt::Error| format!("{error}; `aqueduct --help` lists the options");
    while let Some(argument) = arguments.next().map_err(say)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("bundle") => bundle = Some(arguments.value().map_err(say)?.into()),
            Arg::Long("http") => {
                let at: SocketAddr = arguments.value().and_then(|v| v.parse()).map_err(say)?;
                options.address = at.ip();
                options.overrides.push(format!("http_port={}", at.port()));
            }
            Arg::Long("tap") => {
                options.tap = Some(arguments.value().and_then(|v| v.string()).map_err(say)?);
            }
            Arg::Long(name @ ("ip" | "gw")) => {
                let name = name.to_owned();
                let value = arguments.value().and_then(|v| v.string()).map_err(say)?;
                options.words.push(format!("{name}={value}"));
            }
            Arg::Value(word) => options.words.push(word.string().map_err(say)?),
            Arg::Long("rpc-port") => {
                let port: u16 = arguments.value().and_then(|v| v.parse()).map_err(say)?;
                options.overrides.push(format!("rpc_port={port}"));
            }
            Arg::Long("zmq-port") => {
                let port: u16 = arguments.value().and_then(|v| v.parse()).map_err(say)?;
                options.overrides.push(format!("zmq_port={port}"));
            }
            Arg::Long("log") => {
                let level: log::LevelFilter =
                    arguments.value().and_then(|v| v.parse()).map_err(say)?;
                options.overrides.push(format!("log={}", level.as_str().to_ascii_lowercase()));
            }
            other => return Err(say(other.unexpected())),
        }
    }
    options.bundle = bundle.ok_or("which site? say --bundle FILE_OR_DIR")?;
    options.check()?;
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_overrules_the_file() {
        let words = "--bundle x --http 127.0.0.1:8080 --rpc-port 7001 --zmq-port 0 --log debug";
        let options = parse(words.split(' ')).unwrap().unwrap();
        let config = options.configuration(&Bundle::default()).unwrap();
        assert_eq!(options.address, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!((config.rpc.port, config.zmq.port), (Some(7001), None));
        assert_eq!(config.http.port, 8080);
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
    fn bad_words_are_named() {
        for (words, named) in [
            (&["--bundle"][..], "--bundle"),
            (&[], "--bundle"),
            (&["--bundle", "x", "--http", "8080"], "8080"),
            (&["--bundle", "x", "--log", "loud"], "loud"),
            (&["--bundle", "x", "--rpc-port", "70000"], "70000"),
            (&["--bundle", "x", "--frob"], "--frob"),
            (&["--bundle", "x", "stray"], "stray"),
            (&["--bundle", "x", "--ip", "10.9.0.2/24"], "ip=10.9.0.2/24"),
            (&["--bundle", "x", "--tap", "t", "--http", "127.0.0.1:80"], "--http"),
        ] {
            let message = parse(words).unwrap_err();
            assert!(message.contains(named), "{words:?}: {message}");
        }
    }
}
