//! `[log]`: what is written, how, and where to.

use crate::texts::is_host_text;
use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is written. Default info.
    pub level: log::LevelFilter,
    /// How a line is written on the serial line, or on standard error. Default text.
    pub format: LogFormat,
    /// The collector that is sent each line, too. Default none.
    pub syslog: Option<SyslogPlace>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: log::LevelFilter::Info, format: LogFormat::Text, syslog: None }
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object of JSON.
    Json,
}

impl LogFormat {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Text, Self::Json].into_iter().find(|it| it.name() == text).ok_or(())
    }
}

/// Where a collector of syslog messages is, as `tcp://collector.example:601`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogPlace {
    /// What carries messages there.
    pub transport: SyslogTransport,
    /// Its name or address, one of IPv6 in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What carries syslog messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogTransport {
    /// UDP: RFC 5426.
    Udp,
    /// TCP: RFC 6587.
    Tcp,
    /// TLS over TCP: RFC 5425.
    Tls,
}

impl SyslogTransport {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl FromStr for SyslogPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, place) = text.split_once("://").ok_or(())?;
        let all = [SyslogTransport::Udp, SyslogTransport::Tcp, SyslogTransport::Tls];
        let transport = all.into_iter().find(|it| it.name() == name).ok_or(())?;
        let (host, port) = place.rsplit_once(':').ok_or(())?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(())?;
        is_host_text(host).then(|| Self { transport, host: host.to_owned(), port }).ok_or(())
    }
}

impl fmt::Display for SyslogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, host, port } = self;
        write!(f, "{}://{host}:{port}", transport.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_place_is_a_transport_a_host_and_a_port() {
        for text in ["udp://10.0.0.9:514", "tcp://logs.example:601", "tls://[fd00::9]:6514"] {
            let place: SyslogPlace = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
        }
        for wrong in ["", "udp://", "udp://10.0.0.9", "udp://:514", "udp://h:0", "udp://h:65536"] {
            assert_eq!(wrong.parse::<SyslogPlace>(), Err(()), "{wrong}");
        }
        for wrong in ["h:514", "http://h:514", "tcp://a b:1", "tcp://u@h:1", "tcp://fd00::9:1"] {
            assert_eq!(wrong.parse::<SyslogPlace>(), Err(()), "{wrong}");
        }
    }
}
