//! Unix accounts, read from `/etc/passwd`.

use std::{fs, io, path::Path};

use rustix::process::getuid;

/// Where accounts are listed.
const PASSWD: &str = "/etc/passwd";

/// A local account. Directories of users elsewhere (LDAP and the like) are not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, as `ssh -l` takes it.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The id of its own group.
    pub gid: u32,
}

impl Account {
    /// Looks up an account by name.
    ///
    /// # Errors
    ///
    /// When the list cannot be read, or has no such account.
    pub fn named(name: &str) -> Result<Self, AccountError> {
        find(Path::new(PASSWD), |account| account.name == name)?
            .ok_or_else(|| AccountError::Unknown(name.to_owned()))
    }

    /// The account that this process runs as.
    ///
    /// # Errors
    ///
    /// When the list cannot be read, or has no account with this process's user id.
    pub fn current() -> Result<Self, AccountError> {
        let uid = getuid().as_raw();
        find(Path::new(PASSWD), |account| account.uid == uid)?.ok_or(AccountError::UnknownUid(uid))
    }

    /// Whether this process runs as this account.
    #[must_use]
    pub fn is_current(&self) -> bool {
        getuid().as_raw() == self.uid
    }
}

fn find(passwd: &Path, wanted: impl Fn(&Account) -> bool) -> Result<Option<Account>, AccountError> {
    let text = fs::read(passwd).map_err(AccountError::Read)?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(parse).find(wanted))
}

/// One line: `name:password:uid:gid:comment:home:shell`.
fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    (!name.is_empty() && name.chars().all(plain)).then(|| Account { name: name.to_owned(), uid, gid })
}

/// Why there is no such account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The list of accounts cannot be read.
    #[error("cannot read {PASSWD}")]
    Read(#[source] io::Error),
    /// No account has this name.
    #[error(
        "this machine has no account `{0}`; create it with `useradd --system --shell /usr/sbin/nologin {0}`"
    )]
    Unknown(String),
    /// No account has this user id.
    #[error("this machine has no account with the user id {0}")]
    UnknownUid(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_strange_ones_skipped() {
        let account = parse("irp:x:998:997:a comment:/nonexistent:/usr/sbin/nologin").unwrap();
        assert_eq!(account, Account { name: "irp".into(), uid: 998, gid: 997 });
        for line in ["", "+", "irp:x:998", "irp:x:-1:1::", ":x:1:1::", "a b:x:1:1::", "# irp:x:1:1::"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn this_process_has_an_account_and_a_name_without_one_is_an_error() {
        assert!(Account::current().unwrap().is_current());
        assert!(matches!(Account::named("no such account"), Err(AccountError::Unknown(_))));
    }
}
