//! Cached response: one that is given again whenever the head that it answered comes again.

use crate::body::BodyFraming;
use crate::send::Sender;
use alloc::vec::Vec;
use web::date::HttpDate;
use web::{Content, Data, Status, repeating};

/// An answer to be given whenever the head that it answered comes again.
#[derive(Debug)]
pub(crate) struct CachedResponse {
    pub(crate) status: Status,
    /// Its head; its content behind that, if short.
    text: Vec<u8>,
    /// Where the date stands in `text`.
    date_at: Option<usize>,
    /// Its content, if long.
    content: Data,
    pub(crate) content_bytes: u64,
    epoch: u64,
}

/// Content up to this length is copied behind the head, so that both leave in one piece, bytes.
const SHORT_BYTES_MAX: usize = 1024;

impl CachedResponse {
    /// `head` has its date, if any, at `date_at`. `None` if `content` is neither short nor shared by all who send it.
    pub(super) fn new(
        status: Status,
        mut head: Vec<u8>,
        date_at: Option<usize>,
        content: &Data,
    ) -> Option<CachedResponse> {
        let content_bytes = content.len() as u64;
        let content = if content.len() <= SHORT_BYTES_MAX {
            head.extend_from_slice(content.as_bytes());
            Data::from(b"")
        } else {
            content.shared()?
        };
        head.shrink_to_fit();
        let epoch = repeating::epoch();
        Some(CachedResponse { status, text: head, date_at, content, content_bytes, epoch })
    }

    /// It was not taken back.
    #[inline]
    pub(crate) fn is_good(&self) -> bool {
        self.epoch == repeating::epoch()
    }

    /// Sends it, with the date of now.
    pub(super) fn send(
        &self,
        date: Option<&HttpDate>,
        sender: &mut Sender,
        out: &mut [u8],
        at: &mut usize,
    ) {
        sender.write_head(out, at, self.text.len(), |cursor| {
            cursor.put(&self.text);
            if let (Some(date), Some(date_at)) = (date, self.date_at) {
                cursor.put_over(date_at, date.as_bytes());
            }
        });
        if !self.content.is_empty() {
            let framing = BodyFraming::Length(self.content_bytes);
            sender.start(Content::Full(self.content.clone()), framing);
        }
    }
}
