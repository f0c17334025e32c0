//! Rows of blobs in SQLite: what there is, which messages name it, and how much a device has.
//!
//! A message names a blob by a row in `blob_names`, which goes with the message. A blob is `claimed` once its own device has
//! named it, and `settled` once the last of its names went after that. `blob_use` is kept up with every row that
//! comes or goes: a device may have so many blobs that counting them at each upload would be an attack.

use rusqlite::{Connection, OptionalExtension};

use super::as_i64;
use super::store::SEQ_BITS;
use crate::clock::Moment;
use crate::delivery::blobs::{Amount, BlobId, BlobRow, Named, OldBlob, Stored, Upload};

pub(super) fn find(connection: &Connection, blob: &BlobId) -> rusqlite::Result<Option<BlobRow>> {
    let mut statement = connection.prepare_cached("SELECT device, size, finished FROM blobs WHERE blob = ?")?;
    let found = statement.query_row([blob.as_bytes()], |row| {
        Ok(BlobRow { device: row.get(0)?, size: row.get(1)?, finished: row.get(2)? })
    });
    found.optional()
}

pub(super) fn unfinished(connection: &Connection, device: i64) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM blobs WHERE device = ? AND finished = 0")?;
    statement.query_row([device], |row| row.get(0))
}

pub(super) fn stored(connection: &Connection, device: i64) -> rusqlite::Result<Stored> {
    let amount = |sql: &str| {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([device], |row| Ok(Amount { blobs: row.get(0)?, bytes: row.get(1)? }))
    };
    Ok(Stored {
        device: amount("SELECT coalesce(sum(blobs), 0), coalesce(sum(bytes), 0) FROM blob_use WHERE device = ?")?,
        user: amount(
            "SELECT coalesce(sum(u.blobs), 0), coalesce(sum(u.bytes), 0) FROM blob_use u
             JOIN devices d ON d.id = u.device WHERE d.user = (SELECT user FROM devices WHERE id = ?)",
        )?,
    })
}

pub(super) fn old(
    connection: &Connection,
    upload: Upload,
    before: Moment,
    after: Option<(Moment, BlobId)>,
    most: usize,
) -> rusqlite::Result<Vec<OldBlob>> {
    // the place of a message in its id is masked out by arithmetic: 1 << SEQ_BITS places a conversation
    let sql = format!(
        "SELECT b.blob, b.created_at_micros, EXISTS(SELECT 1 FROM blob_names WHERE blob = b.blob),
             EXISTS(SELECT 1 FROM blob_names n
                 JOIN members m ON m.conversation = (n.message >> {SEQ_BITS})
                     AND m.from_seq <= (n.message & ((1 << {SEQ_BITS}) - 1))
                     AND coalesce(m.until_seq, 1 << {SEQ_BITS}) >= (n.message & ((1 << {SEQ_BITS}) - 1))
                     AND m.acked_seq < (n.message & ((1 << {SEQ_BITS}) - 1))
                 JOIN devices d ON d.id = m.device
                 JOIN users u ON u.user = d.user AND u.retention = 1
                 WHERE n.blob = b.blob)
         FROM blobs b WHERE b.finished = ?1 AND b.settled = ?2 AND b.created_at_micros < ?3
             AND (b.created_at_micros, b.blob) > (?4, ?5)
         ORDER BY b.created_at_micros, b.blob LIMIT ?6"
    );
    let (finished, settled) = match upload {
        Upload::Unfinished => (0, 0),
        Upload::Finished => (1, 0),
        Upload::Settled => (1, 1),
    };
    let (at, blob) = match after {
        Some((at, blob)) => (at.micros(), blob.as_bytes().to_vec()),
        None => (i64::MIN, Vec::new()),
    };
    connection
        .prepare_cached(&sql)?
        .query_map((finished, settled, before.micros(), at, blob, most), |row| {
            let named = match (row.get(2)?, row.get(3)?) {
                (_, true) => Named::Unretained,
                (true, false) => Named::Retained,
                (false, false) => Named::Nowhere,
            };
            Ok(OldBlob { blob: BlobId::new(row.get(0)?), begun_at: Moment::of_micros(row.get(1)?), named })
        })?
        .collect()
}

pub(super) fn unretained_since(connection: &Connection) -> rusqlite::Result<Option<Moment>> {
    let sql = format!(
        "SELECT min(e.accepted_at_micros) FROM users u JOIN devices d ON d.user = u.user
         JOIN members m ON m.device = d.id JOIN conversations c ON c.id = m.conversation
         JOIN messages e ON e.id = ((m.conversation << {SEQ_BITS}) | (m.acked_seq + 1))
         WHERE u.retention = 1 AND m.acked_seq < coalesce(m.until_seq, c.head_seq)"
    );
    let micros: Option<i64> = connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
    Ok(micros.map(Moment::of_micros))
}

pub(super) fn insert(connection: &Connection, blob: &BlobId, row: BlobRow, at: Moment) -> rusqlite::Result<()> {
    let BlobRow { device, size, finished } = row;
    connection
        .prepare_cached("INSERT INTO blobs(blob, device, size, finished, created_at_micros) VALUES(?, ?, ?, ?, ?)")?
        .execute((blob.as_bytes(), device, size, finished, at.micros()))?;
    connection
        .prepare_cached(
            "INSERT INTO blob_use(device, blobs, bytes) VALUES(?, 1, ?)
             ON CONFLICT(device) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes",
        )?
        .execute((device, as_i64(size)))?;
    Ok(())
}

pub(super) fn name(connection: &Connection, blob: &BlobId, sender: i64, message: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO blob_names(message, blob) SELECT ?, blob FROM blobs WHERE blob = ?")?
        .execute((message, blob.as_bytes()))?;
    connection
        .prepare_cached("UPDATE blobs SET settled = 0, claimed = max(claimed, device = ?) WHERE blob = ?")?
        .execute((sender, blob.as_bytes()))?;
    Ok(())
}

pub(super) fn delete(connection: &Connection, blob: &BlobId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE blob_use SET blobs = blobs - 1, bytes = bytes - (SELECT size FROM blobs WHERE blob = ?1)
             WHERE device = (SELECT device FROM blobs WHERE blob = ?1)",
        )?
        .execute([blob.as_bytes()])?;
    connection.prepare_cached("DELETE FROM blob_names WHERE blob = ?")?.execute([blob.as_bytes()])?;
    connection.prepare_cached("DELETE FROM blobs WHERE blob = ?")?.execute([blob.as_bytes()])?;
    Ok(())
}

/// The messages from `first` to `last` are deleted: settles the blobs that no other one names.
pub(super) fn settle(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<()> {
    let named: Vec<[u8; 32]> = connection
        .prepare_cached("SELECT DISTINCT blob FROM blob_names WHERE message BETWEEN ? AND ?")?
        .query_map((first, last), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if named.is_empty() {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM blob_names WHERE message BETWEEN ? AND ?")?.execute((first, last))?;
    let mut settle = connection.prepare_cached(
        "UPDATE blobs SET settled = 1 WHERE blob = ?1 AND claimed = 1 AND finished = 1
         AND NOT EXISTS(SELECT 1 FROM blob_names WHERE blob = ?1)",
    )?;
    for blob in named {
        settle.execute([blob])?;
    }
    Ok(())
}
