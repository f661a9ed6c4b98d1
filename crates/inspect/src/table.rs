//! Tables: rows of typed columns, described beside how they are read.

use alloc::string::String;
use core::fmt::Display;

/// A table of rows of type `R`.
pub struct Table<R: 'static> {
    /// In lower case.
    pub name: &'static str,
    /// One sentence for operators.
    pub help: &'static str,
    /// Its columns, in the order in which they are shown.
    pub columns: &'static [Column<R>],
}

/// A column of a table, and how it is read from a row.
pub struct Column<R: 'static> {
    info: ColumnInfo,
    read: for<'a> fn(&'a R) -> Value<'a>,
}

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// In snake case, with its unit behind it, as `rtt_us`.
    pub name: &'static str,
    /// One sentence for operators.
    pub help: &'static str,
    /// What its values are.
    pub type_: Type,
    /// Some rows may have none.
    pub is_nullable: bool,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whole numbers from zero.
    Number,
    /// Texts.
    Text,
    /// True or false.
    Flag,
    /// Texts by name, which differ from row to row.
    Members,
}

/// One value of a row.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// There is none.
    Null,
    /// Of a [`Type::Number`] column.
    Number(u64),
    /// Of a [`Type::Text`] column.
    Text(&'a str),
    /// Of a [`Type::Text`] column: what is to be written.
    Shown(&'a dyn Display),
    /// Of a [`Type::Flag`] column.
    Flag(bool),
    /// Of a [`Type::Members`] column.
    Members(&'a [(&'static str, String)]),
}

/// A row of any table.
pub trait Row {
    /// How many columns it has.
    fn columns(&self) -> usize;

    /// The name of a column, by its place.
    fn name(&self, column: usize) -> &'static str;

    /// The value in a column, by its place.
    fn value(&self, column: usize) -> Value<'_>;
}

/// A table of any type, and its rows.
pub trait Rows {
    /// [`Table::name`]
    fn name(&self) -> &'static str;

    /// [`Table::help`]
    fn help(&self) -> &'static str;

    /// How many columns it has.
    fn columns(&self) -> usize;

    /// A column, by its place.
    fn column(&self, index: usize) -> ColumnInfo;

    /// Shows every row as it is now.
    fn visit(&self, visit: &mut dyn FnMut(&dyn Row));
}

impl<R> Table<R> {
    /// A row, as one of any table.
    pub fn row<'a>(&self, row: &'a R) -> RowOf<'a, R> {
        RowOf { columns: self.columns, row }
    }
}

impl<R> Column<R> {
    /// A column of whole numbers.
    pub const fn number(
        name: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Self::new(name, help, Type::Number, read)
    }

    /// A column of texts.
    pub const fn text(
        name: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Self::new(name, help, Type::Text, read)
    }

    /// A column of what is true or false.
    pub const fn flag(
        name: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Self::new(name, help, Type::Flag, read)
    }

    /// A column of whole numbers, of which some rows have none.
    pub const fn maybe_number(
        name: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Self::number(name, help, read).nullable()
    }

    /// A column of texts, of which some rows have none.
    pub const fn maybe_text(
        name: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Self::text(name, help, read).nullable()
    }

    /// A column of what is true or false, of which some rows have none.
    pub const fn maybe_flag(
        name: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Self::flag(name, help, read).nullable()
    }

    /// A column of texts by name.
    pub const fn members(
        name: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Self::new(name, help, Type::Members, read)
    }

    const fn nullable(mut self) -> Column<R> {
        self.info.is_nullable = true;
        self
    }

    const fn new(
        name: &'static str,
        help: &'static str,
        type_: Type,
        read: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Column<R> {
        Column { info: ColumnInfo { name, help, type_, is_nullable: false }, read }
    }
}

/// A table with where its rows come from.
pub(crate) struct TableOf<R: 'static, F> {
    pub(crate) table: &'static Table<R>,
    pub(crate) rows: F,
}

impl<R, F: Fn(&mut dyn FnMut(&R))> Rows for TableOf<R, F> {
    fn name(&self) -> &'static str {
        self.table.name
    }

    fn help(&self) -> &'static str {
        self.table.help
    }

    fn columns(&self) -> usize {
        self.table.columns.len()
    }

    fn column(&self, index: usize) -> ColumnInfo {
        self.table.columns[index].info
    }

    fn visit(&self, visit: &mut dyn FnMut(&dyn Row)) {
        let columns = self.table.columns;
        (self.rows)(&mut |row| visit(&RowOf { columns, row }));
    }
}

/// A row with its table's columns.
pub struct RowOf<'a, R: 'static> {
    columns: &'static [Column<R>],
    row: &'a R,
}

impl<R> Row for RowOf<'_, R> {
    fn columns(&self) -> usize {
        self.columns.len()
    }

    fn name(&self, column: usize) -> &'static str {
        self.columns[column].info.name
    }

    fn value(&self, column: usize) -> Value<'_> {
        let Column { info, read } = &self.columns[column];
        let value = read(self.row);
        debug_assert!(info.allows(&value), "{} is declared otherwise", info.name);
        value
    }
}

impl ColumnInfo {
    fn allows(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Null => self.is_nullable,
            Value::Number(_) => self.type_ == Type::Number,
            Value::Text(_) | Value::Shown(_) => self.type_ == Type::Text,
            Value::Flag(_) => self.type_ == Type::Flag,
            Value::Members(_) => self.type_ == Type::Members,
        }
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::Number(number.into())
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Value::Number(number.into())
    }
}

impl From<u8> for Value<'_> {
    fn from(number: u8) -> Self {
        Value::Number(number.into())
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Value::Number(number as u64)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl<'a> Value<'a> {
    /// A text that is written as it is shown, or none.
    pub fn shown<T: Display>(value: Option<&'a T>) -> Value<'a> {
        value.map_or(Value::Null, |value| Value::Shown(value))
    }
}
