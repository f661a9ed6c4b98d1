//! Lines: texts and menus as they are sent (RFC 1436 section 3.6 and its appendix), in pieces of any size.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Encodes lines: each ends with CRLF whatever it ended with, one that begins with a dot has two, and the last is a dot
/// alone. A menu's lines without a host get ours.
#[derive(Debug, Default)]
pub(crate) struct LineEncoder {
    /// Where a menu's items are if they do not say; none in texts.
    place: Option<String>,
    /// TABs in the line so far.
    tabs: u8,
    /// Some of the line was sent.
    in_line: bool,
    /// The last byte sent was CR.
    after_return: bool,
}

impl LineEncoder {
    /// For texts.
    pub(crate) fn text() -> Self {
        Self::default()
    }

    /// For menus of this server.
    pub(crate) fn menu(host: &str, port: u16) -> Self {
        Self { place: Some(format!("\t{host}\t{port}")), ..Self::default() }
    }

    /// Takes some bytes off the front of `text`, and appends what is to be sent for them; how many. `bytes_max` bounds the
    /// bytes that are taken as they are.
    pub(crate) fn encode(&mut self, text: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> usize {
        let Some(&first) = text.first() else { return 0 };
        if first == b'\n' {
            self.end_line(out);
            return 1;
        }
        if first == b'\r' && self.place.is_some() {
            // A menu's line ends behind its port.
            return 1;
        }
        if first == b'.' && !self.in_line {
            out.push(b'.');
        }
        let text = text.get(..bytes_max).unwrap_or(text);
        let is_menu = self.place.is_some();
        let stops = |&byte: &u8| byte == b'\n' || is_menu && byte == b'\r';
        let count = text.iter().position(stops).unwrap_or(text.len());
        let run = text.get(..count).unwrap_or(text);
        if is_menu {
            let tabs = run.iter().filter(|byte| **byte == b'\t').count();
            self.tabs = self.tabs.saturating_add(u8::try_from(tabs).unwrap_or(u8::MAX));
        }
        out.extend_from_slice(run);
        self.in_line = true;
        self.after_return = run.last() == Some(&b'\r');
        count
    }

    /// Appends the end.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        if self.in_line {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        if let Some(place) = &self.place
            && self.tabs == 1
        {
            out.extend_from_slice(place.as_bytes());
        }
        out.extend_from_slice(if self.after_return { b"\n" } else { b"\r\n" });
        (self.tabs, self.in_line, self.after_return) = (0, false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(mut encoder: LineEncoder, text: &[u8], piece: usize, bytes_max: usize) -> String {
        let mut out = Vec::new();
        for mut piece in text.chunks(piece) {
            while !piece.is_empty() {
                let count = encoder.encode(piece, bytes_max, &mut out);
                piece = &piece[count..];
            }
        }
        encoder.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn every_way(encoder: impl Fn() -> LineEncoder, text: &str, expected: &str) {
        for piece in 1..=text.len().max(1) {
            for bytes_max in [1, 2, 5, usize::MAX] {
                let text = encoded(encoder(), text.as_bytes(), piece, bytes_max);
                assert_eq!(text, expected, "pieces of {piece}, {bytes_max}");
            }
        }
    }

    #[test]
    fn rfc1436_texts_have_crlf_doubled_dots_and_an_end() {
        for (text, expected) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\n", "a\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a\rb\n\r\n\n", "a\rb\r\n\r\n\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            (".\n..\n.a\r\n b.\n", "..\r\n...\r\n..a\r\n b.\r\n.\r\n"),
            ("a\r", "a\r\n.\r\n"),
        ] {
            every_way(LineEncoder::text, text, expected);
        }
    }

    #[test]
    fn rfc1436_items_without_a_place_are_here() {
        let menu = || LineEncoder::menu("a.example", 70);
        every_way(
            menu,
            "1Here\t/here\r\n1There\t/\tb\t71\r\niwords\nhLast\tURL:x",
            "1Here\t/here\ta.example\t70\r\n1There\t/\tb\t71\r\niwords\r\nhLast\tURL:x\ta.example\t70\r\n.\r\n",
        );
    }
}
