//! The end of somebody's journal, step by step, as identity asks for it.

pub(crate) mod close;
pub(crate) mod erase;
pub(crate) mod refusals;
pub(crate) mod reopen;
