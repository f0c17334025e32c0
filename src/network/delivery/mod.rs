//! Delivery: every accepted message of every conversation, in one order, to each of its members, until acknowledged.
//!
//! [`decide`] says what becomes of a message, [`groups`] knows the rules of membership; [`accept`] puts the rows before
//! them and writes what they decided, inside the writer's transaction. [`queue`] reads what is due to a device, [`purge`]
//! deletes what everybody has, [`retention`] brings the bot into conversations that lack it, [`report`] stops those that it
//! cannot read, [`blobs`] holds the ciphertexts of attachments, until [`expiry`] deletes
//! them.

pub(crate) mod accept;
pub(crate) mod blobs;
pub(crate) mod decide;
pub(crate) mod entry;
pub(crate) mod expiry;
pub(crate) mod groups;
pub(crate) mod purge;
pub(crate) mod queue;
pub(crate) mod report;
pub(crate) mod retention;
