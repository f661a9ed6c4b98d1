//! Access by path: who may ask, by name and password, and from where, as `[[site_rule]]` says.

use crate::live_site::LiveSite;
use crate::settings::site::is_for_section;
use crate::{Platform, context::Context};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use config::{Config, SiteRule, SiteUser, Subnet};
use core::cell::RefCell;
use core::hash::Hasher;
use core::time::Duration;
use flow::time::Timers;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use siphasher::sip128::{Hasher128, SipHasher24};
use web::files::normal_path;
use web::files::rules::Pattern;
use web::layer::Inner;
use web::layers::{Credentials, RateLimit};
use web::{Answer, Layer, Request, Response, Status};

/// Passwords that one client may try at once, and as many over each period; a hash is some milliseconds in which nobody is
/// served. Those that were right before are not counted.
const TRIES: u32 = 10;
/// The same of all clients together.
const TRIES_OF_ALL: u32 = 300;
const PERIOD: Duration = Duration::from_secs(60);
/// Rounds of hashes in one second, of all clients together: some 0.5 microseconds each, so a tenth of the time.
const ROUNDS_A_SECOND: u32 = 200_000;
/// Those of a hash that does not say (crypt(5)).
const ROUNDS: u32 = 5000;
/// Passwords that were right and are remembered, so that a page's twenty files do not cost a hash each.
const KNOWN_MAX: usize = 256;

/// Refuses those who may not ask for a path. A path is looked at as it was asked for and as that of the file that answers.
pub(crate) struct AccessRules {
    live: Rc<LiveSite>,
    rules: Rules,
    tries: RateLimit,
    tries_of_all: RateLimit,
    tries_a_second: RateLimit,
    /// Of passwords that were right, hashes that nobody can make who has not this key.
    key: [u8; 16],
    known: RefCell<VecDeque<u128>>,
}

/// The rules that say who may ask.
pub(crate) struct Rules(Vec<Rule>);

struct Rule {
    pattern: Pattern,
    hosts: Vec<String>,
    users: Option<Vec<SiteUser>>,
    challenge: String,
    allow: Option<Vec<Subnet>>,
    deny: Option<Vec<Subnet>>,
}

/// What is in force for a request.
#[derive(Default)]
struct Ruling<'a> {
    users: Option<(&'a [SiteUser], &'a str)>,
    allow: &'a [Subnet],
    deny: &'a [Subnet],
}

impl AccessRules {
    /// Those of the configuration; none if it has none.
    pub(crate) fn new<P: Platform>(context: &Context<P>) -> Option<Self> {
        let rules = Rules::new(&context.config);
        if rules.0.is_empty() {
            return None;
        }
        let mut key = [0; 16];
        context.platform.fill_random(&mut key);
        Some(Self::with(context.live_site(), rules, &context.timers, key))
    }

    fn with(live: Rc<LiveSite>, rules: Rules, timers: &Timers, key: [u8; 16]) -> Self {
        let of_all =
            |tries, period| RateLimit::new(timers, tries, period).by(|_| Some(Vec::from(*b"all")));
        let tries_a_second = (ROUNDS_A_SECOND / rules.rounds_max()).max(1);
        Self {
            live,
            rules,
            tries: RateLimit::new(timers, TRIES, PERIOD),
            tries_of_all: of_all(TRIES_OF_ALL, PERIOD),
            tries_a_second: of_all(tries_a_second, Duration::from_secs(1)),
            key,
            known: RefCell::default(),
        }
    }

    /// What is in force for a request, if any rule is for it.
    fn ruling(&self, request: &Request) -> Option<Ruling<'_>> {
        let asked = normal_path(request.path());
        let (names, site) = self.live.section_of_host(request.authority());
        let file = site.served().name_of_answer(request, "").map(|name| format!("/{name}"));
        self.rules.ruling(names, &[&asked, file.as_ref().unwrap_or(&asked)])
    }

    /// What a request is refused with.
    fn refusal(&self, request: &Request, ruling: &Ruling<'_>) -> Option<Response> {
        if !ruling.is_from(request) {
            return Some(Response::plain(Status::FORBIDDEN));
        }
        let (users, challenge) = ruling.users?;
        let Some(shown) = Credentials::of(request) else { return Some(challenged(challenge)) };
        let user = users.iter().find(|user| user.name == shown.user);
        let digest = user.map(|user| self.digest(user, &shown));
        if digest.is_some_and(|digest| self.known.borrow().contains(&digest)) {
            return None;
        }
        for limit in [&self.tries, &self.tries_a_second, &self.tries_of_all] {
            if let Err(refusal) = limit.admit(request) {
                return Some(refusal);
            }
        }
        // Who is not known costs as much, so that the time does not tell who is.
        let hash = user.or(users.first()).map_or("", |user| user.hash.as_str());
        let is_right = ShaCrypt::default().verify_password(shown.password.as_bytes(), hash).is_ok();
        match digest.filter(|_| is_right) {
            Some(digest) => {
                self.remember(digest);
                None
            }
            None => Some(challenged(challenge)),
        }
    }

    fn remember(&self, digest: u128) {
        let mut known = self.known.borrow_mut();
        if known.len() == KNOWN_MAX {
            known.pop_front();
        }
        known.push_back(digest);
    }

    fn digest(&self, user: &SiteUser, shown: &Credentials) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        for part in [&user.name, &user.hash, &shown.password] {
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        hasher.finish128().as_u128()
    }
}

impl Rules {
    pub(crate) fn new(config: &Config) -> Self {
        Self(rules(config))
    }

    /// Of the hash that takes longest.
    fn rounds_max(&self) -> u32 {
        let users = self.0.iter().flat_map(|rule| rule.users.iter().flatten());
        users.map(|user| rounds(&user.hash)).max().unwrap_or(ROUNDS)
    }

    /// Whether who asks may have a file of the site's own folder without a password, so that its name may be shown.
    #[cfg_attr(not(feature = "gopher"), allow(dead_code, reason = "nothing shows names"))]
    pub(crate) fn may_have(&self, request: &Request, path: &str) -> bool {
        let ruling = self.ruling(&[], &[path]);
        ruling.is_none_or(|ruling| ruling.users.is_none() && ruling.is_from(request))
    }

    /// What is in force for these paths of a section.
    fn ruling(&self, names: &[String], paths: &[&str]) -> Option<Ruling<'_>> {
        let is_for = |rule: &&Rule| {
            let is_path = paths.iter().any(|path| rule.pattern.fits(path));
            is_path && is_for_section(&rule.hosts, names)
        };
        let mut ruling = None;
        for rule in self.0.iter().filter(is_for) {
            let ruling: &mut Ruling<'_> = ruling.get_or_insert_default();
            if let Some(users) = &rule.users {
                let is_open = users.is_empty();
                ruling.users = (!is_open).then_some((users.as_slice(), rule.challenge.as_str()));
            }
            if let Some(allow) = &rule.allow {
                ruling.allow = allow;
            }
            if let Some(deny) = &rule.deny {
                ruling.deny = deny;
            }
        }
        ruling
    }
}

impl Ruling<'_> {
    /// Whether what is for this request may be kept from another.
    fn is_for_some(&self) -> bool {
        self.users.is_some() || !self.allow.is_empty() || !self.deny.is_empty()
    }

    /// Whether a request comes from where one may ask.
    fn is_from(&self, request: &Request) -> bool {
        if self.allow.is_empty() && self.deny.is_empty() {
            return true;
        }
        // By a socket of this machine there is no address: nobody is named by one.
        let ip = request.peer().ip();
        let is_among =
            |subnets: &[Subnet]| ip.is_some_and(|ip| subnets.iter().any(|it| it.contains(ip)));
        let is_other = !self.deny.is_empty() || self.allow.is_empty();
        is_among(self.allow) || !is_among(self.deny) && is_other
    }
}

impl Layer for AccessRules {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        let Some(ruling) = self.ruling(&request) else { return inner.answer(request) };
        if let Some(refusal) = self.refusal(&request, &ruling) {
            return Answer::Now(refusal.into());
        }
        let is_checked = ruling.is_for_some();
        inner.answer(request).map(move |mut reply| {
            // Whoever sends the same head may be somebody else, or elsewhere.
            reply.response.forbid_repeating();
            if is_checked {
                reply.response = not_shared(reply.response);
            }
            reply
        })
    }
}

/// Rounds of a hash, written `$6$rounds=N$...` where they are not the usual ones.
fn rounds(hash: &str) -> u32 {
    let said = hash.split('$').nth(2).and_then(|part| part.strip_prefix("rounds="));
    said.and_then(|rounds| rounds.parse().ok()).filter(|rounds| *rounds > 0).unwrap_or(ROUNDS)
}

/// An answer that no shared cache keeps, whatever was said of it: a cache asks nobody who may have it (RFC 9111 sections 3.5
/// and 5.2.2.7).
fn not_shared(response: Response) -> Response {
    let said: Vec<_> = response.headers_named("cache-control").map(<[u8]>::to_vec).collect();
    let said = String::from_utf8_lossy(&said.join(&b", "[..])).into_owned();
    let name =
        |directive: &str| directive.split('=').next().unwrap_or("").trim().to_ascii_lowercase();
    // `private="Set-Cookie"` would be of that field alone.
    let is_sharing =
        |it: &&str| matches!(&*name(it), "public" | "s-maxage" | "proxy-revalidate" | "private");
    let directives = said.split(',').map(str::trim).filter(|it| !it.is_empty());
    let kept: Vec<_> = directives.filter(|it| !is_sharing(it)).collect();
    if kept.iter().any(|it| name(it) == "no-store") {
        return response;
    }
    let all: Vec<_> = core::iter::once("private").chain(kept).collect();
    response.without_header("cache-control").with_header("Cache-Control", all.join(", "))
}

/// RFC 9110 section 15.5.2.
fn challenged(challenge: &str) -> Response {
    Response::plain(Status::UNAUTHORIZED).with_header("WWW-Authenticate", challenge)
}

/// The rules that say who may ask.
fn rules(config: &Config) -> Vec<Rule> {
    let says =
        |rule: &&SiteRule| rule.users.is_some() || rule.allow.is_some() || rule.deny.is_some();
    let rule = |rule: &SiteRule| {
        let SiteRule { path, hosts, users, realm, allow, deny, .. } = rule.clone();
        let realm = if realm.is_empty() { "restricted" } else { &realm };
        // A quoted string (RFC 9110 section 5.6.4).
        let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
        Some(Rule { pattern: Pattern::new(&path)?, hosts, users, challenge, allow, deny })
    };
    config.site_rules.iter().filter(says).filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;
    use flow::Address;
    use web::files::{CleanUrls, Options, Site, Variant};
    use web::{Handler, testing};

    /// Of `openssl passwd -6 -salt saltstring secret`, with a few rounds.
    const ANN: &str = "ann:$6$rounds=1000$saltstring$2BkAo106CG84raQcWpAlhyy6TSSkAsL1nfvBCoezLYyerUzY2l8axTvq6NynEt7SQAx3/cdop9ds0po8uaeHq0";

    fn access(text: &str) -> AccessRules {
        let config = Config::parse("a", text).unwrap();
        let folder = || {
            let names = ["private/a.txt", "about.html", "index.html", "open/a.txt"];
            let files = names.map(|name| (String::from(name), Variant::new(name), None));
            let options = Options { clean_urls: CleanUrls::Answer, ..Options::default() };
            LiveSite::of(Site::new(files, options.clone()), options)
        };
        let hosts = config.site_hosts.iter().map(|host| (host.names.clone(), folder()));
        let live = Rc::new(folder().with_hosts(hosts.collect()));
        AccessRules::with(live, Rules::new(&config), &Timers::new(), [7; 16])
    }

    struct Page;

    impl Handler for Page {
        fn answer(&self, _: Request) -> Answer {
            Answer::Now(Response::ok("text/plain", "page").repeatable().into())
        }
    }

    fn ask(handler: &impl Handler, path: &str, from: &str, credentials: Option<&str>) -> Response {
        use base64ct::{Base64, Encoding};
        let fields =
            credentials.map(|text| format!("Basic {}", Base64::encode_string(text.as_bytes())));
        let request = testing::get(path);
        let request = match &fields {
            Some(value) => request.header("Authorization", value),
            None => request,
        };
        let address: SocketAddr = format!("{from}:1").parse().unwrap();
        request.from(Address::Ip(address)).ask(handler).response().clone()
    }

    #[test]
    fn addresses_are_let_in_and_kept_out() {
        for (rule, expected) in [
            ("allow = [\"10.0.0.0/8\"]", [200, 200, 403]),
            ("deny = [\"10.0.0.0/8\"]", [403, 403, 200]),
            ("allow = [\"10.1.0.0/16\"]\ndeny = [\"10.0.0.0/8\"]", [403, 200, 200]),
            ("allow = []", [200, 200, 200]),
        ] {
            let rules = format!("[[site_rule]]\npath = \"/private/*\"\n{rule}\n");
            let handler = Page.layer(access(&rules));
            let seen = ["10.0.0.1", "10.1.0.1", "11.0.0.1"]
                .map(|from| ask(&handler, "/private/a.txt", from, None).status().code());
            assert_eq!(seen, expected, "{rule}");
            let open = ask(&handler, "/open/a.txt", "11.0.0.1", None);
            assert!(open.is_repeatable(), "no rule is for it");
        }
    }

    /// Whichever of a section's names a rule says, it is for all by which the section is asked for, and for no other.
    #[test]
    fn a_rule_is_for_all_names_of_its_sections() {
        let sections = "[[site_host]]\nnames = [\"shop.example\", \"*.shop.example\", \"shop2.example\"]\nroot = \"shop\"\n\
            [[site_host]]\nnames = [\"*.blog.example\", \"blog.example\"]\nroot = \"blog\"\n";
        let shop = ["shop.example", "SHOP.example.:80", "a.shop.example", "shop2.example"];
        let blog = ["blog.example", "a.blog.example", "blog.example:8080"];
        let own = ["", "other.example", "10.0.0.1"];
        for (hosts, kept) in [
            ("[\"shop.example\"]", &shop[..]),
            ("[\"*.shop.example\"]", &shop),
            ("[\"Shop2.example\"]", &shop),
            ("[\"blog.example\"]", &blog),
            ("[\"*.blog.example\"]", &blog),
        ] {
            for refusing in ["deny = [\"0.0.0.0/0\"]".into(), format!("users = [\"{ANN}\"]")] {
                let text = format!(
                    "{sections}[[site_rule]]\npath = \"/private/*\"\nhosts = {hosts}\n{refusing}\n"
                );
                let handler = Page.layer(access(&text));
                for host in shop.iter().chain(&blog).chain(&own) {
                    let request = testing::get("/private/a.txt").header("Host", host);
                    let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
                    let status = request.from(Address::Ip(address)).ask(&handler).status();
                    assert_eq!(status != Status::OK, kept.contains(host), "{hosts} {host}");
                }
            }
        }
    }

    #[test]
    fn a_file_is_kept_whatever_path_leads_to_it() {
        let handler =
            Page.layer(access("[[site_rule]]\npath = \"*.html\"\ndeny = [\"0.0.0.0/0\"]\n"));
        for (path, status) in [
            ("/about.html", 403),
            ("/about", 403),
            ("/%61bout", 403),
            ("//about", 403),
            ("/", 403),
            // What is no file's may be a service's.
            ("/.x/about.html", 403),
            ("/x/../about.html", 403),
            ("/a%2fabout.html", 403),
            ("/open/a.txt", 200),
        ] {
            assert_eq!(ask(&handler, path, "10.0.0.1", None).status().code(), status, "{path}");
        }
    }

    /// However many ask at once, and from wherever: what hashes cost in a second is bounded by their rounds.
    #[test]
    fn a_burst_of_wrong_passwords_is_few_hashes() {
        for (user, tries) in [
            (ANN.replace("rounds=1000", "rounds=20000"), 10),
            (ANN.replace("rounds=1000", "rounds=100000"), 2),
        ] {
            let text = format!("[[site_rule]]\npath = \"/private/*\"\nusers = [\"{user}\"]\n");
            let handler = Page.layer(access(&text));
            let statuses = (1..=250).map(|host| {
                ask(&handler, "/private/a.txt", &format!("10.0.0.{host}"), Some("ann:no")).status()
            });
            let statuses: Vec<_> = statuses.collect();
            let tried = statuses.iter().filter(|it| **it == Status::UNAUTHORIZED).count();
            assert_eq!(tried, tries, "{user}");
            assert!(statuses.iter().skip(tries).all(|it| *it == Status::TOO_MANY_REQUESTS));
        }
        assert_eq!((rounds("$6$salt$a"), rounds("$5$rounds=1000$salt$a")), (5000, 1000));
    }

    /// Answers with what the path's query says of caches.
    struct Said;

    impl Handler for Said {
        fn answer(&self, request: Request) -> Answer {
            let value = web::percent::decode(request.query().unwrap_or_default()).unwrap();
            let response = Response::ok("text/plain", "said");
            Answer::Now(match &*value {
                b"" => response.into(),
                value => response.with_header("Cache-Control", value).into(),
            })
        }
    }

    #[test]
    fn no_shared_cache_keeps_what_is_for_some() {
        for (rule, is_checked) in [
            ("allow = [\"10.0.0.0/8\"]", true),
            ("deny = [\"11.0.0.0/8\"]", true),
            ("users = [\"*\"]", false),
        ] {
            let rule = format!("[[site_rule]]\npath = \"/private/*\"\n{rule}\n");
            let handler = Said.layer(access(&rule));
            for (said, expected) in [
                ("", "private"),
                ("no-cache", "private, no-cache"),
                ("Public,max-age=9,%20immutable", "private, max-age=9, immutable"),
                ("max-age=1,S-MaxAge=9", "private, max-age=1"),
                ("private", "private"),
                ("private=%22a%22,max-age=1", "private, max-age=1"),
                ("no-store", "no-store"),
            ] {
                let seen = ask(&handler, &format!("/private/a.txt?{said}"), "10.0.0.1", None);
                let value = seen.header("cache-control").unwrap_or_default();
                if is_checked {
                    assert_eq!(core::str::from_utf8(value), Ok(expected), "{rule} {said}");
                } else {
                    let said = web::percent::decode(said.as_bytes()).unwrap();
                    assert_eq!(value, said);
                }
            }
        }
    }

    #[test]
    fn users_show_their_passwords() {
        let text = format!(
            "[[site_rule]]\npath = \"/*\"\nusers = [\"{ANN}\"]\nrealm = \"the \\\"lab\\\"\"\n[[site_rule]]\npath = \"/open/*\"\nusers = [\"*\"]\n"
        );
        let rules = access(&text);
        let handler = Page.layer(rules);
        let asked = |credentials| ask(&handler, "/private/a.txt", "10.0.0.1", credentials);
        let stranger = asked(None);
        assert_eq!(stranger.status(), Status::UNAUTHORIZED);
        let challenge = stranger.header("www-authenticate");
        assert_eq!(challenge, Some(&b"Basic realm=\"the \\\"lab\\\"\", charset=\"UTF-8\""[..]));
        let known = asked(Some("ann:secret"));
        assert_eq!((known.status(), known.is_repeatable()), (Status::OK, false));
        assert_eq!(known.header("cache-control"), Some(&b"private"[..]));
        assert_eq!(ask(&handler, "/open/a.txt", "10.0.0.1", None).status(), Status::OK);
        for wrong in ["ann:Secret", "bob:secret", "ann:"] {
            assert_eq!(asked(Some(wrong)).status(), Status::UNAUTHORIZED, "{wrong}");
        }
        // Who guesses on has to wait; who is known has not.
        for _ in 0..TRIES {
            asked(Some("ann:guess"));
        }
        assert_eq!(asked(Some("ann:guess")).status(), Status::TOO_MANY_REQUESTS);
        assert_eq!(asked(Some("ann:secret")).status(), Status::OK);
        assert_eq!(ask(&handler, "/", "10.0.0.2", Some("ann:secret")).status(), Status::OK);
    }
}
