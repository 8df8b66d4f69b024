//! The `flowgate` program: arguments, a runtime, one verb, an exit status.

use std::process::ExitCode;

use flowgate::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command_line = match cli::parse(std::env::args_os()) {
        Ok(command_line) => command_line,
        Err(status) => return status,
    };
    // One thread: the store has one of its own, and measured with it a single
    // one beats two that steal from each other.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(cli::run(command_line));
    runtime.shutdown_background();
    status
}
