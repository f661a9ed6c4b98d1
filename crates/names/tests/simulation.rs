//! Holders, servers and a reader on a network that fails: servers die and come back empty, links between any two break and
//! heal, holders die. A seed decides; a failure prints it.
//!
//! What must hold at every instant: no holder that is gone is known for longer than its lease, and the time that a message may
//! take; and one that lives is known, as long as it and the reader have had a server in common for long enough.

use core::time::Duration;
use flow::registry::Service;
use names::{Changes, Copies, Cursor, Directory, Holder, Limits, Renewals};

const SERVERS: usize = 3;
const HOLDERS: usize = 4;
const LEASE: Duration = Duration::from_secs(10);
/// Steps of time.
const STEP: Duration = Duration::from_millis(250);
/// A message takes none or up to so many steps.
const DELAY_STEPS_MAX: u64 = 3;
/// How long a way from a holder by a server to the reader must be whole before the reader has to know the holder: a connection, a
/// registration and what is told of it, each at most so late.
const SETTLED: Duration = Duration::from_secs(3);

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

struct Server {
    /// None while it is dead.
    directory: Option<Directory>,
    /// Its runs; connections are of one.
    run: u64,
}

struct HolderSide {
    is_alive: bool,
    died: Duration,
    links: [Link; SERVERS],
    renewals: [Renewals; SERVERS],
}

/// Between somebody and one server.
#[derive(Clone, Copy, Default)]
struct Link {
    is_broken: bool,
    /// The run of the server that it is connected with.
    connection: Option<u64>,
    /// Connections that there were: what is on its way belongs to one.
    number: u64,
    /// Since when both ends are there and the link is whole.
    whole_since: Option<Duration>,
}

/// What is on its way.
enum Message {
    Register { holder: usize, server: usize, run: u64 },
    Tell { server: usize, connection: u64, changes: Changes },
}

struct World {
    now: Duration,
    random: Random,
    servers: [Server; SERVERS],
    holders: Vec<HolderSide>,
    reader_links: [Link; SERVERS],
    cursors: [Option<Cursor>; SERVERS],
    copies: Copies,
    on_their_way: Vec<(Duration, Message)>,
}

fn service(holder: usize) -> Service {
    let host = format!("h{holder}").parse().unwrap();
    Service::described("web".parse().unwrap(), host, &format!("http h{holder}:80")).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let server = || Server { directory: Some(Directory::new(Limits::default())), run: 0 };
        let holder = |_| HolderSide {
            is_alive: true,
            died: Duration::ZERO,
            links: [Link::default(); SERVERS],
            renewals: [Renewals::new(); SERVERS],
        };
        Self {
            now: Duration::ZERO,
            random: Random(seed),
            servers: [server(), server(), server()],
            holders: (0..HOLDERS).map(holder).collect(),
            reader_links: [Link::default(); SERVERS],
            cursors: [None; SERVERS],
            copies: Copies::new(SERVERS),
            on_their_way: Vec::new(),
        }
    }

    fn step(&mut self, is_calm: bool) {
        self.now += STEP;
        if !is_calm {
            self.disturb();
        }
        self.connect();
        self.deliver();
        self.hold();
        self.tell();
        self.copies.handle_timeout(self.now);
        for directory in self.servers.iter_mut().filter_map(|server| server.directory.as_mut()) {
            directory.handle_timeout(self.now);
        }
    }

    /// One in eight steps something fails or heals.
    fn disturb(&mut self) {
        if self.random.below(8) > 0 {
            return;
        }
        let server = self.random.below(SERVERS as u64) as usize;
        let holder = self.random.below(HOLDERS as u64) as usize;
        match self.random.below(4) {
            0 => {
                let Server { directory, run } = &mut self.servers[server];
                *directory = match directory.take() {
                    Some(_) => None,
                    None => Some(Directory::new(Limits::default())),
                };
                *run += 1;
            }
            1 => self.holders[holder].links[server].is_broken ^= true,
            2 => self.reader_links[server].is_broken ^= true,
            _ => {
                let side = &mut self.holders[holder];
                side.is_alive ^= true;
                side.died = self.now;
                side.links.iter_mut().for_each(|link| link.connection = None);
                side.renewals = [Renewals::new(); SERVERS];
            }
        }
    }

    /// Whoever can connect does, and whose connection is broken notices.
    fn connect(&mut self) {
        for (at, server) in self.servers.iter().enumerate() {
            let run = server.directory.is_some().then_some(server.run);
            for side in &mut self.holders {
                let is_new = side.links[at].update(self.now, run, side.is_alive);
                if is_new {
                    side.renewals[at].begin(self.now);
                } else if side.links[at].connection.is_none() {
                    side.renewals[at].disconnected();
                }
            }
            if self.reader_links[at].update(self.now, run, true) {
                self.copies.connected(at);
                self.cursors[at] = None;
            }
        }
    }

    /// What has arrived, if the connection that it came by is still there.
    fn deliver(&mut self) {
        let now = self.now;
        let (due, later) =
            self.on_their_way.drain(..).partition(|(at, _): &(Duration, Message)| *at <= now);
        self.on_their_way = later;
        let due: Vec<(Duration, Message)> = due;
        for (_, message) in due {
            match message {
                Message::Register { holder, server, run } => {
                    let Server { directory: Some(directory), run: running } =
                        &mut self.servers[server]
                    else {
                        continue;
                    };
                    if *running == run {
                        let name = Holder::new(&format!("{holder}"));
                        directory.register(now, &name, service(holder), LEASE).unwrap();
                    }
                }
                Message::Tell { server, connection, changes } => {
                    let link = &self.reader_links[server];
                    if link.connection.is_some() && link.number == connection {
                        self.copies.take(now, server, changes);
                    }
                }
            }
        }
    }

    /// Holders register what is due.
    fn hold(&mut self) {
        for holder in 0..HOLDERS {
            for server in 0..SERVERS {
                let side = &mut self.holders[holder];
                let Some(run) = side.links[server].connection else { continue };
                if side.renewals[server].is_due(self.now) {
                    side.renewals[server].granted(self.now, LEASE);
                    self.send(Message::Register { holder, server, run });
                }
            }
        }
    }

    /// Servers tell the reader what happened.
    fn tell(&mut self) {
        for server in 0..SERVERS {
            let Link { connection: Some(_), number, .. } = self.reader_links[server] else {
                continue;
            };
            let Some(directory) = &self.servers[server].directory else { continue };
            let cursor = self.cursors[server];
            if cursor.is_none_or(|cursor| directory.has_happened(cursor)) {
                let changes = directory.changes(self.now, cursor);
                self.cursors[server] = Some(changes.cursor);
                self.send_in_order(server, Message::Tell { server, connection: number, changes });
            }
        }
    }

    fn send(&mut self, message: Message) {
        let delay = STEP * self.random.below(DELAY_STEPS_MAX + 1) as u32;
        self.on_their_way.push((self.now + delay, message));
    }

    /// A connection keeps the order of what it carries.
    fn send_in_order(&mut self, to: usize, message: Message) {
        let delay = STEP * self.random.below(DELAY_STEPS_MAX + 1) as u32;
        let before = self.on_their_way.iter().filter_map(|(at, other)| {
            matches!(other, Message::Tell { server, .. } if *server == to).then_some(*at)
        });
        let at = before.max().unwrap_or_default().max(self.now + delay);
        self.on_their_way.push((at, message));
    }

    fn check(&self) {
        let known = self.copies.find(self.now, &"web".parse().unwrap());
        for (at, side) in self.holders.iter().enumerate() {
            let is_known = known.contains(&service(at));
            // A registration may be on its way when its holder dies, and so may what is told of it.
            let lates = STEP * (2 * DELAY_STEPS_MAX as u32 + 1);
            let has_ended = !side.is_alive && self.now >= side.died + LEASE + lates;
            assert!(!(is_known && has_ended), "h{at} is given out after its lease");
            let is_settled = |server: usize| {
                let since = |link: &Link| link.whole_since.filter(|_| link.connection.is_some());
                let both = since(&side.links[server]).zip(since(&self.reader_links[server]));
                both.is_some_and(|(one, other)| self.now >= one.max(other) + SETTLED)
            };
            let must_be_known = side.is_alive && (0..SERVERS).any(is_settled);
            assert!(is_known || !must_be_known, "h{at} lives, and is not known");
        }
    }
}

impl Link {
    /// Whether there is a new connection, with a server of this run.
    fn update(&mut self, now: Duration, run: Option<u64>, is_alive: bool) -> bool {
        let run = run.filter(|_| is_alive && !self.is_broken);
        let is_new = run.is_some() && self.connection != run;
        if is_new {
            self.whole_since = Some(now);
            self.number += 1;
        } else if run.is_none() {
            self.whole_since = None;
        }
        self.connection = run;
        is_new
    }
}

#[test]
fn no_place_that_is_gone_outlives_its_lease_and_none_that_lives_is_lost() {
    for seed in 0..200 {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for step in 0..1200 {
                // Now and then all is calm for a while, so that there is something to lose.
                world.step(step % 400 < 60);
                world.check();
            }
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn one_server_that_dies_and_comes_back_loses_nobody_within_the_lease() {
    let mut world = World::new(7);
    let calm = |world: &mut World, steps: u32| {
        for _ in 0..steps {
            world.step(true);
            world.check();
        }
    };
    for server in 1..SERVERS {
        world.servers[server].directory = None;
    }
    calm(&mut world, 40);
    let is_all_known =
        |world: &World| world.copies.find(world.now, &"web".parse().unwrap()).len() == HOLDERS;
    assert!(is_all_known(&world));
    world.servers[0].directory = None;
    world.servers[0].run += 1;
    // Less than what is left of leases that are renewed each third.
    for _ in 0..16 {
        world.step(true);
        assert!(is_all_known(&world));
    }
    world.servers[0].directory = Some(Directory::new(Limits::default()));
    for _ in 0..80 {
        world.step(true);
        assert!(is_all_known(&world));
    }
}
