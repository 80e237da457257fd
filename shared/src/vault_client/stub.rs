//! A vault for tests of what its callers make of its answers.

use std::net::SocketAddr;

use poem::{IntoEndpoint, Route};
use rcgen::{KeyPair, PKCS_ED25519};
use reqwest::{Client, Url};
use serde_json::json;

use super::{VaultClient, VaultSettings};
use crate::{
    serve::{Edge, Limits, Server, Shutdown, Trigger},
    service_token::Signer,
};

/// A client of a vault that answers so at this path, in the clear, until the trigger is dropped.
pub(crate) async fn stub(
    path: &'static str,
    answers: impl IntoEndpoint<Endpoint: 'static>,
) -> (VaultClient, Trigger) {
    let document = json!({"paths": {path: {"post": {"operationId": "asked"}}}});
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(address, Limits::default()).await;
    let server = server.expect("a free port");
    let url = format!("http://{}", server.local_addr());
    let (trigger, shutdown) = Shutdown::manual();
    let edge = Edge::new(Route::new().at(path, answers), &document);
    tokio::spawn(server.run(edge, shutdown));
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let vault = VaultClient::new(VaultSettings {
        http: Client::builder().no_proxy().build().expect("a client"),
        url: Url::parse(&url).expect("a URL"),
        signer: Signer::from_pem("identity", &key.serialize_pem()).expect("a key"),
    });
    (vault, trigger)
}
