//! The table of providers. Sources are each provider's own documentation on verifying its webhooks.

use std::time::Duration;

use crate::{
    manners::{Flow, Manners, People},
    row::Row,
};

/// Seconds that a signature is good for where the provider does not say otherwise.
const FIVE_MINUTES: u32 = 300;
/// Seconds, for those who allow more.
const TEN_MINUTES: u32 = 600;
/// Seconds that Mailgun's signature is good for: it tries again for eight hours.
const EIGHT_HOURS: u32 = 8 * 3600;

/// Standard Webhooks, which several providers follow; the names of the headers differ.
const STANDARD: Row<'static> = Row {
    signature: "webhook-signature",
    format: "list: :v1,",
    encoding: "base64",
    key: "base64:whsec_",
    template: "{id}.{ts}.{body}",
    timestamp: "header:webhook-timestamp:s",
    tolerance: FIVE_MINUTES,
    id: "header:webhook-id",
    ..Row::PLAIN
};

/// Base64 of HMAC-SHA256 over the body.
const BASE64: Row<'static> = Row { encoding: "base64", ..Row::PLAIN };

const PLAIN: Manners = Manners::PLAIN;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every provider that irp knows: its name, its signature scheme, its manners.
pub static TABLE: &[(&str, Row<'static>, Manners)] = &[
    (
        "slack",
        Row {
            signature: "x-slack-signature",
            format: "prefix:v0=",
            template: "v0:{ts}:{body}",
            timestamp: "header:x-slack-request-timestamp:s",
            tolerance: FIVE_MINUTES,
            id: "body:event_id",
            ..Row::PLAIN
        },
        Manners {
            title: "Slack",
            variable: "SLACK_SIGNING_SECRET",
            path: "/slack",
            for_people: &["install", "oauth_redirect"],
            deadline: seconds(3),
            retry: "x-slack-retry-num",
            handshake: Flow::Slack,
            people: People::Slack,
            ..PLAIN
        },
    ),
    (
        "github",
        Row {
            signature: "x-hub-signature-256",
            format: "prefix:sha256=",
            id: "header:x-github-delivery",
            ..Row::PLAIN
        },
        Manners {
            title: "GitHub",
            variable: "GITHUB_WEBHOOK_SECRET",
            again_by_people: true,
            kind: &["header:x-github-event"],
            ..PLAIN
        },
    ),
    (
        "gitlab",
        Row {
            signature: "x-gitlab-token",
            encoding: "text",
            algorithm: "token",
            // Not X-Gitlab-Event-UUID, which an event shares with those that its handling causes.
            id: "header:idempotency-key",
            ..Row::PLAIN
        },
        Manners {
            title: "GitLab",
            variable: "GITLAB_WEBHOOK_TOKEN",
            kind: &["header:x-gitlab-event"],
            ..PLAIN
        },
    ),
    (
        "gitlab-signing",
        STANDARD,
        Manners {
            title: "GitLab (signing token)",
            variable: "GITLAB_SIGNING_TOKEN",
            kind: &["header:x-gitlab-event"],
            ..PLAIN
        },
    ),
    (
        "bitbucket",
        Row {
            signature: "x-hub-signature",
            format: "prefix:sha256=",
            id: "header:x-request-uuid",
            ..Row::PLAIN
        },
        Manners {
            title: "Bitbucket",
            variable: "BITBUCKET_WEBHOOK_SECRET",
            kind: &["header:x-event-key"],
            ..PLAIN
        },
    ),
    (
        "jira",
        Row {
            signature: "x-hub-signature",
            format: "prefix:sha256=",
            id: "header:x-atlassian-webhook-identifier",
            ..Row::PLAIN
        },
        Manners {
            title: "Jira",
            variable: "JIRA_WEBHOOK_SECRET",
            kind: &["body:webhookEvent"],
            retry: "x-atlassian-webhook-retry",
            ..PLAIN
        },
    ),
    (
        "stripe",
        Row {
            signature: "stripe-signature",
            format: "kv:,:v1",
            template: "{ts}.{body}",
            timestamp: "key:t:s",
            tolerance: FIVE_MINUTES,
            id: "body:id",
            ..Row::PLAIN
        },
        Manners { title: "Stripe", variable: "STRIPE_WEBHOOK_SECRET", kind: &["body:type"], ..PLAIN },
    ),
    (
        "line",
        Row { signature: "x-line-signature", ..BASE64 },
        Manners { title: "LINE", variable: "LINE_CHANNEL_SECRET", handshake: Flow::Line, ..PLAIN },
    ),
    (
        "discord",
        Row {
            signature: "x-signature-ed25519",
            algorithm: "ed25519",
            key: "hex",
            template: "{ts}{body}",
            timestamp: "header:x-signature-timestamp:s",
            tolerance: FIVE_MINUTES,
            id: "body:id",
            ..Row::PLAIN
        },
        Manners {
            title: "Discord",
            variable: "DISCORD_PUBLIC_KEY",
            deadline: seconds(3),
            handshake: Flow::Discord,
            people: People::Discord,
            ..PLAIN
        },
    ),
    (
        "twilio",
        Row {
            signature: "x-twilio-signature",
            algorithm: "hmac-sha1",
            template: "{twilio}",
            id: "header:i-twilio-idempotency-token",
            ..BASE64
        },
        Manners {
            title: "Twilio",
            variable: "TWILIO_AUTH_TOKEN",
            deadline: seconds(15),
            people: People::Twilio,
            ..PLAIN
        },
    ),
    (
        "shopify",
        Row { signature: "x-shopify-hmac-sha256", id: "header:x-shopify-webhook-id", ..BASE64 },
        Manners {
            title: "Shopify",
            variable: "SHOPIFY_CLIENT_SECRET",
            deadline: seconds(5),
            kind: &["header:x-shopify-topic"],
            ..PLAIN
        },
    ),
    (
        "zoom",
        Row {
            signature: "x-zm-signature",
            format: "prefix:v0=",
            template: "v0:{ts}:{body}",
            timestamp: "header:x-zm-request-timestamp:s",
            tolerance: FIVE_MINUTES,
            ..Row::PLAIN
        },
        Manners {
            title: "Zoom",
            variable: "ZOOM_WEBHOOK_SECRET_TOKEN",
            deadline: seconds(3),
            kind: &["body:event"],
            handshake: Flow::Zoom,
            ..PLAIN
        },
    ),
    (
        "standard-webhooks",
        STANDARD,
        Manners { title: "Standard Webhooks", variable: "WEBHOOK_SECRET", kind: &["body:type"], ..PLAIN },
    ),
    (
        "standard-webhooks-ed25519",
        Row { format: "list: :v1a,", algorithm: "ed25519", key: "base64:whpk_", ..STANDARD },
        Manners {
            title: "Standard Webhooks (public key)",
            variable: "WEBHOOK_PUBLIC_KEY",
            kind: &["body:type"],
            ..PLAIN
        },
    ),
    (
        "svix",
        Row {
            signature: "svix-signature",
            timestamp: "header:svix-timestamp:s",
            id: "header:svix-id",
            ..STANDARD
        },
        Manners { title: "Svix", variable: "SVIX_WEBHOOK_SECRET", kind: &["body:type"], ..PLAIN },
    ),
    (
        "msteams",
        Row { signature: "authorization", format: "prefix:HMAC ", key: "base64", ..BASE64 },
        Manners {
            title: "Microsoft Teams",
            variable: "MSTEAMS_SECURITY_TOKEN",
            deadline: seconds(5),
            kind: &["body:type"],
            people: People::Teams,
            ..PLAIN
        },
    ),
    (
        "sendgrid",
        Row {
            signature: "x-twilio-email-event-webhook-signature",
            algorithm: "ecdsa-p256",
            key: "base64",
            template: "{ts}{body}",
            timestamp: "header:x-twilio-email-event-webhook-timestamp:s",
            tolerance: FIVE_MINUTES,
            ..BASE64
        },
        Manners {
            title: "SendGrid",
            variable: "SENDGRID_PUBLIC_KEY",
            // Whether a second attempt is signed anew is not documented.
            repeats_bytes: true,
            ..PLAIN
        },
    ),
    (
        "mailgun",
        Row {
            signature: "body:signature.signature",
            template: "{ts}{id}",
            timestamp: "body:signature.timestamp:s",
            tolerance: EIGHT_HOURS,
            id: "body:signature.token",
            ..Row::PLAIN
        },
        Manners {
            title: "Mailgun",
            variable: "MAILGUN_SIGNING_KEY",
            repeats_bytes: true,
            kind: &["body:event-data.event"],
            ..PLAIN
        },
    ),
    (
        "pagerduty",
        Row { signature: "x-pagerduty-signature", format: "list:,:v1=", id: "body:event.id", ..Row::PLAIN },
        Manners {
            title: "PagerDuty",
            variable: "PAGERDUTY_WEBHOOK_SECRET",
            kind: &["body:event.event_type"],
            ..PLAIN
        },
    ),
    (
        "linear",
        Row {
            signature: "linear-signature",
            timestamp: "body:webhookTimestamp:ms",
            tolerance: 60,
            id: "header:linear-delivery",
            ..Row::PLAIN
        },
        Manners {
            title: "Linear",
            variable: "LINEAR_WEBHOOK_SECRET",
            deadline: seconds(5),
            kind: &["header:linear-event"],
            ..PLAIN
        },
    ),
    (
        "meta",
        Row { signature: "x-hub-signature-256", format: "prefix:sha256=", ..Row::PLAIN },
        Manners {
            title: "Meta",
            variable: "META_APP_SECRET",
            kind: &["body:object"],
            handshake: Flow::Meta,
            ..PLAIN
        },
    ),
    (
        "square",
        Row {
            signature: "x-square-hmacsha256-signature",
            template: "{url}{body}",
            id: "body:event_id",
            ..BASE64
        },
        Manners { title: "Square", variable: "SQUARE_SIGNATURE_KEY", kind: &["body:type"], ..PLAIN },
    ),
    (
        "hubspot",
        Row {
            signature: "x-hubspot-signature-v3",
            template: "{method}{url*}{body}{ts}",
            timestamp: "header:x-hubspot-request-timestamp:ms",
            tolerance: FIVE_MINUTES,
            ..BASE64
        },
        Manners { title: "HubSpot", variable: "HUBSPOT_CLIENT_SECRET", deadline: seconds(5), ..PLAIN },
    ),
    (
        "hubspot-v2",
        Row {
            signature: "x-hubspot-signature",
            algorithm: "sha256",
            template: "{secret}{method}{url}{body}",
            ..Row::PLAIN
        },
        Manners { title: "HubSpot (v2)", variable: "HUBSPOT_CLIENT_SECRET", deadline: seconds(5), ..PLAIN },
    ),
    (
        "hubspot-v1",
        Row {
            signature: "x-hubspot-signature",
            algorithm: "sha256",
            template: "{secret}{body}",
            ..Row::PLAIN
        },
        Manners { title: "HubSpot (v1)", variable: "HUBSPOT_CLIENT_SECRET", deadline: seconds(5), ..PLAIN },
    ),
    (
        "docusign",
        Row { signature: "x-docusign-signature-*", ..BASE64 },
        Manners { title: "DocuSign", variable: "DOCUSIGN_CONNECT_KEY", kind: &["body:event"], ..PLAIN },
    ),
    (
        "typeform",
        Row { signature: "typeform-signature", format: "prefix:sha256=", id: "body:event_id", ..BASE64 },
        Manners { title: "Typeform", variable: "TYPEFORM_SECRET", kind: &["body:event_type"], ..PLAIN },
    ),
    (
        "calendly",
        Row {
            signature: "calendly-webhook-signature",
            format: "kv:,:v1",
            template: "{ts}.{body}",
            timestamp: "key:t:s",
            tolerance: FIVE_MINUTES,
            ..Row::PLAIN
        },
        Manners { title: "Calendly", variable: "CALENDLY_SIGNING_KEY", kind: &["body:event"], ..PLAIN },
    ),
    (
        "intercom",
        Row {
            signature: "x-hub-signature",
            format: "prefix:sha1=",
            algorithm: "hmac-sha1",
            id: "body:id",
            ..Row::PLAIN
        },
        Manners {
            title: "Intercom",
            variable: "INTERCOM_CLIENT_SECRET",
            deadline: seconds(5),
            kind: &["body:topic"],
            handshake: Flow::Head,
            ..PLAIN
        },
    ),
    (
        "dropbox",
        Row { signature: "x-dropbox-signature", ..Row::PLAIN },
        Manners { title: "Dropbox", variable: "DROPBOX_APP_SECRET", handshake: Flow::Dropbox, ..PLAIN },
    ),
    (
        "box",
        Row {
            signature: "box-signature-primary box-signature-secondary",
            template: "{body}{ts}",
            timestamp: "header:box-delivery-timestamp:rfc3339",
            tolerance: TEN_MINUTES,
            id: "header:box-delivery-id",
            ..BASE64
        },
        Manners {
            title: "Box",
            variable: "BOX_SIGNATURE_KEY",
            repeats_bytes: true,
            kind: &["body:trigger"],
            ..PLAIN
        },
    ),
    (
        "zendesk",
        Row {
            signature: "x-zendesk-webhook-signature",
            template: "{ts}{body}",
            timestamp: "header:x-zendesk-webhook-signature-timestamp:rfc3339",
            tolerance: FIVE_MINUTES,
            id: "header:x-zendesk-webhook-invocation-id",
            ..BASE64
        },
        Manners { title: "Zendesk", variable: "ZENDESK_WEBHOOK_SECRET", kind: &["body:type"], ..PLAIN },
    ),
    (
        "asana",
        Row { signature: "x-hook-signature", ..Row::PLAIN },
        Manners { title: "Asana", variable: "ASANA_WEBHOOK_SECRET", handshake: Flow::Asana, ..PLAIN },
    ),
    (
        "telegram",
        Row {
            signature: "x-telegram-bot-api-secret-token",
            encoding: "text",
            algorithm: "token",
            id: "body:update_id",
            ..Row::PLAIN
        },
        Manners { title: "Telegram", variable: "TELEGRAM_SECRET_TOKEN", ..PLAIN },
    ),
    (
        "twitch",
        Row {
            signature: "twitch-eventsub-message-signature",
            format: "prefix:sha256=",
            template: "{id}{ts}{body}",
            timestamp: "header:twitch-eventsub-message-timestamp:rfc3339",
            tolerance: TEN_MINUTES,
            id: "header:twitch-eventsub-message-id",
            ..Row::PLAIN
        },
        Manners {
            title: "Twitch",
            variable: "TWITCH_EVENTSUB_SECRET",
            repeats_bytes: true,
            kind: &["header:twitch-eventsub-subscription-type", "header:twitch-eventsub-message-type"],
            handshake: Flow::Twitch,
            ..PLAIN
        },
    ),
    (
        "sns",
        Row {
            signature: "body:Signature",
            encoding: "base64",
            algorithm: "sns",
            id: "body:MessageId",
            ..Row::PLAIN
        },
        Manners {
            title: "AWS SNS",
            variable: "SNS_TOPIC_ARN",
            deadline: seconds(15),
            repeats_bytes: true,
            kind: &["body:Type"],
            handshake: Flow::Sns,
            ..PLAIN
        },
    ),
];
