//! Errors: why a connection is no longer one, and what the peer is told.

use alloc::string::String;
use core::fmt;

/// Why a TLS connection ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// What came is no TLS at all.
    NotTls,
    /// The handshake failed, for this reason. The peer was told by the alert that belongs to it.
    Handshake(String),
    /// The peer broke the protocol; it is told by this alert.
    Bad(Alert, &'static str),
    /// The peer ended the connection with this alert (RFC 8446 section 6.2), by its number.
    Received(u8),
    /// The stream ended without the peer's close_notify: it may be cut (RFC 8446 section 6.1).
    Truncated,
    /// A key has sealed as many records as it may, and TLS 1.2 has no way to another.
    WornOut,
    /// Something of ours is not as it must be.
    Internal(&'static str),
}

impl TlsError {
    /// The alert by which the peer is told, if that is still to be done.
    pub fn alert(&self) -> Option<Alert> {
        match self {
            Self::Bad(alert, _) => Some(*alert),
            Self::WornOut | Self::Internal(_) => Some(Alert::InternalError),
            Self::NotTls => Some(Alert::UnexpectedMessage),
            Self::Handshake(_) | Self::Received(_) | Self::Truncated => None,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("what came is not TLS"),
            Self::Handshake(reason) => write!(f, "the handshake failed: {reason}"),
            Self::Bad(alert, reason) => write!(f, "{reason} ({alert})"),
            Self::Received(number) => match Alert::name_of(*number) {
                Some(name) => write!(f, "the peer ended it: {name}"),
                None => write!(f, "the peer ended it: alert {number}"),
            },
            Self::Truncated => f.write_str("it was cut off, without close_notify"),
            Self::WornOut => f.write_str("its key has sealed as many records as it may"),
            Self::Internal(reason) => write!(f, "internal error: {reason}"),
        }
    }
}

impl core::error::Error for TlsError {}

/// Alerts that records are answered with (RFC 8446 section 6). Those of handshakes are rustls' to send, but for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// close_notify: the end of what one side has to say.
    CloseNotify,
    /// unexpected_message.
    UnexpectedMessage,
    /// bad_record_mac.
    BadRecordMac,
    /// record_overflow.
    RecordOverflow,
    /// decode_error.
    DecodeError,
    /// protocol_version.
    ProtocolVersion,
    /// internal_error.
    InternalError,
    /// no_renegotiation, a warning of TLS 1.2 (RFC 5246 section 7.2.2).
    NoRenegotiation,
}

impl Alert {
    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::CloseNotify => 0,
            Self::UnexpectedMessage => 10,
            Self::BadRecordMac => 20,
            Self::RecordOverflow => 22,
            Self::DecodeError => 50,
            Self::ProtocolVersion => 70,
            Self::InternalError => 80,
            Self::NoRenegotiation => 100,
        }
    }

    /// What the RFC calls an alert.
    fn name_of(number: u8) -> Option<&'static str> {
        Some(match number {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => return None,
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::name_of(self.number()).unwrap_or("alert"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn each_alert_has_the_name_of_its_number() {
        for (alert, text) in [
            (Alert::CloseNotify, "close_notify"),
            (Alert::UnexpectedMessage, "unexpected_message"),
            (Alert::BadRecordMac, "bad_record_mac"),
            (Alert::RecordOverflow, "record_overflow"),
            (Alert::DecodeError, "decode_error"),
            (Alert::ProtocolVersion, "protocol_version"),
            (Alert::InternalError, "internal_error"),
            (Alert::NoRenegotiation, "no_renegotiation"),
        ] {
            assert_eq!(alert.to_string(), text);
        }
    }
}
