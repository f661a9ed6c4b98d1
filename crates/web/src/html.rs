//! HTML: texts in pages (WHATWG HTML standard, section 13.3).

use core::fmt;

/// A text as it is written in a page, in an element or in an attribute's quotes: what it has of markup is text.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, byte) in self.0.bytes().enumerate() {
            let reference = match byte {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                b'\'' => "&#39;",
                _ => continue,
            };
            f.write_str(&self.0[plain..at])?;
            f.write_str(reference)?;
            plain = at + 1;
        }
        f.write_str(&self.0[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn no_text_becomes_markup() {
        for (text, written) in [
            ("", ""),
            ("plain é", "plain é"),
            ("<a href='x'>&\"é", "&lt;a href=&#39;x&#39;&gt;&amp;&quot;é"),
            ("&amp;", "&amp;amp;"),
        ] {
            assert_eq!(format!("{}", Escaped(text)), written);
        }
    }
}
