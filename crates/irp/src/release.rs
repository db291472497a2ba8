//! What a release knows of its own artefacts, so that nobody has to name what the machine is to download.

use irp_launch::{
    settings::EdgeBinary,
    values::{Arch, Artefact},
};

/// The edge for each architecture: URL and SHA-256, given when a release is built. Other builds have none.
const EDGES: [(Arch, Option<&str>, Option<&str>); 2] = [
    (Arch::Aarch64, option_env!("IRP_RELEASE_URL_AARCH64"), option_env!("IRP_RELEASE_SHA256_AARCH64")),
    (Arch::X86_64, option_env!("IRP_RELEASE_URL_X86_64"), option_env!("IRP_RELEASE_SHA256_X86_64")),
];

/// The edges that machines may download.
pub(crate) fn edges() -> Vec<EdgeBinary> {
    let edge = |(arch, url, sha256): (Arch, Option<&str>, Option<&str>)| {
        let artefact = Artefact { url: url?.parse().ok()?, sha256: Some(sha256?.parse().ok()?) };
        Some(EdgeBinary { arch: Some(arch), artefact })
    };
    EDGES.into_iter().filter_map(edge).collect()
}

/// Stands for the edge where no machine is launched. Nothing is downloaded from a name below `invalid` (RFC 2606).
pub(crate) fn any_edge() -> Vec<EdgeBinary> {
    let url = "https://irp.invalid/irp".parse();
    url.map(|url| vec![EdgeBinary { arch: None, artefact: Artefact { url, sha256: None } }])
        .unwrap_or_default()
}
