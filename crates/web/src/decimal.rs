//! Decimal digits of numbers, without the formatter's cost.

/// Digits of a number, at most.
pub const DIGITS_MAX: usize = 20;

/// Writes `number` to the end of `digits`; the part that was written.
pub fn write(mut number: u64, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut first = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = index;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 99, 100, 12_345_678_901, u64::MAX] {
            let text = alloc::format!("{number}");
            assert_eq!(write(number, &mut [0; DIGITS_MAX]), text.as_bytes());
        }
    }
}
