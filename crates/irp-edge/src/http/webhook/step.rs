//! Two steps of the pipeline: verify the signature, answer handshakes.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Uri, header, request};
use hyper::body::Incoming;
use irp_webhook::{Answer, Failure, Handshake, Request, Seen};
use irp_wire::policy::{VERIFIED, WEBHOOK, Webhook};

use super::{
    body::read,
    policy::{Owner, Policies, Rule},
};
use crate::{
    certs::{Clock as _, SystemClock},
    http::{Refusal, body::Whole, headers::Target, service::Shared},
};

/// The longest body of a request whose headers already show that it is not signed: enough for a handshake.
const UNSIGNED_MAX: usize = 16 * 1024;

/// What becomes of a request to a name with policies.
pub(in crate::http) enum Outcome {
    /// It goes on as it came: its path is open.
    Open(Incoming),
    /// It goes on, with its body read.
    Checked(Whole, Note),
    /// The edge answers a handshake; the text says which.
    Answered(Answer, String),
}

/// What is known about a request that goes on, and has to be told or taken back.
pub(in crate::http) struct Note {
    rule: Arc<Rule>,
    webhook: Webhook,
    /// A signing that is noted against replays.
    noted: Option<[u8; 32]>,
}

/// Verifies a request by the policies of its name.
pub(in crate::http) async fn check(
    shared: &Shared,
    policies: &Policies,
    target: &Target,
    parts: &request::Parts,
    body: Incoming,
) -> Result<Outcome, Refusal> {
    let rule = match policies.owner(&parts.method, parts.uri.path()) {
        Owner::Provider(rule) => rule,
        Owner::Everybody => return Ok(Outcome::Open(body)),
        Owner::Nobody => {
            // A visitor of HTTP/2 who still sends would take the answer for a failure.
            let _ = read(body, UNSIGNED_MAX, None, shared.limits.upload_idle, &shared.budget).await;
            return Err(Refusal::Closed);
        }
    };
    let early = rule.verifier.check_headers(&parts.headers);
    let may_be_signed = early.is_ok() || rule.report;
    let limit = if may_be_signed { policies.body_max() } else { policies.body_max().min(UNSIGNED_MAX) };
    let announced = announced(&parts.headers);
    let whole = read(body, limit, announced, shared.limits.upload_idle, &shared.budget).await;
    let whole = match (whole, early) {
        (Err(Refusal::TooLarge), Err(failure)) if !rule.report => return Err(refused(&rule, &failure)),
        (whole, _) => whole?,
    };
    let url = public_url(&target.host, &parts.uri);
    let request =
        Request { method: parts.method.as_str(), url: &url, headers: &parts.headers, body: whole.bytes() };
    judge(&rule, &request).map(|judged| match judged {
        Judged::Answer(answer, text) => Outcome::Answered(answer, text),
        Judged::Pass(webhook, noted) => {
            let note = Note { rule: Arc::clone(&rule), webhook, noted };
            Outcome::Checked(whole, note)
        }
    })
}

enum Judged {
    Answer(Answer, String),
    Pass(Webhook, Option<[u8; 32]>),
}

fn judge(rule: &Rule, request: &Request<'_>) -> Result<Judged, Refusal> {
    let provider = rule.verifier.provider();
    let kind = provider.kind(request);
    let answered = |handshake| match handshake {
        Some(Handshake::Answer(answer)) if rule.handshakes => {
            let what = kind.name.as_deref().unwrap_or("handshake");
            Some(Judged::Answer(answer, format!("{} ✓ {what}", provider.name())))
        }
        // What else there is, the program behind the tunnel has to do.
        _ => None,
    };
    if let Some(judged) = answered(rule.verifier.open_handshake(request)) {
        return Ok(judged);
    }
    let now = SystemClock.now();
    let verdict = rule.verifier.verify(request, now, None);
    let mut noted = None;
    let failure = match verdict {
        Ok(verified) => {
            if let Some(judged) = answered(rule.verifier.signed_handshake(request, &verified)) {
                return Ok(judged);
            }
            match rule.see(verified.fingerprint, now) {
                Some(Seen::Again) => Some(Failure::Replayed),
                Some(Seen::New) => {
                    noted = Some(verified.fingerprint);
                    None
                }
                None => None,
            }
        }
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure.as_ref().filter(|_| !rule.report) {
        return Err(refused(rule, failure));
    }
    let deadline = provider.manners().deadline.as_millis();
    let webhook = Webhook {
        provider: provider.name().to_owned(),
        failure: failure.map(|failure| failure.to_string()),
        kind: kind.name,
        retry: kind.retry,
        deadline_ms: u64::try_from(deadline).unwrap_or(u64::MAX),
    };
    Ok(Judged::Pass(webhook, noted))
}

fn refused(rule: &Rule, failure: &Failure) -> Refusal {
    Refusal::Unverified(format!("{} ✗ {failure}", rule.verifier.provider().name()))
}

/// The URL as the provider called it. Nobody signs a URL without TLS.
fn public_url(host: &HeaderValue, uri: &Uri) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    format!("https://{}{path}", host.to_str().unwrap_or_default())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Note {
    /// Tells the upstream that the request was verified, and the client what it is.
    pub(in crate::http) fn tell(&self, headers: &mut HeaderMap) {
        if self.webhook.failure.is_none()
            && let Ok(name) = HeaderValue::try_from(self.webhook.provider.as_str())
        {
            headers.insert(VERIFIED, name);
        }
        if let Some(value) = self.webhook.to_header() {
            headers.insert(WEBHOOK, value);
        }
    }

    /// The request was answered by the upstream: the same again is a replay.
    pub(in crate::http) fn keep(mut self) {
        self.noted = None;
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(noted) = self.noted.take() {
            self.rule.forget(&noted);
        }
    }
}
