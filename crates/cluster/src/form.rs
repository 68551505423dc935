//! Runs the rules of forming over real sockets.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pinflow_core::backoff::Backoff;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use crate::error::ClusterError;
use crate::forming::{FormedLinks, FormingAction, FormingEvent, FormingMachine, LinkId};
use crate::handshake::{AuthenticatedPeer, HandshakeContext, draw_nonce};
use crate::link::LinkHandle;
use crate::listener::{accept_connections, bind_listener};
use crate::mesh::{FormedCluster, Generation};
use crate::refusals::RefusalLog;
use crate::settings::{ClusterSettings, check_settings};
use crate::socket::PeerSocket;
use crate::tls::TlsContext;
use crate::transport::Transport;

/// The waits between two dials of the same peer.
const DIAL_BACKOFF_MIN: Duration = Duration::from_millis(20);
const DIAL_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Whom the process waits for is logged after the first time, and then once in the second.
const FIRST_WAIT_LOG: Duration = Duration::from_secs(10);
const WAIT_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The most events on their way to the driver. Senders wait for room.
const EVENTS_MAX: usize = 256;

/// Forms the cluster: waits for all its processes, and connects to each.
///
/// Whatever may pass is waited for, and logged: processes that are not there, or of another version or configuration.
/// Nothing but sockets is touched, so a cluster that waits for a process disturbs no other. Cancelling closes all
/// sockets.
///
/// # Errors
/// If the settings or certificates cannot be used, or `stop` turns true.
pub async fn form_cluster(
    settings: &ClusterSettings,
    stop: watch::Receiver<bool>,
) -> Result<FormedCluster, ClusterError> {
    check_settings(settings).map_err(ClusterError::BadSettings)?;
    let tls = settings.tls.as_ref().map(TlsContext::new).transpose()?;
    if settings.danger_unencrypted && tls.is_none() {
        warn!(
            "danger_unencrypted is set: everybody on the network can read the rows that the cluster's processes exchange"
        );
    }
    let failed = |cause| ClusterError::System { what: "draw a random number", cause };
    let boot = draw_nonce().map_err(failed)?;
    let context = Arc::new(HandshakeContext { settings: settings.clone(), tls, boot });
    let formed = tokio::select! {
        formed = form_by_sockets(&context) => formed.map_err(failed)?,
        () = wait_for_stop(stop) => return Err(ClusterError::Stopped),
    };
    info!(
        generation = %formed.generation,
        processes = settings.processes.len(),
        refused = formed.refused,
        "the cluster is formed"
    );
    Ok(formed)
}

async fn wait_for_stop(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|is_stopped| *is_stopped).await.is_err() {
        // Nobody can say it any more.
        std::future::pending::<()>().await;
    }
}

async fn form_by_sockets(context: &Arc<HandshakeContext>) -> io::Result<FormedCluster> {
    let settings = &context.settings;
    if settings.processes.len() == 1 {
        let connections = FormedConnections { rows: vec![None], messages: vec![None] };
        return Ok(formed_cluster(context, draw_nonce()?, connections, 0));
    }
    let log = Arc::new(RefusalLog::default());
    let listener = bind_listener(settings, &log).await;
    let (accepted, peers) = mpsc::channel(EVENTS_MAX);
    let mut accepting = JoinSet::new();
    accepting.spawn(accept_connections(listener, Arc::clone(context), Arc::clone(&log), accepted));
    let mut driver = FormingDriver::new(context, &log);
    let formed = driver.run(peers).await?;
    // The port is closed before anything else happens.
    accepting.shutdown().await;
    Ok(formed)
}

fn formed_cluster(
    context: &HandshakeContext,
    generation: u128,
    FormedConnections { rows, messages }: FormedConnections,
    refused: u64,
) -> FormedCluster {
    let settings = &context.settings;
    FormedCluster {
        generation: Generation(generation),
        index: settings.index,
        workers: settings.workers,
        refused,
        addresses: settings.processes.iter().map(ToString::to_string).collect(),
        sockets: rows,
        messages,
    }
}

/// The connections of a formed cluster, by the number of the process.
struct FormedConnections {
    /// For timely.
    rows: Vec<Option<PeerSocket>>,
    /// Between the leader and its followers.
    messages: Vec<Option<Transport>>,
}

/// A connection that the machine knows.
enum HeldLink {
    /// Between the leader and a follower: messages pass.
    Active(LinkHandle),
    /// For rows: nothing is read, because the peer may already be told to go.
    Parked(Transport),
}

/// A peer that this process dialed, and the generation that it named.
struct DialedPeer {
    peer: AuthenticatedPeer,
    generation: Option<u128>,
}

/// Does what the machine says, and tells it what happened.
struct FormingDriver {
    context: Arc<HandshakeContext>,
    log: Arc<RefusalLog>,
    machine: FormingMachine,
    first_actions: Vec<FormingAction>,
    links: HashMap<LinkId, HeldLink>,
    last_link: LinkId,
    /// Dials and timers. Dropping the set ends them.
    tasks: JoinSet<()>,
    dials: Vec<AbortHandle>,
    /// Lasts over all attempts, unlike those of other peers.
    leader_backoff: Arc<Mutex<Backoff>>,
    has_dialed: bool,
    events: (mpsc::Sender<FormingEvent>, mpsc::Receiver<FormingEvent>),
    dialed: (mpsc::Sender<DialedPeer>, mpsc::Receiver<DialedPeer>),
}

impl FormingDriver {
    fn new(context: &Arc<HandshakeContext>, log: &Arc<RefusalLog>) -> FormingDriver {
        let settings = &context.settings;
        let (machine, first_actions) = FormingMachine::start(settings.index, settings.processes.len(), context.boot);
        FormingDriver {
            context: Arc::clone(context),
            log: Arc::clone(log),
            machine,
            first_actions,
            links: HashMap::new(),
            last_link: 0,
            tasks: JoinSet::new(),
            dials: Vec::new(),
            leader_backoff: Arc::new(Mutex::new(Backoff::new(DIAL_BACKOFF_MIN, DIAL_BACKOFF_MAX))),
            has_dialed: false,
            events: mpsc::channel(EVENTS_MAX),
            dialed: mpsc::channel(EVENTS_MAX),
        }
    }

    async fn run(&mut self, mut accepted: mpsc::Receiver<AuthenticatedPeer>) -> io::Result<FormedCluster> {
        let mut wait_log = tokio::time::interval_at(tokio::time::Instant::now() + FIRST_WAIT_LOG, WAIT_LOG_INTERVAL);
        let mut actions = std::mem::take(&mut self.first_actions);
        loop {
            if let Some(finished) = self.apply_actions(actions) {
                match self.take_connections(&finished).await {
                    Ok(connections) => {
                        return Ok(formed_cluster(&self.context, finished.generation, connections, self.log.refused()));
                    }
                    Err(link) => {
                        actions = self.handle_event(FormingEvent::Lost { link })?;
                        continue;
                    }
                }
            }
            while self.tasks.try_join_next().is_some() {}
            actions = tokio::select! {
                Some(peer) = accepted.recv() => {
                    let generation = peer.hello.generation;
                    self.add_peer(peer, generation, false)?
                }
                Some(dialed) = self.dialed.1.recv() => self.add_peer(dialed.peer, dialed.generation, true)?,
                Some(event) = self.events.1.recv() => self.handle_event(event)?,
                _ = wait_log.tick() => {
                    self.log_missing_peers();
                    Vec::new()
                }
            };
        }
    }

    fn handle_event(&mut self, event: FormingEvent) -> io::Result<Vec<FormingAction>> {
        // Drawn beforehand, because it can fail, and the machine cannot.
        let drawn = draw_nonce()?;
        Ok(self.machine.handle(event, &mut || drawn))
    }

    fn add_peer(
        &mut self,
        peer: AuthenticatedPeer,
        generation: Option<u128>,
        is_dialed: bool,
    ) -> io::Result<Vec<FormingAction>> {
        let AuthenticatedPeer { hello, transport } = peer;
        let peer = hello.index as usize;
        self.last_link += 1;
        let link = self.last_link;
        let held = if generation.is_none() {
            HeldLink::Active(LinkHandle::spawn(link, transport, self.events.0.clone()))
        } else {
            HeldLink::Parked(transport)
        };
        self.links.insert(link, held);
        self.handle_event(FormingEvent::Linked { peer, link, boot: hello.boot, generation, is_dialed })
    }

    /// Does all of this. Returns what `Finish` said, which comes last.
    fn apply_actions(&mut self, actions: Vec<FormingAction>) -> Option<FormedLinks> {
        for action in actions {
            match action {
                FormingAction::Dial { peer, generation } => self.start_dial(peer, generation),
                FormingAction::CancelDials => self.dials.drain(..).for_each(|dial| dial.abort()),
                FormingAction::Send { link, message } => {
                    if let Some(HeldLink::Active(handle)) = self.links.get(&link) {
                        handle.send_message(message);
                    }
                }
                FormingAction::Close { link } => drop(self.links.remove(&link)),
                FormingAction::StartTimer { timer, after } => {
                    let events = self.events.0.clone();
                    self.tasks.spawn(async move {
                        tokio::time::sleep(after).await;
                        // The receiver lives as long as this task.
                        let _ = events.send(FormingEvent::TimedOut { timer }).await;
                    });
                }
                FormingAction::Finish(formed) => return Some(formed),
            }
        }
        None
    }

    fn start_dial(&mut self, peer: usize, generation: Option<u128>) {
        let is_first_link = generation.is_none();
        let backoff = if is_first_link {
            Arc::clone(&self.leader_backoff)
        } else {
            Arc::new(Mutex::new(Backoff::new(DIAL_BACKOFF_MIN, DIAL_BACKOFF_MAX)))
        };
        // The leader is dialed again after a fault.
        let waits_first = is_first_link && std::mem::replace(&mut self.has_dialed, true);
        let (context, log, dialed) = (Arc::clone(&self.context), Arc::clone(&self.log), self.dialed.0.clone());
        self.dials.push(self.tasks.spawn(async move {
            if waits_first {
                wait_before_dial(&backoff).await;
            }
            loop {
                match context.dial_peer(peer, generation).await {
                    Ok(peer) => {
                        // The receiver lives as long as this task.
                        let _ = dialed.send(DialedPeer { peer, generation }).await;
                        return;
                    }
                    Err(error) => log.log_dial(&context.settings, peer, &error),
                }
                wait_before_dial(&backoff).await;
            }
        }));
    }

    /// The connections to all peers, or the link that was lost meanwhile.
    async fn take_connections(&mut self, formed: &FormedLinks) -> Result<FormedConnections, LinkId> {
        let mut connections = FormedConnections { rows: Vec::new(), messages: Vec::new() };
        for link in &formed.messages {
            let transport = match *link {
                None => None,
                Some(link) => Some(self.take_transport(link).await.ok_or(link)?),
            };
            connections.messages.push(transport);
        }
        for link in &formed.rows {
            let socket = match *link {
                None => None,
                Some(link) => {
                    let transport = self.take_transport(link).await;
                    Some(transport.and_then(|transport| transport.into_socket().ok()).ok_or(link)?)
                }
            };
            connections.rows.push(socket);
        }
        Ok(connections)
    }

    async fn take_transport(&mut self, link: LinkId) -> Option<Transport> {
        match self.links.remove(&link)? {
            HeldLink::Active(handle) => handle.take_transport().await,
            HeldLink::Parked(transport) => Some(transport),
        }
    }

    fn log_missing_peers(&self) {
        let settings = &self.context.settings;
        let name = |peer: usize| format!("process {peer} ({})", settings.address(peer));
        let missing: Vec<String> = self.machine.missing_peers().into_iter().map(name).collect();
        warn!("the cluster is not formed yet: process {} waits for {}", settings.index, missing.join(", "));
    }
}

async fn wait_before_dial(backoff: &Mutex<Backoff>) {
    let wait = backoff.lock().next_wait();
    tokio::time::sleep(wait).await;
}
