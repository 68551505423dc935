//! `pinflow check` for Kinesis: makes every call that reading needs, and names missing permissions.

use super::api::{IteratorStart, KinesisApi, ShardInfo};
use super::connection::KinesisConnection;
use super::error::{KinesisError, KinesisErrorKind};
use super::fan_out::may_subscribe;
use pinflow_core::finding::Finding;

/// Describes streams and reads one record of each. Changes nothing. `consumer` is the name of the enhanced fan-out
/// consumer, if there is one.
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
            findings.push(Finding::Problem(format!("{shown}: {error}")));
            return findings;
        }
    };
    for stream in streams {
        findings.extend(check_stream(&api, stream, consumer).await);
    }
    findings
}

/// Returns every problem of a stream, or a description of its contents.
async fn check_stream(api: &KinesisApi, stream: &str, consumer: Option<&str>) -> Vec<Finding> {
    let mut problems = Vec::new();
    let mut note = |error: &KinesisError| problems.push(Finding::Problem(describe_error(stream, error)));
    let summary = api.describe_summary(stream).await;
    if let Err(error) = &summary {
        note(error);
        if error.kind != KinesisErrorKind::Denied {
            return problems;
        }
    }
    let shards = match api.list_shards(stream).await {
        Ok(shards) => shards,
        Err(error) => {
            note(&error);
            return problems;
        }
    };
    let newest = shards.iter().rev().find(|shard| !shard.is_closed).or(shards.last());
    if let Some(shard) = newest
        && let Err(error) = read_one_record(api, stream, shard).await
    {
        note(&error);
    }
    match summary {
        Ok(summary) if problems.is_empty() => {
            let (open, closed) = (summary.open_shards, shards.iter().filter(|shard| shard.is_closed).count());
            let hours = summary.retention_ms / 3_600_000;
            let mut findings = vec![Finding::Passed(format!(
                "stream {stream}: {open} open shards, {closed} closed, records kept for {hours} h, readable"
            ))];
            if let Some(consumer) = consumer {
                findings.push(check_fan_out(api, stream, &summary.arn, consumer).await);
            }
            findings
        }
        _ => problems,
    }
}

/// Checks whether fan-out is possible. If it is not, that is a risk and not a problem, because the shards are polled
/// instead. The consumer is not registered here, because it would cost money from then on.
async fn check_fan_out(api: &KinesisApi, stream: &str, arn: &str, consumer: &str) -> Finding {
    let polled = |error: &KinesisError| {
        Finding::Risk(format!("stream {stream}: {error}{}; its shards are polled instead", error.hint()))
    };
    let found = match api.find_consumer(arn, consumer).await {
        Ok(found) => Some(found),
        Err(error) if error.kind == KinesisErrorKind::Missing => None,
        Err(error) => return polled(&error),
    };
    match (may_subscribe(api, arn, found.as_deref()).await, found) {
        (Err(error), _) => polled(&error),
        (Ok(()), Some(_)) => Finding::Passed(format!("stream {stream}: consumer {consumer} can subscribe")),
        (Ok(()), None) => Finding::Passed(format!(
            "stream {stream}: consumer {consumer} does not exist yet; the first run registers it. That requires \
             kinesis:RegisterStreamConsumer, which cannot be checked in advance"
        )),
    }
}

/// Makes the two calls that reading needs. Each counts once towards the shard's limits.
async fn read_one_record(api: &KinesisApi, stream: &str, shard: &ShardInfo) -> Result<(), KinesisError> {
    let iterator = api.shard_iterator(stream, &shard.id, &IteratorStart::TrimHorizon).await?;
    match api.get_records(&iterator, 1).await {
        // Other readers use up the limit, but the permission is there.
        Err(error) if error.kind == KinesisErrorKind::Throttled => Ok(()),
        response => response.map(drop),
    }
}

fn describe_error(stream: &str, error: &KinesisError) -> String {
    match error.kind {
        KinesisErrorKind::Missing => format!(
            "stream {stream} does not exist. Create it with `pinflow streams create {stream}`, or correct the region, the account or \
             the endpoint"
        ),
        _ => format!("stream {stream}: {error}{}", error.hint()),
    }
}
