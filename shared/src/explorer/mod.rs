//! The API explorer: Swagger UI as separate files, because a page with inline scripts would not pass
//! the content security policy. Everything is in the program; nothing is loaded from elsewhere.

use poem::http::{Method, header};
use poem::{Body, Request, Response};
use serde_json::Value;

use crate::openapi;

/// Path, media type, encoding and content. The large ones are compressed in the repository and stay
/// in the program's read-only pages: a page that nobody opens takes no memory.
const FILES: [(&str, &str, Option<&str>, &[u8]); 4] = [
    (
        "/docs",
        "text/html; charset=utf-8",
        None,
        include_bytes!("index.html"),
    ),
    (
        "/docs/init.js",
        "text/javascript; charset=utf-8",
        None,
        include_bytes!("init.js"),
    ),
    (
        "/docs/swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
        Some("gzip"),
        include_bytes!("swagger-ui-bundle.js.gz"),
    ),
    (
        "/docs/swagger-ui.css",
        "text/css; charset=utf-8",
        Some("gzip"),
        include_bytes!("swagger-ui.css.gz"),
    ),
];

/// Answers `/docs` and `/openapi.json`.
#[derive(Debug)]
pub(crate) struct Explorer {
    document: &'static str,
}

impl Explorer {
    /// Made once per process: the document lives as long as the program.
    pub(crate) fn new(document: &Value) -> Self {
        Self {
            document: Box::leak(openapi::text(document).into_boxed_str()),
        }
    }

    /// Whether the request is for one of these pages.
    pub(crate) fn serves(&self, request: &Request) -> bool {
        self.answer(request).is_some()
    }

    /// `None` when the request is for something else.
    pub(crate) fn answer(&self, request: &Request) -> Option<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let path = request.uri().path();
        if path == "/openapi.json" {
            return Some(
                Response::builder()
                    .content_type("application/json")
                    .body(self.document),
            );
        }
        let path = if path == "/docs/" { "/docs" } else { path };
        let (_, media_type, encoding, content) = FILES.iter().find(|(at, ..)| *at == path)?;
        let mut response = Response::builder()
            .content_type(*media_type)
            .header(header::CACHE_CONTROL, "public, max-age=3600");
        if let Some(encoding) = encoding {
            response = response.header(header::CONTENT_ENCODING, *encoding);
        }
        Some(response.body(Body::from(*content)))
    }
}
