//! The key of what belongs to no account yet, in a row that was changed: replaced once, and only when the vault says that
//! it does not open.

use stack::until;

use crate::{
    accounts::{PASSWORD, somebody},
    replica::Region,
    service::{PATIENCE, Service},
    vault_away::Line,
};

/// A bit of the text, of the version of the master key, and a row cut short.
const DAMAGES: [&str; 3] = [
    "set_byte(wrapped_key, 70, get_byte(wrapped_key, 70) # 1)",
    "set_byte(wrapped_key, 7, get_byte(wrapped_key, 7) # 64)",
    "substr(wrapped_key, 1, 20)",
];

impl Service {
    async fn damage_the_outbox_key(&self, damage: &str) {
        let sql =
            format!("UPDATE service_keys SET wrapped_key = {damage} WHERE purpose = 'outbox'");
        let changed = self.database().await.execute(&sql, &[]).await;
        assert_eq!(changed.expect("an update"), 1);
    }

    async fn outbox_key(&self) -> String {
        let sql = "SELECT key_id::text FROM service_keys WHERE purpose = 'outbox'";
        let row = self.database().await.query_one(sql, &[]).await;
        row.expect("exactly one").get(0)
    }

    /// Waits until sign-ups here wait under that key.
    async fn seals_under(&self, key: &str) {
        let under = format!("pending_signups WHERE service_key_id = '{key}'");
        let sealed = async || {
            let before = self.count(&under).await;
            assert_eq!(self.sign_up(&somebody(), PASSWORD).await.status, 202);
            let now = self.count(&under).await;
            (now > before).then_some(()).ok_or("under the one before")
        };
        let sealed = until("sign-ups under the new key", PATIENCE, sealed).await;
        sealed.expect("every replica looks at the table");
    }
}

#[tokio::test]
async fn one_that_does_not_open_is_replaced_and_all_replicas_use_the_same_new_one() {
    let region = Region::new().await;
    let first = region.start().await;
    first.service.account(&somebody(), PASSWORD).await;
    let mut known = vec![first.service.outbox_key().await];
    for damage in DAMAGES {
        // Copies that run, and two that start, at once.
        first.service.damage_the_outbox_key(damage).await;
        let (second, third) = tokio::join!(region.start(), region.start());
        let replicas = [&first, &second, &third].map(|replica| &replica.service);
        let replaced = async || {
            let now = first.service.outbox_key().await;
            if known.contains(&now) {
                Err(now)
            } else {
                Ok(now)
            }
        };
        let now = until("another key", PATIENCE, replaced).await;
        let now = now.expect("a worker replaces it");
        for service in replicas {
            service.seals_under(&now).await;
        }
        for service in replicas {
            service.account(&somebody(), PASSWORD).await;
        }
        assert_eq!(first.service.outbox_key().await, now, "{damage}");
        known.push(now);
    }
    let keys = i64::try_from(known.len()).expect("few");
    assert_eq!(first.service.count("service_keys").await, keys);
}

#[tokio::test]
async fn one_that_nobody_can_open_for_now_stays() {
    let line = Line::to_the_vault().await;
    let region = Region::with(&[("VAULT_URL", &line.url)]).await;
    let running = region.start().await;
    let identity = &running.service;
    identity.account(&somebody(), PASSWORD).await;
    let key = identity.outbox_key().await;
    line.cut();
    // It is in memory as it was, and not as it is now.
    identity.damage_the_outbox_key(DAMAGES[0]).await;
    let refused = async || match identity.sign_up(&somebody(), PASSWORD).await.status {
        503 => Ok(()),
        status => Err(status),
    };
    let refused = until("another look at the table", PATIENCE, refused).await;
    refused.expect("nothing is sealed under a key that cannot be opened");
    identity.damage_the_outbox_key(DAMAGES[0]).await;
    line.mend();
    identity.account(&somebody(), PASSWORD).await;
    assert_eq!(identity.outbox_key().await, key);
    assert_eq!(identity.count("service_keys").await, 1);
}
