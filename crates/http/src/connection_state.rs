//! Connection state: what is to be done with the byte stream below (RFC 9112 section 9).

/// What is to be done with the byte stream below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Keep it: feed input, take output.
    Open,
    /// All output is taken: end the sending side. Go on feeding input, which is dropped, until the state is
    /// `Closed`; closing with unread input would reset the connection and lose the response (RFC 9112 section 9.6).
    EndOutput,
    /// Close it once what was taken is sent.
    Closed,
    /// Reset it: the peer must not take what it got for complete.
    Abort,
    /// The protocol changed. Input that was not consumed belongs to the new one.
    Upgraded,
}
