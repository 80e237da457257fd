//! Leaving on one device.

use crate::{device::unauthorized, service::Service};

#[tokio::test]
async fn a_logout_ends_this_session_at_once_and_no_other() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (phone, laptop) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    let answer = identity.logout(&phone.access).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    for answer in [
        identity.refresh(&phone.refresh).await,
        identity.me(&phone.access).await,
        identity.logout(&phone.access).await,
    ] {
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
    assert_eq!(identity.me(&laptop.access).await.status, 200);
    assert_eq!(identity.refresh(&laptop.refresh).await.status, 200);
}

#[tokio::test]
async fn a_logout_also_voids_the_token_that_a_refresh_gave_a_moment_ago() {
    let identity = Service::of_the_test_run();
    let first = identity.logged_in(&identity.person().await).await;
    let second = identity.refresh(&first.refresh).await.tokens();
    assert_eq!(identity.logout(&first.access).await.status, 204);
    for token in [&first.refresh, &second.refresh] {
        let answer = identity.refresh(token).await;
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
}
