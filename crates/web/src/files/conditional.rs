//! Conditional requests (RFC 9110 section 13).

use super::etag::{ETag, list_has};
use crate::date;
use crate::{Method, RequestHead};

/// What tells one state of a representation from another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    /// Its entity tag.
    pub etag: Option<ETag<'a>>,
    /// When it last changed, in seconds since 1970-01-01T00:00:00Z.
    pub modified: Option<u64>,
}

/// What the preconditions decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is carried out.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: the state is not the one the client asked about.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110 section 13.2.2. `current` is `None` when
/// the target has no representation.
pub fn evaluate(
    request: &RequestHead,
    current: Option<&Validators<'_>>,
    now_unix_seconds: u64,
) -> Verdict {
    let reads = matches!(request.method(), Method::Get | Method::Head);
    let modified = current.and_then(|current| current.modified);
    // Step 1, else step 2.
    if request.header("if-match").is_some() {
        if !matches(request, "if-match", current, |own, tag| own.strong_eq(tag)) {
            return Verdict::PreconditionFailed;
        }
    } else if let Some(since) = date_field(request, "if-unmodified-since", now_unix_seconds)
        && modified.is_some_and(|modified| modified > since)
    {
        return Verdict::PreconditionFailed;
    }
    // Step 3, else step 4.
    if request.header("if-none-match").is_some() {
        if matches(request, "if-none-match", current, |own, tag| own.weak_eq(tag)) {
            return if reads { Verdict::NotModified } else { Verdict::PreconditionFailed };
        }
    } else if reads {
        let since = date_field(request, "if-modified-since", now_unix_seconds);
        if let (Some(since), Some(modified)) = (since, modified)
            && modified <= since
        {
            return Verdict::NotModified;
        }
    }
    Verdict::Proceed
}

/// Whether a `Range` field counts (RFC 9110 section 13.1.5): no `If-Range`, or one that names
/// exactly the current state.
pub fn range_applies(
    request: &RequestHead,
    current: &Validators<'_>,
    now_unix_seconds: u64,
) -> bool {
    let Some(condition) = request.header("if-range") else { return true };
    if let Some(tag) = ETag::parse(condition) {
        return current.etag.is_some_and(|own| own.strong_eq(&tag));
    }
    let date = date::parse(condition, now_unix_seconds);
    date.is_some() && date == current.modified
}

fn matches(
    request: &RequestHead,
    name: &str,
    current: Option<&Validators<'_>>,
    same: fn(&ETag<'_>, &ETag<'_>) -> bool,
) -> bool {
    let Some(current) = current else { return false };
    request.headers_named(name).any(|value| {
        value == b"*" || current.etag.is_some_and(|own| list_has(value, |tag| same(&own, tag)))
    })
}

/// RFC 9110 sections 13.1.3 and 13.1.4: a value that is no date is ignored.
fn date_field(request: &RequestHead, name: &str, now: u64) -> Option<u64> {
    date::parse(request.header(name)?, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;

    const NOW: u64 = 1_700_000_000;
    const MODIFIED: u64 = 784_111_777;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const OLDER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn verdict(method: &str, fields: &[(&str, &str)]) -> Verdict {
        let request = parsed(method, "/", fields);
        let etag = ETag::parse(b"\"now\"");
        evaluate(&request, Some(&Validators { etag, modified: Some(MODIFIED) }), NOW)
    }

    #[test]
    fn rfc9110_13_2_2_each_precondition() {
        use Verdict::{NotModified, PreconditionFailed, Proceed};
        for (name, value, get, put) in [
            ("If-Match", "\"now\"", Proceed, Proceed),
            ("If-Match", "\"x\", \"now\"", Proceed, Proceed),
            ("If-Match", "*", Proceed, Proceed),
            ("If-Match", "W/\"now\"", PreconditionFailed, PreconditionFailed),
            ("If-Match", "\"x\"", PreconditionFailed, PreconditionFailed),
            ("If-None-Match", "\"now\"", NotModified, PreconditionFailed),
            ("If-None-Match", "W/\"now\"", NotModified, PreconditionFailed),
            ("If-None-Match", "*", NotModified, PreconditionFailed),
            ("If-None-Match", "\"x\"", Proceed, Proceed),
            ("If-Modified-Since", SAME, NotModified, Proceed),
            ("If-Modified-Since", OLDER, Proceed, Proceed),
            ("If-Modified-Since", "yesterday", Proceed, Proceed),
            ("If-Unmodified-Since", SAME, Proceed, Proceed),
            ("If-Unmodified-Since", OLDER, PreconditionFailed, PreconditionFailed),
            ("If-Unmodified-Since", "yesterday", Proceed, Proceed),
        ] {
            assert_eq!(verdict("GET", &[(name, value)]), get, "{name}: {value}");
            assert_eq!(verdict("PUT", &[(name, value)]), put, "{name}: {value}");
        }
    }

    #[test]
    fn rfc9110_13_2_2_precedence() {
        let (tag, other) = ("\"now\"", "\"x\"");
        // If-Match hides If-Unmodified-Since, If-None-Match hides If-Modified-Since.
        assert_eq!(
            verdict("GET", &[("If-Match", tag), ("If-Unmodified-Since", OLDER)]),
            Verdict::Proceed
        );
        assert_eq!(
            verdict("GET", &[("If-None-Match", other), ("If-Modified-Since", SAME)]),
            Verdict::Proceed
        );
        assert_eq!(
            verdict("GET", &[("If-None-Match", tag), ("If-Modified-Since", OLDER)]),
            Verdict::NotModified
        );
        // 412 comes before 304.
        assert_eq!(
            verdict("GET", &[("If-None-Match", tag), ("If-Match", other)]),
            Verdict::PreconditionFailed
        );
        assert_eq!(
            verdict("GET", &[("If-Match", tag), ("If-None-Match", tag)]),
            Verdict::NotModified
        );
        // Several lines are one list.
        assert_eq!(
            verdict("GET", &[("If-None-Match", other), ("If-None-Match", tag)]),
            Verdict::NotModified
        );
    }

    #[test]
    fn what_does_not_exist_matches_nothing() {
        let verdict = |name| evaluate(&parsed("PUT", "/", &[(name, "*")]), None, NOW);
        assert_eq!(verdict("If-Match"), Verdict::PreconditionFailed);
        assert_eq!(verdict("If-None-Match"), Verdict::Proceed);
    }

    #[test]
    fn rfc9110_13_1_5_if_range() {
        let applies = |value| {
            let validators = Validators { etag: ETag::parse(b"\"now\""), modified: Some(MODIFIED) };
            range_applies(&parsed("GET", "/", &[("If-Range", value)]), &validators, NOW)
        };
        assert!(applies("\"now\"") && applies(SAME));
        assert!(!applies("W/\"now\"") && !applies("\"x\"") && !applies(OLDER) && !applies("x"));
        assert!(range_applies(&parsed("GET", "/", &[]), &Validators::default(), NOW));
    }
}
