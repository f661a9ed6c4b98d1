//! Files of a folder that settings name, and whether it has them.

use crate::{Bundle, Config, Serving, SiteHost};
use alloc::{format, string::String, vec::Vec};

/// What the settings of a folder that is served name.
#[derive(Clone, Copy, Debug)]
pub struct NamedFiles<'a> {
    /// Whether it is that of a `[[site_host]]`.
    pub is_host: bool,
    /// As [`SiteHost::index`].
    pub index: &'a str,
    /// As [`Serving::fallback`].
    pub fallback: &'a str,
    /// As [`Serving::listing`].
    pub listing: bool,
    /// As [`Serving::errors`].
    pub errors: &'a str,
}

impl<'a> NamedFiles<'a> {
    fn of(is_host: bool, index: &'a str, serving: &'a Serving) -> Self {
        let Serving { clean_urls: _, fallback, listing, errors } = serving;
        Self { is_host, index, fallback, listing: *listing, errors }
    }

    /// What of it a folder with these files, which is called `place`, has not: a line each.
    pub fn absent<'b>(&self, paths: impl Iterator<Item = &'b str>, place: &str) -> Vec<String> {
        let Self { is_host, index, fallback, listing, errors } = *self;
        // A folder that is listed needs no index, and that of errors nobody who has not said its name.
        let mut has_index = listing;
        let mut has_errors = errors.is_empty() || errors == Serving::default().errors;
        let mut has_fallback = fallback.is_empty();
        for path in paths {
            has_index |= path.rsplit('/').next() == Some(index);
            has_fallback |= fallback == path;
            has_errors |= path.strip_prefix(errors).is_some_and(|rest| rest.starts_with('/'));
        }
        let (http, site) =
            if is_host { ("[[site_host]]", "[[site_host]]") } else { ("[http]", "[site]") };
        let mut absent = Vec::new();
        if !has_index {
            absent.push(format!(
                "{http} index: no file under {place} is named {index}, so `/` finds nothing"
            ));
        }
        if !has_fallback {
            absent.push(format!(
                "{site} fallback: {place} has no {fallback}, so nothing falls back on it"
            ));
        }
        if !has_errors {
            absent.push(format!(
                "{site} errors: {place} has no files in {errors}/, so errors are texts"
            ));
        }
        absent
    }
}

impl Config {
    /// What the settings name and the folders of the bundle that are served have not, a line each; nothing of a site that is
    /// not in the bundle.
    pub fn absent_files(&self, bundle: &Bundle<'_>) -> Vec<String> {
        if self.storage.site_disk > 0 || bundle.has_site_elsewhere() {
            return Vec::new();
        }
        let own =
            (&self.http.site_root, NamedFiles::of(false, &self.http.index, &self.site.serving));
        let hosts = self.site_hosts.iter().map(|SiteHost { root, index, serving, names: _ }| {
            (root, NamedFiles::of(true, index, serving))
        });
        let folders = core::iter::once(own).chain(hosts);
        let absent = folders.flat_map(|(root, named)| {
            let below = |path: &'_ str| path.strip_prefix(&**root)?.strip_prefix('/').map(str::len);
            let paths = || {
                bundle.files().filter_map(move |file| {
                    let bytes = below(file.path)?;
                    file.path.get(file.path.len() - bytes..)
                })
            };
            match paths().next() {
                // A bundle of the load generator has no site.
                None => Vec::new(),
                Some(_) => named.absent(paths(), &format!("{root}/")),
            }
        });
        absent.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio;

    fn told(named: NamedFiles<'_>, paths: &[&str]) -> Vec<String> {
        named.absent(paths.iter().copied(), "shop/")
    }

    #[test]
    fn what_is_named_and_absent_is_told() {
        let serving = Serving::default();
        let plain = NamedFiles::of(false, "index.html", &serving);
        let host = NamedFiles { is_host: true, ..plain };
        let all = NamedFiles { fallback: "app.html", errors: "faults", ..plain };
        let sections = |told: Vec<String>| -> Vec<String> {
            told.iter().map(|line| line.split(':').next().unwrap().into()).collect()
        };
        let nothing: [&str; 0] = [];
        assert_eq!(told(plain, &["index.html"]), nothing);
        assert_eq!(told(plain, &["d/index.html"]), nothing);
        assert_eq!(
            told(plain, &["a"]),
            ["[http] index: no file under shop/ is named index.html, so `/` finds nothing"]
        );
        assert_eq!(sections(told(host, &["a"])), ["[[site_host]] index"]);
        assert_eq!(told(NamedFiles { listing: true, ..host }, &["a"]), nothing);
        assert_eq!(told(NamedFiles { errors: "", ..plain }, &["index.html"]), nothing);
        let near = ["index.html", "d/app.html", "faults", "faults2/404.html"];
        assert_eq!(sections(told(all, &near)), ["[site] fallback", "[site] errors"]);
        assert_eq!(told(all, &["index.html", "app.html", "faults/404.html"]), nothing);
    }

    #[test]
    fn a_bundle_is_looked_through_for_each_folder() {
        let mut writer = cpio::Writer::new();
        for path in ["site/index.html", "shop/a"] {
            writer.file(path, b"x", 0).unwrap();
        }
        let archive = writer.finish();
        let bundle = Bundle::parse(&archive).unwrap();
        let mut config = Config::default();
        config.site.serving.fallback = "app.html".into();
        config.site_hosts.push(SiteHost { root: "shop".into(), ..SiteHost::default() });
        let told = config.absent_files(&bundle);
        let expected = [
            "[site] fallback: site/ has no app.html, so nothing falls back on it",
            "[[site_host]] index: no file under shop/ is named index.html, so `/` finds nothing",
        ];
        assert_eq!(told, expected);
        assert_eq!(config.absent_files(&bundle.clone().with_site_elsewhere()), [""; 0]);
        config.storage.site_disk = 1;
        assert_eq!(config.absent_files(&bundle), [""; 0]);
    }

    #[test]
    fn what_is_named_is_found_below_the_folder_of_the_bundle() {
        let mut writer = cpio::Writer::new();
        for path in ["site/app.html", "site/faults/404.html", "site/index.html"] {
            writer.file(path, b"x", 0).unwrap();
        }
        let archive = writer.finish();
        let bundle = Bundle::parse(&archive).unwrap();
        let mut config = Config::default();
        config.site.serving.fallback = "app.html".into();
        config.site.serving.errors = "faults".into();
        assert_eq!(config.absent_files(&bundle), [""; 0]);
    }
}
