//! The certificate: is one kept, and how many can still be ordered this week.

use irp_edge::certs::{
    LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Names,
    budget::{History, ISSUED_PER_WEEK, Permit},
    history,
    revoke::kept_until,
};
use irp_launch::settings::Engine;

use super::{Check, Subject};
use crate::{clock, machine};

const CHECK: &str = "certificate";

/// Looks into the store of the name.
pub(super) async fn budget(subject: &Subject<'_>) -> Check {
    let settings = subject.settings;
    if matches!(settings.engine.value, Engine::Caddy(_)) {
        return Check::unknown(CHECK, "Caddy orders by itself: nobody counts");
    }
    if !subject.has_role {
        return Check::unknown(
            CHECK,
            "none is kept without a role: each launch orders one, and five a week is all",
        );
    }
    let kms_key = settings.kms_key.as_ref().map(|key| &key.value);
    let name = settings.name.as_str();
    let store = match machine::store_in(&subject.account.aws, &settings.cert_store.value, kms_key, name) {
        Ok(Some(store)) => store,
        Ok(None) => {
            return Check::unknown(
                CHECK,
                "none is kept between launches: each orders one, and five a week is all",
            )
            .mend("set CERT_STORE=ssm");
        }
        Err(failure) => return Check::failed(CHECK, &failure),
    };
    let names = match Names::new([name]) {
        Ok(names) => names,
        Err(error) => return Check::bad(CHECK, error.to_string()),
    };
    let own = settings.acme_directory.as_ref().map(|directory| directory.value.to_string());
    let staging = if settings.acme_staging.value { LETS_ENCRYPT_STAGING } else { LETS_ENCRYPT };
    let directory = own.as_deref().unwrap_or(staging);
    let now = clock::now();
    let looked = async {
        let kept = kept_until(store.as_ref(), &names, now).await?;
        Ok((kept, history(store.as_ref(), directory).await?))
    };
    match looked.await {
        Ok((kept, history)) => judge(kept, &history, &names, now),
        Err::<_, irp_edge::certs::store::StoreError>(error) => {
            Check::unknown(CHECK, format!("cannot be looked at: {error}"))
        }
    }
}

fn judge(
    kept: Option<std::time::SystemTime>,
    history: &History,
    names: &Names,
    now: std::time::SystemTime,
) -> Check {
    let left = ISSUED_PER_WEEK.saturating_sub(history.issued(names, now));
    let orders = format!("{left} of {ISSUED_PER_WEEK} orders are left this week");
    if let Some(until) = kept {
        return Check::good(CHECK, format!("one is kept, good until {}; {orders}", clock::utc_minute(until)));
    }
    match history.permit(names, now) {
        Permit::Now => Check::good(CHECK, format!("none is kept yet; {orders}")),
        Permit::Wait { until, why } => {
            Check::bad(CHECK, format!("none is kept, and none can be ordered now: {why}; {orders}"))
                .mend(format!("wait until {}", clock::utc_minute(until)))
                .mend("or choose another HOST_NAME, which has a budget of its own")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use irp_edge::certs::budget::{AttemptId, Step};

    use super::*;

    #[test]
    fn orders_of_this_week_count_and_old_ones_do_not() {
        let names = Names::new(["a.example"]).unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut history = History::default();
        let order = |history: &mut History, id, at| {
            history.begin(AttemptId(id), &names, at);
            history.advance(AttemptId(id), Step::Issued, at);
        };
        let text = judge(None, &history, &names, start).text;
        assert!(text.contains("4 of 4 orders are left"), "{text}");
        (0..3).for_each(|id| order(&mut history, id, start));
        let kept = judge(Some(start), &history, &names, start);
        assert!(
            kept.ok == Some(true) && kept.text.contains("1 of 4") && kept.text.contains("1970-01-12"),
            "{kept:?}"
        );
        order(&mut history, 3, start);
        let used = judge(None, &history, &names, start);
        assert!(used.ok == Some(false) && used.text.contains("0 of 4"), "{used:?}");
        assert!(used.mend[0].starts_with("wait until"), "{used:?}");
        let later = start + Duration::from_secs(8 * 24 * 3600);
        assert_eq!(judge(None, &history, &names, later).ok, Some(true));
    }
}
