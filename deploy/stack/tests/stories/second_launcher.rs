//! Two launchers at once.

use rustix::process::Signal;

use crate::launcher::{Folder, Launcher};

#[tokio::test]
async fn a_second_one_in_the_same_folder_says_why_not_and_harms_nothing() {
    let folder = Folder::new("twice");
    let mut first = Launcher::spawn(&folder).ready().await;
    let said_by_first = first.said();
    let other = Folder::new("output of the second");
    let mut second = Launcher::spawn_in(&other, first.data_dir());
    let status = second.ended().await;
    assert_eq!(status.code(), Some(1));
    let said = second.said();
    assert!(said.contains("already running"), "{said}");
    assert!(
        said.contains(&format!("process {}", first.variable("STACK_PID"))),
        "{said}"
    );
    first.signal(Signal::INT);
    assert!(first.ended().await.success(), "{said_by_first}");
}

#[tokio::test]
async fn a_second_one_in_another_folder_works_beside_the_first() {
    let here = Folder::new("here");
    let there = Folder::with_the_ports_of("there", &here);
    let mut first = Launcher::spawn(&here).ready().await;
    let mut second = Launcher::spawn(&there).ready().await;
    assert!(
        second.said().contains("is taken: using"),
        "{}",
        second.said()
    );
    assert_ne!(
        first.variable("IDENTITY_URL"),
        second.variable("IDENTITY_URL")
    );
    assert_ne!(
        first.variable("DATABASE_URL_VAULT"),
        second.variable("DATABASE_URL_VAULT")
    );
    for launcher in [&mut first, &mut second] {
        launcher.signal(Signal::INT);
        assert!(launcher.ended().await.success(), "{}", launcher.said());
    }
}
