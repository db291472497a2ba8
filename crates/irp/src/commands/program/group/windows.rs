//! A program with all that it has started: a job of Windows. The system ends it when the last handle of the job is closed,
//! and so with irp, however that ends.

use tokio::process::Child;
use win32job::{ExtendedLimitInfo, Job};

/// A job with the program in it.
#[derive(Debug)]
pub(super) struct Group(Option<Job>);

impl Group {
    /// Takes a child into a job, before it has had the time to start others.
    pub(super) fn of(child: &Child) -> Self {
        let mut limits = ExtendedLimitInfo::new();
        limits.limit_kill_on_job_close();
        let job = Job::create_with_limit_info(&limits).ok().filter(|job| {
            let process = child.raw_handle().map(|handle| handle as isize);
            process.is_some_and(|process| job.assign_process(process).is_ok())
        });
        if job.is_none() {
            tracing::warn!("what the program starts may stay when it ends: Windows gives no job");
        }
        Self(job)
    }

    /// Ends all processes in it: what could ask a program to end, Windows does not have.
    pub(super) fn terminate(&mut self) {
        self.kill();
    }

    /// Ends all processes in it.
    pub(super) fn kill(&mut self) {
        self.0 = None;
    }

    /// Whether no process is left in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|job| job.query_process_id_list().is_ok_and(|left| left.is_empty()))
    }

    /// It is empty.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
