//! The cases that every operation shares: what the HTTP layer itself answers.

use super::Case;

/// The request does not have the required shape; `errors` says where.
pub const INVALID_REQUEST: Case = Case::new(
    400,
    "invalid_request",
    "The request does not have the required shape",
);
/// The body is not JSON (RFC 8259), or names a key twice.
pub const MALFORMED_JSON: Case = Case::new(400, "malformed_json", "The body is not valid JSON");
/// The message breaks HTTP itself (RFC 9112), for instance without `Host`.
pub const MALFORMED_REQUEST: Case =
    Case::new(400, "malformed_request", "The request is not valid HTTP");
/// No valid credential came with the request.
pub const UNAUTHORIZED: Case = Case::new(401, "unauthorized", "Authentication is required");
/// A token of ours that is for something else.
pub const WRONG_TOKEN_TYPE: Case =
    Case::refused_token("wrong_token_type", "Another type of token is needed here");
/// The caller is known and may not do this.
pub const FORBIDDEN: Case = Case::new(403, "forbidden", "This is not allowed");
/// No operation has this path.
pub const NOT_FOUND: Case = Case::new(404, "not_found", "There is nothing here");
/// The path exists, but not for this method; `Allow` lists the methods.
pub const METHOD_NOT_ALLOWED: Case = Case::new(
    405,
    "method_not_allowed",
    "This path does not answer to this method",
);
/// The body did not arrive in time.
pub const REQUEST_TIMEOUT: Case =
    Case::new(408, "request_timeout", "The request did not arrive in time");
/// The body is longer than this service reads.
pub const PAYLOAD_TOO_LARGE: Case = Case::new(413, "payload_too_large", "The body is too large");
/// The body is not `application/json`.
pub const UNSUPPORTED_MEDIA_TYPE: Case = Case::new(
    415,
    "unsupported_media_type",
    "The body has the wrong media type",
);
/// The client came too often; what it asked for has not been looked at.
pub const RATE_LIMITED: Case = Case::new(429, "rate_limited", "Too many requests");
/// What is stored was changed by something that is not this service; asking again changes nothing.
pub const RECORD_UNREADABLE: Case =
    Case::new(409, "record_unreadable", "What is stored does not open");
/// A bug, or a state that nobody foresaw.
pub const INTERNAL: Case = Case::new(500, "internal", "Something went wrong on our side");
/// Something this service needs is away; nothing was done.
pub const UNAVAILABLE: Case = Case::new(503, "unavailable", "The service is not available now");
/// The requests being answered hold as much as this service lets them; nothing was done.
pub const OVERLOADED: Case =
    Case::new(503, "overloaded", "The service is busy with other requests");
/// The request was given up after the total time limit; whether it took effect is not known, so
/// this is no 503 that clients repeat by themselves.
pub const TIMED_OUT: Case = Case::new(504, "timed_out", "The request took too long");
