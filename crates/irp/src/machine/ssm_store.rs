//! Certificates, and the key of the inbox, in Parameter Store, as SecureStrings.
//!
//! Parameter Store can make a parameter only if it is absent (`Overwrite=false`), and that is all that it can do in one
//! step. So a blob is a folder, and every write makes a new generation in it:
//!
//! - `BLOB/p-ID-NNN`: parts of the content, for what does not fit into one parameter (4 KiB);
//! - `BLOB/gNNNNNNNNNN`: the head of a generation, written last and only if absent. Whoever makes it has won; it holds the
//!   content or says how many parts it has, so that nobody ever reads parts of two writes.
//!
//! The highest generation counts. A deletion is a generation too, and its head stays: were the count to begin anew, a
//! slow writer could win against what it has never seen. The generation before the last stays as well, for the same
//! reason; everything older is removed. A writer looks again after it has won, and gives way if it was overtaken.
//!
//! What was written a moment ago may be missing from what is read. So a process remembers its own last generation of
//! each blob for a while, and believes that where AWS shows an older one. What another process has just written it may
//! not see yet; but its own write then meets that one's head, which exists, and is refused. From then on it knows of that
//! generation, and whoever reads waits until it is shown.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::BoxFuture;
use irp_aws::{
    Kind, Ssm,
    ssm::{Overwrite, Parameter, PutParameter, Sort},
};
use irp_edge::certs::{
    Store,
    store::{Blob, BlobName, Cause, MAX_BLOB, StoreError, Version, When, Written},
};
use irp_launch::tags;
use irp_wire::name::Hostname;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// So much of the base64 of a blob goes into one parameter, whose value holds 4096 bytes.
const PART: usize = 3900;

/// How often a blob is read again when its parts went away in the midst of it, or are not shown yet, or all of a generation
/// is not that is known to exist; and how often a write that is to be done in any case is begun anew when its generation was taken.
const TRIES: u32 = 6;

/// The first wait before that; it doubles.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// For so long AWS may show what was there before a write.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// The parameters below one path.
#[derive(Debug)]
pub(crate) struct SsmStore {
    ssm: Ssm,
    /// With a slash at its end.
    path: String,
    kms_key: Option<String>,
    /// The last generation that this process has written of each blob.
    own: Mutex<BTreeMap<BlobName, Own>>,
    /// The last generation of another process that a write has met, and when.
    met: Mutex<BTreeMap<BlobName, (u64, Instant)>>,
}

/// A generation as it was written.
#[derive(Debug)]
struct Own {
    generation: u64,
    head: SecretString,
    parts: BTreeMap<String, SecretString>,
    at: Instant,
}

/// What the head of a generation says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
enum Head {
    /// The blob itself, in base64.
    Whole { id: String, data: String },
    /// The blob is in so many parts.
    Parts { id: String, count: usize },
    /// There is no blob any more.
    Deleted { id: String },
}

impl Head {
    fn id(&self) -> &str {
        match self {
            Self::Whole { id, .. } | Self::Parts { id, .. } | Self::Deleted { id } => id,
        }
    }
}

/// Everything of one blob, as it was found.
#[derive(Default)]
struct Folder {
    heads: BTreeMap<u64, SecretString>,
    parts: BTreeMap<String, SecretString>,
}

/// The generation that counts.
struct Latest {
    generation: u64,
    head: Head,
}

impl Latest {
    fn version(&self) -> Version {
        Version(format!("{}-{}", self.generation, self.head.id()))
    }

    fn exists(&self) -> bool {
        !matches!(self.head, Head::Deleted { .. })
    }
}

impl SsmStore {
    /// The store of one host name: `/irp/cert/NAME/…`, encrypted with this KMS key or the account's own.
    pub(crate) fn new(ssm: Ssm, name: &str, kms_key: Option<String>) -> Self {
        Self::below(ssm, format!("/irp/cert/{name}/"), kms_key)
    }

    /// The same for the key of that name's inbox: `/irp/inbox/NAME/…`.
    pub(crate) fn of_inbox(ssm: Ssm, name: &Hostname, kms_key: Option<String>) -> Self {
        Self::below(ssm, format!("{}/", tags::inbox_keys(name)), kms_key)
    }

    fn below(ssm: Ssm, path: String, kms_key: Option<String>) -> Self {
        Self { ssm, path, kms_key, own: Mutex::default(), met: Mutex::default() }
    }

    async fn folder(&self, name: &BlobName) -> Result<Folder, Cause> {
        let prefix = format!("{}{name}/", self.path);
        let mut folder = Folder::default();
        for Parameter { name, value, .. } in self.ssm.parameters_below(prefix.trim_end_matches('/')).await? {
            let Some(own) = name.strip_prefix(&prefix) else { continue };
            match own.strip_prefix('g').and_then(|number| number.parse().ok()) {
                Some(generation) => drop(folder.heads.insert(generation, value)),
                None => drop(folder.parts.insert(own.to_owned(), value)),
            }
        }
        folder.add_own(self.own().get(name));
        Ok(folder)
    }

    fn own(&self) -> MutexGuard<'_, BTreeMap<BlobName, Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<BlobName, (u64, Instant)>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a generation exists that AWS does not show yet, where it shows this one.
    fn is_behind(&self, name: &BlobName, shown: u64) -> bool {
        self.met().get(name).is_some_and(|(met, at)| *met > shown && at.elapsed() < SHOWN_WITHIN)
    }

    async fn write(&self, name: &BlobName, content: Option<&[u8]>, when: When) -> Result<Written, Cause> {
        for tried in 0..TRIES {
            match self.try_write(name, content, &when).await? {
                // A generation that was not shown yet, or that another process has made meanwhile.
                Written::Refused if when == When::Always => sleep(AGAIN_AFTER * 2_u32.pow(tried)).await,
                written => return Ok(written),
            }
        }
        Err(StoreError::Contended { name: name.clone() }.into())
    }

    async fn try_write(
        &self,
        name: &BlobName,
        content: Option<&[u8]>,
        when: &When,
    ) -> Result<Written, Cause> {
        let folder = self.folder(name).await?;
        let before = folder.latest()?;
        let exists = before.as_ref().is_some_and(Latest::exists);
        let holds = match when {
            When::Always => true,
            When::Absent => !exists,
            When::Unchanged(version) => {
                exists && before.as_ref().is_some_and(|before| before.version() == *version)
            }
        };
        if !holds {
            return Ok(Written::Refused);
        }
        if content.is_none() && !exists {
            return Ok(Written::Done(Version(String::new())));
        }
        let generation = before.map_or(1, |before| before.generation + 1);
        let (head, parts) = self.write_parts(name, content).await?;
        let version = Version(format!("{generation}-{}", head.id()));
        let text = SecretString::from(serde_json::to_string(&head)?);
        match self.put(&format!("{}{name}/{}", self.path, head_name(generation)), &text).await {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Exists => {
                self.met().insert(name.clone(), (generation, Instant::now()));
                self.remove(name, parts.into_keys().collect()).await;
                return Ok(Written::Refused);
            }
            Err(error) => return Err(error.into()),
        }
        self.own().insert(name.clone(), Own { generation, head: text, parts, at: Instant::now() });
        let after = self.folder(name).await?;
        if after.heads.keys().next_back().is_some_and(|latest| *latest > generation) && *when != When::Always
        {
            let own = self.own().remove(name);
            self.remove(name, own.map(|own| own.parts.into_keys().collect()).unwrap_or_default()).await;
            return Ok(Written::Refused);
        }
        self.sweep(name, &after, generation).await;
        Ok(Written::Done(if content.is_some() { version } else { Version(String::new()) }))
    }

    /// Writes the parts, if it takes any; gives them, and the head that is to name them.
    async fn write_parts(
        &self,
        name: &BlobName,
        content: Option<&[u8]>,
    ) -> Result<(Head, BTreeMap<String, SecretString>), Cause> {
        let mut number = [0; 8];
        rand::fill(&mut number)?;
        let id = format!("{:016x}", u64::from_be_bytes(number));
        let mut parts = BTreeMap::new();
        let Some(content) = content else { return Ok((Head::Deleted { id }, parts)) };
        let data = BASE64_STANDARD.encode(content);
        if data.len() <= PART {
            return Ok((Head::Whole { id, data }, parts));
        }
        for (number, part) in data.as_bytes().chunks(PART).enumerate() {
            // Base64 is ASCII, so no character is cut.
            let part = SecretString::from(String::from_utf8_lossy(part).into_owned());
            let own = part_name(&id, number);
            self.put(&format!("{}{name}/{own}", self.path), &part).await?;
            parts.insert(own, part);
        }
        Ok((Head::Parts { id, count: parts.len() }, parts))
    }

    async fn put(&self, name: &str, value: &SecretString) -> Result<(), irp_aws::Error> {
        let sort = Sort::Secure(self.kms_key.as_deref());
        let put = PutParameter { name, value, sort, overwrite: Overwrite::No };
        self.ssm.put_parameter(&put).await.map(drop)
    }

    /// Removes what no reader can want any more: all but the last two generations. What cannot be removed now is removed
    /// by the next write.
    async fn sweep(&self, name: &BlobName, folder: &Folder, latest: u64) {
        let is_kept = |generation: u64| generation + 1 >= latest;
        let kept: Vec<String> = folder
            .heads
            .iter()
            .filter(|(generation, _)| is_kept(**generation))
            .filter_map(|(_, head)| serde_json::from_str(head.expose_secret()).ok())
            .map(|head: Head| format!("p-{}-", head.id()))
            .collect();
        let heads = folder.heads.keys().filter(|generation| !is_kept(**generation)).map(|it| head_name(*it));
        // Parts without a head may be those of a write under way; they are few and wait for their generation to pass.
        let known: Vec<String> = folder
            .heads
            .iter()
            .filter(|(generation, _)| !is_kept(**generation))
            .filter_map(|(_, head)| serde_json::from_str(head.expose_secret()).ok())
            .map(|head: Head| format!("p-{}-", head.id()))
            .collect();
        let parts = folder.parts.keys().filter(|part| known.iter().any(|id| part.starts_with(id.as_str())));
        let parts = parts.filter(|part| !kept.iter().any(|id| part.starts_with(id.as_str()))).cloned();
        self.remove(name, heads.chain(parts).collect()).await;
    }

    async fn remove(&self, name: &BlobName, own: Vec<String>) {
        let names: Vec<String> = own.iter().map(|own| format!("{}{name}/{own}", self.path)).collect();
        if let Err(error) = self.ssm.delete_parameters(&names).await {
            tracing::debug!(%error, %name, "old parameters stay for now");
        }
    }

    async fn read(&self, name: &BlobName) -> Result<Option<Blob>, StoreError> {
        let failed = |source| StoreError::Get { name: name.clone(), source };
        let damaged = |source: Cause| StoreError::Damaged { name: name.clone(), source };
        for tried in 0..TRIES {
            let folder = self.folder(name).await.map_err(failed)?;
            let latest = folder.latest().map_err(damaged)?;
            if self.is_behind(name, latest.as_ref().map_or(0, |latest| latest.generation)) {
                sleep(AGAIN_AFTER * 2_u32.pow(tried)).await;
                continue;
            }
            let Some(latest) = latest else { return Ok(None) };
            let data = match &latest.head {
                Head::Deleted { .. } => return Ok(None),
                Head::Whole { data, .. } => Some(data.clone()),
                Head::Parts { id, count } => {
                    let part =
                        |number| folder.parts.get(&part_name(id, number)).map(|part| part.expose_secret());
                    (0..*count).map(part).collect::<Option<String>>()
                }
            };
            // Parts that are missing are not shown yet, or belonged to a generation that was replaced while the pages were
            // read.
            let Some(data) = data else {
                sleep(AGAIN_AFTER * 2_u32.pow(tried)).await;
                continue;
            };
            let bytes = BASE64_STANDARD.decode(data).map_err(|error| damaged(error.into()))?;
            return Ok(Some(Blob::new(bytes, latest.version())));
        }
        Err(StoreError::Contended { name: name.clone() })
    }

    async fn names(&self, prefix: &str) -> Result<Vec<BlobName>, Cause> {
        let mut folders: BTreeMap<BlobName, Folder> = BTreeMap::new();
        for Parameter { name, value, .. } in
            self.ssm.parameters_below(self.path.trim_end_matches('/')).await?
        {
            let own = name.strip_prefix(&self.path).and_then(|own| own.split_once("/g"));
            if let Some((blob, generation)) = own
                && let Some(blob) = BlobName::parse(blob).filter(|blob| blob.as_str().starts_with(prefix))
                && let Ok(generation) = generation.parse()
            {
                folders.entry(blob).or_default().heads.insert(generation, value);
            }
        }
        for (blob, own) in self.own().iter().filter(|(blob, _)| blob.as_str().starts_with(prefix)) {
            folders.entry(blob.clone()).or_default().add_own(Some(own));
        }
        let is_there = |folder: &Folder| folder.latest().ok().flatten().is_some_and(|latest| latest.exists());
        Ok(folders.into_iter().filter(|(_, folder)| is_there(folder)).map(|(name, _)| name).collect())
    }
}

impl Folder {
    /// Puts in what this process has written, where AWS still shows what was there before.
    fn add_own(&mut self, own: Option<&Own>) {
        let Some(own) = own.filter(|own| own.at.elapsed() < SHOWN_WITHIN) else { return };
        let shown = self.heads.last_key_value().map_or(0, |(generation, _)| *generation);
        if shown <= own.generation {
            self.heads.insert(own.generation, own.head.clone());
            self.parts.extend(own.parts.iter().map(|(name, part)| (name.clone(), part.clone())));
        }
    }

    fn latest(&self) -> Result<Option<Latest>, Cause> {
        let Some((generation, head)) = self.heads.last_key_value() else { return Ok(None) };
        // The message of serde could quote the value.
        let head = serde_json::from_str(head.expose_secret()).map_err(|_| "the head is not readable")?;
        Ok(Some(Latest { generation: *generation, head }))
    }
}

/// Numbers have a fixed width, so that lists of people sort them.
fn head_name(generation: u64) -> String {
    format!("g{generation:010}")
}

fn part_name(id: &str, number: usize) -> String {
    format!("p-{id}-{number:03}")
}

impl Store for SsmStore {
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Option<Blob>, StoreError>> {
        Box::pin(self.read(name))
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        bytes: &'a [u8],
        when: When,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            let failed = |source| StoreError::Put { name: name.clone(), source };
            if bytes.len() > MAX_BLOB {
                return Err(failed("larger than any certificate".into()));
            }
            self.write(name, Some(bytes), when).await.map_err(failed)
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName, when: When) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            self.write(name, None, when)
                .await
                .map_err(|source| StoreError::Delete { name: name.clone(), source })
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<BlobName>, StoreError>> {
        Box::pin(async move { self.names(prefix).await.map_err(|source| StoreError::List { source }) })
    }
}
