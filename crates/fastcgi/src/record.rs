//! Records (FastCGI 1.0 section 3.3): what everything on a connection is made of.

use crate::Error;
use alloc::vec::Vec;

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 8;
/// Bytes of content that we put into a record at most: the largest multiple of eight, so that records stay aligned
/// without padding, as section 3.3 recommends.
pub(crate) const CONTENT_BYTES_MAX: usize = u16::MAX as usize & !7;
/// The only version.
const VERSION: u8 = 1;

/// `FCGI_NULL_REQUEST_ID`: of records that concern no request.
pub(crate) const MANAGEMENT: u16 = 0;

/// What a record is for (section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    BeginRequest = 1,
    AbortRequest = 2,
    EndRequest = 3,
    Params = 4,
    Stdin = 5,
    Stdout = 6,
    Stderr = 7,
    Data = 8,
    GetValues = 9,
    GetValuesResult = 10,
    UnknownType = 11,
}

impl Kind {
    /// Those that a web server sends.
    pub(crate) fn of_web_server(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::BeginRequest,
            2 => Self::AbortRequest,
            4 => Self::Params,
            5 => Self::Stdin,
            8 => Self::Data,
            9 => Self::GetValues,
            _ => return None,
        })
    }
}

/// How a request ended, for `FCGI_END_REQUEST` (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ProtocolStatus {
    RequestComplete = 0,
    CannotMultiplex = 1,
    UnknownRole = 3,
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) request_id: u16,
    pub(crate) content_bytes: u16,
    pub(crate) padding_bytes: u8,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Error> {
        let [version, kind, id_high, id_low, length_high, length_low, padding_bytes, _] = *bytes;
        if version != VERSION {
            return Err(Error::Version);
        }
        Ok(Self {
            kind,
            request_id: u16::from_be_bytes([id_high, id_low]),
            content_bytes: u16::from_be_bytes([length_high, length_low]),
            padding_bytes,
        })
    }
}

/// Appends the header of a record of ours, without padding.
#[inline]
pub(crate) fn put_header(out: &mut Vec<u8>, kind: Kind, request_id: u16, content_bytes: usize) {
    let [id_high, id_low] = request_id.to_be_bytes();
    debug_assert!(content_bytes <= usize::from(u16::MAX));
    let [length_high, length_low] = (content_bytes as u16).to_be_bytes();
    out.extend_from_slice(&[VERSION, kind as u8, id_high, id_low, length_high, length_low, 0, 0]);
}

/// Appends `FCGI_END_REQUEST`.
pub(crate) fn put_end_request(
    out: &mut Vec<u8>,
    request_id: u16,
    app_status: u32,
    status: ProtocolStatus,
) {
    put_header(out, Kind::EndRequest, request_id, 8);
    out.extend_from_slice(&app_status.to_be_bytes());
    out.extend_from_slice(&[status as u8, 0, 0, 0]);
}

/// Appends `FCGI_UNKNOWN_TYPE` (section 4.2).
pub(crate) fn put_unknown_type(out: &mut Vec<u8>, kind: u8) {
    put_header(out, Kind::UnknownType, MANAGEMENT, 8);
    out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
}
