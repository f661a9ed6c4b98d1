//! What every reference must stand for, known from outside all vats.

use std::collections::HashMap;

/// What a reference stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shadow {
    Object(u64),
    Promise(usize),
    /// A field of the result of a call.
    Field(u64, u16),
    Broken,
}

#[derive(Clone, Debug)]
enum Outcome {
    Open,
    /// The result is that of another call.
    Same(u64),
    Fields(Vec<Option<Shadow>>),
    Failed,
}

struct CallShadow {
    target: Shadow,
    args: Vec<Option<Shadow>>,
    outcome: Outcome,
    stream: u64,
    number: u64,
}

/// What a promise must not come to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    Promise(usize),
    Call(u64),
}

#[derive(Default)]
pub(crate) struct Shadows {
    promises: Vec<Option<Shadow>>,
    calls: HashMap<u64, CallShadow>,
    next_call: u64,
    next_stream: u64,
    /// Numbers of calls that may be missing, by stream.
    missing: HashMap<u64, Vec<u64>>,
    last: HashMap<u64, u64>,
    /// Set once a link was cut: then calls may be lost.
    pub(crate) lossy: bool,
}

impl Shadows {
    pub(crate) fn promise(&mut self) -> usize {
        self.promises.push(None);
        self.promises.len() - 1
    }

    pub(crate) fn resolve(&mut self, promise: usize, to: Shadow) {
        self.promises[promise].get_or_insert(to);
    }

    pub(crate) fn stream(&mut self) -> u64 {
        self.next_stream += 1;
        self.next_stream
    }

    pub(crate) fn call(
        &mut self,
        target: Shadow,
        args: Vec<Option<Shadow>>,
        stream: u64,
        number: u64,
    ) -> u64 {
        self.next_call += 1;
        let outcome = Outcome::Open;
        let call = CallShadow { target, args, outcome, stream, number };
        self.calls.insert(self.next_call, call);
        self.next_call
    }

    pub(crate) fn answer(&mut self, call: u64, fields: Vec<Option<Shadow>>) {
        self.set_outcome(call, Outcome::Fields(fields));
    }

    pub(crate) fn fail(&mut self, call: u64) {
        self.set_outcome(call, Outcome::Failed);
    }

    pub(crate) fn same(&mut self, call: u64, other: u64) {
        self.set_outcome(call, Outcome::Same(other));
    }

    fn set_outcome(&mut self, call: u64, outcome: Outcome) {
        if let Some(call) = self.calls.get_mut(&call)
            && matches!(call.outcome, Outcome::Open)
        {
            call.outcome = outcome;
        }
    }

    /// The call may never arrive.
    pub(crate) fn may_miss(&mut self, call: u64) {
        if let Some(call) = self.calls.get(&call) {
            self.missing.entry(call.stream).or_default().push(call.number);
        }
    }

    pub(crate) fn argument(&self, call: u64, index: usize) -> Option<Shadow> {
        *self.calls[&call].args.get(index)?
    }

    pub(crate) fn field(&self, call: u64, field: u16) -> Option<Shadow> {
        match &self.calls[&self.root(call)].outcome {
            Outcome::Fields(fields) => *fields.get(field as usize)?,
            _ => None,
        }
    }

    fn root(&self, mut call: u64) -> u64 {
        while let Outcome::Same(other) = self.calls[&call].outcome {
            call = other;
        }
        call
    }

    /// What is known so far.
    pub(crate) fn end(&self, mut shadow: Shadow) -> Shadow {
        loop {
            shadow = match shadow {
                Shadow::Promise(promise) => match self.promises[promise] {
                    Some(to) => to,
                    None => return shadow,
                },
                Shadow::Field(call, field) => match &self.calls[&self.root(call)].outcome {
                    Outcome::Fields(fields) => match fields.get(field as usize) {
                        Some(Some(to)) => *to,
                        _ => Shadow::Broken,
                    },
                    Outcome::Failed => Shadow::Broken,
                    _ => return shadow,
                },
                Shadow::Object(_) | Shadow::Broken => return shadow,
            };
        }
    }

    /// Whether it cannot be known what `shadow` stands for before `waiter` is.
    pub(crate) fn waits_for(&self, mut shadow: Shadow, waiter: Waiter) -> bool {
        if self.lossy {
            // What one vat knows of a result may be lost to another, so only objects are safe.
            return !matches!(shadow, Shadow::Object(_));
        }
        loop {
            match self.end(shadow) {
                Shadow::Promise(promise) => return waiter == Waiter::Promise(promise),
                Shadow::Field(call, _) => {
                    let root = self.root(call);
                    if waiter == Waiter::Call(root) {
                        return true;
                    }
                    shadow = self.calls[&root].target;
                }
                Shadow::Object(_) | Shadow::Broken => return false,
            }
        }
    }

    /// A call arrived at an object: is it the right one, and in order?
    pub(crate) fn arrived(
        &mut self,
        call: u64,
        stream: u64,
        number: u64,
        object: u64,
    ) -> Result<(), String> {
        let target = self.end(self.calls[&call].target);
        // Where a link was cut, one vat may see broken what another sees whole.
        let excused = self.lossy && !matches!(target, Shadow::Object(_));
        if target != Shadow::Object(object) && !excused {
            return Err(format!("call {call} for {target:?} arrived at object {object}"));
        }
        let last = self.last.insert(stream, number).unwrap_or(0);
        if number <= last {
            return Err(format!("stream {stream}: call number {number} after {last}"));
        }
        let missing = self.missing.get(&stream);
        let excused = |number: &u64| missing.is_some_and(|missing| missing.contains(number));
        match (last + 1..number).find(|number| !excused(number)) {
            Some(lost) if !self.lossy => {
                Err(format!("stream {stream}: call number {number} before {lost}"))
            }
            _ => Ok(()),
        }
    }
}
