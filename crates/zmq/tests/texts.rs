//! What operators read of ZeroMQ, and what peers are told.

use std::sync::Arc;
use zmq::{
    Authority, CurveClient, CurveServer, Error, RecvError, Refusal, Security, SendError,
    SocketType, public_key,
};

/// Says nothing of whom it admits.
struct Silent;

impl Authority for Silent {}

#[test]
fn an_authority_that_says_nothing_admits_nobody() {
    assert!(!Silent.admits_password(b"", b""));
    assert!(!Silent.admits_key(&[7; 32]));
}

#[test]
fn security_is_shown_without_its_secrets() {
    let (username, password) = ("ada".into(), "1815".into());
    let (server_public_key, secret_key) = (public_key(&[9; 32]), [7; 32]);
    for (security, shown) in [
        (Security::Null, "NULL client"),
        (Security::PlainClient { username, password }, "PLAIN client"),
        (Security::PlainServer(Arc::new(Silent)), "PLAIN server"),
        (Security::CurveClient(CurveClient { server_public_key, secret_key }), "CURVE client"),
        (
            Security::CurveServer(CurveServer { secret_key, authority: Arc::new(Silent) }),
            "CURVE server",
        ),
    ] {
        assert_eq!(format!("{security:?}"), shown);
    }
}

/// An ERROR command says the reason; the log has more where there is more.
#[test]
fn errors_say_why_a_connection_ended() {
    for (error, reason) in [
        (Error::Signature, "not a ZMTP signature"),
        (Error::MechanismMismatch, "security mechanism mismatch"),
        (Error::RoleMismatch, "as-server mismatch"),
        (Error::SocketTypeMismatch, "invalid socket type"),
        (Error::Unauthorized, "access refused"),
        (Error::ReservedFlags, "reserved frame flags"),
        (Error::MalformedCommand, "malformed command"),
        (Error::UnexpectedCommand, "unexpected command"),
        (Error::TooManyParts, "too many parts"),
        (Error::MessageTooLong, "message too long"),
        (Error::Identity, "invalid identity"),
        (Error::Crypto, "cryptographic failure"),
        (Error::HandshakeTimeout, "handshake timed out"),
        (Error::HeartbeatTimeout, "heartbeat timed out"),
        (Error::MessageStalled, "a message did not come to its end within stall_timeout"),
        (Error::MessageTooSlow, "a message came more slowly than bytes_per_second_min"),
        (Error::OutputStalled, "the peer took nothing within write_timeout"),
        (Error::OutputTooSlow, "the peer took less than bytes_per_second_min"),
        (Error::HeldMost, "unfinished messages took too much memory"),
        (Error::Superseded, "another connection took the identity over"),
        (Error::Disconnected, "ended by this side"),
        (Error::Closed, "connection closed"),
    ] {
        assert_eq!((error.reason(), error.to_string()), (reason, reason.to_owned()));
    }
    for (error, reason, text) in [
        (Error::Version(1), "ZMTP version not supported", "ZMTP version 1 not supported"),
        (Error::FrameTooLong(9), "frame too long", "frame too long: 9 bytes"),
        (Error::CommandTooLong(9), "command too long", "command too long: 9 bytes"),
        (Error::Peer("no".into()), "peer reported an error", "peer reported: no"),
    ] {
        assert_eq!((error.reason(), error.to_string()), (reason, text.to_owned()));
    }
    for (error, text) in [
        (SendError::NotReady, "connection not ready"),
        (SendError::PartUnfinished, "the last part lacks bytes"),
        (SendError::PartOverrun, "more bytes than the part promised"),
    ] {
        assert_eq!(error.to_string(), text);
    }
    for (refusal, text) in [
        (Refusal::Full, "no peer with room"),
        (Refusal::Unsupported, "this socket type does not send"),
        (Refusal::OutOfTurn, "receive before sending"),
        (Refusal::Unroutable, "no peer has that routing id"),
        (Refusal::Malformed, "the message does not suit this socket type"),
        (Refusal::PeerLost, "the peer is gone"),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
    for (error, text) in [
        (RecvError::Empty, "no message"),
        (RecvError::Unsupported, "this socket type does not receive"),
        (RecvError::OutOfTurn, "send before receiving"),
        (RecvError::PeerLost, "the peer is gone"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

/// RFC 28, 29 and 30, and the table of RFC 37, "The Socket-Type property".
#[test]
fn rfc37_who_may_talk_to_whom() {
    use SocketType::{Dealer, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
    let all = [Req, Rep, Dealer, Router, Push, Pull, Pub, Sub, XPub, XSub];
    for (own, name, peers) in [
        (Req, "REQ", &[Rep, Router][..]),
        (Rep, "REP", &[Req, Dealer]),
        (Dealer, "DEALER", &[Rep, Dealer, Router]),
        (Router, "ROUTER", &[Req, Dealer, Router]),
        (Push, "PUSH", &[Pull]),
        (Pull, "PULL", &[Push]),
        (Pub, "PUB", &[Sub, XSub]),
        (Sub, "SUB", &[Pub, XPub]),
        (XPub, "XPUB", &[Sub, XSub]),
        (XSub, "XSUB", &[Pub, XPub]),
    ] {
        let accepted: Vec<_> = all.into_iter().filter(|peer| own.accepts(*peer)).collect();
        assert_eq!((own.name(), accepted), (name, peers.to_vec()));
        assert_eq!(SocketType::from_name(name.as_bytes()), Some(own));
    }
}
