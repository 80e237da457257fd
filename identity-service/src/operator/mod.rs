//! What an operator does from the command line, beside running services: one file per subcommand.

mod audit;
mod doctor;
mod keys;
mod table;
mod users;

pub use doctor::run_doctor;
pub use keys::KeysCommand;
pub use users::UsersCommand;
