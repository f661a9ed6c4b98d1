//! Keep-alive: whether a peer that says nothing is still there.
//!
//! A host whose device has died tells its guest nothing (vhost-user: QEMU keeps the rings as they are), and a connection on
//! which both sides have nothing to say would stay for ever. The protocol has a question that every peer's transport
//! answers at once, whatever its application does: CREDIT_REQUEST (virtio 1.3 section 5.10.6.3).

use crate::network::Limits;
use core::time::Duration;

/// When a peer was heard last, and whether it is asked.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// How long it may say nothing before it is asked, and how long it has for its answer.
    idle: Duration,
    answer: Duration,
    heard_at: Duration,
    question: Question,
}

/// Whether it is asked, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    None,
    ToBeSent(Duration),
    Asked(Duration),
}

impl KeepAlive {
    pub(crate) fn new(limits: &Limits, now: Duration) -> Self {
        let Limits { keep_alive: idle, close_timeout: answer, .. } = *limits;
        Self { idle, answer, heard_at: now, question: Question::None }
    }

    /// The peer said something.
    pub(crate) fn heard(&mut self, now: Duration) {
        (self.heard_at, self.question) = (now, Question::None);
    }

    /// When [`is_over`](Self::is_over) is to be asked.
    pub(crate) fn deadline(&self) -> Duration {
        match self.question {
            Question::None => self.heard_at + self.idle,
            // It has its time from when it is asked: the machine may have been stopped meanwhile.
            Question::ToBeSent(since) | Question::Asked(since) => since + self.answer,
        }
    }

    /// Whether the peer had its time to answer. If it was not asked, and has been silent for long, it is to be.
    pub(crate) fn is_over(&mut self, now: Duration) -> bool {
        if now < self.deadline() {
            return false;
        }
        let was_asked = self.question != Question::None;
        if !was_asked {
            self.question = Question::ToBeSent(now);
        }
        was_asked
    }

    pub(crate) fn has_question(&self) -> bool {
        matches!(self.question, Question::ToBeSent(_))
    }

    /// Whether the question is to be sent, which it is only once.
    pub(crate) fn take_question(&mut self) -> bool {
        let Question::ToBeSent(since) = self.question else { return false };
        self.question = Question::Asked(since);
        true
    }
}
