//! The contract of ledgers as tests that run on any implementation: [`CONTRACT`]. [`crate::sqlite`] runs them on SQLite;
//! [`wrong`] shows that they can fail.
//!
//! Each promise gets an empty ledger and may open it as often as it needs, also again after everything was closed, as a
//! restart does.

mod audit;
mod batches;
mod blobs;
mod changes;
mod delivery;
mod directory;
mod groups;
mod member;
mod queues;
mod quotas;
mod reports;
pub(crate) mod wrong;

use super::{Batch, DirectoryBatch, Ledger, LedgerWriter, NewDevice};
use crate::clock::Moment;
use crate::delivery::entry::{Entry, Joining, SendId, Turnover};
use crate::delivery::queue::{Budget, Select, Stint, Wanted};
use crate::directory::key_packages::Checked;
use retaind_protocol::credential::Role;
use retaind_protocol::ids::{ConversationId, DeviceId, UserName};
use retaind_protocol::wire::{Delivery, DeliveryKind};

/// The name of a promise, and the test that it is kept.
pub(crate) type Promise = (&'static str, fn(&dyn Ledger));

macro_rules! promises {
    ($($room:ident: $($name:ident),+;)+) => { &[$($((stringify!($name), $room::$name)),+),+] };
}

/// All promises. Each is to be given a fresh ledger.
pub(crate) const CONTRACT: &[Promise] = promises! {
    batches: what_was_committed_is_there_for_whoever_opens_it_next, a_batch_that_is_not_committed_never_was,
        nobody_sees_a_batch_before_its_commit, a_view_is_of_one_instant, a_batch_reads_what_it_has_written,
        a_refused_change_undoes_itself_only, an_error_is_the_end_of_its_batch_only,
        batches_of_two_writers_come_one_after_another;
    delivery: places_have_no_gaps, a_message_is_known_by_its_sender_s_name_for_it,
        a_thousand_sends_of_a_device_are_remembered, cursors_go_forward_and_never_too_far,
        a_purge_deletes_what_everybody_has_and_no_more, a_purge_ends_where_it_must, memberships_that_are_over_are_deleted,
        the_group_is_the_one_of_the_last_entry_with_one, conversations_that_lack_a_device_are_found,
        uploads_are_kept_and_counted;
    blobs: what_a_device_has_in_store_is_counted, a_blob_is_settled_with_the_last_message_that_names_it,
        nobody_else_settles_a_blob, old_blobs_are_found_in_order, what_a_bot_has_still_to_read_is_told,
        a_blob_goes_when_everybody_has_it_or_when_it_is_old, uploads_have_quotas,
        without_room_no_message_is_taken_and_every_acknowledgement;
    queues: a_member_gets_what_is_for_it_and_no_more, a_device_that_comes_back_has_two_stints,
        a_reader_takes_what_it_has_room_for, handshakes_can_be_read_alone, conversations_are_listed_page_by_page;
    directory: settings_are_kept, users_are_kept_as_they_were_made, a_password_has_its_origin,
        suspension_and_retention_are_found, devices_have_numbers_of_their_own, an_invite_is_found_with_its_device,
        a_one_time_package_goes_out_once, the_last_resort_stays_and_there_is_one, expired_packages_are_not_given,
        the_last_resort_can_be_had_alone, secrets_are_replaced_for_good, a_retired_device_holds_nothing_back, every_raised_version_is_another;
    changes: the_same_message_again_is_the_same_message, what_is_refused_takes_nothing_with_it,
        a_failed_batch_changes_nothing_and_the_next_one_everything, a_registration_answered_twice_is_one_device,
        a_password_registers_until_it_is_changed, what_another_process_changed_holds_for_the_next_batch,
        connections_hear_what_moved, what_everybody_acknowledged_is_purged, uploads_have_a_limit;
    quotas: a_name_counts_once_in_a_claim, nobody_uses_up_what_another_has_left, a_bot_that_runs_out_is_noted,
        conversations_have_a_rate;
    groups: a_group_goes_on_after_a_restart, a_refused_commit_leaves_the_group_as_it_was, a_bot_is_proposed_once,
        writers_that_share_a_ledger_share_its_groups;
    audit: failed_log_ins_are_summed_and_the_oldest_go;
    reports: standings_are_kept_and_found, where_a_bot_cannot_follow_nobody_speaks,
        a_device_that_is_not_read_commits_before_it_speaks, strict_retention_waits_for_the_bot;
};

/// The time in every test.
const NOW: Moment = Moment::of_micros(1_700_000_000_000_000);
const SUITE: u16 = 7;
/// More than any test reads.
const ALL: Budget = Budget { messages: 10_000, bytes: 1 << 24 };

fn writer(ledger: &dyn Ledger) -> Box<dyn LedgerWriter> {
    ledger.writer().unwrap()
}

/// Carries out and commits.
fn commit<T>(writer: &mut dyn LedgerWriter, work: impl FnOnce(&mut dyn Batch) -> T) -> T {
    let mut batch = writer.begin(&[]).unwrap();
    let value = work(&mut *batch);
    batch.commit().unwrap();
    value
}

fn name(user: &str) -> UserName {
    UserName::new(user).unwrap()
}

fn conversation(first: u8) -> ConversationId {
    ConversationId::from_bytes(&[first; 64]).unwrap()
}

fn send_id(number: u16) -> SendId {
    let mut bytes = [7; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SendId::parse(&bytes).unwrap()
}

fn package(bytes: &[u8], expires_at: Moment) -> Checked {
    Checked { package: bytes.to_vec(), expires_at_secs: expires_at.secs() }
}

/// A new device of a user, who is made if there is none.
fn device(batch: &mut (impl DirectoryBatch + ?Sized), user: &str) -> i64 {
    if batch.user(user).unwrap().is_none() {
        batch.insert_user(&name(user), Role::Normal).unwrap();
    }
    let number = batch.devices_of(user).unwrap().len();
    let key = format!("key {number} of {user}");
    let mut id = [0; 16];
    let start = key.len().saturating_sub(16);
    id[..key.len() - start].copy_from_slice(&key.as_bytes()[start..]);
    let new = NewDevice {
        device: &DeviceId::new(id),
        user,
        suite: SUITE,
        signature_key: key.as_bytes(),
        credential: b"credential",
        registered_at: NOW,
    };
    batch.insert_device(&new).unwrap()
}

/// Starts a conversation of these devices: all are members from its first message.
fn start(batch: &mut dyn Batch, id: ConversationId, devices: &[i64]) -> i64 {
    let row = batch.insert_conversation(&id, SUITE).unwrap();
    let joining: Vec<_> =
        devices.iter().enumerate().map(|(place, device)| Joining { device: *device, welcomed: place > 0 }).collect();
    turn_over(batch, row, Turnover { id, epoch: 1, welcome: b"welcome", joining, leaving: Vec::new() });
    row
}

/// A commit in the conversation; returns its place.
fn turn_over(batch: &mut dyn Batch, conversation: i64, turnover: Turnover<'_>) -> u64 {
    let tree = Some(format!("tree of epoch {}", turnover.epoch).into_bytes());
    let kind = DeliveryKind::Handshake;
    let seq = next(batch, conversation);
    let entry = Entry { seq, kind, accepted_at: NOW, payload: b"commit", sender: None, tree, turnover: Some(turnover) };
    batch.append(conversation, &entry).unwrap();
    seq
}

/// An application message without a sender; returns its place.
fn say(batch: &mut dyn Batch, conversation: i64, payload: &[u8]) -> u64 {
    write(batch, conversation, None, payload)
}

/// So many application messages.
fn chat(batch: &mut dyn Batch, conversation: i64, messages: usize) {
    for _ in 0..messages {
        say(batch, conversation, b"text");
    }
}

fn write(batch: &mut dyn Batch, conversation: i64, sender: Option<(i64, SendId)>, payload: &[u8]) -> u64 {
    let kind = DeliveryKind::Application;
    let seq = next(batch, conversation);
    let entry = Entry { seq, kind, accepted_at: NOW, payload, sender, tree: None, turnover: None };
    batch.append(conversation, &entry).unwrap();
    seq
}

fn next(batch: &dyn Batch, conversation: i64) -> u64 {
    batch.conversation_at(conversation).unwrap().unwrap().head_seq + 1
}

/// All that a device may read of a conversation, by its place.
fn read(ledger: &dyn Ledger, id: &ConversationId, device: i64) -> Vec<Delivery> {
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let row = view.conversation(id).unwrap().unwrap();
    let mut deliveries = Vec::new();
    for stint in view.stints(row.row, device).unwrap() {
        let after = stint.acked_seq;
        let wanted = Wanted { conversation: row.row, id: id.as_str(), stint: &stint, after, head: row.head_seq };
        deliveries.extend(view.read(wanted, Select::All, ALL).unwrap().deliveries);
    }
    deliveries
}

fn seqs(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.seq).collect()
}

fn stints(ledger: &dyn Ledger, conversation: i64, device: i64) -> Vec<Stint> {
    ledger.reader().unwrap().view().unwrap().stints(conversation, device).unwrap()
}
