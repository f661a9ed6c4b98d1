//! Parser: a filter's text as steps in reverse Polish notation (Dijkstra's shunting yard), without recursion.

use crate::filter::{Direction, FilterError, Network, Protocol, Step, Test};
use crate::{FILTER_BYTES_MAX, TERMS_MAX};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::RangeInclusive;

pub(crate) fn parse(text: &str) -> Result<Vec<Step>, FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(FilterError { at: FILTER_BYTES_MAX, allowed: "nothing more" });
    }
    let mut parser = Parser { words: Words { text, ..Words::default() }, ..Parser::default() };
    if parser.words.peek().is_none() {
        return Ok(Vec::new());
    }
    while parser.operand()? {}
    Ok(parser.steps)
}

#[derive(Default)]
struct Parser<'a> {
    words: Words<'a>,
    steps: Vec<Step>,
    /// Operators whose right side is still to come, and open parentheses.
    waiting: Vec<Waiting>,
    /// What a bare value means.
    qualifiers: Qualifiers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Open,
    Not,
    And,
    Or,
}

/// What stands before a value.
#[derive(Clone, Copy, Default)]
struct Qualifiers {
    protocol: Option<Protocol>,
    direction: Option<Direction>,
    kind: Kind,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Host,
    Net,
    Port,
    PortRange,
}

impl<'a> Parser<'a> {
    /// Takes what may stand where a condition begins, and what closes it; whether another one follows.
    fn operand(&mut self) -> Result<bool, FilterError> {
        const CONDITION: &str = "a condition such as `tcp port 80`";
        let word = self.words.next().ok_or(self.words.error(CONDITION))?;
        match word {
            "not" | "!" => return self.wait(Waiting::Not).map(|()| true),
            "(" => return self.wait(Waiting::Open).map(|()| true),
            _ => {}
        }
        let test = self.condition(word)?;
        if self.steps.iter().filter(|step| matches!(step, Step::Test(_))).count() == TERMS_MAX {
            return Err(self.words.error("no more than 64 conditions"));
        }
        self.steps.push(Step::Test(test));
        self.close(|waiting| waiting == Waiting::Not);
        self.operator()
    }

    /// Takes closing parentheses and one operator; false at the end.
    fn operator(&mut self) -> Result<bool, FilterError> {
        loop {
            let word = self.words.next();
            // Both bind alike, and to the left.
            match word {
                None | Some("and" | "&&" | "or" | "||" | ")") => {
                    self.close(|waiting| matches!(waiting, Waiting::And | Waiting::Or));
                }
                Some(_) => return Err(self.words.error_before("`and`, `or`, `)` or the end")),
            }
            match word {
                Some("and" | "&&") => return self.wait(Waiting::And).map(|()| true),
                Some("or" | "||") => return self.wait(Waiting::Or).map(|()| true),
                Some(_) => match self.waiting.pop() {
                    Some(Waiting::Open) => self.close(|waiting| waiting == Waiting::Not),
                    _ => return Err(self.words.error_before("`and`, `or` or the end")),
                },
                None if self.waiting.is_empty() => return Ok(false),
                None => return Err(self.words.error("`)`")),
            }
        }
    }

    fn wait(&mut self, operator: Waiting) -> Result<(), FilterError> {
        if self.waiting.len() == TERMS_MAX {
            return Err(self.words.error_before("no more than 64 of these before their ends"));
        }
        self.waiting.push(operator);
        Ok(())
    }

    /// Moves operators over whose right sides are there.
    fn close(&mut self, closes: impl Fn(Waiting) -> bool) {
        while let Some(operator) = self.waiting.pop_if(|waiting| closes(*waiting)) {
            self.steps.push(match operator {
                Waiting::Not => Step::Not,
                Waiting::And => Step::And,
                Waiting::Or => Step::Or,
                Waiting::Open => unreachable!("a parenthesis is closed by its own kind"),
            });
        }
    }

    fn condition(&mut self, word: &'a str) -> Result<Test, FilterError> {
        match word {
            "less" => return self.number().map(Test::Less),
            "greater" => return self.number().map(Test::Greater),
            _ => {}
        }
        let protocol = protocol(word);
        let mut word = word;
        if let Some(protocol) = protocol {
            match self.words.peek().filter(|next| direction(next).is_some() || kind(next).is_some())
            {
                Some(_) => word = self.words.next().unwrap_or_default(),
                None => return Ok(Test::Protocol(protocol)),
            }
        }
        let direction = self.direction(word);
        if direction.is_some() {
            word = self.value()?;
        }
        let kind = kind(word);
        if kind.is_some() {
            word = self.value()?;
        }
        if protocol.is_some() || direction.is_some() || kind.is_some() {
            self.qualifiers = Qualifiers { protocol, direction, kind: kind.unwrap_or_default() };
        }
        self.test(word)
    }

    /// `src`, `dst`, and both with a word between them.
    fn direction(&mut self, word: &str) -> Option<Direction> {
        let first = direction(word)?;
        let mut ahead = self.words;
        let between = ahead.next();
        if ahead.next().and_then(direction).is_none_or(|second| second == first) {
            return Some(first);
        }
        let both = match between {
            Some("or" | "||") => Direction::Either,
            Some("and" | "&&") => Direction::Both,
            _ => return Some(first),
        };
        self.words = ahead;
        Some(both)
    }

    fn test(&self, value: &str) -> Result<Test, FilterError> {
        let Qualifiers { protocol, direction, kind } = self.qualifiers;
        let direction = direction.unwrap_or(Direction::Either);
        match (protocol, kind) {
            (Some(Protocol::Ether), Kind::Host) => {
                let address = station(value).ok_or(self.words.error_before("a MAC address"))?;
                Ok(Test::Station { direction, address })
            }
            (None | Some(Protocol::Ip | Protocol::Ip6 | Protocol::Arp), Kind::Host | Kind::Net) => {
                let network = network(value, kind == Kind::Net);
                let network = network.ok_or(self.words.error_before(match kind {
                    Kind::Net => "an address and the length of its prefix, as `10.9.0.0/24`",
                    _ => "an IP address",
                }))?;
                Ok(Test::Host { protocol, direction, network })
            }
            (None | Some(Protocol::Tcp | Protocol::Udp), Kind::Port | Kind::PortRange) => {
                let ports = ports(value, kind == Kind::PortRange);
                let ports = ports.ok_or(self.words.error_before(match kind {
                    Kind::PortRange => "two ports, as `8000-8080`",
                    _ => "a port",
                }))?;
                Ok(Test::Port { protocol, direction, ports })
            }
            (Some(Protocol::Tcp | Protocol::Udp), _) => {
                Err(self.words.error_before("`port` or `portrange` behind `tcp` and `udp`"))
            }
            _ => Err(self.words.error_before("`host` or `net` behind this protocol")),
        }
    }

    /// The next word of a condition that is not whole.
    fn value(&mut self) -> Result<&'a str, FilterError> {
        self.words.next().ok_or(self.words.error("a value"))
    }

    fn number(&mut self) -> Result<usize, FilterError> {
        let word = self.words.next();
        let number = word.and_then(|word| word.parse().ok());
        number.ok_or(self.words.error_before("a number of bytes"))
    }
}

fn protocol(word: &str) -> Option<Protocol> {
    Some(match word {
        "ether" => Protocol::Ether,
        "ip" => Protocol::Ip,
        "ip6" => Protocol::Ip6,
        "arp" => Protocol::Arp,
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "icmp6" => Protocol::Icmp6,
        _ => return None,
    })
}

fn direction(word: &str) -> Option<Direction> {
    match word {
        "src" => Some(Direction::Source),
        "dst" => Some(Direction::Destination),
        _ => None,
    }
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "host" => Kind::Host,
        "net" => Kind::Net,
        "port" => Kind::Port,
        "portrange" => Kind::PortRange,
        _ => return None,
    })
}

fn network(value: &str, has_prefix: bool) -> Option<Network> {
    let (address, bits) = match value.split_once('/') {
        Some((address, bits)) if has_prefix => (address, Some(bits.parse().ok()?)),
        None if !has_prefix => (value, None),
        _ => return None,
    };
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(bits_max);
    (bits <= bits_max).then_some(Network { address, bits })
}

fn ports(value: &str, is_range: bool) -> Option<RangeInclusive<u16>> {
    let (first, last) = match value.split_once('-') {
        Some(both) if is_range => both,
        None if !is_range => (value, value),
        _ => return None,
    };
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(first..=last)
}

fn station(value: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut parts = value.split(':');
    for byte in &mut address {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(address)
}

/// The words of a text: what spaces separate, and the signs of operators.
#[derive(Clone, Copy, Default)]
struct Words<'a> {
    text: &'a str,
    /// Where the next one is looked for.
    at: usize,
    /// Where the last one began.
    last_at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        Words::next(&mut { *self })
    }

    fn next(&mut self) -> Option<&'a str> {
        const SIGNS: [&str; 5] = ["(", ")", "&&", "||", "!"];
        let rest = self.text.get(self.at..)?;
        let word = rest.trim_start();
        self.at += rest.len() - word.len();
        self.last_at = self.at;
        let sign = |text: &&str| word.starts_with(*text);
        let end = match SIGNS.iter().find(|text| sign(text)) {
            Some(found) => found.len(),
            None => word
                .find(|it: char| it.is_whitespace() || "()&|!".contains(it))
                .unwrap_or(word.len())
                // A sign alone is a word that nobody knows.
                .max(word.chars().next().map_or(0, char::len_utf8)),
        };
        self.at += end;
        word.get(..end).filter(|word| !word.is_empty())
    }

    /// At the place where the next word would be.
    fn error(&self, allowed: &'static str) -> FilterError {
        FilterError { at: self.at, allowed }
    }

    /// At the last word.
    fn error_before(&self, allowed: &'static str) -> FilterError {
        FilterError { at: self.last_at, allowed }
    }
}
