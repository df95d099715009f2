//! The `nstr` command.

fn main() -> std::process::ExitCode {
    nstr_cli::run()
}
