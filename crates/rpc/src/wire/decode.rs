//! Decoder: a frame's root to a [`Message`]. Everything that can be wrong with a pointer is found
//! here or when the contents are read; both fail, neither panics.

use super::{CallHeader, Descriptor, Message, Outcome, Path, Refused, ReturnHeader, Target};
use crate::exception::{Exception, Kind};
use crate::limits::Limits;
use crate::rpc_capnp::{
    bootstrap, call, cap_descriptor, disembargo, exception, message, message_target, payload,
    promised_answer, resolve, return_,
};
use crate::sturdy::SERVICE_BYTES_MAX;
use alloc::string::String;
use alloc::vec::Vec;

/// Why a message is refused: what the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) &'static str);

type Decoded<T> = Result<T, Refusal>;

impl From<capnp::Error> for Refusal {
    fn from(error: capnp::Error) -> Self {
        Self(match error.kind {
            capnp::ErrorKind::NestingLimitExceeded
            | capnp::ErrorKind::MessageIsTooDeeplyNestedOrContainsCycles => "nesting_max exceeded",
            capnp::ErrorKind::ReadLimitExceeded => "traversal_words_max exceeded",
            _ => "a malformed message",
        })
    }
}

impl From<capnp::NotInSchema> for Refusal {
    fn from(_: capnp::NotInSchema) -> Self {
        Self("a malformed message")
    }
}

/// What `root` says.
pub(crate) fn message(root: message::Reader<'_>, limits: &Limits) -> Decoded<Message> {
    let Ok(which) = root.which() else {
        return Ok(Message::Unknown);
    };
    Ok(match which {
        message::Bootstrap(bootstrap) => bootstrap_message(bootstrap?)?,
        message::Call(call) => return call_message(call?, limits),
        message::Return(return_) => Message::Return(return_header(return_?, limits)?),
        message::Finish(finish) => {
            let finish = finish?;
            Message::Finish {
                question: finish.get_question_id(),
                release_results: finish.get_release_result_caps(),
                deliver_first: finish.get_require_early_cancellation_workaround(),
            }
        }
        message::Resolve(resolve) => resolve_message(resolve?, limits)?,
        message::Release(release) => {
            let release = release?;
            Message::Release { export: release.get_id(), count: release.get_reference_count() }
        }
        message::Disembargo(disembargo) => disembargo_message(disembargo?, limits)?,
        message::Abort(reason) => Message::Abort(exception(reason?, limits)?),
        message::Unimplemented(ours) => Message::Unimplemented(refused(ours?, limits)?),
        _ => Message::Unknown,
    })
}

fn bootstrap_message(bootstrap: bootstrap::Reader<'_>) -> Decoded<Message> {
    let question = bootstrap.get_question_id();
    if !bootstrap.has_deprecated_object_id() {
        return Ok(Message::Bootstrap { question, service: Vec::new() });
    }
    let service: capnp::data::Reader<'_> = bootstrap.get_deprecated_object_id().get_as()?;
    let service = service.strip_suffix(&[0]).unwrap_or(service);
    if service.len() > SERVICE_BYTES_MAX {
        return Err(Refusal("SERVICE_BYTES_MAX exceeded"));
    }
    Ok(Message::Bootstrap { question, service: service.to_vec() })
}

fn call_message(call: call::Reader<'_>, limits: &Limits) -> Decoded<Message> {
    let Ok(results_to) = call.get_send_results_to().which() else {
        return Ok(Message::Unknown);
    };
    let keep_results = match results_to {
        call::send_results_to::Caller(()) => false,
        call::send_results_to::Yourself(()) => true,
        // Level 3, which two parties do not need.
        call::send_results_to::ThirdParty(_) => return Ok(Message::Unknown),
    };
    let Some(target) = target(call.get_target()?, limits)? else {
        return Ok(Message::Unknown);
    };
    Ok(Message::Call(CallHeader {
        question: call.get_question_id(),
        target,
        interface: call.get_interface_id(),
        method: call.get_method_id(),
        keep_results,
        caps: cap_table(call.get_params()?, limits)?,
    }))
}

fn return_header(return_: return_::Reader<'_>, limits: &Limits) -> Decoded<ReturnHeader> {
    let outcome = match return_.which()? {
        return_::Results(results) => Outcome::Results(cap_table(results?, limits)?),
        return_::Exception(reason) => Outcome::Exception(exception(reason?, limits)?),
        return_::Canceled(()) => Outcome::Canceled,
        return_::ResultsSentElsewhere(()) => Outcome::SentElsewhere,
        return_::TakeFromOtherQuestion(question) => Outcome::TakeFrom(question),
        return_::AcceptFromThirdParty(_) => {
            Outcome::Exception(Exception::unimplemented("results from a third party"))
        }
    };
    Ok(ReturnHeader {
        answer: return_.get_answer_id(),
        release_params: return_.get_release_param_caps(),
        no_finish_needed: return_.get_no_finish_needed(),
        outcome,
    })
}

fn resolve_message(resolve: resolve::Reader<'_>, limits: &Limits) -> Decoded<Message> {
    let Ok(which) = resolve.which() else {
        return Ok(Message::Unknown);
    };
    let to = match which {
        resolve::Cap(cap) => Ok(descriptor(cap?, limits)?),
        resolve::Exception(reason) => Err(exception(reason?, limits)?),
    };
    Ok(Message::Resolve { promise: resolve.get_promise_id(), to })
}

fn disembargo_message(disembargo: disembargo::Reader<'_>, limits: &Limits) -> Decoded<Message> {
    let Ok(context) = disembargo.get_context().which() else {
        return Ok(Message::Unknown);
    };
    match context {
        disembargo::context::SenderLoopback(embargo) => {
            Ok(target(disembargo.get_target()?, limits)?
                .map_or(Message::Unknown, |target| Message::DisembargoRequest { target, embargo }))
        }
        disembargo::context::ReceiverLoopback(embargo) => Ok(Message::DisembargoReply { embargo }),
        _ => Ok(Message::Unknown),
    }
}

/// Looks one level into a message of ours that came back; never deeper, whatever is nested in it.
fn refused(ours: message::Reader<'_>, limits: &Limits) -> Decoded<Refused> {
    Ok(match ours.which() {
        Ok(message::Call(call)) => Refused::Question(call?.get_question_id()),
        Ok(message::Bootstrap(bootstrap)) => Refused::Question(bootstrap?.get_question_id()),
        Ok(message::Resolve(resolve)) => match resolve?.which() {
            Ok(resolve::Cap(cap)) => Refused::Resolve(descriptor(cap?, limits)?),
            _ => Refused::Other,
        },
        _ => Refused::Other,
    })
}

fn target(target: message_target::Reader<'_>, limits: &Limits) -> Decoded<Option<Target>> {
    Ok(match target.which() {
        Ok(message_target::ImportedCap(id)) => Some(Target::Import(id)),
        Ok(message_target::PromisedAnswer(answer)) => Some(
            promised(answer?, limits)?
                .map_or(Target::TooLong, |(question, path)| Target::Answer(question, path)),
        ),
        Err(_) => None,
    })
}

/// The question and the path; none for a path that is too long.
fn promised(answer: promised_answer::Reader<'_>, limits: &Limits) -> Decoded<Option<(u32, Path)>> {
    let transform = answer.get_transform()?;
    if transform.len() > limits.path_fields_max {
        return Ok(None);
    }
    let mut path = Path::with_capacity(transform.len() as usize);
    for op in transform {
        match op.which()? {
            promised_answer::op::Noop(()) => {}
            promised_answer::op::GetPointerField(field) => path.push(field),
        }
    }
    Ok(Some((answer.get_question_id(), path)))
}

fn cap_table(payload: payload::Reader<'_>, limits: &Limits) -> Decoded<Vec<Descriptor>> {
    if !payload.has_cap_table() {
        return Ok(Vec::new());
    }
    let table = payload.get_cap_table()?;
    if table.len() > limits.message_caps_max {
        return Err(Refusal("message_caps_max exceeded"));
    }
    table.iter().map(|cap| descriptor(cap, limits)).collect()
}

fn descriptor(cap: cap_descriptor::Reader<'_>, limits: &Limits) -> Decoded<Descriptor> {
    let Ok(which) = cap.which() else {
        return Ok(Descriptor::Unknown);
    };
    Ok(match which {
        cap_descriptor::None(()) => Descriptor::None,
        cap_descriptor::SenderHosted(id) => Descriptor::SenderHosted(id),
        cap_descriptor::SenderPromise(id) => Descriptor::SenderPromise(id),
        cap_descriptor::ReceiverHosted(id) => Descriptor::ReceiverHosted(id),
        cap_descriptor::ReceiverAnswer(answer) => promised(answer?, limits)?
            .map_or(Descriptor::TooLong, |(question, path)| {
                Descriptor::ReceiverAnswer(question, path)
            }),
        // We cannot be introduced to the third party, so the vine stands for it (rpc.capnp,
        // `ThirdPartyCapDescriptor.vineId`).
        cap_descriptor::ThirdPartyHosted(third) => Descriptor::SenderHosted(third?.get_vine_id()),
    })
}

fn exception(reason: exception::Reader<'_>, limits: &Limits) -> Decoded<Exception> {
    let kind = match reason.get_type() {
        Ok(exception::Type::Overloaded) => Kind::Overloaded,
        Ok(exception::Type::Disconnected) => Kind::Disconnected,
        Ok(exception::Type::Unimplemented) => Kind::Unimplemented,
        // rpc.capnp, `Exception.Type`: an unknown type counts as failed.
        Ok(exception::Type::Failed) | Err(_) => Kind::Failed,
    };
    let text = reason.get_reason()?;
    let text = text.as_bytes();
    let kept = &text[..text.len().min(limits.reason_bytes_max)];
    Ok(Exception::new(kind, String::from_utf8_lossy(kept).into_owned()))
}
