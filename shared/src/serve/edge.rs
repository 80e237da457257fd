//! The outermost layer of an endpoint: every request gets an id, its limits and one log line; every
//! answer the security headers; every failure, whoever made it, becomes a problem.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use poem::middleware::CatchPanic;
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::body::{Budget, bounded, check_length, flowing};
use super::client_address::{ClientAddress, TrustedProxies};
use super::limits::{Flow, Limits};
use super::operations::{Matched, Operations};
use super::origins::{AllowedOrigins, Cors};
use super::peer::Peer;
use super::request_scope::RequestScope;
use super::security_headers;
use crate::explorer::Explorer;
use crate::problem::{
    Case, Details, Framework, INTERNAL, MALFORMED_REQUEST, OVERLOADED, TIMED_OUT, body_refused,
};

const HEADER_TOO_LARGE: Case = Case::new(
    431,
    "header_too_large",
    "The request has too many header fields",
);

/// The label of a request that no operation answers.
const UNMATCHED: &str = "unmatched";
/// The label of every method that HTTP does not name.
const OTHER: &str = "other";

/// Whether the operation of that name answers this client at all.
type Gate = Box<dyn Fn(&str, ClientAddress) -> Admission + Send + Sync>;
type Admission = Pin<Box<dyn Future<Output = poem::Result<()>> + Send>>;

/// An endpoint with everything around it that all services share. Give it to [`super::Server::run`].
pub struct Edge {
    endpoint: BoxEndpoint<'static>,
    operations: Operations,
    origins: AllowedOrigins,
    explorer: Option<Explorer>,
    limits: Limits,
    flows: Vec<(&'static str, Flow)>,
    trusted_proxies: TrustedProxies,
    gate: Option<Gate>,
    budget: Budget,
    quiet: bool,
}

impl Edge {
    /// Puts the edge around an API; `document` comes from [`crate::openapi::document`].
    pub fn new(endpoint: impl IntoEndpoint<Endpoint: 'static>, document: &Value) -> Self {
        let endpoint = endpoint
            .into_endpoint()
            .with(CatchPanic::new().with_handler(panicked))
            .boxed();
        let limits = Limits::default();
        Self {
            endpoint,
            operations: Operations::of(document),
            origins: AllowedOrigins::default(),
            explorer: None,
            budget: Budget::new(limits.held_bytes),
            limits,
            flows: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            gate: None,
            quiet: false,
        }
    }

    /// Serves the API explorer at `/docs` and the document at `/openapi.json`.
    #[must_use]
    pub fn with_explorer(self, document: &Value) -> Self {
        Self {
            explorer: Some(Explorer::new(document)),
            ..self
        }
    }

    #[must_use]
    pub(super) fn with_trusted_proxies(self, trusted_proxies: TrustedProxies) -> Self {
        Self {
            trusted_proxies,
            ..self
        }
    }

    /// Asks `gate` with the operation's id before the request's body is read: who is refused costs nothing
    /// more. Its future runs in the request's scope.
    #[must_use]
    pub fn with_gate<F, W>(self, gate: F) -> Self
    where
        F: Fn(&str, ClientAddress) -> W + Send + Sync + 'static,
        W: Future<Output = poem::Result<()>> + Send + 'static,
    {
        Self {
            gate: Some(Box::new(move |operation, client| {
                Box::pin(gate(operation, client))
            })),
            ..self
        }
    }

    /// Lets the handler of the operation of that name read its body as it arrives, within limits of its own.
    #[must_use]
    pub fn with_flow(mut self, operation: &'static str, flow: Flow) -> Self {
        self.flows.push((operation, flow));
        self
    }

    /// Lets the pages of these origins call with a person's cookies and read the answers.
    #[must_use]
    pub fn with_cors(self, origins: AllowedOrigins) -> Self {
        Self { origins, ..self }
    }

    /// Logs requests only at `debug`, failures apart: for probes that come every few seconds.
    #[must_use]
    pub(super) fn quiet(self) -> Self {
        Self {
            quiet: true,
            ..self
        }
    }

    #[must_use]
    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self {
            budget: Budget::new(limits.held_bytes),
            limits,
            ..self
        }
    }

    /// The label of logs and metrics: one of a bounded set.
    fn name<'a>(&self, request: &Request, matched: Matched<'a>) -> &'a str {
        match matched.operation {
            Some(operation) => &operation.id,
            None if self.explorer.as_ref().is_some_and(|it| it.serves(request)) => "explorer",
            None => UNMATCHED,
        }
    }

    async fn answer(
        &self,
        mut request: Request,
        matched: Matched<'_>,
        client: ClientAddress,
    ) -> Result<Response, Details> {
        self.check_header(&request)?;
        name_host(&mut request);
        if let Some(page) = self.explorer.as_ref().and_then(|it| it.answer(&request)) {
            return Ok(page);
        }
        let held = self.budget.admit(request.headers()).map_err(body_refused)?;
        let flow = matched.operation.and_then(|it| self.flow(&it.id));
        // Where nothing will read the body, 404 and 405 say more than its length.
        if let Some(operation) = matched.operation {
            self.admit(&operation.id, client).await?;
            request.set_data(client);
            let most = flow.map_or(self.limits.body_bytes, |flow| flow.body_bytes);
            check_length(request.headers(), most).map_err(body_refused)?;
        }
        let request = match flow {
            Some(flow) => flowing(request, flow),
            None => bounded(request, &self.limits, &held),
        };
        let total = flow.map_or(self.limits.total, |flow| flow.total);
        let answered = timeout(total, self.endpoint.call(request)).await;
        let framework = Framework {
            allow: matched.allow,
            parameters: matched.operation.map_or(&[], |it| it.parameters.as_slice()),
        };
        match answered {
            Ok(Ok(response)) => match response.data::<Details>() {
                Some(details) => Err(details.clone()),
                None => Ok(response),
            },
            Ok(Err(error)) if error.data::<Details>().is_none() && error.is_from_response() => {
                Ok(error.into_response())
            }
            Ok(Err(error)) => Err(framework.details(&error)),
            Err(_) => Err(Details::new(
                &TIMED_OUT,
                "It was given up; whether it took effect is not known.",
            )
            .caused_by("the total time limit passed")),
        }
    }

    async fn admit(&self, operation: &str, client: ClientAddress) -> Result<(), Details> {
        let Some(gate) = &self.gate else {
            return Ok(());
        };
        let asked = gate(operation, client).await;
        asked.map_err(|error| Framework::default().details(&error))
    }

    /// RFC 9112 §3.2: an HTTP/1.1 request has exactly one `Host`. hyper limits the fields of HTTP/1.1
    /// only.
    fn check_header(&self, request: &Request) -> Result<(), Details> {
        let hosts = request.headers().get_all(header::HOST).iter().count();
        if request.version() == Version::HTTP_11 && hosts != 1 {
            return Err(Details::new(
                &MALFORMED_REQUEST,
                "Exactly one Host header is required.",
            ));
        }
        // Not a list (RFC 9110 §5.3): whoever is asked in between may have looked at the other one.
        let credentials = request.headers().get_all(header::AUTHORIZATION).iter();
        if credentials.count() > 1 {
            return Err(Details::new(
                &MALFORMED_REQUEST,
                "At most one Authorization header is allowed.",
            ));
        }
        if request.headers().len() > self.limits.header_fields {
            return Err(Details::new(&HEADER_TOO_LARGE, "Send fewer header fields."));
        }
        Ok(())
    }

    fn flow(&self, operation: &str) -> Option<Flow> {
        let found = self.flows.iter().find(|(name, _)| *name == operation);
        found.map(|(_, flow)| *flow)
    }
}

impl Endpoint for Edge {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let scope = RequestScope::new(request.headers());
        let matched = self
            .operations
            .matching(request.method(), request.uri().path());
        let peer = request.data::<Arc<Peer>>().cloned();
        let seen = Seen {
            started: Instant::now(),
            operation: self.name(&request, matched),
            method: known_method(&request),
            client: self.client(&request, peer.as_deref()),
            peer,
        };
        let cors = Cors::of(
            &self.origins,
            request.method(),
            request.headers(),
            matched.allow,
        );
        let answered = if cors.is_preflight() {
            Ok(StatusCode::NO_CONTENT.into())
        } else {
            let answering = self.answer(request, matched, seen.client);
            Arc::clone(&scope).run(answering).await
        };
        let mut response = self.finish(&seen, &scope, answered);
        cors.set(response.headers_mut());
        Ok(response)
    }
}

/// What the log line says about the request itself.
struct Seen<'a> {
    started: Instant,
    operation: &'a str,
    method: &'static str,
    client: ClientAddress,
    peer: Option<Arc<Peer>>,
}

impl Edge {
    /// The answer to a message that is no request, which hyper refuses with this status.
    pub(super) fn refuse(&self, status: StatusCode, peer: &Arc<Peer>) -> Response {
        let none = HeaderMap::new();
        let seen = Seen {
            started: Instant::now(),
            operation: UNMATCHED,
            method: OTHER,
            client: ClientAddress::of(peer.address, &none, &self.trusted_proxies),
            peer: Some(Arc::clone(peer)),
        };
        let details = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                Details::new(&HEADER_TOO_LARGE, "Send a shorter header.")
            }
            _ => Details::new(&MALFORMED_REQUEST, "The message breaks HTTP/1.1."),
        };
        self.finish(&seen, &RequestScope::new(&none), Err(details))
    }

    /// Gives an answer what every answer has, and records it.
    fn finish(
        &self,
        seen: &Seen<'_>,
        scope: &RequestScope,
        answered: Result<Response, Details>,
    ) -> Response {
        let (mut response, problem) = match answered {
            Ok(response) => (response, None),
            Err(details) => (details.render(scope.request_id()), Some(details)),
        };
        let headers = response.headers_mut();
        headers.extend(scope.take_headers());
        security_headers::set(headers);
        let id = HeaderValue::from_str(scope.request_id()).expect("hex is a header value");
        headers.insert("x-request-id", id);
        self.record(seen, scope, &response, problem.as_ref());
        response
    }

    /// A request without a peer is one that a test made without a socket.
    fn client(&self, request: &Request, peer: Option<&Peer>) -> ClientAddress {
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let peer = peer.map_or(nobody, |it| it.address);
        ClientAddress::of(peer, request.headers(), &self.trusted_proxies)
    }

    /// The one line per request. Never the path, which holds ids and what attackers send, nor query,
    /// headers or bodies.
    fn record(
        &self,
        seen: &Seen<'_>,
        scope: &RequestScope,
        response: &Response,
        problem: Option<&Details>,
    ) {
        let elapsed = seen.started.elapsed();
        let status = response.status().as_u16();
        let operation = seen.operation.to_owned();
        metrics::histogram!("http_request_duration_seconds", "operation" => operation.clone())
            .record(elapsed);
        metrics::counter!("http_requests_total", "operation" => operation,
            "method" => seen.method, "status" => status.to_string())
        .increment(1);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    operation = seen.operation,
                    method = seen.method,
                    status,
                    duration_ms = elapsed.as_secs_f64() * 1_000.0,
                    request_id = scope.request_id(),
                    trace_id = scope.trace_id(),
                    user.id = scope.user_id(),
                    peer = seen
                        .peer
                        .as_ref()
                        .map(|it| tracing::field::display(it.address.ip())),
                    client = %seen.client.ip(),
                    caller = seen.peer.as_ref().and_then(|it| it
                        .certificate
                        .as_ref()?
                        .common_name
                        .as_deref()),
                    code = problem.map(|it| it.case.code),
                    error = problem.and_then(|it| it.cause.as_deref()),
                    "request"
                )
            };
        }
        let shed = problem.is_some_and(|it| it.case.code == OVERLOADED.code);
        match status {
            // Anybody who comes often enough can bring it about.
            500.. if shed => line!(warn),
            // "Not ready" is an answer of the ops port, not a failure of it.
            500.. if !self.quiet || problem.is_some() => line!(error),
            _ if self.quiet => line!(debug),
            _ => line!(info),
        }
    }
}

/// The authority of the request line or of HTTP/2 is the host that is asked, whatever `Host` says (RFC 9112 §3.2.2, RFC
/// 9113 §8.3.1): from here on it stands in `Host`, so that there is one place to look.
fn name_host(request: &mut Request) {
    let authority = request.uri().authority().map(|it| it.as_str().parse());
    if let Some(Ok(host)) = authority {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// A method that a client makes up must not become a label.
fn known_method(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    }
}

fn panicked(_payload: Box<dyn Any + Send>) -> Details {
    // The hook of `telemetry` has logged the place; the payload may hold anything.
    Details::new(
        &INTERNAL,
        "The failure has been recorded under the request id.",
    )
    .caused_by("a handler panicked")
}
