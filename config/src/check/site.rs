//! What must hold of each `[[site_host]]` and `[[site_rule]]`, of all of them together, and of what the bundle has for them.

use super::databases::Fault;
use crate::{Bundle, Config, SiteHost, SiteRule};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

/// All faults there are.
pub(crate) fn check(config: &Config, bundle: &Bundle<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, host) in config.site_hosts.iter().enumerate() {
        let earlier = config.site_hosts.get(..number).unwrap_or(&[]);
        let checked = complete(host).and_then(|()| unique(host, earlier));
        let checked = checked.and_then(|()| root(config, host, bundle));
        let fault = |(key, allowed)| Fault { section: "site_host", number, key, allowed };
        faults.extend(checked.err().map(fault));
    }
    for (number, rule) in config.site_rules.iter().enumerate() {
        let SiteRule { cache_control, headers, remove_headers, users, allow, deny, .. } = rule;
        let is_said =
            !(cache_control.is_empty() && headers.is_empty() && remove_headers.is_empty());
        let says = is_said || users.is_some() || allow.is_some() || deny.is_some();
        let is_named = |host: &String| {
            let mut names = config.site_hosts.iter().flat_map(|other| &other.names);
            names.any(|name| name.eq_ignore_ascii_case(host))
        };
        let stranger = rule.hosts.iter().find(|host| !is_named(host));
        let (key, allowed) = if rule.path.is_empty() {
            ("path", "the paths that it is for, as path = \"/assets/*\"".to_owned())
        } else if !says {
            ("path", "what it says of them, as cache_control, headers, users or allow".to_owned())
        } else if let Some(host) = stranger {
            ("hosts", format!("names of a [[site_host]], and `{host}` is none"))
        } else {
            continue;
        };
        faults.push(Fault { section: "site_rule", number, key, allowed });
    }
    faults
}

type Checked = Result<(), (&'static str, String)>;

/// What has no default.
fn complete(host: &SiteHost) -> Checked {
    if host.names.is_empty() {
        return Err(("names", "a name at least, as names = [\"shop.example\"]".to_owned()));
    }
    if host.root.is_empty() {
        return Err(("root", "the folder that is served, as root = \"shop\"".to_owned()));
    }
    Ok(())
}

fn unique(host: &SiteHost, earlier: &[SiteHost]) -> Checked {
    let is_others = |name: &&String| {
        let mut others = earlier.iter().flat_map(|other| &other.names);
        others.any(|other| other.eq_ignore_ascii_case(name))
    };
    match host.names.iter().find(is_others) {
        None => Ok(()),
        Some(name) => Err(("names", format!("each name once, and `{name}` is another's"))),
    }
}

fn root(config: &Config, host: &SiteHost, bundle: &Bundle<'_>) -> Checked {
    let root = &host.root;
    let in_root = |path: &str| path.strip_prefix(&**root).is_some_and(|rest| rest.starts_with('/'));
    let is_elsewhere = config.storage.site_disk > 0 || bundle.has_site_elsewhere();
    if !bundle.is_given() || is_elsewhere || bundle.files().any(|file| in_root(file.path)) {
        return Ok(());
    }
    Err(("root", super::folder_with_files(bundle, root)))
}

#[cfg(test)]
mod tests {
    use crate::{Bundle, Config, cpio};
    use std::string::{String, ToString};

    fn load(text: &str) -> Result<Config, String> {
        let mut writer = cpio::Writer::new();
        writer.file("appliance.toml", text.as_bytes(), 0).unwrap();
        writer.file("site/index.html", b"hello", 0).unwrap();
        writer.file("shop/index.html", b"hello", 0).unwrap();
        let archive = writer.finish();
        Config::load(&Bundle::parse(&archive).unwrap(), "").map_err(|error| error.to_string())
    }

    #[test]
    fn there_may_be_several_each_with_its_own_keys() {
        let config = load(
            "[[site_host]]\nnames = [\"shop.example\", \"*.shop.example\"]\nroot = \"shop\"\nlisting = true\n\
             [[site_rule]]\npath = \"/a/*\"\ncache_control = \"max-age=1\"\n\
             [[site_host]]\nnames = [\"b.example\"]\nroot = \"site\"\n\
             [[site_rule]]\npath = \"*.js\"\nheaders = [\"X-A: \\\"1\\\"\", \"Vary: a\", \"Vary: b\"]\nremove_headers = [\"ETag\"]\n",
        )
        .unwrap();
        assert_eq!(config.site_hosts.len(), 2);
        assert_eq!(config.site_hosts[0].names, ["shop.example", "*.shop.example"]);
        assert!(config.site_hosts[0].serving.listing && !config.site_hosts[1].serving.listing);
        assert_eq!((&*config.site_rules[0].path, &*config.site_rules[1].path), ("/a/*", "*.js"));
        assert_eq!(config.site_rules[1].headers[0].value, "\"1\"");
        assert_eq!(config.site_rules[1].headers.len(), 3);
    }

    /// Pages may be on a disk, and then the bundle has none.
    #[test]
    fn roots_are_folders_of_the_bundle_unless_the_site_is_on_a_disk() {
        let load = |text: &str| {
            let mut writer = cpio::Writer::new();
            writer.file("appliance.toml", text.as_bytes(), 0).unwrap();
            let archive = writer.finish();
            Config::load(&Bundle::parse(&archive).unwrap(), "").map_err(|error| error.to_string())
        };
        let host = "[[site_host]]\nnames = [\"a\"]\nroot = \"a\"\n";
        for text in ["", host] {
            assert!(
                load(text).unwrap_err().contains("a folder of the bundle with files"),
                "{text}"
            );
            let on_disk = load(&std::format!("[storage]\nsite_disk = 1\n{text}")).unwrap();
            assert_eq!(on_disk.storage.site_disk, 1);
        }
    }

    #[test]
    fn each_fault_is_refused_at_its_own_line() {
        for (text, start) in [
            (
                "[[site_host]]\n",
                "appliance.toml:1:1: found `[[site_host]]`; allowed: a name at least",
            ),
            (
                "[[site_host]]\nnames = [\"a\"]\n",
                "appliance.toml:1:1: found `[[site_host]]`; allowed: the folder",
            ),
            (
                "[[site_host]]\nnames = [\"a\"]\nroot = \"none\"\n",
                "appliance.toml:3:1: found `root = \"none\"`; allowed: a folder of the bundle with files, and there is no none/ in it",
            ),
            (
                "[[site_host]]\nnames = [\"a\"]\nroot = \"shop\"\n[[site_host]]\nnames = [\"b\", \"A\"]\nroot = \"shop\"\n",
                "appliance.toml:5:1: found `names = [\"b\", \"A\"]`; allowed: each name once, and `A` is another's",
            ),
            ("[[site_rule]]\n", "appliance.toml:1:1: found `[[site_rule]]`; allowed: the paths"),
            (
                "[[site_rule]]\npath = \"/\"\n",
                "appliance.toml:2:1: found `path = \"/\"`; allowed: what it says",
            ),
            (
                "[[site_rule]]\npath = \"/\"\ncache_control = \"a\"\nhosts = [\"b\"]\n",
                "appliance.toml:4:1: found `hosts = [\"b\"]`; allowed: names of a [[site_host]], and `b` is none",
            ),
            ("[[site_rule]]\npath = \"a\"\n", "appliance.toml:2:8: found `\"a\"`; allowed: a path"),
            ("[[site_rule]]\npath = \"/*****\"\n", "appliance.toml:2:8: "),
            ("[[site_rule]]\nheaders = [\"Date: x\"]\n", "appliance.toml:2:12: "),
            ("[[site_rule]]\nheaders = [\"X-A: 1\", \"x-a: 2\"]\n", "appliance.toml:2:22: "),
            ("[[site_rule]]\nhosts = [\"a:80\"]\n", "appliance.toml:2:10: "),
            ("[[site_rule]]\ncache_control = \"a\\nb\"\n", "appliance.toml:2:17: "),
            (
                "[site]\nclean_urls = \"on\"\n",
                "appliance.toml:2:14: found `\"on\"`; allowed: \"off\", \"answer\" or",
            ),
            ("[site]\nmedia_types = [\"a b/c\", \"A d/e\"]\n", "appliance.toml:2:25: "),
            ("[[site]]\n", "appliance.toml:1:3: found `site`; allowed: [site] for this section"),
            (
                "[site_rule]\n",
                "appliance.toml:1:2: found `site_rule`; allowed: [[site_rule]] for this section",
            ),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.starts_with(start), "{text}: {error}");
        }
        let many = "[[site_rule]]\npath = \"/\"\ncache_control = \"a\"\n".repeat(65);
        assert!(load(&many).unwrap_err().contains("at most 64"));
    }
}
