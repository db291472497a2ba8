//! `irp sign PROVIDER --to URL`: a correctly signed sample, to try a bot without its provider.

use std::{fs, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::Method;
use irp_client::{
    UpstreamTrust,
    call::{Called, call},
};
use irp_webhook::{Provider, Request, Sample, Secret};
use serde_json::json;

use crate::{
    authority,
    cli::Sign,
    clock,
    config::{
        secrets::Secrets,
        senders::{self, Named},
    },
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// How long an answer is waited for; longer than any provider does.
const WITHIN: Duration = Duration::from_secs(30);

/// Names that the authority of this machine signs for.
const LOCAL: &str = "localhost";

/// Sends it and shows the answer.
pub(super) async fn run(flags: Sign, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let Named { provider, variable, .. } = senders::named(&flags.provider, environment)?;
    if !provider.is_symmetric() {
        let title = provider.title();
        return Err(Failure::new(Kind::User, format!("{title} signs with a private key that only it has"))
            .hint("irp can verify its requests, and sign none"));
    }
    let variable = flags.secret_env.as_ref().unwrap_or(&variable);
    let secrets = Secrets::of_client().of(&provider, variable)?;
    let secret = secrets.first().map(|secret| Secret::new(secret.expose()));
    let secret = secret.ok_or_else(|| Failure::new(Kind::Internal, "there is no secret"))?;
    let now = clock::now();
    let id = format!("irp{}", now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis()));
    let sample = match &flags.body {
        Some(file) => Sample::of_body(fs::read(file).map_err(|error| {
            Failure::new(Kind::Config, format!("cannot read {}", file.display())).because(&error)
        })?),
        None => provider.sample(flags.event.as_deref(), now, &id),
    };
    let request = Request { method: "POST", url: &flags.to, headers: &sample.headers, body: &sample.body };
    let signed = provider
        .sign(&secret, &request, now, &id)
        .map_err(|error| Failure::new(Kind::User, "this cannot be signed").because(&error))?;
    let kind = provider.kind(&request).name.unwrap_or_default();
    let mut headers = sample.headers;
    for (name, value) in signed.headers {
        headers.insert(name, value);
    }
    let trust = trust(&flags, environment)?;
    let answered = call(&signed.url, Method::POST, headers, Bytes::from(signed.body), &trust, WITHIN).await;
    let answered = answered.map_err(|error| {
        Failure::new(Kind::Network, format!("{} gives no answer", flags.to)).because(&error)
    })?;
    Ok(show(&answered, &provider, &kind, ui))
}

/// The system's authorities, and for names of this machine its own.
fn trust(flags: &Sign, environment: &Environment) -> Result<UpstreamTrust, Failure> {
    if let Some(file) = &flags.cacert {
        return Ok(UpstreamTrust::Authority(file.clone()));
    }
    let host = flags.to.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', ':']).next());
    let is_local =
        host.is_some_and(|host| host == LOCAL || host.ends_with(".localhost") || host == "127.0.0.1");
    if is_local {
        return Ok(UpstreamTrust::Authority(authority::open(environment)?.path().to_owned()));
    }
    Ok(UpstreamTrust::System)
}

fn show(answered: &Called, provider: &Provider, kind: &str, ui: &Ui) -> ExitCode {
    let (status, body) = (answered.status, String::from_utf8_lossy(&answered.body));
    let ms = u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX);
    let deadline = provider.manners().deadline;
    if ui.is_for_programs() {
        ui.event("answer", &json!({ "status": status.as_u16(), "ms": ms, "body": body, "kind": kind }));
    } else {
        let limit = deadline.as_secs_f32();
        ui.line(&format!("{} {kind} → {status}   {ms} ms of {limit:.1} s", provider.name()));
        if !body.is_empty() {
            ui.result(&body);
        }
    }
    if answered.took > deadline {
        ui.warning_line(&format!("{} would not have waited so long", provider.title()));
    }
    if status.is_success() { ExitCode::SUCCESS } else { Kind::Network.exit_code() }
}
