//! The site of another appliance: taken over at the start, and whenever it changes there (`[conf]`).

use crate::Platform;
use crate::context::Context;
use crate::handlers::rpc::site_conf::{LIST, file_key, parse_list};
use crate::live_site::Files;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use endpoints::network_capnp::conf;
use endpoints::rpc::network::{Conf, RemoteConf, Watch};

/// Before the other is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// Files of one site.
const FILES_MAX: usize = 16_384;

/// Begins to follow, if the configuration says whom.
pub(crate) fn follow<P: Platform>(context: &Context<P>) {
    let config::Conf { from, site_bytes_max } = context.config.conf.clone();
    // That it is a name of [capabilities], the configuration's reader sees to.
    if from.is_empty() {
        return;
    }
    let follower = Follower { context: context.clone(), from, site_bytes_max };
    context.spawner.spawn("site of another", async move { follower.run().await });
}

struct Follower<P: Platform> {
    context: Context<P>,
    from: String,
    site_bytes_max: usize,
}

/// Why the site is not taken over. What is served meanwhile is what there was.
struct NotTaken(String);

impl<E: fmt::Display> From<E> for NotTaken {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl<P: Platform> Follower<P> {
    async fn run(&self) {
        // Said once as long as it is the same.
        let mut said = None;
        loop {
            let NotTaken(reason) = self.follow().await;
            if said.as_ref() != Some(&reason) {
                log::warn!("the site of {} is not taken over: {reason}", self.from);
                said = Some(reason);
            }
            self.context.timers.sleep(PAUSE).await;
        }
    }

    /// Takes each version over, until something fails: what.
    async fn follow(&self) -> NotTaken {
        let following = async || -> Result<Infallible, NotTaken> {
            let client: conf::Client = self.context.capability(&self.from)?;
            let conf = RemoteConf::new(client);
            let watch = conf.watch(LIST).await?;
            loop {
                let list = watch.next().await?;
                self.take(&conf, list).await?;
            }
        };
        let Err(reason) = following().await;
        reason
    }

    /// Takes over what a list names, unless it has changed meanwhile: then the watch tells again.
    async fn take(&self, conf: &RemoteConf, list: Option<Vec<u8>>) -> Result<(), NotTaken> {
        let list = list.ok_or("it has no list of files")?;
        let (version, paths) = parse_list(&list).ok_or("its list of files is none")?;
        if paths.is_empty() || paths.len() > FILES_MAX {
            return Err(format!("{} files; allowed: 1 to {FILES_MAX}", paths.len()).into());
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
}
