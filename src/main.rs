//! The `nstr` command.

fn main() -> std::process::ExitCode {
    // A reader that closes the pipe early, as in `nstr inspect … | head`, ends the command without a panic message.
    let panic = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str().is_some_and(|text| text.starts_with("failed printing to std")) {
            std::process::exit(1);
        }
        panic(info);
    }));
    nstr_cli::run()
}
