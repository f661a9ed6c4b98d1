//! Vats, their applications and the links between them.

use crate::ops::Op;
use crate::shadow::{Shadow, Shadows, Waiter};
use crate::sim_capnp::probe;
use crate::trace;
use rpc::slot::{Slot, index_of};
use rpc::{CallId, Cap, ConnId, Event, Exception, Limits, ObjectId, Payload, Vat};
use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

type Checked<T = ()> = Result<T, String>;
const NOW: Duration = Duration::ZERO;
const HANDLES_MAX: usize = 60;

/// The order of calls made through one reference, and copies of it in the same vat.
#[derive(Clone)]
struct Stream {
    id: u64,
    sent: Rc<Cell<u64>>,
}

#[derive(Clone)]
struct Handle {
    cap: Cap,
    stream: Stream,
    shadow: Shadow,
}

struct Host {
    vat: Vat,
    handles: Vec<Handle>,
    /// Calls made: the vat's name, ours, and whether the result is here.
    made: Vec<(CallId, u64, bool)>,
    /// Calls received and not answered.
    asked: Vec<(CallId, u64)>,
    /// Calls received and not answered whose results were said, with a reference to each.
    promised: Vec<(CallId, u64, Vec<Option<Cap>>)>,
    promises: Vec<(Cap, usize)>,
    /// One stream for each field of a result, whether taken before or after it is there.
    fields: HashMap<(u64, u16), Stream>,
    bootstrap: Cap,
    /// Objects that the vat has let go.
    released: HashSet<ObjectId>,
}

struct Link {
    ends: [(usize, ConnId); 2],
    /// Messages towards each end.
    queues: [VecDeque<Vec<u8>>; 2],
}

pub(crate) struct World {
    hosts: Vec<Host>,
    links: Vec<Link>,
    shadows: Shadows,
}

/// Runs `ops` and then lets everything come to rest. What went wrong, if anything.
pub(crate) fn run(vats: u16, ops: &[Op]) -> Checked {
    let mut world = World::new(vats as usize);
    for op in ops {
        world.step(*op)?;
    }
    world.finish()
}

/// An odd choice is among the newest few: what was just done is most likely still under way.
fn pick<T>(list: &[T], choice: u16) -> Option<usize> {
    let (length, choice) = (list.len(), choice as usize);
    let newest = length.saturating_sub(1 + choice / 2 % 4);
    (length > 0).then(|| if choice % 2 == 1 { newest } else { choice / 2 % length })
}

impl World {
    fn new(vats: usize) -> Self {
        let hosts = (0..vats).map(Host::new).collect();
        let mut world = Self { hosts, links: Vec::new(), shadows: Shadows::default() };
        for a in 0..vats {
            for b in a + 1..vats {
                let ends = [(a, world.hosts[a].connect()), (b, world.hosts[b].connect())];
                world.links.push(Link { ends, queues: Default::default() });
            }
        }
        world
    }

    fn step(&mut self, op: Op) -> Checked {
        if trace::is_on() {
            println!("--- {op:?}");
        }
        let hosts = self.hosts.len();
        let host = |vat: u16| vat as usize % hosts;
        match op {
            Op::Bootstrap(vat, link) => self.bootstrap(host(vat), link),
            Op::Object(vat) => self.object(host(vat)),
            Op::Promise(vat) => self.promise(host(vat)),
            Op::Resolve(vat, promise, handle) => self.resolve(host(vat), promise, Some(handle)),
            Op::Break(vat, promise) => self.resolve(host(vat), promise, None),
            Op::Call(vat, handle, a, b) => self.call(host(vat), handle, &[a, b]),
            Op::Pipeline(vat, call, field) => self.pipeline(host(vat), call, field % 3),
            Op::Reply(vat, call, a, b, c) => self.reply(host(vat), call, &[a, b, c]),
            Op::Early(vat, call, a, b, c) => self.early(host(vat), call, &[a, b, c]),
            Op::Complete(vat, call) => self.complete(host(vat), call),
            Op::Fail(vat, call) => self.fail(host(vat), call),
            Op::Tail(vat, call, handle, a) => self.tail(host(vat), call, handle, &[a]),
            Op::Copy(vat, handle) => self.copy(host(vat), handle),
            Op::Drop(vat, handle) => self.drop_handle(host(vat), handle),
            Op::Cancel(vat, call) => self.cancel(host(vat), call),
            Op::Deliver(link, direction, count) => self.deliver(link, direction, count),
            Op::Disconnect(link) => self.disconnect(link),
        }
        self.settle()
    }

    fn bootstrap(&mut self, host: usize, link: u16) {
        let ends: Vec<_> = self
            .links
            .iter()
            .flat_map(|link| [(link.ends[0], link.ends[1]), (link.ends[1], link.ends[0])])
            .filter(|((from, _), _)| *from == host)
            .collect();
        if let Some(index) = pick(&ends, link) {
            let ((_, conn), (peer, _)) = ends[index];
            let cap = self.hosts[host].vat.bootstrap(conn);
            self.add_handle(host, cap, Shadow::Object(bootstrap_object(peer)));
        }
    }

    fn object(&mut self, host: usize) {
        let stream = self.shadows.stream();
        let object = (stream << 8) | 0xFF;
        let cap = self.hosts[host].vat.object(ObjectId(object));
        self.add_handle(host, cap, Shadow::Object(object));
    }

    fn promise(&mut self, host: usize) {
        let shadow = self.shadows.promise();
        let cap = self.hosts[host].vat.promise();
        self.hosts[host].promises.push((cap, shadow));
        let cap = self.hosts[host].vat.retain(cap);
        self.add_handle(host, cap, Shadow::Promise(shadow));
    }

    fn resolve(&mut self, host: usize, promise: u16, handle: Option<u16>) {
        let here = &mut self.hosts[host];
        let Some(index) = pick(&here.promises, promise) else {
            return;
        };
        let (cap, shadow) = here.promises[index];
        let target = match handle {
            None => None,
            Some(handle) => match pick(&here.handles, handle).map(|h| here.handles[h].clone()) {
                Some(to) if !self.shadows.waits_for(to.shadow, Waiter::Promise(shadow)) => Some(to),
                _ => return,
            },
        };
        here.promises.swap_remove(index);
        match target {
            Some(to) => {
                self.shadows.resolve(shadow, to.shadow);
                let to = here.vat.retain(to.cap);
                here.vat.resolve(cap, to);
            }
            None => {
                self.shadows.resolve(shadow, Shadow::Broken);
                here.vat.reject(cap, Exception::failed("broken on purpose"));
            }
        }
        here.vat.release(cap);
    }

    fn call(&mut self, host: usize, handle: u16, args: &[u16]) {
        let Some((target, params, uid)) = self.prepare(host, handle, args) else {
            return;
        };
        let here = &mut self.hosts[host];
        let call = here.vat.call(target, 1, 1, params);
        here.made.push((call, uid, false));
    }

    /// The target, parameters and shadow of a call through a handle.
    fn prepare(&mut self, host: usize, handle: u16, args: &[u16]) -> Option<(Cap, Payload, u64)> {
        let here = &mut self.hosts[host];
        let target = here.handles[pick(&here.handles, handle)?].clone();
        let (caps, shadows) = here.arguments(args);
        let number = target.stream.sent.get() + 1;
        target.stream.sent.set(number);
        let uid = self.shadows.call(target.shadow, shadows, target.stream.id, number);
        if trace::is_on() {
            let Handle { cap, stream, shadow } = &target;
            println!(
                "vat {host}: call {uid}, {number} of stream {}, to {cap:?} {shadow:?}",
                stream.id
            );
        }
        let mut params = Payload::params(16);
        write(&mut params, &caps, [target.stream.id, number, uid]);
        Some((target.cap, params, uid))
    }

    fn pipeline(&mut self, host: usize, call: u16, field: u16) {
        let here = &mut self.hosts[host];
        let Some(index) = pick(&here.made, call) else {
            return;
        };
        let (call, uid, _) = here.made[index];
        let cap = here.vat.pipeline(call, &[field]);
        self.add_field(host, cap, uid, field);
    }

    fn reply(&mut self, host: usize, call: u16, fields: &[u16]) {
        let Some((call, uid, caps)) = self.chosen_results(host, call, fields) else {
            return;
        };
        self.hosts[host].vat.reply(call, results(uid, &caps));
    }

    fn early(&mut self, host: usize, call: u16, fields: &[u16]) {
        let Some((call, uid, caps)) = self.chosen_results(host, call, fields) else {
            return;
        };
        let here = &mut self.hosts[host];
        for cap in caps.iter().flatten() {
            here.vat.retain(*cap);
        }
        here.vat.set_pipeline(call, results(uid, &caps));
        here.promised.push((call, uid, caps));
    }

    fn complete(&mut self, host: usize, call: u16) {
        let here = &mut self.hosts[host];
        if let Some(index) = pick(&here.promised, call) {
            let (call, uid, caps) = here.promised.swap_remove(index);
            here.vat.reply(call, results(uid, &caps));
        }
    }

    /// A call to answer and capabilities for it that do not wait for it.
    fn chosen_results(
        &mut self,
        host: usize,
        call: u16,
        fields: &[u16],
    ) -> Option<(CallId, u64, Vec<Option<Cap>>)> {
        let here = &mut self.hosts[host];
        let index = pick(&here.asked, call)?;
        let (call, uid) = here.asked[index];
        let allowed: Vec<u16> = fields
            .iter()
            .map(|field| {
                let chosen = here.chosen(*field);
                let waits =
                    chosen.is_some_and(|h| self.shadows.waits_for(h.shadow, Waiter::Call(uid)));
                if waits { 0 } else { *field }
            })
            .collect();
        here.asked.swap_remove(index);
        let (caps, shadows) = here.arguments(&allowed);
        self.shadows.answer(uid, shadows);
        Some((call, uid, caps))
    }

    fn fail(&mut self, host: usize, call: u16) {
        let here = &mut self.hosts[host];
        if let Some(index) = pick(&here.asked, call) {
            let (call, uid) = here.asked.swap_remove(index);
            self.shadows.fail(uid);
            here.vat.fail(call, Exception::failed("on purpose"));
        }
    }

    fn tail(&mut self, host: usize, call: u16, handle: u16, args: &[u16]) {
        let here = &mut self.hosts[host];
        let (Some(index), Some(target)) = (pick(&here.asked, call), pick(&here.handles, handle))
        else {
            return;
        };
        let (call, uid) = here.asked[index];
        if self.shadows.waits_for(here.handles[target].shadow, Waiter::Call(uid)) {
            return;
        }
        here.asked.swap_remove(index);
        let Some((target, params, inner)) = self.prepare(host, handle, args) else {
            return;
        };
        self.shadows.same(uid, inner);
        // Whoever asked may give up, and this call with it.
        self.shadows.may_miss(inner);
        self.hosts[host].vat.tail_call(call, target, 1, 1, params);
    }

    fn copy(&mut self, host: usize, handle: u16) {
        let here = &mut self.hosts[host];
        if let Some(index) = pick(&here.handles, handle)
            && here.handles.len() < HANDLES_MAX
        {
            let copy = here.handles[index].clone();
            here.vat.retain(copy.cap);
            here.handles.push(copy);
        }
    }

    fn drop_handle(&mut self, host: usize, handle: u16) {
        let here = &mut self.hosts[host];
        if let Some(index) = pick(&here.handles, handle) {
            let handle = here.handles.swap_remove(index);
            here.vat.release(handle.cap);
        }
    }

    fn cancel(&mut self, host: usize, call: u16) {
        let here = &mut self.hosts[host];
        if let Some(index) = pick(&here.made, call) {
            let (call, uid, _) = here.made.swap_remove(index);
            self.shadows.may_miss(uid);
            here.vat.release_call(call);
        }
    }

    fn deliver(&mut self, link: u16, direction: u16, count: u16) {
        let index = link as usize % self.links.len();
        let link = &mut self.links[index];
        let end = direction as usize % 2;
        for _ in 0..count {
            let Some(message) = link.queues[end].pop_front() else {
                return;
            };
            let (host, conn) = link.ends[end];
            if trace::is_on() {
                println!("to vat {host}: {}", trace::message(&message));
            }
            let taken = self.hosts[host].vat.handle_input(NOW, conn, &message);
            assert_eq!(taken, message.len());
        }
    }

    fn disconnect(&mut self, link: u16) {
        let Some(index) = pick(&self.links, link) else {
            return;
        };
        self.shadows.lossy = true;
        let ends = self.links[index].ends;
        for (host, conn) in ends {
            self.hosts[host].vat.forget(conn);
        }
        let ends = ends.map(|(host, _)| (host, self.hosts[host].connect()));
        self.links[index] = Link { ends, queues: Default::default() };
    }

    /// Lets the applications see what happened and the links take what was written.
    fn settle(&mut self) -> Checked {
        for host in 0..self.hosts.len() {
            while let Some(event) = self.hosts[host].vat.poll_event() {
                self.see(host, event)?;
            }
        }
        for link in &mut self.links {
            for end in 0..2 {
                let (host, conn) = link.ends[end];
                let mut messages = self.hosts[host].written(conn);
                if host % 2 == 1 {
                    messages.iter_mut().for_each(|message| finish_as_before_1_0_2(message));
                }
                link.queues[1 - end].extend(messages);
            }
        }
        Ok(())
    }

    fn see(&mut self, host: usize, event: Event) -> Checked {
        match event {
            Event::Call { call, object, params, .. } => self.asked(host, call, object, &params),
            Event::Cancelled(call) => {
                let here = &mut self.hosts[host];
                here.asked.retain(|(asked, _)| *asked != call);
                if let Some(index) = here.promised.iter().position(|(known, ..)| *known == call) {
                    let (.., caps) = here.promised.swap_remove(index);
                    caps.into_iter().flatten().for_each(|cap| here.vat.release(cap));
                }
                Ok(())
            }
            Event::Released(object) => {
                self.hosts[host].released.insert(object);
                Ok(())
            }
            Event::Returned(call) => self.returned(host, call),
            Event::Disconnected { reason, .. } if !self.shadows.lossy => {
                Err(format!("vat {host} lost a connection: {reason}"))
            }
            _ => Ok(()),
        }
    }

    fn asked(&mut self, host: usize, call: CallId, object: ObjectId, params: &Payload) -> Checked {
        let ([stream, number, uid], fields) = read(params)?;
        if trace::is_on() {
            println!("vat {host}: arrived at {object:?}: call {uid}, {number} of stream {stream}");
        }
        if self.hosts[host].released.contains(&object) {
            return Err(format!("call {uid} arrived at {object:?} after its release"));
        }
        self.shadows.arrived(uid, stream, number, object.0)?;
        self.hosts[host].asked.push((call, uid));
        for (field, index) in (0..).zip(fields) {
            let cap = index.and_then(|index| params.caps()[index]);
            let shadow = self.shadows.argument(uid, field);
            match (cap, shadow) {
                (Some(cap), Some(shadow)) => self.add_handle(host, cap, shadow),
                (None, None) => {}
                _ => return Err(format!("call {uid}: argument {field} is wrong")),
            }
        }
        Ok(())
    }

    fn returned(&mut self, host: usize, call: CallId) -> Checked {
        let here = &mut self.hosts[host];
        let Some(entry) = here.made.iter_mut().find(|(made, _, _)| *made == call) else {
            return Ok(());
        };
        entry.2 = true;
        let uid = entry.1;
        match here.vat.result(call) {
            None => Err(format!("call {uid} returned without a result")),
            Some(Err(_)) => {
                self.shadows.fail(uid);
                Ok(())
            }
            Some(Ok(results)) => {
                let (_, fields) = read(&results)?;
                for (field, index) in (0..).zip(fields) {
                    let cap = index.and_then(|index| results.caps()[index]);
                    match (cap, self.shadows.field(uid, field)) {
                        (Some(cap), Some(_)) => {
                            let cap = self.hosts[host].vat.retain(cap);
                            self.add_field(host, cap, uid, field);
                        }
                        (None, None) => {}
                        _ => return Err(format!("call {uid}: result {field} is wrong")),
                    }
                }
                Ok(())
            }
        }
    }

    fn add_handle(&mut self, host: usize, cap: Cap, shadow: Shadow) {
        let stream = Stream { id: self.shadows.stream(), sent: Rc::default() };
        self.hosts[host].keep(Handle { cap, stream, shadow });
    }

    fn add_field(&mut self, host: usize, cap: Cap, uid: u64, field: u16) {
        let id = self.shadows.stream();
        let fresh = Stream { id, sent: Rc::default() };
        let stream = self.hosts[host].fields.entry((uid, field)).or_insert(fresh).clone();
        self.hosts[host].keep(Handle { cap, stream, shadow: Shadow::Field(uid, field) });
    }

    /// Resolves, answers and delivers everything, checks that nothing is left waiting, lets go of
    /// everything, and checks that nothing is left at all.
    fn finish(&mut self) -> Checked {
        loop {
            let mut idle = self.deliver_all()?;
            for host in 0..self.hosts.len() {
                while !self.hosts[host].promises.is_empty() {
                    let before = self.hosts[host].promises.len();
                    self.resolve(host, 0, Some(before as u16));
                    if self.hosts[host].promises.len() == before {
                        self.resolve(host, 0, None);
                    }
                    idle = false;
                }
                while !self.hosts[host].promised.is_empty() {
                    self.complete(host, 0);
                    idle = false;
                }
                while !self.hosts[host].asked.is_empty() {
                    self.reply(host, 0, &[1, 2, 0]);
                    idle = false;
                }
            }
            self.settle()?;
            if idle {
                break;
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if let Some((_, uid, _)) = host.made.iter().find(|(_, _, returned)| !returned) {
                return Err(format!("vat {index}: call {uid} never returned"));
            }
        }
        self.let_go()
    }

    fn deliver_all(&mut self) -> Checked<bool> {
        let mut idle = true;
        loop {
            self.settle()?;
            let waiting = (0..self.links.len() as u16)
                .flat_map(|link| [(link, 0), (link, 1)])
                .find(|(link, end)| !self.links[*link as usize].queues[*end as usize].is_empty());
            let Some((link, end)) = waiting else {
                return Ok(idle);
            };
            idle = false;
            self.deliver(link, end, 1);
        }
    }

    fn let_go(&mut self) -> Checked {
        for host in &mut self.hosts {
            for handle in core::mem::take(&mut host.handles) {
                host.vat.release(handle.cap);
            }
            for (call, _, _) in core::mem::take(&mut host.made) {
                host.vat.release_call(call);
            }
        }
        self.deliver_all()?;
        for link in &self.links {
            for (host, conn) in link.ends {
                let sizes = self.hosts[host].vat.table_sizes(conn);
                if sizes != rpc::TableSizes::default() {
                    return Err(format!("vat {host} keeps {sizes:?}"));
                }
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            // Its bootstrap object, that is.
            if host.vat.live() != (1, 0) {
                return Err(format!("vat {index} keeps (nodes, calls) {:?}", host.vat.live()));
            }
        }
        Ok(())
    }
}

/// A call that is finished at once is to be delivered first (rpc.capnp, `Finish.requireEarlyCancellationWorkaround`): what
/// C++ said before its version 1.0.2, and we never say. Odd vats do here.
fn finish_as_before_1_0_2(message: &mut [u8]) {
    const FINISH: [u8; 8] = 4_u64.to_le_bytes();
    // A table, the root, the message's word, a pointer, the finish's word: its flags are inverted, since both default to
    // true.
    if message.len() == 40 && message[16..24] == FINISH {
        message[36] &= !2;
    }
}

fn bootstrap_object(host: usize) -> u64 {
    host as u64
}

impl Host {
    fn new(index: usize) -> Self {
        let mut vat = Vat::new(Limits::default());
        let bootstrap = vat.object(ObjectId(bootstrap_object(index)));
        Self {
            vat,
            handles: Vec::new(),
            made: Vec::new(),
            asked: Vec::new(),
            promised: Vec::new(),
            promises: Vec::new(),
            fields: HashMap::new(),
            bootstrap,
            released: HashSet::new(),
        }
    }

    fn connect(&mut self) -> ConnId {
        let offered = self.vat.retain(self.bootstrap);
        self.vat.connect(Some(offered))
    }

    fn keep(&mut self, handle: Handle) {
        if self.handles.len() < HANDLES_MAX {
            self.handles.push(handle);
        } else {
            self.vat.release(handle.cap);
        }
    }

    fn chosen(&self, argument: u16) -> Option<&Handle> {
        let choice = argument.checked_sub(1)?;
        self.handles.get(pick(&self.handles, choice)?)
    }

    /// The chosen handles, each with a new reference, and their shadows.
    fn arguments(&mut self, choices: &[u16]) -> (Vec<Option<Cap>>, Vec<Option<Shadow>>) {
        choices
            .iter()
            .map(|choice| {
                let chosen = self.chosen(*choice).map(|handle| (handle.cap, handle.shadow));
                if let Some((cap, _)) = chosen {
                    self.vat.retain(cap);
                }
                (chosen.map(|(cap, _)| cap), chosen.map(|(_, shadow)| shadow))
            })
            .unzip()
    }

    /// The messages that left since last time.
    fn written(&mut self, conn: ConnId) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.vat.poll_transmit(NOW, conn, &mut buffer) {
                0 => break,
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
        let mut messages = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let word = |index: usize| {
                u32::from_le_bytes(rest[4 * index..4 * index + 4].try_into().unwrap()) as usize
            };
            let segments = word(0) + 1;
            let table = (4 + 4 * segments).next_multiple_of(8);
            let words: usize = (1..=segments).map(word).sum();
            let (message, after) = rest.split_at(table + 8 * words);
            messages.push(message.to_vec());
            rest = after;
        }
        messages
    }
}

fn results(call: u64, caps: &[Option<Cap>]) -> Payload {
    let mut results = Payload::results(16);
    write(&mut results, caps, [0, 0, call]);
    results
}

fn write(payload: &mut Payload, caps: &[Option<Cap>], [stream, number, call]: [u64; 3]) {
    payload
        .build(caps, |content| {
            let mut probe: probe::Builder<'_> = content.init_as();
            probe.set_stream(stream);
            probe.set_number(number);
            probe.set_call(call);
            for (index, _) in caps.iter().enumerate().filter(|(_, cap)| cap.is_some()) {
                let mut field = match index {
                    0 => probe.reborrow().init_a(),
                    1 => probe.reborrow().init_b(),
                    _ => probe.reborrow().init_c(),
                };
                field.set_as_capability(Slot(index).hook());
            }
        })
        .unwrap();
}

type Probe = ([u64; 3], [Option<usize>; 3]);

/// The numbers, and for each capability its place in the table.
fn read(payload: &Payload) -> Checked<Probe> {
    let probe = payload.read(|content| {
        let probe: probe::Reader<'_> = content.get_as()?;
        let numbers = [probe.get_stream(), probe.get_number(), probe.get_call()];
        let place = |field: capnp::any_pointer::Reader<'_>| {
            if field.is_null() {
                return Ok(None);
            }
            let hook: Box<dyn capnp::private::capability::ClientHook> =
                field.get_as_capability()?;
            Ok::<_, capnp::Error>(index_of(&*hook))
        };
        Ok((numbers, [place(probe.get_a())?, place(probe.get_b())?, place(probe.get_c())?]))
    });
    probe.map_err(|error| format!("unreadable: {error:?}"))
}
