//! A new bundle by the admin port.

use super::World;
use config::cpio;

fn archive(files: &[(&str, &str)]) -> String {
    let mut writer = cpio::Writer::new();
    for (path, text) in files {
        writer.file(path, text.as_bytes(), 1_700_000_000).unwrap();
    }
    String::from_utf8(writer.finish()).unwrap()
}

fn put(world: &World, files: &[(&str, &str)]) -> (u16, String) {
    world.admin_with("PUT", "/api/v1/bundle", "", &archive(files))
}

#[test]
fn a_new_bundle_is_served_at_once() {
    let world = World::new();
    let before = world.get("/new.html");
    assert!(before.starts_with("HTTP/1.1 404"), "{before}");
    let files = [
        ("site/index.html", "<p>another"),
        ("site/new.html", "<p>new"),
        ("site/model.glb", "x"),
        ("site/_redirects", "/old /new.html\n"),
        ("media-types", "glb model/gltf-binary\n"),
    ];
    assert_eq!(put(&world, &files), (200, "3 files are served now\n".into()));
    assert!(world.get("/").ends_with("<p>another"));
    let new = world.get("/new.html");
    assert!(new.starts_with("HTTP/1.1 200") && new.ends_with("<p>new"), "{new}");
    assert!(new.contains("Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT"), "{new}");
    assert!(world.get("/old").contains("Location: /new.html"));
    assert!(world.get("/model.glb").contains("Content-Type: model/gltf-binary"));
    // The next one takes away what it has not.
    assert_eq!(put(&world, &[("site/index.html", "<p>third")]).0, 200);
    assert!(world.get("/new.html").starts_with("HTTP/1.1 404"));
    assert!(world.get("/old").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_bad_bundle_changes_nothing_and_is_told_why() {
    let world = World::new();
    let before = world.get("/");
    let (status, said) = world.admin_with("PUT", "/api/v1/bundle", "", "no archive");
    assert_eq!(status, 422, "{said}");
    assert!(said.starts_with("bundle, byte 0:"), "{said}");
    let index = ("site/index.html", "<p>another");
    for (files, reason) in [
        (
            &[index, ("site/_redirects", "/a /b\n/c\n")][..],
            "_redirects:2: found `/c`; allowed: two paths",
        ),
        (&[index, ("appliance.toml", "[http]\nport = 0\n")], "appliance.toml:2:8: found `0`"),
        (&[index, ("media-types", "x\n")], "media-types: line 1"),
        (&[("other/index.html", "x")], "site/ has none"),
    ] {
        let (status, said) = put(&world, files);
        assert_eq!(status, 422, "{said}");
        assert!(said.contains(reason), "{said}");
        assert_eq!(world.get("/"), before);
    }
    assert_eq!(put(&world, &[index]).0, 200);
    assert_ne!(world.get("/"), before);
}
