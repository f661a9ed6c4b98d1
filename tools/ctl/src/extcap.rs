//! Extcap: how Wireshark and tshark learn that an appliance is an interface, and capture there (wireshark-extcap(4)). They run
//! the program that is in their folder for this, which hands its words on.

use crate::admin::{Admin, Failure, encoded};
use clap::Args;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

/// The words that Wireshark says.
#[derive(Args)]
pub(crate) struct Extcap {
    /// Lists interfaces
    #[arg(long)]
    extcap_interfaces: bool,
    /// Wireshark's version
    #[arg(long, value_name = "VERSION", num_args = 0..=1)]
    extcap_version: Option<Option<String>>,
    /// The interface that is meant
    #[arg(long, value_name = "NAME")]
    extcap_interface: Option<String>,
    /// Tells its link layer
    #[arg(long)]
    extcap_dlts: bool,
    /// Tells what can be chosen
    #[arg(long)]
    extcap_config: bool,
    /// Captures
    #[arg(long)]
    capture: bool,
    /// Which frames, in the words of pcap-filter(7)
    #[arg(long, value_name = "FILTER")]
    extcap_capture_filter: Option<String>,
    /// Where the capture goes
    #[arg(long, value_name = "FILE")]
    fifo: Option<PathBuf>,
    /// Frames of one card only, by its place
    #[arg(long)]
    card: Option<String>,
    /// Bytes of each frame that are kept
    #[arg(long)]
    snap: Option<u32>,
}

/// What it is called among interfaces.
const NAME: &str = "aqueduct";

impl Extcap {
    /// What is asked, if it takes no appliance to say it.
    pub(crate) fn answer(&self) -> Option<String> {
        if self.extcap_interfaces {
            return Some(format!(
                "extcap {{version={}}}{{help=docs/inside.md}}\ninterface {{value={NAME}}}{{display=Aqueduct appliance}}\n",
                env!("CARGO_PKG_VERSION")
            ));
        }
        if self.extcap_dlts {
            // LINKTYPE_ETHERNET of the registry of link-layer header types.
            return Some("dlt {number=1}{name=EN10MB}{display=Ethernet}\n".into());
        }
        if self.extcap_config {
            return Some(CONFIG.into());
        }
        None
    }

    /// Captures into the file that Wireshark named, until it closes that or the appliance ends.
    pub(crate) fn capture(&self, admin: &Admin) -> Result<(), Failure> {
        let (true, Some(fifo)) = (self.capture, &self.fifo) else {
            return Err(Failure("extcap is what Wireshark calls: see docs/inside.md".into()));
        };
        match &self.extcap_interface {
            Some(name) if name == NAME => {}
            other => return Err(Failure(format!("no interface {other:?}; there is {NAME}"))),
        }
        let mut from = admin.open(&self.path())?;
        let said = |error: &std::io::Error| Failure(format!("{}: {error}", fifo.display()));
        let mut to = OpenOptions::new().write(true).open(fifo).map_err(|error| said(&error))?;
        let mut piece = [0; 16 << 10];
        loop {
            let count = from.read(&mut piece);
            let count = count.map_err(|error| Failure(format!("it was cut off: {error}")))?;
            if count == 0 {
                return Ok(());
            }
            match to.write_all(&piece[..count]) {
                // Wireshark has enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(|error| said(&error))?,
            }
        }
    }

    fn path(&self) -> String {
        let filter = self.extcap_capture_filter.as_deref().unwrap_or_default();
        let mut path = format!("/api/v1/capture?filter={}", encoded(filter));
        if let Some(card) = self.card.as_ref().filter(|card| !card.is_empty()) {
            path.push_str(&format!("&card={}", encoded(card)));
        }
        if let Some(snap) = self.snap.filter(|snap| *snap > 0) {
            path.push_str(&format!("&snap={snap}"));
        }
        path
    }
}

/// What Wireshark asks for before it captures.
const CONFIG: &str = "\
arg {number=0}{call=--url}{display=Admin port}{type=string}{tooltip=Where the admin port is; else AQUEDUCT_ADMIN says it}{placeholder=http://127.0.0.1:9001}
arg {number=1}{call=--token-file}{display=Token file}{type=fileselect}{mustexist=true}{tooltip=Else AQUEDUCT_TOKEN is the token}
arg {number=2}{call=--cacert}{display=Authorities}{type=fileselect}{mustexist=true}{tooltip=By which a server of https is known}
arg {number=3}{call=--fingerprint}{display=Fingerprint}{type=string}{tooltip=SHA-256 by which a server of https is known}
arg {number=4}{call=--card}{display=Card}{type=string}{tooltip=The place of one card; none: all}
arg {number=5}{call=--snap}{display=Bytes of each frame}{type=unsigned}{default=0}{tooltip=0: all}
";

#[cfg(test)]
mod tests {
    use crate::options::{Options, Verb};
    use clap::Parser;

    fn extcap(words: &str) -> super::Extcap {
        let words = ["aqueductctl", "extcap"].into_iter().chain(words.split_ascii_whitespace());
        match Options::parse_from(words).verb {
            Verb::Extcap(extcap) => extcap,
            _ => unreachable!("it is the verb"),
        }
    }

    #[test]
    fn wiresharks_questions_are_answered_without_an_appliance() {
        let said = |words| extcap(words).answer().unwrap_or_default();
        let interfaces = said("--extcap-interfaces --extcap-version=4.0");
        assert!(interfaces.contains("\ninterface {value=aqueduct}"), "{interfaces}");
        assert!(said("--extcap-dlts --extcap-interface aqueduct").contains("{number=1}"));
        let config = said("--extcap-config --extcap-interface aqueduct");
        assert!(config.lines().all(|line| line.starts_with("arg {number=")), "{config}");
        assert_eq!(said("--capture --extcap-interface aqueduct --fifo /x"), "");
    }

    #[test]
    fn a_capture_has_the_filter_and_what_was_chosen() {
        let of = extcap(
            "--capture --extcap-interface aqueduct --fifo /x --card 1 --snap 96 --extcap-capture-filter tcp",
        );
        assert_eq!(of.path(), "/api/v1/capture?filter=tcp&card=1&snap=96");
        assert_eq!(extcap("--capture --fifo /x --snap 0").path(), "/api/v1/capture?filter=");
    }
}
