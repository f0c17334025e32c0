//! What can be wrong with a ledger, and which promises catch it.

/// What is wrong with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger::contract) enum Defect {
    /// Answers that everything is committed, and undoes it.
    CommitsNothing,
    /// Commits what should be undone.
    CommitsWhatIsUndone,
    /// A refused change stays.
    KeepsRefused,
    /// Messages of some sends are not written, though the conversation moves on.
    DropsMessages,
    /// The place of a send is not remembered.
    ForgetsSends,
    /// The group stays as it was.
    ForgetsTrees,
    /// A commit ends no membership.
    KeepsMembers,
    /// An added device gets no welcome.
    DropsWelcomes,
    /// Acknowledgements are answered and not written.
    ForgetsCursors,
    /// Acknowledges more than was asked for.
    OverstatesCursors,
    /// Deletes what somebody has not acknowledged.
    PurgesTooMuch,
    /// Deletes nothing.
    PurgesNothing,
    /// A one-time package is given out again.
    GivesPackagesTwice,
    /// A package that has expired is given out.
    GivesExpired,
    /// The policy's version does not rise.
    KeepsVersion,
    /// An invite that was used is as good as new.
    ForgetsUse,
    /// A suspended device is taken for an active one.
    ForgetsStanding,
    /// What a bot reports is answered and not written.
    ForgetsReports,
    /// Failed log-ins are kept for ever.
    KeepsAudit,
    /// No message names a blob.
    ForgetsNames,
    /// Whoever names a blob is taken for its device.
    BelievesNames,
    /// A blob that is deleted stays.
    KeepsBlobs,
    /// Nobody has anything in store.
    CountsNoBlobs,
    /// New blobs are taken for old ones.
    AgesBlobs,
    /// A bot is thought to have read everything.
    ForgetsBots,
    /// What should be gone for good stays.
    ShredsNothing,
    /// Fails as a disk does: at the begin,
    FailsToBegin,
    /// at the n-th entry or acknowledgement of a batch,
    FailsToWrite(u32),
    /// at the end of a change,
    FailsToRelease,
    /// or at the commit.
    FailsToCommit,
    /// None, but other processes write it, too.
    IsShared,
}

/// Each defect with the promises that must catch it, each on its own.
pub(super) const CAUGHT_BY: &[(Defect, &[&str])] = &[
    (Defect::CommitsNothing, &["what_was_committed_is_there_for_whoever_opens_it_next"]),
    (Defect::CommitsWhatIsUndone, &["a_batch_that_is_not_committed_never_was"]),
    (Defect::KeepsRefused, &["a_refused_change_undoes_itself_only", "what_is_refused_takes_nothing_with_it"]),
    (Defect::DropsMessages, &["places_have_no_gaps", "what_is_refused_takes_nothing_with_it"]),
    (
        Defect::ForgetsSends,
        &["a_message_is_known_by_its_sender_s_name_for_it", "the_same_message_again_is_the_same_message"],
    ),
    (Defect::ForgetsTrees, &["the_group_is_the_one_of_the_last_entry_with_one", "a_group_goes_on_after_a_restart"]),
    (Defect::KeepsMembers, &["a_member_gets_what_is_for_it_and_no_more", "memberships_that_are_over_are_deleted"]),
    (Defect::DropsWelcomes, &["a_member_gets_what_is_for_it_and_no_more"]),
    (Defect::ForgetsCursors, &["cursors_go_forward_and_never_too_far", "what_everybody_acknowledged_is_purged"]),
    (Defect::OverstatesCursors, &["cursors_go_forward_and_never_too_far"]),
    (
        Defect::PurgesTooMuch,
        &["a_purge_deletes_what_everybody_has_and_no_more", "what_everybody_acknowledged_is_purged"],
    ),
    (Defect::PurgesNothing, &["a_purge_deletes_what_everybody_has_and_no_more", "a_purge_ends_where_it_must"]),
    (Defect::GivesPackagesTwice, &["a_one_time_package_goes_out_once"]),
    (Defect::GivesExpired, &["expired_packages_are_not_given", "the_last_resort_can_be_had_alone"]),
    (
        Defect::KeepsVersion,
        &["every_raised_version_is_another", "what_another_process_changed_holds_for_the_next_batch"],
    ),
    (Defect::ForgetsUse, &["an_invite_is_found_with_its_device", "a_registration_answered_twice_is_one_device"]),
    (
        Defect::ForgetsStanding,
        &["suspension_and_retention_are_found", "what_another_process_changed_holds_for_the_next_batch"],
    ),
    (
        Defect::ForgetsReports,
        &[
            "standings_are_kept_and_found",
            "where_a_bot_cannot_follow_nobody_speaks",
            "a_device_that_is_not_read_commits_before_it_speaks",
            "strict_retention_waits_for_the_bot",
        ],
    ),
    (
        Defect::ForgetsNames,
        &[
            "a_blob_is_settled_with_the_last_message_that_names_it",
            "a_blob_goes_when_everybody_has_it_or_when_it_is_old",
        ],
    ),
    (Defect::BelievesNames, &["nobody_else_settles_a_blob"]),
    (
        Defect::KeepsBlobs,
        &["what_a_device_has_in_store_is_counted", "a_blob_goes_when_everybody_has_it_or_when_it_is_old"],
    ),
    (Defect::CountsNoBlobs, &["what_a_device_has_in_store_is_counted", "uploads_have_quotas"]),
    (Defect::AgesBlobs, &["old_blobs_are_found_in_order", "a_blob_goes_when_everybody_has_it_or_when_it_is_old"]),
    (Defect::ForgetsBots, &["what_a_bot_has_still_to_read_is_told"]),
    (Defect::KeepsAudit, &["failed_log_ins_are_summed_and_the_oldest_go"]),
    (Defect::ShredsNothing, &["secrets_are_replaced_for_good"]),
    (Defect::FailsToWrite(3), &["places_have_no_gaps"]),
];
