//! Limits stay limits whatever becomes of Redis.

use std::time::{Duration, Instant};

use stack::{Addresses, Redis, RedisCluster};

use crate::{
    replica::Replica,
    throttle::{knock, limited, statuses},
};

/// Far above the time Redis gets, far below what a person would call hanging; the machine may be busy.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_redis_that_dies_midway_changes_no_count_and_is_used_again_when_it_is_back() {
    let mut redis = Redis::for_a_test("").await.expect("a Redis starts");
    let region = limited(&redis.url(), &[]).await;
    let replica = region.start().await;
    replica.counts_in_redis().await;
    assert_eq!(statuses(&replica.service, 3).await, [401; 3]);

    redis.stop().await.expect("it stops");
    assert_eq!(statuses(&replica.service, 3).await, [401, 401, 429]);
    replica.counts_in_memory().await;
    assert_eq!(knock(&replica.service).await.status, 429);
    let counted = [
        "rate_limit_decisions_total",
        "operation=\"login\"",
        "source=\"memory\"",
        "outcome=\"refused\"",
    ];
    let metrics = replica.metrics().await;
    let told = |line: &str| counted.iter().all(|part| line.contains(part));
    assert!(metrics.lines().any(told), "{metrics}");

    // It comes back with nothing in it, and learns from the replica what it had forgotten.
    redis.resume().await.expect("it starts again");
    replica.counts_in_redis().await;
    assert_eq!(knock(&replica.service).await.status, 429);
    assert_eq!(redis.command("DBSIZE").await.expect("a number"), "1");
    let other = region.start().await;
    other.counts_in_redis().await;
    assert_eq!(knock(&other.service).await.status, 429);
}

#[tokio::test]
async fn without_redis_from_the_start_limits_hold_in_memory() {
    let mut redis = Redis::for_a_test("").await.expect("a Redis starts");
    let url = redis.url();
    redis.stop().await.expect("it stops");
    let region = limited(&url, &[]).await;
    let replica = region.start().await;
    assert_eq!(
        statuses(&replica.service, 6).await,
        [401, 401, 401, 401, 401, 429]
    );
    replica.counts_in_memory().await;
    region.clock.advance(time::Duration::minutes(3));
    let answer = knock(&replica.service).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("ratelimit"), Some("\"login\";r=0;t=180"));
    redis.resume().await.expect("it starts");
    replica.counts_in_redis().await;
    assert_eq!(knock(&replica.service).await.status, 429);
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up_and_lets_nobody_through() {
    let redis = Redis::for_a_test("").await.expect("a Redis starts");
    let region = limited(&redis.url(), &[("REDIS_TIMEOUT", "100ms")]).await;
    let replica = region.start().await;
    replica.counts_in_redis().await;
    assert_eq!(statuses(&replica.service, 2).await, [401; 2]);

    redis.hang();
    let begun = Instant::now();
    assert_eq!(statuses(&replica.service, 4).await, [401, 401, 401, 429]);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    replica.counts_in_memory().await;

    redis.wake();
    replica.counts_in_redis().await;
    assert_eq!(knock(&replica.service).await.status, 429);
}

#[tokio::test]
async fn a_flushed_redis_forgives_nothing_and_a_flushed_script_is_loaded_again() {
    let redis = Redis::for_a_test("").await.expect("a Redis starts");
    let region = limited(&redis.url(), &[]).await;
    let replica = region.start().await;
    replica.counts_in_redis().await;
    assert_eq!(statuses(&replica.service, 5).await, [401; 5]);
    redis.command("FLUSHALL").await.expect("it forgets");
    redis.command("SCRIPT FLUSH").await.expect("it forgets");
    assert_eq!(knock(&replica.service).await.status, 429);
    assert_eq!(redis.command("DBSIZE").await.expect("a number"), "1");
    replica.counts_in_redis().await;
}

#[tokio::test]
async fn tls_is_spoken_to_a_redis_whose_certificate_is_trusted_and_to_no_other() {
    let addresses = Addresses::of_the_test_run();
    let tls = |name: &str| {
        addresses
            .stack_dir
            .join("tls")
            .join(name)
            .display()
            .to_string()
    };
    let port = stack::ports::free().expect("a free port");
    let redis = Redis::for_a_test(&format!(
        "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no",
        tls("vault.pem"),
        tls("vault.key"),
        addresses.ca_file.display()
    ))
    .await
    .expect("a Redis starts");
    let plain = redis.url();
    let url = plain
        .replace("redis://", "rediss://")
        .replace(&format!(":{}/", redis.port()), &format!(":{port}/"));
    let authority = addresses.ca_file.display().to_string();
    let trusting = limited(&url, &[("REDIS_CA_FILE", &authority)]).await;
    let replica = trusting.start().await;
    replica.counts_in_redis().await;
    assert_eq!(
        statuses(&replica.service, 6).await,
        [401, 401, 401, 401, 401, 429]
    );

    let doubting = limited(&url, &[]).await;
    doubting.start().await.counts_in_memory().await;
}

/// The node that holds the one counter, and its key.
async fn holder(cluster: &RedisCluster) -> (usize, String) {
    for (index, node) in cluster.nodes().iter().enumerate() {
        let keys = node.command("KEYS *").await.expect("keys");
        if !keys.is_empty() {
            return (index, keys);
        }
    }
    panic!("no node holds the counter");
}

/// Moves the slot of a key, and the key with it, to the next node.
async fn migrate(cluster: &RedisCluster, from: usize, key: &str) {
    let nodes = cluster.nodes();
    let (source, target) = (&nodes[from], &nodes[(from + 1) % nodes.len()]);
    let slot = source
        .command(&format!("CLUSTER KEYSLOT {key}"))
        .await
        .expect("a slot");
    let (source_id, target_id) = tokio::join!(
        source.command("CLUSTER MYID"),
        target.command("CLUSTER MYID")
    );
    let (source_id, target_id) = (source_id.expect("an id"), target_id.expect("an id"));
    let password = source.url();
    let password = password
        .split([':', '@'])
        .nth(2)
        .expect("a password")
        .to_owned();
    let steps = [
        (
            target,
            format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"),
        ),
        (
            source,
            format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"),
        ),
        (
            source,
            format!(
                "MIGRATE 127.0.0.1 {} {key} 0 5000 AUTH {password}",
                target.port()
            ),
        ),
        (target, format!("CLUSTER SETSLOT {slot} NODE {target_id}")),
        (source, format!("CLUSTER SETSLOT {slot} NODE {target_id}")),
    ];
    for (node, step) in steps {
        node.command(&step).await.expect("a step of the migration");
    }
}

async fn clustered() -> (RedisCluster, Replica, crate::replica::Region) {
    let cluster = RedisCluster::for_a_test().await.expect("a cluster starts");
    let region = limited(&cluster.url(), &[]).await;
    let replica = region.start().await;
    replica.counts_in_redis().await;
    (cluster, replica, region)
}

#[tokio::test]
async fn a_cluster_counts_for_all_replicas_and_a_slot_that_moves_takes_its_count_along() {
    let (cluster, one, region) = clustered().await;
    let other = region.start().await;
    other.counts_in_redis().await;
    assert_eq!(statuses(&one.service, 2).await, [401; 2]);
    let (before, key) = holder(&cluster).await;
    migrate(&cluster, before, &key).await;
    assert_eq!(statuses(&other.service, 4).await, [401, 401, 401, 429]);
    assert_eq!(knock(&one.service).await.status, 429);
    let (after, _) = holder(&cluster).await;
    assert_ne!(before, after);
    one.counts_in_redis().await;
    other.counts_in_redis().await;
}

#[tokio::test]
async fn a_cluster_that_loses_a_master_changes_no_count_and_is_used_again_when_it_is_whole() {
    let (mut cluster, replica, _region) = clustered().await;
    assert_eq!(statuses(&replica.service, 3).await, [401; 3]);
    let (node, _) = holder(&cluster).await;
    cluster.nodes_mut()[node].stop().await.expect("it stops");
    assert_eq!(statuses(&replica.service, 3).await, [401, 401, 429]);
    replica.counts_in_memory().await;
    cluster.nodes_mut()[node]
        .resume()
        .await
        .expect("it starts again");
    cluster.ready().await.expect("the cluster is whole");
    replica.counts_in_redis().await;
    assert_eq!(knock(&replica.service).await.status, 429);
}
