//! What an operator does from the command line, beside running services: one file per subcommand.

mod keys;
mod table;
mod users;

pub use keys::KeysCommand;
pub use users::UsersCommand;
