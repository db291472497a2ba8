//! What is left when the edge stops, or drops a connection: nothing. Alone in its program, since it looks at all
//! children of this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sshd_world;

use irp_testkit::openssh::{descendants, is_running};
use sshd_world::{World, until};
use tokio::{net::TcpStream, sync::Mutex};

/// Each test looks at all children of this process, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn no_sshd_outlives_the_edge() {
    let _turn = TURN.lock().await;
    let mut world = World::new().await;
    let mut client = world.client();
    world.present().await;
    // One that has not authenticated, too.
    let waiting = TcpStream::connect(world.public).await.unwrap();
    waiting.writable().await.unwrap();
    waiting.try_write(b"SSH-2.0-waiting\r\n").unwrap();
    until("two connections are served", || sshds().len() >= 3).await;

    world.shut_down().await;
    assert_eq!(sshds(), Vec::<u32>::new());
    until("the client sees the end", || client.peer().child().try_wait().unwrap().is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_that_is_dropped_ends_its_sshd() {
    let _turn = TURN.lock().await;
    let mut world = World::new().await;
    let mut client = world.client();
    world.present().await;
    let pids = descendants(std::process::id());
    world.tasks.abort_all();
    while world.tasks.join_next().await.is_some() {}
    until("the client sees the end", || client.peer().child().try_wait().unwrap().is_some()).await;
    let session = pids.into_iter().filter(|pid| is_sshd(*pid));
    for pid in session {
        until("sshd ends", || !is_running(pid)).await;
    }
}

fn sshds() -> Vec<u32> {
    descendants(std::process::id()).into_iter().filter(|pid| is_sshd(*pid) && is_running(*pid)).collect()
}

fn is_sshd(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("sshd"))
}
