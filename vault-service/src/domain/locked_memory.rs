//! Pages for keys: never swapped out, never in a core dump, wiped before they are given back.

use std::io;

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// Anonymous memory of its own pages, so that locking it locks nothing else and freeing it frees
/// nothing that was copied.
pub(crate) struct LockedMemory {
    pages: MmapMut,
    locked: bool,
}

impl LockedMemory {
    /// Maps `length` zeroed bytes, at least one, and keeps them out of swap and core dumps.
    ///
    /// A system that grants no locked memory (`RLIMIT_MEMLOCK`) still gets pages that are not dumped;
    /// [`LockedMemory::is_locked`] tells, and so does `/readyz`.
    pub(crate) fn zeroed(length: usize) -> io::Result<Self> {
        let pages = MmapMut::map_anon(length.max(1))?;
        let undumped = pages.advise(Advice::DontDump).is_ok();
        let unswapped = pages.lock().is_ok();
        Ok(Self {
            pages,
            locked: undumped && unswapped,
        })
    }

    /// Whether the pages are out of reach of both swap and core dumps.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.pages
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.pages
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        self.pages.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_marks_the_pages_as_locked_and_not_dumped() {
        let memory = LockedMemory::zeroed(64).expect("memory is available");
        let start = format!("{:x}-", memory.bytes().as_ptr().addr());
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux tells its mappings");
        let flags = maps
            .lines()
            .skip_while(|line| !line.starts_with(&start))
            .find_map(|line| line.strip_prefix("VmFlags:"))
            .expect("the pages are a mapping of their own");
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        assert!(has("dd"), "dumped: {flags}");
        assert_eq!(
            has("lo"),
            memory.is_locked(),
            "lock state is told wrongly: {flags}"
        );
    }
}
