//! `rabbitmq-upgrade`: the program looks at the name it was started under.

fn main() -> std::process::ExitCode {
    liebrectl::main()
}
