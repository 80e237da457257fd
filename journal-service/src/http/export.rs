//! `/api/export`: a journal as a file.

use std::sync::Arc;

use poem::{Body, IntoResponse, Response, http::header, web::Data};
use poem_openapi::{
    ApiResponse, Enum, OpenApi,
    param::Query,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};
use shared::{
    access_token::Caller,
    problem::{Failure, Problem, Unexpected},
};
use tokio::time::timeout;

use super::{
    Tag,
    feed::{Feed, Gone, feed},
    journal_file::{NDJSON, archive::ZIP, writer::Writer},
};
use crate::{
    Journal,
    domain::journal_file::Item,
    export::{Export, ExportError},
    rows::blocking,
};

/// How a journal is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum ExportFormat {
    /// One record a line, which an import takes again.
    Ndjson,
    /// A zip archive with a Markdown document for each record.
    Markdown,
}

impl ExportFormat {
    fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => NDJSON,
            Self::Markdown => ZIP,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Markdown => "zip",
        }
    }
}

/// A file on its way.
struct ExportedFile {
    format: ExportFormat,
    name: String,
    body: Body,
}

impl IntoResponse for ExportedFile {
    fn into_response(self) -> Response {
        let disposition = format!("attachment; filename=\"{}\"", self.name);
        Response::builder()
            .content_type(self.format.media_type())
            .header(header::CONTENT_DISPOSITION, disposition)
            .body(self.body)
    }
}

impl ApiResponse for ExportedFile {
    fn meta() -> MetaResponses {
        let content = [ExportFormat::Ndjson, ExportFormat::Markdown].map(|format| MetaMediaType {
            content_type: format.media_type(),
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format(
                "string", "binary",
            ))),
        });
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The file, as long as nothing breaks it off.",
                status: Some(200),
                status_range: None,
                content: content.into(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// A journal as a file.
pub(super) struct ExportApi;

#[OpenApi(prefix_path = "/api/export", tag = "Tag::Files")]
impl ExportApi {
    /// Export a journal
    ///
    /// `ndjson`: one JSON object a line. The first has the `type` `header` and names the version of the format, the last is a
    /// `trailer` and counts the records; between them everything that the person wrote, each record with its `type`: `pillar`,
    /// `pillar_order`, `score`, `entry`, `revision` (what an entry of an earlier line was before an edit, the newest first),
    /// `morning`, `evening`, `week_note`. An import takes such a file. `markdown`: a zip archive with a document for each record,
    /// with YAML in front; revisions are not in it.
    ///
    /// The file is made while it is sent. Each record that is there all the while comes exactly once, as it is when its turn
    /// comes; one that is written or deleted meanwhile may come or not.
    ///
    /// When something goes wrong on the way (a record does not open, the vault is away, the access token has expired), the
    /// connection breaks off: without its trailer, or the directory at the end of an archive, a file is not whole. A record that
    /// does not open is named by `/api/changes` and can be deleted; an order of pillars can be made anew. A
    /// revision that does not open is named by the revisions of its entry; with `revisions=false` an export goes without it.
    #[oai(path = "/", method = "get", operation_id = "export_journal")]
    async fn export(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// How it is written down.
        #[oai(default = "default_format")]
        format: Query<ExportFormat>,
        /// Whether what entries were before their edits comes, too.
        #[oai(default = "with_revisions")]
        revisions: Query<bool>,
    ) -> Result<ExportedFile, Problem<ExportError>> {
        let now = journal.clock.now();
        let format = format.0;
        let revisions = revisions.0 && format == ExportFormat::Ndjson;
        let mut export = Export::begin(&journal, caller, revisions)?;
        // What fails now still has an answer of its own.
        let first = export.next(now).await?;
        let (feed, body) = feed();
        tokio::spawn(write(export, first, Writer::new(format, now), feed));
        Ok(ExportedFile {
            format,
            name: format!("journal-{}.{}", now.date(), format.extension()),
            body,
        })
    }
}

fn default_format() -> ExportFormat {
    ExportFormat::Ndjson
}

fn with_revisions() -> bool {
    true
}

/// Why an export broke off.
enum Broken {
    Gone,
    /// The client took longer than its access token is good.
    TooSlow,
    Failed(ExportError),
}

impl From<Gone> for Broken {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<ExportError> for Broken {
    fn from(error: ExportError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unexpected> for Broken {
    fn from(error: Unexpected) -> Self {
        Self::Failed(error.into())
    }
}

async fn write(export: Export, first: Option<Vec<Item>>, writer: Writer, feed: Feed) {
    let user = export.user_id();
    let left = export.access_left(export.journal().clock.now());
    let written = timeout(left, written(export, first, writer, feed)).await;
    match written.unwrap_or(Err(Broken::TooSlow)) {
        Ok(()) => tracing::info!(user.id = %user, "journal exported"),
        Err(Broken::Gone) => tracing::info!(user.id = %user, "the client of an export went away"),
        Err(Broken::TooSlow) => {
            tracing::info!(user.id = %user, "the client of an export was too slow");
        }
        Err(Broken::Failed(error)) => {
            let cause = error.unexpected().map(Unexpected::chain);
            let code = error.case().code;
            tracing::error!(user.id = %user, code, error = cause, "an export broke off");
        }
    }
}

async fn written(
    mut export: Export,
    first: Option<Vec<Item>>,
    mut writer: Writer,
    feed: Feed,
) -> Result<(), Broken> {
    let mut page = first;
    while let Some(items) = page {
        let (after, bytes) = blocking(move || {
            let bytes = writer.put(items);
            (writer, bytes)
        })
        .await?;
        writer = after;
        feed.send(bytes?).await?;
        page = export.next(export.journal().clock.now()).await?;
    }
    feed.send(writer.end()?).await?;
    Ok(feed.end().await?)
}
