use proptest::prelude::*;

use super::*;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(texts: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let mut layers = Layers::new(Some("alice".into()));
    let texts = texts.iter().map(|(name, text)| (Key::named(name).unwrap(), (*text).to_owned()));
    layers.push(Source::File(".env".into()), texts);
    Settings::read(&layers, &[]).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

const EDGE: [(&str, &str); 3] = [
    ("HOSTED_ZONE_DOMAIN", "proxy.example.com"),
    ("EDGE_DL_URL", "https://example.com/irp-arm64"),
    ("EDGE_SHA256", HASH),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Result<Settings, Vec<String>> {
    read(&[&EDGE, more].concat())
}

#[test]
fn little_is_needed_and_the_rest_has_defaults() {
    let settings = with(&[]).unwrap();
    assert_eq!(settings.name.as_str(), "alice.proxy.example.com");
    assert_eq!(settings.host.source, Source::User);
    assert_eq!(settings.upstream_port.value.get(), 3000);
    assert_eq!(settings.idle.value.seconds(), 3600);
    assert_eq!(settings.max_life.value, Hours::NEVER);
    assert_eq!(settings.cert_store.value, CertStore::Ssm);
    assert_eq!(settings.timezone.source, Source::Default);
    assert_eq!(settings.engine.value.to_string(), "irp");
    assert_eq!(settings.warnings(), []);
}

#[test]
fn without_a_role_nothing_is_asked_of_the_account() {
    let bare = with(&[("NO_ROLE", "1")]).unwrap();
    assert_eq!(bare.cert_store.value, CertStore::File);
    assert_eq!(bare.cert_store.source, Source::Follows(Key::NoRole));
    assert_eq!(bare.warnings(), [Warning::NoRole]);
    assert!(with(&[("NO_ROLE", "1"), ("CERT_STORE", "file")]).is_ok());
    let secret = ("SLACK_SIGNING_SECRET", "ssm:/irp/secret/alice/slack");
    let errors = with(&[("NO_ROLE", "true"), ("CERT_STORE", "ssm"), secret]).unwrap_err();
    assert!(
        errors[0].starts_with("CERT_STORE (.env) is a place that a machine without a role"),
        "{errors:?}"
    );
    assert!(errors[1].starts_with("SLACK_SIGNING_SECRET (.env) is a reference"), "{errors:?}");
    let caddy = ("CADDY_DL_URL", "https://example.com/caddy_2.11_linux_arm64.tar.gz");
    let errors = with(&[("NO_ROLE", "1"), caddy]).unwrap_err();
    assert!(errors[0].starts_with("NO_ROLE (.env) and engine caddy do not go together"), "{errors:?}");
    assert!(with(&[("NO_ROLE", "0"), caddy]).is_ok());
}

#[test]
fn one_certificate_authority_is_named() {
    let directory = ("ACME_DIRECTORY", "https://ca.example.com/directory");
    assert!(with(&[directory, ("ACME_STAGING", "0")]).is_ok());
    let errors = with(&[directory, ("ACME_STAGING", "1")]).unwrap_err();
    assert_eq!(
        errors,
        ["ACME_DIRECTORY (.env) and ACME_STAGING name two certificate authorities: keep one of them"]
    );
}

#[test]
fn every_mistake_is_told_at_once_with_key_source_and_what_is_allowed() {
    let errors = read(&[
        ("HOST_NAME", "my_host"),
        ("HOSTED_ZONE_DOMAIN", "https://example.com"),
        ("UPSTREAM_PORT", "70000"),
        ("TIMEZONE", "Asia/Tokio"),
        ("SHUTDOWN_TIMER_HOUR", "1h"),
    ])
    .unwrap_err();
    assert_eq!(
        errors,
        [
            "HOST_NAME (.env) `my_host` is no DNS label; allowed: letters, digits and inner hyphens, at most 63",
            "HOSTED_ZONE_DOMAIN (.env) `https://example.com` has a scheme in it, but is to be a bare domain; \
             allowed: a domain such as proxy.example.com, for which you have a public hosted zone",
            "EDGE_DL_URL is not set; allowed: an https:// URL of a file, with special characters encoded",
            "UPSTREAM_PORT (.env) `70000` is no port; allowed: a number from 1 to 65535 other than 22, 80 and 443",
            "SHUTDOWN_TIMER_HOUR (.env) `1h` is no number of hours; allowed: hours from 0.0003 to 8784, fractions \
             allowed, or 0 for never",
            "TIMEZONE (.env) `Asia/Tokio` is no time zone (did you mean Asia/Tokyo?); allowed: a name of the IANA \
             database, such as UTC and Asia/Tokyo",
        ]
    );
}

#[test]
fn the_engine_follows_from_what_is_to_be_downloaded() {
    let caddy = ("CADDY_DL_URL", "https://example.com/caddy_2.11_linux_arm64.tar.gz");
    let settings = with(&[caddy]).unwrap();
    assert_eq!(settings.engine.source, Source::Follows(Key::CaddyDlUrl));
    assert!(matches!(settings.engine.value, Engine::Caddy(_)));
    assert_eq!(settings.warnings(), [Warning::NoSignatures, Warning::NoHash { key: Key::CaddySha256 }]);
    // Named, it counts.
    assert!(matches!(with(&[caddy, ("ENGINE", "irp")]).unwrap().engine.value, Engine::Irp(_)));
    assert!(with(&[("ENGINE", "caddy")]).unwrap_err()[0].starts_with("CADDY_DL_URL is not set"));
    assert!(with(&[("ENGINE", "nginx")]).unwrap_err()[0].contains("`nginx` is no engine"));
}

#[test]
fn what_is_downloaded_must_run_on_the_machine_and_be_known() {
    let error = with(&[("INSTANCE_TYPE", "t3.nano")]).unwrap_err();
    assert_eq!(error, ["EDGE_DL_URL (.env) is for arm64, but the machine of INSTANCE_TYPE is x86_64"]);
    let error = read(&EDGE[..2]).unwrap_err();
    assert!(error[0].starts_with("EDGE_SHA256 is not set"), "{error:?}");
    let plain = ("CADDY_DL_URL", "http://example.com/caddy_arm64.tar.gz");
    assert!(with(&[plain]).unwrap_err()[0].starts_with("CADDY_SHA256 is not set"));
    assert!(with(&[plain, ("CADDY_SHA256", HASH)]).is_ok());
}

#[test]
fn a_release_knows_its_edges() {
    let edge = |arch: Arch| EdgeBinary {
        arch: Some(arch),
        artefact: Artefact {
            url: format!("https://example.com/irp-{arch}").parse().unwrap(),
            sha256: Some(HASH.parse().unwrap()),
        },
    };
    let released = [edge(Arch::Aarch64), edge(Arch::X86_64)];
    let count = |more: &[(Key, String)]| {
        let mut layers = Layers::new(Some("alice".into()));
        layers.push(Source::Flag, [(Key::HostedZoneDomain, "example.com".to_owned())]);
        layers.push(Source::Environment, more.iter().cloned());
        match Settings::read(&layers, &released).unwrap().engine.value {
            Engine::Irp(edges) => edges.len(),
            Engine::Caddy(_) => 0,
        }
    };
    assert_eq!(count(&[]), 2);
    assert_eq!(count(&[(Key::InstanceType, "t4g.nano".into())]), 1);
}

#[test]
fn a_secret_is_a_reference_or_stays_here() {
    let settings = with(&[("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5")]).unwrap();
    assert!(settings.slack_secret.is_none());
    let told = settings.warnings()[0].to_string();
    assert!(told.contains("ssm:/irp/secret/alice/slack") && !told.contains("8f74"), "{told}");
    assert!(!format!("{settings:?}").contains("8f74"));

    let settings = with(&[("SLACK_SIGNING_SECRET", "ssm:/irp/secret/alice/slack")]).unwrap();
    assert_eq!(settings.slack_secret.unwrap().value.as_str(), "ssm:/irp/secret/alice/slack");
    let error = with(&[("SLACK_SIGNING_SECRET", "ssm:/irp/secret/bob/slack")]).unwrap_err();
    assert!(error[0].contains("begins with ssm:/irp/secret/alice/"), "{error:?}");
}

#[test]
fn a_machine_that_nothing_ends_has_a_price() {
    let settings = with(&[("SHUTDOWN_TIMER_HOUR", "0")]).unwrap();
    assert_eq!(settings.warnings(), [Warning::NeverEnds { month: Some(7.36) }]);
    assert!(settings.warnings()[0].to_string().contains("about $7.36 a month"));
    assert!(with(&[("SHUTDOWN_TIMER_HOUR", "0"), ("MAX_LIFE_HOUR", "24")]).unwrap().warnings().is_empty());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_fail(key in 0..18_usize, text in "\\PC{0,80}") {
        let key = Key::all().nth(key).unwrap();
        match with(&[(key.name(), text.as_str())]) {
            Ok(_) => {}
            Err(errors) => prop_assert!(errors.iter().any(|error| error.contains(key.name())
                || matches!(key, Key::CaddyDlUrl | Key::Engine | Key::EdgeDlUrl | Key::InstanceType)), "{errors:?}"),
        }
    }
}
