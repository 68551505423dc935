//! pinflow.
fn main() {}
