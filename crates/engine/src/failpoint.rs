//! Failpoints of the engine: named steps at which a test lets the process stop, wait or die.

/// Runs the action of an armed failpoint. Does nothing without the feature.
pub(crate) fn run_failpoint(name: &str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |what| if what.as_deref() == Some("abort") {
        std::process::abort()
    });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}
