//! A network that lets nothing out but a proxy: `HTTPS_PROXY` and `NO_PROXY` of a person's environment.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use irp_testkit::{origin::Origin, patience::eventually_blocking, process::find};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    acme::{Issuing, issuing_root},
    edge::Edge,
    program::{Running, free_port, irp},
};

/// Names of this machine would be reached without any proxy.
const NAME: &str = "bot.irp.test";

/// `alice:open sesame` in Base64.
const LOGIN: &str = "Proxy-Authorization: Basic YWxpY2U6b3BlbiBzZXNhbWU=";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_through_the_proxy_of_its_environment_except_where_it_must_not() {
    let home = TempDir::new().unwrap();
    let port = free_port();
    let issuing = Issuing::for_tls(home.path(), NAME, (Ipv4Addr::LOCALHOST, port).into()).await;
    let edge = Edge::start_at(home.path(), port, &issuing.tables, |_| {});
    let root = issuing_root(&issuing.pebble, home.path());
    eventually_blocking("the certificate is there", || edge.status(&root, NAME) == Some(503));

    let (origin, proxy) = (Origin::start(), Proxy::start(edge.address).await);
    let (host, upstream) = (edge.host(NAME), origin.port().to_string());
    let arguments = ["--json", "connect", &host, &upstream, "--cacert", &root];
    let setting = format!("http://alice:open%20sesame@{}", proxy.address);
    // No name server knows the name, but the proxy does.
    let mut command = irp(home.path(), &arguments);
    command.env("HTTPS_PROXY", &setting).env("NO_PROXY", "other.test,10.0.0.0/8");
    let mut client = Running::start(command, home.path().join("client.log"));
    let connected = client.event("connected");
    assert_eq!(connected["via"], format!("proxy {}", proxy.address));
    assert_eq!(edge.status(&root, NAME), Some(200));
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    // The control connection and its lanes, all with the login, which is nowhere in what was printed.
    let asked = proxy.asked();
    let target = format!("CONNECT {host} HTTP/1.1\r\n");
    assert!(!asked.is_empty() && asked.iter().all(|head| head.starts_with(&target)), "{asked:?}");
    assert!(asked.iter().all(|head| head.contains(LOGIN)), "{asked:?}");
    let log = fs::read_to_string(home.path().join("client.log")).unwrap();
    assert!(!log.contains("sesame"), "{log}");

    let mut command = knowing(home.path(), NAME, Ipv4Addr::LOCALHOST.into(), irp(home.path(), &arguments));
    command.env("HTTPS_PROXY", &setting).env("NO_PROXY", "other.test,.irp.test");
    let mut client = Running::start(command, home.path().join("client.log"));
    client.event("connected");
    assert_eq!(edge.status(&root, NAME), Some(200));
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    assert_eq!(proxy.asked().len(), asked.len(), "the proxy was asked");
    edge.stop();
}

/// Has `command` find `name` at this address, by an `/etc/hosts` of its own; this needs root.
pub(crate) fn knowing(home: &Path, name: &str, address: IpAddr, command: Command) -> Command {
    let hosts = home.join("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost\n{address} {name}\n")).unwrap();
    let mut inside = Command::new(find("unshare", "util-linux").unwrap());
    let script = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
    inside.args(["--mount", "sh", "-c", script, "sh"]).arg(hosts);
    inside.arg(command.get_program()).args(command.get_args()).env_clear();
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    inside.current_dir(home);
    inside
}

/// A proxy that knows one way, whatever it is asked for, and remembers the questions.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    async fn start(edge: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let mut accepting = JoinSet::new();
        let questions = Arc::clone(&asked);
        accepting.spawn(async move {
            let mut carrying = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                carrying.spawn(carry(stream, edge, Arc::clone(&questions)));
            }
        });
        Self { address, asked, _accepting: accepting }
    }

    /// The heads of all requests so far.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn carry(mut near: TcpStream, edge: SocketAddr, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await.ok()?);
    }
    asked.lock().unwrap().push(String::from_utf8(head).unwrap());
    let mut far = TcpStream::connect(edge).await.ok()?;
    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut near, &mut far).await.ok()?;
    Some(())
}
