//! A field of an HTTP request: it is sent as it is said, or refused.

use alloc::format;
use alloc::string::String;

/// Fields by which the generator itself says how a request ends and what becomes of its connection (RFC 9112).
const OWN: [&str; 6] =
    ["connection", "content-length", "date", "expect", "transfer-encoding", "upgrade"];

/// Whether a field can be sent as it is (RFC 9110 sections 5.1 and 5.5).
///
/// # Errors
/// The field, and what is allowed.
pub fn check_field(name: &str, value: &str) -> Result<(), String> {
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    let shown = name.escape_debug();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("found a field `{shown}`; allowed: a name of letters, digits and -"));
    }
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(format!(
            "found a field `{shown}`, which the generator itself sets; allowed: others"
        ));
    }
    if value.chars().any(|letter| letter.is_control() && letter != '\t') {
        let value = value.escape_debug();
        return Err(format!(
            "found `{value}` in the field `{shown}`; allowed: a value of one line"
        ));
    }
    let is_host = |octet: u8| octet.is_ascii_alphanumeric() || b"-._:[]".contains(&octet);
    let is_host = (1..=260).contains(&value.len()) && value.bytes().all(is_host);
    if name.eq_ignore_ascii_case("host") && !is_host {
        return Err(format!("found `{value}` in the field `{shown}`; allowed: HOST or HOST:PORT"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_sent_as_they_are_or_refused_by_their_name() {
        for (name, value) in
            [("Host", "shop.example:80"), ("Accept", "a\tb"), ("X_1", "ü"), ("Empty", "")]
        {
            assert_eq!(check_field(name, value), Ok(()));
        }
        for (name, value, part) in [
            ("", "x", "a name of letters"),
            ("Bad Name", "x", "`Bad Name`"),
            ("A\r\nB", "x", "`A\\r\\nB`"),
            ("Ä", "x", "a name of letters"),
            ("Content-Length", "77", "the generator itself sets"),
            ("transfer-encoding", "chunked", "`transfer-encoding`"),
            ("Connection", "close", "the generator itself sets"),
            ("Accept", "a\r\nB: c", "a value of one line"),
            ("Accept", "a\0", "a value of one line"),
            ("Host", "a b", "HOST:PORT"),
            ("host", "", "HOST:PORT"),
        ] {
            let error = check_field(name, value).unwrap_err();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
