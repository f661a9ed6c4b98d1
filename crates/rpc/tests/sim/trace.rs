//! With `SIM_TRACE` set, a replayed run says what happens: steps, calls, messages, arrivals.

use rpc::rpc_capnp::{cap_descriptor, message, payload, return_};

pub(crate) fn is_on() -> bool {
    std::env::var_os("SIM_TRACE").is_some()
}

/// A message in one line.
pub(crate) fn message(bytes: &[u8]) -> String {
    let read = capnp::serialize::read_message_from_flat_slice(&mut &bytes[..], Default::default());
    let Ok(read) = read else { return "unreadable".into() };
    read.get_root().and_then(describe).unwrap_or_else(|error| format!("{error:?}"))
}

fn describe(message: message::Reader<'_>) -> capnp::Result<String> {
    Ok(match message.which()? {
        message::Bootstrap(bootstrap) => format!("Bootstrap q{}", bootstrap?.get_question_id()),
        message::Call(call) => {
            let call = call?;
            let params = call.get_params()?;
            let probe: crate::sim_capnp::probe::Reader<'_> = params.get_content().get_as()?;
            format!(
                "Call q{} to {:?}: call {} with {}",
                call.get_question_id(),
                call.get_target()?,
                probe.get_call(),
                caps(params)?
            )
        }
        message::Return(return_) => {
            let return_ = return_?;
            let how = match return_.which()? {
                return_::Results(results) => caps(results?)?,
                return_::TakeFromOtherQuestion(question) => format!("take from q{question}"),
                return_::ResultsSentElsewhere(()) => "sent elsewhere".into(),
                return_::Canceled(()) => "cancelled".into(),
                _ => "exception".into(),
            };
            format!("Return q{}: {how}", return_.get_answer_id())
        }
        message::Finish(finish) => format!("Finish q{}", finish?.get_question_id()),
        message::Resolve(resolve) => format!("Resolve {:?}", resolve?),
        message::Release(release) => format!("Release {:?}", release?),
        message::Disembargo(disembargo) => format!("Disembargo {:?}", disembargo?),
        _ => "another".into(),
    })
}

fn caps(payload: payload::Reader<'_>) -> capnp::Result<String> {
    let mut line = String::from("[");
    for cap in payload.get_cap_table()? {
        line += &match cap.which()? {
            cap_descriptor::SenderHosted(id) => format!(" theirs {id}"),
            cap_descriptor::SenderPromise(id) => format!(" promise {id}"),
            cap_descriptor::ReceiverHosted(id) => format!(" yours {id}"),
            cap_descriptor::ReceiverAnswer(answer) => format!(" of your answer {:?}", answer?),
            _ => " none".into(),
        };
    }
    Ok(line + " ]")
}
