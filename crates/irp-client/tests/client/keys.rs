//! Keys made and held by OpenSSH's own programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use irp_client::keys::{
    agent::{AgentError, AgentSigner, identities},
    file::{KeyFileError, generate, public_half, read, read_or_generate},
};
use irp_testkit::process::{Peer, find};
use irp_wire::key::{PublicKey, Signer as _};
use secrecy::SecretString;

const PACKAGE: &str = "openssh-client";

fn ssh_keygen(file: &Path, kind: &str, passphrase: &str, more: &[&str]) {
    let made = Command::new(find("ssh-keygen", PACKAGE).unwrap())
        .args(["-q", "-t", kind, "-C", "alice@laptop", "-N", passphrase, "-f"])
        .arg(file)
        .args(more)
        .status();
    assert!(made.unwrap().success());
}

fn public(file: &Path) -> PublicKey {
    std::fs::read_to_string(file.with_extension("pub")).unwrap().parse().unwrap()
}

#[test]
fn keys_of_ssh_keygen_are_read_plain_and_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    ssh_keygen(&plain, "ed25519", "", &[]);
    let key = read(&plain, |_| panic!("asked for a passphrase")).unwrap();
    assert_eq!(key.public_key(), public(&plain));

    let locked = folder.path().join("locked");
    ssh_keygen(&locked, "ed25519", "open sesame", &[]);
    let mut answers = ["wrong", "open sesame"].into_iter();
    let key = read(&locked, |file| {
        assert_eq!(file, locked);
        Some(SecretString::from(answers.next().unwrap()))
    });
    assert_eq!(key.unwrap().public_key(), public(&locked));
    assert_eq!(public_half(&locked).unwrap(), public(&locked));

    let mut asked = 0;
    let error = read(&locked, |_| {
        asked += 1;
        Some(SecretString::from("wrong"))
    });
    assert!(matches!(error, Err(KeyFileError::Passphrase { .. })));
    assert_eq!(asked, 3);
    assert!(matches!(read(&locked, |_| None), Err(KeyFileError::Passphrase { .. })));
}

#[test]
fn keys_of_other_types_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, more, word) in [
        ("rsa", &["-b", "2048"][..], "rsa"),
        ("rsa", &["-b", "2048", "-m", "PEM"], "RSA"),
        ("ecdsa", &[], "ecdsa"),
        ("ecdsa", &["-m", "PKCS8"], "PKCS#8"),
    ] {
        for passphrase in ["", "secret"] {
            let file = folder.path().join(format!("{kind}{}{passphrase}", more.join("")));
            ssh_keygen(&file, kind, passphrase, more);
            let error = read(&file, |_| None).unwrap_err();
            assert!(matches!(error, KeyFileError::Type { .. }), "{error:?}");
            let told = error.to_string();
            assert!(told.contains(word) && told.contains("irp keygen"), "{told}");
        }
    }
    let plain = folder.path().join("plain");
    ssh_keygen(&plain, "ed25519", "", &[]);
    let error = read(&plain.with_extension("pub"), |_| None).unwrap_err();
    assert!(error.to_string().contains("public half"), "{error}");
    assert!(matches!(read(&folder.path().join("none"), |_| None), Err(KeyFileError::Read { .. })));
}

#[test]
fn a_generated_key_is_private_openssh_reads_it_and_it_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("irp/key");
    let (key, made) = read_or_generate(&file, "alice@laptop", |_| None).unwrap();
    assert!(made);
    let (again, made) = read_or_generate(&file, "alice@laptop", |_| None).unwrap();
    assert!(!made && again.public_key() == key.public_key());
    assert!(matches!(generate(&file, ""), Err(KeyFileError::Exists { .. })));

    let shown = Command::new(find("ssh-keygen", PACKAGE).unwrap()).arg("-y").arg("-f").arg(&file).output();
    let shown: PublicKey = String::from_utf8(shown.unwrap().stdout).unwrap().parse().unwrap();
    assert_eq!(shown, key.public_key());
    let line = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    assert_eq!(line, format!("{} alice@laptop\n", key.public_key()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

fn agent(folder: &Path) -> (Peer, PathBuf) {
    let socket = folder.join("agent.sock");
    let mut command = Command::new(find("ssh-agent", PACKAGE).unwrap());
    command.arg("-D").arg("-a").arg(&socket);
    let mut peer = Peer::start(command, PACKAGE, &folder.join("agent.log")).unwrap();
    peer.wait_until(|| socket.exists()).unwrap();
    (peer, socket)
}

fn ssh_add(socket: &Path, file: &Path) {
    let added = Command::new(find("ssh-add", PACKAGE).unwrap())
        .arg("-q")
        .arg(file)
        .env("SSH_AUTH_SOCK", socket)
        .status();
    assert!(added.unwrap().success());
}

#[tokio::test]
async fn an_agent_lists_and_signs() {
    let folder = tempfile::tempdir().unwrap();
    let (_agent, socket) = agent(folder.path());
    assert!(matches!(identities(&socket).await, Err(AgentError::NoKey { .. })));

    let rsa = folder.path().join("rsa");
    ssh_keygen(&rsa, "rsa", "", &["-b", "2048"]);
    ssh_add(&socket, &rsa);
    let error = identities(&socket).await.unwrap_err().to_string();
    assert!(error.contains("ssh-rsa"), "{error}");

    let mine = folder.path().join("mine");
    ssh_keygen(&mine, "ed25519", "", &[]);
    ssh_add(&socket, &mine);
    let found = identities(&socket).await.unwrap();
    assert_eq!((found.len(), found[0].key, found[0].comment.as_str()), (1, public(&mine), "alice@laptop"));

    let signer = AgentSigner::new(&socket, None).await.unwrap();
    let signature = signer.sign(b"message").await.unwrap();
    assert!(signer.public_key().verifies(b"message", &signature));

    let other = irp_wire::key::SecretKey::generate().unwrap().public_key();
    let error = AgentSigner::new(&socket, Some(other)).await.unwrap_err();
    assert!(matches!(error, AgentError::OtherKeys(_)), "{error}");
}

#[tokio::test]
async fn an_agent_that_is_gone_says_so_when_it_is_to_sign() {
    let folder = tempfile::tempdir().unwrap();
    let (running, socket) = agent(folder.path());
    let mine = folder.path().join("mine");
    ssh_keygen(&mine, "ed25519", "", &[]);
    ssh_add(&socket, &mine);
    let signer = AgentSigner::new(&socket, Some(public(&mine))).await.unwrap();
    drop(running);
    let error = signer.sign(b"message").await.unwrap_err();
    assert!(error.to_string().contains("agent"), "{error}");
}
