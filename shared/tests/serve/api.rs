//! A small service that uses everything the real ones use.

#![expect(clippy::unused_async, reason = "poem-openapi wants async functions")]

use std::sync::Arc;

use poem::web::Data;
use poem::{Body, Request};
use poem_openapi::auth::Bearer;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Binary;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi, OpenApiService, SecurityScheme};
use shared::problem::{
    Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, Problem, UNAVAILABLE, Unexpected,
};
use shared::serve::{Json, Peer, RequestScope};
use tokio::sync::Notify;
use uuid::Uuid;

/// Lets a test hold a request inside its handler.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) entered: Notify,
    pub(crate) leave: Notify,
}

pub(crate) struct Api {
    pub(crate) gate: Arc<Gate>,
}

#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct Note {
    /// The title.
    #[oai(validator(min_length = 1, max_length = 20))]
    title: String,
    /// How urgent, 1 to 10.
    #[oai(validator(minimum(value = "1"), maximum(value = "10")))]
    urgency: Option<u32>,
    /// Labels.
    #[oai(default)]
    tags: Vec<String>,
}

impl Example for Note {
    fn example() -> Self {
        Self {
            title: "Water the plants".into(),
            urgency: Some(3),
            tags: vec!["home".into()],
        }
    }
}

#[derive(ApiResponse)]
enum Created {
    /// The note was created.
    #[oai(status = 201)]
    Created(
        Json<Note>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(Debug, thiserror::Error)]
enum NoteError {
    #[error("There is a note with this title.")]
    Taken,
    #[error("The title is not allowed.")]
    Title,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const TAKEN: Case = Case::new(409, "title_taken", "There is a note with this title");

impl Failure for NoteError {
    const CASES: &'static [Case] = &[TAKEN, INVALID_REQUEST, UNAVAILABLE, INTERNAL];

    fn case(&self) -> &'static Case {
        match self {
            Self::Taken => &TAKEN,
            Self::Title => &INVALID_REQUEST,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Title => vec![FieldError::body("title", "is not allowed")],
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("The token is not valid.")]
struct TokenError;

const TOKEN_INVALID: Case = Case::new(401, "token_invalid", "The token is not valid");

impl Failure for TokenError {
    const CASES: &'static [Case] = &[TOKEN_INVALID];

    fn case(&self) -> &'static Case {
        &TOKEN_INVALID
    }
}

/// The bearer token "ada" and no other.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "bearer", checker = "check")]
struct Caller(String);

async fn check(_: &Request, bearer: Bearer) -> poem::Result<String> {
    if bearer.token != "ada" {
        return Err(Problem(TokenError).into());
    }
    if let Some(scope) = RequestScope::current() {
        scope.set_user("ada");
    }
    Ok(bearer.token)
}

#[derive(Debug, Object)]
#[oai(example)]
struct Names {
    common_name: Option<String>,
    uris: Vec<String>,
}

impl Example for Names {
    fn example() -> Self {
        Self {
            common_name: Some("journal".into()),
            uris: vec!["spiffe://keystead/journal".into()],
        }
    }
}

#[OpenApi]
impl Api {
    /// Create a note
    #[oai(path = "/notes", method = "post", operation_id = "create_note")]
    async fn create(&self, body: Json<Note>) -> Result<Created, Problem<NoteError>> {
        match body.0.title.as_str() {
            "taken" => Err(NoteError::Taken)?,
            "odd" => Err(NoteError::Title)?,
            "away" => Err(NoteError::from(Unexpected::unavailable(
                "the shelf",
                std::time::Duration::from_millis(2_500),
            )))?,
            "bug" => {
                let cause = std::io::Error::other("secret-cause");
                Err(NoteError::from(
                    Unexpected::bug("secret-what").caused_by(cause),
                ))?;
            }
            _ => {}
        }
        Ok(Created::Created(body, "/notes/1".into()))
    }

    /// Create a note of one's own
    #[oai(path = "/mine", method = "post", operation_id = "create_own_note")]
    async fn create_own(&self, caller: Caller, body: Json<Note>) -> Json<Note> {
        let _ = caller.0;
        body
    }

    /// Keep a note until the test opens the gate
    #[oai(path = "/kept", method = "post", operation_id = "keep_note")]
    async fn keep(&self, body: Json<Note>) -> Json<Note> {
        self.gate.entered.notify_one();
        self.gate.leave.notified().await;
        body
    }

    /// Read a note
    #[oai(path = "/notes/:id", method = "get", operation_id = "read_note")]
    async fn read(
        &self,
        /// The note.
        id: Path<Uuid>,
        /// How much of it.
        limit: Query<Option<u32>>,
    ) -> Result<Json<Note>, Problem<NoteError>> {
        let _ = (id, limit);
        Ok(Json(Note::example()))
    }

    /// Who is calling
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Caller) -> Json<Names> {
        Json(Names {
            common_name: Some(caller.0),
            uris: Vec::new(),
        })
    }

    /// The names in the client certificate
    #[oai(path = "/peer", method = "get", operation_id = "peer")]
    async fn peer(&self, peer: Data<&Arc<Peer>>) -> Json<Names> {
        let certificate = peer.certificate.clone();
        Json(Names {
            common_name: certificate.as_ref().and_then(|it| it.common_name.clone()),
            uris: certificate.map(|it| it.uris).unwrap_or_default(),
        })
    }

    /// Stay until the test opens the gate
    #[oai(path = "/gate", method = "get", operation_id = "gate")]
    async fn gate(&self) -> Json<Names> {
        self.gate.entered.notify_one();
        self.gate.leave.notified().await;
        Json(Names::example())
    }

    /// An answer without end
    #[oai(path = "/endless", method = "get", operation_id = "endless")]
    async fn endless(&self) -> Binary<Body> {
        Binary(Body::from_async_read(tokio::io::repeat(b'x')))
    }

    /// Panic with a secret
    #[oai(path = "/panic", method = "get", operation_id = "panic")]
    async fn panic(&self) -> Json<Names> {
        panic!("secret-payload")
    }
}

pub(crate) fn service(gate: &Arc<Gate>) -> OpenApiService<Api, ()> {
    let api = Api {
        gate: Arc::clone(gate),
    };
    OpenApiService::new(api, "Notes", "1.0.0")
}
