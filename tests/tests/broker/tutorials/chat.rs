//! Lesson 8: the chat.

use liebre_tests::{
    broker::Broker,
    method::{self, Say},
    program::Program,
    raw::Raw,
};

use super::{
    Language::{self, Python, Rust},
    Page, turn, wait_consumers, wait_ready, without_numbers,
};

/// A reader that waits for messages.
fn reading(page: &Page, language: Language, words: &[&str]) -> Program {
    let mut program = language.run("receptor", words);
    page.expect(&mut program, "Conectado con 127.0.0.1. Esperando mensajes; Ctrl-C para terminar.");
    program
}

/// A writer that has asked for a name and got `name`.
fn writing(page: &Page, language: Language, words: &[&str], name: &str) -> Program {
    let mut program = language.run("emisor", words);
    page.expect(&mut program, "Conectado con 127.0.0.1. Para terminar, escribe salir.");
    program.expect_text("Tu nombre: ");
    program.type_line(name);
    program.expect_text(&format!("{name}> "));
    program
}

/// Types a line and waits until it was sent.
fn write(writer: &mut Program, name: &str, line: &str) {
    writer.type_line(line);
    writer.expect_text(&format!("{name}> "));
}

/// The next line that is not a row of dots, or what is left of one.
fn next_message(reader: &mut Program) -> String {
    loop {
        let line = reader.next_line();
        if !line.chars().all(|c| c == '.') {
            return line;
        }
    }
}

/// The chat as on the page; the reader shows that it is alive, and counts.
fn chat_for_two(page: &Page, writer: Language, reader: Language) {
    let _turn = turn();
    for typed in
        ["receptor", "emisor", "Tu nombre: Ana", "Ana> ¡Hola!", "Ana> ¿Llegó el camión?", "Ana> salir"]
    {
        page.shows(typed);
    }
    let mut receptor = reading(page, reader, &[]);
    receptor.expect_text(".");
    let mut emisor = writing(page, writer, &[], "Ana");
    for line in ["¡Hola!", "¿Llegó el camión?"] {
        write(&mut emisor, "Ana", line);
        let shown = next_message(&mut receptor);
        assert_eq!(without_numbers(&shown), format!("[Ana] {line} (#)"));
        page.shows_but_numbers(&shown);
    }
    emisor.type_line("salir");
    page.expect(&mut emisor, "Hasta luego, Ana: 2 mensajes en total.");
    emisor.finish();

    receptor.interrupt();
    receptor.expect_line("2 mensajes en total.");
    page.shows("2 mensajes en total.");
    receptor.finish();
    assert_eq!(Raw::with_channel(Broker::shared()).queue_counts("chat_cola"), (0, 0));
}

/// The staged run; what is in the queue meanwhile; two readers take turns.
fn chat_for_three(page: &Page, writer: Language, reader: Language) {
    let _turn = turn();
    let mut emisor = writing(page, writer, &[], "Begoña");
    for line in ["日本 🐇 ñandú", "", "  dos  "] {
        write(&mut emisor, "Begoña", line);
    }
    page.shows("chat_cola 2");
    wait_ready("chat_cola", 2);
    assert_json_in_queue();
    let mut first = reading(page, reader, &[]);
    assert_eq!(without_numbers(&next_message(&mut first)), "[Begoña] 日本 🐇 ñandú (#)");
    assert_eq!(without_numbers(&next_message(&mut first)), "[Begoña] dos (#)");

    let mut second = reading(page, reader, &[]);
    wait_consumers("chat_cola", 2);
    for line in ["a", "b", "c", "d"] {
        write(&mut emisor, "Begoña", line);
    }
    let [mine, yours] = [&mut first, &mut second]
        .map(|receptor| [next_message(receptor), next_message(receptor)].map(|line| without_numbers(&line)));
    let all: Vec<&str> = mine.iter().chain(&yours).map(|line| &line[.."[Begoña] a".len()]).collect();
    assert_eq!(all, ["[Begoña] a", "[Begoña] c", "[Begoña] b", "[Begoña] d"]);
}

/// The first message of `chat_cola` is JSON in UTF-8, with the three fields and the time as hh:mm:ss. It goes back.
fn assert_json_in_queue() {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.ask(method::basic_get("chat_cola"), "basic.get-ok");
    raw.expect("header");
    let body = raw.read().expect("a body").payload;
    let text = std::str::from_utf8(&body).expect("the body is UTF-8");
    assert!(text.contains("日本 🐇 ñandú"), "{text}");
    let message: serde_json::Value = serde_json::from_str(text).expect("the body is JSON");
    let fields: Vec<&String> = message.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["usuario", "mensaje", "hora"]);
    assert_eq!(message["usuario"], "Begoña");
    let hora = message["hora"].as_str().expect("a text");
    assert!(hora.len() == 8 && without_numbers(hora) == "#", "{hora}");
    raw.say(&[method::basic_reject(1, true)]);
    assert_eq!(raw.verdict(), "accepted");
}

/// Other programs send to the queue, too: what is on the page, and what is no message of the chat.
fn foreign_lines(page: &Page, reader: Language) {
    let _turn = turn();
    let mut receptor = reading(page, reader, &[]);
    let json = r#"{"usuario":"Ana","mensaje":"¡Hola!","hora":"10:15:30"}"#;
    page.shows(json);
    let mut raw = Raw::with_channel(Broker::shared());
    for body in [json, "¿qué?", "[1]", r#"{"usuario":"Ana"}"#, "7"] {
        raw.say(&published(body));
    }
    let shown = next_message(&mut receptor);
    assert_eq!(shown, "[Ana] ¡Hola! (10:15:30)");
    page.shows(&shown);
    for line in ["[?] ¿qué?", "[?] [1]", r#"[?] {"usuario":"Ana"}"#, "[?] 7"] {
        assert_eq!(next_message(&mut receptor), line);
    }
    receptor.interrupt();
    receptor.expect_line("5 mensajes en total.");
}

fn published(body: &str) -> [Say; 3] {
    let header = method::header(body.len() as u64);
    [method::basic_publish("", "chat_cola", 0), header, method::body(body.as_bytes())]
}

/// Everybody sees everything, whoever listens.
fn chat_for_all(page: &Page, writers: [Language; 2], readers: [Language; 2]) {
    let _turn = turn();
    page.shows("receptor --todos");
    page.shows("emisor --todos");
    let mut ana = writing(page, writers[0], &["--todos"], "Ana");
    write(&mut ana, "Ana", "Nadie escucha");
    let mut receptors = readers.map(|language| reading(page, language, &["--todos"]));
    let mut luis = writing(page, writers[1], &["--todos"], "Luis");
    write(&mut ana, "Ana", "¿Me ves?");
    write(&mut luis, "Luis", "Sí");
    for receptor in &mut receptors {
        assert_eq!(without_numbers(&next_message(receptor)), "[Ana] ¿Me ves? (#)");
        assert_eq!(without_numbers(&next_message(receptor)), "[Luis] Sí (#)");
        receptor.interrupt();
        receptor.expect_line("2 mensajes en total.");
    }
    luis.type_line("salir");
    luis.expect_line("Hasta luego, Luis: 1 mensaje en total.");
    luis.finish();
}

/// The broker is not where the command line says, and a command line that says nothing.
fn wrong_host(page: &Page, language: Language) {
    let _turn = turn();
    // The tests' broker listens on one of this computer's addresses only.
    let port = Broker::shared().amqp.port();
    for program in ["emisor", "receptor"] {
        let error = language.run(program, &["127.0.0.2"]).fail();
        assert!(error.starts_with(&format!("No hay broker en 127.0.0.2:{port} (")), "{error}");
        assert!(error.contains("`hostname -I`"), "{error}");
        let usage = language.run(program, &["127.0.0.1", "ana"]).fail();
        assert!(usage.starts_with("Uso: "), "{usage}");
        let usage = language.run(program, &["--nadie"]).fail();
        assert!(usage.starts_with("Uso: "), "{usage}");
    }
    page.shows("hostname -I");
    assert!(page.text.contains("`No hay broker en 192.168.1.20:5672`"));
}

/// A refusal tells the remedy, step 3 of the page; the remedy works.
fn refusal(page: &Page, language: Language) {
    let _turn = turn();
    let error = language.run("receptor", &["127.0.0.1", "guest", "wrong"]).fail();
    assert!(error.starts_with("El broker de 127.0.0.1 no deja entrar a guest ("), "{error}");
    assert!(error.contains("ACCESS_REFUSED"), "{error}");
    assert!(page.text.contains("`El broker de 192.168.1.20 no deja entrar a guest`"));
    let remedy: Vec<&str> = error.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(remedy.len(), 2, "{error}");

    let Some(admin) = Broker::shared().admin() else { return };
    for command in &remedy {
        page.shows(command);
    }
    admin.output(remedy[0]);
    let error = language.run("emisor", &["127.0.0.1", "ana", "secreto"]).fail();
    assert!(error.contains("no deja entrar a ana") && error.contains("NOT_ALLOWED"), "{error}");
    admin.output(remedy[1]);
    let mut receptor = reading(page, language, &["127.0.0.1", "ana", "secreto"]);
    let mut emisor = writing(page, language, &["127.0.0.1", "ana", "secreto"], "Ana");
    write(&mut emisor, "Ana", "Ya estoy");
    assert_eq!(without_numbers(&next_message(&mut receptor)), "[Ana] Ya estoy (#)");

    // The same from the environment.
    let url = format!("amqp://ana:secreto@{}/%2f", Broker::shared().amqp);
    let mut command = language.command("emisor", &[], &url);
    command.env_remove("AMQP_ADDR");
    let mut emisor = Program::spawn(command);
    emisor.expect_text("Tu nombre: ");
    admin.output("rabbitmqctl delete_user ana");
}

const ENGLISH: &str = "en/8-chat.md";
const SPANISH: &str = "es/8-chat.md";

#[test]
fn chat_in_rust() {
    let page = Page::open(ENGLISH, Rust);
    chat_for_two(&page, Rust, Rust);
    chat_for_three(&page, Rust, Rust);
    foreign_lines(&page, Rust);
}

#[test]
fn chat_in_python() {
    let page = Page::open(SPANISH, Python);
    chat_for_two(&page, Python, Python);
    chat_for_three(&page, Python, Python);
    foreign_lines(&page, Python);
}

#[test]
fn chat_in_both_languages() {
    chat_for_two(&Page::open(SPANISH, Rust), Rust, Python);
    chat_for_two(&Page::open(ENGLISH, Rust), Python, Rust);
    chat_for_all(&Page::open(ENGLISH, Rust), [Rust, Python], [Rust, Python]);
}

#[test]
fn wrong_host_in_rust() {
    wrong_host(&Page::open(ENGLISH, Rust), Rust);
}

#[test]
fn wrong_host_in_python() {
    wrong_host(&Page::open(SPANISH, Python), Python);
}

#[test]
fn refusal_in_rust() {
    refusal(&Page::open(ENGLISH, Rust), Rust);
}

#[test]
fn refusal_in_python() {
    refusal(&Page::open(SPANISH, Python), Python);
}
