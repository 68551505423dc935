//! Serving: answers as of an epoch, every face at the same one.

mod render;
mod stdout;
mod view;

pub use stdout::{Closed, Format, Stdout, StdoutSettings};
pub use view::View;
