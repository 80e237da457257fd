//! What an operator does from the command line, beside running services: one file per subcommand.

mod users;

pub use users::UsersCommand;
