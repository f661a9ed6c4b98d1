//! Sequence numbers, which wrap around (RFC 9293 section 3.4).

/// `a` comes before `b`: it is less than half of the space behind it.
pub(crate) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9293_numbers_are_compared_around_the_end() {
        assert!(before(1, 2) && !before(2, 1) && !before(2, 2));
        assert!(before(u32::MAX, 0) && before(u32::MAX - 5, 5) && !before(5, u32::MAX - 5));
    }
}
