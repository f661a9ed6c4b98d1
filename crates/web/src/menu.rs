//! Gopher menus (RFC 1436 section 3.9), as a handler gives them back: to be read by Gopher clients, and as
//! [`MEDIA_TYPE`] by others.
//!
//! ```
//! use web::menu::{ItemType, Menu};
//! use web::{Request, Response};
//!
//! async fn front(_: Request) -> Response {
//!     Menu::new()
//!         .info("Welcome")
//!         .item(ItemType::Text, "About us", "/about.txt")
//!         .item(ItemType::Search, "Search", "/search")
//!         .link("Our web site", "https://a.example/")
//!         .into()
//! }
//! ```

use crate::{Response, media_type};
use alloc::format;
use alloc::vec::Vec;

/// The media type of a menu.
pub const MEDIA_TYPE: &str = "application/gopher-menu";

/// What an item is (RFC 1436 section 3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemType {
    /// A text, whose last line is a dot.
    Text,
    /// A menu.
    Menu,
    /// An error; its title is what went wrong.
    Error,
    /// A question that is sent with its selector; a handler reads it as the query's `q`.
    Search,
    /// Any bytes.
    Binary,
    /// A GIF image.
    Gif,
    /// Another image.
    Image,
    /// HTML, or with a selector `URL:...` a link to the web.
    Html,
    /// Sound.
    Sound,
    /// No item, but words between them.
    Info,
}

impl ItemType {
    /// Content of this media type.
    pub fn of_media_type(media_type: &str) -> Self {
        let essence = media_type::essence(media_type.as_bytes());
        match essence {
            b"text/html" => Self::Html,
            b"image/gif" => Self::Gif,
            essence if essence == MEDIA_TYPE.as_bytes() => Self::Menu,
            essence if essence.starts_with(b"text/") => Self::Text,
            essence if essence.starts_with(b"image/") => Self::Image,
            essence if essence.starts_with(b"audio/") => Self::Sound,
            _ => Self::Binary,
        }
    }

    /// Its character.
    pub fn byte(self) -> u8 {
        match self {
            Self::Text => b'0',
            Self::Menu => b'1',
            Self::Error => b'3',
            Self::Search => b'7',
            Self::Binary => b'9',
            Self::Gif => b'g',
            Self::Image => b'I',
            Self::Html => b'h',
            Self::Sound => b's',
            Self::Info => b'i',
        }
    }
}

/// A menu. Control bytes in what is said to it become spaces, so that nothing ends its line or field.
#[derive(Clone, Debug, Default)]
pub struct Menu {
    /// Lines of type, title, selector, and host and port where they are not those of the server that sends it: it adds
    /// these.
    lines: Vec<u8>,
}

impl Menu {
    /// An empty menu.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds words.
    #[must_use]
    pub fn info(self, text: &str) -> Self {
        self.item(ItemType::Info, text, "")
    }

    /// Adds an item of this server. Its selector is a request target, as `/folder/a%20text.txt` or `/list?page=2`.
    #[must_use]
    pub fn item(mut self, item_type: ItemType, title: &str, selector: &str) -> Self {
        self.put(item_type, &[title, selector]);
        self
    }

    /// Adds an item of another server.
    #[must_use]
    pub fn item_at(
        mut self,
        item_type: ItemType,
        title: &str,
        selector: &str,
        host: &str,
        port: u16,
    ) -> Self {
        self.put(item_type, &[title, selector, host, &format!("{port}")]);
        self
    }

    /// Adds a link to the web.
    #[must_use]
    pub fn link(self, title: &str, url: &str) -> Self {
        self.item(ItemType::Html, title, &format!("URL:{url}"))
    }

    fn put(&mut self, item_type: ItemType, fields: &[&str]) {
        self.lines.push(item_type.byte());
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.lines.push(b'\t');
            }
            let plain = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
            self.lines.extend(field.bytes().map(plain));
        }
        self.lines.extend_from_slice(b"\r\n");
    }
}

impl From<Menu> for Response {
    fn from(menu: Menu) -> Response {
        Response::ok(MEDIA_TYPE, menu.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    #[test]
    fn rfc1436_3_9_lines() {
        let menu = Menu::new()
            .info("Hello,\tyou\r\n")
            .item(ItemType::Text, "A text", "/a.txt")
            .item_at(ItemType::Menu, "Elsewhere", "", "b.example", 7070)
            .link("Web", "https://a.example/");
        let mut response = Response::from(menu);
        assert_eq!(response.content_type(), Some(MEDIA_TYPE));
        let Content::Full(lines) = response.take_content() else { panic!("no text") };
        let expected = "iHello, you  \t\r\n0A text\t/a.txt\r\n1Elsewhere\t\tb.example\t7070\r\nhWeb\tURL:https://a.example/\r\n";
        assert_eq!(core::str::from_utf8(lines.as_bytes()), Ok(expected));
    }

    #[test]
    fn rfc1436_3_8_types_by_media_type() {
        for (media_type, byte) in [
            ("text/plain; charset=utf-8", b'0'),
            ("text/css", b'0'),
            ("text/html; charset=utf-8", b'h'),
            (MEDIA_TYPE, b'1'),
            ("image/gif", b'g'),
            ("image/png", b'I'),
            ("image/svg+xml", b'I'),
            ("audio/mpeg", b's'),
            ("application/zip", b'9'),
            ("application/json", b'9'),
            ("", b'9'),
        ] {
            assert_eq!(ItemType::of_media_type(media_type).byte(), byte, "{media_type}");
        }
    }
}
