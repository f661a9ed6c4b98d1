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
}
