//! The pages on webhooks do what they say: who exports what stands there and types what stands there gets what the
//! provider signs, at the URL that is to be pasted, and nothing else.

use std::{collections::BTreeMap, fs, path::Path};

use irp_testkit::origin::Bot;
use irp_webhook::{Provider, TABLE};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, curl, irp},
};

const NAME: &str = "alice.localhost";

/// What a page has somebody do for one provider.
struct Recipe {
    page: String,
    provider: String,
    /// As it stands behind `--verify`.
    verify: String,
    /// What is exported before.
    variables: Vec<String>,
}

fn pages() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/webhooks");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let named = files.map(|path| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    });
    named.filter(|(name, _)| name != "README.md").collect()
}

/// The blocks of a page in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Every provider of a block with `irp connect`, and those of tables with a column for the variable, where the page says
/// that each gets a path of its own name.
fn recipes() -> Vec<Recipe> {
    let mut recipes = Vec::new();
    for (page, text) in pages() {
        for block in blocks(&text, "sh") {
            let words: Vec<&str> = block.split_whitespace().collect();
            let exported = |word: &&str| {
                let (name, _) = word.split_once('=')?;
                let is_variable = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                is_variable.then(|| name.to_owned())
            };
            let variables: Vec<String> = words.iter().filter_map(exported).collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "--verify") {
                let provider = pair[1].split('=').next().unwrap().to_owned();
                recipes.push(Recipe {
                    page: page.clone(),
                    provider,
                    verify: pair[1].to_owned(),
                    variables: variables.clone(),
                });
            }
        }
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let code = |cell: &&str| {
                let word = cell.strip_prefix('`')?.strip_suffix('`')?;
                (!word.contains('`')).then(|| word.to_owned())
            };
            let codes: Vec<String> = cells.iter().filter_map(code).collect();
            let Some(provider) = codes.iter().find(|word| Provider::named(word).is_some()) else { continue };
            if recipes.iter().any(|recipe| recipe.provider == *provider) {
                continue;
            }
            let variables = codes.iter().filter(|word| *word != provider).cloned().collect();
            let verify = format!("{provider}=/hooks/{provider}");
            recipes.push(Recipe { page: page.clone(), provider: provider.clone(), verify, variables });
        }
    }
    recipes
}

/// A secret of the form that the provider has.
fn secret(provider: &str) -> &'static str {
    match provider {
        "standard-webhooks" | "svix" | "gitlab-signing" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msteams" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "discord" => "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "standard-webhooks-ed25519" => "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "sendgrid" => {
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
        }
        "sns" => "arn:aws:sns:us-east-1:123456789012:orders",
        _ => "hush-hush",
    }
}

/// Of the same form, and another one.
fn other(provider: &str) -> &'static str {
    match provider {
        "standard-webhooks" | "svix" | "gitlab-signing" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msteams" => "YW5vdGhlci1zZWNyZXQ=",
        _ => "another one",
    }
}

#[test]
fn what_the_pages_say_lets_in_what_the_provider_signs_and_nothing_else() {
    let recipes = recipes();
    for (name, _, _) in TABLE {
        assert!(
            recipes.iter().any(|recipe| recipe.provider == *name),
            "no page tells what to type for {name}"
        );
    }
    let home = TempDir::new().unwrap();
    let all = pages();
    // Of rows that one writes, the page has one.
    let own = blocks(&all["standards.md"], "toml").concat();
    fs::write(home.path().join("irp.toml"), own).unwrap();

    let key = key_table(&keygen(home.path()), &[NAME]);
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}"));
    let bot = Bot::start();
    let ca = ca_path(home.path());
    let (host, address) = (edge.host(NAME), edge.address.to_string());
    let mut tried = 0;
    for recipe in &recipes {
        let Recipe { page, provider, verify, variables } = recipe;
        let place = format!("{page}: --verify {verify}");
        let upstream = bot.address().port().to_string();
        let mut command = irp(home.path(), &["--json", "connect", &host, &upstream, "--verify", verify]);
        command.args(["--connect-to", &address, "--cacert", &ca]);
        command.envs(variables.iter().map(|name| (name, secret(provider))));
        let mut client = Running::start(command, home.path().join("client.log"));
        client.event("connected");

        let known = Provider::named(provider);
        let path = match (verify.split_once('='), &known) {
            (Some((_, path)), _) => path,
            // Where the page of Slack sends its events.
            (None, Some(provider)) if provider.name() == "slack" => "/slack/events",
            (None, _) => "/hooks/acme",
        };
        let pasted = [format!("https://NAME{path}"), "such as `--verify".to_owned()];
        assert!(pasted.iter().any(|url| all[page].contains(url)), "{place}: no page has {}", pasted[0]);
        let to = format!("https://{host}{path}");
        let resolve = format!("{host}:127.0.0.1");
        let status = ["-o", "/dev/null", "-w", "%{http_code}"];
        let unsigned = curl(&ca, &[&status[..], &["--resolve", &resolve, "-d", "{}", &to]].concat());
        assert_eq!(unsigned, "401", "{place}");
        if known.is_none_or(|provider| provider.is_symmetric() && !provider.learns_secret()) {
            tried += 1;
            let sign = |secret: &str| {
                let mut command = irp(home.path(), &["sign", provider, "--to", &to]);
                command.envs(variables.iter().map(|name| (name, secret))).output().unwrap()
            };
            let before = bot.count();
            let sent = sign(secret(provider));
            assert!(sent.status.success(), "{place}: {}", String::from_utf8_lossy(&sent.stderr));
            assert_eq!(bot.count(), before + 1, "{place}");
            assert_eq!(bot.taken()[before].value("irp-verified"), provider, "{place}");
            let refused = sign(other(provider));
            assert!(String::from_utf8_lossy(&refused.stderr).contains("401"), "{place}");
            assert_eq!(bot.count(), before + 1, "{place}");
        }
        client.interrupt();
        assert_eq!(client.end().code(), Some(0), "{place}");
    }
    assert!(tried > 25, "{tried}");
    edge.stop();
}
