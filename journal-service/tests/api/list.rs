//! `GET /api/entries`.

use serde_json::{Value, json};

use crate::journal::{Answer, Journal, draft};

fn titles(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let entries = answer.json()["entries"]
        .as_array()
        .cloned()
        .expect("a page has entries");
    let title = |entry: &Value| {
        entry["title"]
            .as_str()
            .expect("an entry has a title")
            .to_owned()
    };
    entries.iter().map(title).collect()
}

fn next(answer: &Answer) -> Option<String> {
    answer.json()["next"].as_str().map(str::to_owned)
}

/// Every title, page by page.
async fn walked(journal: &Journal, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut page = journal.list(&format!("?{query}")).await;
    loop {
        pages.push(titles(&page));
        let Some(cursor) = next(&page) else {
            return pages;
        };
        page = journal.list(&format!("?{query}&after={cursor}")).await;
    }
}

#[tokio::test]
async fn nobody_who_wrote_nothing_has_anything_to_list() {
    let ada = Journal::of_a_new_person().await;
    let answer = ada.list("").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"entries": [], "unreadable": []}));
}

#[tokio::test]
async fn the_newest_day_comes_first_and_within_a_day_what_was_written_last() {
    let ada = Journal::of_a_new_person().await;
    for (date, title) in [
        ("2026-11-23", "b"),
        ("2026-11-24", "d"),
        ("2026-11-22", "a"),
        ("2026-11-23", "c"),
        ("2026-11-24", "e"),
    ] {
        ada.write(&draft(date, title)).await;
    }
    assert_eq!(titles(&ada.list("").await), ["e", "d", "c", "b", "a"]);
    for limit in 1..=6 {
        let pages = walked(&ada, &format!("limit={limit}")).await;
        assert!(pages.iter().all(|page| page.len() <= limit));
        assert_eq!(pages.concat(), ["e", "d", "c", "b", "a"], "{limit}");
    }
    let exact = ada.list("?limit=5").await;
    assert_eq!(next(&exact), None, "a full last page has no next one");
}

#[tokio::test]
async fn only_the_days_that_are_asked_for_are_listed() {
    let ada = Journal::of_a_new_person().await;
    for date in [
        "0001-01-01",
        "2026-11-22",
        "2026-11-23",
        "2026-11-24",
        "9999-12-31",
    ] {
        ada.write(&draft(date, date)).await;
    }
    for (query, expected) in [
        (
            "from=2026-11-23&to=2026-11-24",
            &["2026-11-24", "2026-11-23"][..],
        ),
        ("from=2026-11-23&to=2026-11-23", &["2026-11-23"]),
        ("from=9999-12-31", &["9999-12-31"]),
        ("to=0001-01-01", &["0001-01-01"]),
        ("to=0000-12-31", &[]),
        ("from=-9999-01-01&to=-9999-01-01", &[]),
        ("from=2026-11-24&to=2026-11-22", &[]),
    ] {
        assert_eq!(
            titles(&ada.list(&format!("?{query}")).await),
            expected,
            "{query}"
        );
        let pages = walked(&ada, &format!("{query}&limit=1")).await;
        assert_eq!(pages.concat(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_cursor_works_for_its_person_only_and_none_can_be_made_up() {
    let ada = Journal::of_a_new_person().await;
    for title in ["a", "b"] {
        ada.write(&draft("2026-11-24", title)).await;
    }
    let cursor = next(&ada.list("?limit=1").await).expect("there is a second page");
    let bob = Journal::of_a_new_person().await;
    let stranger = format!("?after={cursor}");
    assert_eq!(bob.list(&stranger).await.pointers(), ["query:after"]);
    bob.write(&draft("2026-11-24", "bob's")).await;
    for person in [&ada, &bob] {
        for made_up in [
            "x",
            "AAAA",
            "2026-11-24",
            &format!("{cursor}A"),
            &cursor[1..],
            "%00",
            "%ff",
            &"A".repeat(600),
        ] {
            let answer = person.list(&format!("?after={made_up}")).await;
            assert_eq!(
                answer.problem(),
                (400, "invalid_request".to_owned()),
                "{made_up}"
            );
            assert_eq!(answer.pointers(), ["query:after"], "{made_up}");
        }
    }
    assert_eq!(
        bob.list(&stranger).await.problem(),
        (400, "invalid_request".to_owned())
    );
    assert_eq!(titles(&ada.list(&stranger).await), ["a"]);
}

#[tokio::test]
async fn wrong_parameters_are_refused_by_name() {
    let ada = Journal::of_a_new_person().await;
    for (query, pointer) in [
        ("limit=0", "query:limit"),
        ("limit=101", "query:limit"),
        ("limit=-1", "query:limit"),
        ("limit=many", "query:limit"),
        ("limit=99999999999999999999", "query:limit"),
        ("from=yesterday", "query:from"),
        ("to=2026-13-01", "query:to"),
    ] {
        let answer = ada.list(&format!("?{query}")).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{query}"
        );
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
}

#[tokio::test]
async fn a_page_of_very_long_entries_ends_early_and_goes_on() {
    let ada = Journal::of_a_new_person().await;
    let body = "x".repeat(1 << 20);
    for number in 0..6 {
        let long = json!({"date": "2026-11-24", "title": number.to_string(), "body": body});
        ada.write(&long).await;
    }
    let pages = walked(&ada, "limit=100").await;
    assert_eq!(pages, [vec!["5", "4", "3"], vec!["2", "1", "0"]]);
}

#[tokio::test]
async fn entries_written_while_pages_are_read_neither_repeat_nor_hide_others() {
    let ada = Journal::of_a_new_person().await;
    for title in ["a", "b", "c", "d"] {
        ada.write(&draft("2026-11-24", title)).await;
    }
    let first = ada.list("?limit=2").await;
    ada.write(&draft("2026-11-24", "late")).await;
    ada.write(&draft("2026-11-25", "later")).await;
    let cursor = next(&first).expect("there is a second page");
    let second = ada.list(&format!("?limit=2&after={cursor}")).await;
    assert_eq!(
        (titles(&first), titles(&second)),
        (vec!["d".into(), "c".into()], vec!["b".into(), "a".into()])
    );
}
