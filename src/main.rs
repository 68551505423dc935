//! The `pinflow` program.

use std::process::ExitCode;

// Rows are made on one thread and dropped on another; the system's allocator does that at half the speed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pinflow::cli::main()
}
