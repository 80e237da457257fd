//! `GET /api/entries?q=` and `?tag=`.

use reqwest::Url;
use serde_json::{Value, json};

use crate::journal::{Answer, Journal, database, draft};

async fn asked(journal: &Journal, query: &[(&str, &str)]) -> Answer {
    let url = Url::parse_with_params("http://journal.test", query).expect("a URL");
    journal
        .list(&format!("?{}", url.query().unwrap_or_default()))
        .await
}

/// The titles of one page.
fn titles(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let page = answer.json();
    let entries = page["entries"].as_array().expect("entries");
    let title = |entry: &Value| entry["title"].as_str().expect("a title").to_owned();
    entries.iter().map(title).collect()
}

/// Pieces with the hits in brackets.
fn marked(pieces: &Value) -> String {
    let pieces = pieces.as_array().expect("pieces");
    let mark = |piece: &Value| {
        let text = piece["text"].as_str().expect("text");
        if piece["hit"] == true {
            format!("[{text}]")
        } else {
            text.to_owned()
        }
    };
    pieces.iter().map(mark).collect()
}

fn entry(date: &str, title: &str, body: &str, tags: &[&str]) -> Value {
    json!({"date": date, "title": title, "body": body, "tags": tags})
}

async fn some_days() -> Journal {
    let ada = Journal::of_a_new_person().await;
    for draft in [
        entry(
            "2026-11-21",
            "Market",
            "Bought apples in the Große Straße.",
            &["town"],
        ),
        entry(
            "2026-11-22",
            "Café",
            "Met Zoë, and it rained.",
            &["town", "friends"],
        ),
        entry(
            "2026-11-23",
            "At home",
            "It rained all day; read about the café in Zürich.",
            &[],
        ),
        entry("2026-11-24", "River", "A long walk.", &["Town"]),
    ] {
        ada.write(&draft).await;
    }
    ada
}

#[tokio::test]
async fn words_are_found_in_title_body_and_tags_and_shown_where_they_are() {
    let ada = some_days().await;
    for (question, wanted) in [
        ("cafe", &["At home", "Café"][..]),
        ("CAFÉ", &["At home", "Café"]),
        ("rained zoe", &["Café"]),
        ("strasse", &["Market"]),
        ("friends", &["Café"]),
        ("town", &["River", "Café", "Market"]),
        ("nowhere", &[]),
        ("rained nowhere", &[]),
        ("100% _ '\"\\", &[]),
    ] {
        assert_eq!(
            titles(&asked(&ada, &[("q", question)]).await),
            wanted,
            "{question}"
        );
    }
    let page = asked(&ada, &[("q", "strasse")]).await.json();
    let found = &page["entries"][0]["found"];
    assert_eq!(marked(&found["title"]), "Market");
    assert_eq!(
        marked(&found["body"]),
        "Bought apples in the Große [Straße]."
    );
    let plain = asked(&ada, &[("tag", "friends")]).await.json();
    assert_eq!(plain["entries"][0].get("found"), None);
}

#[tokio::test]
async fn tags_are_exact_and_go_together_with_words_and_days() {
    let ada = some_days().await;
    for (query, wanted) in [
        (&[("tag", "town")][..], &["Café", "Market"][..]),
        (&[("tag", "Town")], &["River"]),
        (&[("tag", "tow")], &[]),
        (&[("tag", "town"), ("q", "rained")], &["Café"]),
        (&[("tag", "town"), ("to", "2026-11-21")], &["Market"]),
        (&[("q", "cafe"), ("from", "2026-11-23")], &["At home"]),
    ] {
        assert_eq!(titles(&asked(&ada, query).await), wanted, "{query:?}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps_and_without_repeating() {
    let ada = Journal::of_a_new_person().await;
    for number in 0..25 {
        let day = format!("2026-11-{:02}", number % 5 + 1);
        let body = if number % 2 == 0 { "needle" } else { "hay" };
        ada.write(&entry(&day, &format!("{number}"), body, &[]))
            .await;
    }
    let all = titles(&asked(&ada, &[("q", "needle"), ("limit", "100")]).await);
    assert_eq!(all.len(), 13);
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("q", "needle"), ("limit", "4")];
        if let Some(cursor) = &after {
            query.push(("after", cursor.as_str()));
        }
        let answer = asked(&ada, &query).await;
        seen.extend(titles(&answer));
        let page = answer.json();
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = Some(next.to_owned());
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn an_answer_stays_small_whatever_is_found() {
    let ada = Journal::of_a_new_person().await;
    let body = format!("needle {}", "x".repeat(1_000_000));
    for day in 1..=6 {
        ada.write(&entry(
            &format!("2026-11-0{day}"),
            &format!("{day}"),
            &body,
            &[],
        ))
        .await;
    }
    let first = asked(&ada, &[("q", "needle")]).await;
    assert_eq!(titles(&first), ["6", "5", "4", "3"]);
    let page = first.json();
    let next = page["next"].as_str().expect("there is more");
    let rest = asked(&ada, &[("q", "needle"), ("after", next)]).await;
    assert_eq!(titles(&rest), ["2", "1"]);
    assert_eq!(rest.json().get("next"), None);
}

#[tokio::test]
async fn nobody_finds_what_another_has_written() {
    let ada = some_days().await;
    let bob = Journal::of_a_new_person().await;
    assert_eq!(titles(&asked(&bob, &[("q", "cafe")]).await), [""; 0]);
    bob.write(&draft("2026-11-24", "bob's own")).await;
    assert_eq!(titles(&asked(&bob, &[("q", "cafe")]).await), [""; 0]);
    let page = asked(&ada, &[("q", "cafe"), ("limit", "1")]).await.json();
    let theirs = page["next"].as_str().expect("there is more");
    let refused = asked(&bob, &[("q", "cafe"), ("after", theirs)]).await;
    assert_eq!(refused.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(refused.pointers(), ["query:after"]);
}

#[tokio::test]
async fn a_question_that_is_none_is_refused_and_named() {
    let ada = some_days().await;
    let long = "x".repeat(201);
    for (name, text) in [
        ("q", ""),
        ("q", "  "),
        ("q", "\u{301}"),
        ("q", long.as_str()),
        ("q", "a b c d e f g h i j k l m n o p q"),
        ("tag", ""),
        ("tag", &long[..65]),
    ] {
        let refused = asked(&ada, &[(name, text)]).await;
        assert_eq!(
            refused.problem(),
            (400, "invalid_request".to_owned()),
            "{name}={text:?}"
        );
        assert_eq!(
            refused.pointers(),
            [format!("query:{name}")],
            "{name}={text:?}"
        );
    }
}

#[tokio::test]
async fn what_does_not_open_fills_a_page_too_and_the_page_says_where_to_go_on() {
    let ada = Journal::of_a_new_person().await;
    for _ in 0..3 {
        ada.write(&draft("2026-11-24", "rain")).await;
    }
    let attack =
        "UPDATE entries SET body_sealed = set_bit(body_sealed, 8, 1 - get_bit(body_sealed, 8))
                  WHERE user_id = $1";
    let changed = database().await.execute(attack, &[&ada.user_id]).await;
    assert_eq!(changed.expect("the attack is valid SQL"), 3);
    let mut unreadable = Vec::new();
    let mut after = None;
    loop {
        let mut query = vec![("q", "rain"), ("limit", "2")];
        query.extend(after.as_deref().map(|cursor| ("after", cursor)));
        let page = asked(&ada, &query).await.json();
        unreadable.push(page["unreadable"].as_array().map(Vec::len));
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(unreadable, [Some(2), Some(1)]);
}
