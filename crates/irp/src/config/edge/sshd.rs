//! `[sshd]` of `edge.toml`.

use std::path::Path;

use irp_edge::{config::SshWay, tunnels::sshd};

use crate::{
    config::edge_file::{EdgeFile, Key, Sshd},
    error::{Failure, Kind},
};

/// The way in through this machine's sshd.
///
/// # Errors
///
/// When it names a port, an account or keys that cannot be used.
pub(super) fn way(settings: &Sshd, file: &EdgeFile) -> Result<SshWay, Failure> {
    let own: Vec<u16> = file.listen.iter().chain(&file.http_listen).map(std::net::SocketAddr::port).collect();
    let port = sshd::UpstreamPort::new(settings.upstream_port, &own)
        .map_err(|error| Failure::new(Kind::Config, "[sshd] upstream_port is wrong").because(&error))?;
    let mut names = settings.names.iter().cloned();
    let name = names.next().ok_or_else(|| Failure::new(Kind::Internal, "[sshd] has no names"))?;
    let further: Vec<_> = names.collect();
    let sockets = (!further.is_empty()).then(|| (settings.sockets.clone(), further));
    let on_public_port = if settings.on_443 { Some(own_sshd(settings, file, port)?) } else { None };
    Ok(SshWay { name, port, sockets, owner: sshd::Owner::FirstCome, on_public_port })
}

/// Our own sshd lets in who may claim all names of this way; they must be one person.
fn own_sshd(
    settings: &Sshd,
    file: &EdgeFile,
    port: sshd::UpstreamPort,
) -> Result<sshd::SshdWayConfig, Failure> {
    let wrong = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Kind::Config, "[sshd] on_443 cannot be switched on").because(error)
    };
    let account = sshd::Account::named(&settings.account).map_err(|error| {
        wrong(&error).hint(format!("adduser --system --group --shell /bin/sh {}", settings.account))
    })?;
    let may = |key: &&Key| settings.names.iter().all(|name| key.names.iter().any(|own| own.matches(name)));
    let mut owned = Vec::new();
    for key in file.keys.iter().filter(may) {
        let line = key.public.key.to_string();
        owned.push((key.public.comment.as_str(), sshd::AuthorizedKey::parse(&line).map_err(|e| wrong(&e))?));
    }
    let keys = sshd::OwnerKeys::new(owned).map_err(|error| {
        wrong(&error)
            .hint("the keys of one person have the same comment, and may claim all `names` of [sshd]")
    })?;
    // Beside the sockets: the account must be able to pass, and the state folder is closed to it.
    let folder = settings.sockets.parent().unwrap_or(Path::new("/run/irp")).join("sshd");
    Ok(sshd::SshdWayConfig {
        sshd: SSHD.into(),
        ssh_keygen: SSH_KEYGEN.into(),
        folder,
        account,
        keys,
        port,
        sockets: (settings.names.len() > 1).then(|| settings.sockets.clone()),
        share_account: false,
        alive_interval: sshd::DEFAULT_ALIVE_INTERVAL,
        alive_count: sshd::DEFAULT_ALIVE_COUNT,
        login_grace: sshd::DEFAULT_LOGIN_GRACE,
        limits: sshd::Limits::default(),
    })
}

/// Where Debian, Ubuntu and Amazon Linux have them; sshd wants to be called by its whole path.
const SSHD: &str = "/usr/sbin/sshd";
const SSH_KEYGEN: &str = "/usr/bin/ssh-keygen";
