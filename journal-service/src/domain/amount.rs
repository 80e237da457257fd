//! Numbers that a person measures a part of their life with.

use serde::{Deserialize, Serialize};

/// The largest amount, and below zero the smallest.
pub(crate) const LARGEST: f64 = 1e9;

const PARTS: f64 = 1_000.0;

/// A number of thousandths, so that what is compared, added and sent back is always the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Amount(i64);

impl Amount {
    /// The amount next to a number; `None` beyond a thousand million, and for what is no number.
    pub(crate) fn of(number: f64) -> Option<Self> {
        if !(-LARGEST..=LARGEST).contains(&number) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "within the limits it is a whole number below 2^53"
        )]
        let thousandths = (number * PARTS).round() as i64;
        Some(Self(thousandths))
    }

    /// As JSON writes it.
    pub(crate) fn number(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "sums of two are below 2^53 as well"
        )]
        let thousandths = self.0 as f64;
        thousandths / PARTS
    }

    /// How far it is from another one to this.
    pub(crate) fn since(self, first: Self) -> Self {
        Self(self.0.saturating_sub(first.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(number: f64) -> Option<f64> {
        Amount::of(number).map(Amount::number)
    }

    #[test]
    fn what_is_no_number_or_too_large_is_none() {
        for number in [1e9 + 0.001, -1e9 - 0.001, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(of(number), None, "{number}");
        }
        for number in [0.0, -0.5, 72.5, 0.1, 0.007, 1e9, -1e9, 999_999_999.999] {
            assert_eq!(of(number), Some(number));
        }
    }

    #[test]
    fn changes_are_exact() {
        let (first, last) = (Amount::of(0.1), Amount::of(0.3));
        let change = last.zip(first).map(|(last, first)| last.since(first));
        assert_eq!(change.map(Amount::number), Some(0.2));
    }

    proptest! {
        #[test]
        fn three_decimals_come_back_as_they_were_and_more_are_rounded(thousandths in -1_000_000_000_000..=1_000_000_000_000i64) {
            let text = format!("{thousandths}e-3");
            let number: f64 = text.parse().expect("a number");
            prop_assert_eq!(of(number), Some(number));
            prop_assert_eq!(Amount::of(number), Some(Amount(thousandths)));
        }
    }
}
