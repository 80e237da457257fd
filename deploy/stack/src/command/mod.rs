//! The subcommands, one file each.

pub(crate) mod bench;
pub(crate) mod interrupt;
pub(crate) mod mail;
pub(crate) mod openapi;
pub(crate) mod psql;
pub(crate) mod search;
pub(crate) mod test;
pub(crate) mod up;
pub(crate) mod vault;
