//! A question to a name server, as small as `irp doctor` and `irp up` need it: NS and CAA records over UDP, over TCP where the answer
//! is too long (RFC 1035, RFC 8659).
//!
//! The answer is only shown to a person, so it need not be proof against forgers beyond a random number and the
//! question that it repeats.

#[cfg_attr(windows, path = "resolver/windows.rs")]
#[cfg_attr(not(windows), path = "resolver/unix.rs")]
mod system;

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use aws_lc_rs::rand;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::{environment::Environment, error::Failure};

/// How long one question may take; resolvers give up on others after a few seconds themselves.
const WITHIN: Duration = Duration::from_secs(5);

/// How often it is asked: UDP gets lost.
const TRIES: usize = 2;

/// The largest answer over UDP without EDNS.
const UDP_MAX: usize = 512;

/// Where name servers listen.
const PORT: u16 = 53;

/// More pointers than that in one name are a loop.
const POINTERS_MAX: usize = 16;

/// The types that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Name servers.
    Ns = 2,
    /// Who may issue certificates.
    Caa = 257,
}

/// What a resolver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Records; none where the name exists without such.
    Records(Vec<Record>),
    /// The name does not exist.
    NoSuchName,
    /// The resolver could not find out: nobody answers for the zone, or its signatures are wrong.
    Failed,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A name server, in lower case, without a final dot.
    Ns(String),
    /// A property with its value.
    Caa {
        /// Whoever does not understand it must not issue.
        critical: bool,
        /// `issue`, `issuewild`, …
        tag: String,
        /// As written.
        value: String,
    },
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// Nobody is known to ask.
    #[error("{} names no name server", system::SETTINGS)]
    NoServer,
    /// It cannot be asked so.
    #[error("`{0}` is no name to ask for")]
    Name(String),
    /// It cannot be reached.
    #[error("the name server {server} cannot be asked")]
    Io {
        /// Which.
        server: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It does not answer.
    #[error("the name server {0} does not answer")]
    Silent(SocketAddr),
    /// It answers something else.
    #[error("the answer of the name server {0} does not read")]
    Malformed(SocketAddr),
}

/// The first name server of the system.
///
/// # Errors
///
/// When there is none.
pub(crate) fn of_system() -> Result<SocketAddr, ResolveError> {
    system::first_server().map(|address| SocketAddr::new(address, PORT)).ok_or(ResolveError::NoServer)
}

/// The one that `IRP_RESOLVER` names, if it does.
///
/// # Errors
///
/// When it names none.
pub(crate) fn of_environment(environment: &Environment) -> Result<Option<SocketAddr>, Failure> {
    let named = environment.resolver.as_deref().map(server).transpose();
    named.map_err(|why| {
        Failure::new(crate::error::Kind::Config, format!("IRP_RESOLVER is no name server: {why}"))
    })
}

/// An address, with or without a port.
///
/// # Errors
///
/// What is to be written instead.
pub(crate) fn server(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    let alone = || text.parse().map(|address| SocketAddr::new(address, PORT));
    with_port
        .or_else(|_| alone())
        .map_err(|_| "write an address, such as 192.0.2.53 or 192.0.2.53:53".to_owned())
}

/// Asks for the records of a name.
///
/// # Errors
///
/// See [`ResolveError`]; a name that does not exist is an answer.
pub(crate) async fn ask(server: SocketAddr, name: &str, kind: Kind) -> Result<Answer, ResolveError> {
    let mut id = [0; 2];
    // Without randomness the number is 0, and no TLS would come about either.
    let _ = rand::fill(&mut id);
    let question = question(id, name, kind).ok_or_else(|| ResolveError::Name(name.to_owned()))?;
    let io = |source| ResolveError::Io { server, source };
    let mut last = ResolveError::Silent(server);
    for _ in 0..TRIES {
        match timeout(WITHIN, over_udp(server, &question)).await {
            Ok(Ok(answer)) if answer.get(2).is_some_and(|flags| flags & 2 != 0) => {
                let whole = timeout(WITHIN, over_tcp(server, &question)).await;
                let whole = whole.map_err(|_| ResolveError::Silent(server))?.map_err(io)?;
                return read(&whole, kind).ok_or(ResolveError::Malformed(server));
            }
            Ok(Ok(answer)) => return read(&answer, kind).ok_or(ResolveError::Malformed(server)),
            Ok(Err(error)) => last = io(error),
            Err(_) => last = ResolveError::Silent(server),
        }
    }
    Err(last)
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let here: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(here).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut answer = [0; UDP_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        // Anything else is not for us.
        if repeats(&answer[..length], question) {
            return Ok(answer[..length].to_vec());
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if repeats(&answer, question) {
        return Ok(answer);
    }
    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "an answer to another question"))
}

/// Whether it is an answer with this number and this question.
fn repeats(answer: &[u8], question: &[u8]) -> bool {
    answer.len() >= question.len()
        && answer[..2] == question[..2]
        && answer[2] & 0x80 != 0
        && answer[12..question.len()].eq_ignore_ascii_case(&question[12..])
}

fn question(id: [u8; 2], name: &str, kind: Kind) -> Option<Vec<u8>> {
    // One question, recursion desired.
    let mut bytes = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&(kind as u16).to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    (bytes.len() <= 12 + 255 + 4).then_some(bytes)
}

/// Reads an answer whose question has been compared already.
fn read(message: &[u8], kind: Kind) -> Option<Answer> {
    match message.get(3)? & 0x0f {
        0 => {}
        3 => return Some(Answer::NoSuchName),
        _ => return Some(Answer::Failed),
    }
    let count = u16::from_be_bytes([*message.get(6)?, *message.get(7)?]);
    let (_, mut at) = name_at(message, 12)?;
    at += 4;
    let mut records = Vec::new();
    for _ in 0..count {
        let (_, after) = name_at(message, at)?;
        let fixed = message.get(after..after + 10)?;
        let (of, length) =
            (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[8], fixed[9]]));
        let begin = after + 10;
        at = begin + usize::from(length);
        let data = message.get(begin..at)?;
        if of == kind as u16 {
            records.push(match kind {
                Kind::Ns => Record::Ns(name_at(message, begin)?.0),
                Kind::Caa => caa(data)?,
            });
        }
    }
    Some(Answer::Records(records))
}

fn caa(data: &[u8]) -> Option<Record> {
    let (flags, rest) = data.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (tag, value) = rest.split_at_checked(usize::from(*length))?;
    Some(Record::Caa {
        critical: flags & 0x80 != 0,
        tag: String::from_utf8_lossy(tag).to_ascii_lowercase(),
        value: String::from_utf8_lossy(value).into_owned(),
    })
}

/// The name at a place, and where what follows it begins.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut name, mut end, mut pointers) = (String::new(), None, 0);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                at += 1 + usize::from(length);
            }
            0xc0.. => {
                pointers += 1;
                if pointers > POINTERS_MAX {
                    return None;
                }
                end.get_or_insert(at + 2);
                at = usize::from(u16::from_be_bytes([length & 0x3f, *message.get(at + 1)?]));
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_an_address_and_perhaps_a_port() {
        assert_eq!(server("192.0.2.53"), Ok(([192, 0, 2, 53], 53).into()));
        assert_eq!(server("192.0.2.53:5353"), Ok(([192, 0, 2, 53], 5353).into()));
        assert!(server("::1").is_ok() && server("[::1]:53").is_ok() && server("dns.example").is_err());
    }

    #[test]
    fn a_question_is_what_the_rfc_says() {
        let asked = question([1, 2], "a.example.", Kind::Caa).unwrap();
        assert_eq!(asked, *b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\x01\x01\0\x01");
        assert!(question([0, 0], "a..b", Kind::Ns).is_none());
        assert!(question([0, 0], &"a".repeat(64), Kind::Ns).is_none());
        let mut answer = asked.clone();
        answer[2] |= 0x80;
        assert!(repeats(&answer, &asked) && !repeats(&asked, &asked) && !repeats(&answer[..20], &asked));
    }

    #[test]
    fn names_that_point_are_followed_and_loops_are_not() {
        let mut message = question([0, 0], "example.com", Kind::Ns).unwrap();
        message[2] |= 0x80;
        message[7] = 1;
        // The owner points to the question; the server's name ends by pointing there as well.
        message.extend_from_slice(b"\xc0\x0c\0\x02\0\x01\0\0\0\x3c\0\x06\x03NS1\xc0\x0c");
        let expected = Answer::Records(vec![Record::Ns("ns1.example.com".into())]);
        assert_eq!(read(&message, Kind::Ns), Some(expected));
        let at = message.len() - 1;
        message[at] = u8::try_from(at - 1).unwrap();
        assert_eq!(read(&message, Kind::Ns), None);
        for length in 0..message.len() {
            let _ = read(&message[..length], Kind::Ns);
        }
    }

    #[test]
    fn a_caa_record_has_flags_a_tag_and_a_value() {
        let record = caa(b"\x80\x05Issueletsencrypt.org").unwrap();
        let expected = Record::Caa { critical: true, tag: "issue".into(), value: "letsencrypt.org".into() };
        assert_eq!(record, expected);
        assert_eq!(caa(b"\0\x09iss"), None);
    }
}
