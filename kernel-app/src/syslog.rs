//! Syslog: lines of the log as messages of RFC 5424, to the collector of `[log] syslog`; by UDP (RFC 5426), by TCP with octet
//! counting (RFC 6587 section 3.4.1), or by TLS (RFC 5425).

use crate::Platform;
use crate::context::Context;
use crate::log_ring::{LogLine, collector};
use crate::service::{Offer, Service, Services, StartError};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use config::{SyslogPlace, SyslogTransport};
use core::cell::Cell;
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use flow::{Connector, Flow, FlowExt, Target};
use log::Level;

/// How often it is looked whether there are lines: the log wakes nobody, as it may be written anywhere.
const PAUSE: Duration = Duration::from_millis(100);
/// Text of lines that are sent at once.
const BATCH_BYTES: usize = 32 << 10;
/// How long a collector may take to be connected with, and to take a batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long it is waited after a failure; twice as long after each further one.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Sends lines to a collector, if the configuration names one.
///
/// # Errors
/// It is to be reached by a way that this platform has not.
pub(crate) fn open<P: Platform>(
    context: &Context<P>,
) -> Result<Option<Rc<dyn Service>>, StartError> {
    let Some(place) = context.config.log.syslog.clone() else { return Ok(None) };
    let way = Way::new(context, &place)?;
    collector::queue_lines();
    let is_sending = Rc::<Cell<bool>>::default();
    let sender = Sender {
        context: context.clone(),
        place,
        messages: Messages::new(context),
        is_sending: is_sending.clone(),
    };
    context.spawner.spawn("syslog", async move {
        match way {
            Way::Datagrams(collector) => sender.by_datagrams(collector).await,
            Way::Flow(target) => sender.by_flow(&target).await,
        }
    });
    Ok(Some(Rc::new(Syslog { is_sending, services: context.services.clone() })))
}

/// How the collector is reached.
enum Way {
    Datagrams(SocketAddr),
    Flow(Target),
}

impl Way {
    fn new<P: Platform>(context: &Context<P>, place: &SyslogPlace) -> Result<Self, StartError> {
        let SyslogPlace { transport, host, port } = place;
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let wrong = |reason: &str| StartError::Setting {
            section: "log",
            key: "syslog".into(),
            reason: reason.into(),
        };
        match (transport, address) {
            (SyslogTransport::Udp, Some(address)) if context.platform.has_datagrams() => {
                Ok(Self::Datagrams(SocketAddr::new(address, *port)))
            }
            (SyslogTransport::Udp, Some(_)) => Err(wrong(
                "this platform sends no datagrams: tcp:// and tls:// lead to collectors, too",
            )),
            (SyslogTransport::Udp, None) => Err(wrong("udp:// leads to an address, not to a name")),
            (SyslogTransport::Tcp, Some(address)) => {
                Ok(Self::Flow(SocketAddr::new(address, *port).into()))
            }
            (SyslogTransport::Tcp, None) => Ok(Self::Flow(Target::Name(host.clone(), *port))),
            (SyslogTransport::Tls, _) => Ok(Self::Flow(Target::Tls(host.clone(), *port))),
        }
    }
}

/// As a service: the end waits until what is on its way has arrived.
struct Syslog {
    is_sending: Rc<Cell<bool>>,
    services: Services,
}

impl Service for Syslog {
    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    fn connections(&self) -> usize {
        // A connection that is to end counts until it has.
        let is_busy = self.services.are_draining() || collector::has_queued_lines();
        usize::from(self.is_sending.get() && is_busy)
    }

    /// The sender sees that itself.
    fn drain(&self, _linger: Duration) {}
}

struct Sender<P: Platform> {
    context: Context<P>,
    place: SyslogPlace,
    messages: Messages,
    /// The collector takes what is sent, as far as is known.
    is_sending: Rc<Cell<bool>>,
}

impl<P: Platform> Sender<P> {
    async fn by_datagrams(mut self, collector: SocketAddr) {
        self.is_sending.set(true);
        while let Some(lines) = self.lines().await {
            for message in self.messages.of(&lines) {
                self.deliver(collector, &message).await;
            }
            collector::lines_sent(lines.lines.len() as u64);
        }
        self.is_sending.set(false);
    }

    /// Sends a message, once there is an address and a way; as the appliance stops, it is given up.
    async fn deliver(&self, collector: SocketAddr, message: &[u8]) {
        let Context { platform, services, timers, .. } = &self.context;
        while let Err(error) = platform.send_datagram(collector, message) {
            log::debug!("no message to {} yet: {error}", self.place);
            if services.are_draining() {
                return;
            }
            timers.sleep(RETRY).await;
        }
    }

    async fn by_flow(mut self, target: &Target) {
        let mut unsent = Vec::new();
        let mut retry = RETRY;
        loop {
            let error = match self.connect(target).await {
                Ok(flow) => {
                    log::info!("lines go to {}", self.place);
                    self.is_sending.set(true);
                    let since = self.context.timers.now();
                    let Err(error) = self.send(flow, &mut unsent).await else {
                        return self.is_sending.set(false);
                    };
                    // One that hangs up at once is no better than one that is not there.
                    if self.context.timers.now() - since > RETRY_MAX {
                        retry = RETRY;
                    }
                    error
                }
                Err(error) => error,
            };
            self.is_sending.set(false);
            log::warn!(
                "lines do not go to {}: {error}; again in {} s",
                self.place,
                retry.as_secs()
            );
            self.context.timers.sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    async fn connect(&self, target: &Target) -> Result<impl Flow + use<P>, String> {
        let timers = &self.context.timers;
        let connector = self.context.connector();
        let connecting = connector.connect(target);
        let connected = timers.before(timers.now() + TIMEOUT, connecting).await;
        connected
            .map_err(|_| String::from("it takes too long"))?
            .map_err(|error| format!("{error}"))
    }

    /// Sends lines until the last is there, and ends the connection.
    ///
    /// # Errors
    /// Why it fails before. What has not arrived then is in `unsent`.
    async fn send(&mut self, mut flow: impl Flow, unsent: &mut Vec<u8>) -> Result<(), String> {
        let timers = self.context.timers.clone();
        loop {
            let mut count = 0;
            if unsent.is_empty() {
                let Some(lines) = self.lines().await else {
                    flow.finish();
                    let ended = timers.before(timers.now() + TIMEOUT, flow.drained()).await;
                    return ended.map_or(Ok(()), |ended| ended.map_err(|error| error.to_string()));
                };
                count = lines.lines.len() as u64;
                for message in self.messages.of(&lines) {
                    // RFC 6587 section 3.4.1: MSG-LEN SP SYSLOG-MSG.
                    unsent.extend_from_slice(format!("{} ", message.len()).as_bytes());
                    unsent.extend_from_slice(&message);
                }
            }
            let sending = async {
                flow.write_all(unsent).await?;
                flow.drained().await
            };
            match timers.before(timers.now() + TIMEOUT, sending).await {
                Ok(Ok(())) => unsent.clear(),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("it takes nothing".into()),
            }
            collector::lines_sent(count);
        }
    }

    /// Waits for lines; none when the appliance stops, and nothing but this is left that may log some.
    async fn lines(&self) -> Option<Lines> {
        loop {
            let (lines, lost) = collector::take_lines(BATCH_BYTES);
            if !lines.is_empty() || lost > 0 {
                return Some(Lines { lines, lost });
            }
            let services = &self.context.services;
            if services.are_draining() && services.connections() <= 1 {
                return None;
            }
            self.context.timers.sleep(PAUSE).await;
        }
    }
}

/// Lines in their order, and how many were lost behind them.
struct Lines {
    lines: VecDeque<LogLine>,
    lost: u64,
}

/// Makes messages of lines.
struct Messages {
    hostname: String,
    /// Time since 1970-01-01 00:00 UTC when the lines' was zero, if there is a clock.
    wall_clock_start: Option<Duration>,
    /// RFC 5424 section 7.3.1: counts messages, from 1 to 2147483647 and then from 1 on again.
    sequence: u32,
}

impl Messages {
    fn new<P: Platform>(context: &Context<P>) -> Self {
        let hostname = context.config.network.hostname.clone();
        Self { hostname, wall_clock_start: context.date_start(), sequence: 0 }
    }

    fn of(&mut self, lines: &Lines) -> Vec<Vec<u8>> {
        let mut messages: Vec<_> = lines
            .lines
            .iter()
            .map(|line| self.message(line.level, Some(line.time), line.module(), line.message()))
            .collect();
        if lines.lost > 0 {
            let text = format!("{} lines were lost: there was no room for them", lines.lost);
            messages.push(self.message(Level::Warn, None, "-", &text));
        }
        messages
    }

    /// RFC 5424 section 6: HEADER SP STRUCTURED-DATA SP MSG.
    fn message(
        &mut self,
        level: Level,
        time: Option<Duration>,
        module: &str,
        text: &str,
    ) -> Vec<u8> {
        const SEQUENCE_MAX: u32 = 2_147_483_647;
        self.sequence = self.sequence % SEQUENCE_MAX + 1;
        let mut message = String::with_capacity(128 + text.len());
        // A string takes all there is.
        let _ = write!(message, "<{}>1 ", priority(level));
        match time.and_then(|time| Some(self.wall_clock_start? + time)) {
            Some(time) => web::date::write_rfc3339(&mut message, time),
            None => message.push('-'),
        }
        let _ = write!(message, " {} aqueduct - ", self.hostname);
        message_id(&mut message, module);
        let _ = write!(message, " [meta sequenceId=\"{}\"] {text}", self.sequence);
        message.into_bytes()
    }
}

/// RFC 5424 section 6.2.1: facility and severity. The facility is that of daemons.
fn priority(level: Level) -> u8 {
    const DAEMON: u8 = 3;
    let severity = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    DAEMON * 8 + severity
}

/// RFC 5424 section 6.2.7: up to 32 visible characters of ASCII.
fn message_id(message: &mut String, module: &str) {
    const LETTERS_MAX: usize = 32;
    let visible = module.chars().filter(char::is_ascii_graphic).take(LETTERS_MAX);
    let start = message.len();
    message.extend(visible);
    if message.len() == start {
        message.push('-');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(wall_clock_start: Option<Duration>) -> Messages {
        Messages { hostname: "alpha".into(), wall_clock_start, sequence: 0 }
    }

    fn text(messages: &mut Messages, level: Level, module: &str, said: &str) -> String {
        let time = Some(Duration::from_micros(1_000_203));
        String::from_utf8(messages.message(level, time, module, said)).unwrap()
    }

    #[test]
    fn rfc5424_6_messages_have_a_header_structured_data_and_a_text() {
        let mut of = messages(Some(Duration::from_secs(784_111_777)));
        assert_eq!(
            text(&mut of, Level::Warn, "net::link", "a text"),
            "<28>1 1994-11-06T08:49:38.000203Z alpha aqueduct - net::link [meta sequenceId=\"1\"] a text"
        );
        let next = text(&mut of, Level::Error, "", "");
        assert!(
            next.starts_with("<27>1 ") && next.ends_with(" - - [meta sequenceId=\"2\"] "),
            "{next}"
        );
    }

    #[test]
    fn rfc5424_6_2_3_without_a_clock_there_is_no_time() {
        let said = text(&mut messages(None), Level::Info, "m", "x");
        assert!(said.starts_with("<30>1 - alpha "), "{said}");
    }

    #[test]
    fn rfc5424_6_2_7_an_id_has_32_visible_letters_at_most() {
        let mut id = String::new();
        message_id(&mut id, &format!("a b\u{e9}\n{}", "c".repeat(40)));
        assert_eq!(id, format!("ab{}", "c".repeat(30)));
    }

    #[test]
    fn rfc5424_7_3_1_the_sequence_begins_again_after_its_largest_number() {
        let mut of = messages(None);
        of.sequence = 2_147_483_646;
        for expected in ["2147483647", "1"] {
            let said = text(&mut of, Level::Info, "m", "x");
            assert!(said.contains(&format!("sequenceId=\"{expected}\"")), "{said}");
        }
    }
}
