//! An operator deletes an account, and undoes it.

use serde_json::{Value, json};
use time::Duration;

use crate::{
    accounts::PASSWORD,
    deletion::quick_region,
    device::unauthorized,
    devices::kinds,
    replica::Region,
    users::{audit, document, member},
};

#[tokio::test]
async fn an_operator_deletes_an_account_once_and_can_undo_it() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, id) = member(identity).await;
    let tokens = identity.logged_in(&ada).await;
    let output = region.run(&["users", "delete", &ada.email]).await;
    let line = audit(&output, &ada.email);
    assert_eq!(
        (&line["user.id"], &line["command"]),
        (&json!(id), &json!("delete"))
    );
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&format!("users restore {id}")), "{told}");
    region.catch_up();

    // From the next moment on, before any worker has done anything.
    let ended = unauthorized("session_ended");
    assert_eq!(identity.refresh(&tokens.refresh).await.problem(), ended);
    assert_eq!(identity.me(&tokens.access).await.problem(), ended);
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    // Its address leads to nobody any more; its id still does.
    let by_address = region.run(&["users", "delete", &ada.email]).await;
    assert_eq!(by_address.status.code(), Some(67), "{by_address:?}");
    let again = region.run(&["users", "delete", &id]).await;
    audit(&again, &ada.email);
    assert!(String::from_utf8_lossy(&again.stderr).contains("already"));
    let mail = identity.mail_number(&ada.email, 2).await;
    assert_eq!(mail.to, ada.email);
    identity.erasure_until(&id, "shred_id IS NOT NULL").await;

    let shown = document(&region.run(&["users", "show", &id, "--json"]).await);
    assert_eq!(
        (&shown["state"], &shown["email"]),
        (&json!("deleting"), &Value::Null)
    );
    let restored = region.run(&["users", "restore", &id]).await;
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(identity.refresh(&tokens.refresh).await.problem(), ended);
    let tokens = identity.logged_in(&ada).await;
    let seen = kinds(&identity.events(&tokens, "").await);
    let deletions = seen.iter().filter(|kind| *kind == "account_deleted");
    assert_eq!(deletions.count(), 1);
}

#[tokio::test]
async fn an_account_that_is_being_deleted_is_not_opened_but_restored() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, id) = member(identity).await;
    region.run(&["users", "delete", &id]).await;
    let opened = region.run(&["users", "enable", &id]).await;
    audit(&opened, &ada.email);
    let told = String::from_utf8_lossy(&opened.stderr).into_owned();
    assert!(
        told.contains("is being deleted (see `users restore`)"),
        "{told}"
    );
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn an_account_that_was_disabled_before_its_deletion_is_disabled_after_it_was_undone() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, id) = member(identity).await;
    for command in ["disable", "delete"] {
        audit(&region.run(&["users", command, &id]).await, &ada.email);
    }
    region.catch_up();
    identity
        .erasure_until(&id, "others_closed_at IS NOT NULL")
        .await;
    for (command, opens) in [("restore", false), ("enable", true)] {
        audit(&region.run(&["users", command, &id]).await, &ada.email);
        assert_eq!(identity.logs_in(&ada.email, PASSWORD).await, opens);
    }
}

#[tokio::test]
async fn when_the_wait_is_over_nothing_tells_that_the_account_was_disabled() {
    let region = quick_region().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let user = identity.newcomer().await.1.user_id();
    for command in ["disable", "delete"] {
        let output = region.run(&["users", command, &user]).await;
        assert!(output.status.success(), "{output:?}");
    }
    region.catch_up();
    identity
        .erasure_until(&user, "disabled_at IS NOT NULL")
        .await;
    identity
        .erasure_until(&user, "others_closed_at IS NOT NULL")
        .await;
    region.clock.advance(Duration::seconds(4));
    identity.erasure_until(&user, "done_at IS NOT NULL").await;
    identity
        .erasure_until(&user, "disabled_at IS NULL AND email_index IS NULL")
        .await;
}
