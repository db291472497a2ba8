//! `irp up` in the AWS account: a machine, its edge, and the client that stays connected to it.

use std::{process::ExitCode, time::Duration};

use irp_client::{ClientConfig, Roots, RunError, STREAM_WINDOW, Timeouts};
use irp_launch::{ending::Ending, price, settings as launch, user_data::ClientKey};
use irp_wire::{name::Hostname, tasks::Tasks};
use serde_json::json;

use super::{
    super::{
        enrolment::{Enrolment, Next},
        program::{self, Program},
        tunnel::{self, Ended, Leave, Screen},
    },
    machine::{Outcome, PORT, Running, Scene},
    name,
    sight::{self, Sight, Watched},
};
use crate::{
    cli::{
        Up,
        ways::{Ssh, Via},
    },
    clock,
    cloud::{
        account,
        launch::Wishes,
        machines::Engine,
        resolver,
        ways::{self, Wish as Way},
        zone,
    },
    config::{
        client::{self, Forwarding},
        launch::Gathered,
        policies::{self, SLACK},
    },
    environment::Environment,
    error::{Failure, Kind},
    identity::{self, Wish},
    release,
    signals::{QUIT_CODE, Signals},
    ui::Ui,
};

/// How often a lost machine is replaced.
const RELAUNCHES_MAX: u32 = 3;

/// The process ends with its client; tasks that are left have that long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Finds or launches the machine, connects, and stays.
pub(super) async fn run(flags: Up, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let words = if flags.machine.dry_run { Vec::new() } else { flags.forward.program.clone() };
    let program = Program::wanted(words, flags.upstream.as_ref()).await?;
    let program = program.map(|program| program.logged(flags.background));
    let url = match program {
        Some(_) => format!("https://{}", name(&flags, environment, ui)?),
        None => String::new(),
    };
    // The program comes first: a machine would cost money while it cannot start.
    program::beside(program, &url, &mut signals, ui, async |signals, ui| {
        Box::pin(stay(flags, environment, signals, ui)).await
    })
    .await
}

async fn stay(
    flags: Up,
    environment: &Environment,
    signals: &mut Signals,
    ui: &Ui,
) -> Result<ExitCode, Failure> {
    let gathered = Gathered::new(&flags.settings, environment, ui)?;
    let known = if flags.machine.edge_binary.is_some() { Vec::new() } else { release::edges() };
    let programs = if known.is_empty() { release::any_edge() } else { known };
    let settings = gathered.settings(&programs)?;
    let is_told = |warning: &&irp_launch::settings::Warning| {
        !matches!(warning, irp_launch::settings::Warning::SecretStaysHere { .. })
    };
    settings.warnings().iter().filter(is_told).for_each(|warning| ui.warning(&warning.to_string()));
    let slack = gathered.slack_secret();
    let mut webhooks = flags.webhooks;
    let names_slack = webhooks.verify.iter().any(|typed| typed.split('=').next() == Some(SLACK));
    // A machine without a role could not look the secret up.
    let memory_only = flags.machine.memory_only || settings.no_role.value;
    let is_caddy = matches!(settings.engine.value, launch::Engine::Caddy(_));
    if memory_only && slack.is_some() && !names_slack && !is_caddy {
        webhooks.verify.push(SLACK.to_owned());
    }
    if is_caddy && let Some(flag) = webhooks.typed() {
        let what = format!("{flag} cannot be had with engine caddy: nobody verifies there");
        return Err(Failure::new(Kind::User, what).hint("leave it out, or CADDY_DL_URL"));
    }
    let policies = match is_caddy {
        // That nobody verifies was told above.
        true => None,
        false => policies::with_slack(&webhooks, slack.as_ref(), environment)?,
    };
    if !flags.connection.agent {
        // Made now if there is none.
        identity::public(flags.connection.key.as_deref(), environment, ui).await?;
    }
    let wish = Wish {
        file: flags.connection.key.as_deref(),
        agent_only: flags.connection.agent,
        no_agent: flags.connection.no_agent,
    };
    let signer = identity::find(wish, environment, ui).await?;
    let key = signer.public_key();
    let known_edges = client::known_edges(environment)?;

    let tasks = Tasks::new();
    let _end_all = tasks.end_on_drop();
    let mut screen = Screen::new(&super::told(flags.upstream.as_ref()), None);
    let _post = super::post(flags.background, &settings.name, &mut screen, signals, environment)?;
    let upstream = super::upstream(flags.upstream, &tasks).await?;
    let forwarding = Forwarding::from(&flags.forward);
    let config = ClientConfig {
        host: settings.name.clone(),
        port: PORT,
        connect_to: flags.connection.connect_to,
        carrier: None,
        names: vec![settings.name.clone()],
        signer,
        roots: flags.connection.cacert.map_or(Roots::System, Roots::SystemAnd),
        known_edges: known_edges.clone(),
        upstream,
        upstream_trust: forwarding.trust,
        host_header: forwarding.host_header,
        lanes_max: forwarding.lanes_max,
        stream_window: STREAM_WINDOW,
        timeouts: Timeouts::default(),
        policies,
        proxy: client::proxy(environment)?,
        agent: client::AGENT.to_owned(),
    };

    let opening = async {
        let account = account::open(&flags.access, ui).await?;
        let step = ui.step("zone", "looking for it");
        let zone = zone::find(&account, settings.zone.value.name().as_str()).await?;
        step.done(&format!("{}  ({})", zone.domain, zone.id));
        ui.event("zone", &json!({ "domain": zone.domain, "id": zone.id }));
        Ok::<_, Failure>((account, zone))
    };
    let Some((account, zone)) = unless_interrupted(signals, ui, Box::pin(opening)).await? else {
        return Ok(QUIT_CODE.into());
    };
    let scene = Scene {
        account: &account,
        zone: &zone,
        gathered,
        wishes: Wishes {
            image: flags.machine.image,
            vpc: flags.machine.vpc,
            subnet: flags.machine.subnet,
            template: flags.machine.launch_template,
            tags: flags.machine.tags,
            spot: flags.machine.spot,
            address: flags.machine.eip,
        },
        edge_binary: flags.machine.edge_binary,
        memory_only,
        key: ClientKey { key, comment: environment.user.clone().unwrap_or_default() },
        known_edges,
        resolver: resolver::of_environment(environment)?,
        settings,
        ui,
    };
    let mut relaunches_left = if flags.machine.no_relaunch { 0 } else { RELAUNCHES_MAX };
    let profile = flags.access.profile;
    let mut stay = Stay { scene: &scene, config, screen, profile, environment, signals, ui };
    let result = loop {
        match stay.once(flags.machine.dry_run).await? {
            End::Leave(code) => break Ok(code),
            End::Gone { id, ending } => {
                let lost = sight::lost(&id, &ending);
                if !ending.is_a_loss() || relaunches_left == 0 {
                    break Err(lost);
                }
                relaunches_left -= 1;
                ui.event("relaunch", &json!({ "lost": id, "why": lost.message(), "left": relaunches_left }));
                ui.warning_line(&format!("{}; launching another", lost.message()));
            }
        }
    };
    tasks.shutdown(LAST_WORDS).await;
    result
}

/// The public name.
///
/// # Errors
///
/// All that is wrong with the settings.
pub(super) fn name(flags: &Up, environment: &Environment, ui: &Ui) -> Result<Hostname, Failure> {
    Ok(Gathered::new(&flags.settings, environment, ui)?.settings(&release::any_edge())?.name)
}

/// A future, unless a signal comes first: what it was doing is dropped, and found by the next `irp up`.
async fn unless_interrupted<T>(
    signals: &mut Signals,
    ui: &Ui,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    let done = tokio::select! {
        biased;
        () = signals.next() => None,
        done = work => Some(done?),
    };
    if done.is_none() {
        ui.event("stopping", &json!({}));
        ui.line("left; what there is by now, the next irp up finds and uses");
    }
    Ok(done)
}

/// One machine from beginning to end.
struct Stay<'a> {
    scene: &'a Scene<'a>,
    config: ClientConfig,
    screen: Screen,
    /// The AWS profile that was typed.
    profile: Option<String>,
    environment: &'a Environment,
    signals: &'a mut Signals,
    ui: &'a Ui,
}

/// How it ends.
enum End {
    /// The person left, or it was only a trial.
    Leave(ExitCode),
    /// The machine is no more.
    Gone { id: String, ending: Ending },
}

impl Stay<'_> {
    async fn once(&mut self, dry_run: bool) -> Result<End, Failure> {
        let preparing = self.scene.machine(dry_run);
        let mut running = match unless_interrupted(self.signals, self.ui, preparing).await? {
            None => return Ok(End::Leave(QUIT_CODE.into())),
            Some(Outcome::Planned) => return Ok(End::Leave(ExitCode::SUCCESS)),
            Some(Outcome::Gone { id, ending }) => return Ok(End::Gone { id, ending }),
            Some(Outcome::Runs(running)) => *running,
        };
        let end = self.with(&mut running).await;
        if running.machine.by_pc && matches!(end, Ok(End::Gone { .. })) {
            name::withdraw(self.scene, &running).await;
        }
        end
    }

    /// One machine that runs, from its record to its end.
    async fn with(&mut self, running: &mut Running) -> Result<End, Failure> {
        let waiting = name::leads_to(self.scene, running);
        match unless_interrupted(self.signals, self.ui, waiting).await? {
            None => return Ok(End::Leave(QUIT_CODE.into())),
            Some(Some(ending)) => return Ok(End::Gone { id: running.machine.id.clone(), ending }),
            Some(None) => {}
        }
        let id = running.machine.id.clone();
        let key = self.config.signer.public_key().to_string();
        let mut enrolment = Enrolment::of(self.scene.account, &id, &key);
        loop {
            match self.connected(running).await? {
                Ended::Left => {
                    self.tell_end(running);
                    return Ok(End::Leave(ExitCode::SUCCESS));
                }
                Ended::Quit => return Ok(End::Leave(QUIT_CODE.into())),
                Ended::Broken => return Err(tunnel::broken()),
                Ended::Watched(Sight::Gone(ending)) => return Ok(End::Gone { id, ending }),
                Ended::Watched(Sight::Moved(address)) => {
                    running.machine.moved_to(address);
                    if running.machine.by_pc {
                        let pointing = name::leads_to(self.scene, running);
                        if unless_interrupted(self.signals, self.ui, pointing).await?.is_none() {
                            return Ok(End::Leave(QUIT_CODE.into()));
                        }
                    }
                }
                Ended::Watched(Sight::Closed) => running.is_booting = false,
                Ended::Watched(Sight::Silent) => return Err(sight::silent(self.scene.account, &id).await),
                Ended::GaveUp(RunError::MachineEnds(text)) => {
                    let ending = sight::ending(self.scene.account, &id);
                    return match unless_interrupted(self.signals, self.ui, ending).await? {
                        Some(Some(ending)) => Ok(End::Gone { id, ending }),
                        Some(None) => Err(self.explain(&RunError::MachineEnds(text))),
                        None => Ok(End::Leave(QUIT_CODE.into())),
                    };
                }
                Ended::GaveUp(RunError::Refused(refusal)) if Enrolment::is_wanted(&refusal) => {
                    if enrolment.answer(refusal, self.signals, self.ui).await? == Next::Leave {
                        return Ok(End::Leave(QUIT_CODE.into()));
                    }
                }
                Ended::GaveUp(error) => return Err(self.explain(&error)),
            }
        }
    }

    /// Connects by the way that leads to the machine, and stays as long as machine and person do.
    async fn connected(&mut self, running: &mut Running) -> Result<Ended<Sight>, Failure> {
        let machine = &running.machine;
        // The port of a machine that boots is closed for a while, and of one that is named nothing else is wanted.
        let waits_for_port = running.is_booting || self.config.connect_to.is_some();
        let via = match machine.engine {
            Engine::Irp if waits_for_port => Via::Tls,
            Engine::Irp | Engine::Caddy => Via::Auto,
        };
        let wish = Way { via, ssh: Ssh::default(), profile: self.profile.clone() };
        let client = ways::client(self.scene.account, machine, &wish, self.config.clone(), self.environment)?;
        let standing = self.screen.standing.clone();
        standing.send_replace(None);
        let watched = Watched {
            account: self.scene.account,
            id: &machine.id,
            address: machine.address(),
            is_booting: running.is_booting && machine.engine == Engine::Irp,
        };
        let sight = watched.sight(standing.subscribe());
        let per_hour = price::hour(&machine.instance_type);
        let about = if machine.spot { "at most" } else { "about" };
        let screen = Screen {
            price: per_hour.map(|dollars| format!("{about} ${dollars:.3}/h")),
            hint: client.note().map(str::to_owned),
            launched: running.launched.take(),
            tells_certificate: true,
            standing,
            leaving: self.screen.leaving.clone(),
            ..Screen::new(&self.screen.upstream, None)
        };
        Ok(tunnel::keep(client, screen, Leave::at_once(), self.signals, self.ui, sight).await)
    }

    fn explain(&self, error: &RunError) -> Failure {
        tunnel::explain(error, &self.config.signer.public_key().to_string())
    }

    /// What becomes of the machine now.
    fn tell_end(&self, running: &Running) {
        let id = &running.machine.id;
        match running.machine.idle.map(|hours| hours.duration()) {
            Some(Some(span)) => self.ui.line(&format!(
                "{id} ends itself in {} unless somebody connects; irp up connects again, irp down ends it now",
                clock::words(span)
            )),
            Some(None) => self.ui.line(&format!("{id} runs on, and nothing ends it but irp down; irp up connects again")),
            None => {}
        }
        if running.machine.by_pc {
            self.ui.line("without a role it leaves its record behind then: irp down ends both, irp gc finds what is left");
        }
    }
}
