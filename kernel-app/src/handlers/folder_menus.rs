//! Menus of the site's folders, for Gopher.

use crate::live_site::LiveSite;
use crate::{Platform, context::Context};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use web::menu::{self, ItemType, Menu};
use web::{Answer, Handler, Reply, Request, Response, media_type, percent};

/// Asks another handler, and gives a menu of the folder where that has a page for it: the site's index, or that there is
/// none. A menu of its own is the other's to give, as is what it has to wait for.
pub struct FolderMenus {
    next: Rc<dyn Handler>,
    files: SiteFiles,
}

impl FolderMenus {
    /// Menus of the folders under the configured root; `next` is asked first.
    pub fn new<P: Platform>(context: &Context<P>, next: Rc<dyn Handler>) -> Self {
        Self { next, files: SiteFiles::new(context) }
    }
}

impl Handler for FolderMenus {
    fn answer(&self, request: Request) -> Answer {
        let menu = folder_of(request.path()).and_then(|folder| self.files.menu(&folder));
        let answer = self.next.answer(request);
        let is_final = matches!(answer, Answer::Now(_)) || self.files.is_waited_for();
        match menu {
            Some(menu) if is_final => answer.map(|reply| of_folder(reply, menu)),
            _ => answer,
        }
    }
}

/// The menu in place of a page.
fn of_folder(reply: Reply, menu: Menu) -> Reply {
    match reply.response.content_type() {
        Some(menu::MEDIA_TYPE) => reply,
        _ => Response::from(menu).into(),
    }
}

/// What files the site has.
enum SiteFiles {
    Live(Rc<LiveSite>),
    #[cfg(feature = "disk")]
    Disk(Rc<crate::disk::DiskSite>),
}

impl SiteFiles {
    fn new<P: Platform>(context: &Context<P>) -> Self {
        #[cfg(feature = "disk")]
        if let Some(site) = &context.disk_site {
            return Self::Disk(site.clone());
        }
        Self::Live(context.live_site())
    }

    /// Its pages are read while they are asked for.
    fn is_waited_for(&self) -> bool {
        !matches!(self, Self::Live(_))
    }

    fn menu(&self, folder: &str) -> Option<Menu> {
        match self {
            Self::Live(site) => menu_of(site.files().keys().map(String::as_str), folder),
            #[cfg(feature = "disk")]
            Self::Disk(site) => menu_of(site.paths(), folder),
        }
    }
}

/// A path below a folder, from there.
fn inside<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// The folder that a path names, without the slashes around it.
fn folder_of(path: &[u8]) -> Option<String> {
    let path = String::from_utf8(percent::decode(path)?).ok()?;
    Some(path.trim_matches('/').to_owned())
}

/// The menu of a folder of the site, if there is one: folders first, each in alphabetical order.
fn menu_of<'a>(files: impl Iterator<Item = &'a str>, folder: &str) -> Option<Menu> {
    let (mut folders, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for path in files {
        let inside = if folder.is_empty() { Some(path) } else { inside(path, folder) };
        match inside.map(|inside| inside.split_once('/').ok_or(inside)) {
            Some(Ok((name, _))) => _ = folders.insert(name),
            Some(Err(name)) => _ = texts.insert(name),
            None => {}
        }
    }
    if folders.is_empty() && texts.is_empty() {
        return None;
    }
    let place = if folder.is_empty() { String::new() } else { format!("/{folder}") };
    let selector = |name: &str| percent::encode(&format!("{place}/{name}"));
    let mut menu = Menu::new();
    for name in folders {
        let title = format!("{name}/");
        menu = menu.item(ItemType::Menu, &title, &selector(&title));
    }
    for name in texts {
        let item_type = ItemType::of_media_type(media_type::of_name(name));
        menu = menu.item(item_type, name, &selector(name));
    }
    Some(menu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::Content;

    const FILES: [&str; 6] = [
        "site/index.html",
        "site/a b.txt",
        "site/dir/x.png",
        "site/dir/sub/y.gif",
        "site.txt",
        "sitemap/z.txt",
    ];

    fn menu(folder: &str) -> Option<String> {
        let mut response = Response::from(menu_of(
            FILES.into_iter().filter_map(|path| inside(path, "site")),
            folder,
        )?);
        let Content::Full(lines) = response.take_content() else { return None };
        String::from_utf8(lines.as_bytes().to_vec()).ok()
    }

    #[test]
    fn a_folder_is_a_menu_and_nothing_else_is() {
        let root = "1dir/\t/dir/\r\n0a b.txt\t/a%20b.txt\r\nhindex.html\t/index.html\r\n";
        assert_eq!(menu("").as_deref(), Some(root));
        assert_eq!(menu("dir").as_deref(), Some("1sub/\t/dir/sub/\r\nIx.png\t/dir/x.png\r\n"));
        assert_eq!(menu("dir/sub").as_deref(), Some("gy.gif\t/dir/sub/y.gif\r\n"));
        for nothing in ["di", "dir/x.png", "nothing", "dir/su", ".."] {
            assert_eq!(menu(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn folders_are_named_with_and_without_slashes() {
        for (path, folder) in [
            (&b"/"[..], Some("")),
            (b"/dir", Some("dir")),
            (b"/dir/", Some("dir")),
            (b"/a%20b/", Some("a b")),
            (b"/%f", None),
            (b"/%ff", None),
        ] {
            assert_eq!(folder_of(path).as_deref(), folder);
        }
    }
}
