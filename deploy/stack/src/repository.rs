//! Where this repository is on disk.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.ancestors().nth(2).unwrap_or(member).to_path_buf()
});

/// The folder with the workspace's `Cargo.toml`. Cargo builds anew after a move, so the compiled-in path is the true one.
pub fn root() -> &'static Path {
    &ROOT
}
