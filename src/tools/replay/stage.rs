//! One room at work: its plan, step by step, through the devices of the cast.
//!
//! A commit costs everybody who reads it several verifications, so nobody reads before having to act, and the membership
//! is changed by whoever changed it last. Members that do not act for a while are taken off the network: a room of some
//! hundred members holds some tens of connections.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cast::{self, Absent, Cast};
use super::plan::{Plan, Redundant, Step};
use super::report::{RoomReport, Sent, SentWhat};
use super::{Observer, Options, Pace, ReplayError, Timestamps};
use retaind_core::clock::{Clock, SystemClock};
use retaind_device::conversations::{DeviceError, Reading};
use retaind_protocol::content::{Body, Content, RoomState, Text, changemask};
use retaind_protocol::ids::{ConversationKind, UserName};
use retaind_task as task;

/// Devices of a room that are logged in at the same time. Each is two open files where the network is embedded.
const ONLINE_MAX: usize = 32;
/// Devices of a room that register at the same time.
const REGISTERING_MAX: usize = 8;

/// Plays a room to its end.
pub(super) async fn play(
    plan: Plan,
    options: Arc<Options>,
    cast: Arc<Cast>,
    observer: Observer,
) -> Result<RoomReport, ReplayError> {
    let Plan { room, users, initial, begins_at_micros, steps, redundant } = plan;
    let began = Instant::now();
    let mut stage = Stage::open(room, initial, begins_at_micros, redundant, options, cast, observer).await?;
    for step in steps {
        stage.event = stage.event.saturating_add(1);
        let (Step::Text { at_micros, .. } | Step::Members { at_micros, .. }) = step;
        if let Some(after) = due(stage.options.pace, at_micros.saturating_sub(begins_at_micros)) {
            tokio::time::sleep_until(began + after).await;
        }
        match step {
            Step::Text { at_micros, user, text } => stage.text(at_micros, user, text).await?,
            Step::Members { at_micros, added, removed } => stage.members(at_micros, added, removed).await?,
        }
    }
    stage.close(&users).await
}

/// How long after the beginning something that was logged `micros` after it is due.
fn due(pace: Pace, micros: i64) -> Option<Duration> {
    match pace {
        Pace::Unlimited => None,
        Pace::Times(times) => {
            let logged = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
            Duration::try_from_secs_f64(logged.as_secs_f64() / times).ok()
        }
    }
}

struct Stage {
    options: Arc<Options>,
    cast: Arc<Cast>,
    observer: Observer,
    members: BTreeSet<UserName>,
    /// Commits so far.
    commits: u64,
    /// At which commit a device has read up to.
    read: HashMap<UserName, u64>,
    /// Who is logged in, whoever acted last at the end.
    online: VecDeque<UserName>,
    committer: UserName,
    event: u64,
    report: RoomReport,
}

impl Stage {
    /// Makes the room.
    async fn open(
        room: String,
        initial: Vec<UserName>,
        begins_at_micros: i64,
        redundant: Redundant,
        options: Arc<Options>,
        cast: Arc<Cast>,
        observer: Observer,
    ) -> Result<Self, ReplayError> {
        let Some(founder) = initial.first().cloned() else { return Err(ReplayError::Deserted { room }) };
        register(&cast, &room, &initial).await?;
        let mut all = initial.clone();
        all.extend(options.audience.iter().cloned());
        let conversation = {
            let failed = |absent| absent_error(&room, 0, &founder, absent);
            let mut actor = cast.actor(&founder).await;
            let device = cast.online(&founder, &mut actor).await.map_err(failed)?;
            device.create(ConversationKind::Room, &all).await.map_err(|error| failed(error.into()))?
        };
        let what = SentWhat::Created { user: &founder, members: &all };
        observer(&Sent { room: &room, conversation, seq: 1, at_micros: begins_at_micros, what });
        let report = RoomReport {
            room,
            conversation,
            initial: initial.len() as u64,
            texts: 0,
            text_bytes: 0,
            commits: 0,
            added: 0,
            removed: 0,
            redundant,
            last_seq: 1,
        };
        let mut stage = Self {
            options,
            cast,
            observer,
            members: initial.into_iter().collect(),
            commits: 1,
            read: HashMap::from([(founder.clone(), 1)]),
            online: VecDeque::from([founder.clone()]),
            committer: founder.clone(),
            event: 0,
            report,
        };
        stage.name_the_room(begins_at_micros, &founder, all).await?;
        Ok(stage)
    }

    async fn name_the_room(
        &mut self,
        at_micros: i64,
        founder: &UserName,
        members: Vec<UserName>,
    ) -> Result<(), ReplayError> {
        let state = RoomState {
            changemask: changemask::MASTERS | changemask::TITLE,
            title: self.report.room.clone(),
            description: String::new(),
            masters: vec![founder.clone()],
            members,
            ttl_secs: 0,
            bor_secs: 0,
        };
        let content = self.content(at_micros, founder, Body::RoomCreated(state))?;
        let seq = self.send(founder, &content).await?;
        self.heard(at_micros, seq, SentWhat::RoomCreated { user: founder, message: content.message_id });
        Ok(())
    }

    async fn text(&mut self, at_micros: i64, user: UserName, text: String) -> Result<(), ReplayError> {
        let body = Body::Text(Text { text: text.clone(), links: Vec::new() });
        let content = self.content(at_micros, &user, body)?;
        let seq = self.send(&user, &content).await?;
        self.report.texts += 1;
        self.report.text_bytes += text.len() as u64;
        self.heard(at_micros, seq, SentWhat::Text { user: &user, message: content.message_id, text: &text });
        Ok(())
    }

    async fn members(
        &mut self,
        at_micros: i64,
        added: Vec<UserName>,
        removed: Vec<UserName>,
    ) -> Result<(), ReplayError> {
        register(&self.cast, &self.report.room, &added).await?;
        let committer = self.choose_committer(&removed)?;
        let seq = {
            let failed = |absent| absent_error(&self.report.room, self.event, &committer, absent);
            let mut actor = self.cast.actor(&committer).await;
            let device = self.cast.online(&committer, &mut actor).await.map_err(failed)?;
            let (conversation, reading) = (self.report.conversation, Reading::HandshakesOnly);
            let changed = device.change(&conversation, &added, &removed, reading, &mut Vec::new()).await;
            changed.map_err(|error| failed(error.into()))?
        };
        self.commits += 1;
        self.acted(&committer).await;
        self.report.commits += 1;
        self.report.added += added.len() as u64;
        self.report.removed += removed.len() as u64;
        for user in &removed {
            self.members.remove(user);
        }
        self.members.extend(added.iter().cloned());
        self.heard(at_micros, seq, SentWhat::Members { committer: &committer, added: &added, removed: &removed });
        self.committer = committer;
        Ok(())
    }

    /// Whoever changed the membership last, else whoever acted last, else anybody: the first has nothing to read, the
    /// second little.
    fn choose_committer(&self, removed: &[UserName]) -> Result<UserName, ReplayError> {
        let fit = |user: &&UserName| self.members.contains(*user) && !removed.contains(*user);
        let candidates = std::iter::once(&self.committer).chain(self.online.iter().rev()).chain(&self.members);
        let deserted = || ReplayError::Deserted { room: self.report.room.clone() };
        candidates.into_iter().find(fit).cloned().ok_or_else(deserted)
    }

    fn content(&self, at_micros: i64, user: &UserName, body: Body) -> Result<Content, ReplayError> {
        let message_id = cast::message_id().map_err(|error| self.failed(user, error.into()))?;
        let sent_at_micros = match self.options.timestamps {
            Timestamps::Logged => at_micros,
            Timestamps::Now => SystemClock.now_micros(),
        };
        Ok(Content { message_id, sent_at_micros, ttl: None, bor: 0, body })
    }

    async fn send(&mut self, user: &UserName, content: &Content) -> Result<u64, ReplayError> {
        let conversation = self.report.conversation;
        let seq = {
            let failed = |absent| absent_error(&self.report.room, self.event, user, absent);
            let mut actor = self.cast.actor(user).await;
            let device = self.cast.online(user, &mut actor).await.map_err(failed)?;
            let reading = Reading::HandshakesOnly;
            let sent: Result<u64, DeviceError> = async {
                if self.read.get(user) != Some(&self.commits) {
                    device.sync(&conversation, reading).await?;
                }
                device.send_while(&conversation, content, reading, &mut Vec::new()).await
            }
            .await;
            sent.map_err(|error| failed(error.into()))?
        };
        self.acted(user).await;
        Ok(seq)
    }

    /// `user` has read everything and is logged in; whoever has been silent longest makes room.
    async fn acted(&mut self, user: &UserName) {
        self.read.insert(user.clone(), self.commits);
        self.online.retain(|other| other != user);
        self.online.push_back(user.clone());
        while self.online.len() > ONLINE_MAX {
            let Some(silent) = self.online.pop_front() else { break };
            cast::disconnect(&mut *self.cast.actor(&silent).await);
        }
    }

    fn heard(&mut self, at_micros: i64, seq: u64, what: SentWhat<'_>) {
        self.report.last_seq = seq;
        let RoomReport { room, conversation, .. } = &self.report;
        (self.observer)(&Sent { room, conversation: *conversation, seq, at_micros, what });
    }

    async fn close(self, users: &[UserName]) -> Result<RoomReport, ReplayError> {
        let dismissed = self.cast.dismiss(users, &self.report.conversation, self.report.last_seq).await;
        dismissed.map_err(|error| self.failed(&self.committer, error.into()))?;
        Ok(self.report)
    }

    fn failed(&self, user: &UserName, absent: Absent) -> ReplayError {
        absent_error(&self.report.room, self.event, user, absent)
    }
}

/// Registers those who are new, some at a time.
async fn register(cast: &Arc<Cast>, room: &str, users: &[UserName]) -> Result<(), ReplayError> {
    let mut users = users.iter().cloned();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < REGISTERING_MAX {
            let Some(user) = users.next() else { break };
            let cast = cast.clone();
            task::spawn_in(&mut under_way, "register", async move {
                let mut actor = cast.actor(&user).await;
                cast.register(&user, &mut actor).await.map_err(|absent| (user, absent))
            });
        }
        match under_way.join_next().await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err((user, absent)))) => return Err(absent_error(room, 0, &user, absent)),
            Some(Err(_)) => return Err(ReplayError::Interrupted),
            None => return Ok(()),
        }
    }
}

fn absent_error(room: &str, event: u64, user: &UserName, absent: Absent) -> ReplayError {
    match absent {
        Absent::NoInvite(message) => ReplayError::NoInvite { user: user.clone(), message },
        Absent::Device(source) => ReplayError::Device { room: room.to_owned(), event, user: user.clone(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_divides_the_time_of_the_log() {
        assert_eq!(due(Pace::Unlimited, 1), None);
        assert_eq!(due(Pace::Times(10.0), 60_000_000), Some(Duration::from_secs(6)));
        assert_eq!(due(Pace::Times(2.0), -5), Some(Duration::ZERO));
    }
}
