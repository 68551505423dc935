//! Where files lie: in folders of this machine, or under a prefix of a bucket of Amazon S3 or of a server that speaks as
//! it does. Whoever writes files here need not know which.
//!
//! What is relied on, in both: a file is whole under its name or not there, a put that says it is done is durable, and
//! [`PutMode::Create`](object_store::PutMode::Create) succeeds for one of any number of writers. On the disk `synced`
//! sees to that; in a bucket conditional puts do, and a store that does not honour them is refused before anything is
//! entrusted to it (`proof`).

mod connection;
mod credentials;
mod fault;
mod mount_points;
mod pause;
mod place;
mod proof;
mod synced;
mod target;

pub use connection::{Addressing, Connection};
pub use fault::{ObjectsError, mend, plain};
pub use pause::{Pauses, Trouble};
pub use place::{Entries, Place};
pub use synced::{Leftover, Synced, create_folder, find_leftovers};
pub use target::Target;
