//! LISTEN and CLOSED: what a segment without a connection is answered (RFC 9293 sections 3.10.7.1 and 3.10.7.2).

use crate::segment::{Flags, Segment};
use crate::sequence::SeqNumber;

/// What a listener does with a segment that belongs to no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listened {
    /// Somebody wants a connection: [`Connection::accept`](crate::Connection::accept), or a SYN queue.
    Open,
    /// This is sent.
    Reset(Segment),
    /// Nothing.
    Drop,
}

/// RFC 9293 section 3.10.7.2, in its order. Null, FIN and Xmas segments are dropped: they have neither RST, ACK
/// nor SYN alone.
pub fn listen(segment: &Segment) -> Listened {
    let flags = segment.flags;
    if flags.has(Flags::RST) {
        return Listened::Drop;
    }
    if flags.has(Flags::ACK) {
        return Listened::Reset(Segment::new(segment.ack, SeqNumber(0), Flags::RST));
    }
    // A SYN that ends what it begins is nobody's.
    if flags.has(Flags::SYN) && !flags.has(Flags::FIN) { Listened::Open } else { Listened::Drop }
}

/// RFC 9293 section 3.10.7.1: where nobody listens. The reset fits whatever the sender is waiting for.
pub fn closed(segment: &Segment, data_len: u32) -> Option<Segment> {
    let flags = segment.flags;
    if flags.has(Flags::RST) {
        return None;
    }
    Some(if flags.has(Flags::ACK) {
        Segment::new(segment.ack, SeqNumber(0), Flags::RST)
    } else {
        let ack = segment.seq + segment.sequence_len(data_len);
        Segment::new(SeqNumber(0), ack, Flags::RST | Flags::ACK)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: Flags) -> Segment {
        Segment::new(SeqNumber(7), SeqNumber(9), flags)
    }

    #[test]
    fn rfc_9293_3_10_7_2_listen() {
        assert_eq!(listen(&segment(Flags::SYN)), Listened::Open);
        assert_eq!(listen(&segment(Flags::SYN | Flags::ECE | Flags::CWR)), Listened::Open);
        let reset = Segment::new(SeqNumber(9), SeqNumber(0), Flags::RST);
        assert_eq!(listen(&segment(Flags::SYN | Flags::ACK)), Listened::Reset(reset));
        let xmas = Flags::FIN | Flags::URG | Flags::PSH;
        for flags in [Flags::NONE, Flags::FIN, xmas, Flags::RST, Flags::SYN | Flags::FIN] {
            assert_eq!(listen(&segment(flags)), Listened::Drop);
        }
    }

    #[test]
    fn rfc_9293_3_10_7_1_closed() {
        let reset = Segment::new(SeqNumber(9), SeqNumber(0), Flags::RST);
        assert_eq!(closed(&segment(Flags::ACK), 5), Some(reset));
        let reset = Segment::new(SeqNumber(0), SeqNumber(13), Flags::RST | Flags::ACK);
        assert_eq!(closed(&segment(Flags::SYN), 5), Some(reset));
        assert_eq!(closed(&segment(Flags::RST), 0), None);
    }

    /// Each of the 256 sets of flags.
    #[test]
    fn rfc_9293_3_10_7_no_reset_is_answered_and_all_else_is_as_the_flags_say() {
        for bits in 0..=255 {
            let flags = Flags(bits);
            let (rst, ack) = (bits & 4 != 0, bits & 16 != 0);
            let reset = Segment::new(SeqNumber(9), SeqNumber(0), Flags::RST);
            let wanted = match (rst, ack, bits & 3) {
                (true, ..) | (_, false, 0 | 1 | 3) => Listened::Drop,
                (_, true, _) => Listened::Reset(reset),
                _ => Listened::Open,
            };
            assert_eq!(listen(&segment(flags)), wanted, "{flags:?}");
            let taken = 5 + u32::from(bits & 1) + u32::from(bits & 2 != 0);
            let answer = Segment::new(SeqNumber(0), SeqNumber(7 + taken), Flags::RST | Flags::ACK);
            let wanted = (!rst).then_some(if ack { reset } else { answer });
            assert_eq!(closed(&segment(flags), 5), wanted, "{flags:?}");
        }
    }
}
