//! Packet: a header of 44 bytes, and a payload (virtio 1.3 section 5.10.6).

use bytes::Bytes;
use flow::VsockAddress;

/// Bytes of a packet's header.
pub const HEADER_BYTES: usize = 44;

/// Bytes of the longest payload. Hosts refuse longer ones, though no rule says so.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// A packet that is to leave.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its header, as it goes over the queue.
    pub header: [u8; HEADER_BYTES],
    /// What follows it; often nothing. At most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
}

/// The only type of socket that there is here (5.10.6): a stream.
pub(crate) const STREAM: u16 = 1;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: VsockAddress,
    pub(crate) destination: VsockAddress,
    pub(crate) payload_bytes: u32,
    /// The type of the socket.
    pub(crate) socket_type: u16,
    pub(crate) operation: Operation,
    /// Of [`Operation::Shutdown`], which directions end.
    pub(crate) flags: u32,
    /// How much the sender buffers for this connection.
    pub(crate) buffer_bytes: u32,
    /// How many bytes it has taken out of that buffer, modulo 2^32.
    pub(crate) forwarded: u32,
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Asks for a connection.
    Request,
    /// Accepts one.
    Response,
    /// There is no such connection, or no longer.
    Reset,
    /// One or both directions end.
    Shutdown,
    /// Bytes of the stream.
    Data,
    /// Says only what every header says, which is the sender's credit.
    CreditUpdate,
    /// Asks for that.
    CreditRequest,
}

/// Directions of a stream, as [`Operation::Shutdown`] names them.
pub(crate) mod direction {
    /// The sender receives no more.
    pub(crate) const RECEIVE: u32 = 1;
    /// The sender sends no more.
    pub(crate) const SEND: u32 = 2;
    pub(crate) const BOTH: u32 = RECEIVE | SEND;
}

impl Header {
    /// Reads the header that a packet begins with. `None` for one that is short, has an operation that there is not, or a
    /// machine's number of more than 32 bits, whose upper half is to be zero (5.10.4).
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let (header, _) = packet.split_first_chunk::<HEADER_BYTES>()?;
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        if u32_at(4) != 0 || u32_at(12) != 0 {
            return None;
        }
        Some(Self {
            source: VsockAddress { cid: u32_at(0), port: u32_at(16) },
            destination: VsockAddress { cid: u32_at(8), port: u32_at(20) },
            payload_bytes: u32_at(24),
            socket_type: u16_at(28),
            operation: Operation::of(u16_at(30))?,
            flags: u32_at(32),
            buffer_bytes: u32_at(36),
            forwarded: u32_at(40),
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &u64::from(self.source.cid).to_le_bytes());
        put(8, &u64::from(self.destination.cid).to_le_bytes());
        put(16, &self.source.port.to_le_bytes());
        put(20, &self.destination.port.to_le_bytes());
        put(24, &self.payload_bytes.to_le_bytes());
        put(28, &self.socket_type.to_le_bytes());
        put(30, &self.operation.number().to_le_bytes());
        put(32, &self.flags.to_le_bytes());
        put(36, &self.buffer_bytes.to_le_bytes());
        put(40, &self.forwarded.to_le_bytes());
        bytes
    }

    /// Says that there is no such connection, or no longer.
    pub(crate) fn reset(source: VsockAddress, destination: VsockAddress, socket_type: u16) -> Self {
        Self {
            source,
            destination,
            payload_bytes: 0,
            socket_type,
            operation: Operation::Reset,
            flags: 0,
            buffer_bytes: 0,
            forwarded: 0,
        }
    }
}

impl Operation {
    const ALL: [Self; 7] = [
        Self::Request,
        Self::Response,
        Self::Reset,
        Self::Shutdown,
        Self::Data,
        Self::CreditUpdate,
        Self::CreditRequest,
    ];

    /// By its number, from 1.
    fn of(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    fn number(self) -> u16 {
        self as u16 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        source: VsockAddress { cid: 2, port: 0x0102_0304 },
        destination: VsockAddress { cid: 3, port: 0x0506_0708 },
        payload_bytes: 0x1122_3344,
        socket_type: STREAM,
        operation: Operation::Shutdown,
        flags: direction::BOTH,
        buffer_bytes: 0x5566_7788,
        forwarded: 0x99aa_bbcc,
    };

    /// The bytes are those of 5.10.6's structure.
    #[test]
    fn virtio_5_10_6_a_header_has_its_places() {
        let bytes = HEADER.to_bytes();
        let expected = [
            2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, 0x44, 0x33,
            0x22, 0x11, 1, 0, 4, 0, 3, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0xcc, 0xbb, 0xaa, 0x99,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(Header::parse(&bytes), Some(HEADER));
        let longer = [&bytes[..], b"payload"].concat();
        assert_eq!(Header::parse(&longer), Some(HEADER));
    }

    #[test]
    fn what_is_no_header_is_none() {
        let bytes = HEADER.to_bytes();
        for length in 0..HEADER_BYTES {
            assert_eq!(Header::parse(&bytes[..length]), None, "{length}");
        }
        for (at, value) in [(30, 0), (30, 8), (31, 1), (4, 1), (7, 0x80), (12, 1), (15, 1)] {
            let mut bytes = bytes;
            bytes[at] = value;
            assert_eq!(Header::parse(&bytes), None, "{value} at {at}");
        }
        for number in 1..=7 {
            assert_eq!(Operation::of(number).map(Operation::number), Some(number));
        }
    }
}
