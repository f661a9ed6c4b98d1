//! Client: one connection to a vat, what the page holds of it, and what it offers.

use crate::decode::Decoder;
use crate::encode::{Encoder, capabilities};
use crate::schema::{Method, Problem, Schema, text};
use crate::table::Table;
use core::time::Duration;
use rpc::{
    CallId, Cap, ConnId, Event, Exception, Kind, Limits, MessageBounds, ObjectId, Payload, Vat,
};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Words that a message has room for at first.
const MESSAGE_WORDS: u32 = 32;

/// A vat with one connection. The page does what it does by [`request`](Self::request), and learns what came of it by
/// [`poll_event`](Self::poll_event); both are JSON, in which capabilities, calls and objects have numbers.
pub struct Client {
    vat: Vat,
    conn: ConnId,
    /// Of what is sent.
    bounds: MessageBounds,
    schema: Schema,
    last_number: u64,
    /// What the page holds, each with a reference.
    capabilities: Table<Held>,
    /// Calls of the page's.
    calls: Table<Made>,
    /// Calls of the peer's that the page has not answered.
    received: Table<Received>,
    /// The interfaces of the page's objects.
    objects: Table<u64>,
    events: VecDeque<Value>,
}

struct Held {
    cap: Cap,
    interface: Option<u64>,
}

struct Made {
    call: CallId,
    method: Method,
    has_returned: bool,
}

struct Received {
    call: CallId,
    method: Method,
}

impl Client {
    /// A connection that has just begun, to a peer with these interfaces.
    pub fn new(schema: Schema) -> Self {
        let mut vat = Vat::new(Limits::default());
        let conn = vat.connect(None);
        Self {
            vat,
            conn,
            bounds: MessageBounds::default(),
            schema,
            last_number: 0,
            capabilities: Table::default(),
            calls: Table::default(),
            received: Table::default(),
            objects: Table::default(),
            events: VecDeque::new(),
        }
    }

    /// Takes bytes of the peer's stream, cut anywhere.
    pub fn handle_input(&mut self, now: Duration, bytes: &[u8]) {
        let mut left = bytes;
        // It takes no more for now where a call of the peer's has no room: the page answers some first.
        while !left.is_empty() && !self.vat.is_closed(self.conn) {
            let taken = self.vat.handle_input(now, self.conn, left);
            left = &left[taken..];
            self.take_events();
            if taken == 0 {
                self.vat
                    .close(self.conn, Exception::overloaded("more calls than the page answers"));
            }
        }
        self.take_events();
    }

    /// Moves a message for the peer, or what is there of it, to the end of `to`; nothing if there is none.
    pub fn poll_transmit(&mut self, now: Duration, to: &mut Vec<u8>) {
        while self.vat.has_output(self.conn) {
            let (bounds, mut is_end) = (&mut self.bounds, false);
            let sent = self.vat.transmit_with(now, self.conn, |bytes| {
                let part = &bytes[..bytes.len().min(bounds.wanted_bytes())];
                to.extend_from_slice(part);
                is_end = bounds.advance(part);
                part.len()
            });
            if is_end || sent == 0 {
                return;
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        self.vat.next_deadline(now, self.conn)
    }

    /// Ends the connection if the peer is stuck in the middle of a message.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.vat.handle_timeout(now, self.conn);
        self.take_events();
    }

    /// The transport ended, for this reason.
    pub fn handle_end(&mut self, reason: &str) {
        self.vat.handle_loss(self.conn, Exception::disconnected(reason));
        self.take_events();
    }

    /// Does what the page asks for; what the page is told. See `aqueduct.js`, which asks.
    pub fn request(&mut self, request: &Value) -> Value {
        let done = self.perform(request);
        self.take_events();
        done.unwrap_or_else(|problem| json!({ "error": problem }))
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Value> {
        self.events.pop_front()
    }

    fn perform(&mut self, request: &Value) -> Result<Value, Problem> {
        let number =
            |name: &str| request[name].as_u64().ok_or_else(|| format!("{name} is no number"));
        match word(request, "do")? {
            "bootstrap" => {
                let interface = self.schema.interface(word(request, "interface")?)?;
                let cap = self.vat.bootstrap(self.conn);
                Ok(self.hold(cap, Some(interface)))
            }
            "call" => self.call(number("cap")?, word(request, "method")?, &request["params"]),
            "pipeline" => self.pipeline(number("call")?, &request["path"]),
            "as" => self.cast(number("cap")?, word(request, "interface")?),
            "release" => {
                if let Some(Held { cap, .. }) = self.capabilities.remove(number("cap")?) {
                    self.vat.release(cap);
                }
                Ok(Value::Null)
            }
            "finish" => {
                if let Some(Made { call, .. }) = self.calls.remove(number("call")?) {
                    self.vat.release_call(call);
                }
                Ok(Value::Null)
            }
            "export" => self.export(number("object")?, word(request, "interface")?),
            "reply" => self.reply(number("call")?, &request["results"]),
            "fail" => {
                let kind = kind_of(request["kind"].as_str().unwrap_or_default());
                let reason = word(request, "reason")?;
                if let Some(Received { call, .. }) = self.received.remove(number("call")?) {
                    self.vat.fail(call, Exception::new(kind, reason));
                }
                Ok(Value::Null)
            }
            "close" => {
                self.vat
                    .close(self.conn, Exception::disconnected("the page closed the connection"));
                Ok(Value::Null)
            }
            other => Err(format!("nothing is called {other}")),
        }
    }

    fn call(&mut self, cap: u64, name: &str, params: &Value) -> Result<Value, Problem> {
        let Held { cap, interface } = self.held(cap)?;
        let (cap, interface) = (*cap, *interface);
        let interface = interface.ok_or("its interface is not known: say it by `as`")?;
        let method = self.schema.method(interface, name)?;
        let mut payload = Payload::params(MESSAGE_WORDS);
        self.write(&mut payload, method.params, params)?;
        let call = self.vat.call(cap, method.interface, method.ordinal, payload);
        let number = self.number();
        self.calls.insert(number, Made { call, method, has_returned: false });
        Ok(json!({ "call": number }))
    }

    /// Fills in a payload. The references that go with it are its own.
    fn write(&mut self, payload: &mut Payload, id: u64, value: &Value) -> Result<(), Problem> {
        let slots = capabilities(value);
        let caps: Result<Vec<_>, _> =
            slots.iter().map(|number| self.held(*number).map(|held| Some(held.cap))).collect();
        let encoder = Encoder { schema: &self.schema, slots: &slots };
        let written = payload.build(&caps?, |content| encoder.content(content, id, value));
        written.map_err(text)??;
        for cap in payload.caps().iter().flatten() {
            self.vat.retain(*cap);
        }
        Ok(())
    }

    /// The capability at a path of names in the results of a call.
    fn pipeline(&mut self, call: u64, path: &Value) -> Result<Value, Problem> {
        let Made { call, method, .. } = self.calls.get(call).ok_or("no such call")?;
        let names = path.as_array().into_iter().flatten().filter_map(Value::as_str);
        let (fields, interface) = self.schema.path(method.results, names)?;
        let cap = self.vat.pipeline(*call, &fields);
        Ok(self.hold(cap, interface))
    }

    /// The same capability, with an interface that the schema does not say there.
    fn cast(&mut self, cap: u64, interface: &str) -> Result<Value, Problem> {
        let interface = self.schema.interface(interface)?;
        let cap = self.held(cap)?.cap;
        let cap = self.vat.retain(cap);
        Ok(self.hold(cap, Some(interface)))
    }

    fn export(&mut self, object: u64, interface: &str) -> Result<Value, Problem> {
        let interface = self.schema.interface(interface)?;
        self.objects.insert(object, interface);
        let cap = self.vat.object(ObjectId(object));
        Ok(self.hold(cap, Some(interface)))
    }

    fn reply(&mut self, number: u64, results: &Value) -> Result<Value, Problem> {
        // Cancelled meanwhile.
        let Some(Received { call, method }) = self.received.remove(number) else {
            return Ok(Value::Null);
        };
        let mut payload = Payload::results(MESSAGE_WORDS);
        match self.write(&mut payload, method.results, results) {
            Ok(()) => self.vat.reply(call, payload),
            Err(problem) => {
                self.vat.fail(call, Exception::failed(problem.clone()));
                return Err(problem);
            }
        }
        Ok(Value::Null)
    }

    fn held(&self, number: u64) -> Result<&Held, Problem> {
        self.capabilities.get(number).ok_or_else(|| format!("capability {number} was released"))
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Takes over a reference for the page.
    fn hold(&mut self, cap: Cap, interface: Option<u64>) -> Value {
        let number = self.number();
        self.capabilities.insert(number, Held { cap, interface });
        json!({ "$cap": number })
    }

    fn take_events(&mut self) {
        while let Some(event) = self.vat.poll_event() {
            match event {
                Event::Call { call, object, interface, method, params } => {
                    self.received(call, object, (interface, method), params);
                }
                Event::Restore { call, .. } => {
                    self.vat.fail(call, Exception::failed("a page offers nothing by name"));
                }
                Event::Cancelled(call) => {
                    let found = self.received.iter_mut().find(|(_, it)| it.call == call);
                    if let Some(number) = found.map(|(number, _)| number) {
                        self.received.remove(number);
                        self.events.push_back(json!({ "event": "cancelled", "call": number }));
                    }
                }
                Event::Returned(call) => self.returned(call),
                Event::Resolved(_) => {}
                Event::Released(ObjectId(object)) => {
                    self.objects.remove(object);
                    self.events.push_back(json!({ "event": "released", "object": object }));
                }
                Event::Disconnected { reason, .. } => {
                    let reason = reason.to_string();
                    self.events.push_back(json!({ "event": "closed", "reason": reason }));
                }
            }
        }
    }

    fn received(
        &mut self,
        call: CallId,
        ObjectId(object): ObjectId,
        (interface, ordinal): (u64, u16),
        params: Payload,
    ) {
        let own = self.objects.get(object).copied();
        let known = own.ok_or_else(|| "no such object".to_owned());
        let known = known.and_then(|own| self.schema.method_by_number(own, interface, ordinal));
        let (method, name) = match known {
            Ok(known) => known,
            Err(problem) => {
                self.vat.release_payload(params);
                return self.vat.fail(call, Exception::unimplemented(problem));
            }
        };
        let decoded = self.read(&params, method.params);
        self.vat.release_payload(params);
        match decoded {
            Ok(params) => {
                let number = self.number();
                self.received.insert(number, Received { call, method });
                self.events.push_back(json!({
                    "event": "call", "call": number, "object": object, "method": name, "params": params
                }));
            }
            Err(problem) => self.vat.fail(call, Exception::failed(problem)),
        }
    }

    fn returned(&mut self, call: CallId) {
        let Some((number, made)) = self.calls.iter_mut().find(|(_, made)| made.call == call) else {
            return;
        };
        let results = made.method.results;
        if core::mem::replace(&mut made.has_returned, true) {
            return;
        }
        let outcome = match self.vat.result(call) {
            Some(Ok(payload)) => self.read(&payload, results).map_err(Exception::failed),
            Some(Err(exception)) => Err(exception),
            None => return,
        };
        self.events.push_back(match outcome {
            Ok(results) => json!({ "event": "returned", "call": number, "results": results }),
            Err(Exception { kind, reason }) => json!({
                "event": "failed", "call": number, "kind": name_of(kind), "reason": reason
            }),
        });
    }

    /// Contents as JSON. The page holds the capabilities in it, each as often as it is named.
    fn read(&mut self, payload: &Payload, id: u64) -> Result<Value, Problem> {
        let Self { vat, schema, capabilities, last_number, .. } = self;
        let mut hand_out = |index: usize, interface: Option<u64>| {
            let Some(Some(cap)) = payload.caps().get(index) else { return Value::Null };
            *last_number += 1;
            capabilities.insert(*last_number, Held { cap: vat.retain(*cap), interface });
            json!({ "$cap": *last_number })
        };
        let mut decoder = Decoder { schema, hand_out: &mut hand_out };
        let mut problem = None;
        let read = payload.read(|content| match decoder.content(content, id) {
            Ok(value) => Ok(value),
            Err(why) => {
                problem = Some(why);
                Ok(Value::Null)
            }
        });
        match problem {
            Some(problem) => Err(problem),
            None => read.map_err(text),
        }
    }
}

fn word<'a>(request: &'a Value, name: &str) -> Result<&'a str, Problem> {
    request[name].as_str().ok_or_else(|| format!("{name} is no text"))
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Failed => "failed",
        Kind::Overloaded => "overloaded",
        Kind::Disconnected => "disconnected",
        Kind::Unimplemented => "unimplemented",
    }
}

fn kind_of(name: &str) -> Kind {
    match name {
        "overloaded" => Kind::Overloaded,
        "disconnected" => Kind::Disconnected,
        "unimplemented" => Kind::Unimplemented,
        _ => Kind::Failed,
    }
}

#[cfg(test)]
mod tests;
