//! Contradictions in the command line, each with its remedy.

use super::args::EmitArgs;
use super::destinations::OutputCompression;
use super::destinations::gateway::GatewayProtocol;
use super::emulator::{DrawMethod, TimeFormat};
use pinflow_mysql as mysql;

impl EmitArgs {
    /// All contradictions at once.
    pub(crate) fn validate(&self) -> Vec<&'static str> {
        let mut problems = Vec::new();
        if self.inds == 0 {
            problems.push("--inds: a table needs at least one row");
        }
        if self.inds >= 1 << 48 || self.draw_count() >= 1 << 48 || self.skipped_draws() >= 1 << 48 {
            problems.push("--inds, --count and --skip end at 2^48");
        }
        if self.too_large > Some(1 << 30) || self.too_many_rows > Some(1 << 20) {
            problems.push("--too-large ends at 2^30 bytes, --too-many-rows at 2^20 rows");
        }
        if self.append && !self.wrap.has_one_row_per_message() {
            problems.push(
                "--append cannot find where to continue with --wrap records or mixed, as messages hold several rows: \
                 write a second folder with --skip",
            );
        }
        if self.is_stdout() && (self.append || self.force) {
            problems.push("--append and --force are for files; standard output is neither");
        }
        problems.extend(self.validate_source());
        problems.extend(match (self.gateway_url(), self.kinesis_prefix()) {
            _ if self.init_mysql.is_some() => Vec::new(),
            (Some(_), _) => self.validate_gateway(),
            (None, Some(prefix)) => self.validate_kinesis(prefix),
            (None, None) => self.validate_kafka(),
        });
        if self.gateway_url().is_none() && (self.prefix.is_some() || self.token.is_some() || self.ca.is_some()) {
            problems.push("--prefix, --token and --ca are for --to https://…");
        }
        problems
    }

    /// Contradictions with the source of posts.
    fn validate_source(&self) -> Vec<&'static str> {
        let mut problems = Vec::new();
        let draws = self.count.is_some() || self.skip.is_some() || self.seed.is_some() || self.append;
        if draws && self.from.is_some() && self.database_url().is_none() {
            problems.push("--count, --skip, --seed and --append are for made posts and for --from mysql://…");
        }
        let asks = self.database_url().is_some() || self.init_mysql.is_some();
        if !asks && (self.creds.is_some() || self.draws != DrawMethod::Uniform || self.times != TimeFormat::T) {
            problems.push("--creds, --draws and --times are for --from mysql://…; --creds for --init-mysql, too");
        }
        if self.init_mysql.as_deref().is_some_and(|url| !mysql::is_url(url)) {
            problems.push("--init-mysql wants mysql://USER@HOST:PORT/DATABASE");
        }
        problems
    }

    fn validate_gateway(&self) -> Vec<&'static str> {
        let mut problems = Vec::new();
        if self.append || self.force || self.compress != OutputCompression::None {
            problems.push("--append, --force and --compress are for files; a gateway takes messages as they stand");
        }
        if self.connection.is_some() || self.region.is_some() || self.endpoint.is_some() {
            problems.push(
                "--connection, --region and --endpoint are for --to kafka://… and kinesis://…; a gateway is its URL",
            );
        }
        if self.malformed > 0.0 || !self.wrap.is_json() {
            problems.push(
                "--malformed and --wrap mixed are not for a gateway: its bodies are JSON, and such messages are not",
            );
        }
        if self.gateway == GatewayProtocol::Kinesis && self.prefix.is_none() == self.topic.is_none() {
            problems.push("say which streams: --prefix NAME for NAME-pin, …, or --topic NAME");
        }
        problems
    }

    fn validate_kinesis(&self, prefix: &str) -> Vec<&'static str> {
        let mut problems = Vec::new();
        if self.append || self.force {
            problems.push("--append and --force are for files; a stream only ever grows");
        }
        if self.compress != OutputCompression::None {
            problems.push("--compress is for files and Kafka; the records of Kinesis are read as they stand");
        }
        if prefix.is_empty() == self.topic.is_none() {
            problems.push("say which streams: --to kinesis://PREFIX, or --to kinesis:// with --topic NAME; not both");
        }
        problems
    }

    fn validate_kafka(&self) -> Vec<&'static str> {
        let mut problems = Vec::new();
        let Some((brokers, prefix)) = self.kafka_target() else {
            if self.topic.is_some() || self.key.is_some() || self.connection.is_some() {
                problems.push("--topic, --key and --connection are for --to kafka://… and --to kinesis://…");
            }
            if self.region.is_some() || self.endpoint.is_some() {
                problems.push("--region and --endpoint are for --to kinesis://…");
            }
            return problems;
        };
        if self.region.is_some() || self.endpoint.is_some() {
            problems.push("--region and --endpoint are for --to kinesis://…");
        }
        if self.append || self.force {
            problems.push("--append and --force are for files; a topic only ever grows");
        }
        if brokers.is_empty() == self.connection.is_none() {
            problems
                .push("say where the brokers are: --to kafka://HOST:PORT/PREFIX, or --connection FILE.toml; not both");
        }
        if !prefix.is_empty() && self.topic.is_some() {
            problems.push("--topic NAME is the whole name; leave the prefix out of --to");
        }
        problems
    }
}
