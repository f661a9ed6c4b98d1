//! Rows: a batch as it came, in one piece of memory, and one row of it.

use crate::message::Message;
use crate::{Error, FromSql, Oid, ValueError};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::{fmt, str};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, or its alias.
    pub name: String,
    /// Its type.
    pub oid: Oid,
    /// How its values come.
    pub format: Format,
}

/// The columns of a result. Clones share them.
pub type Columns = Rc<[Column]>;

/// How values come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the server writes them for people.
    Text,
    /// In the type's own form.
    Binary,
}

impl Format {
    pub(crate) fn from_code(code: u16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }
}

/// Reads a RowDescription. A statement's says text, since nobody has asked for a format yet.
pub(crate) fn parse_columns(message: Message<'_>, binary: bool) -> Result<Columns, Error> {
    /// The shortest: an empty name and six numbers.
    const COLUMN_BYTES_MIN: usize = 1 + 18;
    let mut reader = message.reader();
    let count = usize::from(reader.u16()?);
    if count * COLUMN_BYTES_MIN > reader.remaining_bytes() {
        return Err(reader.malformed());
    }
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let name = reader.lossy_text()?.into_owned();
        // The table's number and the column's in it.
        let _ = (reader.u32()?, reader.u16()?);
        let oid = Oid(reader.u32()?);
        // The type's size and modifier.
        let _ = (reader.u16()?, reader.u32()?);
        let format = Format::from_code(reader.u16()?).ok_or(reader.malformed())?;
        columns.push(Column { name, oid, format: if binary { Format::Binary } else { format } });
    }
    reader.end()?;
    Ok(columns.into())
}

/// Bytes that describe one column beside its name.
pub(crate) const COLUMN_BYTES: usize = size_of::<Column>();

/// Some rows, as they came.
#[derive(Default)]
pub struct Rows {
    /// Each row with its length in front.
    bytes: Vec<u8>,
    count: usize,
}

/// Memory for more than one row is taken in this unit at least.
const BATCH_BYTES_MIN: usize = 512;

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What they hold.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The rows one by one, which share this memory.
    pub fn into_rows(self, columns: Columns) -> IntoRows {
        IntoRows { rest: Bytes::from(self.bytes), columns }
    }

    /// Adds the row of a DataRow, whose values must be `columns` and fill it.
    pub(crate) fn push(&mut self, message: Message<'_>, columns: u16) -> Result<(), Error> {
        let values = check(message, columns)?;
        let length = u32::try_from(values.len()).map_err(|_| Error::Malformed(message.kind))?;
        if self.count == 0 {
            // One that stays alone fills its memory, which is then a `Bytes` as it is.
            self.bytes.reserve_exact(values.len() + 4);
        } else if self.count == 1 {
            self.bytes.reserve((values.len() + 4).max(BATCH_BYTES_MIN));
        }
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(values);
        self.count += 1;
        Ok(())
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({}: {})", self.count, self.bytes.escape_ascii())
    }
}

/// The rows of a batch, one by one.
#[derive(Debug)]
pub struct IntoRows {
    rest: Bytes,
    columns: Columns,
}

impl Iterator for IntoRows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let length = usize::try_from(self.rest.try_get_u32().ok()?).ok()?;
        let values = if length < self.rest.len() {
            self.rest.split_to(length)
        } else {
            // The last one has all that is left, for which nothing is to be counted.
            core::mem::take(&mut self.rest)
        };
        Some(Row { columns: self.columns.clone(), values })
    }
}

/// A row's values, once it is known that they are as many as described and fill it.
fn check<'a>(message: Message<'a>, columns: u16) -> Result<&'a [u8], Error> {
    let malformed = || Error::Malformed(message.kind);
    let (count, values) = message.body.split_first_chunk().ok_or_else(malformed)?;
    if u16::from_be_bytes(*count) != columns {
        return Err(Error::ColumnCount);
    }
    let mut rest = values;
    for _ in 0..columns {
        (_, rest) = next_value(rest).ok_or_else(malformed)?;
    }
    if rest.is_empty() { Ok(values) } else { Err(malformed()) }
}

/// A value, none if it is NULL, and what follows.
fn next_value(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    match i32::from_be_bytes(*length) {
        -1 => Some((None, rest)),
        length => {
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(value), rest))
        }
    }
}

/// A row of a result. Clones share its memory, which is that of its batch.
#[derive(Clone)]
pub struct Row {
    columns: Columns,
    values: Bytes,
}

impl Row {
    /// The columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The value of the column of that number, from 0.
    ///
    /// # Errors
    /// There is no such column, or its value is none of the type asked for.
    pub fn get<'a, T: FromSql<'a>>(&'a self, index: usize) -> Result<T, ValueError> {
        let column = self.columns.get(index).ok_or(ValueError::NoColumn)?;
        let value = self.values().nth(index).ok_or(ValueError::NoColumn)?;
        read(column, value)
    }

    /// The value of the first column of that name.
    ///
    /// # Errors
    /// There is no such column, or its value is none of the type asked for.
    pub fn get_named<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, ValueError> {
        let index = self.columns.iter().position(|column| column.name == name);
        self.get(index.ok_or(ValueError::NoColumn)?)
    }

    /// The value of that column as text, as it comes of a simple query; none if it is NULL.
    ///
    /// # Errors
    /// There is no such column, or its value came in binary and is no text.
    pub fn text(&self, index: usize) -> Result<Option<&str>, ValueError> {
        let value = self.values().nth(index).ok_or(ValueError::NoColumn)?;
        value.map(|value| str::from_utf8(value).map_err(|_| ValueError::Malformed)).transpose()
    }

    /// The bytes of all values in the order of the columns; none where they are NULL.
    pub fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut rest = &self.values[..];
        self.columns.iter().map_while(move |_| {
            let (value, behind) = next_value(rest)?;
            rest = behind;
            Some(value)
        })
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.columns.iter().map(|column| &column.name);
        let values = self.values().map(|value| value.map(|value| value.escape_ascii()));
        f.debug_map().entries(names.zip(values.map(Debugged))).finish()
    }
}

/// A value in a row's `Debug`.
struct Debugged<'a>(Option<core::slice::EscapeAscii<'a>>);

impl fmt::Debug for Debugged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => fmt::Display::fmt(value, f),
            None => f.write_str("NULL"),
        }
    }
}

fn read<'a, T: FromSql<'a>>(column: &Column, value: Option<&'a [u8]>) -> Result<T, ValueError> {
    if !T::accepts(column.oid) {
        return Err(ValueError::Type(column.oid));
    }
    match value {
        None => T::from_null(),
        Some(_) if column.format == Format::Text => Err(ValueError::Text),
        Some(value) => T::from_bytes(column.oid, value),
    }
}
