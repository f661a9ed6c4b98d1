//! Service records of DNS (RFC 2782): which hosts offer a service of a domain. The question and its answer as messages (RFC 1035
//! section 4), and the order in which the hosts are tried; without I/O.
//!
//! ```
//! let question = net::service_records::question(7, "_http._tcp.example.org").unwrap();
//! assert_eq!(question[..2], [0, 7]);
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// One host that offers a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Hosts of the lowest number are tried before others.
    pub priority: u16,
    /// Its share among hosts of its priority.
    pub weight: u16,
    /// The port there, not 0.
    pub port: u16,
    /// The host's name, in lower case.
    pub target: String,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecords {
    /// The hosts, as many as are read at most; none if the service is not offered.
    pub records: Vec<ServiceRecord>,
    /// For how long that holds.
    pub time_to_live: Duration,
}

/// A message that does not answer the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// It is cut off, or no message of DNS.
    Malformed,
    /// It answers another question.
    NotAsked,
    /// The server failed, or refuses, with this code (RFC 1035 section 4.1.1).
    Failed(u8),
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("what the server said is no message of DNS"),
            Self::NotAsked => f.write_str("the server answered another question"),
            Self::Failed(code) => write!(f, "the server answered with code {code}"),
        }
    }
}

impl core::error::Error for BadAnswer {}

/// Most hosts that are read of one answer.
const RECORDS_MAX: usize = 64;
/// Most aliases that are followed (RFC 1034 section 3.6.2).
const ALIASES_MAX: usize = 8;
/// How long it holds that there is no such service, where the server does not say.
const NEGATIVE: Duration = Duration::from_secs(5);

const CNAME: u16 = 5;
const SRV: u16 = 33;
const INTERNET: u16 = 1;
const HEADER_BYTES: usize = 12;
const NO_SUCH_NAME: u8 = 3;

/// The question for a name's service records; none if DNS has no such names.
pub fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    const RECURSION_DESIRED: u16 = 1 << 8;
    let mut message = Vec::new();
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    // RFC 1035 section 3.1: 255 octets at most.
    if message.len() - HEADER_BYTES > 255 {
        return None;
    }
    for word in [SRV, INTERNET] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    Some(message)
}

/// Reads the answer to the question of that number for that name. Hosts that could not be connected with are left out.
///
/// # Errors
/// See [`BadAnswer`].
pub fn answer(message: &[u8], id: u16, name: &str) -> Result<ServiceRecords, BadAnswer> {
    let mut reader = Reader { message, at: 0 };
    let counts = reader.header(id)?;
    let asked = reader.name()?.ok_or(BadAnswer::NotAsked)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let kind = (reader.u16()?, reader.u16()?);
    if !asked.eq_ignore_ascii_case(name) || kind != (SRV, INTERNET) {
        return Err(BadAnswer::NotAsked);
    }
    let (mut owner, mut aliases) = (asked, 0);
    let (mut records, mut time_to_live) = (Vec::new(), None);
    for _ in 0..counts.answers {
        let Record { owner: own, kind, time_to_live: lives, data } = reader.record()?;
        if own.as_deref() != Some(owner.as_str()) {
            continue;
        }
        if kind == CNAME && aliases < ALIASES_MAX {
            let mut data = Reader { message, at: data };
            let Some(alias) = data.name()? else { continue };
            owner = alias;
            aliases += 1;
        } else if kind == SRV {
            let mut data = Reader { message, at: data };
            let (priority, weight, port) = (data.u16()?, data.u16()?, data.u16()?);
            let target = data.name()?;
            // RFC 2782: by the root as its target, the service is decidedly not available.
            if let Some(target) = target.filter(|target| !target.is_empty() && port > 0)
                && records.len() < RECORDS_MAX
            {
                records.push(ServiceRecord { priority, weight, port, target });
            }
        } else {
            continue;
        }
        time_to_live = Some(time_to_live.map_or(lives, |other: Duration| other.min(lives)));
    }
    Ok(ServiceRecords { records, time_to_live: time_to_live.unwrap_or(NEGATIVE) })
}

/// Puts hosts into the order in which they are tried (RFC 2782): by priority, and among those of one by chance, by weight.
pub fn order(records: &mut [ServiceRecord], mut random: impl FnMut() -> u64) {
    // Those of weight zero first, so that they have a small chance.
    records.sort_by_key(|record| (record.priority, record.weight > 0));
    let mut rest = records;
    while let Some(first) = rest.first() {
        let priority = first.priority;
        let same = rest.iter().take_while(|record| record.priority == priority);
        let sum: u64 = same.clone().map(|record| u64::from(record.weight)).sum();
        let drawn = random() % (sum + 1);
        let mut running = 0;
        let chosen = same.clone().position(|record| {
            running += u64::from(record.weight);
            running >= drawn
        });
        rest[..=chosen.unwrap_or(0)].rotate_right(1);
        rest = &mut rest[1..];
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

struct Counts {
    answers: u16,
}

struct Record {
    /// None if it is no name of a host or service.
    owner: Option<String>,
    kind: u16,
    time_to_live: Duration,
    /// Where its data begin.
    data: usize,
}

impl Reader<'_> {
    /// Says how many records of the answer follow the question.
    fn header(&mut self, id: u16) -> Result<Counts, BadAnswer> {
        const RESPONSE: u16 = 1 << 15;
        const OPCODE: u16 = 0xf << 11;
        const TRUNCATED: u16 = 1 << 9;
        let (own_id, flags, questions) = (self.u16()?, self.u16()?, self.u16()?);
        let answers = self.u16()?;
        let _ = (self.u16()?, self.u16()?);
        if own_id != id || flags & RESPONSE == 0 || flags & OPCODE != 0 {
            return Err(BadAnswer::NotAsked);
        }
        // By TCP nothing is.
        if flags & TRUNCATED != 0 {
            return Err(BadAnswer::Malformed);
        }
        match (flags & 0xf) as u8 {
            0 | NO_SUCH_NAME if questions == 1 => Ok(Counts { answers }),
            0 | NO_SUCH_NAME => Err(BadAnswer::NotAsked),
            code => Err(BadAnswer::Failed(code)),
        }
    }

    fn record(&mut self) -> Result<Record, BadAnswer> {
        let owner = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        let seconds = (u32::from(self.u16()?) << 16) | u32::from(self.u16()?);
        // RFC 2181 section 8: with the highest bit it is zero.
        let seconds = if seconds > i32::MAX as u32 { 0 } else { seconds };
        let length = usize::from(self.u16()?);
        let data = self.at;
        self.at += length;
        if self.at > self.message.len() {
            return Err(BadAnswer::Malformed);
        }
        let owner = owner.filter(|_| class == INTERNET);
        Ok(Record { owner, kind, time_to_live: Duration::from_secs(seconds.into()), data })
    }

    fn u16(&mut self) -> Result<u16, BadAnswer> {
        let bytes = self.message.get(self.at..self.at + 2).ok_or(BadAnswer::Malformed)?;
        self.at += 2;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A name in lower case, without its final dot; none if it has other letters than hosts and services have.
    fn name(&mut self) -> Result<Option<String>, BadAnswer> {
        let (mut name, mut is_plain) = (String::new(), true);
        let (mut at, mut end) = (self.at, None);
        // A pointer leads to before the part that it ends, so that none leads round (RFC 1035 section 4.1.4: to a prior
        // occurrence).
        let mut part = at;
        loop {
            let length = *self.message.get(at).ok_or(BadAnswer::Malformed)?;
            at += 1;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.message.get(at..at + usize::from(length));
                    let label = label.ok_or(BadAnswer::Malformed)?;
                    at += label.len();
                    if !name.is_empty() {
                        name.push('.');
                    }
                    is_plain &= label.iter().all(|byte| is_letter(*byte));
                    name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                }
                0xc0.. => {
                    let low = *self.message.get(at).ok_or(BadAnswer::Malformed)?;
                    end.get_or_insert(at + 1);
                    at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if at >= part {
                        return Err(BadAnswer::Malformed);
                    }
                    part = at;
                }
                _ => return Err(BadAnswer::Malformed),
            }
            if name.len() > 253 {
                return Err(BadAnswer::Malformed);
            }
        }
        self.at = end.unwrap_or(at);
        Ok(is_plain.then_some(name))
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    const NAME: &str = "_http._tcp.example.org";

    /// A record of an answer: its owner, kind, seconds and data.
    type Given<'a> = (&'a [u8], u16, u32, Vec<u8>);

    /// Where the name stands that was asked for.
    const ASKED: &[u8] = &[0xc0, 12];

    fn wire(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
        let mut data: Vec<u8> =
            [priority, weight, port].iter().flat_map(|word| word.to_be_bytes()).collect();
        data.extend(wire(target));
        data
    }

    fn message(flags: u16, records: &[Given<'_>]) -> Vec<u8> {
        let mut message = question(7, NAME).unwrap();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (owner, kind, seconds, data) in records {
            message.extend_from_slice(owner);
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&INTERNET.to_be_bytes());
            message.extend_from_slice(&seconds.to_be_bytes());
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    const ANSWERED: u16 = 0x8180;

    fn read(records: &[Given<'_>]) -> Result<ServiceRecords, BadAnswer> {
        answer(&message(ANSWERED, records), 7, NAME)
    }

    fn shown(records: &ServiceRecords) -> Vec<String> {
        let shown = records
            .records
            .iter()
            .map(|it| format!("{} {} {}:{}", it.priority, it.weight, it.target, it.port));
        shown.collect()
    }

    #[test]
    fn rfc2782_records_are_read_with_the_shortest_time_to_live() {
        let other = wire("_http._tcp.example.net");
        let records = [
            (ASKED, SRV, 300, srv(10, 60, 80, "A.example.org")),
            (ASKED, SRV, 60, srv(20, 0, 8080, "b.example.org")),
            (&other[..], SRV, 1, srv(0, 0, 1, "evil.example.net")),
            (ASKED, 1, 1, Vec::from([10, 0, 0, 1])),
        ];
        let read = read(&records).unwrap();
        assert_eq!(shown(&read), ["10 60 a.example.org:80", "20 0 b.example.org:8080"]);
        assert_eq!(read.time_to_live, Duration::from_secs(60));
    }

    #[test]
    fn rfc2782_the_root_as_target_is_no_service_and_what_has_no_host_is_left_out() {
        let read_one = |data| read(&[(ASKED, SRV, 9, data)]).unwrap();
        for data in
            [srv(0, 0, 0, ""), srv(0, 0, 80, ""), srv(0, 0, 0, "a.b"), srv(0, 0, 80, "a b.c")]
        {
            let read = read_one(data);
            assert_eq!((read.records.len(), read.time_to_live), (0, Duration::from_secs(9)));
        }
        let none = answer(&message(ANSWERED | 3, &[]), 7, NAME).unwrap();
        assert_eq!((none.records.len(), none.time_to_live), (0, NEGATIVE));
    }

    #[test]
    fn rfc1034_3_6_2_aliases_are_followed_a_few_times() {
        let alias = wire("x.example.org");
        let records = [
            (ASKED, CNAME, 5, alias.clone()),
            (&alias[..], SRV, 60, srv(0, 0, 80, "a.example.org")),
        ];
        assert_eq!(shown(&read(&records).unwrap()), ["0 0 a.example.org:80"]);
        assert_eq!(read(&records).unwrap().time_to_live, Duration::from_secs(5));
        let names: Vec<_> = (0..12).map(|number| wire(&format!("n{number}"))).collect();
        let mut chain: Vec<Given<'_>> = Vec::from([(ASKED, CNAME, 5, names[0].clone())]);
        chain.extend((1..12).map(|at| (&names[at - 1][..], CNAME, 5, names[at].clone())));
        chain.push((&names[11], SRV, 5, srv(0, 0, 80, "a")));
        assert!(read(&chain).unwrap().records.is_empty());
    }

    #[test]
    fn rfc2181_8_a_time_to_live_with_the_highest_bit_is_zero() {
        let one = |seconds| read(&[(ASKED, SRV, seconds, srv(0, 0, 80, "a"))]).unwrap();
        assert_eq!(one(1 << 31).time_to_live, Duration::ZERO);
        assert_eq!(one(i32::MAX as u32).time_to_live, Duration::from_secs(i32::MAX as u64));
    }

    #[test]
    fn what_answers_another_question_is_refused() {
        let good = message(ANSWERED, &[(ASKED, SRV, 9, srv(0, 0, 80, "a"))]);
        assert!(answer(&good, 7, NAME).is_ok());
        assert!(answer(&good, 7, "_HTTP._tcp.Example.org.").is_ok());
        assert_eq!(answer(&good, 8, NAME), Err(BadAnswer::NotAsked));
        assert_eq!(answer(&good, 7, "_http._tcp.example.net"), Err(BadAnswer::NotAsked));
        for (flags, error) in [
            (0x0180, BadAnswer::NotAsked),
            (ANSWERED | 1 << 11, BadAnswer::NotAsked),
            (ANSWERED | 1 << 9, BadAnswer::Malformed),
            (ANSWERED | 2, BadAnswer::Failed(2)),
            (ANSWERED | 5, BadAnswer::Failed(5)),
        ] {
            assert_eq!(answer(&message(flags, &[]), 7, NAME), Err(error), "{flags:x}");
        }
        for (at, word) in [(4, 0), (4, 2)] {
            let mut bad = good.clone();
            bad[at + 1] = word;
            assert_eq!(answer(&bad, 7, NAME), Err(BadAnswer::NotAsked));
        }
    }

    #[test]
    fn rfc1035_4_1_4_pointers_lead_back_and_never_round() {
        for target in [[0xc0, 12], [0xc0, 35]] {
            // To the name that was asked for, and within it.
            let data = [&srv(0, 0, 80, "")[..6], &target].concat();
            assert_eq!(
                read(&[(ASKED, SRV, 9, data)]).unwrap().records.len(),
                usize::from(target[1] == 12)
            );
        }
        let start = message(ANSWERED, &[]).len() as u8;
        for owner in [[0xc0, start], [0xc0, start + 1], [0xff, 0xff], [0x80, 0]] {
            let read = read(&[(&owner, SRV, 9, srv(0, 0, 80, "a"))]);
            assert_eq!(read, Err(BadAnswer::Malformed), "{owner:x?}");
        }
        // A label and a pointer to itself.
        let owner = [1, b'a', 0xc0, start];
        assert_eq!(read(&[(&owner, SRV, 9, Vec::new())]), Err(BadAnswer::Malformed));
    }

    #[test]
    fn hosts_that_are_read_are_bounded_and_every_cut_or_change_is_an_answer() {
        let many: Vec<Given<'_>> =
            (0..100).map(|_| (ASKED, SRV, 9, srv(0, 0, 80, "a.example.org"))).collect();
        assert_eq!(read(&many).unwrap().records.len(), RECORDS_MAX);
        let good = message(ANSWERED, &many[..3]);
        for end in 0..good.len() {
            assert!(answer(&good[..end], 7, NAME).is_err(), "{end}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(read) = answer(&bad, 7, NAME) {
                    assert!(read.records.len() <= 3);
                }
            }
        }
    }

    #[test]
    fn names_that_dns_does_not_have_are_not_asked_for() {
        let long = "x".repeat(64);
        for name in ["", ".", "a..b", &long, &[&long[1..]; 4].join(".")] {
            assert_eq!(question(1, name), None, "{name}");
        }
        assert!(question(1, &long[1..]).is_some());
        assert_eq!(question(1, "a.b."), question(1, "a.b"));
    }

    #[test]
    fn rfc2782_hosts_are_tried_by_priority_and_then_by_weight() {
        let record = |priority, weight, target: &str| ServiceRecord {
            priority,
            weight,
            port: 80,
            target: target.to_string(),
        };
        let all = [record(2, 9, "c"), record(1, 1, "a"), record(1, 3, "b"), record(1, 0, "z")];
        let mut first = [0; 3];
        for random in 0..1000 {
            let mut records = all.clone();
            let mut state = random;
            order(&mut records, || {
                state += 7;
                state
            });
            assert_eq!(records[3].target, "c");
            let names = ["a", "b", "z"];
            first[names.iter().position(|name| *name == records[0].target).unwrap()] += 1;
        }
        // Of the numbers 0 to 4, z has 0.
        assert_eq!(first, [200, 600, 200]);
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said() {
        for (error, said) in [
            (BadAnswer::Malformed, "what the server said is no message of DNS"),
            (BadAnswer::NotAsked, "the server answered another question"),
            (BadAnswer::Failed(5), "the server answered with code 5"),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn limits_of_names_aliases_and_records_at_both_sides() {
        // RFC 1035 section 2.3.4: names of 253 letters with their dots, labels of 63.
        let label = "x".repeat(63);
        let name = |last: usize| [&label[..], &label, &label, &label[..last]].join(".");
        for (last, is_name) in [(61, true), (62, false)] {
            assert_eq!(question(1, &name(last)).is_some(), is_name, "{last}");
            let read = read(&[(ASKED, SRV, 9, srv(0, 0, 80, &name(last)))]);
            let expected = if is_name { Ok(1) } else { Err(BadAnswer::Malformed) };
            assert_eq!(read.map(|read| read.records.len()), expected, "{last}");
        }
        // Eight aliases are followed and no ninth.
        let names: Vec<_> = (0..9).map(|number| wire(&format!("n{number}"))).collect();
        for (aliases, hosts) in [(8, 1), (9, 0)] {
            let mut chain: Vec<Given<'_>> = Vec::from([(ASKED, CNAME, 5, names[0].clone())]);
            chain.extend((1..aliases).map(|at| (&names[at - 1][..], CNAME, 5, names[at].clone())));
            chain.push((&names[aliases - 1], SRV, 5, srv(0, 0, 80, "a")));
            assert_eq!(read(&chain).unwrap().records.len(), hosts, "{aliases}");
        }
        // Of another class it is another's.
        let mut other_class = message(ANSWERED, &[(ASKED, SRV, 9, srv(0, 0, 80, "a"))]);
        let at = message(ANSWERED, &[]).len() + 5;
        other_class[at] = 3;
        assert_eq!(answer(&other_class, 7, NAME).unwrap().records.len(), 0);
        // The question's kind and class count, too, and the length of a record's data.
        for at in [at - 9, at - 7] {
            let mut bad = message(ANSWERED, &[]);
            bad[at] ^= 2;
            assert_eq!(answer(&bad, 7, NAME), Err(BadAnswer::NotAsked), "{at}");
        }
        let mut longer = message(ANSWERED, &[(ASKED, SRV, 9, srv(0, 0, 80, "a"))]);
        longer[at + 6] += 1;
        assert_eq!(answer(&longer, 7, NAME), Err(BadAnswer::Malformed));
    }
}
