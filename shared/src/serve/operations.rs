//! Which operation a request means, by the API document: its name for logs and metrics, the methods
//! of its path for `Allow`, its parameters for error pointers.

use poem::http::Method;
use serde_json::Value;

use crate::problem::Parameter;

/// The operations of one endpoint. Their number bounds the labels of every metric.
#[derive(Debug, Default)]
pub(super) struct Operations(Vec<PathEntry>);

#[derive(Debug)]
struct PathEntry {
    segments: Vec<Segment>,
    operations: Vec<Operation>,
    allow: String,
}

#[derive(Debug, PartialEq)]
enum Segment {
    Fixed(String),
    Parameter,
}

/// One operation of the document.
#[derive(Debug)]
pub(super) struct Operation {
    method: Method,
    pub(super) id: String,
    /// In the order of the document.
    pub(super) parameters: Vec<Parameter>,
}

/// What the document says about a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Matched<'a> {
    /// The methods of the path, when the path is known.
    pub(super) allow: Option<&'a str>,
    pub(super) operation: Option<&'a Operation>,
}

impl Operations {
    pub(super) fn of(document: &Value) -> Self {
        let mut entries: Vec<_> = document
            .get("paths")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(path, item)| PathEntry::of(path, item))
            .collect();
        // A fixed segment wins over a parameter, as in poem's router.
        entries.sort_by_key(|entry| {
            entry
                .segments
                .iter()
                .map(|segment| *segment == Segment::Parameter)
                .collect::<Vec<_>>()
        });
        Self(entries)
    }

    pub(super) fn matching(&self, method: &Method, path: &str) -> Matched<'_> {
        let Some(entry) = self.0.iter().find(|entry| entry.matches(path)) else {
            return Matched::default();
        };
        // poem answers HEAD from GET.
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        Matched {
            allow: Some(&entry.allow),
            operation: entry
                .operations
                .iter()
                .find(|operation| operation.method == *wanted),
        }
    }
}

impl PathEntry {
    fn of(path: &str, item: &Value) -> Self {
        let operations: Vec<_> = item
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(method, operation)| Operation::of(method, operation))
            .collect();
        let mut methods: Vec<_> = operations.iter().map(|it| it.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        Self {
            segments: path.split('/').map(Segment::of).collect(),
            allow: methods.join(", "),
            operations,
        }
    }

    fn matches(&self, path: &str) -> bool {
        let mut given = path.split('/');
        let all = self
            .segments
            .iter()
            .all(|segment| match (segment, given.next()) {
                (Segment::Fixed(fixed), Some(given)) => fixed == given,
                (Segment::Parameter, Some(given)) => !given.is_empty(),
                (_, None) => false,
            });
        all && given.next().is_none()
    }
}

impl Segment {
    fn of(segment: &str) -> Self {
        if segment.starts_with('{') || segment.starts_with(':') {
            Self::Parameter
        } else {
            Self::Fixed(segment.to_owned())
        }
    }
}

impl Operation {
    fn of(method: &str, operation: &Value) -> Option<Self> {
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
        let parameters = operation
            .get("parameters")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        Some(Self {
            method,
            id: operation.get("operationId")?.as_str()?.to_owned(),
            parameters: parameters.filter_map(Parameter::of).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operations() -> Operations {
        Operations::of(&json!({"paths": {
            "/entries/{id}": {"get": {"operationId": "read"}, "put": {"operationId": "edit"}},
            "/entries/latest": {"get": {"operationId": "latest"}},
            "/entries": {"post": {"operationId": "create"}},
        }}))
    }

    fn id(method: &Method, path: &str) -> Option<String> {
        let operations = operations();
        operations
            .matching(method, path)
            .operation
            .map(|it| it.id.clone())
    }

    #[test]
    fn a_path_finds_its_operation_and_a_fixed_segment_wins() {
        assert_eq!(id(&Method::GET, "/entries/7").as_deref(), Some("read"));
        assert_eq!(id(&Method::HEAD, "/entries/7").as_deref(), Some("read"));
        assert_eq!(
            id(&Method::GET, "/entries/latest").as_deref(),
            Some("latest")
        );
        assert_eq!(id(&Method::POST, "/entries").as_deref(), Some("create"));
        for unknown in ["/entries/", "/entries/7/8", "/", "", "//entries"] {
            assert_eq!(id(&Method::GET, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn allow_lists_the_methods_of_a_known_path() {
        let operations = operations();
        let matched = operations.matching(&Method::DELETE, "/entries/7");
        assert_eq!(matched.allow, Some("GET, HEAD, PUT"));
        assert!(matched.operation.is_none());
        assert_eq!(operations.matching(&Method::GET, "/none").allow, None);
    }
}
