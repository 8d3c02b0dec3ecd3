//! `kubectl tidegate`, the plugin.

use std::process::ExitCode;

use tidegate::cli;

fn main() -> ExitCode {
    // One TLS stack: fails only if another one was installed before, and nothing runs before this.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli::main(std::env::args_os())).into(),
        Err(e) => {
            anstream::eprintln!("error: cannot start: {e}");
            cli::error::Exit::NoAnswer.into()
        }
    }
}
