//! Bundles: configuration and content for one boot, made from a folder.

use command::{
    failure::{Failure, OrSay, Result, fail},
    files, paths,
};
use config::{
    Bundle, CONFIG_FILE, Config, LOAD_FILE, NAMES_FILE, PRIVATE_FOLDERS,
    cpio::Writer,
    folder::{self, Item},
};
use flate2::{Compression, GzBuilder};
use flow::registry::StaticRegistry;
use std::{
    io::Write,
    path::{Path, PathBuf},
};
use web::files::redirects::{REDIRECTS_FILE, Redirects};

/// Smaller files gain nothing that a packet would notice.
const COMPRESS_BYTES_MIN: usize = 512;
/// What is text at heart, by extension.
const COMPRESSIBLE: &[&str] = &[
    "css",
    "csv",
    "htm",
    "html",
    "ico",
    "js",
    "json",
    "map",
    "md",
    "mjs",
    "svg",
    "toml",
    "txt",
    "wasm",
    "webmanifest",
    "xhtml",
    "xml",
];

/// How files are compressed beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952, as `page.html.gz`.
    Gzip,
    /// RFC 7932, as `page.html.br`: the smallest, for what is packed once and sent often.
    Brotli,
    /// RFC 8878, as `page.html.zst`: the quickest to unpack.
    Zstd,
}

impl Coding {
    /// All, by the names that `--compress` takes.
    pub const ALL: [(&'static str, Self); 3] =
        [("gzip", Self::Gzip), ("brotli", Self::Brotli), ("zstd", Self::Zstd)];

    fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Brotli => "br",
            Self::Zstd => "zst",
        }
    }

    /// The same bytes for the same content.
    fn compress(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Gzip => {
                // No time and no name in the gzip header: the bytes depend on the content alone.
                let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
                encoder.write_all(bytes).ok()?;
                encoder.finish().ok()
            }
            Self::Brotli => {
                const WINDOW_BITS: u32 = 22;
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 11, WINDOW_BITS);
                encoder.write_all(bytes).ok()?;
                Some(encoder.into_inner())
            }
            Self::Zstd => {
                // RFC 9659: browsers take windows up to 8 MiB, which is what level 19 has.
                zstd::bulk::compress(bytes, 19).ok()
            }
        }
    }
}

/// The bundle of a folder, as a file below the target folder.
///
/// # Errors
///
/// Those of [`pack`], and a file that cannot be written.
pub fn file(folder: &Path) -> Result<PathBuf> {
    let out = paths::made("bundle")?.join(format!("{}.cpio", std::process::id()));
    files::write(&out, pack(folder)?)?;
    Ok(out)
}

/// The same, with variants compressed by gzip.
///
/// # Errors
///
/// Those of [`pack_with`].
pub fn pack(folder: &Path) -> Result<Vec<u8>> {
    pack_with(folder, &[Coding::Gzip])
}

/// Makes the archive of the files of a folder ([`folder::files`]), and of compressed ones beside them. The same
/// folder gives the same bytes.
///
/// # Errors
///
/// What the folder's files may not be, no site, and what a boot would refuse.
pub fn pack_with(folder: &Path, codings: &[Coding]) -> Result<Vec<u8>> {
    let root = configuration(folder)?.http.site_root;
    let mut files = folder::files(folder).map_err(|error| Failure(error.to_string()))?;
    let in_site =
        |file: &Item| file.path.strip_prefix(&*root).is_some_and(|rest| rest.starts_with('/'));
    let is_generator = files.iter().any(|file| file.path == LOAD_FILE);
    if !is_generator && !files.iter().any(in_site) {
        fail!(
            "{} has no folder `{root}` with files: put the pages there, or name another site_root in {CONFIG_FILE}",
            folder.display()
        );
    }
    let newest = source_date_epoch();
    files.iter_mut().for_each(|file| file.mtime = file.mtime.min(newest));
    let pairs = files.iter().flat_map(|file| codings.iter().map(move |coding| (file, *coding)));
    let variants: Vec<_> =
        pairs.filter_map(|(file, coding)| compressed(file, coding, &files)).collect();
    files.extend(folder::media_types(&files, web::media_type::is_known));
    files.extend(variants);
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut writer = Writer::new();
    for file in &files {
        writer
            .file(&file.path, &file.bytes, file.mtime)
            .map_err(|error| Failure(format!("{}: {error}", file.path)))?;
    }
    let archive = writer.finish();
    check(&archive)?;
    Ok(archive)
}

/// What lies in a folder and is not in its bundle, a sentence each.
///
/// # Errors
///
/// The folder cannot be read.
pub fn left_out(folder: &Path, archive: &[u8]) -> Result<Vec<String>> {
    let bundle = Bundle::parse(archive).map_err(|error| Failure(error.to_string()))?;
    let names = folder::left_out(folder, &bundle).map_err(|error| Failure(error.to_string()))?;
    let folders = PRIVATE_FOLDERS.join(", ");
    let sentence = |name| {
        format!("{name} is not in the bundle, which has its site, and the folders {folders}")
    };
    Ok(names.into_iter().map(sentence).collect())
}

/// Makes an archive of exactly these files, all of one age; the configuration among them is not checked.
///
/// # Errors
///
/// A path that no bundle can have.
pub fn of(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    const MODIFIED: u32 = 1_700_000_000;
    let mut writer = Writer::new();
    for (path, bytes) in files {
        writer.file(path, bytes, MODIFIED).or_say(|| (*path).to_owned())?;
    }
    Ok(writer.finish())
}

/// Refuses a bundle that the appliance would not start with, in the appliance's words: everything
/// here is what it calls itself.
///
/// # Errors
///
/// What is wrong, where, and what is allowed instead.
pub fn check(archive: &[u8]) -> Result {
    let bundle = Bundle::parse(archive).map_err(|error| Failure(error.to_string()))?;
    let config = Config::load(&bundle, "").map_err(|error| Failure(error.to_string()))?;
    if let Some(file) = bundle.get(NAMES_FILE) {
        StaticRegistry::parse(file.bytes)
            .map_err(|error| Failure(format!("{NAMES_FILE}:{error}")))?;
    }
    let hosts = config.site_hosts.iter().map(|host| &host.root);
    for root in std::iter::once(&config.http.site_root).chain(hosts) {
        let Some(file) = bundle.get(&format!("{root}/{REDIRECTS_FILE}")) else { continue };
        Redirects::parse(file.bytes).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(|fault| format!("{root}/{fault}")).collect();
            Failure(faults.join("\n"))
        })?;
    }
    if let Some(file) = bundle.get(LOAD_FILE) {
        load::Scenario::of_bytes(LOAD_FILE, file.bytes)
            .map_err(|error| Failure(error.to_string()))?;
    }
    Ok(())
}

/// What a boot with a bundle would warn of: redirects that never count, and files that settings name and the bundle has not.
///
/// # Errors
///
/// Those of [`check`].
pub fn warnings(archive: &[u8]) -> Result<Vec<String>> {
    let bundle = Bundle::parse(archive).map_err(|error| Failure(error.to_string()))?;
    let config = Config::load(&bundle, "").map_err(|error| Failure(error.to_string()))?;
    let hosts = config.site_hosts.iter().map(|host| &host.root);
    let mut warnings = Vec::new();
    for root in std::iter::once(&config.http.site_root).chain(hosts) {
        let Some(file) = bundle.get(&format!("{root}/{REDIRECTS_FILE}")) else { continue };
        let Ok(redirects) = Redirects::parse(file.bytes) else { continue };
        warnings.extend(redirects.hidden().map(|hidden| format!("{root}/{hidden}")));
        let paths = bundle.files().map(|file| file.path);
        let paths = paths.filter_map(|path| path.strip_prefix(&**root)?.strip_prefix('/'));
        let absent = redirects.absent_targets(paths);
        warnings.extend(absent.iter().map(|absent| format!("{root}/{absent}")));
    }
    warnings.extend(config.absent_files(&bundle));
    Ok(warnings)
}

/// The configuration of a folder, its file checked; the defaults if it has none.
pub fn configuration(folder: &Path) -> Result<Config> {
    folder::configuration(folder).map_err(|error| Failure(error.to_string()))
}

/// The convention of reproducible builds: no time in the output is later than this.
fn source_date_epoch() -> u32 {
    std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)
}

/// A variant of a file, if it has none of the sort and becomes a tenth smaller.
fn compressed(file: &Item, coding: Coding, files: &[Item]) -> Option<Item> {
    let extension = Path::new(&file.path).extension()?.to_str()?.to_ascii_lowercase();
    let path = format!("{}.{}", file.path, coding.suffix());
    let wanted = COMPRESSIBLE.contains(&extension.as_str())
        && ![CONFIG_FILE, LOAD_FILE].contains(&file.path.as_str())
        && file.bytes.len() >= COMPRESS_BYTES_MIN
        && !files.iter().any(|other| other.path == path);
    if !wanted {
        return None;
    }
    let bytes = coding.compress(&file.bytes)?;
    (bytes.len() < file.bytes.len() / 10 * 9).then_some(Item { path, bytes, mtime: file.mtime })
}

#[cfg(test)]
mod tests {
    use super::*;
    use command::paths::Scratch;
    use std::{fs, io::Read};

    fn folder(files: &[(&str, &str)]) -> Scratch {
        let scratch = Scratch::new().unwrap();
        for (path, text) in files {
            let path = scratch.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        scratch
    }

    fn paths(archive: &[u8]) -> Vec<String> {
        Bundle::parse(archive).unwrap().files().map(|file| file.path.to_owned()).collect()
    }

    #[test]
    fn a_site_alone_is_enough() {
        let scratch = folder(&[
            ("site/index.html", "<p>hi"),
            ("site/a/b.txt", "b"),
            ("notes", "not for the bundle"),
        ]);
        let archive = pack(&scratch.path("")).unwrap();
        assert_eq!(paths(&archive), ["site/a/b.txt", "site/index.html"]);
        assert_eq!(archive, pack(&scratch.path("")).unwrap());
    }

    #[test]
    fn text_is_compressed_when_it_helps() {
        let long = "water ".repeat(1000);
        let scratch = folder(&[
            ("site/long.css", &long),
            ("site/short.css", "a{}"),
            ("site/long.png", &long),
            ("site/own.js", &long),
            ("site/own.js.gz", "mine"),
        ]);
        let archive = pack(&scratch.path("")).unwrap();
        assert_eq!(
            paths(&archive),
            [
                "site/long.css",
                "site/long.css.gz",
                "site/long.png",
                "site/own.js",
                "site/own.js.gz",
                "site/short.css"
            ]
        );
        let bundle = Bundle::parse(&archive).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(bundle.get("site/long.css.gz").unwrap().bytes)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, long);
        assert_eq!(bundle.get("site/own.js.gz").unwrap().bytes, b"mine");
    }

    #[test]
    fn every_coding_gives_back_what_went_in() {
        let long = "water ".repeat(1000);
        let scratch = folder(&[("site/long.css", &long), ("site/model.glb", "x")]);
        let codings = Coding::ALL.map(|(_, coding)| coding);
        let archive = pack_with(&scratch.path(""), &codings).unwrap();
        let expected = [
            "media-types",
            "site/long.css",
            "site/long.css.br",
            "site/long.css.gz",
            "site/long.css.zst",
            "site/model.glb",
        ];
        assert_eq!(paths(&archive), expected);
        let bundle = Bundle::parse(&archive).unwrap();
        let (mut brotli, mut zstd) = (String::new(), String::new());
        let bytes = |path| bundle.get(path).unwrap().bytes;
        brotli::Decompressor::new(bytes("site/long.css.br"), 4096)
            .read_to_string(&mut brotli)
            .unwrap();
        zstd::Decoder::new(bytes("site/long.css.zst")).unwrap().read_to_string(&mut zstd).unwrap();
        assert!(brotli == long && zstd == long);
        assert_eq!(bytes("media-types"), b"glb model/gltf-binary\n");
        assert_eq!(paths(&pack_with(&scratch.path(""), &[]).unwrap()).len(), 3);
    }

    #[test]
    fn redirects_that_a_boot_would_refuse_make_no_bundle() {
        let bad =
            folder(&[("site/index.html", "hello"), ("site/_redirects", "/a /b\n/c\n/d /e 999\n")]);
        let said = pack(&bad.path("")).unwrap_err().to_string();
        let lines: Vec<_> = said.lines().collect();
        assert!(
            lines[0].starts_with("site/_redirects:2: found `/c`; allowed: two paths"),
            "{said}"
        );
        assert!(
            lines[1].starts_with("site/_redirects:3: found `999`; allowed: nothing, or 200"),
            "{said}"
        );
    }

    #[test]
    fn what_a_boot_would_warn_of_is_told() {
        let scratch = folder(&[
            ("site/a.html", "hello"),
            ("site/_redirects", "/a/* /b\n/a/c /d\n"),
            ("appliance.toml", "[site]\nfallback = \"app.html\"\nerrors = \"faults\"\n"),
        ]);
        let warnings = warnings(&pack(&scratch.path("")).unwrap()).unwrap();
        let starts = [
            "site/_redirects:2: it never counts, since line 1 is",
            "[http] index: no file under site/",
            "[site] fallback: site/ has no app.html",
            "[site] errors: site/ has no files in faults/",
        ];
        assert_eq!(warnings.len(), starts.len(), "{warnings:?}");
        for (warning, start) in warnings.iter().zip(starts) {
            assert!(warning.starts_with(start), "{warning}");
        }
    }

    #[test]
    fn odd_names_make_no_bundle() {
        let bad = folder(&[("site/a\nb", "x")]);
        let said = pack(&bad.path("")).unwrap_err().to_string();
        assert!(said.ends_with("a path with a control character"), "{said}");
    }

    #[test]
    fn faults_are_one_sentence() {
        let bad = folder(&[("site/index.html", ""), ("appliance.toml", "[http]\nport = 0\n")]);
        let sentence = pack(&bad.path("")).unwrap_err().to_string();
        assert!(
            sentence.ends_with("appliance.toml:2:8: found `0`; allowed: a port from 1 to 65535"),
            "{sentence}"
        );
        let empty = folder(&[("readme", "")]);
        assert!(pack(&empty.path("")).unwrap_err().to_string().contains("has no folder `site`"));
        assert!(pack(&empty.path("readme")).unwrap_err().to_string().contains("is not a folder"));
    }

    #[test]
    fn what_a_boot_would_refuse_makes_no_bundle() {
        for (file, text, sentence) in [
            (
                CONFIG_FILE,
                "[zmq]\nport = 80\n",
                "appliance.toml:2:1: found `port = 80`; allowed: a port for",
            ),
            (
                CONFIG_FILE,
                "[network]\ndhcp = false\nslaac = false\n",
                "appliance.toml:2:1: found `dhcp = false`; allowed: a way to an address",
            ),
            (
                CONFIG_FILE,
                "[network]\nslaac = false\naddresses = [\"fd00::2/64\"]\ngateways = [\"fd01::1\"]\n",
                "appliance.toml:4:1: found `gateways = [\"fd01::1\"]`; allowed: gateways within",
            ),
            (NAMES_FILE, "a b c d:1\nx\n", "names:2: found `x`; allowed: four words"),
            (
                LOAD_FILE,
                "target = 'http://h/'\nseed = -1\n",
                "load.toml:2: found `-1`; allowed: a whole number",
            ),
        ] {
            let bad = folder(&[("site/index.html", "hello"), (file, text)]);
            let said = pack(&bad.path("")).unwrap_err().to_string();
            assert!(said.starts_with(sentence), "{said}");
        }
        let empty = folder(&[("readme", "")]);
        fs::create_dir_all(empty.path("site")).unwrap();
        assert!(
            pack(&empty.path("")).unwrap_err().to_string().contains("has no folder `site` with")
        );
    }

    #[test]
    fn a_configuration_that_cannot_be_read_makes_no_bundle() {
        for name in [CONFIG_FILE, NAMES_FILE] {
            let bad = folder(&[("site/index.html", "hello")]);
            std::os::unix::fs::symlink("nowhere", bad.path(name)).unwrap();
            let said = pack(&bad.path("")).unwrap_err().to_string();
            assert!(said.starts_with("cannot read") && said.contains(name), "{said}");
            let bad = folder(&[("site/index.html", "hello"), (&format!("{name}/a"), "")]);
            let said = pack(&bad.path("")).unwrap_err().to_string();
            assert!(said.contains(&format!("{name} is a folder")), "{said}");
        }
    }

    #[test]
    fn a_site_among_the_keys_is_packed_once() {
        let scratch = folder(&[
            ("keys/index.html", "hello"),
            (CONFIG_FILE, "[http]\nsite_root = \"keys\"\n"),
        ]);
        assert_eq!(paths(&pack(&scratch.path("")).unwrap()), [CONFIG_FILE, "keys/index.html"]);
    }

    #[test]
    fn a_loop_of_links_ends() {
        let scratch = folder(&[("site/index.html", "")]);
        std::os::unix::fs::symlink(".", scratch.path("site/loop")).unwrap();
        assert!(pack(&scratch.path("")).unwrap_err().to_string().contains("loop of links"));
    }

    #[test]
    fn the_sample_makes_a_bundle() {
        let archive = pack(&paths::root().join("config")).unwrap();
        let bundle = Bundle::parse(&archive).unwrap();
        assert!(
            bundle.get("site/index.html").is_some() && bundle.get("site/style.css.gz").is_some()
        );
        assert!(
            bundle.files().all(|file| file.path == CONFIG_FILE || file.path.starts_with("site/"))
        );
    }
}
