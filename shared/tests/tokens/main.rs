//! Attacks on access tokens, service tokens and the fetched keys behind them.

#[cfg(test)]
mod access;
mod bound;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod key_server;
#[cfg(test)]
mod remote_keys;
#[cfg(test)]
mod service;
#[cfg(test)]
mod signing;
