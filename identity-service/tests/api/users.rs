//! What an operator does for people from the command line.

use std::process::Output;

use shared::user_id::UserId;
use uuid::Uuid;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::claims,
    lockout::locked,
    replica::{Region, Replica},
};

/// A person who is locked out, from a known device as well, and their id.
async fn locked_out(replica: &Replica) -> (String, String, String) {
    let identity = &replica.service;
    let ada = identity.person().await;
    let login = identity.login(&ada.email, PASSWORD).await;
    let device = login.json()["device_token"].as_str().map(str::to_owned);
    let device = device.expect("a device token");
    let id = claims(&login.tokens().access)["sub"]
        .as_str()
        .map(str::to_owned);
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
    (ada.email, id.expect("an id"), device)
}

/// The audit line, which must not name an address.
fn audit(output: &Output, email: &str) -> String {
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = format!("{log}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!told.contains(email), "{told}");
    let line = log
        .lines()
        .find(|line| line.contains("an operator unlocked"));
    line.unwrap_or_else(|| panic!("no audit line: {told}"))
        .to_owned()
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
        let line = audit(&region.run(&["users", "unlock", &who]), &email);
        assert!(line.contains(&id), "{line}");
        assert!(identity.logs_in(&email, PASSWORD).await);
        identity
            .login_from(&device, &email, PASSWORD)
            .await
            .tokens();
    }
}

#[tokio::test]
async fn an_address_without_an_account_is_unlocked_like_any_other() {
    let region = Region::new().await;
    let replica = region.start().await;
    let (unknown, other) = (somebody(), somebody());
    replica.service.lock_out(&unknown).await;
    replica.service.lock_out(&other).await;
    audit(&region.run(&["users", "unlock", &unknown]), &unknown);
    assert_eq!(replica.service.login(&unknown, PASSWORD).await.status, 401);
    assert!(locked(&replica.service.login(&other, PASSWORD).await));
}

#[tokio::test]
async fn an_id_that_nobody_has_is_an_error() {
    let region = Region::new().await;
    let nobody = UserId::new(Uuid::from_u128(7)).to_string();
    let output = region.run(&["users", "unlock", &nobody]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was changed"));
}
