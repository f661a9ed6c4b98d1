//! CBOR deserializer: an object as serde asks for it, from whatever way of writing it a peer has chosen.
//!
//! Items are read by `cbor4ii`. Beyond that this is as liberal as peers are: a number is taken in any form that has its
//! value, lengths in any form, maps and arrays with or without a length. Tags say something more of what
//! they stand before, which types here do not ask for, so they are read over (RFC 8949 section 3.4).

use super::decode::Chain;
use super::numbers::{Whole, float_of_half, whole_of_float};
use alloc::borrow::Cow;
use cbor4ii::core::dec::{self, Decode, IgnoredAny, Read, if_major, is_break};
use cbor4ii::core::{major, marker, types};
use core::convert::Infallible;
use core::fmt;
use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeSeed, Visitor};

/// Why there is no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// The bytes are no CBOR.
    Syntax,
    /// They are, and not of the type that was asked for.
    Shape,
    /// Nested deeper than allowed.
    Depth,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not valid CBOR",
            Self::Shape => "of another shape than expected",
            Self::Depth => "nested too deep",
        })
    }
}

impl core::error::Error for Error {}

impl de::Error for Error {
    /// What types say who are not content with what they get. Nothing is allocated for it.
    #[cold]
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Shape
    }
}

impl From<dec::Error<Infallible>> for Error {
    #[cold]
    fn from(error: dec::Error<Infallible>) -> Self {
        match error {
            dec::Error::DepthOverflow { .. } => Self::Depth,
            _ => Self::Syntax,
        }
    }
}

/// Tags whose bytes are a number of any length (RFC 8949 section 3.4.3).
const POSITIVE_NUMBER: u8 = 0xc2;
const NEGATIVE_NUMBER: u8 = 0xc3;
const EMPTY_ARRAY: u8 = major::ARRAY << 5;

impl<'de> Chain<'de> {
    /// The next byte, which stays.
    #[inline]
    fn peek(&mut self) -> Result<u8, Error> {
        let Ok(bytes) = self.fill(1);
        bytes.as_ref().first().copied().ok_or(Error::Syntax)
    }

    /// The first byte of the item behind tags that have no meaning here.
    #[inline]
    fn begin(&mut self) -> Result<u8, Error> {
        let byte = self.peek()?;
        if if_major(byte) == major::TAG { self.skip_tags(byte) } else { Ok(byte) }
    }

    #[cold]
    fn skip_tags(&mut self, mut byte: u8) -> Result<u8, Error> {
        while if_major(byte) == major::TAG && !matches!(byte, POSITIVE_NUMBER | NEGATIVE_NUMBER) {
            types::Tag::<types::Nothing>::decode(self)?;
            byte = self.peek()?;
        }
        Ok(byte)
    }

    /// As [`begin`](Self::begin), where a number's tag means nothing, either.
    #[inline]
    fn begin_plain(&mut self) -> Result<u8, Error> {
        let byte = self.peek()?;
        if if_major(byte) == major::TAG { self.skip_all_tags(byte) } else { Ok(byte) }
    }

    #[cold]
    fn skip_all_tags(&mut self, mut byte: u8) -> Result<u8, Error> {
        while if_major(byte) == major::TAG {
            types::Tag::<types::Nothing>::decode(self)?;
            byte = self.peek()?;
        }
        Ok(byte)
    }

    /// The item that begins with `byte`, which is a positive number.
    #[inline]
    fn unsigned(&mut self, byte: u8) -> Result<u64, Error> {
        // Most are short, and lie in one chunk.
        let (number, len) = match *self.here() {
            [0..=0x17, ..] => (byte.into(), 1),
            [0x18, a, ..] => (a.into(), 2),
            [0x19, a, b, ..] => (u16::from_be_bytes([a, b]).into(), 3),
            [0x1a, a, b, c, d, ..] => (u32::from_be_bytes([a, b, c, d]).into(), 5),
            _ => return Ok(u64::decode(self)?),
        };
        self.advance(len);
        Ok(number)
    }

    /// The item that begins with `byte`, if it is a whole number.
    #[inline]
    fn whole(&mut self, byte: u8) -> Result<Whole, Error> {
        match if_major(byte) {
            major::UNSIGNED => Ok(Whole::Positive(self.unsigned(byte)?.into())),
            major::NEGATIVE => Ok(Whole::Negative(types::Negative::<u64>::decode(self)?.0.into())),
            major::TAG => self.long_whole(byte),
            major::SIMPLE if matches!(byte, marker::F16 | marker::F32 | marker::F64) => {
                whole_of_float(self.float(byte)?).ok_or(Error::Shape)
            }
            _ => Err(self.mismatch(byte)),
        }
    }

    /// Big-endian bytes behind the tag `byte`.
    #[cold]
    fn long_whole(&mut self, byte: u8) -> Result<Whole, Error> {
        self.advance(1);
        let next = self.peek()?;
        if if_major(next) != major::BYTES {
            return Err(self.mismatch(next));
        }
        let bytes = types::Bytes::<Cow<'de, [u8]>>::decode(self)?.0;
        let mut number = 0_u128;
        for byte in &*bytes {
            number = number.checked_mul(256).ok_or(Error::Shape)? | u128::from(*byte);
        }
        match byte {
            POSITIVE_NUMBER => Ok(Whole::Positive(number)),
            _ => Ok(Whole::Negative(number)),
        }
    }

    #[inline]
    fn float(&mut self, byte: u8) -> Result<f64, Error> {
        if let [marker::F64, rest @ ..] = self.here()
            && let Some(bytes) = rest.first_chunk()
        {
            self.advance(9);
            return Ok(f64::from_be_bytes(*bytes));
        }
        match byte {
            marker::F64 => Ok(f64::decode(self)?),
            marker::F32 => Ok(f32::decode(self)?.into()),
            _ => Ok(float_of_half(types::F16::decode(self)?.0)),
        }
    }

    /// Another item than expected: unless it is none at all, it is of the wrong shape.
    #[cold]
    fn mismatch(&mut self, byte: u8) -> Error {
        let is_reserved = match if_major(byte) {
            major::BYTES | major::STRING | major::ARRAY | major::MAP => {
                (28..=30).contains(&dec::low(byte))
            }
            // A break where an item is due, too.
            _ => (28..=31).contains(&dec::low(byte)),
        };
        if is_reserved { Error::Syntax } else { Error::Shape }
    }

    /// Goes one level deeper for the time of `body`.
    #[inline]
    fn deeper<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if !self.step_in() {
            return Err(Error::Depth);
        }
        let outcome = body(self);
        self.step_out();
        outcome
    }

    /// The elements of an array, or the entries of a map, all of which `visit` is to take.
    #[inline]
    fn items<T>(
        &mut self,
        len: Option<usize>,
        visit: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.deeper(|chain| {
            let mut items = Items { chain, left: len, ended: false };
            let value = visit(&mut items)?;
            if items.has_next()? { Err(Error::Shape) } else { Ok(value) }
        })
    }
}

/// What is left of an array or a map.
struct Items<'c, 'de> {
    chain: &'c mut Chain<'de>,
    /// None until a break.
    left: Option<usize>,
    ended: bool,
}

impl Items<'_, '_> {
    /// Whether there is one more, which the caller takes.
    #[inline]
    fn has_next(&mut self) -> Result<bool, Error> {
        match &mut self.left {
            Some(left) => match left.checked_sub(1) {
                Some(rest) => *left = rest,
                None => self.ended = true,
            },
            None if !self.ended => self.ended = is_break(self.chain)?,
            None => {}
        }
        Ok(!self.ended)
    }

    /// An element has a byte at least: nobody makes room for more by claiming it.
    #[inline]
    fn hint(&self) -> Option<usize> {
        Some(self.left?.min(self.chain.bytes_left()))
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.has_next()? { seed.deserialize(&mut *self.chain).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> de::MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.has_next()? { seed.deserialize(&mut *self.chain).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.chain)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

/// A variant's name, and behind it its content in a map of one entry; without a map it has none.
struct Variant<'c, 'de> {
    chain: &'c mut Chain<'de>,
    has_content: bool,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    #[inline]
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.chain)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    #[inline]
    fn unit_variant(self) -> Result<(), Error> {
        if self.has_content { de::Deserialize::deserialize(self.chain) } else { Ok(()) }
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        if self.has_content { seed.deserialize(self.chain) } else { Err(Error::Shape) }
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        if !self.has_content {
            return Err(Error::Shape);
        }
        de::Deserializer::deserialize_seq(self.chain, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if !self.has_content {
            return Err(Error::Shape);
        }
        de::Deserializer::deserialize_map(self.chain, visitor)
    }
}

/// Methods for types that are whole numbers, and for others that are read as another one is.
macro_rules! forward {
    (wholes: $($whole:ident)*; $($name:ident => $other:ident;)*) => {
        $(#[inline]
        fn $whole<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let byte = self.begin()?;
            match if_major(byte) {
                major::UNSIGNED => visitor.visit_u64(self.unsigned(byte)?),
                _ => self.whole(byte)?.visit(visitor),
            }
        })*
        $(#[inline]
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$other(visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for &mut Chain<'de> {
    type Error = Error;

    forward! {
        wholes: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
            deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128;
        deserialize_f32 => deserialize_f64;
        deserialize_char => deserialize_str;
        deserialize_string => deserialize_str;
        deserialize_identifier => deserialize_str;
        deserialize_byte_buf => deserialize_bytes;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin()?;
        match if_major(byte) {
            major::UNSIGNED | major::NEGATIVE | major::TAG => self.whole(byte)?.visit(visitor),
            major::BYTES => self.deserialize_bytes(visitor),
            major::STRING => self.deserialize_str(visitor),
            major::ARRAY => self.deserialize_seq(visitor),
            major::MAP => self.deserialize_map(visitor),
            _ => match byte {
                marker::FALSE | marker::TRUE => self.deserialize_bool(visitor),
                marker::NULL | marker::UNDEFINED => self.deserialize_unit(visitor),
                marker::F16 | marker::F32 | marker::F64 => visitor.visit_f64(self.float(byte)?),
                _ => Err(self.mismatch(byte)),
            },
        }
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin_plain()?;
        if !matches!(byte, marker::FALSE | marker::TRUE) {
            return Err(self.mismatch(byte));
        }
        self.advance(1);
        visitor.visit_bool(byte == marker::TRUE)
    }

    /// Whole numbers are taken as well.
    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin()?;
        match byte {
            marker::F16 | marker::F32 | marker::F64 => visitor.visit_f64(self.float(byte)?),
            #[expect(clippy::cast_precision_loss)] // Whoever asks for a float gets the nearest one.
            _ => visitor.visit_f64(match self.whole(byte)? {
                Whole::Positive(number) => number as f64,
                Whole::Negative(number) => -1.0 - number as f64,
            }),
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin_plain()?;
        if if_major(byte) != major::STRING {
            return Err(self.mismatch(byte));
        }
        match <Cow<'de, str>>::decode(self)? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin_plain()?;
        match if_major(byte) {
            major::BYTES => match types::Bytes::<Cow<'de, [u8]>>::decode(self)?.0 {
                Cow::Borrowed(bytes) => visitor.visit_borrowed_bytes(bytes),
                Cow::Owned(bytes) => visitor.visit_byte_buf(bytes),
            },
            major::ARRAY => self.deserialize_seq(visitor),
            _ => Err(self.mismatch(byte)),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if matches!(self.begin()?, marker::NULL | marker::UNDEFINED) {
            self.advance(1);
            return visitor.visit_none();
        }
        self.deeper(|chain| visitor.visit_some(chain))
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin_plain()?;
        // The last is how our own encoder, and others of Rust's, write it.
        if !matches!(byte, marker::NULL | marker::UNDEFINED | EMPTY_ARRAY) {
            return Err(self.mismatch(byte));
        }
        self.advance(1);
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin_plain()?;
        match if_major(byte) {
            major::ARRAY => {
                let len = types::Array::len(self)?;
                self.items(len, |items| visitor.visit_seq(items))
            }
            // A list of bytes that a peer has as bytes.
            major::BYTES => {
                let bytes = types::Bytes::<Cow<'de, [u8]>>::decode(self)?.0;
                let mut elements = SeqDeserializer::new(bytes.iter().copied());
                let value = visitor.visit_seq(&mut elements)?;
                elements.end().map(|()| value)
            }
            _ => Err(self.mismatch(byte)),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.begin_plain()?;
        if if_major(byte) != major::MAP {
            return Err(self.mismatch(byte));
        }
        let len = types::Map::len(self)?;
        self.items(len, |items| visitor.visit_map(items))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let byte = self.begin_plain()?;
        match if_major(byte) {
            major::STRING => {
                self.deeper(|chain| visitor.visit_enum(Variant { chain, has_content: false }))
            }
            major::MAP => {
                let len = types::Map::len(self)?;
                self.items(len, |items| {
                    if !items.has_next()? {
                        return Err(Error::Shape);
                    }
                    visitor.visit_enum(Variant { chain: &mut *items.chain, has_content: true })
                })
            }
            _ => Err(self.mismatch(byte)),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        IgnoredAny::decode(self)?;
        visitor.visit_unit()
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
