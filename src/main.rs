//! The `nstr` command.



fn main() -> std::process::ExitCode {
    // Whoever reads the output may have enough of it: `nstr inspect … | head` is no panic.
    let panic = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str().is_some_and(|said| said.starts_with("failed printing to std")) {
            std::process::exit(1);
        }
        panic(info);
    }));
    nstr_cli::run()
}
