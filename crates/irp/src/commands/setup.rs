//! `irp setup`.

use std::{process::ExitCode, time::UNIX_EPOCH};

use irp_launch::{
    policy::{Edge, administrator, person},
    settings::Settings,
    setup::{Blueprint, cloudformation, terraform},
};
use serde_json::json;

use crate::{
    cli::setup::{Print, Setup},
    clock,
    cloud::{
        account::{self, Account, explain},
        setup::{
            self,
            apply::Builder,
            look::{Sought, look},
            plan::{Item, plan},
            remove::{leaving, remove},
        },
        zone::{self, Zone},
    },
    config::launch,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// Resolvers that were told that a name does not exist ask again after so many seconds at the earliest; more is told.
const FORGETTING_WORTH_TELLING: u32 = 60;

/// A zone that is yet to be made.
const NO_ZONE_YET: &str = "ZONE_ID";

/// Compares what is wanted with what is there, and makes, prints or removes it.
pub(super) async fn run(flags: &Setup, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let settings = launch::settings_without_program(&flags.settings, environment, ui)?;
    let account = account::open(&flags.access, ui).await?;
    let zone = zone_of(&account, flags, &settings, ui).await?;
    if flags.delete {
        let sought = setup::sought(&account, &zone, &settings, &flags.wishes)?;
        return delete(&account, &sought, flags.dry_run, ui).await;
    }
    let blueprint = setup::blueprint(&account, &zone, &settings, &flags.wishes).await?;
    if let Some(what) = flags.print {
        return print(what, &account, &zone, &settings, &blueprint, ui);
    }
    make(&account, &zone, &blueprint, flags.dry_run, ui).await
}

/// The zone, made if that was asked for.
async fn zone_of(account: &Account, flags: &Setup, settings: &Settings, ui: &Ui) -> Result<Zone, Failure> {
    let domain = settings.zone.value.name().as_str();
    if !flags.wishes.create_zone {
        return zone::find(account, domain).await;
    }
    let zones = account.aws.route53().zones_named(domain).await.map_err(|error| explain(&error))?;
    if zones.iter().any(|zone| !zone.private) {
        return zone::find(account, domain).await;
    }
    if flags.dry_run || flags.print.is_some() {
        would(ui, "create", "zone", domain);
        return Ok(Zone { id: NO_ZONE_YET.to_owned(), domain: domain.to_owned() });
    }
    let step = ui.step("zone", "making it");
    // The same reference again makes no second zone: one a day is enough.
    let day = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    let made = account.aws.route53().create_zone(domain, &format!("irp {domain} {day}")).await;
    let (details, _) = made.map_err(|error| explain(&error))?;
    step.done(&format!("{domain}  {}", details.zone.id));
    ui.event(
        "zone",
        &json!({ "domain": domain, "id": details.zone.id, "name_servers": details.name_servers }),
    );
    let parent = domain.split_once('.').map_or(domain, |(_, parent)| parent);
    ui.line(&format!("whoever runs {parent} has to delegate {domain} to it, with these NS records:"));
    for server in &details.name_servers {
        ui.line(&format!("  {domain}.  NS  {server}."));
    }
    Ok(Zone { id: details.zone.id, domain: domain.to_owned() })
}

async fn make(
    account: &Account,
    zone: &Zone,
    blueprint: &Blueprint,
    dry_run: bool,
    ui: &Ui,
) -> Result<ExitCode, Failure> {
    let is_new_zone = zone.id == NO_ZONE_YET;
    let found = if is_new_zone { Default::default() } else { look(account, &Sought::of(blueprint)).await? };
    let plan = plan(blueprint, &found)?;
    let mut builder = Builder::new(account, blueprint, &found);
    for item in &plan.items {
        if item.steps.is_empty() {
            ui.event("item", &told(item, "there"));
            ui.line(&format!("= {:<13} {}", item.label, item.name));
        } else if dry_run {
            would(ui, verb(item), item.label, &item.name);
        } else {
            let step = ui.step(item.label, verb(item));
            if let Err(failure) = builder.make(item).await {
                step.failed();
                return Err(failure.hint("what was made so far stays, and is used by the next irp setup"));
            }
            step.done(&item.name);
            ui.event("item", &told(item, "made"));
        }
    }
    for warning in &plan.warnings {
        ui.warning(warning);
    }
    if !is_new_zone {
        forgetting(account, zone, ui).await?;
    }
    let is_done = plan.is_empty() || !dry_run;
    ui.event("setup", &json!({ "name": blueprint.name, "zone_id": zone.id, "complete": is_done }));
    if is_done {
        ui.line(&format!("{} is prepared; next: irp up 3000", blueprint.name));
        ui.line("irp setup --print policy   shows, as `user`, what people need who launch it");
    }
    Ok(ExitCode::SUCCESS)
}

fn verb(item: &Item) -> &'static str {
    use setup::plan::Step;
    match item.steps.first() {
        Some(Step::RemoveCaa) => "remove",
        Some(Step::CreateRole | Step::CreateProfile | Step::CreateGroup | Step::CreateBucket) => "create",
        Some(Step::CreateTemplate | Step::WriteCaa) => "create",
        _ => "update",
    }
}

fn told(item: &Item, state: &str) -> serde_json::Value {
    json!({ "item": item.label, "name": item.name, "state": state })
}

fn would(ui: &Ui, verb: &str, label: &str, name: &str) {
    ui.event("item", &json!({ "item": label, "name": name, "state": format!("would {verb}") }));
    ui.line(&format!("would {verb}  {label:<9} {name}"));
}

/// Tells for how long resolvers remember that a name was not there.
async fn forgetting(account: &Account, zone: &Zone, ui: &Ui) -> Result<(), Failure> {
    let soa = account.aws.route53().record_set(&zone.id, &zone.domain, "SOA").await;
    let Some(soa) = soa.map_err(|error| explain(&error))? else { return Ok(()) };
    // The last number, or the record's own time to live where that is shorter (RFC 2308, section 5).
    let minimum = soa.values.first().and_then(|value| value.split_whitespace().last()?.parse::<u32>().ok());
    let seconds = minimum.unwrap_or(soa.ttl).min(soa.ttl);
    if seconds > FORGETTING_WORTH_TELLING {
        ui.warning(&format!(
            "whoever asks for a name of {} while its machine is away is told for {seconds} s that there is none: the \
             SOA record says so; lower its TTL to {FORGETTING_WORTH_TELLING} if that disturbs",
            zone.domain
        ));
    }
    Ok(())
}

fn print(
    what: Print,
    account: &Account,
    zone: &Zone,
    settings: &Settings,
    blueprint: &Blueprint,
    ui: &Ui,
) -> Result<ExitCode, Failure> {
    let document = match what {
        Print::Policy => {
            let (edge, place) = (Edge::of(settings), setup::place(account, zone));
            let mut documents = json!({
                "user": person(&edge, &place).map_err(setup::too_long)?.json(),
                "setup": administrator(&edge, &place).map_err(setup::too_long)?.json(),
            });
            let people = "user: who launches them; setup: beyond that, who runs irp setup";
            if let Some(role) = &blueprint.role {
                documents["role"] = role.policy.json();
                documents["trust"] = role.trust.json();
                ui.line(&format!("role, trust: of the machines; {people}"));
            } else {
                ui.line(&format!("the machines have no role, and so no rights; {people}"));
            }
            documents
        }
        Print::Cloudformation => {
            ui.line("for: aws cloudformation deploy --capabilities CAPABILITY_NAMED_IAM --template-file …");
            cloudformation(blueprint)
        }
        Print::Terraform => {
            ui.line("for a file such as irp.tf.json beside the provider's configuration");
            terraform(blueprint)
        }
    };
    // Values of serde_json always serialise.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    ui.document(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

async fn delete(account: &Account, sought: &Sought, dry_run: bool, ui: &Ui) -> Result<ExitCode, Failure> {
    let found = look(account, sought).await?;
    let mut left = Vec::new();
    for leaving in leaving(account, sought, &found).await? {
        let event = |state: &str| json!({ "item": leaving.label, "name": leaving.name, "state": state });
        if let Some(why) = &leaving.stays {
            ui.event("item", &event("stays"));
            ui.line(&format!("= {:<13} {}  stays: {why}", leaving.label, leaving.name));
        } else if dry_run {
            would(ui, "remove", leaving.label, &leaving.name);
        } else {
            let step = ui.step(leaving.label, "removing it");
            match remove(account, sought, &found, &leaving).await {
                Ok(true) => {
                    step.done(&format!("{}  removed", leaving.name));
                    ui.event("item", &event("removed"));
                }
                Ok(false) => {
                    step.failed();
                    ui.event("item", &event("in use"));
                    left.push(format!("{} {}", leaving.label, leaving.name));
                }
                Err(failure) => {
                    step.failed();
                    return Err(failure);
                }
            }
        }
    }
    let host = sought.name.as_str().split('.').next().unwrap_or_default();
    ui.line(&format!("the zone stays; irp forget {host}   removes certificates and secrets"));
    if left.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(Kind::Cloud, format!("still in use: {}", left.join(", ")))
        .hint(format!("irp down {host}   ends the machine that uses it; then type this again")))
}
