//! What a vat says, as texts; and what a peer says of capabilities.

use crate::peer::build;
use crate::sim_capnp::probe;
use capnp::private::layout::CapTable;
use capnp::traits::ImbueMut;
use rpc::rpc_capnp::{
    call, cap_descriptor, disembargo, exception, message, message_target, payload, promised_answer,
    resolve, return_,
};
use rpc::slot::Slot;

/// A capability as the peer names it.
#[derive(Clone, Copy)]
pub(crate) enum Theirs {
    Hosted(u32),
    Promise(u32),
    /// An export of the vat's.
    Yours(u32),
}

fn describe(mut table: capnp::struct_list::Builder<'_, cap_descriptor::Owned>, caps: &[Theirs]) {
    for (index, cap) in (0..).zip(caps) {
        let mut entry = table.reborrow().get(index);
        match cap {
            Theirs::Hosted(id) => entry.set_sender_hosted(*id),
            Theirs::Promise(id) => entry.set_sender_promise(*id),
            Theirs::Yours(id) => entry.set_receiver_hosted(*id),
        }
    }
}

/// A call on the answer 0, whose results the peer wants to keep there or not.
pub(crate) fn call_with(question: u32, caps: &[Theirs], keep_results: bool) -> Vec<u8> {
    build(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        call.reborrow().init_target().init_promised_answer();
        if keep_results {
            call.reborrow().get_send_results_to().set_yourself(());
        }
        describe(call.init_params().init_cap_table(caps.len() as u32), caps);
    })
}

/// Results whose fields 0 and 1 are the first of `caps`, and field 2 is the second.
pub(crate) fn results(question: u32, caps: &[Theirs]) -> Vec<u8> {
    // Capabilities get their numbers by the table, one after the other.
    let (mut table, mut again) = (CapTable::new(), CapTable::new());
    let mut draft = capnp::message::Builder::new_default();
    let mut return_ = draft.init_root::<message::Builder<'_>>().init_return();
    return_.set_answer_id(question);
    let mut payload = return_.init_results();
    describe(payload.reborrow().init_cap_table(caps.len() as u32), caps);
    let mut content = payload.init_content();
    content.imbue_mut(&mut table);
    let mut probe: probe::Builder<'_> = content.init_as();
    probe.reborrow().init_a().set_as_capability(Slot(0).hook());
    probe.reborrow().init_c().set_as_capability(Slot(1).hook());
    let mut first_again = probe.init_b();
    first_again.imbue_mut(&mut again);
    first_again.set_as_capability(Slot(0).hook());
    capnp::serialize::write_message_to_words(&draft)
}

/// A promise of the peer's turns out to be an export of the vat's.
pub(crate) fn resolve(promise: u32, export: u32) -> Vec<u8> {
    build(|message| {
        let mut resolve = message.init_resolve();
        resolve.set_promise_id(promise);
        resolve.init_cap().set_receiver_hosted(export);
    })
}

pub(crate) fn disembargo(write: impl FnOnce(disembargo::Builder<'_>)) -> Vec<u8> {
    build(|message| write(message.init_disembargo()))
}

/// What messages say, each in a few words.
pub(crate) fn spoken(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    let options = capnp::message::ReaderOptions::new();
    while let Ok(read) = capnp::serialize::read_message_from_flat_slice(&mut bytes, options) {
        all.push(message(read.get_root().unwrap()).unwrap());
    }
    all
}

fn message(message: message::Reader<'_>) -> capnp::Result<String> {
    Ok(match message.which()? {
        message::Bootstrap(bootstrap) => format!("bootstrap {}", bootstrap?.get_question_id()),
        message::Call(call) => {
            let call = call?;
            let on = target(call.get_target()?)?;
            let kept = match call.get_send_results_to().which()? {
                call::send_results_to::Yourself(()) => ", to yourself",
                _ => "",
            };
            let question = call.get_question_id();
            format!("call {question} on {on}: {}{kept}", table(call.get_params()?)?)
        }
        message::Return(return_) => returned(return_?)?,
        message::Finish(finish) => {
            let finish = finish?;
            let releasing = if finish.get_release_result_caps() { ", releasing" } else { "" };
            format!("finish {}{releasing}", finish.get_question_id())
        }
        message::Resolve(resolve) => {
            let resolve = resolve?;
            let to = match resolve.which()? {
                resolve::Cap(cap) => named(cap?)?,
                resolve::Exception(reason) => text(reason?)?,
            };
            format!("resolve {}: {to}", resolve.get_promise_id())
        }
        message::Release(release) => {
            let release = release?;
            format!("release {} x{}", release.get_id(), release.get_reference_count())
        }
        message::Disembargo(disembargo) => {
            let disembargo = disembargo?;
            let on = target(disembargo.get_target()?)?;
            match disembargo.get_context().which()? {
                disembargo::context::SenderLoopback(id) => {
                    format!("disembargo request {id} on {on}")
                }
                disembargo::context::ReceiverLoopback(id) => {
                    format!("disembargo reply {id} on {on}")
                }
                _ => "a disembargo".to_owned(),
            }
        }
        message::Abort(reason) => format!("abort: {}", text(reason?)?),
        _ => "something else".to_owned(),
    })
}

fn returned(return_: return_::Reader<'_>) -> capnp::Result<String> {
    let outcome = match return_.which()? {
        return_::Results(results) => format!("results {}", table(results?)?),
        return_::Exception(reason) => text(reason?)?,
        return_::Canceled(()) => "canceled".to_owned(),
        return_::ResultsSentElsewhere(()) => "elsewhere".to_owned(),
        return_::TakeFromOtherQuestion(question) => format!("take {question}"),
        return_::AcceptFromThirdParty(_) => "from a third party".to_owned(),
    };
    Ok(format!("return {}: {outcome}", return_.get_answer_id()))
}

fn text(reason: exception::Reader<'_>) -> capnp::Result<String> {
    Ok(reason.get_reason()?.to_string()?)
}

fn table(payload: payload::Reader<'_>) -> capnp::Result<String> {
    let named: capnp::Result<Vec<_>> = payload.get_cap_table()?.iter().map(named).collect();
    Ok(format!("[{}]", named?.join(", ")))
}

fn named(cap: cap_descriptor::Reader<'_>) -> capnp::Result<String> {
    Ok(match cap.which()? {
        cap_descriptor::None(()) => "none".to_owned(),
        cap_descriptor::SenderHosted(id) => format!("hosted {id}"),
        cap_descriptor::SenderPromise(id) => format!("promise {id}"),
        cap_descriptor::ReceiverHosted(id) => format!("yours {id}"),
        cap_descriptor::ReceiverAnswer(of) => answer(of?)?,
        cap_descriptor::ThirdPartyHosted(_) => "a third party's".to_owned(),
    })
}

fn target(target: message_target::Reader<'_>) -> capnp::Result<String> {
    match target.which()? {
        message_target::ImportedCap(id) => Ok(format!("import {id}")),
        message_target::PromisedAnswer(of) => answer(of?),
    }
}

fn answer(of: promised_answer::Reader<'_>) -> capnp::Result<String> {
    let mut path = Vec::new();
    for op in of.get_transform()? {
        if let promised_answer::op::GetPointerField(field) = op.which()? {
            path.push(field);
        }
    }
    Ok(format!("answer {} {path:?}", of.get_question_id()))
}
