//! A file and its variants: the fields that they have, and which of them answers a request.

use super::conditional::{Validators, Verdict, evaluate, range_applies};
use super::encoding::{Codings, ContentCoding, choose};
use super::range::{self, Ranges};
use super::selected::Selected;
use super::{File, Options, Variant, rules};
use crate::date::HttpDate;
use crate::{Method, RequestHead, Response, Status};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl File {
    /// Writes the fields that all answers with a variant of this file have (RFC 9110 section
    /// 15.4.5), at the names that it answers for.
    pub(super) fn with_fields(&self, options: &Options, names: &[&str]) -> File {
        let paths: Vec<String> = match &*options.rules {
            [] => Vec::new(),
            _ => names.iter().map(|name| format!("/{name}")).collect(),
        };
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let mut file = self.clone();
        let negotiated = self.is_negotiated();
        let modified = self.modified.map(HttpDate::from_unix_seconds);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let write = |variant: &mut Variant, coding: ContentCoding| {
            let mut fields = Vec::with_capacity(5);
            let mut push = |name: &str, value| fields.push((String::from(name), value));
            push("Accept-Ranges", String::from("bytes"));
            push("ETag", text(variant.etag.as_bytes()));
            if let Some(modified) = &modified {
                push("Last-Modified", text(modified.as_bytes()));
            }
            if let Some(cache_control) = options.cache_control {
                push("Cache-Control", String::from(cache_control));
            }
            if negotiated {
                push("Vary", String::from("Accept-Encoding"));
            }
            variant.coding = coding;
            variant.fields = rules::lines(&options.rules, &paths, fields).as_bytes().into();
        };
        write(&mut file.identity, ContentCoding::Identity);
        for (variant, coding) in [
            (&mut file.gzip, ContentCoding::Gzip),
            (&mut file.brotli, ContentCoding::Brotli),
            (&mut file.zstd, ContentCoding::Zstd),
        ] {
            if let Some(variant) = variant {
                write(variant, coding);
            }
        }
        file
    }

    fn is_negotiated(&self) -> bool {
        self.gzip.is_some() || self.brotli.is_some() || self.zstd.is_some()
    }

    /// The whole of it as an answer of another status, such as an error's.
    pub(super) fn with_status(&self, status: Status) -> Selected {
        let found = Selected::whole(&self.identity, self.media_type);
        found.map(|response| response.with_status(status))
    }

    pub(super) fn answer(&self, request: &RequestHead, now: u64, options: &Options) -> Selected {
        let Some(variant) = self.choose(request) else {
            let refusal = Response::plain(Status::NOT_ACCEPTABLE);
            return refusal.with_header("Vary", "Accept-Encoding").into();
        };
        let selected = if request.selects() {
            self.select(variant, request, now, options)
        } else {
            Selected::of(variant, self.media_type, Ranges::Whole).repeatable()
        };
        if rules::is_kept(selected.response.status()) {
            return selected.map(|response| response.with_shared_fields(variant.fields.clone()));
        }
        selected
    }

    /// Answers a conditional request, or one for ranges.
    fn select(
        &self,
        variant: &Variant,
        request: &RequestHead,
        now: u64,
        options: &Options,
    ) -> Selected {
        let current = Validators { etag: Some(variant.etag.tag()), modified: self.modified };
        match evaluate(request, Some(&current), now) {
            Verdict::PreconditionFailed => Response::plain(Status::PRECONDITION_FAILED).into(),
            Verdict::NotModified => Response::new(Status::NOT_MODIFIED).into(),
            Verdict::Proceed => {
                let ranges = match request.header("range") {
                    // RFC 9110 section 14.2: for GET only.
                    Some(value)
                        if request.method() == Method::Get
                            && range_applies(request, &current, now) =>
                    {
                        range::parse(value, variant.content.len(), options.ranges_max)
                    }
                    _ => Ranges::Whole,
                };
                Selected::of(variant, self.media_type, ranges)
            }
        }
    }

    fn choose(&self, request: &RequestHead) -> Option<&Variant> {
        if !self.is_negotiated() {
            return Some(&self.identity);
        }
        let (gzip, brotli, zstd) = (self.gzip.as_ref(), self.brotli.as_ref(), self.zstd.as_ref());
        let available =
            Codings { gzip: gzip.is_some(), brotli: brotli.is_some(), zstd: zstd.is_some() };
        match choose(request.headers_named("accept-encoding"), available)? {
            ContentCoding::Gzip => gzip,
            ContentCoding::Brotli => brotli,
            ContentCoding::Zstd => zstd,
            ContentCoding::Identity => Some(&self.identity),
        }
    }
}
