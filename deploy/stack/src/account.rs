//! The user Postgres runs as when the launcher is root: Postgres refuses to be started by root.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// `postgres`, which its package makes, else `nobody`.
    pub(crate) fn unprivileged() -> Result<Self, Failure> {
        let users =
            std::fs::read_to_string("/etc/passwd").map_err(Failure::when("read /etc/passwd"))?;
        ["postgres", "nobody"].iter().find_map(|name| named(&users, name)).ok_or_else(|| {
            Failure::new("running as root, and there is neither a user postgres nor nobody to run Postgres as")
        })
    }

    /// Asked by becoming that user, because modes alone do not tell (access lists, mounts).
    pub(crate) fn may_enter(&self, folder: &Path) -> bool {
        Command::new("test")
            .arg("-x")
            .arg(folder)
            .uid(self.uid)
            .gid(self.gid)
            .current_dir("/")
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    pub(crate) fn give(&self, path: &Path) -> Result<(), Failure> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(Failure::when(
            format!("give {} to {}", path.display(), self.name),
        ))
    }
}

fn named(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgresql:x:5:6::/:\npostgres:x:101:104:Admin,,,:/var/lib:/bin/sh\n";
        let found = named(passwd, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert_eq!(named(passwd, "nobody"), None);
    }
}
