//! SASLprep (RFC 4013): what looks the same to who types it is the same password.
//!
//! As PostgreSQL has it, since both sides must come to the same bytes: what is prohibited is looked for before normalisation
//! and not behind it, and a password that SASLprep refuses, or that is no UTF-8, is taken as it is.

mod tables;

use alloc::vec::Vec;
use core::str;
use tables::{LEFT_TO_RIGHT, NOTHING, REFUSED, RIGHT_TO_LEFT, SPACE};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// How many times as long normalisation form KC makes UTF-8 at most (Unicode Standard Annex 15, section 12.1 and its table).
const GROWTH_MAX: usize = 11;

/// The bytes that stand for a password.
pub(crate) fn prepare(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = str::from_utf8(password).ok().filter(|text| !text.is_ascii());
    let prepared = text.and_then(prepare_text);
    prepared.unwrap_or_else(|| Zeroizing::new(password.to_vec()))
}

fn prepare_text(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // The sections are RFC 4013's. 2.1: mapping.
    let chars = || {
        let kept = text.chars().filter(|it| SPACE.has(*it) || !NOTHING.has(*it));
        kept.map(|it| if SPACE.has(it) { ' ' } else { it })
    };
    let (first, last) = (chars().next()?, chars().next_back()?);
    // 2.3 and 2.5: prohibited output, unassigned code points.
    if chars().any(|it| REFUSED.has(it)) {
        return None;
    }
    // 2.4: bidirectional characters (RFC 3454 section 6).
    if chars().any(|it| RIGHT_TO_LEFT.has(it)) {
        let is_mixed = chars().any(|it| LEFT_TO_RIGHT.has(it));
        if is_mixed || !RIGHT_TO_LEFT.has(first) || !RIGHT_TO_LEFT.has(last) {
            return None;
        }
    }
    // 2.2: normalisation. There is room from the start, so that no part of it is left where it grew.
    let mut prepared = Zeroizing::new(Vec::with_capacity(GROWTH_MAX * text.len()));
    for it in chars().nfkc() {
        prepared.extend_from_slice(it.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(prepared)
}

/// Characters: each number is where they begin or end to be in it, in turns.
struct Set(&'static [u32]);

impl Set {
    fn has(&self, it: char) -> bool {
        self.0.partition_point(|bound| *bound <= u32::from(it)) % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(password: &str, expected: &str) {
        assert_eq!(str::from_utf8(&prepare(password.as_bytes())), Ok(expected));
    }

    #[test]
    fn rfc_4013_section_3_examples() {
        same("I\u{AD}X", "IX");
        same("user", "user");
        same("USER", "USER");
        same("\u{AA}", "a");
        same("\u{2168}", "IX");
        // Refused there, and so taken as they are.
        same("\u{7}", "\u{7}");
        same("\u{627}1", "\u{627}1");
    }

    #[test]
    fn spaces_are_one_and_what_is_not_seen_is_dropped() {
        same("a\u{A0}b\u{3000}c", "a b c");
        same("a\u{200B}b\u{2060}c", "a bc");
        same("e\u{301}\u{FE0F}", "é");
        // Nothing would be left.
        same("\u{AD}", "\u{AD}");
    }

    #[test]
    fn what_is_refused_is_taken_as_it_is() {
        // A control character, private use, what was not assigned, and what changes how text is shown.
        for refused in ["\u{1}", "\u{E000}", "\u{1F600}", "\u{202E}", "\u{340}", "\u{FFFF}"] {
            let password = alloc::format!("\u{2168}{refused}");
            same(&password, &password);
        }
        let no_text = [0xFF, 0xC2, 0xAA];
        assert_eq!(prepare(&no_text)[..], no_text);
    }

    #[test]
    fn rfc_3454_section_6_directions_do_not_mix() {
        same("\u{627}\u{FE8D}1\u{628}", "\u{627}\u{627}1\u{628}");
        same("\u{FE8D}a\u{628}", "\u{FE8D}a\u{628}");
        same("\u{FE8D}1", "\u{FE8D}1");
        same("1\u{FE8D}", "1\u{FE8D}");
    }

    #[test]
    fn there_is_room_for_the_longest() {
        let prepared = prepare("\u{FDFA}".as_bytes());
        assert_eq!((prepared.len(), prepared.capacity()), (33, 33));
    }
}
