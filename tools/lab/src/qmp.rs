//! QEMU's control socket: one JSON object per line, each way.

use command::failure::{OrSay, Result, fail};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};
use tinyjson::JsonValue;

/// How long QEMU may take to open its socket and to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// QEMU's control socket (QEMU Machine Protocol).
pub struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects as soon as QEMU listens.
    pub fn connect(socket: &Path) -> Result<Self> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => fail!("QEMU's control socket does not answer: {error}"),
            }
        };
        stream.set_read_timeout(Some(ANSWER_LIMIT)).or_say(|| "cannot set a time limit".into())?;
        let mut qmp = Self { lines: BufReader::new(stream) };
        qmp.line()?; // the greeting
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Presses the power button.
    pub fn power_button(&mut self) -> Result {
        self.execute("system_powerdown")
    }

    /// Ends QEMU at once, with its files closed.
    pub fn quit(&mut self) -> Result {
        self.execute("quit")
    }

    fn execute(&mut self, command: &str) -> Result {
        let request = format!("{{\"execute\":\"{command}\"}}\n");
        self.lines
            .get_mut()
            .write_all(request.as_bytes())
            .or_say(|| "QEMU's control socket".into())?;
        loop {
            let answer = self.line()?;
            let answer: JsonValue =
                answer.parse().or_say(|| format!("QEMU answered `{}`", answer.trim()))?;
            let JsonValue::Object(answer) = answer else {
                continue;
            };
            if answer.contains_key("return") {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                fail!("QEMU refuses {command}: {}", error.stringify().unwrap_or_default());
            }
            // Anything else is an event.
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line).or_say(|| "QEMU's control socket".into())? {
            0 => fail!("QEMU closed its control socket"),
            _ => Ok(line),
        }
    }
}
