//! The command line of the process.

use config::Config;
use lexopt::{Arg, ValueExt};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What `--help` says.
pub(crate) const HELP: &str = "\
usage: aqueduct --bundle FILE_OR_DIR [options]

  --bundle FILE_OR_DIR   the boot bundle, or the folder it would be made from
  --http ADDRESS:PORT    where HTTP is served (default: all addresses, the port of appliance.toml)
  --log LEVEL            off, error, warn, info, debug or trace
  --debug-endpoints      serve /_test/echo and /_test/panic
  --help                 this text";

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where the bundle is.
    pub(crate) bundle: PathBuf,
    /// On which address services listen.
    pub(crate) address: IpAddr,
    http_port: Option<u16>,
    log: Option<log::LevelFilter>,
    debug_endpoints: bool,
}

impl Options {
    /// Lets the command line overrule the configuration.
    pub(crate) fn apply(&self, config: &mut Config) {
        config.http.port = self.http_port.unwrap_or(config.http.port);
        config.log.level = self.log.unwrap_or(config.log.level);
        config.debug.endpoints |= self.debug_endpoints;
    }
}

/// The process's command line; `None` asks for help.
pub(crate) fn parse() -> Result<Option<Options>, String> {
    parse_from(lexopt::Parser::from_env())
}

fn parse_from(mut arguments: lexopt::Parser) -> Result<Option<Options>, String> {
    let mut bundle = None;
    let mut options = Options {
        bundle: PathBuf::new(),
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        http_port: None,
        log: None,
        debug_endpoints: false,
    };
    let say = |error: lexopt::Error| format!("{error}; `aqueduct --help` lists the options");
    while let Some(argument) = arguments.next().map_err(say)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("bundle") => bundle = Some(arguments.value().map_err(say)?.into()),
            Arg::Long("http") => {
                let at: SocketAddr = arguments.value().and_then(|v| v.parse()).map_err(say)?;
                options.address = at.ip();
                options.http_port = Some(at.port());
            }
            Arg::Long("log") => {
                options.log = Some(arguments.value().and_then(|v| v.parse()).map_err(say)?);
            }
            Arg::Long("debug-endpoints") => options.debug_endpoints = true,
            other => return Err(say(other.unexpected())),
        }
    }
    options.bundle = bundle.ok_or("which site? say --bundle FILE_OR_DIR")?;
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>, String> {
        parse_from(lexopt::Parser::from_args(words))
    }

    #[test]
    fn every_option_overrules_the_file() {
        let words = "--bundle x --http 127.0.0.1:8080 --log debug --debug-endpoints";
        let options = parse(&words.split(' ').collect::<Vec<_>>()).unwrap().unwrap();
        let mut config = Config::default();
        options.apply(&mut config);
        assert_eq!(options.address, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!((config.http.port, config.debug.endpoints), (8080, true));
        assert_eq!(config.log.level, log::LevelFilter::Debug);
    }

    #[test]
    fn bad_words_are_named() {
        for (words, named) in [
            (&["--bundle"][..], "--bundle"),
            (&[], "--bundle"),
            (&["--bundle", "x", "--http", "8080"], "8080"),
            (&["--bundle", "x", "--log", "loud"], "loud"),
            (&["--bundle", "x", "--frob"], "--frob"),
            (&["--bundle", "x", "stray"], "stray"),
        ] {
            let message = parse(words).unwrap_err();
            assert!(message.contains(named), "{words:?}: {message}");
        }
    }
}
