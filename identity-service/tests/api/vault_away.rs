//! What goes on without the vault, and what waits for it.

use reqwest::Url;
use stack::Addresses;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{authenticator::STEP, device::claims, replica::Region};

/// The line to the vault, which the test cuts and mends.
pub(crate) struct Line {
    pub(crate) url: String,
    whole: watch::Sender<bool>,
}

impl Line {
    pub(crate) async fn to_the_vault() -> Self {
        let vault = Url::parse(&Addresses::of_the_test_run().api.vault).expect("a URL");
        let vault = vault.socket_addrs(|| None).expect("an address")[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (whole, watched) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut watched = watched.clone();
                tokio::spawn(async move {
                    if !*watched.borrow_and_update() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(vault).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = watched.changed() => {}
                    }
                });
            }
        });
        Self {
            url: format!("https://127.0.0.1:{port}/"),
            whole,
        }
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

#[tokio::test]
async fn without_the_vault_codes_wait_and_everything_else_about_logging_in_goes_on() {
    let line = Line::to_the_vault().await;
    let region = Region::with(&[("VAULT_URL", &line.url)]).await;
    let (enrolling, fresh) = (region.start().await, region.start().await);
    let bob = enrolling.service.person().await;
    let ada = enrolling.service.person().await;
    let tokens = enrolling.service.logged_in(&ada).await;
    let app = enrolling.service.enrolled(&ada, &tokens).await;
    let now = region.clock.now();
    let confirmed = enrolling.service.confirm(&tokens, &app.code(now)).await;
    let recovery_codes = confirmed.recovery_codes();
    // This one has signing keys, and nobody's data key in memory.
    let identity = &fresh.service;
    line.cut();

    identity.logged_in(&bob).await;
    assert_eq!(identity.mistyped(&bob).await.status, 401);
    let token = identity.challenge(&ada).await;
    let code = app.code(now + STEP);
    // More often than a challenge takes wrong codes: an outage is not the person's failure.
    for _ in 0..6 {
        let answer = identity.verify_code(&token, &code).await;
        assert_eq!(answer.problem(), (503, "unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    let other = identity.challenge(&ada).await;
    let answer = identity.verify_recovery(&other, &recovery_codes[0]).await;
    assert_eq!(claims(&answer.tokens().access)["amr"][1], "mfa");
    let set_up = identity
        .enrol(&identity.logged_in(&bob).await, &bob.password)
        .await;
    assert_eq!(set_up.problem(), (503, "unavailable".to_owned()));

    line.mend();
    assert_eq!(identity.verify_code(&token, &code).await.status, 200);
}
