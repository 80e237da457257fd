//! Telling our opaque tokens apart by their prefix.

/// Why a text is not a token of the type that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOurs {
    /// Another kind of token.
    WrongType,
    /// Made up, or changed.
    Invalid,
}

/// What comes after the prefix of the wanted type.
pub(crate) fn without_prefix<'a>(token: &'a str, prefix: &str) -> Result<&'a str, NotOurs> {
    token.strip_prefix(prefix).ok_or_else(|| {
        // A JWT is three parts and two dots; the other kinds carry our prefix.
        let another = token.starts_with("kst_") || token.split('.').count() == 3;
        if another {
            NotOurs::WrongType
        } else {
            NotOurs::Invalid
        }
    })
}
