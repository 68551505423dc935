//! Failpoints at which a test can kill, delay or fail the commit protocol.
//!
//! With the feature `failpoints`, the variable `FAILPOINTS` names them, in the syntax of the crate `fail`:
//! `delta::pin::before_commit=2*off->1*return(abort)` kills the process, with no unwinding and no flushing, the
//! third time a window's commit to `pin` is about to be put. `return` alone injects an error, `panic` panics.

use std::io;

/// Keeps the failpoints armed until it is dropped.
#[cfg(feature = "failpoints")]
pub struct ArmedAction(#[expect(dead_code, reason = "disarms when dropped")] fail::FailScenario<'static>);

/// Arms the failpoints named in `FAILPOINTS`. `main` calls this before anything else.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn arm() -> ArmedAction {
    ArmedAction(fail::FailScenario::setup())
}

macro_rules! points {
    ($($table:literal),*) => {
        [$(
            concat!("delta::", $table, "::before_create"), concat!("delta::", $table, "::after_create"),
            concat!("delta::", $table, "::before_fence"), concat!("delta::", $table, "::after_fence"),
            concat!("delta::", $table, "::before_file"), concat!("delta::", $table, "::after_file"),
            concat!("delta::", $table, "::before_commit"), concat!("delta::", $table, "::after_commit"),
            concat!("delta::", $table, "::before_checkpoint"), concat!("delta::", $table, "::after_checkpoint"),
        )*]
    };
}

/// All failpoints of the sink: before and after each step of the protocol, for each table.
pub const FAILPOINTS: [&str; 40] = points!("rejected", "pin", "geo", "user");

/// The failpoints of compaction, which runs in the background.
pub const COMPACT_FAILPOINTS: [&str; 3] = ["before_compact", "before_compact_commit", "after_compact"];

/// Runs the action with which the failpoint was armed. Without the feature it does nothing.
#[cfg_attr(not(feature = "failpoints"), expect(clippy::unnecessary_wraps, reason = "fails only when armed"))]
pub(crate) fn hit(place: &str, step: &str) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    {
        let name = format!("delta::{place}::{step}");
        debug_assert!(
            FAILPOINTS.contains(&name.as_str()) || COMPACT_FAILPOINTS.contains(&step),
            "{name} is not listed"
        );
        fail::fail_point!(&name, |what| match what.as_deref() {
            Some("abort") => std::process::abort(),
            _ => Err(io::Error::other(format!("failpoint {name}"))),
        });
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = (place, step);
    Ok(())
}
