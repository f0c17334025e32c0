//! Rows of the directory in SQLite.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Params, Row};

use super::{Rows, store};
use crate::clock::Moment;
use crate::directory::accounts::Standing;
use crate::directory::invites::{CodeHash, InviteRow};
use crate::directory::key_packages::{Checked, Use};
use crate::directory::{DeviceRow, UserRow};
use crate::ledger::{DirectoryBatch, DirectoryView, LedgerError, NewDevice, Origin, SenderRow};
use retaind_protocol::credential::Role;
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_protocol::wire::KeyPackageCount;

const VERSION: &str = "directory_version";

const DEVICE_COLUMNS: &str = "d.id, d.device, d.user, d.suite, d.signature_key, d.suspended OR u.suspended";
const USER_COLUMNS: &str = "user, role, suspended, retention, password, initial_password";

impl DirectoryView for Rows<'_> {
    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(store::meta(&self.0, key)?)
    }

    fn sender(&self, suite: u16) -> Result<Option<SenderRow>, LedgerError> {
        let mut statement = self.0.prepare("SELECT secret, identity FROM senders WHERE suite = ?")?;
        let found = statement.query_row([suite], |row| Ok(SenderRow { secret: row.get(0)?, identity: row.get(1)? }));
        Ok(found.optional()?)
    }

    fn policy_version(&self) -> Result<i64, LedgerError> {
        let bytes = store::meta(&self.0, VERSION)?.unwrap_or_default();
        Ok(bytes.try_into().map(i64::from_le_bytes).unwrap_or_default())
    }

    fn retention_users(&self) -> Result<Vec<String>, LedgerError> {
        let mut statement = self.0.prepare_cached("SELECT user FROM users WHERE retention = 1 ORDER BY user")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    fn suspended_devices(&self) -> Result<HashSet<i64>, LedgerError> {
        let mut statement = self.0.prepare_cached(
            "SELECT d.id FROM devices d JOIN users u ON u.user = d.user WHERE d.suspended OR u.suspended",
        )?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    fn user(&self, user: &str) -> Result<Option<UserRow>, LedgerError> {
        let mut statement = self.0.prepare_cached(&format!("SELECT {USER_COLUMNS} FROM users WHERE user = ?"))?;
        Ok(statement.query_row([user], user_row).optional()?)
    }

    fn users(&self) -> Result<Vec<UserRow>, LedgerError> {
        let mut statement = self.0.prepare(&format!("SELECT {USER_COLUMNS} FROM users ORDER BY user"))?;
        Ok(statement.query_map([], user_row)?.collect::<Result<_, _>>()?)
    }

    fn device(&self, device: &DeviceId) -> Result<Option<DeviceRow>, LedgerError> {
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS} FROM devices d JOIN users u ON u.user = d.user WHERE d.device = ?"
        ))?;
        Ok(statement.query_row([device.as_bytes()], device_row).optional()?)
    }

    fn devices_of(&self, user: &str) -> Result<Vec<DeviceRow>, LedgerError> {
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS} FROM devices d JOIN users u ON u.user = d.user WHERE d.user = ? ORDER BY d.id"
        ))?;
        Ok(statement.query_map([user], device_row)?.collect::<Result<_, _>>()?)
    }

    fn credential(&self, device: i64) -> Result<Vec<u8>, LedgerError> {
        Ok(self.0.query_row("SELECT credential FROM devices WHERE id = ?", [device], |row| row.get(0))?)
    }

    fn has_signature_key(&self, signature_key: &[u8]) -> Result<bool, LedgerError> {
        let sql = "SELECT EXISTS(SELECT 1 FROM devices WHERE signature_key = ?)";
        Ok(self.0.query_row(sql, [signature_key], |row| row.get(0))?)
    }

    fn invite(&self, code: &CodeHash) -> Result<Option<InviteRow>, LedgerError> {
        let sql = "SELECT user, expires_at_micros, device FROM invites WHERE code_hash = ?";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_row([code.as_bytes()], |row| {
            let expires = row.get::<_, Option<i64>>(1)?.map(Moment::of_micros);
            Ok(InviteRow { user: row.get(0)?, expires, device: row.get(2)? })
        });
        Ok(found.optional()?)
    }

    fn last_resort_key_package(&self, device: i64, now: Moment) -> Result<Option<Vec<u8>>, LedgerError> {
        let mut statement = self.0.prepare_cached(
            "SELECT package FROM key_packages WHERE device = ? AND last_resort = 1 AND expires_at_secs > ? LIMIT 1",
        )?;
        Ok(statement.query_row((device, now.secs()), |row| row.get(0)).optional()?)
    }

    fn count_key_packages(&self, device: i64, now: Moment) -> Result<KeyPackageCount, LedgerError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) FILTER (WHERE last_resort = 0), count(*) FILTER (WHERE last_resort = 1)
             FROM key_packages WHERE device = ? AND expires_at_secs > ?",
        )?;
        let count = statement.query_row((device, now.secs()), |row| {
            Ok(KeyPackageCount { one_time: row.get(0)?, last_resort: row.get::<_, u32>(1)? > 0 })
        });
        Ok(count?)
    }
}

impl DirectoryBatch for Rows<'_> {
    fn set_setting(&mut self, key: &str, value: &[u8]) -> Result<(), LedgerError> {
        Ok(store::set_meta(&self.0, key, value)?)
    }

    fn insert_sender(&mut self, suite: u16, sender: &SenderRow) -> Result<(), LedgerError> {
        let sql = "INSERT INTO senders(suite, secret, identity) VALUES(?, ?, ?)";
        self.change(sql, (suite, &sender.secret, &sender.identity)).map(drop)
    }

    fn replace_sender_secret(&mut self, suite: u16, secret: &[u8]) -> Result<(), LedgerError> {
        self.change("UPDATE senders SET secret = ? WHERE suite = ?", (secret, suite)).map(drop)
    }

    fn raise_policy_version(&mut self) -> Result<(), LedgerError> {
        let next = self.policy_version()?.wrapping_add(1);
        self.set_setting(VERSION, &next.to_le_bytes())
    }

    fn insert_user(&mut self, user: &UserName, role: Role) -> Result<(), LedgerError> {
        self.change("INSERT INTO users(user, role) VALUES(?, ?)", (user.as_str(), i32::from(role))).map(drop)
    }

    fn set_password(&mut self, user: &str, hash: &str, origin: Origin) -> Result<(), LedgerError> {
        let initial = match origin {
            Origin::Administrator => 1,
            Origin::Bot => 0,
        };
        let sql = "UPDATE users SET password = ?, initial_password = ? WHERE user = ?";
        self.change(sql, (hash, initial, user)).map(drop)
    }

    fn set_user_standing(&mut self, user: &UserName, standing: Standing) -> Result<bool, LedgerError> {
        let suspended = standing == Standing::Suspended;
        Ok(self.change("UPDATE users SET suspended = ? WHERE user = ?", (suspended, user.as_str()))? > 0)
    }

    fn set_device_standing(&mut self, device: &DeviceId, standing: Standing) -> Result<bool, LedgerError> {
        let suspended = standing == Standing::Suspended;
        Ok(self.change("UPDATE devices SET suspended = ? WHERE device = ?", (suspended, device.as_bytes()))? > 0)
    }

    fn set_retention(&mut self, users: &[UserName]) -> Result<(), LedgerError> {
        self.change("UPDATE users SET retention = 0 WHERE retention = 1", [])?;
        for user in users {
            self.change("UPDATE users SET retention = 1 WHERE user = ?", [user.as_str()])?;
        }
        Ok(())
    }

    fn insert_device(&mut self, new: &NewDevice<'_>) -> Result<i64, LedgerError> {
        let NewDevice { device, user, suite, signature_key, credential, registered_at } = *new;
        self.change(
            "INSERT INTO devices(device, user, suite, signature_key, credential, registered_at_micros)
             VALUES(?, ?, ?, ?, ?, ?)",
            (device.as_bytes(), user, suite, signature_key, credential, registered_at.micros()),
        )?;
        Ok(self.0.last_insert_rowid())
    }

    fn retire_device(&mut self, device: &DeviceId) -> Result<(), LedgerError> {
        for sql in [
            "DELETE FROM key_packages WHERE device = (SELECT id FROM devices WHERE device = ?)",
            "DELETE FROM members WHERE device = (SELECT id FROM devices WHERE device = ?)",
        ] {
            self.change(sql, [device.as_bytes()])?;
        }
        Ok(())
    }

    fn insert_invite(&mut self, code: &CodeHash, user: &UserName, expires: Option<Moment>) -> Result<(), LedgerError> {
        let sql = "INSERT INTO invites(code_hash, user, expires_at_micros) VALUES(?, ?, ?)";
        self.change(sql, (code.as_bytes(), user.as_str(), expires.map(Moment::micros))).map(drop)
    }

    fn use_invite(&mut self, code: &CodeHash, device: i64) -> Result<(), LedgerError> {
        self.change("UPDATE invites SET device = ? WHERE code_hash = ?", (device, code.as_bytes())).map(drop)
    }

    fn insert_key_packages(
        &mut self,
        device: i64,
        one_time: &[Checked],
        last_resort: Option<&Checked>,
    ) -> Result<(), LedgerError> {
        let mut insert = self.0.prepare_cached(
            "INSERT INTO key_packages(device, last_resort, expires_at_secs, package) VALUES(?, ?, ?, ?)",
        )?;
        for package in one_time {
            insert.execute((device, false, package.expires_at_secs, &package.package))?;
        }
        if let Some(package) = last_resort {
            self.0.execute("DELETE FROM key_packages WHERE device = ? AND last_resort = 1", [device])?;
            insert.execute((device, true, package.expires_at_secs, &package.package))?;
        }
        Ok(())
    }

    fn take_key_package(&mut self, device: i64, now: Moment) -> Result<Option<(Vec<u8>, Use)>, LedgerError> {
        let one: Option<(i64, bool, Vec<u8>)> = self
            .0
            .prepare_cached(
                "SELECT id, last_resort, package FROM key_packages WHERE device = ? AND expires_at_secs > ?
                 ORDER BY last_resort, id LIMIT 1",
            )?
            .query_row((device, now.secs()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((id, last_resort, package)) = one else {
            return Ok(None);
        };
        if last_resort {
            return Ok(Some((package, Use::LastResort)));
        }
        self.0.prepare_cached("DELETE FROM key_packages WHERE id = ?")?.execute([id])?;
        Ok(Some((package, Use::Once)))
    }
}

impl Rows<'_> {
    /// Returns how many rows it changed. For what is too rare for its statement to be kept.
    fn change(&self, sql: &str, parameters: impl Params) -> Result<usize, LedgerError> {
        Ok(self.0.execute(sql, parameters)?)
    }
}

fn device_row(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    Ok(DeviceRow {
        row: row.get(0)?,
        device: DeviceId::new(row.get(1)?),
        user: row.get(2)?,
        suite: row.get(3)?,
        signature_key: row.get(4)?,
        suspended: row.get(5)?,
    })
}

fn user_row(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        user: row.get(0)?,
        role: Role::try_from(row.get::<_, i32>(1)?).unwrap_or(Role::Unspecified),
        suspended: row.get(2)?,
        retention: row.get(3)?,
        password: row.get(4)?,
        initial_password: row.get::<_, i64>(5)? != 0,
    })
}
