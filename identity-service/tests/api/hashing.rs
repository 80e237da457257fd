//! More logins and sign-ups at once than the machine can hash.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{
    accounts::{PASSWORD, somebody},
    replica::Region,
    service::Answer,
};

/// Twice what fits into the queue and the threads, for each core, and again as much.
const BURST_OF_A_CORE: usize = 36;
/// How many times sooner than the last of the queue everybody else is answered. On an idle machine with two cores
/// that one waits for two seconds; on a busy one all of them take longer.
const SOONER: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_turned_away_at_once_and_nobody_else_notices() {
    let region = Region::with(&[("BCRYPT_COST", "12")]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let mut tokens = identity.logged_in(&ada).await;

    let mut burst = JoinSet::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for number in 0..BURST_OF_A_CORE * cores {
        let identity = identity.clone();
        burst.spawn(async move {
            let begun = Instant::now();
            let answer = if number % 2 == 0 {
                // Each for another address, so that none is locked out.
                identity.login(&somebody(), PASSWORD).await
            } else {
                identity.sign_up(&somebody(), PASSWORD).await
            };
            (answer, begun.elapsed())
        });
    }
    // The first answers of all are refusals: nothing is hashed as soon as that.
    let mut answers = vec![burst.join_next().await.expect("a burst").expect("no panic")];
    assert_eq!(answers[0].0.status, 503, "{}", answers[0].0.text);

    let mut others = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        assert_eq!(identity.me(&tokens.access).await.status, 200);
        others.push(begun.elapsed());
        let begun = Instant::now();
        tokens = identity.refresh(&tokens.refresh).await.tokens();
        others.push(begun.elapsed());
        let begun = Instant::now();
        assert_eq!(identity.jwks().await.status, 200);
        others.push(begun.elapsed());
    }
    while let Some(answer) = burst.try_join_next() {
        answers.push(answer.expect("no panic"));
    }
    assert!(!burst.is_empty(), "the burst was over before it was felt");
    answers.extend(burst.join_all().await);

    let (refused, served): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(it, _)| it.status == 503);
    assert!(refused.len() >= served.len(), "{} refused", refused.len());
    for (answer, _) in &refused {
        assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    assert!(served.iter().all(|(it, _)| was_served(it)));
    let last = served.iter().map(|(_, took)| *took).max();
    let last = last.expect("the queue was worked off");
    let refused = median(refused.into_iter().map(|(_, took)| took).collect());
    let others = median(others);
    assert!(
        refused * SOONER < last && others * SOONER < last,
        "a refusal took {refused:?}, what needs no hash {others:?}, the last of the queue {last:?}"
    );
}

fn was_served(answer: &Answer) -> bool {
    matches!(answer.status, 401 | 202)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
