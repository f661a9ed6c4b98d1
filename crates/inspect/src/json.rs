//! JSON: a table as an array of objects, by serde.

use crate::{Row, Rows, Value};
use core::cell::Cell;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// The rows of a table, or a part of them, each an object with a member for each column.
pub struct Page<'a> {
    rows: &'a dyn Rows,
    offset: usize,
    rows_max: usize,
    total: Cell<usize>,
}

impl<'a> Page<'a> {
    /// At most `rows_max` rows, without the first `offset`.
    pub fn new(rows: &'a dyn Rows, offset: usize, rows_max: usize) -> Self {
        Self { rows, offset, rows_max, total: Cell::new(0) }
    }

    /// How many rows there were in all when it was serialized.
    pub fn total(&self) -> usize {
        self.total.get()
    }
}

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(None)?;
        let (mut outcome, mut number) = (Ok(()), 0);
        let end = self.offset.saturating_add(self.rows_max);
        self.rows.visit(&mut |row| {
            if outcome.is_ok() && (self.offset..end).contains(&number) {
                outcome = array.serialize_element(&Object(row));
            }
            number += 1;
        });
        self.total.set(number);
        outcome?;
        array.end()
    }
}

/// A row: an object with a member for each column.
pub struct Object<'a>(pub &'a dyn Row);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.0.columns();
        let mut object = serializer.serialize_map(Some(columns))?;
        for column in 0..columns {
            object.serialize_entry(self.0.name(column), &self.0.value(column))?;
        }
        object.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Number(number) => serializer.serialize_u64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Shown(shown) => serializer.collect_str(shown),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::Members(members) => {
                serializer.collect_map(members.iter().map(|(name, text)| (*name, text)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Inspector, Table};
    use std::string::String;
    use std::vec::Vec;

    struct Person {
        name: &'static str,
        age: Option<u8>,
        notes: Vec<(&'static str, String)>,
    }

    static PEOPLE: Table<Person> = Table {
        name: "people",
        help: "Who there is.",
        columns: &[
            Column::text("name", "What they are called.", |person| person.name.into()),
            Column::maybe_number("age_years", "How old they are.", |person| person.age.into()),
            Column::flag("is_known", "Whether the age is.", |person| person.age.is_some().into()),
            Column::text("shown", "The name again.", |person| Value::Shown(&person.name)),
            Column::members("notes", "What is said of them.", |person| {
                Value::Members(&person.notes)
            }),
        ],
    };

    fn people() -> Inspector {
        let inspector = Inspector::default();
        inspector.add_table(&PEOPLE, |visit| {
            let notes = Vec::from([("x", String::from("\"1\""))]);
            visit(&Person { name: "a\"\n", age: Some(7), notes });
            visit(&Person { name: "b", age: None, notes: Vec::new() });
            visit(&Person { name: "c", age: Some(9), notes: Vec::new() });
        });
        inspector
    }

    fn page(offset: usize, rows_max: usize) -> (String, usize) {
        let rows = people().table("people").unwrap();
        let page = Page::new(&*rows, offset, rows_max);
        let text = serde_json::to_string(&page).unwrap();
        (text, page.total())
    }

    #[test]
    fn rows_are_objects_with_every_column() {
        let first = r#"[{"name":"a\"\n","age_years":7,"is_known":true,"shown":"a\"\n","notes":{"x":"\"1\""}}]"#;
        assert_eq!(page(0, 1), (first.into(), 3));
        let second = r#"[{"name":"b","age_years":null,"is_known":false,"shown":"b","notes":{}}]"#;
        assert_eq!(page(1, 1), (second.into(), 3));
    }

    #[test]
    fn a_page_is_a_part_of_the_rows() {
        let count = |offset, rows_max| page(offset, rows_max).0.matches("shown").count();
        assert_eq!([count(0, 9), count(0, 2), count(2, 2), count(3, 1)], [3, 2, 1, 0]);
        assert_eq!((count(usize::MAX, usize::MAX), count(1, 0)), (0, 0));
    }

    #[test]
    fn a_single_row_is_an_object() {
        let person = Person { name: "b", age: None, notes: Vec::new() };
        let text = serde_json::to_string(&Object(&PEOPLE.row(&person))).unwrap();
        assert!(text.starts_with(r#"{"name":"b","age_years":null"#), "{text}");
    }

    #[test]
    fn tables_are_found_by_name() {
        assert!(people().table("people").is_some() && people().table("peopl").is_none());
        assert_eq!(people().tables().len(), 1);
    }
}
