//! A way to moto that shuts when a certain call comes: the program can then be killed in the midst of its work.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

/// How long a test waits for the call.
const CALLED_WITHIN: Duration = Duration::from_secs(120);

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never reaches AWS.
    Lost,
    /// It is done, and nobody hears of it.
    Unanswered,
}

/// A proxy in front of moto.
pub(crate) struct Gate {
    address: SocketAddr,
    called: Receiver<()>,
}

impl Gate {
    /// Lets everything through up to the call whose request has `mark` in it, such as `Action=RunInstances`.
    pub(crate) fn before(moto: SocketAddr, mark: &'static str, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, called) = channel();
        thread::spawn(move || {
            let shut = Arc::new(Mutex::new(false));
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(moto)) else { return };
                let (tell, shut) = (tell.clone(), Arc::clone(&shut));
                thread::spawn(move || forward(client, server, mark, fate, &tell, &shut));
            }
        });
        Self { address, called }
    }

    /// What `AWS_ENDPOINT_URL` is to be.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts the command, and kills it once it has made the call.
    #[track_caller]
    pub(crate) fn kill_at_the_call(&self, mut command: Command) {
        let mut child: Child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        let called = self.called.recv_timeout(CALLED_WITHIN);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(called.is_ok(), "the call was not made");
    }
}

fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    mark: &str,
    fate: Fate,
    tell: &Sender<()>,
    shut: &Mutex<bool>,
) {
    let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let silent = Arc::new(Mutex::new(false));
    let is_silent = Arc::clone(&silent);
    let (tell_answer, answer) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = answers.read(&mut buffer) {
            if *is_silent.lock().unwrap_or_else(PoisonError::into_inner) {
                let _ = tell_answer.send(());
                return;
            }
            if back.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
        let _ = back.shutdown(Shutdown::Write);
    });
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
        let found = seen.windows(mark.len()).any(|window| window == mark.as_bytes());
        let mut shut = shut.lock().unwrap_or_else(PoisonError::into_inner);
        if found || *shut {
            *silent.lock().unwrap_or_else(PoisonError::into_inner) = true;
            if !*shut && fate == Fate::Unanswered {
                let _ = server.write_all(&buffer[..length]);
                // moto has done it once it answers.
                let _ = answer.recv_timeout(CALLED_WITHIN);
            }
            *shut = true;
            let _ = tell.send(());
            // The client waits for an answer that never comes, until it is killed.
            let _ = client.read(&mut buffer);
            return;
        }
        drop(shut);
        if server.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}
