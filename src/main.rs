//! The `pinflow` program.

use std::process::ExitCode;

// Rows are created on one thread and dropped on another. With the system's allocator that takes twice as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pinflow::cli::main()
}
