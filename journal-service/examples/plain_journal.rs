//! What `cargo stack bench journal` compares the journal with: writing and listing entries behind the same accept loop, access
//! tokens, JSON and query, with everything kept in clear and no key asked for. Reads `LISTEN_ADDR` and what the journal reads
//! of its database and of tokens, makes a table of its own, and serves until SIGTERM.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc};

use poem::{EndpointExt as _, web::Data};
use poem_openapi::{ApiResponse, Object, OpenApi, OpenApiService, param::Query};
use serde_json::json;
use shared::{
    access_token::{Caller, Verification, VerifierSettings},
    clock::Clock,
    postgres::Pool,
    problem::{Problem, Unexpected},
    random,
    serve::{AllowedOrigins, Edge, Json, Limits, Server, Shutdown},
    settings::{Problems, Reader, parsed, postgres_url, process_environment},
    telemetry::{LogLevel, install},
};
use time::{Date, OffsetDateTime};
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

/// Laid out as the journal's own, and nothing is compressed, as what is sealed cannot be. One table is followed like the
/// journal's, by the same trigger; in the other an insert is an insert and nothing else.
const TABLES: &str = "CREATE TABLE plain_entries (
    user_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    date date NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    mood smallint,
    tags text[] NOT NULL,
    pillar_ids uuid[] NOT NULL,
    completed boolean NOT NULL,
    PRIMARY KEY (user_id, entry_id)
);
CREATE INDEX plain_entries_by_day ON plain_entries (user_id, date DESC, entry_id DESC);
ALTER TABLE plain_entries ALTER COLUMN title SET STORAGE EXTERNAL, ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE plain_entries SET (toast_tuple_target = 4080);
CREATE TABLE bare_entries (LIKE plain_entries INCLUDING ALL);
ALTER TABLE bare_entries SET (toast_tuple_target = 4080);
CREATE TRIGGER entries_added AFTER INSERT ON plain_entries
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_entries()";

/// As many of a page's as the journal sends.
const BYTES: i64 = 4 << 20;

/// An entry as it is written.
#[derive(Object)]
struct Draft {
    date: Date,
    #[oai(validator(max_length = 200))]
    title: String,
    #[oai(validator(max_length = 1_048_576))]
    body: String,
    #[oai(validator(minimum(value = "1"), maximum(value = "10")))]
    mood: Option<i16>,
    #[oai(
        default,
        validator(max_items = 32, unique_items, min_length = 1, max_length = 64)
    )]
    tags: Vec<String>,
    #[oai(default, validator(max_items = 20, unique_items))]
    pillar_ids: Vec<Uuid>,
    #[oai(default)]
    completed: bool,
}

/// An entry as it is shown.
#[derive(Object)]
struct Entry {
    id: Uuid,
    date: Date,
    title: String,
    body: String,
    #[oai(skip_serializing_if_is_none)]
    mood: Option<i16>,
    tags: Vec<String>,
    pillar_ids: Vec<Uuid>,
    completed: bool,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

#[derive(Object)]
struct EntryPage {
    entries: Vec<Entry>,
    unreadable: Vec<Uuid>,
    #[oai(skip_serializing_if_is_none)]
    next: Option<String>,
}

#[derive(ApiResponse)]
enum Created {
    #[oai(status = 201)]
    Entry(
        Json<Entry>,
        #[oai(header = "Location")] String,
        #[oai(header = "ETag")] String,
    ),
}

struct Api;

/// What is written into the table that nobody follows.
struct BareApi;

#[OpenApi(prefix_path = "/api/bare-entries")]
impl BareApi {
    #[oai(path = "/", method = "post", operation_id = "create_bare_entry")]
    async fn create(
        &self,
        caller: Caller,
        pool: Data<&Pool>,
        clock: Data<&Clock>,
        body: Json<Draft>,
    ) -> Result<Created, Problem<Unexpected>> {
        created(
            "bare_entries",
            &caller,
            &pool,
            Entry::of(body.0, clock.now()),
        )
        .await
    }
}

#[OpenApi(prefix_path = "/api/entries")]
impl Api {
    #[oai(path = "/", method = "post", operation_id = "create_entry")]
    async fn create(
        &self,
        caller: Caller,
        pool: Data<&Pool>,
        clock: Data<&Clock>,
        body: Json<Draft>,
    ) -> Result<Created, Problem<Unexpected>> {
        created(
            "plain_entries",
            &caller,
            &pool,
            Entry::of(body.0, clock.now()),
        )
        .await
    }

    #[oai(path = "/", method = "get", operation_id = "list_entries")]
    async fn list(
        &self,
        caller: Caller,
        pool: Data<&Pool>,
        to: Query<Date>,
        limit: Query<u32>,
    ) -> Result<Json<EntryPage>, Problem<Unexpected>> {
        let db = pool.get().await?;
        let page = page(&*db, caller.user_id().uuid(), to.0, limit.0).await?;
        Ok(Json(page))
    }
}

impl Entry {
    fn of(draft: Draft, now: OffsetDateTime) -> Self {
        Self {
            id: random::uuid_v7(now),
            date: draft.date,
            title: draft.title,
            body: draft.body,
            mood: draft.mood,
            tags: draft.tags,
            pillar_ids: draft.pillar_ids,
            completed: draft.completed,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

async fn created(
    table: &str,
    caller: &Caller,
    pool: &Pool,
    entry: Entry,
) -> Result<Created, Problem<Unexpected>> {
    insert(&*pool.get().await?, table, caller.user_id().uuid(), &entry).await?;
    let location = format!("/api/entries/{}", entry.id);
    let tag = format!("\"{}\"", entry.revision);
    Ok(Created::Entry(Json(entry), location, tag))
}

async fn insert(
    db: &impl GenericClient,
    table: &str,
    user: Uuid,
    entry: &Entry,
) -> Result<(), Unexpected> {
    let sql = format!(
        "INSERT INTO {table} (user_id, entry_id, date, revision, created_at, updated_at, title, body, mood, tags, pillar_ids,
                              completed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    db.execute_typed(
        &sql,
        &[
            (&user, Type::UUID),
            (&entry.id, Type::UUID),
            (&entry.date, Type::DATE),
            (&entry.revision, Type::INT8),
            (&entry.created_at, Type::TIMESTAMPTZ),
            (&entry.updated_at, Type::TIMESTAMPTZ),
            (&entry.title, Type::TEXT),
            (&entry.body, Type::TEXT),
            (&entry.mood, Type::INT2),
            (&entry.tags, Type::TEXT_ARRAY),
            (&entry.pillar_ids, Type::UUID_ARRAY),
            (&entry.completed, Type::BOOL),
        ],
    )
    .await?;
    Ok(())
}

/// The journal's own query for a page, on another table.
async fn page(
    db: &impl GenericClient,
    user: Uuid,
    to: Date,
    limit: u32,
) -> Result<EntryPage, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT entry_id, date, revision, created_at, updated_at, taken, mood, tags, pillar_ids, completed,
                    CASE WHEN taken THEN title END AS title, CASE WHEN taken THEN body END AS body
             FROM (
                SELECT *, row_number() OVER listed <= $3
                          AND (row_number() OVER listed = 1 OR
                               sum(octet_length(title) + octet_length(body)) OVER listed <= $4) AS taken
                FROM (
                    SELECT * FROM plain_entries WHERE user_id = $1 AND date <= $2
                    ORDER BY date DESC, entry_id DESC LIMIT $3 + 1
                ) AS candidates
                WINDOW listed AS (ORDER BY date DESC, entry_id DESC)
             ) AS page
             ORDER BY date DESC, entry_id DESC",
            &[
                (&user, Type::UUID),
                (&to, Type::DATE),
                (&i64::from(limit), Type::INT8),
                (&BYTES, Type::INT8),
            ],
        )
        .await?;
    let mut entries = Vec::new();
    let mut more = false;
    for row in &rows {
        if row.try_get("taken")? {
            entries.push(read(row)?);
        } else {
            more = true;
        }
    }
    let last = entries.last().filter(|_| more);
    Ok(EntryPage {
        next: last.map(|last| last.id.to_string()),
        entries,
        unreadable: Vec::new(),
    })
}

fn read(row: &Row) -> Result<Entry, Unexpected> {
    Ok(Entry {
        id: row.try_get("entry_id")?,
        date: row.try_get("date")?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        mood: row.try_get("mood")?,
        tags: row.try_get("tags")?,
        pillar_ids: row.try_get("pillar_ids")?,
        completed: row.try_get("completed")?,
        revision: row.try_get("revision")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn main() -> ExitCode {
    match read_settings() {
        Ok(settings) => match serve(settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = error.chain(), "no plain journal");
                ExitCode::FAILURE
            }
        },
        Err(problems) => problems.report(),
    }
}

struct Settings {
    address: SocketAddr,
    pool: Pool,
    people: VerifierSettings,
}

fn read_settings() -> Result<Settings, Problems> {
    let mut env = Reader::new(&process_environment);
    let address = env.required("LISTEN_ADDR", parsed("an address with a port"));
    let database = env.secret("DATABASE_URL", postgres_url);
    let people = VerifierSettings::read(&mut env);
    env.finish(|| {
        Some(Settings {
            address: address?,
            pool: Pool::new(&database?).ok()?,
            people: people?,
        })
    })
}

#[tokio::main]
async fn serve(settings: Settings) -> Result<(), Unexpected> {
    let bug = |error: &dyn std::fmt::Display| Unexpected::bug(error.to_string());
    let version = env!("CARGO_PKG_VERSION");
    install("journal", version, LogLevel::INFO, io::stdout()).map_err(|error| bug(&error))?;
    settings.pool.get().await?.batch_execute(TABLES).await?;
    let server = Server::bind(settings.address, Limits::default()).await;
    let server = server.map_err(|error| bug(&error))?;
    let shutdown = Shutdown::on_signals().map_err(|error| bug(&error))?;
    let clock = Clock::system();
    let verification = Verification {
        verifier: Arc::new(settings.people.verifier(&clock)),
        clock: clock.clone(),
        origins: AllowedOrigins::default(),
    };
    let document = json!({"paths": {"/api/entries": {
        "post": {"operationId": "create_entry"},
        "get": {"operationId": "list_entries"},
    }, "/api/bare-entries": {
        "post": {"operationId": "create_bare_entry"},
    }}});
    let service = OpenApiService::new((Api, BareApi), "plain", version);
    let service = service.data(settings.pool).data(clock).data(verification);
    server.run(Edge::new(service, &document), shutdown).await;
    Ok(())
}
