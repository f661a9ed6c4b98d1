//! Messages to the server, written at the end of the output.

use crate::{Oid, SendError, Settings, ToSql, ValueError};
use alloc::vec::Vec;

/// Longest message that the server takes (`PQ_LARGE_MESSAGE_LIMIT` of its source), bytes.
const MESSAGE_BYTES_MAX: usize = (1 << 30) - 1;

/// What is not yet sent. A message that fails half way is taken back whole.
#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    taken: usize,
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn capacity_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Moves bytes into `space`; how many.
    pub(crate) fn take(&mut self, space: &mut [u8]) -> usize {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(space.len());
        if let (Some(to), Some(from)) = (space.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        if self.taken == self.bytes.len() {
            self.release();
        }
        count
    }

    /// Keeps memory for the next small messages, and none beyond.
    fn release(&mut self) {
        const KEPT_BYTES: usize = 8 << 10;
        self.taken = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }

    pub(crate) fn start_up(&mut self, settings: &Settings) -> Result<(), SendError> {
        let Settings { user, database, parameters, minor_version, .. } = settings;
        self.write(None, |body| {
            body.u16(3);
            body.u16(*minor_version);
            body.pair("user", user)?;
            if let Some(database) = database {
                body.pair("database", database)?;
            }
            // All texts are UTF-8, and dates as ISO 8601 has them.
            body.pair("client_encoding", "UTF8")?;
            body.pair("DateStyle", "ISO")?;
            parameters.iter().try_for_each(|(name, value)| body.pair(name, value))?;
            body.u8(0);
            Ok(())
        })
    }

    /// A password, or what SASL says after its first message.
    pub(crate) fn password(&mut self, bytes: &[u8]) {
        // No longer than a password or a server's message: it cannot be too long.
        let _ = self.write(Some(b'p'), |body| {
            body.bytes(bytes);
            Ok(())
        });
    }

    pub(crate) fn sasl_initial(&mut self, mechanism: &str, first: &[u8]) {
        let _ = self.write(Some(b'p'), |body| {
            body.text(mechanism)?;
            body.i32(length_of(first)?);
            body.bytes(first);
            Ok(())
        });
    }

    pub(crate) fn query(&mut self, sql: &str) -> Result<(), SendError> {
        self.write(Some(b'Q'), |body| body.text(sql))
    }

    pub(crate) fn parse(&mut self, name: &str, sql: &str, types: &[Oid]) -> Result<(), SendError> {
        self.write(Some(b'P'), |body| {
            body.text(name)?;
            body.text(sql)?;
            body.count(types.len())?;
            types.iter().for_each(|oid| body.bytes(&oid.0.to_be_bytes()));
            Ok(())
        })
    }

    pub(crate) fn describe_statement(&mut self, name: &str) -> Result<(), SendError> {
        self.write(Some(b'D'), |body| {
            body.u8(b'S');
            body.text(name)
        })
    }

    pub(crate) fn close_statement(&mut self, name: &str) -> Result<(), SendError> {
        self.write(Some(b'C'), |body| {
            body.u8(b'S');
            body.text(name)
        })
    }

    /// Binds the unnamed portal and executes it, for each set of values: in binary, both ways.
    pub(crate) fn bind_execute(
        &mut self,
        statement: &str,
        types: &[Oid],
        sets: &[&[&dyn ToSql]],
    ) -> Result<(), SendError> {
        self.whole(|output| {
            sets.iter().try_for_each(|values| {
                output.bind(statement, types, values)?;
                output.execute()
            })
        })
    }

    /// The same of a statement that is parsed anew, under no name; the rows' columns are described in between.
    pub(crate) fn parse_bind_execute(
        &mut self,
        sql: &str,
        types: &[Oid],
        sets: &[&[&dyn ToSql]],
    ) -> Result<(), SendError> {
        self.whole(|output| {
            sets.iter().try_for_each(|values| {
                output.parse("", sql, types)?;
                output.bind("", types, values)?;
                output.write(Some(b'D'), |body| {
                    body.u8(b'P');
                    body.text("")
                })?;
                output.execute()
            })
        })
    }

    /// Writes several messages, or none.
    fn whole(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let start = self.bytes.len();
        let written = write(self);
        if written.is_err() {
            self.bytes.truncate(start);
        }
        written
    }

    fn bind(
        &mut self,
        statement: &str,
        types: &[Oid],
        values: &[&dyn ToSql],
    ) -> Result<(), SendError> {
        const BINARY: u16 = 1;
        if types.len() != values.len() {
            return Err(SendError::ParameterCount(types.len()));
        }
        self.write(Some(b'B'), |body| {
            body.text("")?;
            body.text(statement)?;
            body.u16(1);
            body.u16(BINARY);
            body.count(values.len())?;
            for (index, (value, oid)) in values.iter().zip(types).enumerate() {
                body.value(*oid, *value).map_err(|error| SendError::Parameter(index, error))?;
            }
            body.u16(1);
            body.u16(BINARY);
            Ok(())
        })
    }

    fn execute(&mut self) -> Result<(), SendError> {
        self.write(Some(b'E'), |body| {
            body.text("")?;
            body.i32(0);
            Ok(())
        })
    }

    pub(crate) fn sync(&mut self) {
        self.empty(b'S');
    }

    pub(crate) fn terminate(&mut self) {
        self.empty(b'X');
    }

    pub(crate) fn copy_done(&mut self) {
        self.empty(b'c');
    }

    pub(crate) fn copy_data(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.write(Some(b'd'), |body| {
            body.bytes(data);
            Ok(())
        })
    }

    pub(crate) fn copy_fail(&mut self, reason: &str) -> Result<(), SendError> {
        self.write(Some(b'f'), |body| body.text(reason))
    }

    fn empty(&mut self, kind: u8) {
        // Its length is 4.
        let _ = self.write(Some(kind), |_| Ok(()));
    }

    /// Writes a message, whose length is known once its body is there.
    fn write(
        &mut self,
        kind: Option<u8>,
        fill: impl FnOnce(&mut Body<'_>) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let start = self.bytes.len();
        self.bytes.extend(kind);
        let place = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let filled = fill(&mut Body(&mut self.bytes));
        let length = self.bytes.len() - place;
        match filled {
            Ok(()) if length <= MESSAGE_BYTES_MAX => {
                patch(&mut self.bytes, place, length);
                Ok(())
            }
            failed => {
                self.bytes.truncate(start);
                failed.and(Err(SendError::TooLong))
            }
        }
    }
}

/// The body of a message that is being written.
struct Body<'a>(&'a mut Vec<u8>);

impl Body<'_> {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn count(&mut self, count: usize) -> Result<(), SendError> {
        self.u16(u16::try_from(count).map_err(|_| SendError::TooLong)?);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), SendError> {
        if text.as_bytes().contains(&0) {
            return Err(SendError::ZeroByte);
        }
        self.bytes(text.as_bytes());
        self.u8(0);
        Ok(())
    }

    fn pair(&mut self, name: &str, value: &str) -> Result<(), SendError> {
        self.text(name)?;
        self.text(value)
    }

    /// A value with its length in front; -1 is NULL.
    fn value(&mut self, oid: Oid, value: &dyn ToSql) -> Result<(), ValueError> {
        write_value(self.0, oid, value)
    }
}

/// Writes a value with its length in front; -1 is NULL.
pub(crate) fn write_value(
    bytes: &mut Vec<u8>,
    oid: Oid,
    value: &dyn ToSql,
) -> Result<(), ValueError> {
    let place = bytes.len();
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    let start = bytes.len();
    if value.is_null() {
        return Ok(());
    }
    value.write(oid, bytes)?;
    let length = bytes.len() - start;
    if length > MESSAGE_BYTES_MAX {
        return Err(ValueError::Range);
    }
    patch(bytes, place, length);
    Ok(())
}

/// Puts a length at its place.
fn patch(bytes: &mut [u8], place: usize, length: usize) {
    // At most MESSAGE_BYTES_MAX.
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(field) = bytes.get_mut(place..).and_then(<[u8]>::first_chunk_mut) {
        *field = length;
    }
}

fn length_of(bytes: &[u8]) -> Result<i32, SendError> {
    i32::try_from(bytes.len()).map_err(|_| SendError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn written(output: &mut Output) -> Vec<u8> {
        let mut space = vec![0; output.len()];
        output.take(&mut space);
        space
    }

    #[test]
    fn a_message_has_its_length_and_a_failed_one_leaves_nothing() {
        let mut output = Output::default();
        output.query("x").unwrap();
        assert_eq!(output.query("\0"), Err(SendError::ZeroByte));
        output.sync();
        assert_eq!(written(&mut output), b"Q\0\0\0\x06x\0S\0\0\0\x04");
        assert!(output.is_empty());
    }

    #[test]
    fn a_parameter_that_does_not_fit_takes_the_whole_step_back() {
        let mut output = Output::default();
        output.sync();
        let values: [&dyn ToSql; 2] = [&1_i32, &"text"];
        let error = output.bind_execute("", &[Oid::INT4, Oid::INT4], &[&[&1_i32, &2_i32], &values]);
        assert_eq!(error, Err(SendError::Parameter(1, ValueError::Type(Oid::INT4))));
        let error = output.bind_execute("", &[Oid::INT4], &[&[&1_i32], &values]);
        assert_eq!(error, Err(SendError::ParameterCount(1)));
        assert_eq!(written(&mut output), b"S\0\0\0\x04");
        let null: Option<i32> = None;
        let values: &[&dyn ToSql] = &[&7_i32, &null];
        output.bind_execute("s", &[Oid::INT4; 2], &[values; 2]).unwrap();
        let bind =
            b"B\0\0\0\x1D\0s\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x07\xFF\xFF\xFF\xFF\0\x01\0\x01";
        let expected = [&bind[..], b"E\0\0\0\x09\0\0\0\0\0"].concat();
        assert_eq!(written(&mut output), expected.repeat(2));
    }

    #[test]
    fn a_statement_without_a_name_is_parsed_with_each_execution_or_not_at_all() {
        let mut output = Output::default();
        let error = output.parse_bind_execute("x", &[Oid::INT4], &[&[&1_i32], &[&"text"]]);
        assert_eq!(error, Err(SendError::Parameter(0, ValueError::Type(Oid::INT4))));
        assert!(output.is_empty());
        output.parse_bind_execute("x", &[Oid::INT4], &[&[&7_i32]]).unwrap();
        let expected = [
            &b"P\0\0\0\x0D\0x\0\0\x01\0\0\0\x17"[..],
            b"B\0\0\0\x18\0\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\x01\0\x01",
            b"D\0\0\0\x06P\0",
            b"E\0\0\0\x09\0\0\0\0\0",
        ];
        assert_eq!(written(&mut output), expected.concat());
    }

    #[test]
    fn output_is_taken_in_pieces_and_its_memory_given_back() {
        let mut output = Output::default();
        output.copy_data(&[7; 100_000]).unwrap();
        let mut taken = Vec::new();
        while !output.is_empty() {
            let mut space = [0; 999];
            let count = output.take(&mut space);
            taken.extend_from_slice(&space[..count]);
        }
        assert_eq!((taken.len(), &taken[..5]), (100_005, &b"d\x00\x01\x86\xA4"[..]));
        assert!(output.capacity_bytes() <= 8 << 10);
    }
}
