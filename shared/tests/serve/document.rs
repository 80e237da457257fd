//! The API document is complete and says what the service does.

use std::sync::Arc;

use serde_json::json;
use shared::openapi;

use crate::api::service;

#[test]
fn dump() {
    let document = openapi::document(&service(&Arc::default()), &[]);
    println!("{}", openapi::text(&document));
    assert_eq!(openapi::missing(&document), Vec::<String>::new());
    let _ = json!(1);
}
