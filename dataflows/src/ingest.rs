//! Bytes become rows or rejections.

use crate::record::{Geo, Lineage, Pin, Stream, User};
use crate::rejection::Rejection;

/// What a source carries: one stream, or whatever the fields of each row say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carries {
    /// Rows of this stream only.
    Only(Stream),
    /// Each row says by its fields which stream it belongs to.
    Auto,
}

/// Where [`ingest`](self) puts what it reads: the engine's graph inputs and table builders.
pub trait Rows {
    /// A cleaned pin post.
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>);
    /// A cleaned geo post.
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>);
    /// A cleaned user post.
    fn user(&mut self, lineage: Lineage, row: &User<'_>);
    /// A row that was kept out of its table, with its bytes. `stream` is `None` where an `auto` source cannot tell.
    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]);
}
