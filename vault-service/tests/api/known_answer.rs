//! The published bytes, through the wire: a slot built here by hand, the wrapped key from the design.

use shared::envelope::{
    Context, Field,
    committed::{self, Binding},
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::world::{MASTER_KEY, vault};

const SUBJECT: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
const WRAPPED: &str = "01010000000000010198c0de0000700080000000000000d1000102030405060708090a0bbed08bd3\
    a93667a47957cf211f2a94149fbc0943c60d79c41cc44ff9d153f42f766db0d799c478dcd271024786de8dc403bec6ee0df5a5\
    39214ef0f0f98b184174a02be0a2581d80e03c7b073d1c28e3";

#[tokio::test]
async fn the_known_wrapped_key_opens_for_its_person_through_the_wire() {
    let (world, vault) = vault().await;
    let journal = world.journal_for(&vault, SUBJECT);
    // The first request waits until the vault has migrated and knows its master keys.
    let wrapped = hex::decode(WRAPPED).expect("hex");
    let before = journal.unwrap_one(SUBJECT, "entries", &wrapped).await;
    assert_eq!(before, ("unknown_subject".to_owned(), None));
    world
        .db()
        .await
        .execute_typed(
            "INSERT INTO subjects (subject, sealed_salt, mek_version, created_at) VALUES ($1, $2, 1, now())",
            &[(&SUBJECT, Type::UUID), (&sealed_salt(), Type::BYTEA)],
        )
        .await
        .expect("a slot");
    let (status, key) = journal.unwrap_one(SUBJECT, "entries", &wrapped).await;
    assert_eq!(status, "ok");
    assert_eq!(key, Some((0x40..0x60).collect()));
}

#[tokio::test]
async fn the_known_key_check_value_is_what_the_database_remembers() {
    let (world, vault) = vault().await;
    world
        .caller(&vault, "identity")
        .created(SUBJECT, "account")
        .await;
    let row = world
        .db()
        .await
        .query_typed_one("SELECT version, kcv FROM master_keys", &[])
        .await
        .expect("one version");
    assert_eq!(row.get::<_, i64>("version"), 1);
    assert_eq!(
        hex::encode(row.get::<_, Vec<u8>>("kcv")),
        "8027fc57b6904154"
    );
}

/// `0x03 0x01 0 0 || version || nonce || commitment || ciphertext || tag`, sealed under `Kslot_1`.
fn sealed_salt() -> Vec<u8> {
    let master_key = hex::decode(MASTER_KEY).expect("hex");
    let mut slot_key = [0; 32];
    committed::extract(b"vault/v1/mek", &master_key)
        .expand(b"vault/v1/slot", &mut slot_key)
        .expect("32 bytes");
    let nonce = [7; 12];
    let header = [&[3, 1, 0, 0, 0, 0, 0, 1], nonce.as_slice()].concat();
    let binding = Binding {
        label: b"vault/v1/salt",
        header: &header,
        nonce: &nonce,
        context: &Context::of(&[Field::Id(SUBJECT)]),
    };
    let salt: Vec<u8> = (0xa0..0xb0).chain(0xa0..0xb0).collect();
    committed::seal(&committed::extract(&[], &slot_key), &binding, &salt)
}
