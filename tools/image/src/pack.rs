//! Packs an image that unpacks itself at each boot, in the LZ4 block format (lz4, doc/lz4_Block_format.md). Packers for
//! that format look for the fewest bytes, or for the least time of their own. This one looks for the fewest bytes that
//! take a boot no more than so many instructions: small repetitions are often not worth a guest's while.

use std::collections::HashMap;

/// What unpacking may cost each boot, in guest instructions for two bytes: for an image that serves HTTP alone, half of what
/// its whole boot may. A fixed sum would be used up by copying in a larger image, and nothing of it would be packed.
const INSTRUCTIONS_FOR_TWO_BYTES_MAX: usize = 3;
/// How far back a repetition may be.
const DISTANCE_MAX: usize = 65_535;
/// Nearer ones repeat bytes that they write themselves, for which `unpack` takes a slow way.
const DISTANCE_MIN: usize = 16;
/// The shortest repetition that is looked for. The format's is 4, but those save little and are many.
const MATCH_MIN: usize = 6;
const FORMAT_MATCH_MIN: usize = 4;
/// Earlier places that are compared, for each byte, until one repetition is long enough.
const CANDIDATES_MAX: usize = 400;
const LONG_ENOUGH: usize = 300;
/// The format wants an end without repetitions.
const LITERALS_AT_END: usize = 12;
/// Largest length in half a token; more takes bytes of its own.
const NIBBLE_MAX: usize = 15;
/// What the sums of 64 packed bytes take.
const SUM_INSTRUCTIONS: usize = 11;
/// What `unpack` reads and writes behind the ends of what it copies.
const SLACK: usize = 32;

/// An LZ4 block, and what it takes to unpack it.
pub(crate) struct Packed {
    pub(crate) block: Vec<u8>,
    /// Guest instructions.
    pub(crate) instructions: usize,
    /// By how much the block's end must lie behind the end of what is unpacked, if that is unpacked over the block, so
    /// that no byte is written over before it is read.
    pub(crate) lead: usize,
}

/// The smallest block of those that unpack in [`INSTRUCTIONS_FOR_TWO_BYTES_MAX`].
pub(crate) fn pack(bytes: &[u8]) -> Packed {
    const STEPS: usize = 12;
    let instructions_max = bytes.len() * INSTRUCTIONS_FOR_TWO_BYTES_MAX / 2;
    let repetitions = repetitions(bytes);
    let packed = |price: f64| write(bytes, &sequences(&repetitions, price));
    // The price of an instruction, in bytes of the block: as low as it may be.
    let (mut low, mut high) = (0.0, 1.0);
    let mut best = packed(high);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        let candidate = packed(middle);
        if candidate.instructions <= instructions_max {
            (best, high) = (candidate, middle);
        } else {
            low = middle;
        }
    }
    best
}

/// Bytes that stood `distance` before.
#[derive(Clone, Copy, Default)]
struct Repetition {
    distance: usize,
    length: usize,
}

/// Literals, and the repetition behind them; the last sequence has none.
struct Sequence {
    literals: usize,
    repetition: Option<Repetition>,
}

impl Sequence {
    /// Guest instructions that `unpack` takes, by its source.
    fn instructions(&self) -> usize {
        let literals = match self.literals {
            0..NIBBLE_MAX => 9,
            many => 10 + 5 * (1 + (many - NIBBLE_MAX) / 255) + 8 * many.div_ceil(32),
        };
        literals + self.repetition.map_or(4, Repetition::instructions)
    }
}

impl Repetition {
    fn instructions(self) -> usize {
        match self.length - FORMAT_MATCH_MIN {
            0..NIBBLE_MAX => 15,
            more => 12 + 5 * (1 + (more - NIBBLE_MAX) / 255) + 5 * self.length.div_ceil(16),
        }
    }

    /// In the block, without the literals before it.
    fn bytes(self) -> usize {
        3 + (self.length - FORMAT_MATCH_MIN + 255 - NIBBLE_MAX) / 255
    }
}

/// The longest repetition at each byte, or one without length.
fn repetitions(bytes: &[u8]) -> Vec<Repetition> {
    let mut found = vec![Repetition::default(); bytes.len()];
    let mut last: HashMap<&[u8], usize> = HashMap::new();
    let mut before = vec![None; bytes.len()];
    let end = bytes.len().saturating_sub(LITERALS_AT_END);
    for at in 0..end.saturating_sub(MATCH_MIN) {
        before[at] = last.insert(&bytes[at..at + MATCH_MIN], at);
        let candidates = std::iter::successors(before[at], |&earlier| before[earlier])
            .take_while(|&earlier| at - earlier <= DISTANCE_MAX)
            .filter(|&earlier| at - earlier >= DISTANCE_MIN)
            .take(CANDIDATES_MAX);
        for earlier in candidates {
            let best = found[at].length;
            if best >= LONG_ENOUGH || at + best >= end {
                break;
            }
            if bytes[earlier + best] == bytes[at + best] {
                let pairs = bytes[earlier..].iter().zip(&bytes[at..end]);
                let length = pairs.take_while(|(one, other)| one == other).count();
                if length > best {
                    found[at] = Repetition { distance: at - earlier, length };
                }
            }
        }
    }
    found
}

/// The cheapest way through, where an instruction costs `price` bytes.
fn sequences(repetitions: &[Repetition], price: f64) -> Vec<Sequence> {
    /// Of a literal in a run: a share of the copying loop.
    const LITERAL_INSTRUCTIONS: f64 = 0.3;
    /// Of a longer repetition nothing shorter than the whole is tried.
    const SHORT_MAX: usize = 40;
    let mut costs = vec![0.0; repetitions.len() + 1];
    let mut choices = vec![0; repetitions.len()];
    for (at, found) in repetitions.iter().enumerate().rev() {
        costs[at] = costs[at + 1] + 1.0 + LITERAL_INSTRUCTIONS * price;
        let short = MATCH_MIN..=found.length.min(SHORT_MAX);
        for length in short.chain((found.length > SHORT_MAX).then_some(found.length)) {
            let taken = Repetition { length, ..*found };
            let instructions = Sequence { literals: 0, repetition: Some(taken) }.instructions();
            let cost = costs[at + length] + taken.bytes() as f64 + instructions as f64 * price;
            if cost < costs[at] {
                (costs[at], choices[at]) = (cost, length);
            }
        }
    }
    let mut sequences = Vec::new();
    let (mut at, mut literals) = (0, 0);
    while at < repetitions.len() {
        if choices[at] == 0 {
            (at, literals) = (at + 1, literals + 1);
        } else {
            let repetition = Some(Repetition { length: choices[at], ..repetitions[at] });
            sequences.push(Sequence { literals, repetition });
            (at, literals) = (at + choices[at], 0);
        }
    }
    sequences.push(Sequence { literals, repetition: None });
    sequences
}

fn write(bytes: &[u8], sequences: &[Sequence]) -> Packed {
    let mut block = Vec::new();
    // After each copy: how many bytes are unpacked, how many of the block are used.
    let mut states = Vec::new();
    let mut at = 0;
    for Sequence { literals, repetition } in sequences {
        let more = repetition.map_or(0, |found| found.length - FORMAT_MATCH_MIN);
        block.push((*literals.min(&NIBBLE_MAX) << 4 | more.min(NIBBLE_MAX)) as u8);
        write_length(&mut block, *literals);
        block.extend(&bytes[at..at + literals]);
        at += literals;
        states.push((at, block.len()));
        if let Some(found) = repetition {
            block.extend((found.distance as u16).to_le_bytes());
            write_length(&mut block, more);
            at += found.length;
            states.push((at, block.len()));
        }
    }
    let copied: usize = sequences.iter().map(Sequence::instructions).sum();
    let instructions = copied + block.len().div_ceil(64) * SUM_INSTRUCTIONS;
    let ahead =
        |(unpacked, used): (usize, usize)| (block.len() - used).saturating_sub(at - unpacked);
    let lead = SLACK + states.into_iter().map(ahead).max().unwrap_or(0);
    Packed { block, instructions, lead }
}

/// What of a length is not in the token.
fn write_length(block: &mut Vec<u8>, length: usize) {
    if let Some(rest) = length.checked_sub(NIBBLE_MAX) {
        block.resize(block.len() + rest / 255, 255);
        block.push((rest % 255) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lz4_flex::block::decompress;

    /// Words of a small language, some of them repeated at once.
    fn text(words: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let mut text = Vec::new();
        for _ in 0..words {
            let word =
                random(300).wrapping_mul(0x9e37_79b9).to_le_bytes().repeat(1 + random(4) as usize);
            text.extend(word.repeat(if random(50) == 0 { random(200) as usize } else { 1 }));
        }
        text
    }

    #[test]
    fn another_implementation_unpacks_it() {
        for words in [0, 1, 2, 3, 5, 30, 4000, 20_000] {
            let text = text(words);
            let packed = pack(&text);
            assert_eq!(decompress(&packed.block, text.len()).unwrap(), text, "{words} words");
            assert!(words < 30 || packed.block.len() * 4 < text.len() * 3, "{words} words");
        }
        for zeros in (0..400).step_by(3) {
            let text = vec![0; zeros];
            assert_eq!(decompress(&pack(&text).block, zeros).unwrap(), text);
        }
    }

    #[test]
    fn instructions_are_saved_where_they_are_dear() {
        let text = text(20_000);
        let repetitions = repetitions(&text);
        let [free, dear] = [0.0, 0.5].map(|price| write(&text, &sequences(&repetitions, price)));
        assert!(free.block.len() < dear.block.len());
        assert!(free.instructions > dear.instructions);
        assert_eq!(decompress(&dear.block, text.len()).unwrap(), text);
    }

    /// However long it is: the share that packing saves does not fall with the length.
    #[test]
    fn a_long_image_is_packed_as_well_as_a_short_one() {
        let share = |words| {
            let text = text(words);
            let packed = pack(&text);
            assert!(packed.instructions <= text.len() * INSTRUCTIONS_FOR_TWO_BYTES_MAX / 2);
            packed.block.len() * 100 / text.len()
        };
        assert!(share(200_000) <= share(20_000) + 1);
    }

    /// Each copy of `unpack` may spoil what is within the slack behind it.
    #[test]
    fn unpacking_over_the_block_loses_nothing() {
        for words in [0, 3, 4000] {
            let text = text(words);
            let packed = pack(&text);
            let mut memory = vec![0; text.len() + packed.lead];
            let mut from = memory.len() - packed.block.len();
            memory[from..].copy_from_slice(&packed.block);
            let mut to = 0;
            let mut copy = |memory: &mut Vec<u8>, bytes: &[u8]| {
                memory[to..to + bytes.len()].copy_from_slice(bytes);
                to += bytes.len();
                memory[to..to + SLACK].fill(0xee);
                to
            };
            while from < memory.len() {
                let token = take(&memory, &mut from, 1)[0];
                let literals = length(&memory, &mut from, token >> 4);
                let bytes = take(&memory, &mut from, literals);
                let end = copy(&mut memory, &bytes);
                if from < memory.len() {
                    let distance = take(&memory, &mut from, 2);
                    let start = end - usize::from(u16::from_le_bytes([distance[0], distance[1]]));
                    let length = FORMAT_MATCH_MIN + length(&memory, &mut from, token & 15);
                    let repeated: Vec<u8> =
                        memory[start..end].iter().copied().cycle().take(length).collect();
                    copy(&mut memory, &repeated);
                }
            }
            assert_eq!(memory[..text.len()], text, "{words} words");
        }
    }

    fn take(memory: &[u8], from: &mut usize, count: usize) -> Vec<u8> {
        *from += count;
        memory[*from - count..*from].to_vec()
    }

    fn length(memory: &[u8], from: &mut usize, nibble: u8) -> usize {
        let (mut length, mut more) = (usize::from(nibble), usize::from(nibble) == NIBBLE_MAX);
        while more {
            let byte = take(memory, from, 1)[0];
            (length, more) = (length + usize::from(byte), byte == 255);
        }
        length
    }
}
