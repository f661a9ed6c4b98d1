//! Numeric: decimal numbers of any length, exact both ways.

use super::{FromSql, Oid, ToSql};
use crate::ValueError;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// A `numeric`: a decimal number with so many digits behind the point as the server has, or none at all.
///
/// It is exact, and has no arithmetic: that is the server's, or of a crate that reads its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numeric(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Finite {
        is_negative: bool,
        /// The power of 10,000 of the first digit.
        weight: i16,
        /// Decimal digits behind the point that are shown.
        scale: u16,
        /// Digits to the base 10,000, the most significant first.
        digits: Vec<u16>,
    },
    NotANumber,
    Infinity,
    NegativeInfinity,
}

const BASE: u16 = 10_000;
const DIGITS_OF_BASE: usize = 4;

/// Most digits behind the point (`NUMERIC_DSCALE_MASK` of the server's source).
const SCALE_MAX: u16 = 0x3FFF;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

impl ToSql for Numeric {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        super::expect(oid, oid == Oid::NUMERIC)?;
        let special = |sign| (0, 0, sign, 0, &[][..]);
        let (count, weight, sign, scale, digits) = match &self.0 {
            Kind::Finite { is_negative, weight, scale, digits } => {
                let count = u16::try_from(digits.len()).map_err(|_| ValueError::Range)?;
                let sign = if *is_negative { NEGATIVE } else { POSITIVE };
                (count, *weight, sign, *scale, &digits[..])
            }
            Kind::NotANumber => special(NOT_A_NUMBER),
            Kind::Infinity => special(INFINITY),
            Kind::NegativeInfinity => special(NEGATIVE_INFINITY),
        };
        bytes.extend(count.to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(scale.to_be_bytes());
        bytes.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
        Ok(())
    }
}

impl FromSql<'_> for Numeric {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::NUMERIC
    }

    fn from_bytes(_: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        let (head, rest) = bytes.split_first_chunk::<8>().ok_or(ValueError::Malformed)?;
        let [c0, c1, w0, w1, s0, s1, d0, d1] = *head;
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        let sign = u16::from_be_bytes([s0, s1]);
        let scale = u16::from_be_bytes([d0, d1]);
        let (pairs, odd) = rest.as_chunks::<2>();
        let digits: Vec<_> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
        if digits.len() != count || !odd.is_empty() || digits.iter().any(|digit| *digit >= BASE) {
            return Err(ValueError::Malformed);
        }
        Ok(Self(match sign {
            POSITIVE | NEGATIVE if scale <= SCALE_MAX => Kind::Finite {
                is_negative: sign == NEGATIVE,
                weight: i16::from_be_bytes([w0, w1]),
                scale,
                digits,
            },
            NOT_A_NUMBER => Kind::NotANumber,
            INFINITY => Kind::Infinity,
            NEGATIVE_INFINITY => Kind::NegativeInfinity,
            _ => return Err(ValueError::Malformed),
        }))
    }
}

impl fmt::Display for Numeric {
    /// As the server writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind::Finite { is_negative, weight, scale, digits } = &self.0 else {
            return f.write_str(match self.0 {
                Kind::Infinity => "Infinity",
                Kind::NegativeInfinity => "-Infinity",
                _ => "NaN",
            });
        };
        let digit = |power: i32| {
            let place = usize::try_from(i32::from(*weight) - power).ok();
            place.and_then(|place| digits.get(place)).copied().unwrap_or(0)
        };
        if *is_negative {
            f.write_str("-")?;
        }
        write!(f, "{}", digit((*weight).max(0).into()))?;
        (0..i32::from(*weight)).rev().try_for_each(|power| write!(f, "{:04}", digit(power)))?;
        if *scale == 0 {
            return Ok(());
        }
        f.write_str(".")?;
        let mut left = usize::from(*scale);
        let mut power = -1;
        while left > 0 {
            let count = left.min(DIGITS_OF_BASE);
            let shown =
                digit(power) / 10_u16.pow(u32::try_from(DIGITS_OF_BASE - count).unwrap_or(0));
            write!(f, "{shown:0count$}")?;
            left -= count;
            power -= 1;
        }
        Ok(())
    }
}

/// The text is no decimal number, or one too long for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseNumericError;

impl fmt::Display for ParseNumericError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no decimal number without an exponent, or too long")
    }
}

impl core::error::Error for ParseNumericError {}

impl FromStr for Numeric {
    type Err = ParseNumericError;

    /// Reads digits with an optional sign and point, `NaN`, `Infinity` and `-Infinity`.
    fn from_str(text: &str) -> Result<Self, ParseNumericError> {
        match text {
            "NaN" => return Ok(Self(Kind::NotANumber)),
            "Infinity" => return Ok(Self(Kind::Infinity)),
            "-Infinity" => return Ok(Self(Kind::NegativeInfinity)),
            _ => {}
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
            return Err(ParseNumericError);
        }
        let scale = u16::try_from(fraction.len()).map_err(|_| ParseNumericError)?;
        let whole = whole.trim_start_matches('0');
        let groups = whole.len().div_ceil(DIGITS_OF_BASE);
        let weight = i16::try_from(groups).map_err(|_| ParseNumericError)? - 1;
        if scale > SCALE_MAX {
            return Err(ParseNumericError);
        }
        Ok(Self(Kind::finite(text.starts_with('-'), weight, scale, &digits_of(whole, fraction))))
    }
}

impl Kind {
    /// The form that the server gives: no zeros at either end, and zero without a sign.
    fn finite(is_negative: bool, weight: i16, scale: u16, digits: &[u16]) -> Self {
        let Some(first) = digits.iter().position(|digit| *digit > 0) else {
            return Self::Finite { is_negative: false, weight: 0, scale, digits: Vec::new() };
        };
        let end = digits.iter().rposition(|digit| *digit > 0).map_or(0, |last| last + 1);
        let digits = digits.get(first..end).unwrap_or_default().to_vec();
        // As many as digits: fewer than an i16 has room for, since the text had a bound.
        let weight = weight - i16::try_from(first).unwrap_or(0);
        Self::Finite { is_negative, weight, scale, digits }
    }
}

/// Digits to the base 10,000, from decimal ones around the point.
fn digits_of(whole: &str, fraction: &str) -> Vec<u16> {
    let front = whole.len().next_multiple_of(DIGITS_OF_BASE) - whole.len();
    let back = fraction.len().next_multiple_of(DIGITS_OF_BASE) - fraction.len();
    let mut decimal = String::with_capacity(front + whole.len() + fraction.len() + back);
    decimal.extend(core::iter::repeat_n('0', front));
    decimal.push_str(whole);
    decimal.push_str(fraction);
    decimal.extend(core::iter::repeat_n('0', back));
    let groups = decimal.as_bytes().chunks(DIGITS_OF_BASE);
    groups
        .map(|group| group.iter().fold(0, |sum, byte| sum * 10 + u16::from(byte - b'0')))
        .collect()
}

impl From<i64> for Numeric {
    fn from(value: i64) -> Self {
        let mut digits = Vec::new();
        let mut rest = value.unsigned_abs();
        while rest > 0 {
            // Less than the base.
            digits.push(u16::try_from(rest % u64::from(BASE)).unwrap_or(0));
            rest /= u64::from(BASE);
        }
        digits.reverse();
        // An i64 has at most five such digits.
        let weight = i16::try_from(digits.len()).unwrap_or(0) - 1;
        Self(Kind::finite(value < 0, weight, 0, &digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec;

    const SAME: [&str; 16] = [
        "0",
        "0.00",
        "1",
        "-1",
        "9999",
        "10000",
        "10001",
        "123456789.000123400",
        "-0.5",
        "0.0001",
        "0.00001",
        "100000000000000000000000000000",
        "0.000000000000000000001",
        "NaN",
        "Infinity",
        "-Infinity",
    ];

    #[test]
    fn text_is_the_same_there_and_back_by_way_of_the_binary_form() {
        for text in SAME {
            let value: Numeric = text.parse().unwrap();
            let mut bytes = Vec::new();
            value.write(Oid::NUMERIC, &mut bytes).unwrap();
            let back = Numeric::from_bytes(Oid::NUMERIC, &bytes).unwrap();
            assert_eq!((back.to_string().as_str(), &back), (text, &value));
            for cut in 0..bytes.len() {
                assert!(Numeric::from_bytes(Oid::NUMERIC, &bytes[..cut]).is_err());
            }
        }
        for (text, shown) in [("+1", "1"), ("-0", "0"), (".5", "0.5"), ("5.", "5"), ("007", "7")] {
            assert_eq!(text.parse::<Numeric>().unwrap().to_string(), shown);
        }
        for text in ["", "-", ".", "1e5", "1.2.3", "--1", " 1", "１"] {
            assert_eq!(text.parse::<Numeric>(), Err(ParseNumericError), "{text}");
        }
        for value in [0, 1, -1, 10_000, i64::MAX, i64::MIN] {
            assert_eq!(Numeric::from(value).to_string(), value.to_string());
            assert_eq!(Numeric::from(value), value.to_string().parse().unwrap());
        }
    }

    #[test]
    fn the_binary_form_is_the_server_s() {
        // 12345.678: 1, 2345, 6780 with the weight 1 and the scale 3.
        let mut bytes = Vec::new();
        "12345.678".parse::<Numeric>().unwrap().write(Oid::NUMERIC, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124]);
    }

    #[test]
    fn digits_signs_and_scales_out_of_range_are_refused() {
        let form = |sign: u16, scale: u16, digit: u16| {
            [1, 0, sign, scale, digit]
                .iter()
                .flat_map(|part| part.to_be_bytes())
                .collect::<Vec<_>>()
        };
        let read = |bytes: Vec<u8>| Numeric::from_bytes(Oid::NUMERIC, &bytes);
        assert!(read(form(POSITIVE, 0x3fff, 9_999)).is_ok());
        for bytes in [form(POSITIVE, 0, BASE), form(0x8000, 0, 1), form(POSITIVE, SCALE_MAX + 1, 1)]
        {
            assert_eq!(read(bytes), Err(ValueError::Malformed));
        }
        assert!(read(vec![0; 8]).is_ok());
        assert!(read(vec![0; 9]).is_err());
        let long = std::format!("0.{}", "1".repeat(usize::from(SCALE_MAX) + 1));
        assert!(
            long.parse::<Numeric>().is_err() && long[..long.len() - 1].parse::<Numeric>().is_ok()
        );
    }
}
