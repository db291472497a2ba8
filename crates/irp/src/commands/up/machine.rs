//! The machine of the name: the one that runs, or one that is launched.

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use irp_client::known_edges;
use irp_launch::{
    ending::Ending,
    plan::{self, Existing, Step, Wanted},
    settings::{Engine, Settings},
    tags,
    user_data::{ClientKey, UserData},
    values::CertStore,
};
use serde_json::json;
use tokio::time::{Duration, sleep, timeout};

use crate::{
    cloud::{
        account::{Account, explain},
        doctor,
        launch::{
            self, Wishes, instance_type, look,
            order::Order,
            program::{self, AtHand},
            wait::{self, Seen},
        },
        machines::{self, Machine},
        ways,
        zone::Zone,
    },
    commands::secret,
    config::{self, policies::SLACK},
    error::{Failure, Kind},
    release,
    ui::Ui,
};

/// How long a resolver may take to say whose servers the zone has.
const DELEGATION_WITHIN: Duration = Duration::from_secs(3);

/// All that a launch needs to know.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) account: &'a Account,
    pub(super) zone: &'a Zone,
    pub(super) gathered: config::launch::Gathered,
    /// Complete but for what the machine downloads.
    pub(super) settings: Settings,
    pub(super) wishes: Wishes,
    /// The program for the machine, where one was named.
    pub(super) edge_binary: Option<PathBuf>,
    /// Whether a secret stays out of the account.
    pub(super) memory_only: bool,
    /// Whose machine it is.
    pub(super) key: ClientKey,
    /// The file of known edges.
    pub(super) known_edges: PathBuf,
    /// The name server that was named.
    pub(super) resolver: Option<SocketAddr>,
    pub(super) ui: &'a Ui,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There is one, and it runs.
    Runs(Box<Running>),
    /// It was lost before it ran.
    Gone { id: String, ending: Ending },
    /// It was only told what would be done.
    Planned,
}

/// A machine that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) machine: Machine,
    /// When it was ordered, where that was just now.
    pub(super) launched: Option<Instant>,
    /// Whether its port may still be on its way.
    pub(super) is_booting: bool,
}

impl Scene<'_> {
    /// Finds or launches the machine, and waits until it runs.
    ///
    /// # Errors
    ///
    /// When it cannot be launched, each with what to do.
    pub(super) async fn machine(&self, dry_run: bool) -> Result<Outcome, Failure> {
        let wait = plan::settles_in(launch::unix_now());
        if wait > 0 && !dry_run {
            let _step = self.ui.step("instance", "waiting until AWS lists what was ordered in the last hour");
            sleep(Duration::from_secs(wait)).await;
        }
        let all = machines::named(self.account, &self.settings.name).await?;
        let existing: Vec<_> =
            all.iter().map(|it| Existing { id: it.id.clone(), alive: it.state.is_alive() }).collect();
        if let Some(found) = plan::to_use(&existing) {
            if dry_run {
                let by_pc = all.iter().any(|machine| machine.id == found.id && machine.by_pc);
                let (name, address) = (self.settings.name.as_str(), self.wishes.address.as_deref());
                let steps = plan::reuse(&found.id, name, address, by_pc);
                return Ok(self.tell(&steps));
            }
            return self.running(&found.id, None).await;
        }
        let gone: Vec<_> = existing.into_iter().map(|it| it.id).collect();
        self.launch(&gone, dry_run).await
    }

    async fn launch(&self, gone: &[String], dry_run: bool) -> Result<Outcome, Failure> {
        let program = self.program()?;
        let arch = program.as_ref().map(|program| program.upload.program.arch);
        let template = self.wishes.template.clone();
        let wanted = Wanted {
            name: self.settings.name.to_string(),
            instance_type: instance_type(&self.settings, arch, template.is_some()),
            image: self.wishes.image.clone(),
            spot: self.wishes.spot,
            // A template names its profile itself.
            profile: (template.is_none() && !self.settings.no_role.value)
                .then(|| tags::profile(&self.settings.host.value)),
            template,
            sets_record: self.settings.no_role.value,
            address: self.wishes.address.clone(),
            upload: program.as_ref().map(|program| program.upload.clone()),
        };
        let looking = look::look(self.account, &wanted, &self.wishes);
        let (found, ()) = tokio::join!(looking, self.tell_delegation());
        let found = found?;
        if let Some(address) = &self.wishes.address {
            wait::free_address(self.account, address, None).await?;
        }
        let host = self.settings.host.value.as_str();
        let steps =
            plan::launch(&wanted, &found).map_err(|error| look::explain_plan(&error, self.account, host))?;
        if dry_run {
            return Ok(self.tell(&steps));
        }
        if matches!(self.settings.engine.value, Engine::Caddy(_)) {
            // There is no other way to Caddy's machine from here, and it would cost until that is found out.
            ways::can_carry_sessions().await?;
        }
        let mut order = Order {
            account: self.account,
            zone: self.zone,
            settings: &self.settings,
            wishes: &self.wishes,
            group: found.group.as_ref().map(|group| group.id.clone()),
            gone,
        };
        for step in &steps {
            match step {
                Step::Upload { bytes, .. } => self.upload(program.as_ref(), *bytes).await?,
                Step::MakeGroup { vpc } => {
                    let step = self.ui.step("group", "making the security group");
                    order.make_group(vpc).await?;
                    step.done(&format!(
                        "{}, open at port 443 only",
                        order.group.as_deref().unwrap_or_default()
                    ));
                }
                Step::OpenGroup { id } => order.open_group(id).await?,
                Step::Launch(launch) => {
                    let user_data = self.user_data(program.as_ref()).await?;
                    let launched = Instant::now();
                    let step = self.ui.step("instance", "launching");
                    let machine = order.place(launch, user_data.text(), self.ui).await?;
                    drop(step);
                    self.ends_for_good(&machine.id).await?;
                    return self.running(&machine.id, Some(launched)).await;
                }
                Step::Use { .. }
                | Step::Attach { .. }
                | Step::Point { .. }
                | Step::Await { .. }
                | Step::Connect => {}
            }
        }
        Err(Failure::new(Kind::Internal, "the plan launches nothing"))
    }

    /// Says where nobody on the Internet would find the name, if that is soon known. The launch goes on: this PC may be in a
    /// network that sees another zone of that name.
    async fn tell_delegation(&self) {
        let looking = doctor::delegation(self.account, self.resolver, self.zone);
        if let Ok(check) = timeout(DELEGATION_WITHIN, looking).await
            && check.ok == Some(false)
        {
            let text = format!("{}, so that no certificate can be ordered", check.text);
            let mend = check.mend.first().map(|mend| format!("; {mend}")).unwrap_or_default();
            self.ui.warning(&format!("{text}{mend}"));
        }
    }

    /// The program that has to be uploaded; `None` where the machine downloads it from elsewhere, or runs Caddy.
    fn program(&self) -> Result<Option<AtHand>, Failure> {
        let is_ours = matches!(self.settings.engine.value, Engine::Irp(_));
        let is_known = self.gathered.names_a_program() || !release::edges().is_empty();
        match &self.edge_binary {
            Some(_) if !is_ours => {
                Err(Failure::new(Kind::User, "--edge-binary means nothing to engine caddy"))
            }
            None if !is_ours || is_known => Ok(None),
            named => program::at_hand(named.as_deref(), self.account).map(Some),
        }
    }

    async fn upload(&self, program: Option<&AtHand>, bytes: u64) -> Result<(), Failure> {
        let Some(program) = program else { return Ok(()) };
        let step = self.ui.step("program", &format!("uploading {} MiB, once", bytes.div_ceil(1 << 20)));
        program.upload(self.account).await?;
        step.done(&format!("s3://{}, {} MiB", program.upload.bucket, bytes.div_ceil(1 << 20)));
        Ok(())
    }

    /// What the machine is started with. A signing secret goes into the account first: the user-data have a reference.
    async fn user_data(&self, program: Option<&AtHand>) -> Result<UserData, Failure> {
        let mut gathered = self.gathered.clone();
        let is_ours = matches!(self.settings.engine.value, Engine::Irp(_));
        if let (Some(secret), true, false) = (self.gathered.slack_secret(), is_ours, self.memory_only) {
            let (host, kms_key) = (&self.settings.host.value, &self.settings.kms_key);
            let kms_key = kms_key.as_ref().map(|key| &key.value);
            let name = secret::store(self.account, host, SLACK, &secret, kms_key, self.ui).await?;
            gathered = gathered.with_reference(&format!("ssm:{name}"));
        }
        let programs = match program {
            Some(program) => vec![program.edge(self.account).await?],
            None => release::edges(),
        };
        let settings = gathered.settings(&programs)?;
        UserData::render(&settings, &self.key)
            .map_err(|error| Failure::new(Kind::Config, "no user-data can be made").because(&error))
    }

    /// A machine that stops instead of terminating would cost for ever, and none of its guards could help.
    async fn ends_for_good(&self, id: &str) -> Result<(), Failure> {
        let ec2 = self.account.aws.ec2().settling(LISTED_WITHIN);
        if ec2.terminates_on_shutdown(id).await.map_err(|error| explain(&error))? {
            return Ok(());
        }
        let failure = Failure::new(
            Kind::Cloud,
            format!("{id} would only stop when it powers off, and its disk would go on costing"),
        );
        Err(match ec2.terminate(&[id]).await {
            Ok(_) => failure.cause("so it was ended at once"),
            Err(error) => failure.because(&error).hint(format!("irp down {}   ends it", self.settings.name)),
        }
        .hint("does a policy of the account or the launch template set the shutdown behaviour?"))
    }

    /// Waits until it runs, with the address that it is to have.
    async fn running(&self, id: &str, launched: Option<Instant>) -> Result<Outcome, Failure> {
        let doing = if launched.is_some() { "starting" } else { "looking at it" };
        let step = self.ui.step("instance", &format!("{id}  {doing}"));
        let machine = match wait::runs(self.account, id).await? {
            Seen::Alive(machine) => machine,
            Seen::Gone(ending) => {
                step.failed();
                return Ok(Outcome::Gone { id: id.to_owned(), ending });
            }
        };
        let Some(mut machine) = Machine::of(*machine) else {
            return Err(Failure::new(Kind::Cloud, format!("{id} has lost the tags by which irp knows it"))
                .hint("irp up   again launches another; end this one in the console of AWS"));
        };
        let place = machine.place.as_deref().unwrap_or_default();
        let spot = if machine.spot { "  spot" } else { "" };
        let state = if launched.is_some() { "" } else { "  runs already" };
        step.done(&format!("{id}  {}  {place}{spot}{state}", machine.instance_type));
        if let Some(allocation) = &self.wishes.address {
            let step = self.ui.step("address", &format!("attaching {allocation}"));
            let address = wait::attach(self.account, allocation, id).await?;
            machine.moved_to(address.into());
            step.done(&format!("{address}  {allocation}"));
        }
        if launched.is_some() && self.settings.cert_store.value == CertStore::File {
            // It keeps its identity on its own disk, so it has another than the machine before it.
            let forgotten = known_edges::forget(&self.known_edges, &self.settings.name, PORT);
            forgotten.map_err(|error| {
                Failure::new(Kind::Config, "the known edges are of no use").because(&error)
            })?;
        }
        self.ui.event(
            "machine",
            &json!({
                "id": id, "type": machine.instance_type, "zone": machine.place, "spot": machine.spot,
                "address": machine.address(), "launched": launched.is_some(),
            }),
        );
        let is_booting = launched.is_some();
        Ok(Outcome::Runs(Box::new(Running { machine, launched, is_booting })))
    }

    /// Shows what would be done.
    fn tell(&self, steps: &[Step]) -> Outcome {
        let is_ours = matches!(self.settings.engine.value, Engine::Irp(_));
        let is_launch = steps.iter().any(|step| matches!(step, Step::Launch(_)));
        if is_launch && is_ours && !self.memory_only && self.gathered.slack_secret().is_some() {
            self.would(&format!(
                "store the signing secret as /irp/secret/{}/{SLACK}",
                self.settings.host.value
            ));
        }
        for step in steps {
            self.would(&step.to_string());
        }
        Outcome::Planned
    }

    fn would(&self, text: &str) {
        self.ui.event("step", &json!({ "text": text }));
        self.ui.line(&format!("would {text}"));
    }
}

/// The port of edges on machines.
pub(super) const PORT: u16 = irp_launch::setup::PORT;

/// How long what was ordered may be unknown to the next call.
const LISTED_WITHIN: Duration = Duration::from_secs(60);
