//! What a machine reported as its host keys, to others than whoever answers at its sshd.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use irp_aws::Aws;
use irp_client::{Roots, UpstreamTrust, call::call_at, pipe::CarrierError, ssh::HostKeys};
use irp_wire::name::Hostname;

use super::session_manager::refused;

/// Where irp's edge shows them, to whoever trusts its certificate.
const PATH: &str = "/.well-known/irp/host-key";

/// How long the edge may take to show them.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

/// The public URL of an edge, for a look at its page.
#[derive(Clone, Debug)]
pub(crate) struct EdgePage {
    /// Its name, which its certificate must have.
    pub(crate) host: Hostname,
    /// Where it is, whatever the name resolves to.
    pub(crate) at: SocketAddr,
    /// Who may vouch for it.
    pub(crate) roots: Roots,
}

/// Asks AWS for what the machine wrote to its console, where cloud-init writes its host keys; and, if they are not
/// there, the machine's edge.
///
/// # Errors
///
/// When nobody tells.
pub(crate) async fn host_keys(
    aws: &Aws,
    id: &str,
    page: Option<&EdgePage>,
) -> Result<HostKeys, CarrierError> {
    let console = match aws.ec2().console_output(id).await {
        Ok(output) => HostKeys::from_console(&output.text).map_err(|error| {
            CarrierError::passing(format!("{id} cannot be known by its host key"))
                .because(error)
                .hint("it writes them to its console when its first boot is over")
        }),
        Err(error) => Err(refused(error)),
    };
    match (console, page) {
        (Ok(keys), _) => Ok(keys),
        (Err(error), None) => Err(error),
        (Err(error), Some(page)) => shown(page).await.ok_or(error),
    }
}

async fn shown(page: &EdgePage) -> Option<HostKeys> {
    let trust = match &page.roots {
        Roots::SystemAnd(file) | Roots::Only(file) => UpstreamTrust::Authority(file.clone()),
        Roots::System => UpstreamTrust::System,
    };
    let url = format!("https://{}:{}{PATH}", page.host, page.at.port());
    let called =
        call_at(Some(page.at), &url, Method::GET, HeaderMap::new(), Bytes::new(), &trust, SHOWN_WITHIN);
    match called.await {
        Ok(answer) if answer.status.is_success() => {
            HostKeys::from_lines(&String::from_utf8_lossy(&answer.body))
        }
        Ok(answer) => {
            tracing::debug!(status = %answer.status, "the edge shows no host key");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "the edge is not reached for its host key");
            None
        }
    }
}
