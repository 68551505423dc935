//! A formed cluster, and what timely needs of it.

use std::any::Any;
use std::fmt;
use std::ops::DerefMut;
use std::sync::Arc;

use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::bytes_slab::BytesRefill;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::ClusterError;
use crate::monitor::PeerMonitor;
use crate::peer_stream::PeerStream;
use crate::socket::PeerSocket;
use crate::transport::Transport;

/// The empty buffers of 1 MiB that each connection and each worker keeps. Without a limit timely keeps as many as it ever
/// needed at once.
const SPARE_BUFFERS_MAX: usize = 2;

/// The number of one forming of a cluster, drawn by its leader. All its processes have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u128);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A cluster in which every process has said that it is connected to all others.
pub struct FormedCluster {
    pub(crate) generation: Generation,
    pub(crate) index: usize,
    pub(crate) workers: usize,
    pub(crate) refused: u64,
    /// The address of each process.
    pub(crate) addresses: Vec<String>,
    /// The socket to each process but this one, for rows.
    pub(crate) sockets: Vec<Option<PeerSocket>>,
    /// The connections between the leader and its followers, for messages.
    pub(crate) messages: Vec<Option<Transport>>,
}

/// A connection between the leader and a follower.
pub trait ControlStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ControlStream for S {}

/// The connections of a process for messages, by the number of the other one: of the leader to each follower, and of a
/// follower to the leader. It is at the place of each process of which there is one.
pub type ControlStreams = Vec<Option<Box<dyn ControlStream>>>;

/// What `timely::execute::execute_from` needs, and the monitor of the peers.
pub struct ClusterMesh {
    /// One for each worker of this process.
    pub builders: Vec<AllocatorBuilder>,
    /// Joins timely's threads for sockets when it is dropped. After [`PeerMonitor::begin_end`] that ends once every peer
    /// has left, but a thread that met a loss never ends. So drop it on a thread of its own and bound the wait, and never
    /// drop it after a loss: end the process instead.
    pub guard: Box<dyn Any + Send>,
    /// Tells who is heard and who was lost.
    pub peers: PeerMonitor,
}

impl FormedCluster {
    /// The number of this forming.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The connections that were refused while the cluster formed: strangers, and peers that do not match.
    #[must_use]
    pub fn refused_connections(&self) -> u64 {
        self.refused
    }

    /// Takes the connections between the leader and its followers.
    pub fn take_messages(&mut self) -> ControlStreams {
        let messages = std::mem::take(&mut self.messages).into_iter();
        messages.map(|transport| Some(Box::new(transport?) as Box<dyn ControlStream>)).collect()
    }

    /// Hands the sockets to timely's threads, which start at once. From then on, only timely may end: dropping the mesh
    /// makes these threads panic.
    ///
    /// # Errors
    /// If the operating system refuses a thread or a handle of a socket.
    pub fn into_mesh(self) -> Result<ClusterMesh, ClusterError> {
        let failed = |cause| ClusterError::System { what: "start the threads of the cluster's sockets", cause };
        let count = self.sockets.len();
        let others = self.addresses.into_iter().enumerate().filter(|(index, _)| *index != self.index);
        let peers = PeerMonitor::new(others);
        let hooks = communication_hooks();
        let local = ProcessBuilder::new_typed_vector(self.workers, hooks.refill.clone(), None);
        if count == 1 {
            let builders = local.into_iter().map(AllocatorBuilder::Process).collect();
            return Ok(ClusterMesh { builders, guard: Box::new(()), peers });
        }
        let mut streams = Vec::with_capacity(count);
        let mut place = 0;
        for socket in self.sockets {
            streams.push(socket.map(|socket| PeerStream::new(socket, place, peers.clone())));
            place += usize::from(streams.last().is_some_and(Option::is_some));
        }
        let started = initialize_networking_from_sockets(local, streams, self.index, self.workers, hooks);
        let (builders, guard) = started.map_err(failed)?;
        peers.watch_departures().map_err(failed)?;
        let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
        Ok(ClusterMesh { builders, guard: Box::new(guard), peers })
    }
}

fn communication_hooks() -> Hooks {
    let new_buffer = |size| Box::new(vec![0_u8; size]) as Box<dyn DerefMut<Target = [u8]> + Send>;
    let refill = BytesRefill { logic: Arc::new(new_buffer), limit: Some(SPARE_BUFFERS_MAX) };
    Hooks { refill, ..Hooks::default() }
}
