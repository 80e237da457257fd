//! What the memory of the running program gives away: to whoever kills it for a core, and to other processes.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read, Seek as _, SeekFrom},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, getrlimit, kill_process, prlimit};
use serde_json::json;
use shared::{envelope::committed, random};
use stack::until;
use zeroize::Zeroize as _;

use crate::{
    program::{PROGRAM, Program, listening, start_as},
    seal_keyring::{keyring, seal_with_passphrase},
    sealing::{opens_with_passphrase, ready, sealed},
    world::{World, somebody},
};

const LIMIT: Duration = Duration::from_secs(20);
/// Bytes of memory that are searched at a time.
const PIECE: usize = 64 << 10;
/// `nobody` on Debian, and somebody else.
const NOBODY: u32 = 65534;
const ANOTHER: u32 = 65533;

/// `Kwrap` of a master key with every bit turned over, so that the test itself does not hold what it looks for.
pub(crate) fn wrap_key_turned_over(master_key: &str) -> Vec<u8> {
    let mut key = hex::decode(master_key).expect("hexadecimal digits");
    let secret = committed::extract(b"vault/v1/mek", &key);
    key.zeroize();
    let mut wrap = vec![0; 32];
    secret
        .expand(b"vault/v1/wrap", &mut wrap)
        .expect("32 bytes");
    turned_over(&wrap)
}

fn turned_over(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

/// Where these bytes, turned over, are in what a process may write to.
pub(crate) fn places(process: &str, turned_over: &[u8]) -> Vec<u64> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("its mappings");
    let mut memory = File::open(format!("/proc/{process}/mem")).expect("its memory");
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, to) = range(line).expect("a mapping");
        memory.seek(SeekFrom::Start(from)).expect("its beginning");
        let places = search((&memory).take(to - from), turned_over);
        found.extend(places.iter().map(|place| from + place));
    }
    found
}

/// Where these bytes, turned over, are in what can be read, a piece at a time: an allocator sets a gigabyte aside of which hardly
/// anything is in use.
fn search(mut memory: impl Read, turned_over: &[u8]) -> Vec<u64> {
    // What lies across two pieces is found with the second one, which begins with the end of the first.
    let overlap = turned_over.len();
    let untouched = vec![0; overlap + PIECE];
    let mut bytes = untouched.clone();
    let mut before = 0;
    let mut found = Vec::new();
    loop {
        let read = match memory.read(&mut bytes[overlap..]) {
            // A mapping that has gone meanwhile ends with an error.
            Ok(0) => break,
            Err(why) if why.kind() != ErrorKind::Interrupted => break,
            read => read.unwrap_or_default(),
        };
        let piece = &bytes[..overlap + read];
        if *piece != untouched[..piece.len()] {
            let places = (before..).zip(piece.windows(overlap).skip(1));
            let places = places.filter(|(_, it)| is_turned_over(it, turned_over));
            found.extend(places.map(|(end, _)| end + 1 - overlap as u64));
        }
        bytes.copy_within(read..read + overlap, 0);
        before += read as u64;
    }
    // The copy must not be found in its turn.
    bytes.zeroize();
    found
}

fn is_turned_over(bytes: &[u8], turned_over: &[u8]) -> bool {
    bytes.iter().zip(turned_over).all(|(a, b)| *a == !*b)
}

/// From where to where a line of `maps` or `smaps` is about, if it begins a mapping.
fn range(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(from)?, number(to)?))
}

/// Root would read anything and writes anywhere, so it has programs run as somebody else. A plain user is one already.
fn is_root() -> bool {
    geteuid().is_root()
}

fn run_as(command: &mut Command, user: u32) {
    if is_root() {
        command.uid(user).gid(user);
    }
}

/// A vault, its key, and a program without its defences, both of one user who can write where they run.
struct Scene {
    world: World,
    key: String,
    home: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let key = hex::encode(random::bytes::<32>());
        let world = World::new().await.with_key_file(&key);
        let home = world.folder().join("home");
        fs::create_dir(&home).expect("a folder");
        // The build's folder may be closed to others, so the program comes along.
        let program = world.folder().join("vault-service");
        fs::copy(PROGRAM, &program).expect("a copy");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("its mode");
        if is_root() {
            for entry in fs::read_dir(world.folder()).expect("the folder").flatten() {
                chown(entry.path(), Some(NOBODY), Some(NOBODY)).expect("its owner");
            }
        }
        Self { world, key, home }
    }

    /// Runs it without a limit on cores, where the system permits that.
    fn command(&self, program: &Path, argument: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args([
                "-c",
                r#"ulimit -c unlimited 2>/dev/null || :; exec "$0" "$1""#,
            ])
            .arg(program)
            .arg(argument)
            .env_clear()
            .envs(&self.world.environment)
            .current_dir(&self.home);
        run_as(&mut command, NOBODY);
        command
    }

    /// A vault that has its keys and has used them, and its state of health.
    async fn vault(&self) -> (Program, serde_json::Value) {
        let program = self.world.folder().join("vault-service");
        let (program, log) = start_as(self.command(&program, "serve"));
        let vault = listening(&log).await;
        let identity = self.world.caller(&vault, "identity");
        let ada = somebody();
        let (wrapped, _) = identity.created(ada, "account").await;
        assert_eq!(identity.unwrap_one(ada, "account", &wrapped).await.0, "ok");
        let health = ready(&vault, 200).await;
        (program, health)
    }

    /// A program that takes no care of the key in its environment.
    async fn careless(&self, user: u32) -> Program {
        let mut command = self.command(Path::new("/bin/sleep"), "600");
        run_as(command.env("KEY", &self.key), user);
        let program = Program(command.spawn().expect("it starts"));
        let name = format!("/proc/{}/comm", program.0.id());
        until("it sleeps", LIMIT, async || {
            match fs::read_to_string(&name) {
                Ok(name) if name.trim() == "sleep" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .expect("in time");
        program
    }

    /// What a core of that process would be: any file in its folder, and one with its number where the kernel puts cores.
    fn cores(&self, pid: u32) -> Vec<PathBuf> {
        let pattern = core_pattern();
        let elsewhere = Path::new(&pattern).parent().unwrap_or(Path::new(""));
        let in_folder = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let with_its_number = in_folder(elsewhere).filter(|file| {
            file.file_name()
                .to_string_lossy()
                .contains(&pid.to_string())
        });
        let files = in_folder(&self.home).chain(with_its_number);
        files.map(|file| file.path()).collect()
    }
}

fn core_pattern() -> String {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern");
    pattern.expect("Linux tells it").trim().to_owned()
}

/// Whether any program that crashes leaves a core in its folder, and if not, why.
fn cores_are_left() -> Result<(), String> {
    let pattern = core_pattern();
    if pattern.is_empty() || pattern.starts_with(['|', '@']) || pattern.contains('/') {
        return Err(format!("the kernel gives cores to {pattern:?}"));
    }
    match getrlimit(Resource::Core).maximum {
        None => Ok(()),
        Some(limit) => Err(format!("cores are limited to {limit} bytes")),
    }
}

/// Sends it until it is dead: a program of Rust takes the first SIGSEGV for one of its own and goes on.
async fn killed(program: &mut Program, signal: Signal) -> ExitStatus {
    let pid = Pid::from_child(&program.0);
    until("dead", LIMIT, async || {
        kill_process(pid, signal).map_err(|error| error.to_string())?;
        program
            .0
            .try_wait()
            .ok()
            .flatten()
            .ok_or_else(|| "alive".to_owned())
    })
    .await
    .expect("it dies")
}

#[tokio::test]
async fn a_vault_that_crashes_leaves_no_core_where_another_program_does() {
    let scene = Scene::new().await;
    let mut careless = scene.careless(NOBODY).await;
    let crashed = killed(&mut careless, Signal::ABORT).await;
    match cores_are_left() {
        Ok(()) => {
            assert!(crashed.core_dumped(), "{crashed:?}");
            let left = scene.cores(careless.0.id());
            assert_eq!(left.len(), 1, "{left:?}");
            fs::remove_file(&left[0]).expect("removed");
        }
        Err(why) => eprintln!("only its limit and its owner say that a vault is not dumped: {why}"),
    }
    for signal in [Signal::ABORT, Signal::SEGV] {
        let (mut vault, health) = scene.vault().await;
        assert_eq!(health["checks"]["memory_dumps"], "off", "{health}");
        let pid = vault.0.id();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
        let mut limits = limits.lines();
        let core = limits.find(|line| line.starts_with("Max core file size"));
        let core: Vec<_> = core.expect("one of them").split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"]);
        // What the kernel does not dump belongs to root, whoever runs it.
        let owner = fs::metadata(format!("/proc/{pid}/environ"))
            .expect("it runs")
            .uid();
        assert_eq!(owner, 0);
        if is_root() && signal == Signal::SEGV {
            let none = Rlimit {
                current: None,
                maximum: None,
            };
            // Whose root has not every right, as in a container, tries it with the limit of zero.
            if let Err(why) = prlimit(Some(Pid::from_child(&vault.0)), Resource::Core, none) {
                assert_eq!(why.kind(), ErrorKind::PermissionDenied);
            }
        }
        let crashed = killed(&mut vault, signal).await;
        assert_eq!(crashed.signal(), Some(signal.as_raw()));
        assert!(!crashed.core_dumped(), "{signal:?}");
        assert_eq!(scene.cores(pid), Vec::<PathBuf>::new(), "{signal:?}");
    }
}

/// Writes all that it may read of the memory of a process to its standard output. It is told the mappings, so that it is no
/// obstacle when it may not see them itself.
const SEARCHER: &str = "
    while read -r range may rest; do
        case $may in r*) ;; *) continue ;; esac
        from=$((0x${range%-*} / 4096)) to=$((0x${range#*-} / 4096))
        dd if=/proc/$0/mem bs=4096 skip=$from count=$((to - from))
    done";

/// A process of that user that reads what it may of the memory of another one.
fn reader(user: u32, process: &Program) -> Program {
    let pid = process.0.id().to_string();
    // A plain user is refused here already.
    let mappings = File::open(format!("/proc/{pid}/maps"));
    let mut searcher = Command::new("/bin/sh");
    searcher.args(["-c", SEARCHER, &pid]);
    run_as(&mut searcher, user);
    searcher
        .stdin(mappings.map_or_else(|_| Stdio::null(), Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Program(searcher.spawn().expect("it runs"))
}

/// How often that process reads these bytes, turned over.
fn reads(user: u32, process: &Program, turned_over: &[u8]) -> usize {
    let mut reader = reader(user, process);
    let memory = reader.0.stdout.take().expect("what it reads");
    search(memory, turned_over).len()
}

#[tokio::test]
async fn no_process_of_its_user_or_of_another_reads_a_vault() {
    let scene = Scene::new().await;
    let (vault, _) = scene.vault().await;
    if is_root() {
        let wanted = wrap_key_turned_over(&scene.key);
        assert!(reads(0, &vault, &wanted) > 0, "the search finds nothing");
    }
    let careless_key = turned_over(scene.key.as_bytes());
    for thief in [NOBODY, ANOTHER] {
        let careless = scene.careless(thief).await;
        let found = reads(thief, &careless, &careless_key);
        assert!(found > 0, "the search of {thief} finds nothing");
        let mut reader = reader(thief, &vault);
        let mut memory = reader.0.stdout.take().expect("what it reads");
        let read = io::copy(&mut memory, &mut io::sink()).expect("all of it");
        assert_eq!(read, 0, "{thief} reads the vault");
    }
}

#[tokio::test]
async fn keys_lie_in_locked_pages_that_are_not_dumped_and_nowhere_else() {
    if !is_root() {
        eprintln!(
            "skipped: only root sees how the memory of a vault is mapped, which is as it should be"
        );
        return;
    }
    let scene = Scene::new().await;
    let (vault, health) = scene.vault().await;
    let pid = vault.0.id().to_string();
    let found = places(&pid, &wrap_key_turned_over(&scene.key));
    assert!(!found.is_empty(), "the search finds nothing");
    let mappings = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("root sees them");
    let is_locked = health["checks"]["key_memory"] == "locked";
    // It has inherited what this process may.
    let may_lock = getrlimit(Resource::Memlock).current;
    if may_lock.is_none_or(|bytes| bytes >= 1 << 20) {
        assert!(is_locked, "{health}");
    }
    for place in found {
        let mut lines = mappings.lines();
        let mapping =
            lines.find(|line| range(line).is_some_and(|(from, to)| (from..to).contains(&place)));
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags:"));
        let flags: Vec<_> = flags.expect("it has some").split_whitespace().collect();
        assert!(flags.contains(&"dd"), "{mapping:?} {flags:?}");
        assert_eq!(flags.contains(&"lo"), is_locked, "{mapping:?} {flags:?}");
    }
    let key = hex::decode(&scene.key).expect("hexadecimal digits");
    for master_key in [key.as_slice(), scene.key.as_bytes()] {
        assert_eq!(places(&pid, &turned_over(master_key)), Vec::<u64>::new());
    }
}

#[tokio::test]
async fn a_sealed_vault_has_no_key_left_in_its_memory() {
    let master_key = hex::encode(random::bytes::<32>());
    let world = World::new().await;
    seal_with_passphrase(&keyring(&world), &master_key);
    let world = sealed(world);
    let vault = world.start().await;
    let wanted = wrap_key_turned_over(&master_key);
    opens_with_passphrase(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    assert_eq!(identity.unwrap_one(ada, "account", &wrapped).await.0, "ok");
    assert!(
        !places("self", &wanted).is_empty(),
        "the search finds nothing"
    );
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!(closed.status, 200);
    assert_eq!(places("self", &wanted), Vec::<u64>::new());
}

#[tokio::test]
async fn a_key_file_vault_that_is_sealed_has_no_key_left_either() {
    let master_key = hex::encode(random::bytes::<32>());
    let world = World::new().await.with_key_file(&master_key);
    let vault = world.start().await;
    ready(&vault, 200).await;
    let wanted = wrap_key_turned_over(&master_key);
    assert!(
        !places("self", &wanted).is_empty(),
        "the search finds nothing"
    );
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!(closed.status, 200);
    assert_eq!(places("self", &wanted), Vec::<u64>::new());
}
