//! Initial sequence numbers (ISN, RFC 6528) and SYN cookies (RFC 4987): what nobody outside may guess.

use crate::tcp::syn_queue::SynOffer;
use crate::wire::tuple::Tuple;
use ::tcp::options::Timestamps;
use core::hash::Hasher;
use core::time::Duration;
use siphasher::sip::SipHasher24;

/// Chooses initial sequence numbers, with a key that lasts as long as the interface.
pub(crate) struct IsnGenerator {
    number_key: (u64, u64),
    cookie_key: (u64, u64),
}

impl IsnGenerator {
    pub(crate) fn new(mut entropy: impl FnMut() -> u64) -> Self {
        Self { number_key: (entropy(), entropy()), cookie_key: (entropy(), entropy()) }
    }

    /// RFC 6528 section 3: a clock of 4 microseconds plus a keyed hash of the connection's tuple, so
    /// that numbers rise for one tuple and tell nothing of another's.
    pub(crate) fn generate(&self, tuple: &Tuple, now: Duration) -> u32 {
        let rto = (now.as_micros() / 4) as u32;
        rto.wrapping_add(keyed(self.number_key, tuple, 0) as u32)
    }

    /// Where the search for a local port begins; `tuple`'s own port does not count (RFC 6056
    /// section 3.3.3).
    pub(crate) fn port_offset(&self, tuple: &Tuple) -> u32 {
        (keyed(self.number_key, &tuple.with_local_port(0), 1) >> 32) as u32
    }

    /// Is added to a connection's clock of timestamps, so that it tells nothing of others' nor of the time since
    /// our start (RFC 7323 section 5.4).
    pub(crate) fn timestamp_offset(&self, tuple: &Tuple) -> u32 {
        keyed(self.number_key, tuple, 2) as u32
    }

    /// A sequence number from which [`open_cookie`](Self::open_cookie) gets the offer back, in
    /// coarse steps: 24 bits of a keyed hash, and 8 bits that say which slot of time, segment size,
    /// window scale and selective acknowledgements.
    pub(crate) fn cookie(&self, tuple: &Tuple, peer: u32, offer: &SynOffer, now: Duration) -> u32 {
        let slot = slot(now);
        let mss = MSS_STEPS.iter().rposition(|step| *step <= offer.mss).unwrap_or(0) as u32;
        let scale = offer.window_scale().map_or(0, |scale| {
            1 + SCALE_STEPS.iter().rposition(|step| *step <= scale).unwrap_or(0) as u32
        });
        let data = (slot as u32 & 1) << 7 | u32::from(offer.sack_permitted) << 6 | scale << 3 | mss;
        self.cookie_mac(tuple, peer, slot, data) << 8 | data
    }

    /// The timestamp of a cookie's SYN-ACK: the clock, in whose lowest bits the window scale, selective
    /// acknowledgements and congestion notification come back unrounded. Not later than the clock, which goes on from there.
    pub(crate) fn cookie_timestamp(clock: u32, offer: &SynOffer) -> u32 {
        let scale = offer.window_scale().map_or(NO_SCALE, u32::from);
        let data = u32::from(offer.ecn()) << 5 | u32::from(offer.sack_permitted) << 4 | scale;
        (clock.wrapping_sub(data) & !TIMESTAMP_DATA) | data
    }

    /// The offer in a cookie that is at most two slots of time old and was made for this segment's
    /// connection; `peer` is the peer's initial sequence number, `timestamps` what the segment has of them.
    pub(crate) fn open_cookie(
        &self,
        tuple: &Tuple,
        (peer, cookie): (u32, u32),
        timestamps: Option<Timestamps>,
        now: Duration,
    ) -> Option<SynOffer> {
        let data = cookie & 0xff;
        let current = slot(now);
        let parity_differs = (current as u32 & 1) != data >> 7;
        let slot = current.checked_sub(u64::from(parity_differs))?;
        if self.cookie_mac(tuple, peer, slot, data) != cookie >> 8 {
            return None;
        }
        let mss = MSS_STEPS[(data & 7) as usize];
        if let Some(timestamps) = timestamps {
            let scale = timestamps.echo & NO_SCALE;
            let window_scale = (scale < NO_SCALE).then_some(scale as u8);
            let sack = timestamps.echo >> 4 & 1 == 1;
            let ecn = timestamps.echo >> 5 & 1 == 1;
            return Some(SynOffer::new(mss, window_scale, sack).with_ecn(ecn));
        }
        let scale = (data >> 3 & 7) as usize;
        let window_scale = scale.checked_sub(1).map(|step| SCALE_STEPS[step]);
        Some(SynOffer::new(mss, window_scale, data >> 6 & 1 == 1))
    }

    fn cookie_mac(&self, tuple: &Tuple, peer: u32, slot: u64, data: u32) -> u32 {
        let message = slot << 40 ^ u64::from(data) << 32 ^ u64::from(peer);
        keyed(self.cookie_key, tuple, message) as u32 & 0xff_ffff
    }
}

/// How long a cookie may have been on its way at least; at most twice that.
pub(crate) const COOKIE_SLOT: Duration = Duration::from_secs(64);

/// Common segment sizes; an offer is rounded down to one.
const MSS_STEPS: [u16; 8] = [48, 536, 1220, 1360, 1400, 1440, 1460, 8940];
/// Common window scales; an offer is rounded down to one, which only makes us send less.
const SCALE_STEPS: [u8; 7] = [0, 1, 2, 4, 6, 7, 8];

/// The bits of a timestamp that a cookie uses, and those of a window scale: at most 14, or none.
const TIMESTAMP_DATA: u32 = 0x3f;
const NO_SCALE: u32 = 0xf;

fn slot(now: Duration) -> u64 {
    now.as_secs() / COOKIE_SLOT.as_secs()
}

fn keyed(key: (u64, u64), tuple: &Tuple, message: u64) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(key.0, key.1);
    for word in tuple.words() {
        hasher.write_u64(word);
    }
    hasher.write_u64(message);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isn_generator() -> IsnGenerator {
        booted_with(1)
    }

    fn booted_with(entropy: u64) -> IsnGenerator {
        let mut state = entropy;
        IsnGenerator::new(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state
        })
    }

    fn tuple(port: u16) -> Tuple {
        Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, port)
    }

    fn offer() -> SynOffer {
        SynOffer::new(1460, Some(7), true)
    }

    #[test]
    fn rfc_6528_numbers_rise_for_one_name_and_differ_between_names() {
        let isn_generator = isn_generator();
        let first = isn_generator.generate(&tuple(1), Duration::ZERO);
        let later = isn_generator.generate(&tuple(1), Duration::from_millis(4));
        assert_eq!(later.wrapping_sub(first), 1_000);
        assert_ne!(first, isn_generator.generate(&tuple(2), Duration::ZERO));
    }

    #[test]
    fn rfc_6528_numbers_of_two_boots_have_nothing_in_common() {
        let numbers = |entropy| {
            let generator = booted_with(entropy);
            [1, 2, 3].map(|port| generator.generate(&tuple(port), Duration::ZERO))
        };
        let [one, other] = [numbers(1), numbers(2)];
        assert_eq!(one, numbers(1));
        let [a, b, c] = [0, 1, 2].map(|index: usize| one[index].wrapping_sub(other[index]));
        assert!(a != 0 && a != b && b != c && a != c, "{a} {b} {c}");
    }

    #[test]
    fn rfc_7323_5_4_timestamps_have_an_offset_of_their_own() {
        let isn_generator = isn_generator();
        let offset = |port| isn_generator.timestamp_offset(&tuple(port));
        assert_eq!(offset(1), offset(1));
        assert_ne!(offset(1), offset(2));
    }

    #[test]
    fn a_cookie_gives_the_offer_back() {
        let isn_generator = isn_generator();
        for mss in [50, 536, 1460, 8960] {
            for scale in [None, Some(0), Some(3), Some(14)] {
                let now = Duration::from_secs(1_000);
                let offer = SynOffer::new(mss, scale, mss == 536);
                let cookie = isn_generator.cookie(&tuple(1), 99, &offer, now);
                for age in [0, 1, 60, 64] {
                    let then = now + Duration::from_secs(age);
                    let opened =
                        isn_generator.open_cookie(&tuple(1), (99, cookie), None, then).unwrap();
                    assert!(opened.mss <= mss && opened.window_scale() <= scale);
                    assert_eq!(
                        (opened.window_scale().is_some(), opened.sack_permitted),
                        (scale.is_some(), offer.sack_permitted)
                    );
                }
            }
        }
    }

    #[test]
    fn a_cookie_in_timestamps_gives_scale_and_sack_back_exactly() {
        let isn_generator = isn_generator();
        let now = Duration::from_secs(1_000);
        for scale in [None, Some(0), Some(5), Some(14)] {
            for (sack, clock) in [(true, 0), (false, 3), (true, u32::MAX), (false, 1_000_000)] {
                let offer = SynOffer::new(1460, scale, sack).with_ecn(!sack);
                let cookie = isn_generator.cookie(&tuple(1), 99, &offer, now);
                let value = IsnGenerator::cookie_timestamp(clock, &offer);
                assert!(clock.wrapping_sub(value) < 128, "{clock} {value}");
                let timestamps = Some(Timestamps { value: 5, echo: value });
                let opened = isn_generator.open_cookie(&tuple(1), (99, cookie), timestamps, now);
                assert_eq!(opened, Some(offer));
            }
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_connection_and_its_time_only() {
        let isn_generator = isn_generator();
        let now = Duration::from_secs(1_000);
        let cookie = isn_generator.cookie(&tuple(1), 99, &offer(), now);
        let open = |port, numbers, now| isn_generator.open_cookie(&tuple(port), numbers, None, now);
        assert!(open(1, (99, cookie), now).is_some());
        assert_eq!(open(2, (99, cookie), now), None);
        assert_eq!(open(1, (98, cookie), now), None);
        // Neither the hash nor what it protects may be another, by any bit.
        for bit in 0..32 {
            assert_eq!(open(1, (99, cookie ^ 1 << bit), now), None, "{bit}");
            assert_eq!(open(1, (99 ^ 1 << bit, cookie), now), None, "{bit}");
        }
        // Of the slot of 64 s in which it was made, and the next.
        for (age, is_good) in [(23, true), (24, true), (87, true), (88, false), (152, false)] {
            let opened = open(1, (99, cookie), now + Duration::from_secs(age));
            assert_eq!(opened.is_some(), is_good, "after {age} s");
        }
    }

    #[test]
    fn rfc_6056_3_3_3_the_search_for_a_port_begins_elsewhere_for_each_destination() {
        let isn_generator = isn_generator();
        let offset = |own, peer| {
            isn_generator.port_offset(&Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], own, peer))
        };
        assert_eq!(offset(1, 80), offset(2, 80), "our own port does not count");
        let offsets = [offset(1, 80), offset(1, 81), offset(1, 82)];
        let differs = |high: &dyn Fn(u32) -> u32| {
            let [a, b, c] = offsets.map(high);
            a != b && b != c && a != c
        };
        assert!(
            differs(&|offset| offset >> 16) && differs(&|offset| offset & 0xffff),
            "{offsets:?}"
        );
    }

    #[test]
    fn a_cookie_rounds_down_to_the_next_step() {
        let isn_generator = isn_generator();
        let now = Duration::from_secs(64);
        let opened = |mss, scale, sack| {
            let offer = SynOffer::new(mss, scale, sack);
            let cookie = isn_generator.cookie(&tuple(1), 99, &offer, now);
            let opened = isn_generator.open_cookie(&tuple(1), (99, cookie), None, now).unwrap();
            (opened.mss, opened.window_scale(), opened.sack_permitted)
        };
        for (mss, rounded) in [
            (1, 48),
            (48, 48),
            (535, 48),
            (536, 536),
            (1_219, 536),
            (1_220, 1_220),
            (1_359, 1_220),
            (1_360, 1_360),
            (1_399, 1_360),
            (1_400, 1_400),
            (1_439, 1_400),
            (1_440, 1_440),
            (1_459, 1_440),
            (1_460, 1_460),
            (8_939, 1_460),
            (8_940, 8_940),
            (65_535, 8_940),
        ] {
            assert_eq!(opened(mss, None, true), (rounded, None, true));
        }
        let scales = [0, 1, 2, 2, 4, 4, 6, 7, 8, 8, 8, 8, 8, 8, 8];
        for (scale, rounded) in scales.into_iter().enumerate() {
            assert_eq!(opened(1_460, Some(scale as u8), false), (1_460, Some(rounded), false));
        }
    }

    #[test]
    fn a_cookie_of_the_first_slot_is_not_looked_for_before_the_start() {
        let isn_generator = isn_generator();
        let cookie = isn_generator.cookie(&tuple(1), 99, &offer(), Duration::ZERO);
        let open = |cookie, seconds| {
            isn_generator.open_cookie(&tuple(1), (99, cookie), None, Duration::from_secs(seconds))
        };
        assert_eq!(open(cookie, 63), Some(offer()));
        assert_eq!(open(cookie, 127), Some(offer()));
        assert_eq!((open(cookie, 128), open(cookie ^ 0x80, 0)), (None, None));
    }

    #[test]
    fn the_timestamp_of_a_cookie_is_the_last_before_the_clock_that_ends_with_the_offer() {
        for (clock, scale, sack, ecn, expected) in [
            (1_000, Some(7), true, false, 983),
            (1_000, None, false, true, 943),
            (1_000, Some(8), false, true, 1_000),
            (1_000, Some(9), false, true, 937),
            (0, None, true, true, u32::MAX),
        ] {
            let offer = SynOffer::new(1_460, scale, sack).with_ecn(ecn);
            assert_eq!(IsnGenerator::cookie_timestamp(clock, &offer), expected, "{offer:?}");
        }
    }
}
