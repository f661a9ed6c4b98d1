//! Menus of the site's folders, for Gopher.

use crate::handlers::access::Rules;
use crate::live_site::LiveSite;
use crate::{Platform, context::Context};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use web::files::redirects::REDIRECTS_FILE;
use web::menu::{self, ItemType, Menu};
use web::{Answer, Handler, Reply, Request, Response, media_type, percent};

/// Asks another handler, and gives a menu of the folder where that has a page for it: the site's index, or that there is
/// none. A menu of its own is the other's to give, as is what it has to wait for, and a refusal. What nobody gets by its path is
/// in no menu: names that begin with a dot, and what rules keep from who asks.
pub struct FolderMenus {
    next: Rc<dyn Handler>,
    files: SiteFiles,
    access: Rules,
}

impl FolderMenus {
    /// Menus of the folders under the configured root; `next` is asked first.
    pub fn new<P: Platform>(context: &Context<P>, next: Rc<dyn Handler>) -> Self {
        Self { next, files: SiteFiles(context.live_site()), access: Rules::new(&context.config) }
    }
}

impl Handler for FolderMenus {
    fn answer(&self, request: Request) -> Answer {
        let is_shown =
            |path: &str| is_served(path) && self.access.may_have(&request, &format!("/{path}"));
        let menu = folder_of(request.path()).and_then(|folder| self.files.menu(&folder, is_shown));
        let answer = self.next.answer(request);
        let is_final = matches!(answer, Answer::Now(_)) || self.files.is_waited_for();
        match menu {
            Some(menu) if is_final => answer.map(|reply| of_folder(reply, menu)),
            _ => answer,
        }
    }
}

/// The menu in place of a page, or of that there is none.
fn of_folder(reply: Reply, menu: Menu) -> Reply {
    let is_menu = reply.response.content_type() == Some(menu::MEDIA_TYPE);
    match reply.response.status().code() {
        200..=399 | 404 if !is_menu => Response::from(menu).into(),
        _ => reply,
    }
}

/// Whether a file is one that the site gives, and its listings show.
fn is_served(path: &str) -> bool {
    path != REDIRECTS_FILE && !path.split('/').any(|segment| segment.starts_with('.'))
}

/// What files the site has, as it is now.
struct SiteFiles(Rc<LiveSite>);

impl SiteFiles {
    /// Its pages are read while they are asked for.
    fn is_waited_for(&self) -> bool {
        #[cfg(feature = "disk")]
        return self.0.disk().is_some();
        #[cfg(not(feature = "disk"))]
        false
    }

    fn menu(&self, folder: &str, is_shown: impl Fn(&str) -> bool) -> Option<Menu> {
        #[cfg(feature = "disk")]
        if let Some(site) = self.0.disk() {
            return menu_of(site.paths(), folder, is_shown);
        }
        menu_of(self.0.files().keys().map(String::as_str), folder, is_shown)
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

/// The menu of a folder of the site, if there is one: folders first, each in alphabetical order. Folders that have nothing to
/// show are none.
fn menu_of<'a>(
    files: impl Iterator<Item = &'a str>,
    folder: &str,
    is_shown: impl Fn(&str) -> bool,
) -> Option<Menu> {
    let (mut folders, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for path in files {
        let inside = if folder.is_empty() { Some(path) } else { inside(path, folder) };
        let inside = inside.filter(|_| is_shown(path));
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
            is_served,
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

    /// What a client of HTTP would be refused is in no menu, and its folder has none.
    #[test]
    fn menus_show_nothing_that_is_refused() {
        use core::net::SocketAddr;
        use flow::Address;
        use web::{Status, testing};
        const USER: &str = "ann:$6$rounds=1000$saltstring$2BkAo106CG84raQcWpAlhyy6TSSkAsL1nfvBCoezLYyerUzY2l8axTvq6NynEt7SQAx3/cdop9ds0po8uaeHq0";
        const PATHS: [&str; 8] = [
            "_redirects",
            "a.txt",
            ".git/config",
            "sub/.env",
            "users/u.txt",
            "allow/b.txt",
            "deny/c.txt",
            "deny/open.txt",
        ];
        struct Always(Status);
        impl Handler for Always {
            fn answer(&self, _: Request) -> Answer {
                Answer::Now(Response::plain(self.0).into())
            }
        }
        let text = format!(
            "[[site_rule]]\npath = \"/users/*\"\nusers = [\"{USER}\"]\n\
             [[site_rule]]\npath = \"/allow/*\"\nallow = [\"10.0.0.0/8\"]\n\
             [[site_rule]]\npath = \"/deny/*\"\ndeny = [\"0.0.0.0/0\"]\n\
             [[site_rule]]\npath = \"/deny/open.txt\"\nallow = [\"0.0.0.0/0\"]\n\
             [[site_host]]\nnames = [\"b.example\"]\nroot = \"b\"\n\
             [[site_rule]]\npath = \"/a.txt\"\nhosts = [\"b.example\"]\nallow = [\"9.9.9.9\"]\n"
        );
        let menu = |status: Status, path: &str, from: &str| {
            let files = PATHS.map(|path| (path.to_owned(), bytes::Bytes::new()));
            let options = web::files::Options::default();
            let live = LiveSite::of(web::files::Site::default(), options);
            live.replace(files.into_iter().collect());
            let menus = FolderMenus {
                next: Rc::new(Always(status)),
                files: SiteFiles(Rc::new(live)),
                access: Rules::new(&config::Config::parse("a", &text).unwrap()),
            };
            let address: SocketAddr = format!("{from}:1").parse().unwrap();
            let seen = testing::get(path).from(Address::Ip(address)).ask(&menus);
            String::from(seen.text())
        };
        let root = "1allow/\t/allow/\r\n1deny/\t/deny/\r\n0a.txt\t/a.txt\r\n";
        assert_eq!(menu(Status::OK, "/", "10.0.0.1"), root);
        let root = "1deny/\t/deny/\r\n0a.txt\t/a.txt\r\n";
        assert_eq!(menu(Status::NOT_FOUND, "/", "11.0.0.1"), root);
        let open = "0open.txt\t/deny/open.txt\r\n";
        assert_eq!(menu(Status::NOT_FOUND, "/deny/", "11.0.0.1"), open);
        for folder in ["/.git/", "/.git", "/%2egit/", "/sub/", "/users/", "/allow/"] {
            assert_eq!(menu(Status::NOT_FOUND, folder, "11.0.0.1"), "Not Found", "{folder}");
        }
        // A folder may be refused itself.
        assert_eq!(menu(Status::UNAUTHORIZED, "/deny/", "11.0.0.1"), "Unauthorized");
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
