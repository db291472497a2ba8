//! What a hosted zone of [`moto`](crate::moto) holds, read as its API tells it, so that a name server can answer from it:
//! moto itself answers no DNS queries.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long one look may take.
const WITHIN: Duration = Duration::from_secs(20);

/// One hosted zone.
#[derive(Debug, Clone)]
pub struct HostedZone {
    server: SocketAddr,
    /// `Z…`.
    pub id: String,
}

/// All records of one name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// Without a dot at its end.
    pub name: String,
    /// `A`, `TXT` and so on.
    pub kind: String,
    /// In seconds.
    pub ttl: String,
    /// As Route 53 shows them: those of TXT are quoted.
    pub values: Vec<String>,
}

impl HostedZone {
    pub(crate) fn new(server: SocketAddr, id: &str) -> Self {
        Self { server, id: id.to_owned() }
    }

    /// All its record sets.
    ///
    /// # Errors
    ///
    /// When the server gives no answer, or another one than that.
    pub async fn record_sets(&self) -> io::Result<Vec<RecordSet>> {
        let answer = timeout(WITHIN, self.fetch()).await??;
        if !answer.contains("<ListResourceRecordSetsResponse") {
            return Err(io::Error::other(format!("no list of record sets: {answer}")));
        }
        let sets = answer.split("<ResourceRecordSet>").skip(1);
        Ok(sets.map(read_set).collect())
    }

    /// The values of one name and type, if there are any.
    ///
    /// # Errors
    ///
    /// See [`record_sets`](Self::record_sets).
    pub async fn values(&self, name: &str, kind: &str) -> io::Result<Option<Vec<String>>> {
        let sets = self.record_sets().await?;
        Ok(sets.into_iter().find(|set| set.name == name && set.kind == kind).map(|set| set.values))
    }

    /// HTTP/1.0, so that the end of the connection is the end of the answer. The scope of the signature, which nobody
    /// checks, tells moto which service is meant.
    async fn fetch(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.server).await?;
        let request = format!(
            "GET /2013-04-01/hostedzone/{}/rrset HTTP/1.0\r\nHost: {}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=A/20260101/us-east-1/route53/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
            self.id, self.server
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

fn read_set(xml: &str) -> RecordSet {
    let mut values: Vec<String> = Vec::new();
    let mut rest = xml;
    while let Some((value, behind)) = between(rest, "Value") {
        values.push(value);
        rest = behind;
    }
    let one = |tag| between(xml, tag).map(|(text, _)| text).unwrap_or_default();
    let name = one("Name").trim_end_matches('.').to_ascii_lowercase();
    RecordSet { name, kind: one("Type"), ttl: one("TTL"), values }
}

/// The text of the first such element, and what follows it.
fn between<'a>(xml: &'a str, tag: &str) -> Option<(String, &'a str)> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    let (text, rest) = rest.split_once(&format!("</{tag}>"))?;
    let text =
        text.trim().replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some((text, rest))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use crate::moto::Moto;

    #[tokio::test]
    async fn what_the_aws_cli_writes_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let moto = Moto::start(dir.path()).unwrap();
        let zone = moto.create_zone("irp.test").unwrap();
        let set = |name: &str, kind: &str, values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| serde_json::json!({ "Value": value })).collect();
            let set = serde_json::json!({ "Name": name, "Type": kind, "TTL": 60, "ResourceRecords": values });
            serde_json::json!({ "Action": "UPSERT", "ResourceRecordSet": set })
        };
        let changes = [
            set("a.irp.test", "A", &[&Ipv4Addr::LOCALHOST.to_string()]),
            set("_acme-challenge.a.irp.test", "TXT", &["\"one\"", "\"<&>\""]),
        ];
        let batch = serde_json::json!({ "Changes": changes }).to_string();
        let ask = [
            "route53",
            "change-resource-record-sets",
            "--hosted-zone-id",
            &zone.id,
            "--change-batch",
            &batch,
        ];
        moto.cli(&ask).unwrap();
        assert_eq!(zone.values("a.irp.test", "A").await.unwrap().unwrap(), ["127.0.0.1"]);
        let mut texts = zone.values("_acme-challenge.a.irp.test", "TXT").await.unwrap().unwrap();
        texts.sort();
        assert_eq!(texts, ["\"<&>\"", "\"one\""]);
        assert_eq!(zone.values("b.irp.test", "A").await.unwrap(), None);
        let sets = zone.record_sets().await.unwrap();
        assert_eq!(sets.iter().find(|set| set.kind == "A").unwrap().ttl, "60");
    }
}
