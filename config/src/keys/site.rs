//! Keys of the site's files. A key of `[[site_host]]` or `[[site_rule]]` is of the one whose section began last.

use super::field::{is_path_or_none, last, parsed, push, put};
use super::rule::{HOSTS_MAX, Key, Rule, key, list, text};
use crate::Config;
use crate::schema::{Serving, SiteHost, SiteRule, SiteUser, Subnet, is_rules_field};
use crate::texts::{is_cache_control, is_host_pattern, is_path, is_path_pattern};
use alloc::vec::Vec;

/// Media types of one site, and fields of one rule.
const MEDIA_TYPES_MAX: usize = 256;
const FIELDS_MAX: usize = 32;
/// Users of one rule, and subnets.
const USERS_MAX: usize = 256;
const SUBNETS_MAX: usize = 256;
const SUBNETS: &str =
    "addresses and subnets, as \"10.0.0.0/8\" or \"fd00::1\", without bits behind the prefix";

const CLEAN_URLS: &str = "\"off\", \"answer\" or \"redirect\"";
const FALLBACK: &str = "a file of the site, as \"index.html\", or none";
const ERRORS: &str = "a folder of the site, as \"errors\", or none";
const HOSTS: &str = "names without a port, as \"shop.example\" or \"*.shop.example\"";
const CACHE_CONTROL: &str =
    "directives of Cache-Control, as \"public, max-age=31536000, immutable\", or none";

pub(super) const SITE: &[Key] = &[
    text("site", "clean_urls", CLEAN_URLS, |c, text| clean_urls(&mut c.site.serving, text)),
    text("site", "fallback", FALLBACK, |c, text| {
        is_path_or_none(text) && put(&mut c.site.serving.fallback, text)
    }),
    key("site", "listing", Rule::Flag(|c| &mut c.site.serving.listing)),
    text("site", "errors", ERRORS, |c, text| {
        is_path_or_none(text) && put(&mut c.site.serving.errors, text)
    }),
    text("site", "cache_control", CACHE_CONTROL, |c, text| {
        is_cache_control(text) && put(&mut c.site.cache_control, text)
    }),
    list(
        "site",
        "media_types",
        "extensions and their types, as \"glb model/gltf-binary\", each extension once",
        MEDIA_TYPES_MAX,
        |c| c.site.media_types.clear(),
        push_media_type,
    ),
    list(
        "site_host",
        "names",
        HOSTS,
        HOSTS_MAX,
        |c| host(c).names.clear(),
        |c, text| is_host_pattern(text) && push(&mut host(c).names, text),
    ),
    text("site_host", "root", "a folder of the bundle, as \"shop\"", |c, text| {
        is_path_or_none(text) && put(&mut host(c).root, text)
    }),
    text("site_host", "index", "a file name, as \"index.html\"", |c, text| {
        is_path(text) && !text.contains('/') && put(&mut host(c).index, text)
    }),
    text("site_host", "clean_urls", CLEAN_URLS, |c, text| clean_urls(&mut host(c).serving, text)),
    text("site_host", "fallback", FALLBACK, |c, text| {
        is_path_or_none(text) && put(&mut host(c).serving.fallback, text)
    }),
    key("site_host", "listing", Rule::Flag(|c| &mut host(c).serving.listing)),
    text("site_host", "errors", ERRORS, |c, text| {
        is_path_or_none(text) && put(&mut host(c).serving.errors, text)
    }),
    text(
        "site_rule",
        "path",
        "a path, as \"/about\", or a pattern with at most 4 asterisks, as \"/assets/*\" or \"*.js\"",
        |c, text| (text.is_empty() || is_path_pattern(text)) && put(&mut rule(c).path, text),
    ),
    list(
        "site_rule",
        "hosts",
        HOSTS,
        HOSTS_MAX,
        |c| rule(c).hosts.clear(),
        |c, text| is_host_pattern(text) && push(&mut rule(c).hosts, text),
    ),
    text("site_rule", "cache_control", CACHE_CONTROL, |c, text| {
        is_cache_control(text) && put(&mut rule(c).cache_control, text)
    }),
    list(
        "site_rule",
        "headers",
        "fields, as \"X-Frame-Options: DENY\", but those of the content and the connection, each name once but Vary",
        FIELDS_MAX,
        |c| rule(c).headers.clear(),
        push_header,
    ),
    list(
        "site_rule",
        "remove_headers",
        "names of fields, as \"ETag\", but those of the content and the connection",
        FIELDS_MAX,
        |c| rule(c).remove_headers.clear(),
        |c, text| is_rules_field(text) && push(&mut rule(c).remove_headers, text),
    ),
    list(
        "site_rule",
        "users",
        "names with hashes of passwords, as \"ann:$6$...\" of `openssl passwd -6`, with at most 100000 rounds, each name once, or \"*\" alone for everybody",
        USERS_MAX,
        |c| rule(c).users = None,
        push_user,
    ),
    text("site_rule", "realm", "a text of at most 100 characters, or none", |c, text| {
        text.len() <= 100 && !text.contains(char::is_control) && put(&mut rule(c).realm, text)
    }),
    list(
        "site_rule",
        "allow",
        SUBNETS,
        SUBNETS_MAX,
        |c| rule(c).allow = None,
        |c, text| push_subnet(&mut rule(c).allow, text),
    ),
    list(
        "site_rule",
        "deny",
        SUBNETS,
        SUBNETS_MAX,
        |c| rule(c).deny = None,
        |c, text| push_subnet(&mut rule(c).deny, text),
    ),
];

fn push_user(config: &mut Config, text: &str) -> bool {
    let users = &mut rule(config).users;
    if text == "*" {
        let is_alone = users.is_none();
        *users = Some(Vec::new());
        return is_alone;
    }
    let Some(user) = parsed::<SiteUser>(text) else { return false };
    let is_everybody = users.as_ref().is_some_and(Vec::is_empty);
    let users = users.get_or_insert_default();
    let is_new = !is_everybody && users.iter().all(|other| other.name != user.name);
    if is_new {
        users.push(user);
    }
    is_new
}

fn push_subnet(subnets: &mut Option<Vec<Subnet>>, text: &str) -> bool {
    parsed(text).map(|subnet| subnets.get_or_insert_default().push(subnet)).is_some()
}

/// The host whose section began last.
fn host(config: &mut Config) -> &mut SiteHost {
    last(&mut config.site_hosts)
}

/// The rule whose section began last.
fn rule(config: &mut Config) -> &mut SiteRule {
    last(&mut config.site_rules)
}

fn clean_urls(serving: &mut Serving, text: &str) -> bool {
    parsed(text).map(|it| serving.clean_urls = it).is_some()
}

fn push_media_type(config: &mut Config, text: &str) -> bool {
    let Some(media_type) = parsed::<crate::MediaType>(text) else { return false };
    let types = &mut config.site.media_types;
    let is_new = types.iter().all(|other| other.extension != media_type.extension);
    if is_new {
        types.push(media_type);
    }
    is_new
}

fn push_header(config: &mut Config, text: &str) -> bool {
    let Some(field) = parsed::<crate::FieldText>(text) else { return false };
    let headers = &mut rule(config).headers;
    let is_other = |name: &str| !name.eq_ignore_ascii_case(&field.name);
    let is_new = !is_other("vary") || headers.iter().all(|other| is_other(&other.name));
    if is_new {
        headers.push(field);
    }
    is_new
}
