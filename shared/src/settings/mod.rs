//! Settings: read once from the environment into types, every problem told at once, by name and never
//! by value.
//!
//! ```
//! use shared::settings::{Reader, Problems, parsed};
//!
//! struct Settings { port: u16, workers: u8 }
//!
//! fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Problems> {
//!     let mut env = Reader::new(lookup);
//!     let port = env.required("PORT", parsed("a port number"));
//!     let workers = env.or("WORKERS", "2", parsed("a small number"));
//!     env.finish(|| Some(Settings { port: port?, workers: workers? }))
//! }
//!
//! assert_eq!(read(&|_| Some("80".to_owned())).unwrap().port, 80);
//! let problems = read(&|_| None).err().unwrap();
//! assert!(problems.to_string().contains("PORT"));
//! ```

mod values;

use std::{fmt, fs, process::ExitCode};

use zeroize::Zeroizing;

pub use values::{
    Key256, duration, http_root, http_url, https_root, key_256, parsed, postgres_url, secret_text,
    text, versioned_keys,
};

/// `EX_CONFIG` of `sysexits.h`: what every service exits with when its settings are wrong.
pub const EXIT_CONFIG: u8 = 78;

/// Every problem found in the settings, in the order they were read. Never empty.
#[derive(Debug)]
pub struct Problems(Vec<String>);

impl Problems {
    /// A problem that only shows once the settings are used, such as a key file that does not parse.
    pub fn one(name: &str, problem: impl fmt::Display) -> Self {
        Self(vec![format!("{name} {problem}")])
    }

    /// Prints the list on standard error and gives the exit code for it.
    pub fn report(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(EXIT_CONFIG)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the settings have {} problem(s):", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|problem| write!(out, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// A variable of this process. The only reader of the environment in the workspace.
pub fn process_environment(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    std::env::var(name).ok()
}

/// Reads variables one by one and remembers what was wrong with each.
pub struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads through `lookup`: [`process_environment`], or a map in a test.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            problems: Vec::new(),
        }
    }

    /// A variable without which the service cannot run.
    pub fn required<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(text) = self.text(name) else {
            return self.problem(name, "is missing");
        };
        self.parse(name, &text, parse)
    }

    /// A variable with a default.
    pub fn or<T>(
        &mut self,
        name: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        self.parse(name, &text, parse)
    }

    /// A variable that may be left out: `Some(None)` when it is.
    pub fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.text(name) {
            Some(text) => self.parse(name, &text, parse).map(Some),
            None => Some(None),
        }
    }

    /// A secret without which the service cannot run: `NAME`, or the content of the file `NAME_FILE`.
    /// There is no default, ever.
    pub fn secret<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (value, path) = (self.text(name), self.text(&format!("{name}_FILE")));
        let secret = match (value, path) {
            (Some(_), Some(_)) => {
                return self.problem(name, "is set twice: as itself and as a file");
            }
            (None, None) => {
                return self.problem(name, "is missing (or name a file in it with _FILE)");
            }
            (Some(value), None) => Zeroizing::new(value),
            (None, Some(path)) => match fs::read_to_string(&path) {
                Ok(content) => Zeroizing::new(content),
                Err(error) => {
                    return self.problem(
                        &format!("{name}_FILE"),
                        &format!("cannot be read: {}", error.kind()),
                    );
                }
            },
        };
        self.parse(name, secret.trim(), parse)
    }

    /// What `parse` makes of the file that a variable names: a certificate, a key, a key set.
    pub fn file<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let path = self.required(name, text)?;
        match fs::read_to_string(path).map(Zeroizing::new) {
            Ok(content) => self.parse(name, &content, parse),
            Err(error) => self.problem(name, &format!("cannot be read: {}", error.kind())),
        }
    }

    /// The same for a file that may be left out: `Some(None)` when it is.
    pub fn optional_file<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.text(name) {
            Some(_) => self.file(name, parse).map(Some),
            None => Some(None),
        }
    }

    /// The settings, or everything that was wrong. `build` gives `None` only after a problem.
    ///
    /// # Panics
    /// When `build` gives `None` although every variable was fine.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Problems> {
        if self.problems.is_empty() {
            return Ok(build().expect("a variable without a problem has a value"));
        }
        Err(Problems(self.problems))
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.trim().is_empty())
    }

    fn parse<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(problem) => self.problem(name, &problem),
        }
    }

    /// Notes a problem that no single variable shows by itself; always `None`.
    pub fn problem<T>(&mut self, name: &str, problem: &str) -> Option<T> {
        self.problems.push(format!("{name} {problem}"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn read(pairs: &[(&str, &str)]) -> Result<Vec<(u32, Key256)>, Problems> {
        let lookup = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let mut env = Reader::new(&lookup);
        let keys = env.secret("KEYS", versioned_keys);
        let port = env.or("PORT", "1", parsed::<u16>("a port number"));
        env.finish(|| {
            port?;
            keys
        })
    }

    #[test]
    fn all_problems_are_told_at_once_by_name_and_never_by_value() {
        let told = read(&[("KEYS", "hunter2hunter2"), ("PORT", "99999")])
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("2 problem(s)") && told.contains("KEYS") && told.contains("PORT"),
            "{told}"
        );
        assert!(
            !told.contains("hunter2") && !told.contains("99999"),
            "{told}"
        );
    }

    #[test]
    fn a_secret_comes_from_a_file_but_not_from_both() {
        let path = std::env::temp_dir().join(format!("keystead-settings-{}", std::process::id()));
        fs::write(&path, format!("{GOOD}\n")).expect("a temporary file");
        let path_text = path.to_str().expect("a plain path");
        assert_eq!(
            read(&[("KEYS_FILE", path_text)])
                .expect("from the file")
                .len(),
            1
        );
        assert!(read(&[("KEYS_FILE", path_text), ("KEYS", GOOD)]).is_err());
        fs::remove_file(&path).expect("removed");
        let told = read(&[("KEYS_FILE", path_text)]).unwrap_err().to_string();
        assert!(told.contains("KEYS_FILE cannot be read"), "{told}");
    }
}
