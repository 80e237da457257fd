//! Who may call at all: a client certificate of the authority and a service token, of one and the same service.

use time::Duration;

use crate::{
    authority::{Authority, Certified},
    client::{Answer, Client},
    keys::{SigningKey, claims},
    world::{Vault, World, somebody, vault},
};

const IDENTITY: &str = "spiffe://keystead/identity";

#[tokio::test]
async fn without_a_client_certificate_of_the_authority_there_is_no_connection() {
    let (world, vault) = vault().await;
    let (ours, stranger) = (&world.authority, Authority::new());
    let over = (Duration::days(-1), Duration::hours(-1));
    let to_come = (Duration::hours(1), Duration::hours(2));
    for (what, certificate) in [
        ("none", None),
        (
            "another authority's",
            Some(stranger.client("identity", &[IDENTITY])),
        ),
        (
            "expired",
            Some(ours.client_within("identity", &[IDENTITY], over)),
        ),
        (
            "not valid yet",
            Some(ours.client_within("identity", &[IDENTITY], to_come)),
        ),
        (
            "a server's",
            Some(ours.server_called("identity", &[IDENTITY])),
        ),
        (
            "signed by a client",
            Some(ours.client_of_a_client("identity", &[IDENTITY])),
        ),
    ] {
        let client = Client::new(vault.api, &world.authority.pem, certificate.as_ref())
            .with_token(&good_token(&world));
        let body =
            serde_json::json!({"subject": somebody(), "purpose": "account", "plaintext": true});
        let answer = client.try_post("/v1/data-keys", &body).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
    // The same request with a good one: the certificate is what was missing.
    let good = world.authority.client("identity", &[IDENTITY]);
    assert_eq!(
        ask(&world, &vault, &good, &good_token(&world)).await.status,
        200
    );
}

#[tokio::test]
async fn certificate_and_token_must_name_the_same_service() {
    let (world, vault) = vault().await;
    for uris in [
        &["spiffe://keystead/journal"][..],
        &["spiffe://keystead/journal", IDENTITY],
        &["spiffe://elsewhere/identity"],
        &[],
    ] {
        // The common name says identity each time, and counts for nothing.
        let certificate = world.authority.client("identity", uris);
        let answer = ask(&world, &vault, &certificate, &good_token(&world)).await;
        assert_eq!(answer.problem(), (401, "certificate_mismatch"), "{uris:?}");
    }
}

#[tokio::test]
async fn a_bad_service_token_is_refused() {
    let (world, vault) = vault().await;
    let certificate = world.authority.client("identity", &[IDENTITY]);
    let key = world.service_key("identity");
    let other = world.service_key("journal");
    let unknown = SigningKey::new();
    let good = good_token(&world);
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let refused = [
        (
            "another audience",
            key.service_token("identity", "journal", Duration::ZERO),
        ),
        (
            "an unknown key",
            unknown.service_token("identity", "vault", Duration::ZERO),
        ),
        (
            "another service's key",
            other.service_token("identity", "vault", Duration::ZERO),
        ),
        (
            "from the future",
            key.service_token("identity", "vault", Duration::hours(-1)),
        ),
        ("no signature", format!("{head}.")),
        (
            "another signature",
            format!("{head}.{}", signature.chars().rev().collect::<String>()),
        ),
        ("no token", "nonsense".to_owned()),
    ];
    for (what, token) in refused {
        let answer = ask(&world, &vault, &certificate, &token).await;
        assert_eq!(answer.problem(), (401, "invalid_service_token"), "{what}");
    }
    let expired = key.service_token("identity", "vault", Duration::minutes(2));
    let answer = ask(&world, &vault, &certificate, &expired).await;
    assert_eq!(answer.problem(), (401, "service_token_expired"));
}

#[tokio::test]
async fn another_type_of_token_in_its_place_is_told_apart() {
    let (world, vault) = vault().await;
    let certificate = world.authority.client("identity", &[IDENTITY]);
    let key = world.service_key("identity");
    for (what, token) in [
        ("access token", world.people.access_token(somebody())),
        ("refresh token", format!("kst_r_{}", "A".repeat(75))),
        ("mail token", format!("kst_v_{}", "A".repeat(43))),
        (
            "a JWT of the right key",
            key.sign("JWT", &claims(somebody())),
        ),
    ] {
        let answer = ask(&world, &vault, &certificate, &token).await;
        assert_eq!(answer.problem(), (401, "wrong_token_type"), "{what}");
    }
}

#[tokio::test]
async fn without_a_service_token_nothing_is_answered() {
    let (world, vault) = vault().await;
    let certificate = world.authority.client("identity", &[IDENTITY]);
    let client = Client::new(vault.api, &world.authority.pem, Some(&certificate));
    let answer = client.create(somebody(), "account").await;
    assert_eq!(answer.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_trusted_service_without_business_here_is_refused() {
    let (world, vault) = vault().await;
    let billing = world.caller(&vault, "billing");
    for purpose in ["account", "outbox", "signing-key", "entries"] {
        let answer = billing.create(somebody(), purpose).await;
        assert_eq!(answer.problem(), (403, "not_allowed"));
    }
}

fn good_token(world: &World) -> String {
    world
        .service_key("identity")
        .service_token("identity", "vault", Duration::ZERO)
}

async fn ask(world: &World, vault: &Vault, certificate: &Certified, token: &str) -> Answer {
    Client::new(vault.api, &world.authority.pem, Some(certificate))
        .with_token(token)
        .create(somebody(), "account")
        .await
}
