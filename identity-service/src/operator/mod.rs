//! What an operator does from the command line, beside running services: one file per subcommand.

mod keys;
mod users;

pub use keys::KeysCommand;
pub use users::UsersCommand;
