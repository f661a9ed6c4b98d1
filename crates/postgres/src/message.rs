//! Fields of the server's messages: a reader that never goes past the end.

use crate::Error;
use core::str;

/// The types of the server's messages, by their first byte.
pub(crate) mod kind {
    pub(crate) const AUTHENTICATION: u8 = b'R';
    pub(crate) const BACKEND_KEY_DATA: u8 = b'K';
    pub(crate) const BIND_COMPLETE: u8 = b'2';
    pub(crate) const CLOSE_COMPLETE: u8 = b'3';
    pub(crate) const COMMAND_COMPLETE: u8 = b'C';
    pub(crate) const COPY_DATA: u8 = b'd';
    pub(crate) const COPY_DONE: u8 = b'c';
    pub(crate) const COPY_IN_RESPONSE: u8 = b'G';
    pub(crate) const COPY_OUT_RESPONSE: u8 = b'H';
    pub(crate) const DATA_ROW: u8 = b'D';
    pub(crate) const EMPTY_QUERY_RESPONSE: u8 = b'I';
    pub(crate) const ERROR_RESPONSE: u8 = b'E';
    pub(crate) const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    pub(crate) const NO_DATA: u8 = b'n';
    pub(crate) const NOTICE_RESPONSE: u8 = b'N';
    pub(crate) const NOTIFICATION_RESPONSE: u8 = b'A';
    pub(crate) const PARAMETER_DESCRIPTION: u8 = b't';
    pub(crate) const PARAMETER_STATUS: u8 = b'S';
    pub(crate) const PARSE_COMPLETE: u8 = b'1';
    pub(crate) const READY_FOR_QUERY: u8 = b'Z';
    pub(crate) const ROW_DESCRIPTION: u8 = b'T';
}

/// A message: its type, and its body without the length.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn reader(self) -> Reader<'a> {
        Reader { kind: self.kind, rest: self.body }
    }

    /// That of a message without fields.
    pub(crate) fn empty(self) -> Result<(), Error> {
        self.reader().end()
    }
}

/// Takes fields off the front of a body.
pub(crate) struct Reader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn malformed(&self) -> Error {
        Error::Malformed(self.kind)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Error> {
        self.array().map(i32::from_be_bytes)
    }

    /// Text that ends with a zero byte.
    pub(crate) fn text(&mut self) -> Result<&'a str, Error> {
        let end = self.end_of_text()?;
        let text = str::from_utf8(self.bytes(end)?).map_err(|_| self.malformed())?;
        self.u8()?;
        Ok(text)
    }

    fn end_of_text(&self) -> Result<usize, Error> {
        self.rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.malformed())
    }

    /// As [`text`](Self::text), of a server that may not yet, or no longer, speak UTF-8.
    pub(crate) fn lossy_text(&mut self) -> Result<alloc::borrow::Cow<'a, str>, Error> {
        let end = self.end_of_text()?;
        let text = alloc::string::String::from_utf8_lossy(self.bytes(end)?);
        self.u8()?;
        Ok(text)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    pub(crate) fn remaining_bytes(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}
