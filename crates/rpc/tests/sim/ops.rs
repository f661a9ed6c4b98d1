//! What a simulated application can do, as data: so that a failing run can be cut down and printed.

/// One step. The first number is the vat, the others choose among what it has (modulo their
/// count); as an argument 0 stands for none. A step that does not apply does nothing, so that any
/// part of a run is a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Asks the peer at the link for its bootstrap capability.
    Bootstrap(u16, u16),
    /// A new object.
    Object(u16),
    /// A new promise.
    Promise(u16),
    /// Resolves a promise to a handle.
    Resolve(u16, u16, u16),
    /// Breaks a promise.
    Break(u16, u16),
    /// Calls a handle, with two arguments.
    Call(u16, u16, u16, u16),
    /// Takes a field of the result of a call.
    Pipeline(u16, u16, u16),
    /// Answers a call, with three results.
    Reply(u16, u16, u16, u16, u16),
    /// Says what the three results of a call will be, without answering it.
    Early(u16, u16, u16, u16, u16),
    /// Answers a call whose results were said.
    Complete(u16, u16),
    /// Fails a call.
    Fail(u16, u16),
    /// Answers a call by calling a handle, with an argument.
    Tail(u16, u16, u16, u16),
    /// Copies a handle.
    Copy(u16, u16),
    /// Drops a handle.
    Drop(u16, u16),
    /// Drops a call.
    Cancel(u16, u16),
    /// Delivers messages: link, direction, how many.
    Deliver(u16, u16, u16),
    /// Breaks a link and makes a new one.
    Disconnect(u16),
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn small(&mut self) -> u16 {
        self.below(1 << 16) as u16
    }

    /// An argument: none in one of three.
    fn argument(&mut self) -> u16 {
        if self.below(3) == 0 { 0 } else { self.small().max(1) }
    }
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) vats: u16,
    pub(crate) ops: usize,
    pub(crate) disconnects: bool,
    /// Of 100 steps, how many deliver: few make long queues, many make short ones.
    pub(crate) deliveries: u64,
}

impl Plan {
    pub(crate) fn of(random: &mut Random) -> Self {
        Self {
            vats: [2, 2, 2, 3, 3, 4][random.below(6) as usize],
            ops: 20 + random.below(280) as usize,
            disconnects: random.below(5) == 0,
            deliveries: 10 + random.below(50),
        }
    }
}

pub(crate) fn generate(plan: &Plan, random: &mut Random) -> Vec<Op> {
    (0..plan.ops).map(|_| step(plan, random)).collect()
}

fn step(plan: &Plan, random: &mut Random) -> Op {
    if random.below(100) < plan.deliveries {
        // Mostly a few, and now and then all that wait: what comes in one piece is seen only after the last of it.
        let most = if random.below(4) == 0 { 20 } else { 3 };
        return Op::Deliver(random.small(), random.small(), 1 + random.below(most) as u16);
    }
    let vat = random.below(u64::from(plan.vats)) as u16;
    match random.below(100) {
        0..4 => Op::Bootstrap(vat, random.small()),
        4..7 => Op::Object(vat),
        7..14 => Op::Promise(vat),
        14..24 => Op::Resolve(vat, random.small(), random.small()),
        24 => Op::Break(vat, random.small()),
        25..56 => Op::Call(vat, random.small(), random.argument(), random.argument()),
        56..64 => Op::Pipeline(vat, random.small(), random.small()),
        64..74 => {
            Op::Reply(vat, random.small(), random.argument(), random.argument(), random.argument())
        }
        74..78 => {
            Op::Early(vat, random.small(), random.argument(), random.argument(), random.argument())
        }
        78..82 => Op::Complete(vat, random.small()),
        82 => Op::Fail(vat, random.small()),
        83..87 => Op::Tail(vat, random.small(), random.small(), random.argument()),
        87..90 => Op::Copy(vat, random.small()),
        90..96 => Op::Drop(vat, random.small()),
        96..99 => Op::Cancel(vat, random.small()),
        _ if plan.disconnects => Op::Disconnect(random.small()),
        _ => Op::Object(vat),
    }
}

/// Leaves out what the failure does not need.
pub(crate) fn shrink(ops: &[Op], fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let mut kept = ops.to_vec();
    loop {
        let before = kept.len();
        kept = shrink_once(&kept, &fails);
        if kept.len() == before {
            return kept;
        }
    }
}

fn shrink_once(ops: &[Op], fails: &impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let mut kept = ops.to_vec();
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < kept.len() {
            let mut shorter = kept.clone();
            shorter.drain(start..(start + chunk).min(kept.len()));
            if fails(&shorter) {
                kept = shorter;
            } else {
                start += chunk;
            }
        }
        chunk /= 2;
    }
    kept
}
