//! `/api/import`: a journal out of a file.

use std::{pin::pin, sync::Arc, time::Duration};

use poem::{Body, Request, RequestBody, Result, web::Data};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi,
    param::Query,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef},
    types::Example,
};
use shared::{
    access_token::Caller,
    problem::Problem,
    serve::{Flow, Json},
};
use tokio::sync::mpsc;

use super::{
    Tag,
    journal_file::{NDJSON, incoming},
};
use crate::{
    Journal,
    import::{ImportError, Imported, begin, import},
};

/// The operation whose body is read as it arrives.
pub(super) const OPERATION: &str = "import_journal";
/// Ten years of an entry of 2 KiB a day with some twenty-five revisions of each, in two minutes, which is 18 Mbit/s. Longer would only keep
/// a connection from others.
pub(super) const FLOW: Flow = Flow {
    body: Duration::from_mins(2),
    total: Duration::from_mins(3),
    body_bytes: 256 << 20,
};

/// What an import has stored, or would.
#[derive(Object)]
#[oai(example)]
struct ImportReport {
    /// Whether nothing was stored because only this report was asked for.
    dry_run: bool,
    /// Records that were not there; the order of pillars is not counted.
    created: u64,
    /// Records that were there with the same content. They stay as they are.
    unchanged: u64,
    /// What entries that were not there had been before their edits.
    revisions: u64,
}

impl Example for ImportReport {
    fn example() -> Self {
        Self {
            dry_run: false,
            created: 365,
            unchanged: 0,
            revisions: 52,
        }
    }
}

/// A file of lines, unread.
struct JournalFile(Body);

impl<'a> ApiExtractor<'a> for JournalFile {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchema::new_with_format("string", "binary");
        Some(MetaRequest {
            description: Some("A file as an export with `format=ndjson` makes it."),
            content: vec![MetaMediaType {
                content_type: NDJSON,
                schema: MetaSchemaRef::Inline(Box::new(schema)),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let media_type = request.content_type().unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(NDJSON) {
            return Err(Problem(ImportError::MediaType).into());
        }
        Ok(Self(body.take()?))
    }
}

/// A journal out of a file.
pub(super) struct ImportApi;

#[OpenApi(prefix_path = "/api/import", tag = "Tag::Files")]
impl ImportApi {
    /// Import a journal
    ///
    /// Takes what an export with `format=ndjson` has made: every record gets the id, the times and the revision that it had.
    /// One that is there already with the same content stays as it is, so a file can be imported again. New pillars come behind
    /// those that are there, ordered as the file orders them. Revisions of an entry come with it, and not to one that is there
    /// already. All of it is stored, or, when anything is wrong with any line, nothing; with `dry_run` nothing in any case, and the answer is the same.
    ///
    /// A file has 256 MiB at most, 100,000 records and 150,000 revisions, lines of 7 MiB, and two minutes to arrive. An export with
    /// `revisions=false` is shorter. Try with `dry_run` before anything is deleted that is to come back.
    ///
    /// 400 `import_refused`: each of `errors` has the number of its line and a `code`: `malformed_json`, `invalid`,
    /// `line_too_long`, `unknown_type`, `unknown_format`, `missing_header`, `misplaced`, `duplicate` (an id comes twice),
    /// `unknown_entry` (a revision of an entry that no earlier line has; one that is not below the one before it, or of more than
    /// a hundred edits ago, is `misplaced`), `exists` (the id, the day or the week is there with other content), `unknown_pillar` (a score of a pillar that neither an
    /// earlier line nor the journal has), `too_many_pillars`, `too_many_records`, `too_many_revisions`, `truncated` (no trailer), `wrong_counts`.
    ///
    /// 409 `journal_changed`: what the file has was written, or a pillar deleted, while it was read; try again.
    #[oai(path = "/", method = "post", operation_id = "import_journal")]
    async fn import(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// Only look at the file and say what would be stored.
        #[oai(default = "not_dry")]
        dry_run: Query<bool>,
        file: JournalFile,
    ) -> Result<Json<ImportReport>, Problem<ImportError>> {
        let _slot = begin(&journal, &caller)?;
        // One batch waits while another is stored; then the client does.
        let (sender, lines) = mpsc::channel(1);
        let now = journal.clock.now();
        let mut reading = pin!(incoming::read(file.0, sender));
        let mut importing = pin!(import(&journal, &caller, lines, dry_run.0, now));
        let mut has_read = false;
        let imported = loop {
            tokio::select! {
                imported = &mut importing => break imported,
                () = &mut reading, if !has_read => has_read = true,
            }
        };
        // Clients listen when they have sent everything.
        if let (Err(ImportError::Refused(_)), false) = (&imported, has_read) {
            reading.await;
        }
        let Imported {
            created,
            unchanged,
            revisions,
        } = imported?;
        Ok(Json(ImportReport {
            dry_run: dry_run.0,
            created,
            unchanged,
            revisions,
        }))
    }
}

fn not_dry() -> bool {
    false
}
