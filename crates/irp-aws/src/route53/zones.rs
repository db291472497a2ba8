//! Zones: finding the one that a name is in, making one.

use quick_xml::escape::escape;
use serde::Deserialize;

use super::{ChangeId, ChangeInfo, NAMESPACE, Route53, bare, plain};
use crate::error::Error;

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// `Z…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether only networks of the account see it.
    pub private: bool,
}

/// A zone, and where it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDetails {
    /// The zone.
    pub zone: Zone,
    /// The name servers that the parent zone has to name; none for a private zone.
    pub name_servers: Vec<String>,
}

/// So many zones of one name are looked at.
const PAGE: &str = "100";

impl Route53 {
    /// ListHostedZonesByName: all zones of exactly this name, public and private.
    ///
    /// The API takes the name as the place in its alphabet to start from and goes on with whatever follows, so other
    /// zones come back first when there is none of this name.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn zones_named(&self, name: &str) -> Result<Vec<Zone>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page {
            hosted_zones: Described,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Described {
            #[serde(default)]
            hosted_zone: Vec<HostedZone>,
        }
        let wanted = plain(name);
        let query = [("dnsname", wanted.as_str()), ("maxitems", PAGE)];
        let page: Page = self.get("ListHostedZonesByName", "hostedzonesbyname", &query).await?;
        let zones = page.hosted_zones.hosted_zone.into_iter().map(Zone::from);
        Ok(zones.filter(|zone| zone.name == wanted).collect())
    }

    /// The zones of the longest name that `host` is in or is: for `a.b.example.com` those of `a.b.example.com`, else of
    /// `b.example.com`, else of `example.com`. Empty when the account has none. Only public ones.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn public_zones_of(&self, host: &str) -> Result<Vec<Zone>, Error> {
        let mut name = plain(host);
        // A zone of a top-level name is nobody's.
        while name.contains('.') {
            let mut zones = self.zones_named(&name).await?;
            zones.retain(|zone| !zone.private);
            if !zones.is_empty() {
                return Ok(zones);
            }
            name = name.split_once('.').map(|(_, parent)| parent.to_owned()).unwrap_or_default();
        }
        Ok(Vec::new())
    }

    /// GetHostedZone.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Kind::NotFound) when there is no such zone.
    pub async fn zone(&self, id: &str) -> Result<ZoneDetails, Error> {
        let answer: Details = self.get("GetHostedZone", &format!("hostedzone/{}", bare(id)), &[]).await?;
        Ok(answer.into())
    }

    /// CreateHostedZone: a public zone. `reference` is any text that was not used before; the same reference again is
    /// [`Exists`](crate::Kind::Exists), not a second zone.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn create_zone(&self, name: &str, reference: &str) -> Result<(ZoneDetails, ChangeId), Error> {
        let body = format!(
            "<CreateHostedZoneRequest xmlns=\"{NAMESPACE}\"><Name>{}</Name><CallerReference>{}</CallerReference>\
             <HostedZoneConfig><Comment>made by irp</Comment></HostedZoneConfig></CreateHostedZoneRequest>",
            escape(name),
            escape(reference)
        );
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            hosted_zone: HostedZone,
            delegation_set: Option<DelegationSet>,
            change_info: ChangeInfo,
        }
        let answer: Answer = self.post("CreateHostedZone", "hostedzone", body).await?;
        let change = answer.change_info.id();
        let Answer { hosted_zone, delegation_set, .. } = answer;
        Ok((Details { hosted_zone, delegation_set }.into(), change))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    hosted_zone: HostedZone,
    delegation_set: Option<DelegationSet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostedZone {
    id: String,
    name: String,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    private_zone: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DelegationSet {
    #[serde(default)]
    name_servers: NameServers,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NameServers {
    #[serde(default)]
    name_server: Vec<String>,
}

impl From<HostedZone> for Zone {
    fn from(zone: HostedZone) -> Self {
        Self {
            id: bare(&zone.id).to_owned(),
            name: plain(&zone.name),
            private: zone.config.is_some_and(|config| config.private_zone),
        }
    }
}

impl From<Details> for ZoneDetails {
    fn from(details: Details) -> Self {
        let servers = details.delegation_set.map(|set| set.name_servers.name_server).unwrap_or_default();
        Self {
            zone: details.hosted_zone.into(),
            name_servers: servers.iter().map(|server| plain(server)).collect(),
        }
    }
}
