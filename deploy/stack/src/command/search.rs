//! Searches what the services logged during the tests for what no log may hold: log lines hold ids only.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use regex::bytes::{Regex, RegexSet};
use stack::{Failure, Progress, Service, Stack};

use crate::judge::{Outcome, Summary};

/// What no log holds, by a pattern of its own. Six-digit codes have none that a duration has not too; they travel in
/// fields that have names.
const NEVER: [(&str, &str); 17] = [
    (
        "an address",
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    ),
    (
        "part of an address of a test",
        r"(?i)example\.(test|com|org|net)|somebody\.[0-9a-f]{16}",
    ),
    (
        "a password of a test",
        r"plough candle|walnut lantern|harbour violin|tiny secret|not (the|her) password|correct horse|difference engine|a word for the judge|hunter2",
    ),
    (
        "the text of an entry of a test",
        r"Zirkonium|Bouillabaisse|The body of |With a cookie|From a page|Dear diary",
    ),
    ("a browser of a test", "Zinnia-Phone|Quartz-Laptop"),
    ("a token of Keystead", "kst_"),
    ("a JWT", "eyJ[A-Za-z0-9_-]{8}"),
    ("a bearer token", "(?i)bearer [A-Za-z0-9_-]"),
    ("a cookie", "__(Host|Secure)-"),
    ("64 hexadecimal digits", "[0-9A-Fa-f]{64}"),
    (
        "a 256-bit key in base64",
        "(^|[^A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{43}=?($|[^A-Za-z0-9+/_=-])",
    ),
    ("a password hash", r"\$2[abxy]\$"),
    (
        "a secret of an authenticator",
        "otpauth|(^|[^A-Z2-7])[A-Z2-7]{32}($|[^A-Z2-7])",
    ),
    (
        "a recovery code",
        "(^|[^0-9a-z-])([0-9a-hjkmnp-tv-z]{4}-){2}[0-9a-hjkmnp-tv-z]{4}($|[^0-9a-z-])",
    ),
    ("a private key", "PRIVATE KEY"),
    (
        "a query string or a form",
        r"[?&][A-Za-z_.-]+=|://[^/ ]*:[^/ ]*@",
    ),
    (
        "a body, or a field that only a secret has",
        r#"\{\\+"|"(email|password|new_password|secret|token|[a-z]+_token|authorization|cookie|otp|user_agent)":"#,
    ),
];

/// What looks like a key and is none. The name of a public key is the SHA-256 of it (RFC 7638): whoever reads of a rotation
/// finds the key in the published set. The MAC of a record of the audit shows later that the record was there.
const NO_KEY: &str =
    r#""(before\.)?kid":"[A-Za-z0-9_-]{43}"|"mac":"[0-9a-f]{64}","message":"audit head""#;

/// Ids are in logs; as a label of a metric each of them would be a time series of its own.
const ID: &str = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";

/// What was searched, and what was found.
struct Searched {
    files: usize,
    lines: usize,
    found: Vec<Found>,
}

struct Found {
    what: &'static str,
    file: PathBuf,
    line: usize,
    text: String,
}

/// Stops the services of a stack, which writes down their last metrics, and searches all that was logged there.
pub(crate) async fn all(
    name: &'static str,
    stack: &mut Stack,
    summary: &mut Summary,
    progress: Progress,
) -> Result<(), Failure> {
    for service in Service::ALL {
        stack.stop_service(service).await?;
    }
    let started = Instant::now();
    let searched = logs(&stack.addresses().log_dir)?;
    summary.add(name, started.elapsed(), searched.outcome());
    progress.line(searched);
    Ok(())
}

/// Searches every file of a folder and of those in it.
fn logs(folder: &Path) -> Result<Searched, Failure> {
    let patterns = Patterns::compiled().map_err(Failure::when("compile the patterns"))?;
    let mut searched = Searched {
        files: 0,
        lines: 0,
        found: Vec::new(),
    };
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let reading = || format!("read {}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(Failure::when(reading()))? {
            let path = entry.map_err(Failure::when(reading()))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text =
                std::fs::read(&path).map_err(Failure::when(format!("read {}", path.display())))?;
            searched.file(&path, &text, &patterns);
        }
    }
    Ok(searched)
}

struct Patterns {
    never: RegexSet,
    no_key: Regex,
    id: Regex,
}

impl Patterns {
    fn compiled() -> Result<Self, regex::Error> {
        Ok(Self {
            never: RegexSet::new(NEVER.map(|(_, pattern)| pattern))?,
            no_key: Regex::new(NO_KEY)?,
            id: Regex::new(ID)?,
        })
    }

    fn in_line(&self, line: &[u8], is_metrics: bool) -> impl Iterator<Item = &'static str> {
        let places = self
            .never
            .matches(&self.no_key.replace_all(line, b"".as_slice()));
        let known = places.into_iter().filter_map(|at| NEVER.get(at));
        let id = (is_metrics && self.id.is_match(line)).then_some("an id in a label");
        known.map(|(what, _)| *what).chain(id)
    }
}

impl Searched {
    fn file(&mut self, file: &Path, text: &[u8], patterns: &Patterns) {
        self.files += 1;
        let is_metrics = file.extension().is_some_and(|is| is == "metrics");
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            self.lines += usize::from(!line.is_empty());
            self.found
                .extend(patterns.in_line(line, is_metrics).map(|what| Found {
                    what,
                    file: file.to_path_buf(),
                    line: number,
                    text: String::from_utf8_lossy(line).chars().take(400).collect(),
                }));
        }
    }

    /// Something was searched and nothing found.
    fn is_clean(&self) -> bool {
        self.lines > 0 && self.found.is_empty()
    }

    fn outcome(&self) -> Outcome {
        if self.is_clean() {
            Outcome::Passed(format!("{} lines of {} files", self.lines, self.files))
        } else {
            Outcome::Failed(format!(
                "{} finds in {} lines",
                self.found.len(),
                self.lines
            ))
        }
    }
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.found {
            writeln!(
                f,
                "{}:{} holds {}:\n  {}",
                found.file.display(),
                found.line,
                found.what,
                found.text
            )?;
        }
        write!(
            f,
            "Searched {} lines in {} files of logs and metrics for secrets and addresses: {} found.",
            self.lines,
            self.files,
            self.found.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in one line of a log, or of metrics.
    fn found(line: &str, name: &str) -> Vec<&'static str> {
        let folder = tempfile(line, name);
        let searched = logs(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        searched.found.into_iter().map(|found| found.what).collect()
    }

    fn tempfile(line: &str, name: &str) -> PathBuf {
        let thread = std::thread::current();
        let test = thread.name().unwrap().replace("::", ".");
        let folder = std::env::temp_dir().join(format!("{test}.{}", std::process::id()));
        std::fs::create_dir_all(folder.join("stack")).unwrap();
        std::fs::write(folder.join("stack").join(name), format!("first\n{line}\n")).unwrap();
        folder
    }

    #[test]
    fn each_kind_of_secret_is_found() {
        let samples = [
            "ada@mail.example.de",
            "for example.test",
            "plough candle orbit 1843",
            "The body of first.",
            "Mozilla/5.0 (Zinnia-Phone)",
            "kst_r_0123",
            "eyJ0eXAiOiJhdCtqd3QifQ.e30.x",
            "authorization: Bearer abc",
            "__Host-ks_access=1",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "$2b$12$abc",
            "secret JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP.",
            "code 8f3k-2m9q-x7tz",
            "-----BEGIN PRIVATE KEY-----",
            "/api/entries?from=2026",
            r#"{"error":"cannot read {\"email\":1}"}"#,
        ];
        for (sample, (what, _)) in samples.iter().zip(NEVER) {
            assert!(found(sample, "vault.log").contains(&what), "{sample}");
        }
    }

    #[test]
    fn an_ordinary_line_is_clean_and_an_id_may_be_in_a_log_but_not_in_a_label() {
        let line = r#"{"client":"127.0.0.1","duration_ms":1.25,"level":"INFO","message":"request","operation":"login","request_id":"0198c0de-0000-7000-8000-000000000001","service":"identity","status":200,"target":"shared::serve::edge","timestamp":"2026-11-24T16:00:00.123456789Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","version":"0.1.0"}"#;
        assert_eq!(found(line, "identity.log"), [""; 0]);
        assert_eq!(found(line, "identity.metrics"), ["an id in a label"]);
        let rotated =
            r#"{"kid":"z34d5T3Mlm4rD5PPd37GRMpHcMNmUQ81GOOKKcnMaGM","message":"rotated"}"#;
        assert_eq!(found(rotated, "identity.log"), [""; 0]);
        let mac = "ab".repeat(32);
        let head = format!(r#"{{"mac":"{mac}","message":"audit head","number":4}}"#);
        assert_eq!(found(&head, "vault.log"), [""; 0]);
        let other = head.replace("audit head", "another");
        assert_eq!(found(&other, "vault.log"), ["64 hexadecimal digits"]);
    }

    #[test]
    fn no_line_at_all_is_not_clean() {
        let folder = tempfile("", "identity.log");
        std::fs::write(folder.join("stack/identity.log"), "").unwrap();
        assert!(!logs(&folder).unwrap().is_clean());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
