//! The edge's program for a machine, where no release says where it is: a file of this PC, which goes to the account's
//! bucket once, under its hash, and which the machine downloads by a URL that is good for an hour.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::digest;
use bytes::Bytes;
use irp_aws::{
    Kind as Refusal,
    s3::{PutObject, When},
};
use irp_launch::{
    plan::Upload,
    program::Program,
    settings::EdgeBinary,
    tags,
    values::{Artefact, ValueError},
};

use crate::{
    cloud::account::{Account, explain},
    environment,
    error::{Failure, Kind},
};

/// How long the machine may take to download it: some minutes pass from the order to the download at most.
const GOOD_FOR: Duration = Duration::from_secs(3600);

/// A larger file is no edge; a debug build has some 300 MB.
const BYTES_MAX: u64 = 1 << 30;

/// A program of this PC that machines can run.
#[derive(Clone)]
pub(crate) struct AtHand {
    /// What it is, and where it goes.
    pub(crate) upload: Upload,
    content: Bytes,
}

/// The file that was named, else this very program, where that is one of Linux.
///
/// # Errors
///
/// When it cannot be read, or is no program for a machine of EC2.
pub(crate) fn at_hand(named: Option<&Path>, account: &Account) -> Result<AtHand, Failure> {
    let path = named.map(Path::to_owned).or_else(own);
    let Some(path) = path else {
        return Err(Failure::new(Kind::Config, "there is no edge for the machine: this irp is none for Linux, and was built without a release's downloads")
            .hint("name one for Linux: --edge-binary FILE")
            .hint("or let the machine download it: EDGE_DL_URL=https://… and EDGE_SHA256=…"));
    };
    let content = read(&path)?;
    let program = Program::read(&content).map_err(|error| {
        Failure::new(Kind::Config, format!("{} cannot be the edge of a machine", path.display()))
            .because(&error)
            .hint("name one for Linux: --edge-binary FILE")
    })?;
    let hash = digest::digest(&digest::SHA256, &content);
    let sha256 = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let bucket = tags::bucket(&account.id, account.aws.region());
    let bytes = content.len() as u64;
    Ok(AtHand { upload: Upload { program, sha256, bytes, bucket }, content })
}

/// This program, where a machine could run it.
fn own() -> Option<PathBuf> {
    if cfg!(target_os = "linux") { environment::this_program() } else { None }
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Kind::Config, format!("cannot read {}", path.display())).because(&error)
    };
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut content)).map_err(failed)?;
    if content.len() as u64 == BYTES_MAX {
        return Err(Failure::new(Kind::Config, format!("{} is too large for an edge", path.display())));
    }
    Ok(content.into())
}

impl AtHand {
    /// Stores it in the bucket. That somebody else was faster is no failure: the name is the content.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub(crate) async fn upload(&self, account: &Account) -> Result<(), Failure> {
        let put = PutObject {
            body: self.content.clone(),
            when: When::Absent,
            kms_key: None,
            metadata: Default::default(),
        };
        let key = tags::program_key(&self.upload.sha256);
        match account.aws.s3().put_object(&self.bucket()?, &key, put).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Refusal::Precondition => Ok(()),
            Err(error) => Err(explain(&error)),
        }
    }

    /// What the machine is to download.
    ///
    /// # Errors
    ///
    /// When there are no credentials to sign with.
    pub(crate) async fn edge(&self, account: &Account) -> Result<EdgeBinary, Failure> {
        let key = tags::program_key(&self.upload.sha256);
        let url = account.aws.s3().presigned_get(&self.bucket()?, &key, GOOD_FOR).await;
        let url = url.map_err(|error| explain(&error))?;
        let unusable =
            |error: ValueError| Failure::new(Kind::Internal, "no machine can download that").because(&error);
        let artefact = Artefact {
            url: url.parse().map_err(unusable)?,
            sha256: Some(self.upload.sha256.parse().map_err(unusable)?),
        };
        Ok(EdgeBinary { arch: Some(self.upload.program.arch), artefact })
    }

    fn bucket(&self) -> Result<irp_aws::s3::Bucket, Failure> {
        self.upload.bucket.parse().map_err(|error| Failure::new(Kind::Internal, "no bucket").because(&error))
    }
}

/// Without its content.
impl std::fmt::Debug for AtHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtHand").field("upload", &self.upload).finish_non_exhaustive()
    }
}
