//! Failpoints at which a test can kill or fail a write. With the feature `failpoints`, the variable `FAILPOINTS` names
//! them, in the syntax of the crate `fail`.

/// The steps of a write, in order: after the writer's row is locked, after a table was registered and before it is created,
/// after rows were deleted, before and after the commit.
pub const DATABASE_FAILPOINTS: [&str; 5] = [
    "databases::after_claim",
    "databases::after_register",
    "databases::after_delete",
    "databases::before_commit",
    "databases::after_commit",
];

use crate::error::DatabaseError;

/// Runs the action with which the failpoint was armed. Without the feature it does nothing.
#[cfg_attr(not(feature = "failpoints"), expect(clippy::unnecessary_wraps, reason = "fails only when armed"))]
pub(crate) fn hit(name: &str) -> Result<(), DatabaseError> {
    #[cfg(feature = "failpoints")]
    {
        debug_assert!(DATABASE_FAILPOINTS.contains(&name), "{name} is not listed");
        fail::fail_point!(name, |what| match what.as_deref() {
            Some("abort") => std::process::abort(),
            _ => Err(DatabaseError::unavailable(format!("failpoint {name}"))),
        });
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
    Ok(())
}
