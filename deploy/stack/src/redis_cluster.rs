//! A private Redis Cluster of three masters, for a test.

use std::time::Duration;

use crate::secrets::random_hex;
use crate::{Failure, Redis, ports, until};

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;
/// Until every node knows every other and all slots are served.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Three masters without replicas. Dropping it stops them.
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    pub async fn for_a_test() -> Result<Self, Failure> {
        let mut nodes = Vec::new();
        // One for all, as clients expect of a cluster.
        let password = random_hex(16)?;
        for _ in 0..MASTERS {
            let bus = ports::free()?;
            let further =
                format!("cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout 1000");
            let node = Redis::of_its_own(password.clone(), &further).await?;
            nodes.push((node, bus));
        }
        Self::join(&nodes).await?;
        let nodes = nodes.into_iter().map(|(node, _)| node).collect();
        let cluster = Self { nodes };
        cluster.ready().await?;
        Ok(cluster)
    }

    async fn join(nodes: &[(Redis, u16)]) -> Result<(), Failure> {
        for (index, (node, _)) in nodes.iter().enumerate() {
            let (first, end) = (index * SLOTS / MASTERS, (index + 1) * SLOTS / MASTERS);
            let slots = format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1);
            node.command(&slots).await?;
            for (other, bus) in nodes.iter().skip(index + 1) {
                let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port());
                node.command(&meet).await?;
            }
        }
        Ok(())
    }

    /// Returns when every node serves all of the cluster.
    pub async fn ready(&self) -> Result<(), Failure> {
        until("the cluster", READY_LIMIT, async || {
            for node in &self.nodes {
                let info = node.command("CLUSTER INFO").await?;
                let known = format!("cluster_known_nodes:{MASTERS}");
                if !(info.contains("cluster_state:ok") && info.contains(&known)) {
                    return Err(Failure::new(info));
                }
            }
            Ok(())
        })
        .await
    }

    /// All nodes, as a client is told.
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(Redis::url).collect();
        urls.join(",")
    }

    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    pub fn nodes_mut(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }
}
