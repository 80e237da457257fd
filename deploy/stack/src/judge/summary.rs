//! What every step of a full run came to.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How a step ended, with what there is to say about it.
pub(crate) enum Outcome {
    Passed(String),
    Failed(String),
    /// Could not be run here, and why.
    Skipped(String),
}

impl Outcome {
    /// A judge that found nothing wrong passes.
    pub(crate) fn of(complaints: &[String], praise: String) -> Self {
        if complaints.is_empty() {
            Self::Passed(praise)
        } else {
            Self::Failed(complaints.join("; "))
        }
    }
}

#[derive(Default)]
pub(crate) struct Summary {
    steps: Vec<(&'static str, Duration, Outcome)>,
}

impl Summary {
    pub(crate) fn add(&mut self, name: &'static str, took: Duration, outcome: Outcome) {
        self.steps.push((name, took, outcome));
    }

    /// Waits for a judge and takes the time.
    pub(crate) async fn watch(
        &mut self,
        name: &'static str,
        judging: impl Future<Output = Outcome>,
    ) {
        let started = Instant::now();
        let outcome = judging.await;
        self.add(name, started.elapsed(), outcome);
    }

    /// In CI a skipped judge is a failure: nobody would notice that it never looked.
    pub(crate) fn fails(&self, in_ci: bool) -> bool {
        self.steps.iter().any(|(_, _, outcome)| match outcome {
            Outcome::Passed(_) => false,
            Outcome::Failed(_) => true,
            Outcome::Skipped(_) => in_ci,
        })
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::from("\n");
        for (name, took, outcome) in &self.steps {
            let (word, text) = match outcome {
                Outcome::Passed(text) => ("passed", text),
                Outcome::Failed(text) => ("FAILED", text),
                Outcome::Skipped(text) => ("skipped:", text),
            };
            let _ = writeln!(
                table,
                "{name:<28} {:>7.1} s  {word} {text}",
                took.as_secs_f64()
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_judge_fails_in_ci_only() {
        let mut summary = Summary::default();
        summary.add(
            "a judge",
            Duration::ZERO,
            Outcome::Skipped("no browser".into()),
        );
        assert!(!summary.fails(false));
        assert!(summary.fails(true));
        assert!(summary.table().contains("skipped: no browser"));
    }

    #[test]
    fn one_failure_fails_everywhere() {
        let mut summary = Summary::default();
        summary.add("one", Duration::ZERO, Outcome::Passed(String::new()));
        summary.add(
            "two",
            Duration::ZERO,
            Outcome::of(&["broken".into()], String::new()),
        );
        assert!(summary.fails(false));
    }
}
