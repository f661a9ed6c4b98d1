//! The image for registries, as other tools read it.

use command::{
    failure::Result,
    files,
    programs::{self, Program},
};
use image_builder::oci::{self, BUNDLE, Content, KERNEL};
use lab::harness::{Case, Harness, contains, same_bytes};
use std::path::Path;

const SKOPEO: Program = Program { name: "skopeo", package: "skopeo" };
const UMOCI: Program = Program { name: "umoci", package: "umoci" };

pub(crate) const CASES: &[Case] =
    &[Case::new("interop/oci_image", &[&SKOPEO, &UMOCI], 120, is_read_back)];

/// skopeo copies the archive, which checks every digest; umoci unpacks the copy.
fn is_read_back(harness: &mut Harness) -> Result {
    let (archive, layout) = (harness.scratch.path("image.tar"), harness.scratch.path("layout"));
    let image = &files::read(harness.kernel())?;
    let bundle = &files::read(&harness.sample()?)?;
    oci::write(&Content { image, bundle, words: "log=warn", tag: "0.1.0" }, &archive)?;
    let run = |program: &Program, words: &[&str]| {
        programs::output(programs::command(program)?.args(words))
    };
    let source = format!("oci-archive:{}:0.1.0", archive.display());
    let told = run(&SKOPEO, &["--insecure-policy", "inspect", &source])?;
    contains("what skopeo tells", &told, "\"com.urunc.unikernel.cmdline\": \"aqueduct log=warn\"")?;
    let copy = format!("oci:{}:0.1.0", layout.display());
    run(&SKOPEO, &["--insecure-policy", "copy", "--quiet", &source, &copy])?;
    let folder = harness.scratch.path("unpacked");
    let named = format!("{}:0.1.0", layout.display());
    run(
        &UMOCI,
        &["raw", "unpack", "--rootless", "--image", &named, &folder.display().to_string()],
    )?;
    let inside = |path: &str| folder.join(Path::new(path.trim_start_matches('/')));
    same_bytes("the kernel", &inside(KERNEL), image)?;
    same_bytes("the bundle", &inside(BUNDLE), bundle)
}
