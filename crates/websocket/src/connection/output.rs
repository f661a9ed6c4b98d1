//! Output: messages in frames, control frames between them.

use super::{Connection, Role};
use crate::frame::{HEAD_BYTES_MAX, Head, Opcode, put_control};
use crate::{Closure, Message, mask};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Longest frame of a message that we send: others are cut, so that a pong need not wait for a megabyte to pass
/// (section 5.4).
const FRAME_BYTES_MAX: usize = 64 << 10;
/// From how many bytes on a payload is worth handing out as it lies, without a copy in between.
const LONG_BYTES_MIN: usize = 16 << 10;

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Output {
    /// Control frames, whole, and how much of them is sent.
    control: Vec<u8>,
    control_sent: usize,
    /// The frame under way.
    frame: Option<Frame>,
    queue: VecDeque<Queued>,
    /// Of the queue and the frame.
    queued_bytes: usize,
    masks: Masks,
    end: End,
}

/// How far our closing has come.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    /// A close frame follows the queue.
    AfterQueue(Closure),
    /// It is the last of the control frames.
    Queued,
    Sent,
    /// Nothing can be sent any more.
    Lost,
}

/// A message of which some is not in a frame yet.
#[derive(Debug)]
struct Queued {
    opcode: Opcode,
    is_compressed: bool,
    payload: Bytes,
}

/// A frame that is being sent.
#[derive(Debug)]
struct Frame {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: u8,
    head_sent: u8,
    /// What of it is not sent.
    payload: Bytes,
    /// For the byte that is next.
    mask: Option<[u8; 4]>,
}

/// A mask for each frame of a client (section 5.3).
struct Masks(Option<Box<ChaCha12Rng>>);

impl Connection {
    /// Whether there is output.
    pub fn wants_transmit(&self) -> bool {
        self.over.is_none() && self.output.has_output()
    }

    /// Writes output; how many bytes. `space` is not to be empty.
    pub fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        let count = self.output.write(space);
        self.note_sent(now, count);
        count
    }

    /// A long payload that is next and need not be changed on its way; else
    /// [`poll_transmit`](Self::poll_transmit) is asked.
    pub fn long_output(&self) -> Option<&Bytes> {
        self.output.long()
    }

    /// So many bytes of it were taken.
    pub fn long_output_taken(&mut self, now: Duration, count: usize) {
        self.output.long_taken(count);
        self.note_sent(now, count);
    }

    /// There may be output now that was not.
    pub(super) fn note_output(&mut self, now: Duration) {
        if self.output.has_output() {
            self.clocks.wait_for_output(now, &self.limits.write_pace);
        }
    }

    fn note_sent(&mut self, now: Duration, count: usize) {
        self.output.go_on();
        if self.output.is_closed() {
            self.clocks.begin_closing(now, self.limits.close_timeout);
        }
        let waits = self.output.has_output();
        self.clocks.output_moved(now, count, waits, &self.limits.write_pace);
    }
}

impl Output {
    pub(super) fn new(role: &Role) -> Self {
        Self {
            control: Vec::new(),
            control_sent: 0,
            frame: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            masks: Masks::new(role),
            end: End::Open,
        }
    }

    /// Queues a message, or what it is when compressed.
    pub(super) fn queue(&mut self, message: Message, compressed: Option<Vec<u8>>) {
        let opcode = match message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        let is_compressed = compressed.is_some();
        let payload = compressed.map_or_else(|| message.into_bytes(), Bytes::from);
        self.queued_bytes += payload.len();
        self.queue.push_back(Queued { opcode, is_compressed, payload });
    }

    /// Queues a control frame, unless a close frame was the last.
    pub(super) fn queue_control(&mut self, opcode: Opcode, payload: &[u8]) {
        if matches!(self.end, End::Open | End::AfterQueue(_)) {
            let mask = self.masks.next();
            put_control(&mut self.control, opcode, payload, mask);
        }
    }

    pub(super) fn close_after_queue(&mut self, closure: Closure) {
        self.end = End::AfterQueue(closure);
        self.go_on();
    }

    /// A close frame follows the frame under way; what is queued is dropped. Nothing happens if one was queued.
    pub(super) fn close_now(&mut self, closure: &Closure) {
        if !matches!(self.end, End::Open | End::AfterQueue(_)) {
            return;
        }
        self.queue.clear();
        self.queued_bytes = self.frame.as_ref().map_or(0, |frame| frame.payload.len());
        self.queue_control(Opcode::Close, closure.encode(&mut [0; 125]));
        self.end = End::Queued;
    }

    pub(super) fn lose(&mut self) {
        self.end = End::Lost;
        self.queue.clear();
        (self.frame, self.control, self.control_sent) = (None, Vec::new(), 0);
        self.queued_bytes = 0;
    }

    /// No message is taken any more.
    pub(super) fn is_ending(&self) -> bool {
        self.end != End::Open
    }

    /// Our close frame is sent, or never will be.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.end, End::Sent | End::Lost)
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(super) fn control_bytes(&self) -> usize {
        self.control.len() - self.control_sent
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.queued_bytes + self.queue.len() * size_of::<Queued>() + self.control.capacity()
    }

    fn has_output(&self) -> bool {
        self.frame.is_some() || self.control_bytes() > 0 || !self.queue.is_empty()
    }

    /// Does what is due between frames: the close frame behind the queue, and that it is sent.
    fn go_on(&mut self) {
        if let End::AfterQueue(closure) = &self.end
            && self.frame.is_none()
            && self.queue.is_empty()
        {
            let closure = closure.clone();
            self.close_now(&closure);
        }
        if self.end == End::Queued && !self.has_output() {
            self.end = End::Sent;
        }
    }

    fn write(&mut self, space: &mut [u8]) -> usize {
        let mut written = 0;
        // A long payload behind its head is left to be handed out as it lies.
        while written < space.len() && (written == 0 || self.long().is_none()) {
            let rest = &mut space[written..];
            if let Some(frame) = &mut self.frame {
                let (count, payload_bytes) = frame.write(rest);
                self.queued_bytes -= payload_bytes;
                if frame.is_sent() {
                    self.frame = None;
                }
                written += count;
            } else if self.control_bytes() > 0 {
                written += self.write_control(rest);
            } else if !self.begin_frame() {
                // Behind the last message.
                self.go_on();
                if self.control_bytes() == 0 {
                    break;
                }
            }
        }
        written
    }

    fn write_control(&mut self, space: &mut [u8]) -> usize {
        let rest = self.control.get(self.control_sent..).unwrap_or(&[]);
        let count = rest.len().min(space.len());
        space[..count].copy_from_slice(&rest[..count]);
        self.control_sent += count;
        if self.control_bytes() == 0 {
            // The buffer is given back: most connections need none for long.
            (self.control, self.control_sent) = (Vec::new(), 0);
        }
        count
    }

    /// The next frame of the queue, if there is one.
    fn begin_frame(&mut self) -> bool {
        let Some(queued) = self.queue.front_mut() else { return false };
        let payload = queued.payload.split_to(queued.payload.len().min(FRAME_BYTES_MAX));
        let head = Head {
            opcode: queued.opcode,
            is_final: queued.payload.is_empty(),
            is_compressed: queued.is_compressed,
            payload_bytes: payload.len() as u64,
            mask: self.masks.next(),
        };
        // RFC 7692 section 6.1: RSV1 is of the first frame.
        (queued.opcode, queued.is_compressed) = (Opcode::Continuation, false);
        if head.is_final {
            self.queue.pop_front();
        }
        self.frame = Some(Frame::new(&head, payload));
        true
    }

    fn long(&self) -> Option<&Bytes> {
        let frame = self.frame.as_ref()?;
        let is_long = frame.payload.len() >= LONG_BYTES_MIN;
        (is_long && frame.mask.is_none() && frame.head_sent == frame.head_bytes)
            .then_some(&frame.payload)
    }

    fn long_taken(&mut self, count: usize) {
        let Some(frame) = &mut self.frame else { return };
        let count = count.min(frame.payload.len());
        let _ = frame.payload.split_to(count);
        self.queued_bytes -= count;
        if frame.is_sent() {
            self.frame = None;
        }
    }
}

impl Frame {
    fn new(head: &Head, payload: Bytes) -> Self {
        let mut bytes = [0; HEAD_BYTES_MAX];
        let head_bytes = head.encode(&mut bytes) as u8;
        Self { head: bytes, head_bytes, head_sent: 0, payload, mask: head.mask }
    }

    /// Writes what fits of the head, or of the payload behind it; how many bytes, and how many of them are payload.
    fn write(&mut self, space: &mut [u8]) -> (usize, usize) {
        let head = &self.head[usize::from(self.head_sent)..usize::from(self.head_bytes)];
        if !head.is_empty() {
            let count = head.len().min(space.len());
            space[..count].copy_from_slice(&head[..count]);
            self.head_sent += count as u8;
            return (count, 0);
        }
        let count = self.payload.len().min(space.len());
        let payload = &mut space[..count];
        payload.copy_from_slice(&self.payload.split_to(count));
        if let Some(mask) = &mut self.mask {
            *mask = mask::apply(*mask, payload);
        }
        (count, count)
    }

    fn is_sent(&self) -> bool {
        self.head_sent == self.head_bytes && self.payload.is_empty()
    }
}

impl Masks {
    fn new(role: &Role) -> Self {
        Self(match role {
            Role::Server => None,
            Role::Client { mask_seed } => Some(Box::new(ChaCha12Rng::from_seed(*mask_seed))),
        })
    }

    fn next(&mut self) -> Option<[u8; 4]> {
        self.0.as_mut().map(|random| random.next_u32().to_ne_bytes())
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masks")
    }
}
