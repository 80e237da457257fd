//! `.stack/env`: the addresses of a running stack as `KEY=value` lines, for scripts (`. .stack/env`) and for
//! `cargo stack psql` and `mail`. It exists exactly while everything is ready.

use std::path::{Path, PathBuf};

use crate::{Failure, private_file};

/// Removed when dropped.
pub(crate) struct EnvFile {
    path: PathBuf,
}

impl EnvFile {
    pub(crate) fn write(stack_dir: &Path, variables: &[(String, String)]) -> Result<Self, Failure> {
        let path = stack_dir.join("env");
        let lines: Vec<String> = variables
            .iter()
            .map(|(name, value)| format!("{name}={}", shell_word(value)))
            .collect();
        private_file::write(&path, &(lines.join("\n") + "\n"))?;
        Ok(Self { path })
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The variables of the stack running in `stack_dir`; `None` when none is.
pub fn read(stack_dir: &Path) -> Result<Option<Vec<(String, String)>>, Failure> {
    let Some(text) = private_file::read(&stack_dir.join("env"))? else {
        return Ok(None);
    };
    let variables: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect();
    let alive = variables
        .iter()
        .find_map(|(name, value)| (name == "STACK_PID").then_some(value))
        .is_some_and(|pid| Path::new("/proc").join(pid).exists());
    Ok(alive.then_some(variables))
}

/// Quoted for a shell only where it must be, so that the file also suits readers that know no quotes.
fn shell_word(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

fn plain(word: &str) -> String {
    match word
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        Some(quoted) => quoted.replace(r"'\''", "'"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_reads_back_as_itself() {
        for value in [
            "/plain/path",
            "/a folder/with 'quotes' and $signs",
            "",
            "a=b",
        ] {
            assert_eq!(plain(&shell_word(value)), value);
        }
        assert_eq!(shell_word("/plain/path"), "/plain/path");
        assert_eq!(shell_word("/a b"), "'/a b'");
    }
}
