//! Scale: weighs a request while it is read.

use ::pipe::Piece;
use alloc::rc::Rc;
use core::cell::RefCell;
use flow::ledger::{Holder, ServiceLedger, Weight};

/// Bytes of memory that a byte of an object's encoding may become: a small number is one in CBOR and
/// eight as itself.
const OBJECT_FACTOR: usize = 8;

/// Weighs the request that is being read, on its caller's account: the message, what it is decompressed
/// to, and what the object of that may take. Objects cannot be weighed themselves.
pub(super) struct Scale {
    /// Most that one request weighs: with that its caller is read no further until it is answered, and is
    /// not ended for what is an estimate.
    bytes_max: usize,
    weighing: RefCell<Weighing>,
}

/// What lies on it.
#[derive(Default)]
struct Weighing {
    holder: Option<Holder>,
    message_bytes: usize,
    plain_bytes: usize,
    weight: Option<Weight>,
}

impl Scale {
    pub(super) fn new(ledger: Option<&ServiceLedger>) -> Rc<Self> {
        let bytes_max = ledger.map_or(usize::MAX, |ledger| ledger.message_bytes_max() / 3 * 4);
        Rc::new(Self { bytes_max, weighing: RefCell::default() })
    }

    /// Weighs what `read` reads of a message of so many bytes, if there is a holder; gives the weight,
    /// which stays as long as it is kept.
    pub(super) fn weigh<R>(
        &self,
        holder: Option<Holder>,
        message_bytes: usize,
        read: impl FnOnce() -> R,
    ) -> (R, Option<Weight>) {
        // However reading ends, nothing stays on the scale.
        let _cleared = Cleared(self);
        self.weighing.replace(Weighing { holder, message_bytes, ..Weighing::default() });
        let outcome = read();
        (outcome, self.weighing.borrow_mut().weight.take())
    }

    /// A piece of a request, decompressed, on its way to the decoder.
    pub(super) fn add(&self, piece: Piece) -> Piece {
        let mut weighing = self.weighing.borrow_mut();
        let weighing = &mut *weighing;
        if let Some(holder) = &weighing.holder {
            weighing.plain_bytes += piece.bytes.len();
            let object_bytes = weighing.plain_bytes.saturating_mul(1 + OBJECT_FACTOR);
            let bytes = object_bytes.saturating_add(weighing.message_bytes).min(self.bytes_max);
            // Not both at a time.
            weighing.weight = None;
            weighing.weight = Some(holder.take(bytes));
        }
        piece
    }
}

/// Clears the scale when it is dropped.
struct Cleared<'a>(&'a Scale);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.weighing.take();
    }
}
