//! Socket types: the ten, and which may talk to which.

/// A ZeroMQ socket type (RFC 28, 29 and 30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the RFCs' own names")]
pub enum SocketType {
    Req,
    Rep,
    Dealer,
    Router,
    Push,
    Pull,
    Pub,
    Sub,
    XPub,
    XSub,
}

impl SocketType {
    /// The value of the Socket-Type property.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::XPub => "XPUB",
            Self::XSub => "XSUB",
        }
    }

    /// Its number in the greeting of ZMTP 2.0 (RFC 15; XPUB and XSUB as libzmq has them).
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Pub => 1,
            Self::Sub => 2,
            Self::Req => 3,
            Self::Rep => 4,
            Self::Dealer => 5,
            Self::Router => 6,
            Self::Pull => 7,
            Self::Push => 8,
            Self::XPub => 9,
            Self::XSub => 10,
        }
    }

    /// The type that a ZMTP 2.0 peer's number stands for.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        use SocketType::*;
        [Req, Rep, Dealer, Router, Push, Pull, Pub, Sub, XPub, XSub]
            .into_iter()
            .find(|kind| kind.number() == number)
    }

    /// The type that a peer's Socket-Type property names.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        use SocketType::*;
        [Req, Rep, Dealer, Router, Push, Pull, Pub, Sub, XPub, XSub]
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    /// RFC 37, "The Socket-Type property": the table of valid combinations.
    pub const fn accepts(self, peer: Self) -> bool {
        use SocketType::*;
        match self {
            Req => matches!(peer, Rep | Router),
            Rep => matches!(peer, Req | Dealer),
            Dealer => matches!(peer, Rep | Dealer | Router),
            Router => matches!(peer, Req | Dealer | Router),
            Push => matches!(peer, Pull),
            Pull => matches!(peer, Push),
            Pub | XPub => matches!(peer, Sub | XSub),
            Sub | XSub => matches!(peer, Pub | XPub),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SocketType::{self, *};

    const ALL: [SocketType; 10] = [Req, Rep, Dealer, Router, Push, Pull, Pub, Sub, XPub, XSub];

    #[test]
    fn names_round_trip() {
        for kind in ALL {
            assert_eq!(SocketType::from_name(kind.name().as_bytes()), Some(kind));
            assert_eq!(SocketType::from_number(kind.number()), Some(kind));
        }
        assert_eq!(SocketType::from_name(b"PAIR"), None);
        assert_eq!(SocketType::from_number(0), None);
    }

    #[test]
    fn compatibility_is_symmetric() {
        for ours in ALL {
            for theirs in ALL {
                assert_eq!(ours.accepts(theirs), theirs.accepts(ours), "{ours:?} {theirs:?}");
            }
        }
    }
}
