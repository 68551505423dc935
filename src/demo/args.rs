//! The command line of `pinflow demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

use pinflow_emit::{parse_number, parse_rate};
use pinflow_http::parse_listen_address;

/// Shows pinflow at work: a live feed of generated posts, their answers on a page, and their rows in Delta tables.
///
/// Needs no other program, no configuration and no network. Ctrl-C ends it. Everything it wrote is then removed, unless
/// --keep names a folder.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Posts per second, over all three streams
    #[arg(long, value_name = "N", default_value = "200", value_parser = parse_rate)]
    pub rate: f64,

    /// Number of different posts. They are drawn with replacement, so that with a small number posts repeat early
    #[arg(long, value_name = "COUNT", default_value = "11149", value_parser = parse_inds)]
    pub inds: u64,

    /// Serve the page and the HTTP API here: localhost:PORT, :PORT or PORT [default: 7461, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen_address)]
    pub listen: Option<SocketAddr>,

    /// End after this time [default: at Ctrl-C]
    #[arg(long = "for", value_name = "SECS", value_parser = parse_rate)]
    pub end_after: Option<f64>,

    /// Keep the recording, the tables and the configuration in this folder. A demo that is there is continued [default:
    /// a temporary folder, which is removed at the end]
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
}

fn parse_inds(text: &str) -> Result<u64, String> {
    let is_allowed = |inds: &u64| (1..1 << 48).contains(inds);
    let number = parse_number(text).ok().filter(is_allowed);
    number.ok_or_else(|| "a whole number from 1 is wanted, such as 1500 or 10k".to_owned())
}
