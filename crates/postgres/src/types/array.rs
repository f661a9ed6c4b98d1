//! Arrays of one dimension: `Vec` and slices.

use super::{FromSql, Oid, ToSql};
use crate::ValueError;
use crate::frontend::write_value;
use alloc::vec::Vec;

/// The server's arrays begin at 1 unless one says otherwise.
const LOWER_BOUND: i32 = 1;

impl<T: ToSql> ToSql for [T] {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        let element = oid.element().ok_or(ValueError::Type(oid))?;
        let count = i32::try_from(self.len()).map_err(|_| ValueError::Range)?;
        let has_nulls = self.iter().any(ToSql::is_null);
        // The server's form of an empty array has no dimension.
        bytes.extend(i32::from(count > 0).to_be_bytes());
        bytes.extend(i32::from(has_nulls).to_be_bytes());
        bytes.extend(element.0.to_be_bytes());
        if count > 0 {
            bytes.extend(count.to_be_bytes());
            bytes.extend(LOWER_BOUND.to_be_bytes());
        }
        self.iter().try_for_each(|value| write_value(bytes, element, value))
    }
}

impl<T: ToSql> ToSql for Vec<T> {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        self.as_slice().write(oid, bytes)
    }
}

impl<'a, T: FromSql<'a>> FromSql<'a> for Vec<T> {
    fn accepts(oid: Oid) -> bool {
        oid.element().is_some_and(T::accepts)
    }

    fn from_bytes(oid: Oid, bytes: &'a [u8]) -> Result<Self, ValueError> {
        let mut reader = Reader(bytes);
        let dimensions = reader.i32()?;
        let _has_nulls = reader.i32()?;
        let element = Oid(reader.i32()?.cast_unsigned());
        if oid.element() != Some(element) {
            return Err(ValueError::Malformed);
        }
        let count = match dimensions {
            0 => 0,
            1 => usize::try_from(reader.i32()?).map_err(|_| ValueError::Malformed)?,
            // Of more, each part would have to be an array again.
            _ => return Err(ValueError::Range),
        };
        if dimensions == 1 {
            let _lower_bound = reader.i32()?;
        }
        let mut values = Self::new();
        for _ in 0..count {
            values.push(match reader.value()? {
                Some(value) => T::from_bytes(element, value)?,
                None => T::from_null()?,
            });
        }
        if reader.0.is_empty() { Ok(values) } else { Err(ValueError::Malformed) }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn i32(&mut self) -> Result<i32, ValueError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ValueError::Malformed)?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*taken))
    }

    /// None is NULL.
    fn value(&mut self) -> Result<Option<&'a [u8]>, ValueError> {
        let length = match self.i32()? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| ValueError::Malformed)?,
        };
        let (value, rest) = self.0.split_at_checked(length).ok_or(ValueError::Malformed)?;
        self.0 = rest;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec;

    fn there_and_back<T>(values: &[T], oid: Oid)
    where
        T: ToSql + PartialEq + core::fmt::Debug + for<'a> FromSql<'a>,
    {
        let mut bytes = Vec::new();
        values.write(oid, &mut bytes).unwrap();
        assert_eq!(Vec::<T>::from_bytes(oid, &bytes).as_deref(), Ok(values));
        for cut in 0..bytes.len() {
            assert!(Vec::<T>::from_bytes(oid, &bytes[..cut]).is_err(), "cut to {cut}");
        }
        bytes.push(0);
        assert_eq!(Vec::<T>::from_bytes(oid, &bytes), Err(ValueError::Malformed));
    }

    #[test]
    fn an_array_is_the_same_there_and_back_and_not_when_it_is_cut() {
        there_and_back(&[1, -2, 3], Oid::INT4_ARRAY);
        there_and_back(&[Some(1_i64), None], Oid::INT8_ARRAY);
        there_and_back(&[String::from("a"), String::new()], Oid::TEXT_ARRAY);
        there_and_back::<bool>(&[], Oid::BOOL_ARRAY);
        there_and_back(&[vec![1_u8], vec![]], Oid::BYTEA_ARRAY);
    }

    #[test]
    fn an_array_of_other_elements_or_dimensions_is_refused() {
        let mut bytes = Vec::new();
        assert_eq!([1].write(Oid::INT4, &mut bytes), Err(ValueError::Type(Oid::INT4)));
        [1].write(Oid::INT4_ARRAY, &mut bytes).unwrap();
        assert!(Vec::<i32>::from_bytes(Oid::INT2_ARRAY, &bytes).is_err());
        assert!(!Vec::<i32>::accepts(Oid::TEXT_ARRAY) && !Vec::<i32>::accepts(Oid::INT4));
        let two_dimensions = [&[0, 0, 0, 2][..], &bytes[4..]].concat();
        assert_eq!(
            Vec::<i32>::from_bytes(Oid::INT4_ARRAY, &two_dimensions),
            Err(ValueError::Range)
        );
        // A count beyond what is there reserves nothing.
        let endless = [&bytes[..12], &[127, 255, 255, 255], &bytes[16..]].concat();
        assert!(Vec::<i32>::from_bytes(Oid::INT4_ARRAY, &endless).is_err());
        let mut nulls = Vec::new();
        [None::<i32>].write(Oid::INT4_ARRAY, &mut nulls).unwrap();
        assert_eq!(Vec::<i32>::from_bytes(Oid::INT4_ARRAY, &nulls), Err(ValueError::Null));
    }
}
