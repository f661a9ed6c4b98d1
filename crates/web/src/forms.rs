//! Forms: queries and `application/x-www-form-urlencoded` content (WHATWG URL standard, section 5.1).

use crate::percent::decode_leniently;
use crate::{BodyError, Reply, Request, RequestHead, Response, Status, media_type};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use flow::task::waiting;

/// What a form may have.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the encoded form. Default 64 KiB: forms are typed by people; files come in another way.
    pub bytes_max: usize,
    /// Pairs. Default 1,000. Each takes some memory of its own, however short it is.
    pub pairs_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes_max: 64 << 10, pairs_max: 1_000 }
    }
}

/// The names and values of a form, in the order sent. A name may stand there more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

/// Why there is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// More bytes or pairs than its limit.
    TooLarge,
    /// The content is of another media type.
    MediaType,
    /// The content did not arrive whole.
    Incomplete,
}

impl FormError {
    /// The status that says so.
    pub fn status(self) -> Status {
        match self {
            FormError::TooLarge => Status::CONTENT_TOO_LARGE,
            FormError::MediaType => Status::UNSUPPORTED_MEDIA_TYPE,
            FormError::Incomplete => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the form is larger than allowed",
            Self::MediaType => "the content is no urlencoded form",
            Self::Incomplete => "the form did not arrive whole",
        })
    }
}

impl core::error::Error for FormError {}

/// The error as text, with its status.
impl From<FormError> for Response {
    fn from(error: FormError) -> Response {
        Response::error(error.status(), &error)
    }
}

impl From<FormError> for Reply {
    fn from(error: FormError) -> Reply {
        Response::from(error).into()
    }
}

impl Form {
    /// Decodes a form. Every text is one: what is badly encoded stands for itself, and bytes that are no UTF-8
    /// become U+FFFD.
    ///
    /// # Errors
    /// [`FormError::TooLarge`].
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Form, FormError> {
        if text.len() > limits.bytes_max {
            return Err(FormError::TooLarge);
        }
        let mut pairs = Vec::new();
        for pair in text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= limits.pairs_max {
                return Err(FormError::TooLarge);
            }
            let equals = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at_checked(equals).unwrap_or((pair, &[]));
            pairs.push((decode(name), decode(value.get(1..).unwrap_or(&[]))));
        }
        Ok(Form { pairs })
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All values of this name.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs().filter(move |(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl RequestHead {
    /// The target's query as a form; an empty one without a query.
    ///
    /// # Errors
    /// [`FormError::TooLarge`].
    pub fn query_form(&self, limits: &Limits) -> Result<Form, FormError> {
        Form::parse(self.query().unwrap_or(b""), limits)
    }
}

impl Request {
    /// Reads the content as a form.
    ///
    /// # Errors
    /// See [`FormError`].
    #[track_caller]
    pub fn form(&mut self, limits: &Limits) -> impl Future<Output = Result<Form, FormError>> {
        waiting(async move {
            let media_type = media_type::essence(self.header("content-type").unwrap_or(b""));
            if !media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
                return Err(FormError::MediaType);
            }
            match self.body().collect(limits.bytes_max).await {
                Ok(text) => Form::parse(&text, limits),
                Err(BodyError::TooLong) => Err(FormError::TooLarge),
                Err(BodyError::Incomplete) => Err(FormError::Incomplete),
            }
        })
    }
}

fn decode(text: &[u8]) -> String {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    match String::from_utf8(decode_leniently(&spaced)) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;
    use crate::request::parsed;
    use flow::Address;
    use flow::task::block_on;

    fn pairs(text: &str) -> Vec<(String, String)> {
        Form::parse(text.as_bytes(), &Limits::default()).unwrap().pairs
    }

    #[test]
    fn whatwg_url_5_1_parsing() {
        for (text, expected) in [
            ("test", &[("test", "")][..]),
            ("\u{feff}test=\u{feff}", &[("\u{feff}test", "\u{feff}")]),
            ("%EF%BB%BFtest=%EF%BB%BF", &[("\u{feff}test", "\u{feff}")]),
            ("%FE%FF", &[("\u{fffd}\u{fffd}", "")]),
            ("\u{2020}&\u{2020}=x", &[("\u{2020}", ""), ("\u{2020}", "x")]),
            ("%C2", &[("\u{fffd}", "")]),
            ("%C2x", &[("\u{fffd}x", "")]),
            ("", &[]),
            ("a=b", &[("a", "b")]),
            ("a=", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("&", &[]),
            ("&a", &[("a", "")]),
            ("a&", &[("a", "")]),
            ("a&b&c", &[("a", ""), ("b", ""), ("c", "")]),
            ("&&&a=b&&&&c=d&", &[("a", "b"), ("c", "d")]),
            ("a=a&a=b&a=c", &[("a", "a"), ("a", "b"), ("a", "c")]),
            ("a==a", &[("a", "=a")]),
            ("a=a+b+c+d", &[("a", "a b c d")]),
            ("a=1%2B1", &[("a", "1+1")]),
            ("%=a", &[("%", "a")]),
            ("%a=a", &[("%a", "a")]),
            ("%a_=a", &[("%a_", "a")]),
            ("%61=a", &[("a", "a")]),
            ("%61+%4d%4D=", &[("a MM", "")]),
            ("id=0&value=%", &[("id", "0"), ("value", "%")]),
            ("b=%2sf%2a", &[("b", "%2sf*")]),
            ("b=%2%2af%2a", &[("b", "%2*f*")]),
            ("b=%%2a", &[("b", "%*")]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|&(name, value)| (name.into(), value.into())).collect();
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn limits() {
        let limits = Limits { bytes_max: 9, pairs_max: 2 };
        assert!(Form::parse(b"a=1&b=2&&", &limits).is_ok());
        assert_eq!(Form::parse(b"a=1&b=2&&&", &limits), Err(FormError::TooLarge));
        assert_eq!(Form::parse(b"a&b&c", &limits), Err(FormError::TooLarge));
    }

    #[test]
    fn queries_are_forms() {
        let form = |target| parsed("GET", target, &[]).query_form(&Limits::default()).unwrap();
        assert_eq!(form("/?guess=42&guess=43").get("guess"), Some("42"));
        assert_eq!(form("/?guess=42&x&guess=43").get_all("guess").count(), 2);
        assert_eq!(form("/?guess=42").get("x"), None);
        assert_eq!((form("/"), form("/?")), (Form::default(), Form::default()));
    }

    #[test]
    fn content_is_a_form_if_it_says_so() {
        let read = |media_type: &str, content: &[u8], whole: bool| {
            let (sender, body) = Body::channel();
            sender.push(content);
            sender.end(if whole { Ok(None) } else { Err(BodyError::Incomplete) });
            let head = parsed("POST", "/", &[("Content-Type", media_type)]);
            let mut request = Request::new(head, body, Address::Memory(0));
            block_on(request.form(&Limits { bytes_max: 5, ..Limits::default() }))
        };
        let urlencoded = "Application/x-www-form-urlencoded ; charset=UTF-8";
        assert_eq!(read(urlencoded, b"a=b+c", true).unwrap().get("a"), Some("b c"));
        assert_eq!(read(urlencoded, b"a=b+cd", true), Err(FormError::TooLarge));
        assert_eq!(read(urlencoded, b"a=b", false), Err(FormError::Incomplete));
        let other = read("multipart/form-data; boundary=x", b"a=b", true);
        assert_eq!(other.map_err(FormError::status), Err(Status::UNSUPPORTED_MEDIA_TYPE));
    }
}
