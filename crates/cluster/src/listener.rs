//! The port of a process while its cluster forms.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pinflow_core::backoff::Backoff;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::handshake::{AuthenticatedPeer, HandshakeContext};
use crate::refusals::RefusalLog;
use crate::settings::ClusterSettings;

/// The handshakes at once, at most. A new connection then ends the oldest one, so that silent strangers cannot keep a
/// peer out.
const HANDSHAKES_MAX: usize = 64;

/// The wait after the operating system refused to accept a connection, as when no file is left.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

const BIND_BACKOFF_MIN: Duration = Duration::from_millis(20);
const BIND_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Binds the port of this process, and waits for it if it is in use.
pub(crate) async fn bind_listener(settings: &ClusterSettings, log: &RefusalLog) -> TcpListener {
    let address = settings.listen.as_ref().unwrap_or(&settings.processes[settings.index]);
    let mut backoff = Backoff::new(BIND_BACKOFF_MIN, BIND_BACKOFF_MAX);
    loop {
        match TcpListener::bind((address.host.as_str(), address.port)).await {
            Ok(listener) => return listener,
            Err(error) => log.log_bind(&address.to_string(), &error),
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Accepts connections for ever and passes on the peers that authenticate.
pub(crate) async fn accept_connections(
    listener: TcpListener,
    context: Arc<HandshakeContext>,
    log: Arc<RefusalLog>,
    peers: mpsc::Sender<AuthenticatedPeer>,
) {
    // Dropping the set ends all handshakes.
    let mut handshakes = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        by_age.retain(|handshake| !handshake.is_finished());
        let Ok((tcp, from)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            continue;
        };
        if by_age.len() >= HANDSHAKES_MAX
            && let Some(oldest) = by_age.pop_front()
        {
            oldest.abort();
            log.count_evicted();
        }
        let (context, log, peers) = (Arc::clone(&context), Arc::clone(&log), peers.clone());
        by_age.push_back(handshakes.spawn(async move {
            match context.accept_peer(tcp).await {
                // The receiver is gone once the cluster is formed.
                Ok(peer) => drop(peers.send(peer).await),
                Err(error) => log.log_refused(&context.settings, from, &error),
            }
        }));
    }
}
