//! Options of a TCP header: MSS, window scale, SACK and timestamps, parsed and written.

use crate::sequence::SeqNumber;

/// The options that this engine knows, of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// RFC 7323 section 3.
    pub timestamps: Option<Timestamps>,
    /// Maximum segment size, only with SYN (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
    /// Window scale, only with SYN (RFC 7323 section 2).
    pub window_scale: Option<u8>,
    /// SACK permitted, only with SYN (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// SACK (RFC 2018 section 3).
    pub sack: SackBlocks,
}

/// The timestamps option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: what the sender had from us; counts only with ACK.
    pub echo: u32,
}

/// What is between two numbers: the first, and the one after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlock {
    /// The first number.
    pub start: SeqNumber,
    /// The number after the last.
    pub end: SeqNumber,
}

/// Up to four blocks, as many as an option holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    len: u8,
    blocks: [SackBlock; SackBlocks::MAX],
}

impl SackBlocks {
    /// Blocks in 40 bytes of options.
    pub const MAX: usize = 4;
    /// Blocks beside timestamps.
    pub(crate) const MAX_BESIDE_TIMESTAMPS: usize = 3;
    /// None.
    pub const NONE: Self =
        Self { len: 0, blocks: [SackBlock { start: SeqNumber(0), end: SeqNumber(0) }; Self::MAX] };

    /// In the order of the wire.
    pub fn as_slice(&self) -> &[SackBlock] {
        self.blocks.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// There is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one, if there is room.
    pub fn push(&mut self, start: SeqNumber, end: SeqNumber) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.len)) {
            *slot = SackBlock { start, end };
            self.len += 1;
        }
    }
}

/// The longest that options can be.
pub const OPTIONS_BYTES_MAX: usize = 40;

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// RFC 7323 section 2.3: a larger shift counts as 14.
const WINDOW_SCALE_MAX: u8 = 14;

impl Options {
    /// No option.
    pub const NONE: Self = Self {
        timestamps: None,
        mss: None,
        window_scale: None,
        sack_permitted: false,
        sack: SackBlocks::NONE,
    };

    /// Reads the bytes between the header's fixed part and the data. What is unknown is skipped, what
    /// is malformed ends the list: RFC 9293 section 3.1 asks for no more than not to crash.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::NONE;
        }
        // RFC 7323 appendix A: how everybody lays timestamps out.
        if let [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10, rest @ ..] = bytes
            && let Some((data, [])) = rest.split_first_chunk::<8>()
        {
            return Self { timestamps: Some(Timestamps::parse(data)), ..Self::NONE };
        }
        Self::parse_list(bytes)
    }

    #[inline(never)]
    fn parse_list(mut bytes: &[u8]) -> Self {
        let mut options = Self::NONE;
        loop {
            match *bytes {
                [] | [kind::END, ..] => return options,
                [kind::NOP, ref rest @ ..] => bytes = rest,
                [kind, len, ..] => {
                    // A length below two would not get ahead.
                    let Some((option, rest)) = bytes.split_at_checked(usize::from(len).max(2))
                    else {
                        return options;
                    };
                    options.put(kind, option.get(2..).unwrap_or_default());
                    bytes = rest;
                }
                [_] => return options,
            }
        }
    }

    fn put(&mut self, kind: u8, data: &[u8]) {
        match (kind, data) {
            (kind::MSS, &[high, low]) => self.mss = Some(u16::from_be_bytes([high, low])),
            (kind::WINDOW_SCALE, &[shift]) => {
                self.window_scale = Some(shift.min(WINDOW_SCALE_MAX));
            }
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            (kind::SACK, blocks) => {
                for block in blocks.as_chunks::<8>().0 {
                    let (start, end) = halves(block);
                    self.sack.push(SeqNumber(start), SeqNumber(end));
                }
            }
            (kind::TIMESTAMPS, data) => {
                if let Ok(data) = data.try_into() {
                    self.timestamps = Some(Timestamps::parse(data));
                }
            }
            _ => {}
        }
    }

    /// Bytes that [`emit`](Self::emit) writes: a multiple of four.
    pub const fn emitted_len(&self) -> usize {
        let timestamps = if self.timestamps.is_some() { 12 } else { 0 };
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let scale = if self.window_scale.is_some() { 4 } else { 0 };
        // SACK permitted takes the place of the timestamps' padding, where there are some.
        let permitted = if self.sack_permitted && self.timestamps.is_none() { 4 } else { 0 };
        let sack = if self.sack.is_empty() { 0 } else { 4 + 8 * self.sack.len as usize };
        timestamps + mss + scale + permitted + sack
    }

    /// Writes them, padded, and says how many bytes it wrote: none when there is too little space, which
    /// [`OPTIONS_BYTES_MAX`] bytes never are.
    pub fn emit(&self, space: &mut [u8]) -> usize {
        let len = self.emitted_len();
        let Some(space) = space.get_mut(..len) else { return 0 };
        let mut writer = Writer(space);
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            writer.put([kind::MSS, 4, high, low]);
        }
        let permitted = self.sack_permitted;
        if let Some(timestamps) = self.timestamps {
            writer.put(if permitted {
                [kind::SACK_PERMITTED, 2, kind::TIMESTAMPS, 10]
            } else {
                [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10]
            });
            writer.put(timestamps.value.to_be_bytes());
            writer.put(timestamps.echo.to_be_bytes());
        } else if permitted {
            writer.put([kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2]);
        }
        if let Some(shift) = self.window_scale {
            writer.put([kind::NOP, kind::WINDOW_SCALE, 3, shift]);
        }
        if !self.sack.is_empty() {
            writer.put([kind::NOP, kind::NOP, kind::SACK, 2 + 8 * self.sack.len]);
            for block in self.sack.as_slice() {
                writer.put(block.start.0.to_be_bytes());
                writer.put(block.end.0.to_be_bytes());
            }
        }
        len
    }
}

impl Timestamps {
    fn parse(data: &[u8; 8]) -> Self {
        let (value, echo) = halves(data);
        Self { value, echo }
    }
}

fn halves(data: &[u8; 8]) -> (u32, u32) {
    let both = u64::from_be_bytes(*data);
    ((both >> 32) as u32, both as u32)
}

struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, word: [u8; 4]) {
        if let Some((place, rest)) = core::mem::take(&mut self.0).split_first_chunk_mut() {
            *place = word;
            self.0 = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Options {
        let mut sack = SackBlocks::NONE;
        sack.push(SeqNumber(1), SeqNumber(2));
        Options {
            timestamps: Some(Timestamps { value: 7, echo: 9 }),
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            sack,
        }
    }

    fn round_trip(options: Options) {
        let mut space = [0; OPTIONS_BYTES_MAX];
        let len = options.emit(&mut space);
        assert_eq!((len, len % 4), (options.emitted_len(), 0));
        assert_eq!(Options::parse(&space[..len]), options);
    }

    #[test]
    fn what_is_written_is_read_again() {
        round_trip(all());
        round_trip(Options::NONE);
        round_trip(Options { timestamps: None, ..all() });
        round_trip(Options { timestamps: all().timestamps, ..Options::NONE });
        let mut sack = SackBlocks::NONE;
        for number in 0..5 {
            sack.push(SeqNumber(number), SeqNumber(number + 1));
        }
        assert_eq!(sack.as_slice().len(), SackBlocks::MAX);
        round_trip(Options { sack, ..Options::NONE });
    }

    #[test]
    fn malformed_lists_end_and_unknown_options_are_skipped() {
        assert_eq!(Options::parse(&[99, 4, 1, 2, 2, 4, 5, 180]).mss, Some(1460));
        assert_eq!(Options::parse(&[2, 0, 2, 4, 5, 180]).mss, Some(1460));
        for bytes in [&[2][..], &[2, 4, 5], &[3, 0xff, 1], &[8, 9, 1, 2, 3, 4, 5, 6, 7], &[0, 4, 2]]
        {
            assert_eq!(Options::parse(bytes), Options::NONE);
        }
    }

    #[test]
    fn rfc_7323_2_3_shifts_above_14_count_as_14() {
        assert_eq!(Options::parse(&[3, 3, 200]).window_scale, Some(14));
    }

    #[test]
    fn rfc_9293_3_1_options_on_the_wire() {
        let stamps = Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 });
        let mut sack = SackBlocks::NONE;
        sack.push(SeqNumber(0x1112_1314), SeqNumber(0x2122_2324));
        let rows: [(Options, &[u8]); 7] = [
            (Options::NONE, &[]),
            (Options { mss: Some(0x05b4), ..Options::NONE }, &[2, 4, 5, 0xb4]),
            (Options { window_scale: Some(7), ..Options::NONE }, &[1, 3, 3, 7]),
            (Options { sack_permitted: true, ..Options::NONE }, &[1, 1, 4, 2]),
            (
                Options { timestamps: stamps, ..Options::NONE },
                &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
            ),
            (
                Options {
                    mss: Some(536),
                    timestamps: stamps,
                    sack_permitted: true,
                    window_scale: Some(14),
                    ..Options::NONE
                },
                &[2, 4, 2, 24, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 14],
            ),
            (
                Options { timestamps: stamps, sack, ..Options::NONE },
                &[
                    1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 10, 0x11, 0x12, 0x13, 0x14, 0x21,
                    0x22, 0x23, 0x24,
                ],
            ),
        ];
        for (options, bytes) in rows {
            let mut space = [0xee; OPTIONS_BYTES_MAX];
            assert_eq!(options.emit(&mut space), bytes.len());
            assert_eq!(&space[..bytes.len()], bytes);
            assert!(space[bytes.len()..].iter().all(|byte| *byte == 0xee));
            assert_eq!(options.emitted_len(), bytes.len());
            assert_eq!(Options::parse(bytes), options);
            // Too little space is not touched.
            if let Some(less) = bytes.len().checked_sub(1) {
                let mut space = [0xee; OPTIONS_BYTES_MAX];
                assert_eq!(
                    (options.emit(&mut space[..less]), space),
                    (0, [0xee; OPTIONS_BYTES_MAX])
                );
            }
        }
    }

    #[test]
    fn options_of_the_wrong_length_do_not_count_and_what_follows_does() {
        for wrong in [
            &[2, 3, 9][..],
            &[2, 5, 1, 2, 3],
            &[3, 2],
            &[3, 4, 1, 1],
            &[4, 3, 0],
            &[5, 9, 1, 2, 3, 4, 5, 6, 7],
            &[8, 9, 1, 2, 3, 4, 5, 6, 7],
            &[8, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            &[6, 2],
            &[7, 6, 1, 2, 3, 4],
        ] {
            assert_eq!(Options::parse(wrong), Options::NONE, "{wrong:?}");
            let bytes = [wrong, &[1, 2, 4, 1, 2, 0, 4, 2]].concat();
            let options = Options { mss: Some(0x0102), ..Options::NONE };
            assert_eq!(Options::parse(&bytes), options, "{wrong:?}");
        }
        // The usual layout of timestamps, followed by something.
        let bytes = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 4, 2];
        let options = Options::parse(&bytes);
        assert_eq!(options.timestamps, Some(Timestamps { value: 1, echo: 2 }));
        assert!(options.sack_permitted && options.sack.is_empty());
        for shift in [13, 14, 15] {
            assert_eq!(Options::parse(&[3, 3, shift]).window_scale, Some(shift.min(14)));
        }
    }
}
