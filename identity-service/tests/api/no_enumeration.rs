//! Nothing that a stranger sees tells whether an address is known.

use serde_json::Value;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    service::{Answer, Service},
};

/// Everything that a stranger sees, less what names or dates this one answer.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| {
            let value = match name.as_str() {
                "date" | "x-request-id" => "…",
                _ => value.to_str().expect("headers are text"),
            };
            (name.to_string(), value.to_owned())
        })
        .collect();
    headers.sort();
    (answer.status, headers, answer.json())
}

#[tokio::test]
async fn signing_up_and_asking_again_answer_the_same_for_known_pending_and_unknown_addresses() {
    let identity = Service::of_the_test_run();
    let (known, pending, unknown) = (somebody(), somebody(), somebody());
    identity.account(&known, PASSWORD).await;
    identity.mailed_sign_up(&pending, PASSWORD).await;

    let asked = seen(&identity.resend(&unknown).await);
    assert_eq!(asked.0, 202);
    assert_eq!(seen(&identity.resend(&known).await), asked);
    assert_eq!(seen(&identity.resend(&pending).await), asked);

    let signed_up = seen(&identity.sign_up(&unknown, OTHER_PASSWORD).await);
    assert_eq!(signed_up.0, 202);
    assert_eq!(
        seen(&identity.sign_up(&known, OTHER_PASSWORD).await),
        signed_up
    );
    assert_eq!(
        seen(&identity.sign_up(&pending, OTHER_PASSWORD).await),
        signed_up
    );
}

#[tokio::test]
async fn only_a_waiting_sign_up_is_mailed_again_and_the_mail_before_stays_good() {
    let identity = Service::of_the_test_run();
    let (known, pending, unknown) = (somebody(), somebody(), somebody());
    identity.account(&known, PASSWORD).await;
    let first = identity.mailed_sign_up(&pending, PASSWORD).await;
    for address in [&known, &unknown, &pending] {
        identity.resend(address).await;
    }
    identity.mail_number(&pending, 2).await;
    identity.outbox_worked_off().await;
    assert_eq!(identity.mails(&known).len(), 1);
    assert!(identity.mails(&unknown).is_empty());
    assert_eq!(identity.verify(&first).await.status, 200);
}
