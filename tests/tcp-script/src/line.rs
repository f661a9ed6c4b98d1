//! Segments as packet scripts have them.

use tcp::options::Timestamps;
use tcp::{Ecn, Flags, Options};

/// What a line comes to, or what is wrong with it.
pub type Outcome<T = ()> = Result<T, String>;

/// A segment as a script has it.
#[derive(Default)]
pub struct Line {
    /// Its flags.
    pub flags: Flags,
    /// From the initial sequence number on.
    pub seq: u32,
    /// Of its data, bytes.
    pub len: u32,
    /// From the initial sequence number on, if it is said.
    pub ack: Option<u32>,
    /// As it is in the header, if it is said.
    pub window: Option<u16>,
    /// The urgent pointer.
    pub urgent: u16,
    /// The codepoint of its packet.
    pub ecn: Ecn,
    /// The codepoint has to be Not-ECT.
    pub is_not_capable: bool,
    /// Those but for SACK, if they are said.
    pub options: Option<Options>,
    /// Blocks of SACK.
    pub sack: Vec<(u32, u32)>,
}

impl Line {
    /// Takes the words behind `<` or `>`.
    ///
    /// # Errors
    /// They are no segment.
    pub fn parse(words: &[&str]) -> Outcome<Self> {
        let text = words.join(" ");
        let (head, options) = match text.split_once('<') {
            Some((head, rest)) => (head, Some(rest.trim_end_matches('>'))),
            None => (text.as_str(), None),
        };
        let words: Vec<&str> = head.split_whitespace().collect();
        let [flags, range, rest @ ..] = words.as_slice() else {
            return Err("FLAGS SEQ:END(LEN)".into());
        };
        let mut line = Self { flags: flags_of(flags)?, ..Self::default() };
        let (seq, tail) = range.split_once(':').ok_or("SEQ:END(LEN)")?;
        let (end, len) = tail.split_once('(').ok_or("SEQ:END(LEN)")?;
        line.seq = parse::<i64>(seq)? as u32;
        line.len = parse(len.trim_end_matches(')'))?;
        if parse::<i64>(end)? as u32 != line.seq.wrapping_add(line.len) {
            return Err("END is not SEQ + LEN".into());
        }
        if rest.contains(&"ce") {
            line.ecn = Ecn::Congestion;
        }
        if rest.contains(&"ect") {
            line.ecn = Ecn::Capable0;
        }
        line.is_not_capable = rest.contains(&"not-ect");
        line.ack = option(rest, "ack")?.map(|ack| ack as u32);
        line.window = option(rest, "win")?.map(|window| window as u16);
        line.urgent = option(rest, "urg")?.unwrap_or(0) as u16;
        if let Some(options) = options {
            line.parse_options(options)?;
        }
        Ok(line)
    }

    fn parse_options(&mut self, text: &str) -> Outcome {
        let mut options = Options::NONE;
        let mut only_sack = true;
        for option in text.split(',') {
            let words: Vec<&str> = option.split_whitespace().collect();
            match words.as_slice() {
                ["sack", blocks @ ..] => {
                    for block in blocks {
                        let (start, end) = block.split_once(':').ok_or("sack START:END")?;
                        self.sack.push((parse::<i64>(start)? as u32, parse::<i64>(end)? as u32));
                    }
                    continue;
                }
                ["mss", mss] => options.mss = Some(parse(mss)?),
                ["ws", shift] => options.window_scale = Some(parse(shift)?),
                ["sackOK"] => options.sack_permitted = true,
                ["TS", value, echo] => {
                    options.timestamps =
                        Some(Timestamps { value: parse(value)?, echo: parse(echo)? });
                }
                [] => {}
                _ => return Err(format!("option {option}")),
            }
            only_sack = false;
        }
        if !only_sack {
            self.options = Some(options);
        }
        Ok(())
    }
}

/// The number behind a word of that name.
///
/// # Errors
/// There is none.
pub fn option(words: &[&str], name: &str) -> Outcome<Option<u64>> {
    let Some(index) = words.iter().position(|word| *word == name) else { return Ok(None) };
    let value = words.get(index + 1).ok_or_else(|| format!("{name} N"))?;
    parse::<i64>(value).map(|value| Some(value as u64))
}

/// A number.
///
/// # Errors
/// It is none.
pub fn parse<T: std::str::FromStr>(word: &str) -> Outcome<T> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

fn flags_of(word: &str) -> Outcome<Flags> {
    let mut flags = Flags::NONE;
    for letter in word.chars() {
        flags = flags
            | match letter {
                'S' => Flags::SYN,
                'F' => Flags::FIN,
                'R' => Flags::RST,
                'P' => Flags::PSH,
                'U' => Flags::URG,
                'E' => Flags::ECE,
                'W' => Flags::CWR,
                '.' => Flags::ACK,
                '-' => Flags::NONE,
                _ => return Err(format!("flag {letter}")),
            };
    }
    Ok(flags)
}
