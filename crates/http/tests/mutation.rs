//! Mutated requests: however they are cut into pieces, a server makes the same of them, and never panics.

use http::Limits;
use http_test_server::{Outcome, serve_in_pieces};

/// What mutation starts from.
const SEEDS: [&str; 6] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\nX: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloHEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "PUT /refuse HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET http://b:1/headers?x HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nAccept: \t a,b \r\n\r\n",
    "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nCONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// Pieces that make trouble.
const TROUBLE: [&str; 16] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    "\0",
    "\r\n\r\n",
    "0\r\n\r\n",
    "Content-Length: 1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: b\r\n",
    "HTTP/1.1",
    "ffffffffffffffff",
    ",",
    "\u{e9}",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn mutated(&mut self) -> Vec<u8> {
        let mut input = SEEDS[self.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(8)).min(input.len());
            let trouble = TROUBLE[self.below(TROUBLE.len())].as_bytes();
            match self.below(4) {
                0 => drop(input.splice(at..end, trouble.iter().copied())),
                1 => drop(input.splice(at..at, trouble.iter().copied())),
                2 => drop(input.drain(at..end)),
                _ if at < input.len() => input[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
        // Every head comes to an end, so that a fault in it is found however it arrives.
        input.extend_from_slice(b"\r\n\r\n\r\n\r\n");
        input
    }
}

/// What must not depend on the pieces: all but which of several faults was found first.
fn essence(outcome: Outcome) -> (Vec<String>, usize, http::ConnectionState) {
    let events = outcome.events.into_iter().map(|event| match event.starts_with("failed: ") {
        true => "failed".to_owned(),
        false => event,
    });
    (events.collect(), outcome.output.matches("HTTP/1.1 ").count(), outcome.state)
}

#[test]
fn pieces_make_no_difference() {
    let limits = Limits { header_bytes_max: 200, body_bytes_max: 100, ..Limits::default() };
    for seed in 1..=4000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = random.mutated();
        let whole = essence(serve_in_pieces(&input, usize::MAX, usize::MAX, &limits));
        for (piece, room) in [(1, 1), (1 + random.below(30), 1 + random.below(300))] {
            let pieces = essence(serve_in_pieces(&input, piece, room, &limits));
            assert_eq!(pieces, whole, "seed {seed}, pieces of {piece}: {}", input.escape_ascii());
        }
    }
}
