//! Wire messages: those of rpc.capnp as plain values, without their contents.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod envelope;
pub(crate) mod plain;

use crate::exception::Exception;
use alloc::vec::Vec;

/// Which pointer fields to follow, from the root of a result, to find a capability in it.
pub(crate) type Path = Vec<u16>;

/// What a call or disembargo is addressed to: an export of the receiver, or a capability in the
/// result of a call that the receiver was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Import(u32),
    Answer(u32, Path),
    /// A path that is longer than is taken.
    TooLong,
}

/// How a message names a capability (rpc.capnp, `CapDescriptor`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    None,
    SenderHosted(u32),
    SenderPromise(u32),
    ReceiverHosted(u32),
    ReceiverAnswer(u32, Path),
    /// A path that is longer than is taken.
    TooLong,
    /// What the schema does not have.
    Unknown,
}

/// How a call ended (rpc.capnp, `Return`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Results(Vec<Descriptor>),
    Exception(Exception),
    Canceled,
    SentElsewhere,
    TakeFrom(u32),
}

/// A message from the peer. Contents of calls and results stay in the frame it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// `service` is `deprecatedObjectId`, where mirage/capnp-rpc puts the name too.
    Bootstrap {
        question: u32,
        service: Vec<u8>,
    },
    Call(CallHeader),
    Return(ReturnHeader),
    Finish {
        question: u32,
        release_results: bool,
        /// A call that was not delivered yet is, before it is cancelled.
        deliver_first: bool,
    },
    Resolve {
        promise: u32,
        to: Result<Descriptor, Exception>,
    },
    Release {
        export: u32,
        count: u32,
    },
    DisembargoRequest {
        target: Target,
        embargo: u32,
    },
    DisembargoReply {
        embargo: u32,
    },
    Abort(Exception),
    /// The peer does not know a message of ours.
    Unimplemented(Refused),
    /// A message that we do not know.
    Unknown,
}

/// The message of ours that the peer does not know, as far as something must be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Question(u32),
    Resolve(Descriptor),
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallHeader {
    pub(crate) question: u32,
    pub(crate) target: Target,
    pub(crate) interface: u64,
    pub(crate) method: u16,
    /// `sendResultsTo.yourself`: the results stay with the receiver.
    pub(crate) keep_results: bool,
    pub(crate) caps: Vec<Descriptor>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReturnHeader {
    pub(crate) answer: u32,
    pub(crate) release_params: bool,
    pub(crate) no_finish_needed: bool,
    pub(crate) outcome: Outcome,
}
