//! Values: which of the program's types are which of the server's, and their binary forms.
//!
//! | PostgreSQL | Rust |
//! |---|---|
//! | `bool` | `bool` |
//! | `int2`, `int4`, `int8`, `oid` | `i16`, `i32`, `i64`, `u32`; a value may be written to any that has room for it, and read from narrower ones |
//! | `float4`, `float8` | `f32`, `f64` |
//! | `numeric` | [`Numeric`] |
//! | `text`, `varchar`, `char`, `name`, enumerations, types of extensions whose binary form is text | `&str`, `String` |
//! | `bytea` | `&[u8]`, `Vec<u8>` |
//! | `uuid` | [`Uuid`] |
//! | `timestamp`, `timestamptz`; `date`; `time` | [`Timestamp`]; [`Date`]; [`Time`] |
//! | `json`, `jsonb` | [`Json`] of anything that serde knows |
//! | arrays of one dimension | `Vec`, slices |
//! | NULL | `Option` |

mod array;
mod json;
mod numeric;
mod time;

pub use json::Json;
pub use numeric::{Numeric, ParseNumericError};
pub use time::{Date, Time, Timestamp};

use crate::ValueError;
use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, str};
use uuid::Uuid;

/// A type of the server's, by its number in `pg_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(pub u32);

macro_rules! types {
    ($($name:ident $array:ident = $oid:literal $array_oid:literal $text:literal),* $(,)?) => {
        impl Oid {
            $(
                #[doc = concat!("`", $text, "`.")]
                pub const $name: Self = Self($oid);
                #[doc = concat!("`", $text, "[]`.")]
                pub const $array: Self = Self($array_oid);
            )*

            /// The type of an array's elements, of the types that have a name here.
            pub fn element(self) -> Option<Self> {
                match self {
                    $(Self::$array => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name, of those that have one here.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(
                        Self::$name => Some($text),
                        Self::$array => Some(concat!($text, "[]")),
                    )*
                    _ => None,
                }
            }
        }
    };
}

types! {
    BOOL BOOL_ARRAY = 16 1000 "bool",
    BYTEA BYTEA_ARRAY = 17 1001 "bytea",
    NAME NAME_ARRAY = 19 1003 "name",
    INT8 INT8_ARRAY = 20 1016 "int8",
    INT2 INT2_ARRAY = 21 1005 "int2",
    INT4 INT4_ARRAY = 23 1007 "int4",
    TEXT TEXT_ARRAY = 25 1009 "text",
    OID OID_ARRAY = 26 1028 "oid",
    JSON JSON_ARRAY = 114 199 "json",
    FLOAT4 FLOAT4_ARRAY = 700 1021 "float4",
    FLOAT8 FLOAT8_ARRAY = 701 1022 "float8",
    BPCHAR BPCHAR_ARRAY = 1042 1014 "char",
    VARCHAR VARCHAR_ARRAY = 1043 1015 "varchar",
    DATE DATE_ARRAY = 1082 1182 "date",
    TIME TIME_ARRAY = 1083 1183 "time",
    TIMESTAMP TIMESTAMP_ARRAY = 1114 1115 "timestamp",
    TIMESTAMPTZ TIMESTAMPTZ_ARRAY = 1184 1185 "timestamptz",
    NUMERIC NUMERIC_ARRAY = 1700 1231 "numeric",
    UUID UUID_ARRAY = 2950 2951 "uuid",
    JSONB JSONB_ARRAY = 3802 3807 "jsonb",
}

impl Oid {
    /// `unknown`, that of literals without a type.
    pub const UNKNOWN: Self = Self(705);
    /// `void`, that of functions without a result.
    pub const VOID: Self = Self(2278);

    /// Whether somebody made it in this database: an enumeration, or an extension's (`FirstNormalObjectId`).
    fn is_users(self) -> bool {
        self.0 >= 16_384
    }

    fn is_text(self) -> bool {
        matches!(self, Self::TEXT | Self::VARCHAR | Self::BPCHAR | Self::NAME | Self::UNKNOWN)
            || self.is_users()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "number {}", self.0),
        }
    }
}

/// A value that can be a parameter.
pub trait ToSql {
    /// Whether it is NULL; it is not written then.
    fn is_null(&self) -> bool {
        false
    }

    /// Adds its binary form as a value of the server's type.
    ///
    /// # Errors
    /// It is no value of that type.
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError>;
}

/// A type that values can be read as.
pub trait FromSql<'a>: Sized {
    /// Whether values of the server's type are its values.
    fn accepts(oid: Oid) -> bool;

    /// Reads the binary form of a value of a type that is accepted.
    ///
    /// # Errors
    /// The bytes are no value of the type, or it does not fit.
    fn from_bytes(oid: Oid, bytes: &'a [u8]) -> Result<Self, ValueError>;

    /// What NULL is.
    ///
    /// # Errors
    /// The type has none, unless it is an `Option`.
    fn from_null() -> Result<Self, ValueError> {
        Err(ValueError::Null)
    }
}

impl<T: ToSql + ?Sized> ToSql for &T {
    fn is_null(&self) -> bool {
        (**self).is_null()
    }

    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        (**self).write(oid, bytes)
    }
}

impl<T: ToSql> ToSql for Option<T> {
    fn is_null(&self) -> bool {
        self.as_ref().is_none_or(ToSql::is_null)
    }

    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        self.as_ref().ok_or(ValueError::Null)?.write(oid, bytes)
    }
}

impl<'a, T: FromSql<'a>> FromSql<'a> for Option<T> {
    fn accepts(oid: Oid) -> bool {
        T::accepts(oid)
    }

    fn from_bytes(oid: Oid, bytes: &'a [u8]) -> Result<Self, ValueError> {
        T::from_bytes(oid, bytes).map(Some)
    }

    fn from_null() -> Result<Self, ValueError> {
        Ok(None)
    }
}

/// Whether a value of the program is one of the server's type.
fn expect(oid: Oid, is_accepted: bool) -> Result<(), ValueError> {
    if is_accepted { Ok(()) } else { Err(ValueError::Type(oid)) }
}

/// The bytes of a value of fixed length.
fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ValueError> {
    bytes.try_into().map_err(|_| ValueError::Malformed)
}

impl ToSql for bool {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, oid == Oid::BOOL)?;
        bytes.push(u8::from(*self));
        Ok(())
    }
}

impl FromSql<'_> for bool {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::BOOL
    }

    fn from_bytes(_: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(ValueError::Malformed),
        }
    }
}

/// Writes an integer as the server's type has it, if that has room for it.
fn write_integer(value: i64, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
    let range = |_| ValueError::Range;
    match oid {
        Oid::INT2 => bytes.extend(i16::try_from(value).map_err(range)?.to_be_bytes()),
        Oid::INT4 => bytes.extend(i32::try_from(value).map_err(range)?.to_be_bytes()),
        Oid::INT8 => bytes.extend(value.to_be_bytes()),
        Oid::OID => bytes.extend(u32::try_from(value).map_err(range)?.to_be_bytes()),
        _ => return Err(ValueError::Type(oid)),
    }
    Ok(())
}

fn read_integer(oid: Oid, bytes: &[u8]) -> Result<i64, ValueError> {
    Ok(match oid {
        Oid::INT2 => i16::from_be_bytes(exact(bytes)?).into(),
        Oid::INT4 => i32::from_be_bytes(exact(bytes)?).into(),
        Oid::INT8 => i64::from_be_bytes(exact(bytes)?),
        Oid::OID => u32::from_be_bytes(exact(bytes)?).into(),
        _ => return Err(ValueError::Type(oid)),
    })
}

macro_rules! integers {
    ($($type:ty: $($oid:ident)|*),* $(,)?) => {$(
        impl ToSql for $type {
            fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
                write_integer(i64::from(*self), oid, bytes)
            }
        }

        impl FromSql<'_> for $type {
            fn accepts(oid: Oid) -> bool {
                matches!(oid, $(Oid::$oid)|*)
            }

            fn from_bytes(oid: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
                read_integer(oid, bytes)?.try_into().map_err(|_| ValueError::Range)
            }
        }
    )*};
}

integers! {
    i16: INT2,
    i32: INT2 | INT4,
    i64: INT2 | INT4 | INT8 | OID,
    u32: OID,
}

impl ToSql for f32 {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        match oid {
            Oid::FLOAT4 => bytes.extend(self.to_be_bytes()),
            _ => return f64::from(*self).write(oid, bytes),
        }
        Ok(())
    }
}

impl ToSql for f64 {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, oid == Oid::FLOAT8)?;
        bytes.extend(self.to_be_bytes());
        Ok(())
    }
}

impl FromSql<'_> for f32 {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::FLOAT4
    }

    fn from_bytes(_: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        exact(bytes).map(Self::from_be_bytes)
    }
}

impl FromSql<'_> for f64 {
    fn accepts(oid: Oid) -> bool {
        matches!(oid, Oid::FLOAT4 | Oid::FLOAT8)
    }

    fn from_bytes(oid: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        match oid {
            Oid::FLOAT4 => f32::from_bytes(oid, bytes).map(Self::from),
            _ => exact(bytes).map(Self::from_be_bytes),
        }
    }
}

impl ToSql for str {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, oid.is_text())?;
        bytes.extend_from_slice(self.as_bytes());
        Ok(())
    }
}

impl ToSql for String {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        self.as_str().write(oid, bytes)
    }
}

impl<'a> FromSql<'a> for &'a str {
    fn accepts(oid: Oid) -> bool {
        oid.is_text()
    }

    fn from_bytes(_: Oid, bytes: &'a [u8]) -> Result<Self, ValueError> {
        str::from_utf8(bytes).map_err(|_| ValueError::Malformed)
    }
}

impl<'a> FromSql<'a> for String {
    fn accepts(oid: Oid) -> bool {
        oid.is_text()
    }

    fn from_bytes(oid: Oid, bytes: &'a [u8]) -> Result<Self, ValueError> {
        <&str>::from_bytes(oid, bytes).map(Self::from)
    }
}

impl ToSql for [u8] {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, oid == Oid::BYTEA)?;
        bytes.extend_from_slice(self);
        Ok(())
    }
}

impl ToSql for Vec<u8> {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        self.as_slice().write(oid, bytes)
    }
}

impl<'a> FromSql<'a> for &'a [u8] {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::BYTEA
    }

    fn from_bytes(_: Oid, bytes: &'a [u8]) -> Result<Self, ValueError> {
        Ok(bytes)
    }
}

impl<'a> FromSql<'a> for Vec<u8> {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::BYTEA
    }

    fn from_bytes(_: Oid, bytes: &'a [u8]) -> Result<Self, ValueError> {
        Ok(bytes.to_vec())
    }
}

impl ToSql for Uuid {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, oid == Oid::UUID)?;
        bytes.extend_from_slice(self.as_bytes());
        Ok(())
    }
}

impl FromSql<'_> for Uuid {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::UUID
    }

    fn from_bytes(_: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        exact(bytes).map(Self::from_bytes)
    }
}

/// Nothing, as of a function that gives `void`.
impl FromSql<'_> for () {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::VOID
    }

    fn from_bytes(_: Oid, _: &[u8]) -> Result<Self, ValueError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn bytes_of(value: &dyn ToSql, oid: Oid) -> Result<Vec<u8>, ValueError> {
        let mut bytes = Vec::new();
        value.write(oid, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn an_integer_goes_where_it_has_room() {
        assert_eq!(bytes_of(&7_i64, Oid::INT2).unwrap(), [0, 7]);
        assert_eq!(bytes_of(&-1_i16, Oid::INT8).unwrap(), [255; 8]);
        assert_eq!(bytes_of(&32_767_i32, Oid::INT2).unwrap(), [127, 255]);
        assert_eq!(bytes_of(&32_768_i32, Oid::INT2), Err(ValueError::Range));
        assert_eq!(bytes_of(&-1_i32, Oid::OID), Err(ValueError::Range));
        assert_eq!(bytes_of(&1_i32, Oid::TEXT), Err(ValueError::Type(Oid::TEXT)));
        assert_eq!(i64::from_bytes(Oid::INT2, &[255, 254]), Ok(-2));
        assert_eq!(i64::from_bytes(Oid::OID, &[255; 4]), Ok(4_294_967_295));
        assert_eq!(i64::from_bytes(Oid::INT8, &[0; 7]), Err(ValueError::Malformed));
        assert!(!i32::accepts(Oid::INT8) && !i16::accepts(Oid::INT4));
    }

    #[test]
    fn floats_texts_and_bytes_are_as_they_are() {
        assert_eq!(bytes_of(&1.5_f32, Oid::FLOAT8).unwrap(), 1.5_f64.to_be_bytes());
        assert_eq!(bytes_of(&1.5_f64, Oid::FLOAT4), Err(ValueError::Type(Oid::FLOAT4)));
        assert_eq!(f64::from_bytes(Oid::FLOAT4, &1.5_f32.to_be_bytes()), Ok(1.5));
        assert_eq!(f64::from_bytes(Oid::FLOAT8, &[0; 4]), Err(ValueError::Malformed));
        assert_eq!(bytes_of(&"é", Oid::VARCHAR).unwrap(), "é".as_bytes());
        assert_eq!(bytes_of(&"mood", Oid(20_000)).unwrap(), b"mood");
        assert_eq!(bytes_of(&"1", Oid::INT4), Err(ValueError::Type(Oid::INT4)));
        assert_eq!(<&str>::from_bytes(Oid::TEXT, b"\xFF"), Err(ValueError::Malformed));
        assert_eq!(bytes_of(&vec![1_u8, 2], Oid::BYTEA).unwrap(), [1, 2]);
        assert_eq!(bool::from_bytes(Oid::BOOL, &[2]), Err(ValueError::Malformed));
        assert_eq!(bytes_of(&true, Oid::BOOL).unwrap(), [1]);
        let uuid = Uuid::from_bytes([7; 16]);
        assert_eq!(<Uuid as FromSql>::from_bytes(Oid::UUID, &[7; 16]), Ok(uuid));
        assert!(<Uuid as FromSql>::from_bytes(Oid::UUID, &[7; 15]).is_err());
        assert_eq!(bytes_of(&uuid, Oid::UUID).unwrap(), [7; 16]);
    }

    #[test]
    fn null_is_an_option_s_and_nobody_else_s() {
        assert!(None::<i32>.is_null() && !Some(1).is_null() && Some(None::<i32>).is_null());
        assert_eq!(i32::from_null(), Err(ValueError::Null));
        assert_eq!(Option::<i32>::from_null(), Ok(None));
        assert_eq!(Option::<i32>::from_bytes(Oid::INT4, &[0, 0, 0, 1]), Ok(Some(1)));
    }

    #[test]
    fn types_have_names() {
        assert_eq!(std::format!("{} {}", Oid::INT4_ARRAY, Oid(99)), "int4[] number 99");
        assert_eq!((Oid::TEXT_ARRAY.element(), Oid::TEXT.element()), (Some(Oid::TEXT), None));
    }
}
