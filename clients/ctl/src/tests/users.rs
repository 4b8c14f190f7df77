//! Users.

use expect_test::expect;
use serde_json::{Value, json};

use super::check;
use crate::testing::Script;

#[test]
fn users_are_added_once() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl add_user ana s3creta",
            "rabbitmqctl add_user ana s3creta -q",
            "rabbitmqctl add_user ana 'HASH=' --pre-hashed-password -s",
            "rabbitmqctl add_user ana x --formatter json",
            "rabbitmqctl add_user guest x",
            "rabbitmqctl add_user guest x --formatter json",
        ],
        expect![[r#"
            $ rabbitmqctl add_user ana s3creta
            Adding user "ana" ...
            Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.
            > PUT /api/users/ana {"password":"s3creta","tags":[]}
            $ rabbitmqctl add_user ana s3creta -q
            > PUT /api/users/ana {"password":"s3creta","tags":[]}
            $ rabbitmqctl add_user ana 'HASH=' --pre-hashed-password -s
            > PUT /api/users/ana {"password_hash":"HASH=","tags":[]}
            $ rabbitmqctl add_user ana x --formatter json
            {"message":"Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.","node":"rabbit@h","status":"ok"}
            > PUT /api/users/ana {"password":"x","tags":[]}
            $ rabbitmqctl add_user guest x
            Adding user "guest" ...
            ! Error:
            ! User "guest" already exists
            exit 70
            $ rabbitmqctl add_user guest x --formatter json
            {"result":"error","node":"rabbit@h","message":"User \"guest\" already exists"}
            exit 70
        "#]],
    );
}

#[test]
fn names_and_passwords_are_checked_and_users_changed() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl add_user ana ''",
            "rabbitmqctl add_user '' x",
            "rabbitmqctl add_user ana",
            "rabbitmqctl delete_user nobody --formatter json",
            "rabbitmqctl delete_user ana",
            "rabbitmqctl set_user_tags guest a b",
        ],
        expect![[r#"
            $ rabbitmqctl add_user ana ''
            Adding user "ana" ...
            Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.
            > PUT /api/users/ana {"password_hash":"","tags":[]}
            $ rabbitmqctl add_user '' x
            ! Error (argument validation): Bad argument: user cannot be an empty string
            ! Arguments given:
            ! 	add_user  x
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] add_user <username> [<password>] [<password_hash> --pre-hashed-password]
            exit 65
            $ rabbitmqctl add_user ana
            Adding user "ana" ...
            Password: 
            ! Error:
            ! Password is not provided via argument or stdin
            exit 65
            $ rabbitmqctl delete_user nobody --formatter json
            {"node":"rabbit@h","result":"ok"}
            > DELETE /api/users/nobody
            $ rabbitmqctl delete_user ana
            Deleting user "ana" ...
            > DELETE /api/users/ana
            $ rabbitmqctl set_user_tags guest a b
            Setting tags for user "guest" to [a, b] ...
            > PUT /api/users/guest {"password_hash":"HASH","hashing_algorithm":"rabbit_password_hashing_sha256","tags":["a","b"]}
        "#]],
    );
}

#[test]
fn a_user_keeps_what_is_not_changed() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl set_user_tags guest",
            "rabbitmqctl set_user_tags nobody a",
            "rabbitmqctl change_password guest new",
            "rabbitmqctl clear_password guest",
            "rabbitmqctl clear_password nobody",
            "rabbitmqctl list_users",
        ],
        expect![[r#"
            $ rabbitmqctl set_user_tags guest
            Setting tags for user "guest" to [] ...
            > PUT /api/users/guest {"password_hash":"HASH","hashing_algorithm":"rabbit_password_hashing_sha256","tags":[]}
            $ rabbitmqctl set_user_tags nobody a
            Setting tags for user "nobody" to [a] ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl change_password guest new
            Changing password for user "guest" ...
            > PUT /api/users/guest {"tags":["administrator"],"password":"new"}
            $ rabbitmqctl clear_password guest
            Clearing password for user "guest" ...
            > PUT /api/users/guest {"tags":["administrator"],"password_hash":""}
            $ rabbitmqctl clear_password nobody
            Clearing password for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl list_users
            Listing users ...
            user	tags
            guest	[administrator]
        "#]],
    );
}

#[test]
fn users_are_listed() {
    check(
        &Script::new(),
        &["rabbitmqctl list_users --formatter json", "rabbitmqctl list_users -s"],
        expect![[r#"
            $ rabbitmqctl list_users --formatter json
            [
            {"user":"guest","tags":["administrator"]}
            ]
            $ rabbitmqctl list_users -s
            guest	[administrator]
        "#]],
    );
}

#[test]
fn a_missing_password_is_asked_for() {
    check(
        &Script::new().input("typed\r\n"),
        &["rabbitmqctl add_user ana"],
        expect![[r#"
        $ rabbitmqctl add_user ana
        Adding user "ana" ...
        Password: 
        Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.
        > PUT /api/users/ana {"password":"typed","tags":[]}
    "#]],
    );
}

#[test]
fn a_right_password_succeeds() {
    check(
        &Script::new().answer("POST /api/liebre/authenticate", 200, json!({"authenticated": true})),
        &["rabbitmqctl authenticate_user guest guest"],
        expect![[r#"
            $ rabbitmqctl authenticate_user guest guest
            Authenticating user "guest" ...
            Success
            > POST /api/liebre/authenticate {"username":"guest","password":"guest"}
        "#]],
    );
}

#[test]
fn a_wrong_password_is_data_error() {
    check(
        &Script::new().answer("POST /api/liebre/authenticate", 200, json!({"authenticated": false})),
        &["rabbitmqctl authenticate_user ana bad"],
        expect![[r#"
            $ rabbitmqctl authenticate_user ana bad
            Authenticating user "ana" ...
            ! Error:
            ! Error: failed to authenticate user "ana"
            ! user 'ana' - invalid credentials
            > POST /api/liebre/authenticate {"username":"ana","password":"bad"}
            exit 65
        "#]],
    );
}

#[test]
fn a_missing_user_is_no_user() {
    check(
        &Script::new().answer("DELETE /api/users/nobody", 404, Value::Null),
        &["rabbitmqctl delete_user nobody", "rabbitmqctl delete_user nobody --formatter json"],
        expect![[r#"
            $ rabbitmqctl delete_user nobody
            Deleting user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            > DELETE /api/users/nobody
            exit 67
            $ rabbitmqctl delete_user nobody --formatter json
            {"result":"error","node":"rabbit@h","message":"User \"nobody\" does not exist"}
            > DELETE /api/users/nobody
            exit 67
        "#]],
    );
}
