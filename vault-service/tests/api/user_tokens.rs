//! The living proof of the person: what the journal can do without it.

use shared::access_token::{Claims, TYPE};
use uuid::Uuid;

use crate::{
    client::{Client, item},
    keys::{SigningKey, claims},
    world::{Vault, World, somebody, vault},
};

#[tokio::test]
async fn the_journal_alone_can_neither_make_nor_open_a_key() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let (wrapped, _) = world.journal_for(&vault, ada).created(ada, "entries").await;
    let journal = world.caller(&vault, "journal");
    let (status, key) = journal.unwrap_one(ada, "entries", &wrapped).await;
    assert_eq!((status.as_str(), key), ("user_token_required", None));
    assert_eq!(
        journal.create(ada, "entries").await.problem(),
        (403, "user_token_required")
    );
}

#[tokio::test]
async fn another_persons_token_opens_nothing() {
    let (world, vault) = vault().await;
    let (ada, bob) = (somebody(), somebody());
    let (adas, _) = world.journal_for(&vault, ada).created(ada, "entries").await;
    let (bobs, _) = world.journal_for(&vault, bob).created(bob, "entries").await;
    let journal = world.journal_for(&vault, bob);
    let answer = journal
        .unwrap(&[item(ada, "entries", &adas), item(bob, "entries", &bobs)])
        .await;
    assert_eq!(answer.statuses(), ["user_token_mismatch", "ok"]);
    assert_eq!(
        journal.create(ada, "entries").await.problem(),
        (403, "user_token_mismatch")
    );
}

#[tokio::test]
async fn a_token_that_is_over_opens_nothing() {
    let mut over = claims(Uuid::nil());
    over.iat -= 1000;
    over.exp = over.iat + 900;
    assert_refused(&|_, ada| at(over.clone(), ada), "user_token_expired").await;
}

#[tokio::test]
async fn a_token_of_another_issuer_audience_or_key_opens_nothing() {
    let audience = Claims {
        aud: "elsewhere".to_owned(),
        ..claims(Uuid::nil())
    };
    assert_refused(&|_, ada| at(audience.clone(), ada), "invalid_user_token").await;
    let issuer = Claims {
        iss: "http://elsewhere.test".to_owned(),
        ..claims(Uuid::nil())
    };
    assert_refused(&|_, ada| at(issuer.clone(), ada), "invalid_user_token").await;
    let stranger = SigningKey::new();
    let stranger = &stranger;
    assert_refused(
        &|_, ada| Presented::Text(stranger.access_token(ada)),
        "invalid_user_token",
    )
    .await;
}

#[tokio::test]
async fn another_type_of_token_in_its_place_opens_nothing() {
    for (prefix, length) in [("kst_r_", 75), ("kst_v_", 43)] {
        let opaque = |_: &World, _| Presented::Text(format!("{prefix}{}", "A".repeat(length)));
        assert_refused(&opaque, "wrong_token_type").await;
    }
    let service = |world: &World, _| {
        let key = world.service_key("journal");
        Presented::Text(key.service_token("journal", "vault", time::Duration::ZERO))
    };
    assert_refused(&service, "wrong_token_type").await;
    let untyped = |world: &World, ada| Presented::Text(world.people.sign("JWT", &claims(ada)));
    assert_refused(&untyped, "wrong_token_type").await;
    let nothing = |_: &World, _| Presented::Text(String::new());
    assert_refused(&nothing, "invalid_user_token").await;
}

#[tokio::test]
async fn while_identity_was_never_reached_the_journal_is_told_to_come_back() {
    let world = World::new()
        .await
        .with("IDENTITY_JWKS_URL", "http://127.0.0.1:1/jwks");
    let vault = world.start().await;
    let ada = somebody();
    let answer = world.journal_for(&vault, ada).create(ada, "entries").await;
    assert_eq!(answer.problem(), (503, "unavailable"));
    // Identity itself needs no person, so it starts although nobody can verify people yet.
    assert_eq!(
        world
            .caller(&vault, "identity")
            .create(ada, "signing-key")
            .await
            .status,
        200
    );
}

enum Presented {
    Claims(Box<Claims>),
    Text(String),
}

fn at(claims: Claims, person: Uuid) -> Presented {
    let sub = shared::user_id::UserId::new(person);
    Presented::Claims(Box::new(Claims { sub, ..claims }))
}

/// The journal with that token: 401 with that code, whatever it asks for, and no key.
async fn assert_refused(present: &dyn Fn(&World, Uuid) -> Presented, code: &str) {
    let (world, vault) = vault().await;
    let ada = somebody();
    let (wrapped, _) = world.journal_for(&vault, ada).created(ada, "entries").await;
    let token = match present(&world, ada) {
        Presented::Claims(claims) => world.people.sign(TYPE, &claims),
        Presented::Text(token) => token,
    };
    let journal = with(&world, &vault, &token);
    let answer = journal.unwrap(&[item(ada, "entries", &wrapped)]).await;
    assert_eq!(answer.problem(), (401, code));
    assert_eq!(journal.create(ada, "entries").await.problem(), (401, code));
}

fn with(world: &World, vault: &Vault, token: &str) -> Client {
    world.caller(vault, "journal").with_user_token(token)
}
