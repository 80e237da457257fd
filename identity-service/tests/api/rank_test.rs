//! Whether two samples come from one distribution (Mann and Whitney, 1947): asks only which of two measurements is the
//! greater one, so a few that a busy machine has held up do not count for more than others.

use std::{cmp::Ordering, time::Duration};

/// z of the U test in its normal approximation: above zero when `one` is the slower. Two equal distributions exceed
/// |z| = 4 once in 16,000 comparisons.
#[expect(clippy::cast_precision_loss, reason = "hundreds of measurements")]
pub(crate) fn mann_whitney(one: &[Duration], other: &[Duration]) -> f64 {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| a.cmp(b)));
    let u: f64 = pairs
        .map(|order| match order {
            Ordering::Greater => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Less => 0.0,
        })
        .sum();
    let (n, m) = (one.len() as f64, other.len() as f64);
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(millis: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        millis.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn z_is_what_a_table_says() {
        let (low, high) = (sample(1..=5), sample(6..=10));
        // U = 0, mean 12.5, standard deviation √(25 · 11 / 12) = 4.787.
        assert!((mann_whitney(&low, &high) + 2.611).abs() < 0.001);
        assert!((mann_whitney(&high, &low) - 2.611).abs() < 0.001);
        // 11 pairs of 16 and one that is equal: U = 11.5, mean 8, standard deviation √(16 · 9 / 12) = 3.464.
        let (one, other) = (sample([9, 5, 4, 2]), sample([1, 3, 5, 3]));
        assert!((mann_whitney(&one, &other) - (11.5 - 8.0) / 3.464).abs() < 0.001);
    }

    #[test]
    fn equal_samples_are_equal_and_one_outlier_is_nothing() {
        let sample_of_both = sample(1..=200);
        assert!(mann_whitney(&sample_of_both, &sample_of_both).abs() < f64::EPSILON);
        let mut held_up = sample_of_both.clone();
        held_up[0] = Duration::from_mins(1);
        assert!(mann_whitney(&held_up, &sample_of_both).abs() < 0.2);
    }

    #[test]
    fn a_shift_of_a_third_of_the_spread_is_found_in_two_hundred() {
        let shifted = sample(21..=220);
        assert!(mann_whitney(&shifted, &sample(1..=200)) > 3.0);
        assert_eq!(median(&shifted), Duration::from_millis(121));
    }
}
