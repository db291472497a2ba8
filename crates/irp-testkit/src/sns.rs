//! A stand-in for AWS SNS: it signs messages, shows its certificate over HTTPS, and is told of confirmations.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{authority::Authority, process::find};

/// The topic whose messages it signs.
pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:irp";
/// Its host name.
const HOST: &str = "sns.us-east-1.amazonaws.com";
/// Where its certificate is.
const CERTIFICATE: &str = "/SimpleNotificationService-0123456789abcdef.pem";

/// The stand-in; it stops on drop.
pub struct Sns {
    address: SocketAddr,
    authority: Authority,
    key: NamedTempFile,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for Sns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sns").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sns {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start() -> io::Result<Self> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let pem = CertificateParams::new(["sns.amazonaws.com".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .pem();
        let authority = Authority::new();
        let tls = TlsAcceptor::from(authority.server(&[HOST], &["http/1.1"]));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, tls, pem, Arc::clone(&asked)));
        let mut file = NamedTempFile::new()?;
        file.write_all(key.serialize_pem().as_bytes())?;
        Ok(Self { address, authority, key: file, asked, _tasks: tasks })
    }

    /// Where it listens in the place of the real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who has signed for its host name.
    #[must_use]
    pub fn root(&self) -> CertificateDer<'static> {
        self.authority.root()
    }

    /// The paths, with their queries, that it was asked for so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A message of this type, signed now. `version` is that of the signature, 1 or 2.
    #[must_use]
    pub fn message(&self, kind: &str, id: &str, version: u8) -> Value {
        let now = OffsetDateTime::from(SystemTime::now()).format(&Rfc3339).unwrap();
        let mut message = json!({
            "Type": kind, "MessageId": id, "TopicArn": TOPIC, "Message": "hello\nworld", "Timestamp": now,
            "SignatureVersion": version.to_string(), "SigningCertURL": format!("https://{HOST}{CERTIFICATE}"),
        });
        let fields = if kind == "Notification" {
            message["Subject"] = "a sample".into();
            &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"][..]
        } else {
            message["Token"] = "t0ken".into();
            message["SubscribeURL"] =
                format!("https://{HOST}/?Action=ConfirmSubscription&Token=t0ken").into();
            &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        };
        let text: String =
            fields.iter().map(|name| format!("{name}\n{}\n", message[name].as_str().unwrap())).collect();
        let hash = if version == 1 { "-sha1" } else { "-sha256" };
        message["Signature"] = BASE64_STANDARD.encode(self.sign(hash, &text)).into();
        message
    }

    /// OpenSSL signs: it still does with SHA-1, and has nothing in common with who verifies.
    fn sign(&self, hash: &str, text: &str) -> Vec<u8> {
        let mut openssl = Command::new(find("openssl", "openssl").unwrap())
            .args(["dgst", hash, "-sign"])
            .arg(self.key.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = openssl.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl does not sign");
        output.stdout
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, pem: String, asked: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (tls, pem, asked) = (tls.clone(), pem.clone(), Arc::clone(&asked));
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| {
                std::future::ready(Ok::<_, std::convert::Infallible>(answer(&request, &pem, &asked)))
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answer(request: &Request<Incoming>, pem: &str, asked: &Mutex<Vec<String>>) -> Response<Full<Bytes>> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
    let (status, body) = match path.as_str() {
        CERTIFICATE => (StatusCode::OK, pem.to_owned()),
        path if path.starts_with("/?Action=ConfirmSubscription&") => {
            (StatusCode::OK, "<ConfirmSubscriptionResponse/>".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
