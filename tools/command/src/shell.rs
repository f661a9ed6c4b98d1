//! Words of a shell (POSIX.1-2017, *Shell Command Language*, 2.2.2 Single-Quotes).

/// A text as one word, whatever is in it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same, without quotes where none are needed: for who reads it.
pub fn word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+,@%".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_word() {
        for (text, expected) in [
            ("../shop", "../shop"),
            ("/a b", "'/a b'"),
            ("it's", r"'it'\''s'"),
            ("a]b", "'a]b'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), expected);
        }
        assert_eq!(quoted("plain"), "'plain'");
    }
}
