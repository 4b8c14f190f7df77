//! What administrators did, in the log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use expect_test::{Expect, expect};
use tracing_subscriber::fmt::MakeWriter;

use super::{bench::Bench, connections::Client};

/// Takes the log of one thread.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl io::Write for Told {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Told {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The lines of the log that the requests leave, without the time.
async fn check(bench: &Bench, script: &str, expected: &Expect) {
    let told = Told::default();
    let log = tracing_subscriber::fmt().with_writer(told.clone()).without_time().with_target(false);
    let _guard = tracing::subscriber::set_default(log.with_ansi(false).finish());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (status, body) = bench.send(line).await;
        assert!(status < 500, "{line}: {status} {body}");
    }
    let told = String::from_utf8(told.0.lock().unwrap().clone()).unwrap();
    // Levels shorter than the longest are padded at the left.
    let told: String = told.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    expected.assert_eq(&told);
}

#[tokio::test]
async fn changes_of_users_are_told_without_their_secrets() {
    let bench = Bench::new().await;
    check(
        &bench,
        r#"
        guest PUT /users/ana {"password":"s3creta","tags":"monitoring"}
        control PUT /users/ana {"password":"otra","tags":"monitoring"}
        control PUT /users/ana {"password_hash":"","tags":"management,policymaker"}
        control PUT /users/ana {"password_hash":"","tags":"management,policymaker"}
        manager PUT /users/eve {"password":"x","tags":""}
        guest PUT /users/eve {"password":"x"}
        guest PUT /permissions/%2F/ana {"configure":"^a","write":".*","read":""}
        guest DELETE /permissions/%2F/ana
        guest PUT /topic-permissions/%2F/ana {"exchange":"amq.topic","write":"a","read":"b"}
        guest DELETE /topic-permissions/%2F/ana/amq.topic
        guest PUT /user-limits/ana/max-channels {"value":5}
        guest DELETE /user-limits/ana/max-channels
        guest DELETE /users/ana
        guest DELETE /users/ana
        guest PUT /users/b%0Ac {"password":"x","tags":""}
        manager POST /users/bulk-delete {"users":["b\nc"]}
        guest POST /users/bulk-delete {"users":["b\nc","b\nc","watcher"]}
        guest POST /users/bulk-delete {"users":["nope"]}
        guest GET /users
        "#,
        &expect![[r#"
            INFO Created user 'ana' with tags [monitoring] (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully changed password for user 'ana' (by somebody at the control socket)
            INFO Successfully cleared password for user 'ana' (by somebody at the control socket)
            INFO Successfully set user tags for user 'ana' to [management, policymaker] (by somebody at the control socket)
            INFO Successfully set permissions for 'ana' in virtual host '/' to '^a', '.*', '' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully cleared permissions for 'ana' in virtual host '/' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully set topic permissions on exchange 'amq.topic' for 'ana' in virtual host '/' to 'a', 'b' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully cleared topic permissions on exchange 'amq.topic' for 'ana' in virtual host '/' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully set limit 'max-channels' of user 'ana' to 5 (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully cleared limit 'max-channels' of user 'ana' (by user 'guest' from 127.0.0.1:40000)
            INFO Deleted user 'ana' (by user 'guest' from 127.0.0.1:40000)
            INFO Created user 'b\nc' with tags [] (by user 'guest' from 127.0.0.1:40000)
            INFO Deleted user 'b\nc' (by user 'guest' from 127.0.0.1:40000)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn changes_of_vhosts_and_what_counts_in_them_are_told() {
    let bench = Bench::new().await;
    check(
        &bench,
        r#"
        guest PUT /vhosts/v {"description":"ours","tags":"a,b"}
        control PUT /vhosts/w
        guest PUT /vhosts/v {"description":"theirs"}
        guest POST /vhosts/v/deletion/protection
        guest DELETE /vhosts/v
        guest DELETE /vhosts/v/deletion/protection
        guest PUT /vhost-limits/v/max-queues {"value":3}
        guest DELETE /vhost-limits/v/max-queues
        guest PUT /policies/v/p {"pattern":"^q","definition":{"max-length":5}}
        guest PUT /policies/v/bad {"pattern":"^q","definition":{"max-length":-5}}
        guest DELETE /policies/v/p
        guest PUT /operator-policies/v/o {"pattern":".*","definition":{"max-length":5}}
        guest DELETE /operator-policies/v/o
        guest PUT /global-parameters/g {"value":"amqp://u:s3creta@h"}
        guest DELETE /global-parameters/g
        guest PUT /cluster-name {"name":"nave"}
        guest PUT /queues/v/q {"durable":true}
        guest DELETE /queues/v/q
        guest DELETE /vhosts/v
        "#,
        &expect![[r#"
            INFO Added vhost 'v' (description: 'ours', tags: [a, b]) and set permissions for 'guest' in it to '.*', '.*', '.*' (by user 'guest' from 127.0.0.1:40000)
            INFO Added vhost 'w' (description: '', tags: []) (by somebody at the control socket)
            INFO Changed vhost 'v' (description: 'theirs', tags: [a, b]) (by user 'guest' from 127.0.0.1:40000)
            INFO Protected vhost 'v' from deletion (by user 'guest' from 127.0.0.1:40000)
            INFO Lifted the protection of vhost 'v' from deletion (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully set limit 'max-queues' of vhost 'v' to 3 (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully cleared limit 'max-queues' of vhost 'v' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully set policy 'p' in virtual host 'v' using pattern '^q' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully cleared policy 'p' in virtual host 'v' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully set operator policy 'o' in virtual host 'v' using pattern '.*' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully cleared operator policy 'o' in virtual host 'v' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully set global parameter 'g' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully cleared global parameter 'g' (by user 'guest' from 127.0.0.1:40000)
            INFO Successfully set cluster name to 'nave' (by user 'guest' from 127.0.0.1:40000)
            INFO Deleted vhost 'v' (by user 'guest' from 127.0.0.1:40000)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn no_name_passes_for_more_of_its_line() {
    let bench = Bench::new().await;
    check(
        &bench,
        r#"
        guest PUT /vhosts/a'%20(by%20user%20'root' {"tags":["b] (by 'root'"],"description":"it's c:\\d"}
        guest PUT /vhosts/x%5C%E2%80%A8y%E2%80%A9z {"description":"\u202aa\u202eb\u2066c\u2069\u2070"}
        "#,
        &expect![[r#"
            INFO Added vhost 'a\' (by user \'root\'' (description: 'it\'s c:\\d', tags: ['b] (by \'root\'']) and set permissions for 'guest' in it to '.*', '.*', '.*' (by user 'guest' from 127.0.0.1:40000)
            INFO Added vhost 'x\\\u{2028}y\u{2029}z' (description: '\u{202a}a\u{202e}b\u{2066}c\u{2069}⁰', tags: []) and set permissions for 'guest' in it to '.*', '.*', '.*' (by user 'guest' from 127.0.0.1:40000)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn closed_connections_are_told() {
    let bench = Bench::new().await;
    let _clients = [1, 2].map(|port| Client::connect(&bench, port, "manager"));
    check(
        &bench,
        "
        manager DELETE /connections/127.0.0.1:1%20-%3E%20127.0.0.1:5672
        guest DELETE /connections/nope
        guest DELETE /connections/username/manager
        ",
        &expect![[r#"
            INFO Closed connection '127.0.0.1:1 -> 127.0.0.1:5672' (by user 'manager' from 127.0.0.1:40000)
            INFO Closed all connections of user 'manager' (by user 'guest' from 127.0.0.1:40000)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn imports_are_told_with_what_they_left_as_it_was() {
    let bench = Bench::new().await;
    check(
        &bench,
        r#"
        guest POST /definitions {"vhosts":[{"name":"v"}],"queues":[{"name":"q","vhost":"v","durable":true,"auto_delete":false}],"users":[{"name":"ana","password_hash":"","tags":""}]}
        guest POST /definitions {"queues":[{"name":"q","vhost":"v","durable":false,"auto_delete":false}]}
        guest POST /liebre/definitions?dry_run=true {"users":[]}
        guest POST /liebre/definitions?skip_if_unchanged=true {}
        guest POST /liebre/definitions?skip_if_unchanged=true {}
        guest POST /definitions {"users":[{"name":"ana"}]}
        "#,
        &expect![[r#"
            INFO imported definitions (users: 1, vhosts: 1, queues: 1) (by user 'guest' from 127.0.0.1:40000)
            WARN definitions: stays as it is: queues[0] ('q' in vhost 'v'): inequivalent arg 'durable' for queue 'q' in vhost 'v': received 'false' but current is 'true'
            INFO imported definitions (queues: 1) (by user 'guest' from 127.0.0.1:40000)
            INFO imported definitions (nothing in them) (by user 'guest' from 127.0.0.1:40000)
            ERROR definitions not imported: users[0] ('ana'): tags_not_present (by user 'guest' from 127.0.0.1:40000)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn imported_names_make_no_lines_of_their_own() {
    let bench = Bench::new().await;
    check(
        &bench,
        r#"
        guest POST /definitions {"queues":[{"name":"x\nINFO Deleted user 'root'","vhost":"/","durable":1,"auto_delete":false}]}
        guest POST /definitions {"queues":[{"name":"q","vhost":"/\nv","durable":true,"auto_delete":false}]}
        guest POST /definitions {"users":[{"name":"a\nb","tags":["a"],"password_hash":"","hashing_algorithm":"c\n\u2028d"}]}
        guest POST /definitions {"vhosts":[{"name":"a\nb"}],"parameters":[{"component":"shovel","vhost":"a\nb","name":"c\nd","value":{}}]}
        guest POST /definitions {"exchanges":[{"name":"amq.\n","vhost":"a\nb","type":"direct","durable":true,"auto_delete":false}]}
        guest POST /definitions {"queues":[{"name":"amq.\n","vhost":"a\nb","durable":true,"auto_delete":false}]}
        guest POST /definitions {"rabbit_version":"3.10.8","bindings":[{"source":"c\nd","vhost":"a\nb","destination":"e\nf","destination_type":"queue"}]}
        guest POST /definitions {"parameters":[{"component":"operator_policy","vhost":"a\nb","name":"c\nd","value":{"pattern":".*","definition":{"ha-\n":1}}}]}
        "#,
        &expect![[r#"
            ERROR definitions not imported: queues[0] ('x\nINFO Deleted user \'root\'' in vhost '/'): ["not_boolean",1] (by user 'guest' from 127.0.0.1:40000)
            ERROR definitions not imported: queues[0] ('q' in vhost '/\nv'): there is no vhost '/\nv' (by user 'guest' from 127.0.0.1:40000)
            ERROR definitions not imported: users[0] ('a\nb'): unknown hashing algorithm 'c \u{2028}d' (by user 'guest' from 127.0.0.1:40000)
            WARN parameter 'c\nd' of component 'shovel' in vhost 'a\nb': kept and shown, without effect here
            INFO imported definitions (vhosts: 1, parameters: 1) (by user 'guest' from 127.0.0.1:40000)
            WARN exchanges[0] ('amq.\n' in vhost 'a\nb') is not imported: its name is the broker's
            INFO imported definitions (nothing in them) (by user 'guest' from 127.0.0.1:40000)
            WARN queues[0] ('amq.\n' in vhost 'a\nb') is not imported: the broker chose its name
            INFO imported definitions (nothing in them) (by user 'guest' from 127.0.0.1:40000)
            WARN bindings[0] ('c\nd' in vhost 'a\nb') is not imported: there is no 'c\nd' in vhost 'a\nb'
            INFO imported definitions (nothing in them) (by user 'guest' from 127.0.0.1:40000)
            WARN parameters[0] ('c\nd' in vhost 'a\nb') is imported without ha-\n: there are no mirrored queues
            INFO imported definitions (nothing in them) (by user 'guest' from 127.0.0.1:40000)
        "#]],
    )
    .await;
}
