//! The hard cases of message order that other implementations met, by name.

#[allow(missing_docs, unused, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
#[path = "sim/sim_capnp.rs"]
mod sim_capnp;

use rpc::slot::Slot;
use rpc::{CallId, Cap, ConnId, Event, Limits, ObjectId, Payload, Vat};
use sim_capnp::probe;
use std::collections::VecDeque;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

/// A received call that is not answered.
struct Asked {
    call: CallId,
    number: u64,
    args: Vec<Cap>,
}

/// The vat, its connection, and the messages towards it.
type End = (usize, ConnId, VecDeque<Vec<u8>>);

/// Vats in a row, each linked to the next; messages move when the test says so.
struct Row {
    vats: Vec<Vat>,
    /// For each link its ends and the messages towards them.
    links: Vec<[End; 2]>,
    asked: Vec<Vec<Asked>>,
    /// Numbers of calls in the order of their arrival, with the vat.
    arrived: Vec<(usize, u64)>,
}

impl Row {
    fn new(count: usize) -> Self {
        let mut vats: Vec<_> = (0..count).map(|_| Vat::new(Limits::default())).collect();
        let bootstraps: Vec<_> = vats.iter_mut().map(|vat| vat.object(ObjectId(0))).collect();
        let mut connect = |vat: usize| {
            let offered = vats[vat].retain(bootstraps[vat]);
            (vat, vats[vat].connect(Some(offered)), VecDeque::new())
        };
        let links = (1..count).map(|vat| [connect(vat - 1), connect(vat)]).collect();
        let asked = (0..count).map(|_| Vec::new()).collect();
        Self { vats, links, asked, arrived: Vec::new() }
    }

    /// The bootstrap capability of the neighbour at the link.
    fn bootstrap(&mut self, vat: usize, link: usize) -> Cap {
        let conn = self.links[link].iter().find(|(at, _, _)| *at == vat).unwrap().1;
        let cap = self.vats[vat].bootstrap(conn);
        self.settle();
        cap
    }

    fn call(&mut self, vat: usize, target: Cap, number: u64, args: &[Cap]) -> CallId {
        let params = self.payload(vat, Payload::params(8), number, args);
        let call = self.vats[vat].call(target, 1, 1, params);
        self.settle();
        call
    }

    fn payload(&mut self, vat: usize, mut payload: Payload, number: u64, caps: &[Cap]) -> Payload {
        let caps: Vec<_> = caps.iter().map(|cap| Some(self.vats[vat].retain(*cap))).collect();
        payload
            .build(&caps, |content| {
                let mut probe: probe::Builder<'_> = content.init_as();
                probe.set_number(number);
                if !caps.is_empty() {
                    probe.reborrow().init_a().set_as_capability(Slot(0).hook());
                }
            })
            .unwrap();
        payload
    }

    /// The capability in a result.
    fn part(&mut self, vat: usize, call: CallId) -> Cap {
        self.vats[vat].pipeline(call, &[0])
    }

    fn take_asked(&mut self, vat: usize, number: u64) -> Asked {
        let index = self.asked[vat].iter().position(|asked| asked.number == number);
        self.asked[vat].remove(index.expect("the call to be there"))
    }

    fn reply(&mut self, vat: usize, number: u64, caps: &[Cap]) {
        let asked = self.take_asked(vat, number);
        let results = self.payload(vat, Payload::results(8), 0, caps);
        self.vats[vat].reply(asked.call, results);
        self.settle();
    }

    fn set_pipeline(&mut self, vat: usize, number: u64, caps: &[Cap]) {
        let call = self.asked[vat].iter().find(|asked| asked.number == number).unwrap().call;
        let results = self.payload(vat, Payload::results(8), 0, caps);
        self.vats[vat].set_pipeline(call, results);
        self.settle();
    }

    fn tail(&mut self, vat: usize, number: u64, target: Cap, inner: u64) {
        let asked = self.take_asked(vat, number);
        let params = self.payload(vat, Payload::params(8), inner, &[]);
        self.vats[vat].tail_call(asked.call, target, 1, 1, params);
        self.settle();
    }

    fn resolve(&mut self, vat: usize, promise: Cap, to: Cap) {
        let to = self.vats[vat].retain(to);
        self.vats[vat].resolve(promise, to);
        self.settle();
    }

    /// Delivers up to `count` messages that wait for `vat` at the link.
    fn deliver(&mut self, vat: usize, link: usize, count: usize) {
        for _ in 0..count {
            let end = self.links[link].iter_mut().find(|(at, _, _)| *at == vat).unwrap();
            let Some(message) = end.2.pop_front() else { return };
            let conn = end.1;
            assert_eq!(self.vats[vat].handle_input(NOW, conn, &message), message.len());
            self.settle();
        }
    }

    fn deliver_all(&mut self) {
        while self.links.iter().flatten().any(|(_, _, queue)| !queue.is_empty()) {
            for link in 0..self.links.len() {
                self.deliver(link, link, 1);
                self.deliver(link + 1, link, 1);
            }
        }
    }

    fn settle(&mut self) {
        for (at, vat) in self.vats.iter_mut().enumerate() {
            while let Some(event) = vat.poll_event() {
                match event {
                    Event::Call { call, params, .. } => {
                        let number = params
                            .read(|content| Ok(content.get_as::<probe::Reader<'_>>()?.get_number()))
                            .unwrap();
                        let args = params.caps().iter().flatten().copied().collect();
                        self.arrived.push((at, number));
                        self.asked[at].push(Asked { call, number, args });
                    }
                    Event::Disconnected { reason, .. } => panic!("vat {at}: {reason}"),
                    _ => {}
                }
            }
        }
        for link in &mut self.links {
            for end in 0..2 {
                let (vat, conn, _) = link[end];
                let mut buffer = vec![0; 1 << 16];
                let count = self.vats[vat].poll_transmit(NOW, conn, &mut buffer);
                let mut rest = &buffer[..count];
                while !rest.is_empty() {
                    let words = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
                    let (message, after) = rest.split_at(8 + 8 * words);
                    link[1 - end].2.push_back(message.to_vec());
                    rest = after;
                }
            }
        }
    }

    #[track_caller]
    fn assert_order(&self, vat: usize, numbers: &[u64]) {
        let seen: Vec<u64> = self
            .arrived
            .iter()
            .filter(|(at, number)| *at == vat && (numbers.contains(number) || *number > 10))
            .map(|(_, number)| *number)
            .collect();
        assert_eq!(seen, numbers);
    }
}

/// A path that was promised in a return is kept, though a shorter one has been found since.
#[test]
fn mirage_capnp_rpc_59_path_shortened_too_soon() {
    let (client, server) = (0, 1);
    let mut row = Row::new(2);
    let (server_bs, client_bs) = (row.bootstrap(client, 0), row.bootstrap(server, 0));
    row.deliver_all();
    let q1 = row.call(client, server_bs, 1, &[]);
    let a = row.part(client, q1);
    let q2 = row.call(client, server_bs, 2, &[]);
    let b = row.part(client, q2);
    let q3 = row.call(server, client_bs, 3, &[]);
    let c = row.part(server, q3);
    row.deliver_all();
    row.reply(client, 3, &[a]);
    row.reply(server, 1, &[client_bs]);
    row.reply(server, 2, &[c]);
    row.call(client, b, 11, &[]);
    row.deliver(client, 0, 2);
    row.call(client, b, 12, &[]);
    row.deliver_all();
    row.assert_order(client, &[11, 12]);
}

/// A used promise that becomes another promise of the peer's, which becomes ours.
#[test]
fn mirage_capnp_rpc_78_embargo_through_a_second_promise() {
    let (client, server) = (0, 1);
    let mut row = Row::new(2);
    let client_bs = row.bootstrap(server, 0);
    let own = row.vats[server].object(ObjectId(5));
    row.deliver_all();
    // The server passes its object and asks; the client answers with a promise, and resolves that
    // to the object, before it sees the call that the server sends to the answer.
    let q3 = row.call(server, client_bs, 3, &[own]);
    row.deliver_all();
    let x = row.part(server, q3);
    row.call(server, x, 11, &[]);
    let promise = row.vats[client].promise();
    let e0 = row.asked[client][0].args[0];
    row.reply(client, 3, &[promise]);
    row.resolve(client, promise, e0);
    row.deliver(server, 0, 2);
    row.call(server, x, 12, &[]);
    row.deliver_all();
    row.assert_order(server, &[11, 12]);
}

/// Two resolutions cross: a promise of the peer's becomes a promise of ours that has just become
/// an object of the peer's.
#[test]
fn capnproto_rust_575_four_way_race() {
    let (a, b) = (0, 1);
    for delivered in 0..6 {
        let mut row = Row::new(2);
        let b_bs = row.bootstrap(a, 0);
        let (p, x) = (row.vats[b].promise(), row.vats[b].object(ObjectId(7)));
        let e = row.vats[a].promise();
        // A gets P, X; B gets E.
        let got_p = row.call(a, b_bs, 1, &[e]);
        let got_x = row.call(a, b_bs, 2, &[]);
        row.deliver_all();
        let e_at_b = row.asked[b][0].args[0];
        row.reply(b, 1, &[p]);
        row.reply(b, 2, &[x]);
        row.deliver_all();
        let (p_at_a, x_at_a) = (row.part(a, got_p), row.part(a, got_x));
        row.call(a, p_at_a, 11, &[]);
        row.resolve(b, p, e_at_b);
        row.resolve(a, e, x_at_a);
        row.deliver(a, 0, delivered);
        row.call(a, p_at_a, 12, &[]);
        row.deliver(b, 0, delivered);
        row.call(a, p_at_a, 13, &[]);
        row.deliver_all();
        row.assert_order(b, &[11, 12, 13]);
    }
}

/// A disembargo passes a vat that is itself waiting for one.
#[test]
fn capnproto_rust_529_disembargo_across_hops() {
    let (a, b, c) = (0, 1, 2);
    for delivered in 0..8 {
        let mut row = Row::new(3);
        let (b_bs, c_bs) = (row.bootstrap(a, 0), row.bootstrap(b, 1));
        let own = row.vats[a].object(ObjectId(9));
        // A asks B, which asks C with what A passed; both calls are answered with promises.
        let to_b = row.call(a, b_bs, 1, &[own]);
        row.deliver_all();
        let own_at_b = row.asked[b][0].args[0];
        let to_c = row.call(b, c_bs, 2, &[own_at_b]);
        row.deliver_all();
        let (x, y) = (row.part(a, to_b), row.part(b, to_c));
        row.call(a, x, 11, &[]);
        row.reply(b, 1, &[y]);
        row.deliver(a, 0, 1);
        row.call(a, x, 12, &[]);
        row.deliver(b, 0, 1);
        row.deliver(c, 1, 1);
        let promise = row.vats[c].promise();
        let own_at_c = row.asked[c][0].args[0];
        row.reply(c, 2, &[promise]);
        row.resolve(c, promise, own_at_c);
        row.deliver(b, 1, delivered);
        row.deliver(a, 0, delivered);
        row.call(a, x, 13, &[]);
        row.deliver_all();
        row.call(a, x, 14, &[]);
        row.deliver_all();
        row.assert_order(a, &[11, 12, 13, 14]);
    }
}

/// Calls to a part of a result go ahead once it is known which, and not past each other.
#[test]
fn a_pipeline_that_is_set_before_the_results() {
    let (client, server) = (0, 1);
    for own in [false, true] {
        let mut row = Row::new(2);
        let there = row.bootstrap(client, 0);
        let mine = row.vats[client].object(ObjectId(3));
        row.call(client, there, 1, &[mine]);
        let call = row.call(client, there, 2, &[]);
        let part = row.part(client, call);
        row.call(client, part, 11, &[]);
        row.deliver_all();
        let theirs = match own {
            true => row.asked[server][0].args[0],
            false => row.vats[server].object(ObjectId(4)),
        };
        let end = if own { client } else { server };
        row.assert_order(end, &[]);
        row.set_pipeline(server, 2, &[theirs]);
        row.deliver_all();
        row.assert_order(end, &[11]);
        row.call(client, part, 12, &[]);
        row.deliver(server, 0, 1);
        row.reply(server, 2, &[theirs]);
        row.call(client, part, 13, &[]);
        row.deliver(client, 0, 2);
        row.call(client, part, 14, &[]);
        row.deliver_all();
        row.assert_order(end, &[11, 12, 13, 14]);
    }
}

/// The result of a call is what the callee's tail call gets from the caller itself.
#[test]
fn capnproto_876_tail_call_to_the_caller() {
    let (caller, callee) = (0, 1);
    for delivered in 0..6 {
        let mut row = Row::new(2);
        let there = row.bootstrap(caller, 0);
        let (own, target) =
            (row.vats[caller].object(ObjectId(3)), row.vats[caller].object(ObjectId(4)));
        let call = row.call(caller, there, 1, &[own]);
        let part = row.part(caller, call);
        row.call(caller, part, 11, &[]);
        row.deliver(callee, 0, 2);
        let to = row.asked[callee][0].args[0];
        row.tail(callee, 1, to, 2);
        row.deliver(caller, 0, delivered);
        row.call(caller, part, 12, &[]);
        row.deliver(callee, 0, delivered);
        row.deliver(caller, 0, 1);
        if row.asked[caller].iter().any(|asked| asked.number == 2) {
            row.reply(caller, 2, &[target]);
        } else {
            row.deliver_all();
            row.reply(caller, 2, &[target]);
        }
        row.call(caller, part, 13, &[]);
        let settled = row.part(caller, call);
        row.call(caller, settled, 14, &[]);
        row.deliver_all();
        row.assert_order(caller, &[11, 12, 13, 14]);
    }
}
