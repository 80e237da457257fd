//! An operator lets somebody in again whose attempts failed too often.

use serde_json::json;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    authenticator::Protected,
    lockout::locked,
    replica::{Region, Replica},
    users::audit,
};

/// A person who is locked out, from a known device as well, and their id.
pub(crate) async fn locked_out(replica: &Replica) -> (String, String, String) {
    let identity = &replica.service;
    let ada = identity.person().await;
    let login = identity.login(&ada.email, PASSWORD).await;
    let device = login.json()["device_token"].as_str().map(str::to_owned);
    let device = device.expect("a device token");
    let id = login.tokens().user_id();
    identity.lock_out(&ada.email).await;
    for _ in 0..5 {
        identity
            .login_from(&device, &ada.email, OTHER_PASSWORD)
            .await;
    }
    assert!(locked(&identity.login(&ada.email, PASSWORD).await));
    assert!(locked(
        &identity.login_from(&device, &ada.email, PASSWORD).await
    ));
    (ada.email, id, device)
}

#[tokio::test]
async fn an_operator_unlocks_by_address_and_by_id_while_the_service_runs() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    for by_id in [false, true] {
        let (email, id, device) = locked_out(&replica).await;
        let who = if by_id {
            id.clone()
        } else {
            email.to_uppercase()
        };
        let line = audit(&region.run(&["users", "unlock", &who]).await, &email);
        assert_eq!(
            (&line["user.id"], &line["command"]),
            (&json!(id), &json!("unlock"))
        );
        assert!(identity.logs_in(&email, PASSWORD).await);
        identity
            .login_from(&device, &email, PASSWORD)
            .await
            .tokens();
    }
}

#[tokio::test]
async fn an_unlock_that_fails_half_way_has_changed_nothing() {
    let region = Region::new().await;
    let replica = region.start().await;
    let (email, ..) = locked_out(&replica).await;
    let db = region.database().await;
    // The last of its statements is refused.
    let refusing = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not now''; END';
         CREATE TRIGGER refuse BEFORE UPDATE ON totp_factors EXECUTE FUNCTION refuse()";
    db.batch_execute(refusing).await.expect("a trigger");
    let output = region.run(&["users", "unlock", &email]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("nothing was changed"), "{told}");
    assert!(locked(&replica.service.login(&email, PASSWORD).await));
}

#[tokio::test]
async fn an_address_without_an_account_is_unlocked_like_any_other() {
    let region = Region::new().await;
    let replica = region.start().await;
    let (unknown, other) = (somebody(), somebody());
    replica.service.lock_out(&unknown).await;
    replica.service.lock_out(&other).await;
    audit(&region.run(&["users", "unlock", &unknown]).await, &unknown);
    assert_eq!(replica.service.login(&unknown, PASSWORD).await.status, 401);
    assert!(locked(&replica.service.login(&other, PASSWORD).await));
}

#[tokio::test]
async fn ending_the_wait_of_one_ends_that_of_nobody_else() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, eve) = region.two_protected(identity).await;
    for person in [&ada, &eve] {
        for tries in [3, 2] {
            let token = identity.challenge(&person.person).await;
            for _ in 0..tries {
                identity.verify_recovery(&token, "0000-0000-0000").await;
            }
        }
    }
    let shown = async |whose: &Protected| {
        let token = identity.challenge(&whose.person).await;
        let code = region.code(&whose.authenticator);
        identity.verify_code(&token, &code).await
    };
    assert!(locked(&shown(&ada).await));
    audit(
        &region.run(&["users", "unlock", &ada.person.email]).await,
        &ada.person.email,
    );
    assert!(locked(&shown(&eve).await));
    assert_eq!(shown(&ada).await.status, 200);
}
