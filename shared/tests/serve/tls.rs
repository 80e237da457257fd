//! Who may come in over TLS, and what handlers learn about them.

use serde_json::json;
use shared::serve::{ClientCertificates, Limits, server_config};
use tokio::io::AsyncReadExt;

use crate::host::{Files, Host};

const GET: &str = "GET /peer HTTP/1.1\r\nHost: here\r\n\r\n";

#[tokio::test]
async fn the_names_of_a_client_certificate_reach_the_handler() {
    let files = Files::make("names");
    let clients = ClientCertificates::Required(files.authority());
    let host = Host::tls(Limits::default(), &files, clients).await;
    let mut raw = files
        .connect(host.address, Some("journal"), "http/1.1")
        .await
        .expect("TLS");
    raw.send(GET).await;
    let answer = raw.answer().await;
    assert_eq!(
        answer.json(),
        json!({"common_name": "journal", "uris": ["spiffe://keystead/journal"]})
    );
    answer.assert_secured();
}

#[tokio::test]
async fn without_a_certificate_of_the_right_ca_nobody_is_served() {
    let files = Files::make("wrong_ca");
    let clients = ClientCertificates::Required(files.authority());
    let host = Host::tls(Limits::default(), &files, clients).await;
    for client in [None, Some("stranger")] {
        let Ok(mut raw) = files.connect(host.address, client, "http/1.1").await else {
            continue;
        };
        // TLS 1.3: the client is done before the server has looked at its certificate.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0, GET.as_bytes()).await;
        let mut said = Vec::new();
        let end = raw.0.read_to_end(&mut said).await;
        assert!(end.is_err() && said.is_empty(), "{client:?} was served");
    }
}

#[tokio::test]
async fn an_optional_certificate_is_optional_but_must_be_right() {
    let files = Files::make("optional");
    let clients = ClientCertificates::Optional(files.authority());
    let host = Host::tls(Limits::default(), &files, clients).await;
    let mut raw = files
        .connect(host.address, None, "http/1.1")
        .await
        .expect("TLS");
    raw.send(GET).await;
    assert_eq!(
        raw.answer().await.json(),
        json!({"common_name": null, "uris": []})
    );
    let stranger = files
        .connect(host.address, Some("stranger"), "http/1.1")
        .await;
    if let Ok(mut raw) = stranger {
        assert!(
            raw.0.read_u8().await.is_err(),
            "a certificate of another CA"
        );
    }
}

#[tokio::test]
async fn http_2_and_http_1_1_both_answer_over_tls() {
    let files = Files::make("protocols");
    let host = Host::tls(Limits::default(), &files, ClientCertificates::Ignored).await;
    let url = format!("https://localhost:{}/peer", host.address.port());
    for (protocol, version) in [
        ("h2", reqwest::Version::HTTP_2),
        ("http/1.1", reqwest::Version::HTTP_11),
    ] {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(files.client_config(None, protocol))
            .build()
            .expect("a client");
        for _ in 0..3 {
            let response = client.get(&url).send().await.expect("an answer");
            assert_eq!(response.version(), version);
            assert_eq!(response.status(), 200);
            assert!(response.headers().contains_key("x-request-id"));
        }
    }
}

#[tokio::test]
async fn http_2_with_prior_knowledge_answers_on_a_plain_socket() {
    let host = Host::plain(Limits::default()).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let url = format!("http://{}/peer", host.address);
    let response = client.get(url).send().await.expect("an answer");
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.status(), 200);
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let files = Files::make("misfit");
    let (chain, key) = (files.certificate("server"), files.key("journal"));
    assert!(server_config(chain, key, ClientCertificates::Ignored).is_err());
}
