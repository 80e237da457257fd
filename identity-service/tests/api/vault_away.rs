//! What goes on without the vault, and what waits for it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::Url;
use stack::Addresses;
use tokio::{
    io::{AsyncReadExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    accounts::PASSWORD, authenticator::STEP, device::claims, replica::Region, service::PATIENCE,
};

/// What becomes of what is said on the line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
    /// It is taken, and never answered.
    Hanging,
}

/// The line to the vault, which the test cuts and mends.
pub(crate) struct Line {
    pub(crate) url: String,
    state: watch::Sender<State>,
    /// Questions, or parts of them, that were taken and not answered.
    unanswered: watch::Receiver<usize>,
}

impl Line {
    pub(crate) async fn to_the_vault() -> Self {
        let vault = Url::parse(&Addresses::of_the_test_run().api.vault).expect("a URL");
        let vault = vault.socket_addrs(|| None).expect("an address")[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (state, watched) = watch::channel(State::Whole);
        let (counting, unanswered) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connected(near, vault, watched.clone(), counting.clone()));
            }
        });
        Self {
            url: format!("https://127.0.0.1:{port}/"),
            state,
            unanswered,
        }
    }

    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }

    fn hang(&self) {
        self.state.send_replace(State::Hanging);
    }

    /// Waits until something was asked that is not answered.
    async fn is_asked(&self) {
        let mut unanswered = self.unanswered.clone();
        let asked = tokio::time::timeout(PATIENCE, unanswered.wait_for(|it| *it > 0)).await;
        asked.expect("in time").expect("the line is there");
    }
}

/// One connection, for as long as the line stays as it is.
async fn connected(
    mut near: TcpStream,
    vault: SocketAddr,
    mut state: watch::Receiver<State>,
    counting: watch::Sender<usize>,
) {
    if *state.borrow_and_update() == State::Whole {
        let Ok(mut far) = TcpStream::connect(vault).await else {
            return;
        };
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => return,
            _ = state.changed() => {}
        }
    }
    if *state.borrow_and_update() != State::Hanging {
        return;
    }
    let mut taken = [0; 4096];
    while let Ok(1..) = near.read(&mut taken).await {
        counting.send_modify(|it| *it += 1);
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

/// Well below the three seconds after which a question to the vault is given up, and above what the answer waits.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_vault_that_hangs_holds_no_login_up() {
    let line = Line::to_the_vault().await;
    let region = Region::with(&[("VAULT_URL", &line.url)]).await;
    let (known, fresh) = (region.start().await, region.start().await);
    let ada = known.service.person().await;
    // This one has signing keys, and nobody's data key in memory.
    line.hang();
    let begun = Instant::now();
    let tokens = fresh.service.logged_in(&ada).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(fresh.service.logout(&tokens.access).await.status, 204);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    line.is_asked().await;
}

#[tokio::test]
async fn a_vault_that_hangs_holds_no_failed_login_up() {
    let line = Line::to_the_vault().await;
    let region = Region::with(&[("VAULT_URL", &line.url)]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    line.hang();
    // Another key, of which nothing is in memory: the worker is the first to ask for it.
    let another = "UPDATE service_keys SET wrapped_key = wrapped_key || '\\x00'::bytea";
    let changed = identity.database().await.execute(another, &[]).await;
    assert_eq!(changed.ok(), Some(1));
    line.is_asked().await;
    // More than one, since the first may share the end of the worker's own waiting.
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(identity.mistyped(&ada).await.status, 401);
    }
    assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}
