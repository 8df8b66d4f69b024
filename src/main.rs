//! The `flowgate` program: arguments, a runtime, one verb, an exit status.

use std::process::ExitCode;

use flowgate::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_quietly_without_a_reader();
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

/// A reader that has seen enough, such as `head`, ends the program as it does
/// others: without a word, and with the status that a shell gives to that. (The
/// signal that is usual for it would also end a server whose client went away.)
fn end_quietly_without_a_reader() {
    const NO_READER: i32 = 128 + 13;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            std::process::exit(NO_READER);
        }
        usual(panic);
    }));
}
