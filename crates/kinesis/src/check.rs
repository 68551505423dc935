//! `pinflow check` for Kinesis: makes every call that reading needs, and names missing permissions.

use super::api::{IteratorStart, KinesisApi, ShardInfo};
use super::connection::KinesisConnection;
use super::error::{KinesisError, KinesisErrorKind};
use super::fan_out::may_subscribe;
use pinflow_core::finding::Finding;

/// Looks at streams, and reads of each as much as shows that it may be read; changes nothing. `consumer` is the name of
/// the consumer to which records are to be pushed.
pub(super) async fn check_streams(
    connection: KinesisConnection,
    streams: &[String],
    consumer: Option<&str>,
) -> Vec<Finding> {
    let mut findings: Vec<_> = connection.warnings().into_iter().map(Finding::Risk).collect();
    let shown = connection.display_name();
    let api = match KinesisApi::connect(connection).await {
        Ok(api) => api,
        Err(error) => {
            findings.push(Finding::Fault(format!("{shown}: {error}")));
            return findings;
        }
    };
    for stream in streams {
        findings.extend(check_stream(&api, stream, consumer).await);
    }
    findings
}

/// All that is wrong with a stream, or what it holds.
async fn check_stream(api: &KinesisApi, stream: &str, consumer: Option<&str>) -> Vec<Finding> {
    let mut faults = Vec::new();
    let mut note = |fault: &KinesisError| faults.push(Finding::Fault(describe_error(stream, fault)));
    let summary = api.describe_summary(stream).await;
    if let Err(fault) = &summary {
        note(fault);
        if fault.kind != KinesisErrorKind::Denied {
            return faults;
        }
    }
    let shards = match api.list_shards(stream).await {
        Ok(shards) => shards,
        Err(fault) => {
            note(&fault);
            return faults;
        }
    };
    let newest = shards.iter().rev().find(|shard| !shard.is_closed).or(shards.last());
    if let Some(shard) = newest
        && let Err(fault) = read_one_record(api, stream, shard).await
    {
        note(&fault);
    }
    match summary {
        Ok(summary) if faults.is_empty() => {
            let (open, closed) = (summary.open_shards, shards.iter().filter(|shard| shard.is_closed).count());
            let hours = summary.retention_ms / 3_600_000;
            let mut findings = vec![Finding::Well(format!(
                "stream {stream}: {open} open shards, {closed} closed, records kept for {hours} h, and they may be read"
            ))];
            if let Some(consumer) = consumer {
                findings.push(check_fan_out(api, stream, &summary.arn, consumer).await);
            }
            findings
        }
        _ => faults,
    }
}

/// Whether records can be pushed. That they cannot is a risk and no fault, for then they are polled. A consumer is not
/// registered here: it would cost something from now on.
async fn check_fan_out(api: &KinesisApi, stream: &str, arn: &str, consumer: &str) -> Finding {
    let polled = |fault: &KinesisError| {
        Finding::Risk(format!("stream {stream}: {fault}{}; its shards are polled instead", fault.hint()))
    };
    let found = match api.find_consumer(arn, consumer).await {
        Ok(found) => Some(found),
        Err(fault) if fault.kind == KinesisErrorKind::Missing => None,
        Err(fault) => return polled(&fault),
    };
    match (may_subscribe(api, arn, found.as_deref()).await, found) {
        (Err(fault), _) => polled(&fault),
        (Ok(()), Some(_)) => {
            Finding::Well(format!("stream {stream}: its records may be pushed to consumer {consumer}"))
        }
        (Ok(()), None) => Finding::Well(format!(
            "stream {stream}: consumer {consumer} is not there yet; the first run registers it, which takes \
             kinesis:RegisterStreamConsumer and cannot be tried before"
        )),
    }
}

/// The two calls by which records are read. Both count towards the shard's limits, once.
async fn read_one_record(api: &KinesisApi, stream: &str, shard: &ShardInfo) -> Result<(), KinesisError> {
    let iterator = api.shard_iterator(stream, &shard.id, &IteratorStart::TrimHorizon).await?;
    match api.get_records(&iterator, 1).await {
        // Others read it, too: the permission is there.
        Err(fault) if fault.kind == KinesisErrorKind::Throttled => Ok(()),
        answer => answer.map(drop),
    }
}

fn describe_error(stream: &str, fault: &KinesisError) -> String {
    match fault.kind {
        KinesisErrorKind::Missing => format!(
            "stream {stream} is not there: `pinflow streams create {stream}` makes it; or the region, the account or the \
             endpoint is another"
        ),
        _ => format!("stream {stream}: {fault}{}", fault.hint()),
    }
}
