//! A browser that a test drives: Chromium, by the Chrome DevTools Protocol over pipes.

use super::http::browser::chromium;
use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    programs,
};
use lab::harness::Harness;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long something on a page may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(100);
/// Messages on the pipes end so.
const END: u8 = 0;

/// A browser with one page, which ends when it is dropped.
pub(crate) struct Browser {
    _child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    calls: u64,
    page: String,
    faults: Vec<String>,
}

impl Browser {
    /// Starts one with an empty page.
    pub(crate) fn start(harness: &Harness) -> Result<Self> {
        let plain = chromium(harness)?;
        // Descriptors 3 and 4 are the protocol's.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#]);
        command.arg(plain.get_program()).args(plain.get_args()).arg("--remote-debugging-pipe");
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        })?;
        let streams = child.streams();
        let to = streams.stdin.take().expect("it is a pipe");
        let from = BufReader::new(streams.stdout.take().expect("it is a pipe"));
        let (page, faults) = (String::new(), Vec::new());
        let mut browser = Self { _child: child, to, from, calls: 0, page, faults };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attached = browser.call(
            "Target.attachToTarget",
            &json!({"targetId": target["targetId"], "flatten": true}),
        )?;
        browser.page = attached["sessionId"].as_str().unwrap_or_default().into();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, &json!({}))?;
        }
        Ok(browser)
    }

    /// Opens a page.
    pub(crate) fn open(&mut self, url: &str) -> Result {
        let answer = self.call("Page.navigate", &json!({"url": url}))?;
        match answer["errorText"].as_str() {
            Some(text) => fail!("{url}: {text}"),
            None => Ok(()),
        }
    }

    /// The value of an expression of JavaScript on the page; a promise is awaited.
    pub(crate) fn value(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", &asked)?;
        if let Some(exception) = answer.get("exceptionDetails") {
            fail!("{expression}: {exception}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is what JavaScript calls true, and gives its value. A page that is just being changed for
    /// another has no values.
    pub(crate) fn until(&mut self, expression: &str) -> Result<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let value = self.value(&format!("({expression}) || null"));
            match value {
                Ok(value) if !value.is_null() => return Ok(value),
                Err(failure) if Instant::now() > deadline => return Err(failure),
                _ if Instant::now() > deadline => {
                    let page = self.value("document.body.innerText")?;
                    let faults = self.take_faults()?.join("; ");
                    fail!(
                        "{expression} does not come true; the page says {page}, its console {faults:?}"
                    );
                }
                _ => thread::sleep(PAUSE),
            }
        }
    }

    /// The size of the window in CSS pixels, of a phone or of a desk's screen.
    pub(crate) fn resize(&mut self, width: u32, height: u32, is_phone: bool) -> Result {
        let scale = if is_phone { 2 } else { 1 };
        let size = json!({"width": width, "height": height, "deviceScaleFactor": scale,
            "mobile": is_phone});
        self.call("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// What the person prefers: light or dark.
    pub(crate) fn prefer(&mut self, scheme: &str) -> Result {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// Types text where the focus is.
    pub(crate) fn write(&mut self, text: &str) -> Result {
        self.call("Input.insertText", &json!({"text": text})).map(drop)
    }

    /// Presses a key, by its name in UI Events KeyboardEvent key Values.
    pub(crate) fn press(&mut self, key: &str) -> Result {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            "ArrowLeft" => (37, ""),
            "+" => (187, "+"),
            _ => fail!("the key {key} is not known here"),
        };
        let pressed = json!({"type": "keyDown", "key": key, "code": key, "text": text,
            "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &pressed)?;
        let released = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &released).map(drop)
    }

    /// Clicks at a place of the window.
    pub(crate) fn click(&mut self, x: f64, y: f64) -> Result {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Paints the window into a PNG file.
    pub(crate) fn picture(&mut self, file: &Path) -> Result {
        let answer = self.call("Page.captureScreenshot", &json!({"format": "png"}))?;
        let base64 = answer["data"].as_str().unwrap_or_default();
        let mut command = programs::command(&BASE64)?;
        let mut child = command
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(file).or_say(|| "cannot write a picture".into())?)
            .spawn()
            .or_say(|| "base64 does not start".into())?;
        let written = child.stdin.take().expect("it is a pipe").write_all(base64.as_bytes());
        written.or_say(|| "base64 ended".into())?;
        child.wait().or_say(|| "base64 does not end".into())?;
        match std::fs::metadata(file) {
            Ok(data) if data.len() > 5000 => Ok(()),
            _ => fail!("the browser painted nothing into {}", file.display()),
        }
    }

    /// What went wrong on the page since this was asked last: exceptions, and errors on its console.
    pub(crate) fn take_faults(&mut self) -> Result<Vec<String>> {
        // What was said before is read with this answer.
        self.value("0")?;
        Ok(std::mem::take(&mut self.faults))
    }

    /// Nothing has.
    pub(crate) fn no_faults(&mut self) -> Result {
        match self.take_faults()?.first() {
            Some(fault) => fail!("the page's console says {fault}"),
            None => Ok(()),
        }
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": parameters});
        if !self.page.is_empty() {
            call["sessionId"] = json!(self.page);
        }
        let mut message = call.to_string().into_bytes();
        message.push(END);
        self.to.write_all(&message).or_say(|| "Chromium ended".into())?;
        loop {
            let answer = self.read()?;
            if answer["id"] == json!(self.calls) {
                return match answer.get("error") {
                    Some(error) => Err(Failure::new(format!("{method}: {error}"))),
                    None => Ok(answer["result"].clone()),
                };
            }
            self.note(&answer);
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut message = Vec::new();
        self.from.read_until(END, &mut message).or_say(|| "Chromium's pipe".into())?;
        if message.pop() != Some(END) {
            fail!("Chromium ended");
        }
        serde_json::from_slice(&message).or_say(|| "Chromium's message".into())
    }

    fn note(&mut self, event: &Value) {
        let of = &event["params"];
        let is_fault = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => of["type"] == "error",
            Some("Log.entryAdded") => of["entry"]["level"] == "error",
            _ => false,
        };
        if is_fault {
            self.faults.push(of.to_string());
        }
    }
}

/// Decodes pictures.
const BASE64: programs::Program = programs::Program { name: "base64", package: "coreutils" };
