//! Reports of retention bots: where a bot cannot read, nobody speaks until it can again.
//!
//! The network sees neither keys nor content, so that only the bot can judge whether it can follow a conversation. It says so
//! in a [`Report`](retaind_protocol::wire::Report):
//!
//! - *Lost*: a handshake or a Welcome that it could not process. No messages are accepted. The network, as external sender,
//!   proposes to remove the bot, and once that was committed to add it again; it is heard again once the bot follows.
//! - *Unread*: a message of a device that it could not decrypt. That device speaks again in the next epoch.
//! - *Follows*: it has reached this epoch, with this group context. A context that is not the tracked group's means that
//!   the bot was led elsewhere: that is no confirmation.
//!
//! Deciding is pure, on rows; who may report is part of it.

use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use mls_rs::mls_rs_codec::MlsEncode;
use retaind_core::sparing::Sparing;

use super::accept::Accept;
use super::entry::ConversationRow;
use super::groups::{self, Group};
use super::queue::Stint;
use crate::directory::{DeviceRow, RetentionPolicy};
use crate::error::{ChangeError, Refusal};
use retaind_protocol::ids::{ConversationId, DeviceId};
use retaind_protocol::wire::{Follows, Lost, RefusalCode, Reported, Unread};

/// A member can cause it in each of its conversations.
static CANNOT_FOLLOW: Sparing = Sparing::new();

/// How a bot's device stands to a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The first message that it cannot follow, if there is one.
    pub(crate) lost_since: Option<u64>,
    /// The last epoch that it has confirmed; 0: none.
    pub(crate) epoch: u64,
}

/// May messages be archived in a conversation?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Retained {
    /// All of the retention bots' active devices are members, and none says that it cannot read.
    Yes,
    /// A bot was added but has not confirmed that it follows.
    Behind,
    /// A bot cannot follow: it must be removed and added again.
    Lost,
    /// A bot is not a member.
    No,
}

/// How far one bot is: by its stint (`None`: it is no member), what it reported, and the epoch.
pub(crate) fn retained(
    policy: &RetentionPolicy,
    stint: Option<&Stint>,
    standing: Option<Standing>,
    epoch: u64,
) -> Retained {
    let Some(stint) = stint.filter(|stint| stint.until_seq.is_none()) else { return Retained::No };
    match standing {
        Some(Standing { lost_since: Some(since), .. }) if stint.from_seq <= since => Retained::Lost,
        Some(Standing { lost_since: Some(_), .. }) => Retained::Behind,
        Some(Standing { lost_since: None, epoch: reached }) if policy.strict && reached < epoch => Retained::Behind,
        // without a standing the epoch is one of before retention was strict
        Some(Standing { lost_since: None, .. }) | None => Retained::Yes,
    }
}

/// Only those whom retention needs are heard.
fn check_reporter(policy: &RetentionPolicy, device: &DeviceRow) -> Result<(), Refusal> {
    if policy.required.iter().any(|bot| bot.row == device.row) {
        Ok(())
    } else {
        Err(Refusal::new(RefusalCode::NotYourDevice, "only a retention bot reports what it can read"))
    }
}

/// The standing after a report that something is lost; `None`: it is of an earlier time of membership, and over.
fn after_lost(stint: &Stint, before: Option<Standing>, lost: Lost) -> Option<Standing> {
    let before = before.unwrap_or_default();
    let known = before.lost_since.is_some_and(|since| since >= stint.from_seq);
    (lost.seq >= stint.from_seq && !known).then_some(Standing { lost_since: Some(lost.seq), ..before })
}

fn check_context(group: &Group, follows: &Follows) -> Result<(), Refusal> {
    let epoch = group.group_context().epoch();
    if follows.epoch != epoch {
        let message = format!("the conversation is in epoch {epoch}, the report of {}", follows.epoch);
        return Err(Refusal::new(RefusalCode::StaleEpoch, message));
    }
    let encoded = group.group_context().mls_encode_to_vec().map_err(|_| Refusal::unavailable())?;
    if digest(&SHA256, &encoded).as_ref() == follows.context.as_slice() {
        Ok(())
    } else {
        Err(Refusal::invalid("the report is of another group than the one of this conversation"))
    }
}

impl Accept<'_> {
    /// Takes a bot's report.
    pub(crate) fn report(
        &mut self,
        bot: &DeviceRow,
        id: &ConversationId,
        reported: &Reported,
    ) -> Result<(), ChangeError> {
        check_reporter(self.policy, bot)?;
        let Some(conversation) = self.rows.conversation(id)? else {
            return Err(Refusal::new(RefusalCode::NotFound, format!("no conversation `{id}`")).into());
        };
        let stints = self.rows.stints(conversation.row, bot.row)?;
        let Some(stint) = stints.last().filter(|stint| stint.until_seq.is_none()) else {
            return Err(Refusal::new(RefusalCode::NotMember, format!("this device is not a member of `{id}`")).into());
        };
        match reported {
            Reported::Lost(lost) => {
                let before = self.rows.standing(conversation.row, bot.row)?;
                if let Some(standing) = after_lost(stint, before, *lost) {
                    if let Some(left_out) = CANNOT_FOLLOW.admits(Instant::now()) {
                        tracing::warn!(
                            conversation = %id, bot = %bot.user, seq = lost.seq, left_out,
                            "a retention bot cannot follow a conversation"
                        );
                    }
                    self.rows.set_standing(conversation.row, bot.row, standing)?;
                    // a bot without a key package is proposed later
                    let _proposed = self.propose_bots(conversation.row)?;
                }
                Ok(())
            }
            Reported::Unread(unread) => self.report_unread(&conversation, unread),
            Reported::Follows(follows) => {
                check_context(self.groups.load(&*self.rows, self.keys, &conversation)?, follows)?;
                let standing = Standing { lost_since: None, epoch: follows.epoch };
                match self.rows.standing(conversation.row, bot.row)? {
                    // nobody waits for it: a conversation without trouble costs its messages no look at its reports
                    None => Ok(()),
                    Some(before) if before == standing => Ok(()),
                    Some(_) => Ok(self.rows.set_standing(conversation.row, bot.row, standing)?),
                }
            }
        }
    }

    fn report_unread(&mut self, conversation: &ConversationRow, unread: &Unread) -> Result<(), ChangeError> {
        let device = DeviceId::from_bytes(&unread.device).map_err(|_| Refusal::invalid("a device id is 16 bytes"))?;
        // of an epoch that is over there is nothing left to refuse
        if unread.epoch == conversation.epoch
            && let Some(device) = self.rows.device(&device)?
        {
            self.rows.set_unread(conversation.row, device.row, unread.epoch)?;
        }
        Ok(())
    }

    /// How all retention bots together stand to a conversation: as the one that is worst off.
    pub(crate) fn retained(&self, conversation: &ConversationRow) -> Result<Retained, ChangeError> {
        let mut worst = Retained::Yes;
        for bot in &self.policy.required {
            worst = worst.max(self.retained_by(conversation, bot)?);
        }
        Ok(worst)
    }

    /// How one bot's device stands to a conversation.
    pub(crate) fn retained_by(&self, conversation: &ConversationRow, bot: &DeviceRow) -> Result<Retained, ChangeError> {
        if !conversation.reported {
            let member = self.rows.is_member(conversation.row, bot.row)?;
            return Ok(if member { Retained::Yes } else { Retained::No });
        }
        let stints = self.rows.stints(conversation.row, bot.row)?;
        let standing = self.rows.standing(conversation.row, bot.row)?;
        Ok(retained(self.policy, stints.last(), standing, conversation.epoch))
    }

    /// An epoch has begun: where retention is strict, the bots are waited for.
    pub(crate) fn await_bots(&mut self, conversation: i64) -> Result<(), ChangeError> {
        if self.policy.strict {
            for bot in &self.policy.required {
                if self.rows.standing(conversation, bot.row)?.is_none() {
                    self.rows.set_standing(conversation, bot.row, Standing::default())?;
                }
            }
        }
        Ok(())
    }

    /// Bots (rows) without which a commit may leave a conversation: those that cannot follow it.
    pub(crate) fn lost_bots(&self, conversation: &ConversationRow) -> Result<Vec<i64>, ChangeError> {
        let mut lost = Vec::new();
        if conversation.reported {
            for bot in &self.policy.required {
                // one that is no member now was lost before: the next commit brings it back, or the one after
                if matches!(self.retained_by(conversation, bot)?, Retained::Lost | Retained::No) {
                    lost.push(bot.row);
                }
            }
        }
        Ok(lost)
    }

    /// Is the device to be quiet until the next epoch?
    pub(crate) fn is_unread(&self, conversation: &ConversationRow, device: i64) -> Result<bool, ChangeError> {
        Ok(conversation.reported && self.rows.unread_in(conversation.row, device)? == Some(conversation.epoch))
    }

    /// Proposes to remove a bot that cannot follow.
    pub(crate) fn propose_removal(
        &mut self,
        conversation: &mut ConversationRow,
        bot: &DeviceRow,
    ) -> Result<(), ChangeError> {
        let group = self.groups.load(&*self.rows, self.keys, conversation)?;
        let Some(leaf) = groups::leaf_of(self.keys, group, &bot.device) else { return Ok(()) };
        if groups::is_removal_proposed(group, leaf) {
            return Ok(());
        }
        let mut group = group.clone();
        let payload = groups::propose_remove(&mut group, leaf).map_err(|error| {
            tracing::error!(%error, "the removal of a retention bot cannot be proposed");
            Refusal::unavailable()
        })?;
        self.append_own(conversation, &payload, group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOINED: Stint = Stint { from_seq: 5, until_seq: None, acked_seq: 4, welcomed: true };

    fn stands(policy: &RetentionPolicy, stint: Option<&Stint>, lost_since: Option<u64>, epoch: u64) -> Retained {
        retained(policy, stint, Some(Standing { lost_since, epoch }), 3)
    }

    #[test]
    fn a_bot_that_is_lost_must_come_back_and_say_so() {
        let (easy, strict) = (RetentionPolicy::default(), RetentionPolicy { strict: true, ..Default::default() });
        assert_eq!(retained(&easy, None, None, 3), Retained::No);
        assert_eq!(retained(&easy, Some(&Stint { until_seq: Some(9), ..JOINED }), None, 3), Retained::No);
        assert_eq!(retained(&easy, Some(&JOINED), None, 3), Retained::Yes);
        assert_eq!(retained(&strict, Some(&JOINED), None, 3), Retained::Yes);
        for policy in [&easy, &strict] {
            assert_eq!(stands(policy, Some(&JOINED), Some(5), 3), Retained::Lost);
            assert_eq!(stands(policy, Some(&JOINED), Some(4), 3), Retained::Behind);
            assert_eq!(stands(policy, Some(&JOINED), None, 3), Retained::Yes);
        }
        assert_eq!(stands(&easy, Some(&JOINED), None, 2), Retained::Yes);
        assert_eq!(stands(&strict, Some(&JOINED), None, 2), Retained::Behind);
    }

    #[test]
    fn a_report_of_before_the_bot_was_added_again_is_over() {
        let lost = |seq| Lost { seq };
        let known = |since| Some(Standing { lost_since: Some(since), epoch: 2 });
        assert_eq!(after_lost(&JOINED, None, lost(4)), None);
        assert_eq!(after_lost(&JOINED, None, lost(5)), Some(Standing { lost_since: Some(5), epoch: 0 }));
        assert_eq!(after_lost(&JOINED, known(5), lost(7)), None);
        assert_eq!(after_lost(&JOINED, known(3), lost(7)), known(7));
    }
}
