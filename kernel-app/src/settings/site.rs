//! `[site]`, `[[site_host]]` and `[[site_rule]]`: which folders are served to whom, and how.

use crate::settings::http::{HttpSettings, SiteSettings};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use config::{Config, FieldText, MediaType, Serving, Site, SiteHost, SiteRule};
use web::files::rules::{FieldRule, Pattern};
use web::files::{CleanUrls, Options};

/// A folder that is served.
#[derive(Clone, Debug)]
pub struct FolderSettings {
    /// The hosts whose requests it is for, as `shop.example` or `*.shop.example`; none for those that no other folder is for.
    pub names: Vec<String>,
    /// Where it is in the bundle.
    pub root: String,
    /// How its files are answered with.
    pub options: Options,
}

impl FolderSettings {
    /// The site's own, and those of other hosts. What there is of media types in the bundle is added to those of the
    /// configuration.
    ///
    /// Each call takes some memory for the life of the appliance.
    pub fn all(
        config: &Config,
        more_types: impl IntoIterator<Item = MediaType>,
    ) -> (Self, Vec<Self>) {
        let Site { serving, cache_control, media_types } = &config.site;
        let media_types = media_types.iter().cloned().chain(more_types);
        let media_types = media_types.map(|it| (it.extension, leaked(it.media_type))).collect();
        let cache_control = Some(cache_control).filter(|value| !value.is_empty());
        let common = Options {
            cache_control: cache_control.map(|value| leaked(value.clone())),
            media_types,
            ..Options::default()
        };
        let options = |serving: &Serving, index: String, names: &[String]| {
            let Serving { clean_urls, fallback, listing, errors } = serving;
            Options {
                index: leaked(index),
                clean_urls: match clean_urls {
                    config::CleanUrls::Off => CleanUrls::Off,
                    config::CleanUrls::Answer => CleanUrls::Answer,
                    config::CleanUrls::Redirect => CleanUrls::Redirect,
                },
                fallback: Some(fallback)
                    .filter(|name| !name.is_empty())
                    .map(|name| Rc::from(&**name)),
                listing: *listing,
                errors: Rc::from(&**errors),
                rules: rules(&config.site_rules, names),
                ..common.clone()
            }
        };
        let SiteSettings { root, index } = HttpSettings::new(&config.http).site;
        let own = Self { names: Vec::new(), root, options: options(serving, index, &[]) };
        let hosts = config.site_hosts.iter().cloned().map(|host| {
            let SiteHost { names, root, index, serving } = host;
            let options = options(&serving, index, &names);
            Self { names, root, options }
        });
        (own, hosts.collect())
    }
}

/// Whether a rule with these [`hosts`](SiteRule::hosts) is for the folder of the section with these names. The names of a
/// section are one: who names any of them means all requests that it answers.
pub(crate) fn is_for_section(hosts: &[String], names: &[String]) -> bool {
    let is_own = |host: &String| names.iter().any(|name| name.eq_ignore_ascii_case(host));
    hosts.is_empty() || hosts.iter().any(is_own)
}

/// The rules that are for the folder of these hosts.
fn rules(rules: &[SiteRule], names: &[String]) -> Rc<[FieldRule]> {
    let own = rules.iter().filter(|rule| is_for_section(&rule.hosts, names));
    let rule = |rule: &SiteRule| {
        // Who may ask, `handlers::access` reads.
        let SiteRule {
            path,
            hosts: _,
            cache_control,
            headers,
            remove_headers,
            users: _,
            realm: _,
            allow: _,
            deny: _,
        } = rule.clone();
        let mut set: Vec<_> =
            headers.into_iter().map(|FieldText { name, value }| (name, value)).collect();
        if !cache_control.is_empty() {
            set.push(("Cache-Control".to_string(), cache_control));
        }
        // The configuration takes no others.
        Some(FieldRule { pattern: Pattern::new(&path)?, set, removed: remove_headers })
    };
    own.filter_map(rule).collect()
}

/// Longest file of media types: there are some 2000 registered ones.
const MEDIA_TYPES_BYTES_MAX: usize = 128 << 10;

/// The media types of a bundle's file of them, a line each.
///
/// # Errors
/// The first line that is none.
pub fn media_types(file: &[u8]) -> Result<Vec<MediaType>, String> {
    if file.len() > MEDIA_TYPES_BYTES_MAX {
        return Err(format!("{} bytes; allowed: at most {MEDIA_TYPES_BYTES_MAX}", file.len()));
    }
    let text = core::str::from_utf8(file).map_err(|error| error.to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let parsed = lines.map(|(index, line)| {
        line.parse()
            .map_err(|()| format!("line {}: `{line}` is no extension with a media type", index + 1))
    });
    parsed.collect()
}

/// Lives as long as the appliance.
pub(crate) fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
