//! Updates: is there a newer version of the image that the bot runs in?
//!
//! At the start and once a day the registry of `RETAIND_IMAGE` is asked for its tags ([`registry`]). Those that are versions of
//! the same form as the bot's own and newer ([`version`]) are told by [`Event::UpdatesAvailable`]. Nothing is downloaded and
//! nothing changed: who runs the bot decides.
//!
//! Invariants: a task of its own, which nothing waits for, so that a registry that is slow, gone or hostile costs one line of
//! the log a day, and never the start, the archive or the stop. What a registry may send is bounded in bytes, pages, tags and
//! time. It is told the name of the image and nothing else; no credentials are ever sent, so private registries are not asked
//! in vain more than once a day.
//!
//! Off where `RETAIND_UPDATES=off`, where `RETAIND_IMAGE` is not set, and where its tag is not a version (`latest`, a digest).

pub mod answer;
mod reference;
mod registry;
#[cfg(test)]
mod tests;
mod version;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

pub use self::reference::Repository;
pub use self::registry::{RegistryError, TAGS_BODY_BYTES_MAX};
pub use self::version::Version;

use super::events::{Event, Events};
use super::limits::{REGISTRY_CHECK_SECONDS, REGISTRY_REQUEST_SECONDS};
use super::origin::Image;
use retaind_core::limit::Refusals;
use retaind_task as task;

/// Between two questions.
pub const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest time for one question with all its pages, redirects and tokens.
pub(crate) const CHECK_TIME: Duration = Duration::from_secs(REGISTRY_CHECK_SECONDS.value);
/// Versions in an event; the newest. Who is further behind needs no longer list.
pub(crate) const VERSIONS_MAX: usize = 20;

/// An image that has a version, and a registry to ask about it.
#[derive(Debug, Clone)]
pub struct Updates {
    repository: Repository,
    current: Version,
}

/// Asks until it is dropped.
#[derive(Debug)]
pub struct Asking(JoinHandle<()>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Updates {
    /// Of an image; `None` if its name leads to no registry or its tag is not a version.
    pub fn of(image: &Image) -> Option<Self> {
        Some(Self { repository: Repository::of(&image.name)?, current: Version::parse(&image.tag)? })
    }

    /// Asks now and every [`PERIOD`], and raises what there is. Must be called in a runtime.
    pub fn start(self, events: Events, refusals: Arc<Refusals>) -> Asking {
        Asking(task::spawn("updates", async move {
            loop {
                match self.check_counting(&refusals).await {
                    Ok(versions) if versions.is_empty() => tracing::debug!("no newer version of the image"),
                    Ok(versions) => events.raise(Event::UpdatesAvailable { versions }),
                    Err(error) => tracing::info!(
                        "cannot see whether there are updates, asking again tomorrow (`RETAIND_UPDATES=off` ends it): {error}"
                    ),
                }
                tokio::time::sleep(PERIOD).await;
            }
        }))
    }

    /// Asks once: the newer versions, the newest first, at most [`VERSIONS_MAX`].
    pub async fn check(&self) -> Result<Vec<String>, RegistryError> {
        self.check_counting(&Refusals::default()).await
    }

    async fn check_counting(&self, refusals: &Refusals) -> Result<Vec<String>, RegistryError> {
        let tags = tokio::time::timeout(CHECK_TIME, registry::tags(&self.repository));
        let tags = match tags.await {
            Ok(tags) => tags.inspect_err(|error| {
                if let RegistryError::Slow { .. } = error {
                    refusals.count(&REGISTRY_REQUEST_SECONDS);
                }
            })?,
            Err(_) => {
                refusals.count(&REGISTRY_CHECK_SECONDS);
                return Err(RegistryError::Slow { host: self.repository.host().to_owned() });
            }
        };
        Ok(self.newer(&tags))
    }

    fn newer(&self, tags: &[String]) -> Vec<String> {
        let mut newer: Vec<(Version, &String)> = tags
            .iter()
            .filter_map(|tag| Some((Version::parse(tag)?, tag)))
            .filter(|(version, _)| version.is_newer_than(&self.current))
            .collect();
        newer.sort_by(|a, b| b.cmp(a));
        newer.dedup();
        newer.into_iter().take(VERSIONS_MAX).map(|(_, tag)| tag.clone()).collect()
    }
}
