//! How long verifying a webhook takes, in process: no socket, no TLS, no copy of the body.
//!
//! `bench-verification [ROUNDS]` verifies signed requests with bodies of 2 KiB, prints one line for each provider with the
//! median and the fastest of the rounds, and ends with 1 where Slack's median misses the limit of [`LIMIT_US`].

use std::{
    env,
    error::Error,
    hint::black_box,
    io::Write,
    process::ExitCode,
    time::{Instant, SystemTime},
};

use http::HeaderMap;
use irp_webhook::{Provider, Request, Secret, Settings, Verifier};

/// What verifying Slack's 2 KiB may take, in microseconds.
const LIMIT_US: f64 = 10.0;

/// Providers of each kind: two MACs over a header's time, one without, one with SHA-1 over sorted parameters.
const PROVIDERS: [&str; 4] = ["slack", "github", "standard-webhooks", "twilio"];

/// A secret in the form that all of them take.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Bytes of a body.
const BODY: usize = 2048;

/// Verifications in one round.
const IN_ROUND: u32 = 2000;

/// Rounds unless told otherwise.
const ROUNDS: usize = 50;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let rounds = env::args().nth(1).map_or(Ok(ROUNDS), |word| word.parse())?.max(1);
    let mut reached = true;
    for name in PROVIDERS {
        let times = measure(name, rounds)?;
        let (median, fastest) = (times[times.len() / 2], times[0]);
        if name == "slack" {
            reached = median <= LIMIT_US;
        }
        writeln!(std::io::stdout(), "{name:<18} {median:6.2} µs (fastest {fastest:.2}) for {BODY} bytes")?;
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Microseconds per verification in each round, sorted.
fn measure(name: &str, rounds: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let provider = Provider::named(name).ok_or("no such provider")?;
    let (secret, now) = (Secret::new(SECRET), SystemTime::now());
    let filler = "x".repeat(BODY);
    let body = match name {
        "twilio" => format!("Body={}", &filler[5..]),
        _ => format!(r#"{{"type":"event_callback","text":"{}"}}"#, &filler[36..]),
    };
    let mut headers = HeaderMap::new();
    let kind = if name == "twilio" { "application/x-www-form-urlencoded" } else { "application/json" };
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    let url = "https://alice.example.com/hook";
    let request = Request { method: "POST", url, headers: &headers, body: body.as_bytes() };
    let signed = provider.sign(&secret, &request, now, "msg_1")?;
    let mut headers = headers.clone();
    headers.extend(signed.headers);
    let request = Request { method: "POST", url: &signed.url, headers: &headers, body: &signed.body };
    let verifier = Verifier::new(provider, &[secret], Settings::default())?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        for _ in 0..IN_ROUND {
            // As the edge does it: the headers before the body is there, then everything.
            black_box(verifier.check_headers(request.headers))?;
            black_box(verifier.verify(black_box(&request), now, None))?;
        }
        times.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(IN_ROUND));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
