//! Several pinflow processes as one timely cluster.
//!
//! [`form_cluster`] connects the processes of a list to each other, proves that they belong together, and returns once
//! every one of them is connected to all others. [`FormedCluster::into_mesh`] hands the sockets to timely. From then on
//! [`PeerMonitor`] tells which process was lost. Timely itself never sees a loss, because it would panic.

mod error;
mod farewell;
mod form;
mod forming;
mod handshake;
mod hello;
mod link;
mod listener;
mod mesh;
mod message;
mod monitor;
mod peer_stream;
mod proof;
mod refusals;
mod settings;
mod socket;
mod tls;
mod transport;

pub use error::ClusterError;
pub use form::form_cluster;
pub use mesh::{ClusterMesh, ControlStream, ControlStreams, FormedCluster, Generation};
pub use monitor::{LossCause, LostPeer, PeerMonitor};
pub use proof::derive_hash_seed;
pub use settings::{
    ClusterSecret, ClusterSettings, ClusterTls, HostPort, PROCESSES_MAX, SECRET_BYTES_MIN, SecurityInputs,
    check_security, check_settings,
};
