//! An image for container registries (OCI image format 1.1), made without a daemon: one layer with the ELF and a bundle, where
//! KubeVirt's kernel boot and urunc look for them. It is an archive of an image layout, which skopeo and others push.

use base64ct::{Base64, Encoding};
use command::{
    failure::{OrSay, Result, fail},
    files,
};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use std::{io::Write, path::Path};
use tar::{Builder, EntryType, Header};
use tinyjson::JsonValue;

/// Where the image has the ELF.
pub const KERNEL: &str = "/boot/aqueduct.elf";
/// Where it has the bundle.
pub const BUNDLE: &str = "/boot/bundle.cpio";
/// What urunc reads where nobody hands it annotations.
const URUNC_FILE: &str = "urunc.json";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What is in the image.
pub struct Content<'a> {
    /// The bootable ELF.
    pub image: &'a [u8],
    /// Configuration and content.
    pub bundle: &'a [u8],
    /// Words of the kernel command line, for engines that take them from here.
    pub words: &'a str,
    /// The image's tag.
    pub tag: &'a str,
}

/// Writes the archive. The same content gives the same bytes.
///
/// # Errors
///
/// The tag is none, or the file cannot be written.
pub fn write(content: &Content<'_>, out: &Path) -> Result {
    let archive = archive(content)?;
    files::write(out, archive)
}

fn archive(content: &Content<'_>) -> Result<Vec<u8>> {
    check_tag(content.tag)?;
    let say = || "cannot make an archive".to_owned();
    let layer = layer(content).or_say(say)?;
    // No time and no name in the header of gzip, as in bundles.
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(&layer).or_say(say)?;
    let packed = Blob::new(LAYER_TYPE, encoder.finish().or_say(say)?);
    let config = Blob::new(CONFIG_TYPE, config(&layer, content).into_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config":{},"layers":[{}],"annotations":{}}}"#,
        config.descriptor(""),
        packed.descriptor(""),
        object(&annotations(content))
    );
    let manifest = Blob::new(MANIFEST_TYPE, manifest.into_bytes());
    let named = object(&[("org.opencontainers.image.ref.name", content.tag.into())]);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        manifest.descriptor(&format!(r#","annotations":{named}"#))
    );
    let mut tar = Builder::new(Vec::new());
    file(&mut tar, "oci-layout", LAYOUT.as_bytes()).or_say(say)?;
    file(&mut tar, "index.json", index.as_bytes()).or_say(say)?;
    for blob in [&manifest, &config, &packed] {
        file(&mut tar, &format!("blobs/sha256/{}", blob.digest), &blob.bytes).or_say(say)?;
    }
    tar.into_inner().or_say(say)
}

/// The grammar of the distribution specification.
fn check_tag(tag: &str) -> Result {
    const BYTES_MAX: usize = 128;
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    if tag.is_empty()
        || tag.len() > BYTES_MAX
        || tag.starts_with(['.', '-'])
        || !tag.chars().all(is_allowed)
    {
        fail!(
            "--oci-tag: found `{}`; allowed: up to {BYTES_MAX} letters, digits, dots, hyphens and underscores",
            tag.escape_default()
        );
    }
    Ok(())
}

/// A file of the layout, known by what it contains.
struct Blob {
    kind: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(kind: &'static str, bytes: Vec<u8>) -> Self {
        Self { kind, digest: sha256(&bytes), bytes }
    }

    /// How others refer to it; `more` has further members.
    fn descriptor(&self, more: &str) -> String {
        let Self { kind, digest, bytes } = self;
        format!(
            r#"{{"mediaType":"{kind}","digest":"sha256:{digest}","size":{}{more}}}"#,
            bytes.len()
        )
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one layer: readable by all, since engines read it as a user of their own.
fn layer(content: &Content<'_>) -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut folder = header(0, 0o755);
    folder.set_entry_type(EntryType::Directory);
    tar.append_data(&mut folder, "boot/", &[][..])?;
    file(&mut tar, KERNEL.trim_start_matches('/'), content.image)?;
    file(&mut tar, BUNDLE.trim_start_matches('/'), content.bundle)?;
    let encoded = annotations(content).map(|(name, value)| {
        // As its decoder wants what may be taken for something else.
        (name, format!("b64:{}", Base64::encode_string(value.as_bytes())))
    });
    file(&mut tar, URUNC_FILE, object(&encoded).as_bytes())?;
    tar.into_inner()
}

fn file(tar: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64, 0o644), path, bytes)
}

/// No time and no owner but root.
fn header(bytes: u64, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_size(bytes);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn config(layer: &[u8], content: &Content<'_>) -> String {
    format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{}}},"rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
        object(&annotations(content)),
        sha256(layer)
    )
}

/// What urunc reads (pkg/unikontainers/config.go).
fn annotations(content: &Content<'_>) -> [(&'static str, String); 5] {
    [
        // Kernel, initrd and `ip=` are handed over as Linux has them.
        ("com.urunc.unikernel.unikernelType", "linux".into()),
        ("com.urunc.unikernel.hypervisor", "qemu".into()),
        ("com.urunc.unikernel.binary", KERNEL.into()),
        ("com.urunc.unikernel.initrd", BUNDLE.into()),
        // The first word is what Linux would run first: there is one, and words are those behind it.
        ("com.urunc.unikernel.cmdline", format!("aqueduct {}", content.words).trim_end().into()),
    ]
}

/// In this order, which a map's would not be.
fn object(members: &[(&str, String)]) -> String {
    let quoted = |text: &str| JsonValue::String(text.to_owned()).stringify().unwrap_or_default();
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashMap, io::Read};

    const CONTENT: Content<'_> =
        Content { image: b"elf", bundle: b"cpio", words: "log=\"x\"", tag: "0.1" };

    fn unpack(archive: &[u8]) -> HashMap<String, Vec<u8>> {
        let mut files = HashMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        files
    }

    fn json(bytes: &[u8]) -> JsonValue {
        std::str::from_utf8(bytes).unwrap().parse().unwrap()
    }

    fn text<'a>(json: &'a JsonValue, path: &[&str]) -> &'a str {
        let found = path.iter().fold(json, |json, name| match name.parse::<usize>() {
            Ok(place) => &json[place],
            Err(_) => &json[*name],
        });
        found.get::<String>().unwrap()
    }

    #[test]
    fn every_digest_is_that_of_what_is_there() {
        let files = unpack(&archive(&CONTENT).unwrap());
        for (path, bytes) in &files {
            if let Some(digest) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest, sha256(bytes));
            }
        }
        let blob = |digest: &str| &files[&format!("blobs/{}", digest.replace(':', "/"))];
        let index = json(&files["index.json"]);
        let manifest = json(blob(text(&index, &["manifests", "0", "digest"])));
        let config = json(blob(text(&manifest, &["config", "digest"])));
        let packed = blob(text(&manifest, &["layers", "0", "digest"]));
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut layer).unwrap();
        assert_eq!(
            text(&config, &["rootfs", "diff_ids", "0"]),
            format!("sha256:{}", sha256(&layer))
        );
        let inside = unpack(&layer);
        assert_eq!(
            (&inside["boot/aqueduct.elf"][..], &inside["boot/bundle.cpio"][..]),
            (&b"elf"[..], &b"cpio"[..])
        );
        let words = text(&manifest, &["annotations", "com.urunc.unikernel.cmdline"]);
        assert_eq!(words, "aqueduct log=\"x\"");
        let urunc = json(&inside["urunc.json"]);
        let words = text(&urunc, &["com.urunc.unikernel.cmdline"]).strip_prefix("b64:").unwrap();
        assert_eq!(Base64::decode_vec(words).unwrap(), b"aqueduct log=\"x\"");
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        assert_eq!(archive(&CONTENT).unwrap(), archive(&CONTENT).unwrap());
    }

    #[test]
    fn a_tag_is_one_of_a_registry() {
        for bad in ["", ".a", "a/b", "a b", &"a".repeat(129)] {
            let said = archive(&Content { tag: bad, ..CONTENT }).unwrap_err().to_string();
            assert!(said.starts_with("--oci-tag: found"), "{said}");
        }
        assert!(archive(&Content { tag: "a_1.b-c", ..CONTENT }).is_ok());
    }
}
