//! `irp up` in the AWS account: a machine, its edge, and the client that stays connected to it.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::{Duration, Instant},
};

use irp_aws::Kind as Refusal;
use irp_client::{ClientConfig, Roots, RunError, STREAM_WINDOW, Timeouts};
use irp_launch::{ending::Ending, price, tags, user_data::ClientKey};
use irp_wire::{hello::RefusalCode, name::Hostname, tasks::Tasks};
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use super::{
    super::{
        program::{self, Program},
        tunnel::{self, Ended, Leave, Screen},
    },
    machine::{Outcome, PORT, Running, Scene},
};
use crate::{
    cli::Up,
    clock,
    cloud::{
        account::{self, Account, explain},
        launch::{
            Wishes,
            wait::{self, Seen},
        },
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

/// How long the record of the name may take to lead to the machine: it boots, downloads its edge, and Route 53 takes up to
/// a minute.
const RECORD_WITHIN: Duration = Duration::from_secs(240);

/// How often Route 53 is asked; it takes five calls a second from a whole account.
const RECORD_EVERY: Duration = Duration::from_secs(2);

/// How long the edge of a machine may take to answer before it is told that something may be wrong.
const SILENT_AFTER: Duration = Duration::from_secs(300);

/// How often the machine is looked at while the tunnel does not stand.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// How long a pushed key is good, and how often it is tried meanwhile.
const PUSHED_FOR: Duration = Duration::from_secs(60);
const PUSHED_EVERY: Duration = Duration::from_secs(2);

/// The account of the machine for which keys are pushed that its edge is to know.
const PUSHED_USER: &str = "irp";

/// How long a machine that says goodbye may take until AWS tells why.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// The process ends with its client; tasks that are left have that long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Finds or launches the machine, connects, and stays.
pub(super) async fn run(flags: Up, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let words = if flags.machine.dry_run { Vec::new() } else { flags.forward.program.clone() };
    let program = Program::wanted(words, flags.upstream.as_ref()).await?;
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
    if flags.machine.memory_only && slack.is_some() && !names_slack {
        webhooks.verify.push(SLACK.to_owned());
    }
    let policies = policies::with_slack(&webhooks, slack.as_ref(), environment)?;
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
        memory_only: flags.machine.memory_only,
        key: ClientKey { key, comment: environment.user.clone().unwrap_or_default() },
        known_edges,
        settings,
        ui,
    };
    let mut relaunches_left = if flags.machine.no_relaunch { 0 } else { RELAUNCHES_MAX };
    let mut stay = Stay { scene: &scene, config, screen, signals, ui };
    let result = loop {
        match stay.once(flags.machine.dry_run).await? {
            End::Leave(code) => break Ok(code),
            End::Gone { id, ending } => {
                let lost = lost(&id, &ending);
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

/// What is seen of a machine while its tunnel does not stand.
enum Sight {
    Gone(Ending),
    /// It has another address now.
    Moved(IpAddr),
    /// Its edge has never answered.
    Silent,
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
        let waiting = record(self.scene, &running);
        match unless_interrupted(self.signals, self.ui, waiting).await? {
            None => return Ok(End::Leave(QUIT_CODE.into())),
            Some(Some(ending)) => return Ok(End::Gone { id: running.machine.id, ending }),
            Some(None) => {}
        }
        if !running.has_our_edge() {
            return Err(by_ssh(&running, self.config.host.as_str(), &self.config.upstream.to_string()));
        }
        let mut pushed: Option<Instant> = None;
        loop {
            let ended = self.connected(&mut running).await;
            let id = running.machine.id.clone();
            match ended {
                Ended::Left => {
                    self.tell_end(&running);
                    return Ok(End::Leave(ExitCode::SUCCESS));
                }
                Ended::Quit => return Ok(End::Leave(QUIT_CODE.into())),
                Ended::Broken => return Err(tunnel::broken()),
                Ended::Watched(Sight::Gone(ending)) => return Ok(End::Gone { id, ending }),
                Ended::Watched(Sight::Moved(address)) => running.address = address,
                Ended::Watched(Sight::Silent) => return Err(silent(self.scene.account, &id).await),
                Ended::GaveUp(RunError::MachineEnds(text)) => {
                    let ending = ending(self.scene.account, &id);
                    return match unless_interrupted(self.signals, self.ui, ending).await? {
                        Some(Some(ending)) => Ok(End::Gone { id, ending }),
                        Some(None) => Err(self.explain(&RunError::MachineEnds(text))),
                        None => Ok(End::Leave(QUIT_CODE.into())),
                    };
                }
                Ended::GaveUp(RunError::Refused(refusal)) if refusal.code == RefusalCode::UnknownKey => {
                    let enrolling = self.enrol(&id, &mut pushed);
                    let refused = RunError::Refused(refusal);
                    if !enrolling.await? {
                        return Err(self.explain(&refused).hint(format!(
                            "its key was pushed to {id}, and its edge does not take it: is its role allowed to read it?"
                        )));
                    }
                }
                Ended::GaveUp(error) => return Err(self.explain(&error)),
            }
        }
    }

    /// Connects, and stays as long as machine and person do.
    async fn connected(&mut self, running: &mut Running) -> Ended<Sight> {
        let mut config = self.config.clone();
        let dialled = SocketAddr::new(running.address, PORT);
        config.connect_to = config.connect_to.or(Some(dialled));
        let machine = &running.machine;
        let standing = self.screen.standing.clone();
        standing.send_replace(None);
        let sight = sight(self.scene.account, &machine.id, running.address, standing.subscribe());
        let per_hour = price::hour(&machine.instance_type);
        let about = if machine.spot { "at most" } else { "about" };
        let screen = Screen {
            price: per_hour.map(|dollars| format!("{about} ${dollars:.3}/h")),
            launched: running.launched.take(),
            standing,
            leaving: self.screen.leaving.clone(),
            ..Screen::new(&self.screen.upstream, None)
        };
        tunnel::keep(config, screen, Leave::at_once(), self.signals, self.ui, sight).await
    }

    fn explain(&self, error: &RunError) -> Failure {
        tunnel::explain(error, &self.config.signer.public_key().to_string())
    }

    /// Pushes this PC's key to the machine: whoever IAM lets do that may connect. `false` when its time is over.
    async fn enrol(&mut self, id: &str, pushed: &mut Option<Instant>) -> Result<bool, Failure> {
        if let Some(at) = pushed {
            if at.elapsed() > PUSHED_FOR {
                return Ok(false);
            }
            sleep(PUSHED_EVERY).await;
            return Ok(true);
        }
        let step = self.ui.step("key", &format!("the edge does not know it yet: pushing it to {id}"));
        let key = self.config.signer.public_key().to_string();
        let sent = self.scene.account.aws.instance_connect().send_key(id, PUSHED_USER, &key).await;
        if let Err(error) = sent {
            step.failed();
            let failure = explain(&error);
            let hint = format!("or let whoever launched {id} add it: [[key]] public = \"{key}\"");
            return Err(if error.kind() == Refusal::Denied { failure.hint(hint) } else { failure });
        }
        *pushed = Some(Instant::now());
        step.done("pushed to the machine");
        self.ui.event("enrolled", &json!({ "machine": id, "key": key }));
        Ok(true)
    }

    /// What becomes of the machine now.
    fn tell_end(&self, running: &Running) {
        let id = &running.machine.id;
        let hours = running.machine.tags.get(tags::IDLE_HOURS);
        let idle = hours.and_then(|hours| hours.parse::<irp_launch::values::Hours>().ok());
        match idle.map(|hours| hours.duration()) {
            Some(Some(span)) => self.ui.line(&format!(
                "{id} ends itself in {} unless somebody connects; irp up connects again, irp down ends it now",
                clock::words(span)
            )),
            Some(None) => self.ui.line(&format!("{id} runs on, and nothing ends it but irp down; irp up connects again")),
            None => {}
        }
    }
}

/// Waits until the record of the name leads to the machine. Not to see it in time is no failure: the tunnel needs no name.
/// Gives the end of a machine that ends meanwhile.
async fn record(scene: &Scene<'_>, running: &Running) -> Result<Option<Ending>, Failure> {
    let (name, address) = (scene.settings.name.as_str(), running.address);
    let step = scene.ui.step("dns", &format!("waiting until {name} leads to {address}"));
    let began = Instant::now();
    let mut looked = Instant::now();
    while began.elapsed() < RECORD_WITHIN {
        match wait::is_in_record(scene.account, &scene.zone.id, name, address).await {
            Ok(true) => {
                step.done(&format!("{name} → {address}"));
                return Ok(None);
            }
            Ok(false) => {}
            Err(error)
                if matches!(error.kind(), Refusal::Network | Refusal::Throttled | Refusal::Service) => {}
            Err(error) => {
                step.failed();
                scene.ui.warning(&format!("whether {name} leads to the machine cannot be seen: {error}"));
                return Ok(None);
            }
        }
        if looked.elapsed() > WATCH_EVERY {
            looked = Instant::now();
            if let Ok(Seen::Gone(ending)) = wait::look(scene.account, &running.machine.id).await {
                step.failed();
                return Ok(Some(ending));
            }
        }
        sleep(RECORD_EVERY).await;
    }
    step.failed();
    scene.ui.warning(&format!(
        "{name} does not lead to {address} after {}: visitors do not find it yet; irp doctor looks for the reason",
        clock::words(RECORD_WITHIN)
    ));
    Ok(None)
}

/// Looks at the machine while the tunnel does not stand, until there is something to tell.
async fn sight(
    account: &Account,
    id: &str,
    address: IpAddr,
    mut standing: watch::Receiver<Option<Vec<String>>>,
) -> Sight {
    let began = Instant::now();
    let mut stood = false;
    loop {
        stood |= standing.borrow_and_update().is_some();
        if standing.borrow().is_some() {
            // Whoever held the tunnel is gone with the sender.
            if standing.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        }
        tokio::select! {
            _ = standing.changed() => continue,
            () = sleep(WATCH_EVERY) => {}
        }
        match wait::look(account, id).await {
            Ok(Seen::Gone(ending)) => return Sight::Gone(ending),
            Ok(Seen::Alive(machine)) => match wait::address(&machine) {
                Some(now) if now != address => return Sight::Moved(now),
                _ if !stood && began.elapsed() > SILENT_AFTER => return Sight::Silent,
                _ => {}
            },
            // This PC may be offline itself: the client tells that.
            Err(error) => tracing::debug!(%error, "the machine cannot be looked at"),
        }
    }
}

/// Why a machine that has said goodbye ends; `None` when AWS does not tell in time.
async fn ending(account: &Account, id: &str) -> Result<Option<Ending>, Failure> {
    let began = Instant::now();
    while began.elapsed() < ENDS_WITHIN {
        if let Ok(Seen::Gone(ending)) = wait::look(account, id).await {
            return Ok(Some(ending));
        }
        sleep(RECORD_EVERY).await;
    }
    Ok(None)
}

/// Why there is no machine any more, for the person.
fn lost(id: &str, ending: &Ending) -> Failure {
    let again = "irp up   launches another";
    match ending {
        Ending::Asked => Failure::new(Kind::Network, format!("somebody has ended {id}")).hint(again),
        Ending::PoweredOff => Failure::new(
            Kind::Network,
            format!("{id} has powered off: nobody was connected for long, or its life was over"),
        )
        .hint(again),
        Ending::Lost(why) => Failure::new(Kind::Cloud, format!("AWS has taken {id} away: {why}")).hint(again),
        Ending::Unusable(why) => Failure::new(Kind::Cloud, format!("{id} could not start: {why}"))
            .hint("irp doctor   looks for the reason; the key of an encrypted disk may be one (--kms-key)"),
        Ending::Forgotten => {
            Failure::new(Kind::Network, format!("{id} is gone, and AWS does not tell why")).hint(again)
        }
    }
}

/// An edge that never answered, with what its machine wrote to its console.
async fn silent(account: &Account, id: &str) -> Failure {
    let failure = Failure::new(
        Kind::Network,
        format!("the edge of {id} has not answered in {}", clock::words(SILENT_AFTER)),
    );
    let console = account.aws.ec2().console_output(id).await.map(|output| output.text).unwrap_or_default();
    let lines: Vec<_> = console.lines().filter(|line| line.contains("irp")).collect();
    let last = lines.len().saturating_sub(CONSOLE_LINES);
    lines[last..]
        .iter()
        .fold(failure, |failure, line| failure.cause(line.trim()))
        .hint("irp doctor   tries its port, and looks at its role")
        .hint(format!("aws ec2 get-console-output --latest --instance-id {id}   shows what it did"))
        .hint("irp up   again waits on; the machine ends itself when nobody connects")
}

/// So many lines of a console are shown.
const CONSOLE_LINES: usize = 5;

/// The engine on the machine knows no tunnel of irp's own.
fn by_ssh(running: &Running, name: &str, upstream: &str) -> Failure {
    let id = &running.machine.id;
    Failure::new(Kind::Config, format!("{id} runs, with engine caddy: ssh is the way to it"))
        .hint(format!("irp connect {name} {upstream}"))
}
