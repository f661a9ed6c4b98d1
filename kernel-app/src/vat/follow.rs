//! The site and the settings of another appliance: taken over at the start, and whenever they change there (`[conf]`).

use crate::Platform;
use crate::context::Context;
use crate::handlers::rpc::site_conf::{LIST, LISTED_MAX, SETTINGS, file_key, parse_list};
use crate::live_site::Files;
use crate::reason::Reason;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use config::{Followed, KeyValue};
use core::cell::RefCell;
use core::convert::Infallible;
use core::time::Duration;
use endpoints::network_capnp::conf;
use endpoints::rpc::network::{Conf, RemoteConf, RemoteWatch, Watch};

/// Before the other is asked again, whether it failed or changed: one that changes all the time is followed at this pace.
const PAUSE: Duration = Duration::from_secs(1);
/// Settings that one line of the log names.
const NAMED_MAX: usize = 16;

/// Begins to follow, if the configuration says whom.
pub(crate) fn follow<P: Platform>(context: &Context<P>) {
    let config::Conf { from, settings, site_bytes_max } = context.config.conf.clone();
    // That it is a name of [capabilities], the configuration's reader sees to.
    if from.is_empty() {
        return;
    }
    let waiting = RefCell::default();
    let follower = Rc::new(Follower { context: context.clone(), from, site_bytes_max, waiting });
    let follows_site = follower.clone();
    context.spawner.spawn("site of another", async move {
        follows_site.repeat("site", || follows_site.follow_site()).await;
    });
    if settings {
        context.spawner.spawn("settings of another", async move {
            follower.repeat("settings", || follower.follow_settings()).await;
        });
    }
}

struct Follower<P: Platform> {
    context: Context<P>,
    from: String,
    site_bytes_max: usize,
    /// Settings of the other that take a restart, as they were said last.
    waiting: RefCell<Vec<KeyValue>>,
}

impl<P: Platform> Follower<P> {
    /// Follows, again and again. Why not is said once as long as it is the same.
    async fn repeat<F>(&self, what: &str, follow: impl Fn() -> F)
    where
        F: Future<Output = Result<Infallible, Reason>>,
    {
        let mut said = None;
        loop {
            let Err(Reason(reason)) = follow().await;
            if said.as_ref() != Some(&reason) {
                log::warn!("the {what} of {} is not taken over: {reason}", self.from);
                said = Some(reason);
            }
            self.pause().await;
        }
    }

    async fn pause(&self) {
        self.context.timers.sleep(PAUSE).await;
    }

    /// The other's table, and a watch on one key of it.
    async fn watch(&self, key: &str) -> Result<(RemoteConf, RemoteWatch), Reason> {
        let client: conf::Client = self.context.capability(&self.from)?;
        let conf = RemoteConf::new(client);
        let watch = conf.watch(key).await?;
        Ok((conf, watch))
    }

    /// Takes each version of the site over, until something fails: what.
    async fn follow_site(&self) -> Result<Infallible, Reason> {
        let (conf, watch) = self.watch(LIST).await?;
        loop {
            let list = watch.next().await?;
            self.take_site(&conf, list).await?;
            self.pause().await;
        }
    }

    /// Takes over what a list names, unless it has changed meanwhile: then the watch tells again.
    async fn take_site(&self, conf: &RemoteConf, list: Option<Vec<u8>>) -> Result<(), Reason> {
        let list = list.ok_or("it has no list of files")?;
        let (version, paths) = parse_list(&list).ok_or("its list of files is none")?;
        if paths.is_empty() || paths.len() > LISTED_MAX {
            return Err(format!("not 1 to {LISTED_MAX} files").into());
        }
        let (mut files, mut bytes) = (Files::new(), 0);
        for path in paths {
            let Some(content) = conf.read(&file_key(&path)).await? else { return Ok(()) };
            bytes += content.len();
            if bytes > self.site_bytes_max {
                return Err(
                    format!("more than {} bytes (site_bytes_max)", self.site_bytes_max).into()
                );
            }
            files.insert(path, Bytes::from(content));
        }
        if conf.read(LIST).await?.as_ref() != Some(&list) {
            return Ok(());
        }
        log::info!(
            "the site of {}, version {version}: {} files, {bytes} bytes",
            self.from,
            files.len()
        );
        self.context.live_site().replace(files);
        Ok(())
    }

    /// Takes each version of the settings over, until something fails: what.
    async fn follow_settings(&self) -> Result<Infallible, Reason> {
        let (_, watch) = self.watch(SETTINGS).await?;
        loop {
            // One that has none is an older one, or no appliance.
            if let Some(text) = watch.next().await? {
                self.take_settings(&text)?;
            }
            self.pause().await;
        }
    }

    /// Puts in force what needs no restart, over the settings of this appliance's own start.
    fn take_settings(&self, text: &[u8]) -> Result<(), Reason> {
        let text = core::str::from_utf8(text)?;
        let Followed { config, waiting, refused } = self.context.config.follow(&self.from, text)?;
        let before = config::values(&self.context.live_settings.get());
        let changed: Vec<_> =
            config::values(&config).into_iter().filter(|it| !before.contains(it)).collect();
        if !changed.is_empty() {
            // Before they are in force: there may be no log then.
            log::info!("the settings of {} are in force{}", self.from, named(&changed, true));
        }
        self.context.live_settings.change(config);
        if *self.waiting.borrow() != waiting {
            if !waiting.is_empty() {
                let named = named(&waiting, true);
                log::info!("settings of {} that would take a restart{named}", self.from);
            }
            self.waiting.replace(waiting);
        }
        if !refused.is_empty() {
            let named = named(&refused, false);
            log::warn!("settings of {} that are not its to say{named}", self.from);
        }
        Ok(())
    }
}

/// Some settings for the log, with their values or without.
fn named(settings: &[KeyValue], has_values: bool) -> String {
    let shown = settings.iter().take(NAMED_MAX).map(|KeyValue { section, name, value, .. }| {
        let value = if has_values { format!(" = {value}") } else { String::new() };
        format!("; [{section}] {name}{value}")
    });
    let more = if settings.len() > NAMED_MAX { "; and more" } else { "" };
    shown.collect::<String>() + more
}
