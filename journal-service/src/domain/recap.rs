//! What a week held, counted together record by record, as they are opened.

use std::collections::BTreeMap;

use time::Date;

use super::{
    amount::Amount,
    details::Details,
    pillar::PillarId,
    reflection::{Evening, Morning, Reflection, WeekNote},
    score::Score,
    week::Week,
};

/// The most tags that a recap names.
const TAGS_SHOWN: usize = 50;
/// The most different tags that are counted; a week with more has its first ones counted, the newest day first.
const TAGS_COUNTED: usize = 10_000;
/// The longest streak that is looked for, in days.
pub(crate) const STREAK: i64 = 366;

/// Numbers of a scale such as moods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) number: u32,
    total: u32,
    /// The lowest and the highest.
    range: Option<(u8, u8)>,
}

impl Scale {
    fn add(&mut self, value: Option<u8>) {
        let Some(value) = value else {
            return;
        };
        let (lowest, highest) = self.range.unwrap_or((value, value));
        self.range = Some((lowest.min(value), highest.max(value)));
        self.number = self.number.saturating_add(1);
        self.total = self.total.saturating_add(u32::from(value));
    }

    /// To two decimals; `None` when there are none.
    pub(crate) fn average(self) -> Option<f64> {
        if self.number == 0 {
            return None;
        }
        let average = f64::from(self.total) / f64::from(self.number);
        Some((average * 100.0).round() / 100.0)
    }

    pub(crate) fn lowest(self) -> Option<u8> {
        self.range.map(|(lowest, _)| lowest)
    }

    pub(crate) fn highest(self) -> Option<u8> {
        self.range.map(|(_, highest)| highest)
    }
}

/// One day of a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) date: Date,
    pub(crate) entries: u32,
    pub(crate) completed: u32,
    pub(crate) moods: Scale,
    pub(crate) has_morning: bool,
    pub(crate) has_evening: bool,
}

impl Day {
    fn of(date: Date) -> Self {
        Self {
            date,
            entries: 0,
            completed: 0,
            moods: Scale::default(),
            has_morning: false,
            has_evening: false,
        }
    }
}

/// How a pillar went in a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) number: u32,
    pub(crate) first: Amount,
    pub(crate) last: Amount,
}

/// What a week held.
pub(crate) struct Recap {
    pub(crate) week: Week,
    pub(crate) days: Vec<Day>,
    pub(crate) moods: Scale,
    pub(crate) mental_states: Scale,
    pub(crate) pillars: BTreeMap<PillarId, Course>,
    tags: BTreeMap<String, u32>,
    /// Days of the week that were written on.
    pub(crate) written_days: u32,
    /// Days that end with the last one of the week that was written on, none of them left out.
    pub(crate) streak: u32,
    /// Records of that week that do not open.
    pub(crate) unreadable: u32,
    pub(crate) note: Option<Reflection<WeekNote>>,
}

impl Recap {
    /// Of a week of which nothing is known yet.
    pub(crate) fn of(week: Week) -> Self {
        Self {
            week,
            days: week.days().map(Day::of).collect(),
            moods: Scale::default(),
            mental_states: Scale::default(),
            pillars: BTreeMap::new(),
            tags: BTreeMap::new(),
            written_days: 0,
            streak: 0,
            unreadable: 0,
            note: None,
        }
    }

    pub(crate) fn add_entry(&mut self, date: Date, details: Details) {
        self.moods.add(details.mood);
        for tag in details.tags {
            if self.tags.len() < TAGS_COUNTED || self.tags.contains_key(&tag) {
                *self.tags.entry(tag).or_default() += 1;
            }
        }
        if let Some(day) = self.day(date) {
            day.entries = day.entries.saturating_add(1);
            day.completed = day.completed.saturating_add(u32::from(details.completed));
            day.moods.add(details.mood);
        }
    }

    pub(crate) fn add_morning(&mut self, feel: &Reflection<Morning>) {
        self.mental_states.add(feel.content.mental_state);
        if let Some(day) = self.day(feel.date) {
            day.has_morning = true;
        }
    }

    pub(crate) fn add_evening(&mut self, feel: &Reflection<Evening>) {
        if let Some(day) = self.day(feel.date) {
            day.has_evening = true;
        }
    }

    /// Scores come with the newest first.
    pub(crate) fn add_score(&mut self, score: &Score) {
        let newest = Course {
            number: 0,
            first: score.value,
            last: score.value,
        };
        let course = self.pillars.entry(score.pillar).or_insert(newest);
        course.first = score.value;
        course.number = course.number.saturating_add(1);
    }

    pub(crate) fn add_unreadable(&mut self) {
        self.unreadable = self.unreadable.saturating_add(1);
    }

    /// The days that were written on, the newest first; those before the week count for the streak alone.
    pub(crate) fn add_written_days(&mut self, days: &[Date]) {
        let of_the_week = days.iter().filter(|day| **day >= self.week.monday());
        self.written_days = u32::try_from(of_the_week.count()).unwrap_or(u32::MAX);
        let Some(last) = days.first().filter(|day| **day >= self.week.monday()) else {
            return;
        };
        let in_a_row = days.iter().zip(0..STREAK);
        let in_a_row = in_a_row.take_while(|(day, back)| (*last - **day).whole_days() == *back);
        self.streak = u32::try_from(in_a_row.count()).unwrap_or(u32::MAX);
    }

    pub(crate) fn entries(&self) -> u32 {
        self.days.iter().map(|day| day.entries).sum()
    }

    pub(crate) fn completed(&self) -> u32 {
        self.days.iter().map(|day| day.completed).sum()
    }

    /// The tags that were used most, and how often.
    pub(crate) fn tags(&self) -> Vec<(&str, u32)> {
        let mut tags: Vec<_> = self
            .tags
            .iter()
            .map(|(tag, number)| (tag.as_str(), *number))
            .collect();
        tags.sort_by_key(|(tag, number)| (std::cmp::Reverse(*number), *tag));
        tags.truncate(TAGS_SHOWN);
        tags
    }

    fn day(&mut self, date: Date) -> Option<&mut Day> {
        self.days.iter_mut().find(|day| day.date == date)
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::date};

    use super::*;

    fn recap() -> Recap {
        Recap::of(Week::parse("2026-W48").expect("a week"))
    }

    fn streak(days: &[Date]) -> u32 {
        let mut recap = recap();
        recap.add_written_days(days);
        recap.streak
    }

    #[test]
    fn a_streak_ends_with_the_last_day_of_the_week_that_was_written_on() {
        let day = |back| date!(2026 - 11 - 27) - Duration::days(back);
        assert_eq!(streak(&[]), 0);
        assert_eq!(streak(&[day(0)]), 1);
        assert_eq!(streak(&[day(0), day(1), day(2), day(4)]), 3);
        // From Monday back into the week before.
        assert_eq!(streak(&[day(4), day(5), day(6)]), 3);
        // Nothing in this week.
        assert_eq!(streak(&[day(5), day(6)]), 0);
        let year: Vec<_> = (0..400).map(day).collect();
        assert_eq!(streak(&year), 366);
    }

    #[test]
    fn averages_are_of_what_was_named() {
        let mut scale = Scale::default();
        assert_eq!((scale.average(), scale.lowest()), (None, None));
        for value in [Some(1), None, Some(10), Some(2)] {
            scale.add(value);
        }
        assert_eq!((scale.number, scale.average()), (3, Some(4.33)));
        assert_eq!((scale.lowest(), scale.highest()), (Some(1), Some(10)));
    }

    #[test]
    fn the_tags_that_are_used_most_come_first_and_no_more_than_fit() {
        let mut recap = recap();
        let entry = |tags: Vec<String>| Details::of_tags(tags);
        recap.add_entry(
            date!(2026 - 11 - 24),
            entry(vec!["b".to_owned(), "a".to_owned()]),
        );
        recap.add_entry(date!(2026 - 11 - 24), entry(vec!["b".to_owned()]));
        assert_eq!(recap.tags(), [("b", 2), ("a", 1)]);
        for number in 0..20_000 {
            let tags = vec![format!("tag {number}")];
            recap.add_entry(date!(2026 - 11 - 25), entry(tags));
        }
        assert_eq!(recap.tags.len(), TAGS_COUNTED);
        assert_eq!(recap.tags().len(), TAGS_SHOWN);
        assert_eq!(recap.entries(), 20_002);
    }
}
