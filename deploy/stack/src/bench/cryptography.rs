//! What one wrap costs without anything around it: the vault's own code, timed by a test of its own that only runs when it
//! is asked for.

use std::process::Stdio;

use stack::Failure;
use stack::process::Tool;

/// The test's module.
const TEST: &str = "domain::speed";

/// Nanoseconds of each operation by its name, as the test prints them: `speed: wrap 1234 ns`.
pub(crate) async fn measured() -> Result<Vec<(String, f64)>, Failure> {
    let mut cargo = Tool::start("cargo", |command| {
        command
            .args([
                "test",
                "--release",
                "--locked",
                "--quiet",
                "-p",
                "vault-service",
                "--lib",
            ])
            .args(["--", "--ignored", "--nocapture", "--test-threads=1", TEST])
            .stdout(Stdio::piped());
    })?;
    let (status, said) = cargo.output().await?;
    let said = String::from_utf8_lossy(&said);
    let times: Vec<_> = said.lines().filter_map(read).collect();
    if !status.success() || times.is_empty() {
        return Err(Failure::new(format!(
            "the cryptography was not measured ({status}): {said}"
        )));
    }
    Ok(times)
}

fn read(line: &str) -> Option<(String, f64)> {
    let (_, said) = line.split_once("speed: ")?;
    let (name, time) = said.strip_suffix(" ns")?.rsplit_once(' ')?;
    Some((name.to_owned(), time.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_between_other_lines() {
        assert_eq!(
            read("test domain ... speed: wrap 1234.5 ns"),
            Some(("wrap".to_owned(), 1234.5))
        );
        assert_eq!(
            read("speed: unwrap refused 9 ns"),
            Some(("unwrap refused".to_owned(), 9.0))
        );
        for other in ["", "running 1 test", "speed: wrap", "speed: wrap fast ns"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
