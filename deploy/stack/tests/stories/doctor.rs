//! `doctor` of every service, while its neighbours go away one after the other.

use stack::{Service, Stack};

const SERVICES: [Service; 3] = [Service::Vault, Service::Identity, Service::Journal];

/// What a service's doctor says, and whether it exits with 0.
async fn examined(stack: &Stack, service: Service) -> (bool, String) {
    match stack.run(service, &["doctor"]).await {
        Ok(told) => (true, told),
        Err(failure) => {
            let told = failure.to_string();
            assert!(told.contains("exit status: 1"), "{told}");
            (false, told)
        }
    }
}

/// That these checks of a service fail and no others, and that it tells so by its exit code.
async fn failing(stack: &Stack, service: Service, expected: &[&str]) {
    let (well, told) = examined(stack, service).await;
    let failed: Vec<_> = told
        .lines()
        .filter_map(|line| line.strip_prefix("FAIL  "))
        .map(|line| line.get(..14).unwrap_or_default().trim())
        .collect();
    assert_eq!(failed, expected, "{} says {told}", service.name());
    assert_eq!(well, expected.is_empty(), "{told}");
    assert!(told.contains("settings"), "{told}");
}

#[tokio::test]
async fn each_doctor_names_what_is_away_and_finds_all_well_when_it_is_back() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    for service in SERVICES {
        failing(&stack, service, &[]).await;
    }

    stack.stop_redis().await.unwrap();
    failing(&stack, Service::Identity, &["redis"]).await;
    failing(&stack, Service::Journal, &[]).await;
    stack.start_redis().await.unwrap();

    stack.stop_service(Service::Identity).await.unwrap();
    failing(&stack, Service::Journal, &["identity keys"]).await;
    // The vault has to start before identity can.
    failing(&stack, Service::Vault, &[]).await;
    stack.start_service(Service::Identity).await.unwrap();

    stack.stop_service(Service::Vault).await.unwrap();
    failing(&stack, Service::Identity, &["vault"]).await;
    failing(&stack, Service::Journal, &["vault"]).await;
    stack.start_service(Service::Vault).await.unwrap();

    stack.stop_postgres().await.unwrap();
    failing(&stack, Service::Vault, &["database", "master keys"]).await;
    let lost = ["database", "secret", "signing keys", "outbox"];
    failing(&stack, Service::Identity, &lost).await;
    failing(&stack, Service::Journal, &["database"]).await;
    stack.start_postgres().await.unwrap();

    for service in SERVICES {
        failing(&stack, service, &[]).await;
    }
}

#[tokio::test]
async fn a_doctor_names_what_lets_a_crash_take_back_what_was_acknowledged() {
    let careless = Stack::for_a_test().start().await.unwrap();
    let (well, told) = examined(&careless, Service::Journal).await;
    let off = "off in Postgres";
    assert!(well && told.contains(off), "{told}");
    for name in ["fsync", "full_page_writes", "synchronous_commit"] {
        assert!(told.contains(name), "{told}");
    }
    let durable = Stack::for_a_test().durable().start().await.unwrap();
    let (_, told) = examined(&durable, Service::Journal).await;
    assert!(!told.contains(off), "{told}");
}

#[tokio::test]
async fn the_vaults_doctor_knows_a_master_key_that_is_not_its_databases() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let other = "f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff01";
    stack.set("MASTER_ENCRYPTION_KEY", other);
    failing(&stack, Service::Vault, &["master keys"]).await;
    let (_, told) = examined(&stack, Service::Vault).await;
    assert!(
        told.contains("version 1") && !told.contains(other),
        "{told}"
    );
}
