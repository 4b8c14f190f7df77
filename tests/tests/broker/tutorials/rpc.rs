//! Lesson 6: remote procedure call.

use liebre_tests::program::Program;

use super::{
    Language::{self, Python, Rust},
    Page, turn, wait_consumers, wait_ready,
};

/// A server that is ready to answer, one of `consumers`.
fn serving(page: &Page, server: Language, consumers: u32) -> Program {
    let mut program = server.run("rpc_server", &[]);
    page.expect(&mut program, " [x] Awaiting RPC requests");
    wait_consumers("rpc_queue", consumers);
    program
}

/// Asks as the page does, for an answer that the page shows.
fn ask(page: &Page, command: &str, n: &str, answer: &str) {
    let mut client = page.run(command);
    assert_eq!(client.next_line(), format!(" [x] Requesting fib({n})"));
    page.expect(&mut client, &format!(" [.] Got {answer}"));
    client.finish();
}

/// The page's language is the clients'; `nonsense` is no number.
fn rpc(page: &Page, server: Language, nonsense: &str) {
    let _turn = turn();
    let mut first = serving(page, server, 1);
    ask(page, "rpc_client", "30", "832040");
    page.expect(&mut first, " [.] fib(30)");
    ask(page, "rpc_client 10", "10", "55");
    page.expect(&mut first, " [.] fib(10)");
    page.shows(" [x] Requesting fib(30)");
    page.shows(" [x] Requesting fib(10)");
    let refusal = "error: a whole number from 0 to 93, please";
    ask(page, &format!("rpc_client {nonsense}"), nonsense, refusal);
    assert_eq!(first.next_line(), format!(" [.] fib({nonsense})"));

    // Two servers take turns.
    let mut second = serving(page, server, 2);
    for _ in 0..4 {
        ask(page, "rpc_client 10", "10", "55");
    }
    for server in [&mut first, &mut second] {
        assert_eq!(server.next_line(), " [.] fib(10)");
        assert_eq!(server.next_line(), " [.] fib(10)");
    }

    // The question waits for a server.
    drop((first, second));
    wait_consumers("rpc_queue", 0);
    let mut client = page.run("rpc_client 7");
    wait_ready("rpc_queue", 1);
    let mut late = serving(page, server, 1);
    page.expect(&mut late, " [.] fib(7)");
    client.expect_line(" [x] Requesting fib(7)");
    page.expect(&mut client, " [.] Got 13");
    client.finish();
}

/// The greatest answer that has 64 bits, and numbers that have none.
fn limits(server: Language, client: Language) {
    let _turn = turn();
    let mut serving = server.run("rpc_server", &[]);
    serving.expect_line("Awaiting");
    for (n, answer) in [
        ("0", "0"),
        ("93", "12200160415121876738"),
        ("94", "error: a whole number from 0 to 93, please"),
        ("-1", "error: a whole number from 0 to 93, please"),
        ("99999999999999999999999999", "error: a whole number from 0 to 93, please"),
    ] {
        let mut asking = client.run("rpc_client", &[n]);
        asking.expect_line(&format!(" [.] Got {answer}"));
        asking.finish();
    }
}

#[test]
fn rpc_in_rust() {
    rpc(&Page::open("en/6-rpc.md", Rust), Rust, "ten");
}

#[test]
fn rpc_in_python() {
    rpc(&Page::open("es/6-rpc.md", Python), Python, "diez");
}

#[test]
fn rpc_in_both_languages() {
    limits(Rust, Python);
    limits(Python, Rust);
}
