//! Directory listings: what a folder without an index has, as a page or as JSON.

use crate::date::HttpDate;
use crate::html::Escaped;
use crate::{RequestHead, Response, percent};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Write;

/// Entries of one listing; of a longer one the page says how many are left out.
const ENTRIES_MAX: usize = 10_000;

/// A file of a folder; `None` is a folder in it.
pub(super) type Item = Option<(usize, Option<u64>)>;

/// What a folder has, by name.
#[derive(Default)]
pub(super) struct Listing<'a> {
    items: BTreeMap<&'a str, Item>,
}

impl<'a> Listing<'a> {
    /// Adds a file by its path below the folder, its length and when it last changed. What begins with a dot is nobody's to
    /// see.
    pub(super) fn add(&mut self, path: &'a str, bytes: usize, modified: Option<u64>) {
        let (name, item) = match path.split_once('/') {
            Some((folder, _)) => (folder, None),
            None => (path, Some((bytes, modified))),
        };
        if !name.is_empty() && !name.starts_with('.') {
            self.items.insert(name, item);
        }
    }

    /// As JSON: an array of objects with `name`, `type`, and of files `size` in bytes and `mtime` as HTTP has dates.
    /// It is sorted as the page is.
    pub(super) fn json(&self, request: &RequestHead) -> Response {
        let mut text = String::from("[");
        for (name, item) in self.sorted(Order::of_request(request)).iter().take(ENTRIES_MAX) {
            let comma = if text.len() > 1 { ",\n" } else { "\n" };
            let name = serde_json::to_string(name).unwrap_or_default();
            let _ = write!(text, "{comma}{{\"name\":{name},\"type\":");
            match item {
                None => text.push_str("\"directory\"}"),
                Some((bytes, modified)) => {
                    let _ = write!(text, "\"file\",\"size\":{bytes}");
                    if let Some(modified) = modified {
                        let _ = write!(text, ",\"mtime\":\"{}\"", date(*modified));
                    }
                    text.push('}');
                }
            }
        }
        text.push_str("\n]\n");
        Response::ok("application/json", text)
    }

    fn sorted(&self, order: Order) -> Vec<(&'a str, Item)> {
        let mut items: Vec<_> = self.items.iter().map(|(name, item)| (*name, *item)).collect();
        items.sort_by(|one, other| order.compare(one, other));
        items
    }

    /// As a page; `path` is the folder's, decoded, with a slash at both ends. The query says by what it is sorted.
    pub(super) fn page(&self, path: &str, request: &RequestHead) -> Response {
        let order = Order::of_request(request);
        let items = self.sorted(order);
        let mut text = String::with_capacity(PAGE_START.len() + 160 * items.len() + 512);
        let title = Escaped(path);
        let _ = write!(
            text,
            "{PAGE_START}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        );
        crumbs(&mut text, path);
        text.push_str("<table>\n<thead><tr>");
        for column in [Column::Name, Column::Size, Column::Modified] {
            order.heading(&mut text, column);
        }
        text.push_str("</tr></thead>\n<tbody>\n");
        if path != "/" {
            text.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
        }
        for (name, item) in items.iter().take(ENTRIES_MAX) {
            row(&mut text, name, *item);
        }
        text.push_str("</tbody>\n</table>\n");
        let folders = items.iter().filter(|(_, item)| item.is_none()).count();
        let files = items.len() - folders;
        let _ = write!(text, "<p>{}, {}", counted(folders, "folder"), counted(files, "file"));
        if items.len() > ENTRIES_MAX {
            let _ = write!(text, "; the first {ENTRIES_MAX} are shown");
        }
        text.push_str("</p>\n</main>\n</body>\n</html>\n");
        Response::ok("text/html; charset=utf-8", text)
    }
}

/// By what a listing is sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Size,
    Modified,
}

impl Column {
    fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Modified => "modified",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Order {
    column: Column,
    is_descending: bool,
}

impl Order {
    fn of_request(request: &RequestHead) -> Self {
        Self::of(request.query().unwrap_or(&[]))
    }

    /// By `sort=` and `order=`; what is not known is not looked at.
    fn of(query: &[u8]) -> Self {
        let has =
            |wanted: &str| query.split(|&byte| byte == b'&').any(|part| part == wanted.as_bytes());
        let column = [Column::Size, Column::Modified]
            .into_iter()
            .find(|column| has(&format!("sort={}", column.word())));
        Self { column: column.unwrap_or(Column::Name), is_descending: has("order=desc") }
    }

    /// Folders go first, whichever way the rest is sorted.
    fn compare(self, one: &(&str, Item), other: &(&str, Item)) -> Ordering {
        let kind = |item: Item| item.is_some();
        let by_name = || {
            let folded = |name: &str| name.to_lowercase();
            folded(one.0).cmp(&folded(other.0)).then_with(|| one.0.cmp(other.0))
        };
        let by_column = match self.column {
            Column::Name => Ordering::Equal,
            Column::Size => one.1.map(|it| it.0).cmp(&other.1.map(|it| it.0)),
            Column::Modified => one.1.map(|it| it.1).cmp(&other.1.map(|it| it.1)),
        };
        let way =
            |ordering: Ordering| if self.is_descending { ordering.reverse() } else { ordering };
        kind(one.1).cmp(&kind(other.1)).then_with(|| way(by_column.then_with(by_name)))
    }

    fn heading(self, text: &mut String, column: Column) {
        let is_own = self.column == column;
        let aria = match (is_own, self.is_descending) {
            (false, _) => "",
            (true, false) => " aria-sort=\"ascending\"",
            (true, true) => " aria-sort=\"descending\"",
        };
        let next = if is_own && !self.is_descending { "desc" } else { "asc" };
        let word = column.word();
        let title = match column {
            Column::Name => "Name",
            Column::Size => "Size",
            Column::Modified => "Modified",
        };
        let _ = write!(
            text,
            "<th scope=\"col\"{aria}><a href=\"?sort={word}&amp;order={next}\">{title}</a></th>"
        );
    }
}

/// The folders above, each a link.
fn crumbs(text: &mut String, path: &str) {
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    text.push_str("<h1><a href=\"/\" aria-label=\"root\">/</a>");
    let mut link = String::from("/");
    for (index, name) in names.iter().enumerate() {
        link.push_str(&percent::encode(name));
        link.push('/');
        let current = if index + 1 == names.len() { " aria-current=\"page\"" } else { "" };
        let _ = write!(text, "<a href=\"{link}\"{current}>{}</a>/", Escaped(name));
    }
    text.push_str("</h1>\n");
}

fn row(text: &mut String, name: &str, item: Item) {
    // A name with a colon is no scheme behind `./` (RFC 3986 section 4.2).
    let (link, shown) = (percent::encode(name), Escaped(name));
    match item {
        None => {
            let _ = writeln!(
                text,
                "<tr><td><a href=\"./{link}/\">{shown}/</a></td><td></td><td></td></tr>"
            );
        }
        Some((bytes, modified)) => {
            let when = modified.map(shown_date).unwrap_or_default();
            let size = shown_size(bytes);
            let _ = writeln!(
                text,
                "<tr><td><a href=\"./{link}\">{shown}</a></td><td title=\"{bytes} bytes\">{size}</td><td>{when}</td></tr>"
            );
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn date(unix_seconds: u64) -> String {
    let date = HttpDate::from_unix_seconds(unix_seconds);
    String::from_utf8_lossy(date.as_bytes()).into_owned()
}

/// `06 Nov 1994 08:49`, from the parts of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn shown_date(unix_seconds: u64) -> String {
    String::from(date(unix_seconds).get(5..22).unwrap_or(""))
}

/// Three digits at least of what is large.
fn shown_size(bytes: usize) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let bytes = bytes as u64;
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            // 128-bit would be for more bytes than there are.
            let tenths = bytes / (unit / 16) * 10 / 16;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

const PAGE_START: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n";

const STYLE: &str = "\
:root{--text:#1c2024;--soft:#60646c;--line:#e2e4e9;--back:#fff;--over:#f3f5f8;--link:#0b5cad}\
@media(prefers-color-scheme:dark){:root{--text:#eceef2;--soft:#a4abb6;--line:#2e343d;--back:#14171b;--over:#1f242b;--link:#7db8f5}}\
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}\
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem}\
h1{font-size:1.25rem;font-weight:600;margin:0 0 1rem;overflow-wrap:anywhere}h1 a{margin-right:.15em}\
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}\
a:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:2px}\
table{width:100%;border-collapse:collapse}th,td{padding:.5rem .5rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}\
th a{color:var(--soft);font-weight:500}th[aria-sort=ascending] a::after{content:\" \\2191\"}th[aria-sort=descending] a::after{content:\" \\2193\"}\
td:first-child{overflow-wrap:anywhere}td:first-child a{display:block}\
th:nth-child(n+2),td:nth-child(n+2){text-align:right;white-space:nowrap;color:var(--soft);font-variant-numeric:tabular-nums}\
tbody tr:hover{background:var(--over)}p{color:var(--soft);font-size:.875rem}\
@media(max-width:36rem){th:nth-child(3),td:nth-child(3){display:none}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;
    use crate::request::parsed;

    fn text(response: &Response) -> String {
        let Content::Full(data) = response.content() else { panic!("one run") };
        String::from_utf8(data.as_bytes().to_vec()).unwrap()
    }

    fn listing() -> Listing<'static> {
        let mut listing = Listing::default();
        for (path, bytes) in [
            ("b.txt", 7),
            ("A.txt", 2048),
            ("z/inside", 1),
            ("<i>&\"'.txt", 3),
            ("a:b", 0),
            (".hidden", 1),
        ] {
            listing.add(path, bytes, Some(784_111_777));
        }
        listing
    }

    fn names(query: &str) -> Vec<String> {
        let request = parsed("GET", &format!("/d/{query}"), &[]);
        let page = text(&listing().page("/d/", &request));
        let links = page.split("<tr><td><a href=\"").skip(2);
        links.map(|rest| String::from(rest.split_once('"').unwrap().0)).collect()
    }

    #[test]
    fn folders_go_first_and_the_query_sorts() {
        let special = "./%3Ci%3E%26%22%27.txt";
        assert_eq!(names(""), ["./z/", special, "./A.txt", "./a%3Ab", "./b.txt"]);
        assert_eq!(
            names("?sort=name&order=desc"),
            ["./z/", "./b.txt", "./a%3Ab", "./A.txt", special]
        );
        assert_eq!(names("?sort=size"), ["./z/", "./a%3Ab", special, "./b.txt", "./A.txt"]);
        assert_eq!(names("?sort=%00&order=x"), names(""));
    }

    #[test]
    fn json_is_sorted_as_the_page_is() {
        for query in ["", "?sort=size&order=desc", "?sort=modified", "?order=desc", "?sort=name"] {
            let request = parsed("GET", &format!("/d/{query}"), &[]);
            let json = text(&listing().json(&request));
            let json: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
            let links = json.iter().map(|item| {
                let folder = if item["type"] == "directory" { "/" } else { "" };
                format!("./{}{folder}", percent::encode(item["name"].as_str().unwrap()))
            });
            assert_eq!(links.collect::<Vec<_>>(), names(query), "{query}");
        }
    }

    #[test]
    fn no_name_is_markup() {
        let request = parsed("GET", "/", &[]);
        let page = text(&listing().page("/<b>/", &request));
        assert!(!page.contains("<i>") && !page.contains("<b>"));
        assert!(page.contains(">&lt;i&gt;&amp;&quot;&#39;.txt</a>"));
        assert!(page.contains("<a href=\"/%3Cb%3E/\" aria-current=\"page\">&lt;b&gt;</a>"));
        assert!(page.contains("06 Nov 1994 08:49") && page.contains("2.0 KiB"));
        assert!(page.contains("1 folder, 4 files"));
    }

    #[test]
    fn json_has_the_same() {
        let request = parsed("GET", "/", &[]);
        let json = text(&listing().json(&request));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let all = json.as_array().unwrap();
        assert_eq!(all.len(), 5);
        assert_eq!((&all[0]["name"], &all[0]["type"]), (&"z".into(), &"directory".into()));
        assert_eq!(all[1]["name"], "<i>&\"'.txt");
        assert_eq!(all[2]["mtime"], "Sun, 06 Nov 1994 08:49:37 GMT");
        let empty = text(&Listing::default().json(&request));
        let empty: serde_json::Value = serde_json::from_str(&empty).unwrap();
        assert_eq!(empty.as_array().unwrap().len(), 0);
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
        ] {
            assert_eq!(shown_size(bytes), shown);
        }
    }
}
