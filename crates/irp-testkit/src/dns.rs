//! A small authoritative name server over UDP and TCP, whose records a test sets: enough of RFC 1035 for
//! certificate authorities, resolvers and `dig`.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

use crate::route53::HostedZone;

/// A TCP client that says nothing for so long is cut.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// How often a free port is looked for that is free for UDP and for TCP.
const TRIES: usize = 50;

/// Record types of which the server knows what they are (RFC 1035, 3596, 8659).
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the RFCs")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const SOA: u16 = 6;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const CAA: u16 = 257;
}

/// A running name server; it stops on drop. Every name that has no record does not exist (NXDOMAIN).
#[derive(Debug)]
pub struct Responder {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Zone {
    records: BTreeMap<(String, u16), Vec<Vec<u8>>>,
    asked: Vec<(String, u16)>,
    /// What is read anew before each answer.
    hosted: Option<HostedZone>,
}

impl Responder {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When there is no port that is free for UDP and for TCP.
    pub async fn start() -> io::Result<Self> {
        let mut last = io::Error::other("no port");
        for _ in 0..TRIES {
            match Self::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await {
                Ok(responder) => return Ok(responder),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Starts at this address, on UDP and TCP; with port 0, at a port that is free for UDP.
    ///
    /// # Errors
    ///
    /// When the address is taken.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let udp = UdpSocket::bind(address).await?;
        let address = udp.local_addr()?;
        let tcp = TcpListener::bind(address).await?;
        let zone = Arc::new(Mutex::new(Zone::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&zone)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&zone)));
        Ok(Self { address, zone, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from this zone of Route 53 from now on, as it is at the moment of each query; A, AAAA and TXT only.
    /// Records that were added here are gone.
    pub fn answer_from(&self, hosted: &HostedZone) {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).hosted = Some(hosted.clone());
    }

    /// Adds an A or AAAA record.
    pub fn add_address(&self, name: &str, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.add(name, kind::A, address.octets().to_vec()),
            IpAddr::V6(address) => self.add(name, kind::AAAA, address.octets().to_vec()),
        }
    }

    /// Adds a TXT record; a value of more than 255 bytes is split as RFC 1035, section 3.3.14 says.
    pub fn add_txt(&self, name: &str, value: &str) {
        self.add(name, kind::TXT, txt(value));
    }

    /// Removes a TXT record, if it is there.
    pub fn remove_txt(&self, name: &str, value: &str) {
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (normal(name), kind::TXT);
        if let Some(values) = zone.records.get_mut(&key) {
            values.retain(|data| *data != txt(value));
            if values.is_empty() {
                zone.records.remove(&key);
            }
        }
    }

    /// How many TXT records a name has.
    #[must_use]
    pub fn txt_count(&self, name: &str) -> usize {
        let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.records.get(&(normal(name), kind::TXT)).map_or(0, Vec::len)
    }

    /// Adds a CAA record, such as `issue` and `ca.example`.
    pub fn add_caa(&self, name: &str, tag: &str, value: &str) {
        let mut data = vec![0, u8::try_from(tag.len()).unwrap_or(u8::MAX)];
        data.extend_from_slice(tag.as_bytes());
        data.extend_from_slice(value.as_bytes());
        self.add(name, kind::CAA, data);
    }

    /// Adds an NS record.
    pub fn add_ns(&self, name: &str, server: &str) {
        let mut data = Vec::new();
        for label in normal(server).split('.') {
            data.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            data.extend_from_slice(label.as_bytes());
        }
        data.push(0);
        self.add(name, kind::NS, data);
    }

    /// Removes all records of a name.
    pub fn remove(&self, name: &str) {
        let name = normal(name);
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.records.retain(|(owner, _), _| *owner != name);
    }

    /// What was asked so far: name and type, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, u16)> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }

    fn add(&self, name: &str, kind: u16, data: Vec<u8>) {
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let values = zone.records.entry((normal(name), kind)).or_default();
        if !values.contains(&data) {
            values.push(data);
        }
    }
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn txt(value: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(value.len() + 1);
    for part in value.as_bytes().chunks(255) {
        data.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        data.extend_from_slice(part);
    }
    data
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 1500];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { return };
        read_hosted(&zone).await;
        if let Some(mut answer) = answer(&buffer[..length], &zone) {
            if answer.len() > 512 {
                // Truncated: the client comes again over TCP.
                answer.truncate(512);
                answer[2] |= 0x02;
            }
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.spawn(serve_connection(stream, Arc::clone(&zone)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) {
    loop {
        let Ok(Ok(length)) = timeout(SILENT_FOR, stream.read_u16()).await else { return };
        let mut query = vec![0; usize::from(length)];
        let Ok(Ok(_)) = timeout(SILENT_FOR, stream.read_exact(&mut query)).await else { return };
        read_hosted(&zone).await;
        let Some(answer) = answer(&query, &zone) else { return };
        let Ok(length) = u16::try_from(answer.len()) else { return };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

/// Takes over what the hosted zone holds now, if there is one. Where it cannot be read, nothing is known.
async fn read_hosted(zone: &Mutex<Zone>) {
    let hosted = zone.lock().unwrap_or_else(PoisonError::into_inner).hosted.clone();
    let Some(hosted) = hosted else { return };
    let sets = hosted.record_sets().await.unwrap_or_default();
    let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for set in sets {
        for value in &set.values {
            if let Some((kind, data)) = data_of(&set.kind, value) {
                records.entry((normal(&set.name), kind)).or_default().push(data);
            }
        }
    }
    zone.lock().unwrap_or_else(PoisonError::into_inner).records = records;
}

fn data_of(kind: &str, value: &str) -> Option<(u16, Vec<u8>)> {
    Some(match kind {
        "A" => (kind::A, value.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
        "AAAA" => (kind::AAAA, value.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
        "TXT" => (kind::TXT, txt(value.trim_matches('"'))),
        _ => return None,
    })
}

/// The answer to a query with one question; `None` to what is no such query.
fn answer(query: &[u8], zone: &Mutex<Zone>) -> Option<Vec<u8>> {
    let header = query.get(..12)?;
    let is_query = header[2] & 0xf8 == 0 && header[4..6] == [0, 1];
    let (name, end) = question_name(query).filter(|_| is_query)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let question = query.get(12..end + 4)?;

    let mut zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
    zone.asked.push((name.clone(), kind));
    let below = format!(".{name}");
    let exists = zone.records.keys().any(|(owner, _)| *owner == name || owner.ends_with(&below));
    let records = zone.records.get(&(name.clone(), kind)).cloned().unwrap_or_default();
    let (answers, authority) = match kind {
        kind::SOA if exists => (vec![soa()], Vec::new()),
        kind::NS if exists && records.is_empty() => (vec![vec![2, b'n', b's', 0]], Vec::new()),
        // RFC 2308: what is not there is said with the SOA.
        _ if records.is_empty() => (Vec::new(), soa()),
        _ => (records, Vec::new()),
    };

    let mut message = header[..2].to_vec();
    // An authoritative answer, with the "recursion desired" of the query; NXDOMAIN for what does not exist.
    message.extend([0x84 | header[2] & 1, if exists { 0 } else { 3 }, 0, 1]);
    message.extend(u16::try_from(answers.len()).ok()?.to_be_bytes());
    message.extend([0, u8::from(!authority.is_empty()), 0, 0]);
    message.extend_from_slice(question);
    for data in &answers {
        push_record(&mut message, &[0xc0, 12], kind, data)?;
    }
    if !authority.is_empty() {
        push_record(&mut message, &[0], kind::SOA, &authority)?;
    }
    Some(message)
}

fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => return Some((normal(&labels.join(".")), at)),
            1..=63 => labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned()),
            _ => return None,
        }
        at += length;
    }
}

/// Class IN; a time to live of zero, so that nobody remembers what a test has changed.
fn push_record(message: &mut Vec<u8>, owner: &[u8], kind: u16, data: &[u8]) -> Option<()> {
    message.extend_from_slice(owner);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1, 0, 0, 0, 0]);
    message.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
    message.extend_from_slice(data);
    Some(())
}

/// Name server `ns`, mailbox `.`, serial 1, and times of nothing.
fn soa() -> Vec<u8> {
    let mut data = vec![2, b'n', b's', 0, 0];
    for number in [1u32, 0, 0, 0, 0] {
        data.extend(number.to_be_bytes());
    }
    data
}
