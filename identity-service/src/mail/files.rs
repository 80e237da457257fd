//! Mail as files, one `.eml` each (RFC 5322), for development and for whatever picks them up.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use shared::{problem::Unexpected, random};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// How soon a folder that takes no file may take one.
const RETRY: Duration = Duration::from_mins(1);

/// Writes one mail, named by `id`, into a folder.
pub(super) async fn write(folder: &Path, id: Uuid, mail: Vec<u8>) -> Result<(), Unexpected> {
    let folder = folder.to_owned();
    let written = spawn_blocking(move || write_now(&folder, id, &mail));
    let away = || Unexpected::unavailable("writing a mail", RETRY);
    written
        .await
        .map_err(|error| away().caused_by(error))?
        .map_err(|error| away().caused_by(error))
}

/// Writes a file and takes it away again.
pub(super) async fn examine(folder: &Path) -> Result<(), Unexpected> {
    let folder = folder.to_owned();
    let tried = spawn_blocking(move || {
        let unfinished = unfinished(&folder, Uuid::from_bytes(random::bytes()))?;
        fs::write(&unfinished, "")?;
        fs::remove_file(&unfinished)
    });
    let away = || Unexpected::unavailable("writing into the folder of mails", RETRY);
    tried
        .await
        .map_err(|error| away().caused_by(error))?
        .map_err(|error| away().caused_by(error))
}

fn write_now(folder: &Path, id: Uuid, mail: &[u8]) -> io::Result<()> {
    // Whole or not at all, for whoever watches the folder.
    let unfinished = unfinished(folder, id)?;
    let mut options = fs::OpenOptions::new();
    let mut writing = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    writing.write_all(mail)?;
    writing.sync_all()?;
    fs::rename(&unfinished, unfinished.with_extension("eml"))
}

/// Where a mail is until it is whole, in a folder that is there.
fn unfinished(folder: &Path, id: Uuid) -> io::Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    Ok(folder.join(format!("{id}.part")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use stack::Addresses;

    use super::*;

    #[tokio::test]
    async fn nobody_else_on_the_machine_reads_a_mail_or_lists_the_folder() {
        let name = format!("mail-{}", hex::encode(random::bytes::<8>()));
        let folder = Addresses::of_the_test_run().stack_dir.join(name);
        let id = Uuid::from_bytes(random::bytes());
        let written = write(&folder, id, b"Subject: a token".to_vec()).await;
        written.expect("a folder for tests");
        let mode = |path: &Path| {
            let found = fs::metadata(path).expect("it was made");
            found.permissions().mode() & 0o777
        };
        let mail = folder.join(format!("{id}.eml"));
        assert_eq!((mode(&folder), mode(&mail)), (0o700, 0o600));
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
