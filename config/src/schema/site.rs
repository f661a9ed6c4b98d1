//! `[site]`, `[[site_host]]` and `[[site_rule]]`: how the site's files are served.

use crate::texts::is_field_name;
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::{fmt, str::FromStr};

/// `[site]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What the site's own folder is served with.
    pub serving: Serving,
    /// The `Cache-Control` of all files for which no rule says another. Default `no-cache`: caches keep files, and ask each time
    /// whether they are new. Empty: there is none.
    pub cache_control: String,
    /// Media types by extension, before those that are known. Default none.
    pub media_types: Vec<MediaType>,
}

impl Default for Site {
    fn default() -> Self {
        let cache_control = String::from("no-cache");
        Self { serving: Serving::default(), cache_control, media_types: Vec::new() }
    }
}

/// How the files of one folder are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Whether paths do without the extension of pages. Default off.
    pub clean_urls: CleanUrls,
    /// The file that answers, with 200, where nothing is and a page is asked for. Default none: 404.
    pub fallback: String,
    /// Whether a folder without an index is listed. Default false: nobody sees what no page leads to.
    pub listing: bool,
    /// The folder, in the served one, of pages for errors. Default `errors`.
    pub errors: String,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            clean_urls: CleanUrls::Off,
            fallback: String::new(),
            listing: false,
            errors: String::from("errors"),
        }
    }
}

/// One `[[site_host]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteHost {
    /// The hosts whose requests it is for, as `shop.example` or `*.shop.example`. One at least.
    pub names: Vec<String>,
    /// The folder of the bundle, or of the disk, that is served. There is no default.
    pub root: String,
    /// The file that answers for a folder. Default `index.html`.
    pub index: String,
    /// What else it is served with.
    pub serving: Serving,
}

impl Default for SiteHost {
    fn default() -> Self {
        let index = String::from("index.html");
        Self { names: Vec::new(), root: String::new(), index, serving: Serving::default() }
    }
}

/// One `[[site_rule]]`. Of several for the same path, what a later one says is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteRule {
    /// The paths, as `/about`, `/assets/*` or `*.js`. There is no default.
    pub path: String,
    /// The hosts, as of [`SiteHost::names`]. Default none: all of them.
    pub hosts: Vec<String>,
    /// The `Cache-Control`. Default none: as without this rule.
    pub cache_control: String,
    /// Fields that answers get, in place of others of their names. Default none.
    pub headers: Vec<FieldText>,
    /// Names of fields that answers lose. Default none.
    pub remove_headers: Vec<String>,
}

/// Paths without the extension of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanUrls {
    /// There are none.
    Off,
    /// `/about` is answered with `about.html`, as `/about.html` is.
    Answer,
    /// `/about` is answered with `about.html`, and `/about.html` is sent there.
    Redirect,
}

impl CleanUrls {
    const ALL: [Self; 3] = [Self::Off, Self::Answer, Self::Redirect];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Answer => "answer",
            Self::Redirect => "redirect",
        }
    }
}

impl FromStr for CleanUrls {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|it| it.word() == text).ok_or(())
    }
}

impl fmt::Display for CleanUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An extension and its media type, written `glb model/gltf-binary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// In lower case, without a dot.
    pub extension: String,
    /// The type, with its parameters.
    pub media_type: String,
}

impl FromStr for MediaType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (extension, media_type) = text.split_once(' ').ok_or(())?;
        let media_type = media_type.trim_matches(' ');
        let is_extension = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte);
        let essence = media_type.split(';').next().unwrap_or("").trim_end();
        let is_type = essence
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_field_name(kind) && is_field_name(subtype));
        let is_plain = media_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if extension.is_empty() || !extension.bytes().all(is_extension) || !is_type || !is_plain {
            return Err(());
        }
        let (extension, media_type) = (extension.to_ascii_lowercase(), media_type.to_owned());
        Ok(Self { extension, media_type })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.extension, self.media_type)
    }
}

/// A field, written `NAME: VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldText {
    /// A token (RFC 9110 section 5.1).
    pub name: String,
    /// Visible, one line.
    pub value: String,
}

/// Fields that are not a rule's to say: they follow from the content and the connection.
const OTHERS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a rule may set or remove the field of this name.
pub(crate) fn is_rules_field(name: &str) -> bool {
    is_field_name(name) && !OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other))
}

impl FromStr for FieldText {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, value) = text.split_once(':').ok_or(())?;
        let value = value.trim();
        let fits = is_rules_field(name) && !value.is_empty() && !value.contains(char::is_control);
        let field = || Self { name: name.to_owned(), value: value.to_owned() };
        fits.then(field).ok_or(())
    }
}

impl fmt::Display for FieldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn media_types_have_an_extension_and_a_type() {
        for text in ["glb model/gltf-binary", "x text/plain; charset=utf-8", "tar-x a/b+c"] {
            assert_eq!(text.parse::<MediaType>().unwrap().to_string(), text);
        }
        assert_eq!("GLB  a/b".parse::<MediaType>().unwrap().to_string(), "glb a/b");
        for text in ["", "glb", "glb model", ".glb a/b", "a/b glb", "glb a/b/c", "glb a/b\n", "glb /b"] {
            assert!(text.parse::<MediaType>().is_err(), "{text}");
        }
    }

    #[test]
    fn fields_have_a_name_and_a_value() {
        let csp = "Content-Security-Policy: default-src 'self'; img-src https://a.example";
        assert_eq!(csp.parse::<FieldText>().unwrap().to_string(), csp);
        assert_eq!("X-A:1".parse::<FieldText>().unwrap().to_string(), "X-A: 1");
        for text in ["", "X-A", "X-A:", "X A: 1", ": 1", "X-A: 1\r\nX-B: 2", "Content-length: 1", "Date: x"] {
            assert!(text.parse::<FieldText>().is_err(), "{text}");
        }
    }
}
