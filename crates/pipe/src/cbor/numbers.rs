//! CBOR's numbers (RFC 8949 sections 3.3 and 3.4.3): whole ones of any length, and floats as what they are worth.

use super::deserializer::Error;
use core::cmp::Ordering;
use serde::de::Visitor;

/// A whole number, of whatever length.
#[derive(Clone, Copy)]
pub(super) enum Whole {
    Positive(u128),
    /// `-1` less this.
    Negative(u128),
}

impl Whole {
    /// Shows it in the smallest type that it fits into; types refuse what is out of their range.
    pub(super) fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Positive(number) => match u64::try_from(number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_u128(number),
            },
            Self::Negative(number) => {
                let number = i128::try_from(number).map_err(|_| Error::Shape)?;
                let number = -1 - number;
                match i64::try_from(number) {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => visitor.visit_i128(number),
                }
            }
        }
    }
}

/// The number that a float is, if it is a whole one of 64 bits.
pub(super) fn whole_of_float(float: f64) -> Option<Whole> {
    const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;
    // Nor is what is no number.
    if !matches!(float.abs().partial_cmp(&TWO_TO_64), Some(Ordering::Less)) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Just looked at.
    let magnitude = float.abs() as u64;
    #[expect(clippy::cast_precision_loss)] // What was lost was behind the point.
    let is_whole = magnitude as f64 == float.abs();
    match (is_whole, magnitude) {
        (false, _) => None,
        (true, 1..) if float.is_sign_negative() => Some(Whole::Negative(u128::from(magnitude) - 1)),
        (true, _) => Some(Whole::Positive(magnitude.into())),
    }
}

/// A half-precision float (IEEE 754 binary16), by its bits.
pub(super) fn float_of_half(bits: u16) -> f64 {
    // What the last bit of a subnormal number is worth.
    const SMALLEST: f64 = 1.0 / 16_777_216.0;
    let (exponent, fraction) = (bits >> 10 & 0x1f, bits & 0x3ff);
    let magnitude = match exponent {
        0 => f64::from(fraction) * SMALLEST,
        31 if fraction == 0 => f64::INFINITY,
        31 => f64::NAN,
        _ => f64::from_bits(u64::from(exponent + 1023 - 15) << 52 | u64::from(fraction) << 42),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}
