//! Record sets: all records of one name and type, which are changed together.

use std::fmt::Write as _;

use http::Method;
use quick_xml::escape::escape;
use serde::Deserialize;

use super::{ChangeId, ChangeInfo, NAMESPACE, Route53, bare, plain};
use crate::{
    call::Call,
    error::{Error, Kind},
    service::Service,
};

/// All records of one name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// The name.
    pub name: String,
    /// `A`, `AAAA`, `TXT`, …
    pub kind: String,
    /// Seconds that resolvers may keep it.
    pub ttl: u32,
    /// Values as in a zone file: TXT in quotes.
    pub values: Vec<String>,
    /// Whether it is more than values: an alias, or one of several sets that a routing policy chooses from. Such a set is
    /// somebody else's work: irp leaves it alone.
    pub special: bool,
}

/// A change to a record set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes it, or puts it in the place of what was there (`UPSERT`).
    Upsert(RecordSet),
    /// Removes it, if it is exactly this (`DELETE`).
    Delete(RecordSet),
    /// Makes it, if there is none (`CREATE`).
    Create(RecordSet),
}

impl RecordSet {
    /// Values that are kept for `ttl` seconds.
    #[must_use]
    pub fn new<V: Into<String>>(
        name: &str,
        kind: &str,
        ttl: u32,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self { name: plain(name), kind: kind.to_owned(), ttl, values, special: false }
    }
}

/// So many pages of a zone's records are read.
const PAGES_MAX: usize = 100;

impl Route53 {
    /// ListResourceRecordSets: one record set; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn record_set(
        &self,
        zone_id: &str,
        name: &str,
        kind: &str,
    ) -> Result<Option<RecordSet>, Error> {
        let wanted = plain(name);
        let page =
            self.records_from(zone_id, &[("name", &wanted), ("type", kind), ("maxitems", "1")]).await?;
        // A start point here as well: what comes back may be the next in the alphabet.
        let found = page.resource_record_sets.resource_record_set.into_iter().map(RecordSet::from);
        Ok(found.into_iter().find(|set| set.name == wanted && set.kind == kind))
    }

    /// ListResourceRecordSets: the whole zone.
    ///
    /// # Errors
    ///
    /// When AWS refuses, is not reached, or the zone is larger than a hundred pages.
    pub async fn record_sets(&self, zone_id: &str) -> Result<Vec<RecordSet>, Error> {
        let mut found: Vec<RecordSet> = Vec::new();
        let mut next: Option<(String, String, Option<String>)> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("maxitems", "300")];
            if let Some((name, kind, identifier)) = &next {
                query.extend([("name", name.as_str()), ("type", kind.as_str())]);
                query.extend(identifier.iter().map(|identifier| ("identifier", identifier.as_str())));
            }
            let page = self.records_from(zone_id, &query).await?;
            found.extend(page.resource_record_sets.resource_record_set.into_iter().map(RecordSet::from));
            next = page
                .next_record_name
                .zip(page.next_record_type)
                .map(|(name, kind)| (name, kind, page.next_record_identifier));
            if !page.is_truncated || next.is_none() {
                return Ok(found);
            }
        }
        let action = Call::new(Service::Route53, "ListResourceRecordSets", Method::GET).action;
        Err(Error::new(action, Kind::Answer, "the zone has too many records to read"))
    }

    async fn records_from(&self, zone_id: &str, query: &[(&str, &str)]) -> Result<Page, Error> {
        self.get("ListResourceRecordSets", &format!("hostedzone/{}/rrset", bare(zone_id)), query).await
    }

    /// ChangeResourceRecordSets: all of the changes or none.
    ///
    /// # Errors
    ///
    /// [`Invalid`](Kind::Invalid) with the code `InvalidChangeBatch` when a set to be deleted is not exactly as stated,
    /// or one to be created exists.
    pub async fn change(&self, zone_id: &str, changes: &[Change]) -> Result<ChangeId, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            change_info: ChangeInfo,
        }
        let path = format!("hostedzone/{}/rrset", bare(zone_id));
        let answer: Answer = self.post("ChangeResourceRecordSets", &path, body(changes)).await?;
        Ok(answer.change_info.id())
    }
}

fn body(changes: &[Change]) -> String {
    let mut body = format!("<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Changes>");
    for change in changes {
        let (action, set) = match change {
            Change::Upsert(set) => ("UPSERT", set),
            Change::Delete(set) => ("DELETE", set),
            Change::Create(set) => ("CREATE", set),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{}.</Name><Type>{}</Type><TTL>{}</TTL>\
             <ResourceRecords>",
            escape(&set.name),
            escape(&set.kind),
            set.ttl
        );
        for value in &set.values {
            let _ = write!(body, "<ResourceRecord><Value>{}</Value></ResourceRecord>", escape(value));
        }
        body.push_str("</ResourceRecords></ResourceRecordSet></Change>");
    }
    body.push_str("</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>");
    body
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    resource_record_sets: Sets,
    #[serde(default)]
    is_truncated: bool,
    next_record_name: Option<String>,
    next_record_type: Option<String>,
    next_record_identifier: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sets {
    #[serde(default)]
    resource_record_set: Vec<Described>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    set_identifier: Option<String>,
    alias_target: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    resource_records: Records,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    #[serde(default)]
    resource_record: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    value: String,
}

impl From<Described> for RecordSet {
    fn from(set: Described) -> Self {
        Self {
            name: plain(&set.name),
            kind: set.kind,
            ttl: set.ttl.unwrap_or_default(),
            values: set.resource_records.resource_record.into_iter().map(|record| record.value).collect(),
            special: set.set_identifier.is_some() || set.alias_target.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_name_type_ttl_and_values_exactly() {
        let set = RecordSet::new("*.A.example.", "TXT", 60, ["\"a&b\""]);
        let body = body(&[Change::Delete(set)]);
        let change = "<Change><Action>DELETE</Action><ResourceRecordSet><Name>*.a.example.</Name><Type>TXT</Type>\
                      <TTL>60</TTL><ResourceRecords><ResourceRecord><Value>&quot;a&amp;b&quot;</Value>\
                      </ResourceRecord></ResourceRecords></ResourceRecordSet></Change>";
        assert!(body.contains(change), "{body}");
    }

    #[test]
    fn aliases_and_routed_sets_are_told_apart() {
        let page = "<R><ResourceRecordSets><ResourceRecordSet><Name>a.example.</Name><Type>A</Type><AliasTarget>\
                    <HostedZoneId>Z</HostedZoneId><DNSName>x</DNSName></AliasTarget></ResourceRecordSet>\
                    <ResourceRecordSet><Name>b.example.</Name><Type>A</Type><TTL>60</TTL><ResourceRecords>\
                    <ResourceRecord><Value>192.0.2.1</Value></ResourceRecord><ResourceRecord><Value>192.0.2.2</Value>\
                    </ResourceRecord></ResourceRecords></ResourceRecordSet></ResourceRecordSets>\
                    <IsTruncated>false</IsTruncated><MaxItems>300</MaxItems></R>";
        let page: Page = quick_xml::de::from_str(page).unwrap();
        let sets: Vec<RecordSet> =
            page.resource_record_sets.resource_record_set.into_iter().map(RecordSet::from).collect();
        assert!(sets[0].special && !sets[1].special);
        assert_eq!(sets[1], RecordSet::new("b.example", "A", 60, ["192.0.2.1", "192.0.2.2"]));
    }
}
