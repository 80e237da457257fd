//! Requests that wait for one key share the question to the vault, and not what it thinks of another's token.

use std::time::Duration;

use secrecy::SecretString;
use shared::clock::Clock;
use shared::vault_client::{KeyOf, VaultError};
use stack::{Person, Service, Stack, forgery, until};

use crate::secrets::{vault_of, wrapped_key_of};

#[tokio::test]
async fn a_request_is_not_refused_for_the_token_of_one_it_shares_the_question_with() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    ada.write("mine", "and nobody else's").await;
    let wrapped = wrapped_key_of(&stack, &ada).await;
    let of = KeyOf {
        subject: ada.id.parse().unwrap(),
        purpose: "entries",
        generation: 1,
    };
    let good = SecretString::from(ada.access_token.clone());
    let bad = SecretString::from(forgery::malleated(&ada.access_token));

    let vault = vault_of(&stack, Service::Journal);
    let unwrap = |proof| vault.unwrap(of, &wrapped, Some(proof), Clock::system().now());
    let before = refusals(&stack);
    // The first of them asks for all.
    let (asks, mine, shares, again) =
        tokio::join!(unwrap(&bad), unwrap(&good), unwrap(&bad), unwrap(&good));
    assert_eq!(mine.unwrap().expose(), again.unwrap().expose());
    for refused in [asks, shares] {
        let code = match refused.map(|_| "a key") {
            Err(VaultError::Refused(code)) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code, "invalid_user_token");
    }
    let seen = until(
        "the refusal in the log",
        Duration::from_secs(5),
        async || {
            let seen = refusals(&stack) - before;
            if seen > 0 { Ok(seen) } else { Err(seen) }
        },
    );
    assert_eq!(seen.await.unwrap(), 1, "the same token is not shown twice");
}

/// How often the vault said 401.
fn refusals(stack: &Stack) -> usize {
    let log = std::fs::read_to_string(stack.log_file(Service::Vault)).unwrap();
    log.matches(r#""status":401"#).count()
}
