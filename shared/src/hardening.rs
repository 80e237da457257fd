//! Keeps secrets out of core dumps and away from other processes of the same user.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
    setrlimit,
};

/// Forbids core dumps and `ptrace` by other processes. To be called before the first secret is read.
///
/// Neither call fails on a plain kernel; should one, the service still runs and `/readyz`, which asks the
/// kernel, tells.
pub fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Whether the kernel says that this process is never dumped nor traced.
pub(crate) fn is_hardened() -> bool {
    let undumpable = matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    undumpable && getrlimit(Resource::Core).current == Some(0)
}
