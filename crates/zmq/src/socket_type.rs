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
        }
        assert_eq!(SocketType::from_name(b"PAIR"), None);
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
