//! The tunnel through a program instead of a socket: a stand-in of `session-manager-plugin` with its real arguments,
//! its lines for people, and its fault.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::BodyExt as _;
use irp_client::{
    Event, RunError,
    pipe::{Carried, Carrier, CarrierError, Opening, Pipe, Preparing},
};
use irp_testkit::{origin::Origin, patience::eventually, session_manager::SessionManagerPlugin};
use irp_wire::tasks::Tasks;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
};

use crate::edge::{AnyBody, Client, Edge, HOST, Setup, full, soon};

/// Starts the stand-in as `irp connect --via ssm` starts the real one.
#[derive(Debug)]
struct Sessions {
    plugin: SessionManagerPlugin,
    port: u16,
    ended: Arc<AtomicUsize>,
}

impl Sessions {
    fn to(port: u16, folder: &Path) -> Self {
        let plugin = SessionManagerPlugin::install(folder).unwrap();
        Self { plugin, port, ended: Arc::default() }
    }

    fn carried(&self) -> Carried {
        let session = json!({
            "SessionId": "alice-0123", "TokenValue": "secret",
            "StreamUrl": format!("ws://127.0.0.1:{}/v1/data-channel/alice-0123", self.port),
        });
        let request = json!({ "Target": "i-0abc", "DocumentName": "AWS-StartSSHSession" });
        let mut program = Command::new(self.plugin.program());
        program.args(["AWS_SSM_START_SESSION_RESPONSE", "eu-central-1", "StartSession", ""]);
        program.args([&request.to_string(), "https://ssm.eu-central-1.amazonaws.com"]);
        program.env("AWS_SSM_START_SESSION_RESPONSE", session.to_string());
        let ended = Arc::clone(&self.ended);
        let afterwards = Box::pin(async move {
            ended.fetch_add(1, Ordering::SeqCst);
        });
        Carried { program, afterwards }
    }

    /// Waits until every program that was started is gone, collected too, and was followed by its clean-up.
    async fn are_over(&self) {
        let exists = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
        let gone = || self.plugin.calls().iter().all(|call| !exists(call.pid));
        eventually("the programs to be gone", gone).await;
        let count = self.plugin.calls().len();
        eventually("the clean-up", || self.ended.load(Ordering::SeqCst) == count).await;
    }
}

impl Carrier for Sessions {
    fn way(&self) -> String {
        "Session Manager to i-0abc".into()
    }

    fn prepare(&self) -> Preparing<'_> {
        Box::pin(async { Ok(self.carried()) })
    }
}

/// A client that reaches `edge` through the stand-in, and nowhere else.
fn through(edge: &Edge, upstream: &str, sessions: &Arc<Sessions>) -> Setup {
    let mut setup = Setup::new(edge, upstream);
    setup.config.carrier = Some(Arc::clone(sessions) as _);
    // Nobody listens there.
    setup.config.connect_to = Some(([127, 0, 0, 1], 9).into());
    setup
}

fn post(path: &str, body: Vec<u8>) -> Request<AnyBody> {
    Request::post(format!("https://{HOST}{path}")).body(full(body)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn line_feeds_of_any_number_come_through_both_ways() {
    const ALL: usize = 64 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = TempDir::new().unwrap();
    let sessions = Sessions::to(listener.local_addr().unwrap().port(), folder.path());
    let tasks = Tasks::new();
    let pipe = Pipe::start(sessions.carried(), Opening::Ssh, &tasks).unwrap();

    let echo = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"SSH-").await.unwrap();
        let (mut read, mut write) = tcp.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    };
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let writing = async {
        let line_feeds = vec![b'\n'; 128 * 1024];
        // Around the size of a read and of a TLS record; whatever came before, no rest may be a line feed alone.
        let lengths = [22, 1023, 1024, 1025, 1026, 2047, 2048, 2049, 16_406, 65_536, 65_537, 100_001];
        let mut left = ALL;
        for length in lengths.into_iter().cycle() {
            // What is left at the end is more than one byte, as all that TLS and SSH flush.
            let length = if left < 200_000 { left.min(100_000) } else { length };
            writer.write_all(&line_feeds[..length]).await.unwrap();
            writer.flush().await.unwrap();
            left -= length;
            if left == 0 {
                break;
            }
        }
    };
    let reading = async {
        let mut room = vec![0; 64 * 1024];
        reader.read_exact(&mut room[..4]).await.unwrap();
        assert_eq!(&room[..4], b"SSH-");
        let mut seen = 0;
        while seen < ALL {
            let count = reader.read(&mut room).await.unwrap();
            assert!(count > 0, "it ended after {seen} bytes");
            assert!(room[..count].iter().all(|byte| *byte == b'\n'), "altered before {}", seen + count);
            seen += count;
        }
        assert_eq!(seen, ALL);
    };
    let both = async { tokio::join!(writing, reading) };
    let work = async {
        tokio::select! {
            _ = both => {}
            () = echo => panic!("the connection ended"),
        }
    };
    tokio::time::timeout(Duration::from_secs(120), work).await.unwrap();
    drop((reader, writer));
    sessions.are_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_through_session_manager_serves_has_no_lanes_and_leaves_nothing() {
    let origin = Origin::start();
    let edge = Edge::start().await;
    let folder = TempDir::new().unwrap();
    let sessions = Arc::new(Sessions::to(edge.address().port(), folder.path()));
    let mut client = through(&edge, &origin.port().to_string(), &sessions).start();
    let session = edge.accept_session().await;
    assert_eq!(session.applicant.request.lanes_max, 0);
    let via = |event| match event {
        Event::Connected { via, rtt, .. } => Some((via, rtt)),
        _ => None,
    };
    assert_eq!(client.event(via).await, ("Session Manager to i-0abc".into(), None));

    let body = vec![b'\n'; 8 * 1024 * 1024 + 1];
    let answer = session.send(post("/mirror", body.clone())).await;
    let echoed = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    assert!(echoed == body, "{} bytes came back", echoed.len());

    let call = sessions.plugin.calls().remove(0);
    assert!(call.by_variable && call.group, "{call:?}");
    end(client).await.unwrap();
    drop(session);
    sessions.are_over().await;
}

/// Asks the client to leave.
async fn end(client: Client) -> Result<(), RunError> {
    client.shutdown.cancel();
    client.ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_is_started_again_with_a_session_of_its_own() {
    let origin = Origin::start();
    let edge = Edge::start().await;
    let folder = TempDir::new().unwrap();
    let sessions = Arc::new(Sessions::to(edge.address().port(), folder.path()));
    let client = through(&edge, &origin.port().to_string(), &sessions).start();
    let first = edge.accept_session().await;
    first.cut();
    let second = edge.accept_session().await;
    assert_eq!(second.get("/").await.status(), 200);
    assert_eq!(sessions.plugin.calls().len(), 2);
    end(client).await.unwrap();
    sessions.are_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_is_given_up_and_killed() {
    let edge = Edge::start().await;
    let folder = TempDir::new().unwrap();
    let sessions = Arc::new(Sessions::to(edge.address().port(), folder.path()));
    sessions.plugin.set(&json!({ "hang": true })).unwrap();
    let mut setup = through(&edge, "1", &sessions);
    // Long enough for the stand-in to note its call, most of the time; if not, the next one does.
    setup.config.timeouts.carried_handshake = Duration::from_secs(2);
    let mut client = setup.start();
    eventually("a call", || !sessions.plugin.calls().is_empty()).await;
    let failed = |event| matches!(event, Event::Failed { .. }).then_some(());
    client.event(failed).await;
    end(client).await.unwrap();
    let exists = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
    eventually("all to be killed", || !sessions.plugin.calls().iter().any(|call| exists(call.pid))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_program_says_instead_of_connecting_is_told() {
    let edge = Edge::start().await;
    let folder = TempDir::new().unwrap();
    let sessions = Arc::new(Sessions::to(edge.address().port(), folder.path()));
    sessions.plugin.set(&json!({ "fails": "Cannot perform start session: EOF" })).unwrap();
    let mut client = through(&edge, "1", &sessions).start();
    let why = |event| match event {
        Event::Failed { why, .. } => Some(why),
        _ => None,
    };
    let why = client.event(why).await;
    assert!(why.contains("session-manager-plugin ended") && why.contains("start session: EOF"), "{why}");
    end(client).await.unwrap();
    sessions.are_over().await;
}

/// A carrier that never gets as far as a program.
#[derive(Debug)]
struct Refusing {
    lasting: bool,
}

impl Carrier for Refusing {
    fn way(&self) -> String {
        "Session Manager to i-0abc".into()
    }

    fn prepare(&self) -> Preparing<'_> {
        Box::pin(async {
            Err(match self.lasting {
                true => CarrierError::lasting("there is no session-manager-plugin").hint("install it"),
                false => CarrierError::passing("the agent is not connected")
                    .because(io::Error::other("TargetNotConnected")),
            })
        })
    }
}

#[tokio::test]
async fn what_a_person_must_mend_ends_the_client_and_what_may_pass_is_tried_again() {
    let edge = Edge::start().await;
    for lasting in [true, false] {
        let mut setup = Setup::new(&edge, "1");
        setup.config.carrier = Some(Arc::new(Refusing { lasting }));
        let mut client = setup.start();
        if lasting {
            let error = client.ended().await.unwrap_err();
            let RunError::Connect { source, .. } = &error else { panic!("{error:?}") };
            assert_eq!(source.to_string(), "there is no session-manager-plugin");
            continue;
        }
        for _ in 0..2 {
            let why = |event| match event {
                Event::Failed { why, .. } => Some(why),
                _ => None,
            };
            assert_eq!(client.event(why).await, "the agent is not connected: TargetNotConnected");
        }
        end(client).await.unwrap();
    }
}
