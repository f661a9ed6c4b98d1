//! Connection states (RFC 9293 section 3.3.2) and the steps between them.

use core::fmt;

/// The state of a connection. LISTEN is a listener's, not a connection's: see [`listen`](crate::listen).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No connection: it ended.
    Closed,
    /// Our SYN asks for a connection.
    SynSent,
    /// Both have sent a SYN; ours is not acknowledged.
    SynReceived,
    /// Data flows in both directions.
    Established,
    /// We finish; our FIN is not acknowledged.
    FinWait1,
    /// We have finished; the peer may go on sending.
    FinWait2,
    /// The peer has finished; we may go on sending.
    CloseWait,
    /// Both finish, at the same time; our FIN is not acknowledged.
    Closing,
    /// Both finish, the peer first; our FIN is not acknowledged.
    LastAck,
    /// Both have finished; old segments die out.
    TimeWait,
}

impl State {
    /// After the user's CLOSE (RFC 9293 section 3.10.4). In SYN-RECEIVED it waits for ESTABLISHED.
    #[must_use]
    pub const fn after_close(self) -> Self {
        match self {
            Self::SynSent => Self::Closed,
            Self::Established => Self::FinWait1,
            Self::CloseWait => Self::LastAck,
            other => other,
        }
    }

    /// After a FIN was received in order (RFC 9293 section 3.10.7.4, eighth).
    #[must_use]
    pub const fn after_peer_fin(self) -> Self {
        match self {
            Self::SynReceived | Self::Established => Self::CloseWait,
            Self::FinWait1 => Self::Closing,
            Self::FinWait2 => Self::TimeWait,
            other => other,
        }
    }

    /// After our FIN was acknowledged (RFC 9293 section 3.10.7.4, fifth).
    #[must_use]
    pub const fn after_fin_acknowledged(self) -> Self {
        match self {
            Self::FinWait1 => Self::FinWait2,
            Self::Closing => Self::TimeWait,
            Self::LastAck => Self::Closed,
            other => other,
        }
    }

    /// Both ends know of the connection (RFC 9293 section 3.5.1).
    #[inline]
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::Closed | Self::SynSent | Self::SynReceived)
    }

    /// The peer may send data.
    #[inline]
    pub const fn may_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// The user may queue data: nothing ended this direction yet.
    #[inline]
    pub const fn may_queue(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived | Self::Established | Self::CloseWait)
    }

    /// Queued data, and the FIN behind it, may be sent or sent again.
    #[inline]
    pub const fn may_send(self) -> bool {
        matches!(
            self,
            Self::Established | Self::CloseWait | Self::FinWait1 | Self::Closing | Self::LastAck
        )
    }

    /// A FIN of ours follows what is queued.
    #[inline]
    pub const fn is_finishing(self) -> bool {
        matches!(self, Self::FinWait1 | Self::Closing | Self::LastAck)
    }
}

impl fmt::Display for State {
    /// As RFC 9293 writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "CLOSED",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::State::*;
    use super::*;

    const ALL: [State; 10] = [
        Closed,
        SynSent,
        SynReceived,
        Established,
        FinWait1,
        FinWait2,
        CloseWait,
        Closing,
        LastAck,
        TimeWait,
    ];

    #[test]
    fn rfc_9293_figure_5_each_way_down_ends() {
        for state in ALL {
            let ended = state.after_close().after_fin_acknowledged().after_peer_fin();
            let ends = matches!(ended, Closed | TimeWait);
            assert!(ends || state == SynReceived, "{state:?} comes to {ended:?}");
        }
    }

    #[test]
    fn rfc_9293_3_6_simultaneous_close_goes_by_way_of_closing() {
        let state = Established.after_close().after_peer_fin();
        assert_eq!((state, state.after_fin_acknowledged()), (Closing, TimeWait));
    }

    #[test]
    fn what_only_one_side_finished_stays_open_for_the_other() {
        assert!(Established.after_peer_fin().may_queue());
        assert!(Established.after_close().after_fin_acknowledged().may_receive());
        for state in ALL {
            assert!(!state.is_finishing() || state.may_send());
            assert!(!state.after_peer_fin().may_receive());
        }
    }

    /// RFC 9293 figure 5 and section 3.10, row by row.
    #[test]
    fn rfc_9293_3_3_2_what_each_state_allows_and_leads_to() {
        // After CLOSE, after the peer's FIN, after the acknowledgement of ours; synchronized, may receive, may queue,
        // may send, is finishing.
        let (y, n) = (true, false);
        let rows = [
            (Closed, Closed, Closed, Closed, [n, n, n, n, n], "CLOSED"),
            (SynSent, Closed, SynSent, SynSent, [n, n, y, n, n], "SYN-SENT"),
            (SynReceived, SynReceived, CloseWait, SynReceived, [n, n, y, n, n], "SYN-RECEIVED"),
            (Established, FinWait1, CloseWait, Established, [y, y, y, y, n], "ESTABLISHED"),
            (FinWait1, FinWait1, Closing, FinWait2, [y, y, n, y, y], "FIN-WAIT-1"),
            (FinWait2, FinWait2, TimeWait, FinWait2, [y, y, n, n, n], "FIN-WAIT-2"),
            (CloseWait, LastAck, CloseWait, CloseWait, [y, n, y, y, n], "CLOSE-WAIT"),
            (Closing, Closing, Closing, TimeWait, [y, n, n, y, y], "CLOSING"),
            (LastAck, LastAck, LastAck, Closed, [y, n, n, y, y], "LAST-ACK"),
            (TimeWait, TimeWait, TimeWait, TimeWait, [y, n, n, n, n], "TIME-WAIT"),
        ];
        assert_eq!(rows.map(|row| row.0), ALL);
        for (state, closed, peer_finished, acknowledged, allows, name) in rows {
            let next =
                (state.after_close(), state.after_peer_fin(), state.after_fin_acknowledged());
            assert_eq!(next, (closed, peer_finished, acknowledged), "{state}");
            let found = [
                state.is_synchronized(),
                state.may_receive(),
                state.may_queue(),
                state.may_send(),
                state.is_finishing(),
            ];
            assert_eq!(found, allows, "{state}");
            assert_eq!(std::format!("{state}"), name);
        }
    }
}
