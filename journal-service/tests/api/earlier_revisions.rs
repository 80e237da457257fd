//! What entries were before their edits, in exports and imports.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    export::{exported, lines},
    import::{counted, entry, file_with, imported, wrong},
    journal::{Journal, database, draft, sent},
};

/// An entry that was edited so often.
async fn edited(journal: &Journal, day: &str, edits: u32) -> String {
    let id = journal.write(&draft(day, "0")).await;
    for edit in 1..=edits {
        let answer = journal
            .replace(&id, &draft(day, &edit.to_string()), None)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    id
}

/// Every revision of an entry, as the API tells them.
async fn history(journal: &Journal, id: &str) -> Vec<Value> {
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let path = format!("/entries/{id}/revisions?limit=100{before}");
        let page = journal.get(&path).await.json();
        all.extend(page["revisions"].as_array().into_iter().flatten().cloned());
        let Some(next) = page["next"].as_i64() else {
            return all;
        };
        before = format!("&before={next}");
    }
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

#[tokio::test]
async fn what_entries_were_comes_back_with_them() {
    let ada = Journal::of_a_new_person().await;
    let mut writing = JoinSet::new();
    // One that has been edited more often than is kept, and more of them, and more revisions, than are asked for at once.
    for edits in std::iter::once(104).chain((0..60).map(|number| number % 4 + 1)) {
        let ada = ada.clone();
        writing.spawn(async move { (edited(&ada, "2026-11-24", edits).await, edits) });
    }
    let ids = writing.join_all().await;
    let mut before = Vec::new();
    for (id, edits) in &ids {
        let history = history(&ada, id).await;
        assert_eq!(u32::try_from(history.len()), Ok(edits.min(&100) + 1));
        before.push(history);
    }
    let file = exported(&ada, "ndjson").await.expect("all of it");
    let revisions = 100 + 15 * (1 + 2 + 3 + 4);
    assert_eq!(of_type(&lines(&file), "revision").len(), revisions);
    for (id, _) in &ids {
        assert_eq!(ada.delete(id, None).await.status, 204);
    }
    let report = imported(&ada, "", file.clone()).await.json();
    assert_eq!(report["created"], 61, "{report}");
    assert_eq!(report["revisions"], revisions, "{report}");
    for ((id, _), before) in ids.iter().zip(&before) {
        assert_eq!(&history(&ada, id).await, before);
    }
    let again = exported(&ada, "ndjson").await.expect("all of it");
    assert_eq!(lines(&again).split_off(1), lines(&file).split_off(1));
    // They go on being edited, and the oldest are forgotten as ever.
    let often = &ids.iter().find(|(_, edits)| *edits == 104).expect("it").0;
    let edit = draft("2026-11-24", "105");
    assert_eq!(ada.replace(often, &edit, None).await.status, 200);
    let history = history(&ada, often).await;
    assert_eq!((history.len(), &history[100]["revision"]), (101, &json!(6)));
}

#[tokio::test]
async fn who_wants_them_not_has_a_shorter_file_that_is_whole() {
    let ada = Journal::of_a_new_person().await;
    let id = edited(&ada, "2026-11-24", 2).await;
    let short = sent(ada.elsewhere(Method::GET, "/export?revisions=false")).await;
    let found = lines(short.text.as_bytes());
    assert_eq!(of_type(&found, "revision").len(), 0);
    assert_eq!(of_type(&found, "entry")[0]["revision"], 3);
    assert_eq!(found[found.len() - 1]["records"]["revision"], 0);
    assert_eq!(ada.delete(&id, None).await.status, 204);
    let report = imported(&ada, "", short.text.into_bytes()).await.json();
    assert_eq!(
        (&report["created"], &report["revisions"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(history(&ada, &id).await.len(), 1);
    let archive = exported(&ada, "markdown").await.expect("all of it");
    let archive = rawzip::ZipArchive::from_slice(&archive).expect("an archive");
    assert_eq!(archive.entries_hint(), 1);
}

#[tokio::test]
async fn a_file_that_was_made_while_its_entries_were_edited_is_taken() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let mut ids = Vec::new();
    for number in 0..40 {
        let mut long = draft("2026-11-24", &number.to_string());
        long["body"] = "x".repeat(60_000).into();
        ids.push(ada.write(&long).await);
    }
    let mut editing = JoinSet::new();
    for id in ids {
        let ada = ada.clone();
        editing.spawn(async move {
            for edit in 0..8 {
                let mut long = draft("2026-11-24", &format!("edited {edit}"));
                long["body"] = "y".repeat(60_000).into();
                assert_eq!(ada.replace(&id, &long, None).await.status, 200);
            }
        });
    }
    let mut files = Vec::new();
    while !editing.is_empty() {
        files.push(exported(&ada, "ndjson").await.expect("all of it"));
        while let Some(edited) = editing.try_join_next() {
            edited.expect("it edited");
        }
    }
    for file in files {
        let lines = lines(&file);
        let report = imported(&bob, "?dry_run=true", file).await;
        assert_eq!(report.status, 200, "{}", report.text);
        let report = report.json();
        assert_eq!(report["created"], 40);
        assert_eq!(report["revisions"], of_type(&lines, "revision").len());
        // None is left out between those that are there.
        let edits: i64 = of_type(&lines, "entry")
            .iter()
            .filter_map(|it| it["revision"].as_i64())
            .map(|it| it - 1)
            .sum();
        assert_eq!(report["revisions"], edits);
    }
}

fn revision(number: u32, revision: i64) -> Value {
    let mut line = entry(number);
    line["type"] = "revision".into();
    line["revision"] = revision.into();
    line["title"] = format!("revision {revision}").into();
    line
}

/// Entries of the highest revision, each followed by a hundred earlier ones.
fn edited_often(entries: u32) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0..entries {
        let mut line = entry(number);
        line["revision"] = 9_007_199_254_740_991_i64.into();
        text.push(line.to_string());
        let earlier = (1..=100).map(|edits| revision(number, 9_007_199_254_740_991 - edits));
        text.extend(earlier.map(|line| line.to_string()));
    }
    let entries = usize::try_from(entries).expect("few");
    file_with(
        &text,
        &counted(&[("entry", entries), ("revision", entries * 100)]),
    )
}

#[tokio::test]
async fn revisions_come_with_a_new_entry_and_to_none_that_is_there() {
    let ada = Journal::of_a_new_person().await;
    // More than are looked at in one go: some come without the entry that they follow.
    let file = edited_often(12);
    let report = |dry_run, created, revisions| json!({"dry_run": dry_run, "created": created, "unchanged": 12 - created, "revisions": revisions});
    let dry = imported(&ada, "?dry_run=true", file.clone()).await.json();
    assert_eq!(dry, report(true, 12, 1_200));
    assert_eq!(
        imported(&ada, "", file.clone()).await.json(),
        report(false, 12, 1_200)
    );
    assert_eq!(
        imported(&ada, "", file.clone()).await.json(),
        report(false, 0, 0)
    );

    // What is kept of one that is there is its own.
    let sql = "DELETE FROM entry_revisions WHERE user_id = $1 AND revision % 2 = 0";
    let gone = database().await.execute(sql, &[&ada.user_id]).await;
    assert_eq!(gone.expect("valid SQL"), 600);
    let back = "0198c0de-0000-7000-8000-000000000007";
    assert_eq!(ada.delete(back, None).await.status, 204);
    assert_eq!(imported(&ada, "", file).await.json(), report(false, 1, 100));
    for number in [0, 7, 11] {
        let id = format!("0198c0de-0000-7000-8000-{number:012}");
        let expected = if number == 7 { 101 } else { 51 };
        assert_eq!(history(&ada, &id).await.len(), expected, "{number}");
    }
}

#[tokio::test]
async fn a_revision_that_stands_elsewhere_is_named_by_its_line_and_nothing_is_stored() {
    let ada = Journal::of_a_new_person().await;
    let there = edited(&ada, "2026-11-24", 1).await;
    let mut of_another = revision(1, 1);
    of_another["id"] = there.into();
    let mut sad = revision(1, 2);
    sad["mood"] = 11.into();
    let first = entry(1);
    for (text, found) in [
        (vec![revision(1, 2), first.clone()], [("unknown_entry", 2)]),
        (vec![first.clone(), revision(2, 1)], [("unknown_entry", 3)]),
        (vec![first.clone(), of_another], [("unknown_entry", 3)]),
        (vec![first.clone(), revision(1, 3)], [("misplaced", 3)]),
        (
            vec![first.clone(), revision(1, 1), revision(1, 2)],
            [("misplaced", 4)],
        ),
        (
            vec![first.clone(), revision(1, 2), revision(1, 2)],
            [("misplaced", 4)],
        ),
        (vec![first.clone(), revision(1, 0)], [("invalid", 3)]),
        (vec![first.clone(), sad], [("invalid", 3)]),
    ] {
        let text: Vec<_> = text.iter().map(Value::to_string).collect();
        let counts = counted(&[("entry", 1), ("revision", text.len() - 1)]);
        let refused = imported(&ada, "", file_with(&text, &counts)).await;
        let found = found.map(|(code, line)| (code.to_owned(), line));
        assert_eq!(wrong(&refused), found, "{text:?}");
    }
    let miscounted = [first.to_string(), revision(1, 2).to_string()];
    let refused = imported(&ada, "", file_with(&miscounted, &counted(&[("entry", 1)]))).await;
    assert_eq!(wrong(&refused), [("wrong_counts".to_owned(), 4)]);
    assert_eq!(ada.entries().await.len(), 1);
}

#[tokio::test]
async fn a_revision_that_does_not_open_breaks_an_export_off() {
    let ada = Journal::of_a_new_person().await;
    edited(&ada, "2026-11-24", 3).await;
    let sql = "UPDATE entry_revisions SET title_sealed =
                   (SELECT title_sealed FROM entry_revisions WHERE user_id = $1 AND revision = 2)
               WHERE user_id = $1 AND revision = 1";
    let pasted = database().await.execute(sql, &[&ada.user_id]).await;
    assert_eq!(pasted.expect("the attack is valid SQL"), 1);
    exported(&ada, "ndjson").await.expect_err("it is not whole");
    let without = sent(ada.elsewhere(Method::GET, "/export?revisions=false")).await;
    assert!(without.text.contains("\"trailer\""), "{}", without.text);
}
