//! Route tables: whether a network has a way to the Internet.

use serde::Deserialize;

use super::{Ec2, Filter};
use crate::{error::Error, form::Form, xml};

/// A route table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTable {
    /// `rtb-…`.
    #[serde(rename = "routeTableId")]
    pub id: String,
    /// The network that it is of.
    pub vpc_id: String,
    /// The subnets that use it, and whether it is for those that name none.
    #[serde(default, rename = "associationSet", deserialize_with = "xml::items")]
    pub associations: Vec<Association>,
    /// Its routes.
    #[serde(default, rename = "routeSet", deserialize_with = "xml::items")]
    pub routes: Vec<Route>,
}

/// Who uses a route table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Association {
    /// Every subnet of the network that names no other.
    #[serde(default)]
    pub main: bool,
    /// A subnet.
    pub subnet_id: Option<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Where to: `0.0.0.0/0` is everywhere.
    pub destination_cidr_block: Option<String>,
    /// The gateway that it goes by: `igw-…`, or `local`.
    pub gateway_id: Option<String>,
    /// `active`, or `blackhole` when what it goes by is gone.
    #[serde(default)]
    pub state: String,
}

impl RouteTable {
    /// Whether visitors from the Internet can come in: everything else goes out by an Internet gateway. A NAT gateway lets
    /// nobody in.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.routes.iter().any(|route| {
            route.destination_cidr_block.as_deref() == Some("0.0.0.0/0")
                && route.gateway_id.as_deref().is_some_and(|gateway| gateway.starts_with("igw-"))
                && route.state != "blackhole"
        })
    }
}

impl Ec2 {
    /// DescribeRouteTables.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn route_tables(&self, filters: &[Filter]) -> Result<Vec<RouteTable>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default, deserialize_with = "xml::items")]
            route_table_set: Vec<RouteTable>,
            next_token: Option<String>,
        }
        let parts = |page: Page| (page.route_table_set, page.next_token);
        self.pages("DescribeRouteTables", Form::matching(filters), parts).await
    }
}
