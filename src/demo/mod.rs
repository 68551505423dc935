//! `pinflow demo`: a feed of generated posts and a pipeline over them in one process, with a page and tables.

mod args;
mod error;
mod folder;
mod suggestions;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::sync::watch;

pub use args::DemoArgs;
pub use error::DemoError;

use crate::config::{Config, ConfigFile, ConfigUse};
use crate::run;
use folder::DemoFolder;
use pinflow_emit::{FeedSettings, PostFeed};
use pinflow_serving::{HttpConfig, StdoutFormat};
use pinflow_terminal::shutdown::{SHUTDOWN_DEADLINE, ShutdownPolicy, stop_on_signals};
use pinflow_terminal::{panics, write_error_line};
use suggestions::{DEFAULT_PORT, shell_word, suggestions};

/// A few messages are malformed, so that table `rejected` is not empty.
const MALFORMED_SHARE: f64 = 0.01;
/// The seed of `pinflow emit`.
const SEED: u64 = 100;
/// How often a demo that starts is asked whether it is ready.
const READY_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs a demo until a signal, or for `--for` seconds, and prints what to try to `out`.
///
/// # Errors
/// If its folder or port cannot be had, or the feed or the pipeline failed.
pub async fn run(args: DemoArgs, out: &mut (impl Write + Send)) -> Result<(), DemoError> {
    let folder = DemoFolder::create(args.keep.as_deref())?;
    let address = free_address(args.listen)?;
    let config = read_config(&folder, address)?;
    let client = reqwest::Client::builder().no_proxy().build().map_err(DemoError::HttpClient)?;
    let (stop, stopped) = watch::channel(false);
    panics::stop_through(stop.clone());
    stop_on_signals(SHUTDOWN_POLICY, stop.clone()).map_err(DemoError::Signals)?;
    let settings = FeedSettings {
        folder: folder.feed(),
        inds: args.inds,
        rate: args.rate,
        malformed: MALFORMED_SHARE,
        seed: SEED,
    };
    let at_end = stop.clone();
    let feed = PostFeed::start(settings, move || {
        at_end.send_replace(true);
    })
    .map_err(DemoError::Feed)?;
    let text = suggestions(&folder, address);
    let (outcome, printed) = tokio::join!(
        async {
            let outcome = run::run(config, StdoutFormat::None, stop.clone()).await;
            stop.send_replace(true);
            outcome
        },
        async {
            if is_ready_before_stop(&client, address, stopped.clone()).await {
                print_text(&text, out)?;
            }
            stop_after(args.end_after, stopped, &stop).await;
            Ok::<(), DemoError>(())
        },
    );
    let posts = feed.stop().map_err(DemoError::Feed);
    let outcome = outcome?;
    let posts = posts?;
    printed?;
    let place = shell_word(folder.path());
    let fate = if folder.remove_temporary()? {
        "the recording and the tables are removed".to_owned()
    } else {
        format!("`pinflow demo --keep {place}` continues it")
    };
    write_error_line(&format!("{posts} messages were generated, {} rows read; {fate}", outcome.totals.rows));
    Ok(())
}

/// What a signal means for a demo.
const SHUTDOWN_POLICY: ShutdownPolicy = ShutdownPolicy {
    orderly: "finishing the window",
    unfinished: "the demo's folder stays where it is",
    deadline: SHUTDOWN_DEADLINE,
    report: |how| tracing::info!(how, "stopping"),
};

/// Reads the configuration in the folder, and lets it listen at this address.
fn read_config(folder: &DemoFolder, address: SocketAddr) -> Result<Config, DemoError> {
    let mut file = ConfigFile::read(&folder.config())?;
    match &mut file.config.serve {
        Some(serve) => serve.listen = address,
        None => file.config.serve = Some(HttpConfig::listening_on(address)),
    }
    file.set_by_flag("serve.listen", format!("--listen {address}"));
    Ok(file.finish(ConfigUse::Run)?)
}

/// The address to listen on. Without one, the default port or a free one.
fn free_address(wanted: Option<SocketAddr>) -> Result<SocketAddr, DemoError> {
    let on_port = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bind = |address| bound_address(address).map_err(|cause| DemoError::Listen { address, cause });
    match wanted {
        Some(address) => bind(address),
        None => bind(on_port(DEFAULT_PORT)).or_else(|_| bind(on_port(0))),
    }
}

/// The address with the port that the system gives. The port is given back: the server takes it a moment later.
fn bound_address(address: SocketAddr) -> io::Result<SocketAddr> {
    TcpListener::bind(address)?.local_addr()
}

/// Waits until the demo can be asked. Returns false if it is stopped before.
async fn is_ready_before_stop(
    client: &reqwest::Client,
    address: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) -> bool {
    let url = format!("http://{address}/readyz");
    let ready = async {
        while !client.get(&url).send().await.is_ok_and(|reply| reply.status().is_success()) {
            tokio::time::sleep(READY_CHECK_INTERVAL).await;
        }
    };
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => false,
        () = ready => true,
    }
}

/// Prints on a line of its own. A closed output is no reason to end.
fn print_text(text: &str, out: &mut impl Write) -> Result<(), DemoError> {
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(DemoError::Io { what: "write to stdout".to_owned(), cause: error })
        }
        _ => Ok(()),
    }
}

/// Requests a stop after this many seconds, unless there was one before.
async fn stop_after(secs: Option<f64>, mut stopped: watch::Receiver<bool>, stop: &watch::Sender<bool>) {
    let Some(secs) = secs else { return };
    // More seconds than a duration holds are without end.
    let Ok(time) = Duration::try_from_secs_f64(secs) else { return };
    if tokio::time::timeout(time, stopped.wait_for(|stopped| *stopped)).await.is_err() {
        stop.send_replace(true);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn taken_port_is_an_error_if_it_was_named_and_replaced_if_not() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        assert!(matches!(free_address(Some(address)), Err(DemoError::Listen { .. })));
        assert!(free_address(None).unwrap().port() != 0);
    }

    #[tokio::test]
    async fn demo_with_an_end_is_stopped_then_and_not_before() {
        let (stop, stopped) = watch::channel(false);
        let start = std::time::Instant::now();
        stop_after(Some(0.05), stopped.clone(), &stop).await;
        assert!(*stopped.borrow() && start.elapsed() >= Duration::from_millis(50));
        let (stop, stopped) = watch::channel(false);
        stop_after(None, stopped.clone(), &stop).await;
        assert!(!*stopped.borrow());
    }
}
