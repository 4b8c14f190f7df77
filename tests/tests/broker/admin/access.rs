//! Users, vhosts and permissions.

use expect_test::expect;
use liebre_tests::{admin::Admin, broker::Broker};

use super::check;

#[test]
fn users_vhosts_and_permissions() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    users(&admin);
    passwords(&admin);
    tags(&admin);
    vhosts(&admin);
    permissions(&admin);
    permissions_of_nobody(&admin);
    deletions(&admin);
}

fn users(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl add_user ana s3creta",
            "rabbitmqctl add_user ana s3creta",
            "rabbitmqctl add_user 'señor x' y",
            "rabbitmqctl add_user luis",
            "rabbitmqctl -q add_user luis s3creta",
            "rabbitmqctl list_users",
            "rabbitmqctl list_users -s",
            "rabbitmqctl list_users --formatter json",
        ],
        expect![[r#"
            $ rabbitmqctl add_user ana s3creta
            Adding user "ana" ...
            Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.
            $ rabbitmqctl add_user ana s3creta
            Adding user "ana" ...
            ! Error:
            ! User "ana" already exists
            exit 70
            $ rabbitmqctl add_user 'señor x' y
            Adding user "señor x" ...
            Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.
            $ rabbitmqctl add_user luis
            Adding user "luis" ...
            Password: 
            ! Error:
            ! Password is not provided via argument or stdin
            exit 65
            $ rabbitmqctl -q add_user luis s3creta
            $ rabbitmqctl list_users
            Listing users ...
            user	tags
            ana	[]
            guest	[administrator]
            luis	[]
            señor x	[]
            $ rabbitmqctl list_users -s
            ana	[]
            guest	[administrator]
            luis	[]
            señor x	[]
            $ rabbitmqctl list_users --formatter json
            [
            {"user":"ana","tags":[]}
            ,{"user":"guest","tags":["administrator"]}
            ,{"user":"luis","tags":[]}
            ,{"user":"señor x","tags":[]}
            ]
        "#]],
    );
}

fn passwords(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl authenticate_user ana s3creta",
            "rabbitmqctl authenticate_user ana wrong",
            "rabbitmqctl authenticate_user nobody x",
            "rabbitmqctl change_password ana nueva",
            "rabbitmqctl -q authenticate_user ana s3creta",
            "rabbitmqctl -q authenticate_user ana nueva",
            "rabbitmqctl change_password nobody x",
            "rabbitmqctl clear_password ana",
            "rabbitmqctl -q authenticate_user ana nueva",
            "rabbitmqctl clear_password nobody",
        ],
        expect![[r#"
            $ rabbitmqctl authenticate_user ana s3creta
            Authenticating user "ana" ...
            Success
            $ rabbitmqctl authenticate_user ana wrong
            Authenticating user "ana" ...
            ! Error:
            ! Error: failed to authenticate user "ana"
            ! user 'ana' - invalid credentials
            exit 65
            $ rabbitmqctl authenticate_user nobody x
            Authenticating user "nobody" ...
            ! Error:
            ! Error: failed to authenticate user "nobody"
            ! user 'nobody' - invalid credentials
            exit 65
            $ rabbitmqctl change_password ana nueva
            Changing password for user "ana" ...
            $ rabbitmqctl -q authenticate_user ana s3creta
            ! Error:
            ! Error: failed to authenticate user "ana"
            ! user 'ana' - invalid credentials
            exit 65
            $ rabbitmqctl -q authenticate_user ana nueva
            Success
            $ rabbitmqctl change_password nobody x
            Changing password for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl clear_password ana
            Clearing password for user "ana" ...
            $ rabbitmqctl -q authenticate_user ana nueva
            ! Error:
            ! Error: failed to authenticate user "ana"
            ! user 'ana' - invalid credentials
            exit 65
            $ rabbitmqctl clear_password nobody
            Clearing password for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
        "#]],
    );
}

fn tags(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl set_user_tags ana management policymaker",
            "rabbitmqctl set_user_tags luis monitoring",
            "rabbitmqctl set_user_tags luis",
            "rabbitmqctl set_user_tags nobody monitoring",
            "rabbitmqctl -q list_users",
        ],
        expect![[r#"
            $ rabbitmqctl set_user_tags ana management policymaker
            Setting tags for user "ana" to [management, policymaker] ...
            $ rabbitmqctl set_user_tags luis monitoring
            Setting tags for user "luis" to [monitoring] ...
            $ rabbitmqctl set_user_tags luis
            Setting tags for user "luis" to [] ...
            $ rabbitmqctl set_user_tags nobody monitoring
            Setting tags for user "nobody" to [monitoring] ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl -q list_users
            user	tags
            ana	[management, policymaker]
            guest	[administrator]
            luis	[]
            señor x	[]
        "#]],
    );
}

fn vhosts(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl add_vhost curso",
            "rabbitmqctl add_vhost curso",
            "rabbitmqctl add_vhost grupo1 --description 'primer grupo' --tags uno,dos",
            "rabbitmqctl list_vhosts",
            "rabbitmqctl list_vhosts name description tags",
            "rabbitmqctl list_vhosts name tracing --formatter json",
        ],
        expect![[r#"
            $ rabbitmqctl add_vhost curso
            Adding vhost "curso" ...
            $ rabbitmqctl add_vhost curso
            Adding vhost "curso" ...
            $ rabbitmqctl add_vhost grupo1 --description 'primer grupo' --tags uno,dos
            Adding vhost "grupo1" ...
            $ rabbitmqctl list_vhosts
            Listing vhosts ...
            name
            /
            curso
            grupo1
            $ rabbitmqctl list_vhosts name description tags
            Listing vhosts ...
            name	description	tags
            /	Default virtual host	[]
            curso		[]
            grupo1	primer grupo	[uno, dos]
            $ rabbitmqctl list_vhosts name tracing --formatter json
            [
            {"name":"/","tracing":false}
            ,{"name":"curso","tracing":false}
            ,{"name":"grupo1","tracing":false}
            ]
        "#]],
    );
}

fn permissions(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl set_permissions -p curso ana .* .* ^read$",
            "rabbitmqctl set_permissions --vhost curso luis '' .* .*",
            "rabbitmqctl set_permissions ana ^ana- .* .*",
            "rabbitmqctl list_permissions",
            "rabbitmqctl list_permissions -p curso",
            "rabbitmqctl list_user_permissions ana",
            "rabbitmqctl list_user_permissions ana -s",
            "rabbitmqctl list_user_permissions luis --formatter json",
            "rabbitmqctl clear_permissions -p curso luis",
            "rabbitmqctl list_user_permissions luis",
        ],
        expect![[r#"
            $ rabbitmqctl set_permissions -p curso ana .* .* ^read$
            Setting permissions for user "ana" in vhost "curso" ...
            $ rabbitmqctl set_permissions --vhost curso luis '' .* .*
            Setting permissions for user "luis" in vhost "curso" ...
            $ rabbitmqctl set_permissions ana ^ana- .* .*
            Setting permissions for user "ana" in vhost "/" ...
            $ rabbitmqctl list_permissions
            Listing permissions for vhost "/" ...
            user	configure	write	read
            ana	^ana-	.*	.*
            guest	.*	.*	.*
            $ rabbitmqctl list_permissions -p curso
            Listing permissions for vhost "curso" ...
            user	configure	write	read
            ana	.*	.*	^read$
            luis		.*	.*
            $ rabbitmqctl list_user_permissions ana
            Listing permissions for user "ana" ...
            vhost	configure	write	read
            /	^ana-	.*	.*
            curso	.*	.*	^read$
            $ rabbitmqctl list_user_permissions ana -s
            /	^ana-	.*	.*
            curso	.*	.*	^read$
            $ rabbitmqctl list_user_permissions luis --formatter json
            [
            {"vhost":"curso","configure":"","write":".*","read":".*"}
            ]
            $ rabbitmqctl clear_permissions -p curso luis
            Clearing permissions for user "luis" in vhost "curso" ...
            $ rabbitmqctl list_user_permissions luis
            Listing permissions for user "luis" ...

        "#]],
    );
}

fn permissions_of_nobody(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl set_permissions -p curso nobody .* .* .*",
            "rabbitmqctl set_permissions -p nowhere ana .* .* .*",
            "rabbitmqctl set_permissions -p curso ana ( .* .*",
            "rabbitmqctl clear_permissions -p nowhere ana",
            "rabbitmqctl list_permissions -p nowhere",
            "rabbitmqctl list_user_permissions nobody",
            "rabbitmqctl list_permissions -p grupo1",
        ],
        expect![[r#"
            $ rabbitmqctl set_permissions -p curso nobody .* .* .*
            Setting permissions for user "nobody" in vhost "curso" ...
            ! Error:
            ! User nobody does not exist
            exit 67
            $ rabbitmqctl set_permissions -p nowhere ana .* .* .*
            Setting permissions for user "ana" in vhost "nowhere" ...
            ! Error:
            ! Virtual host nowhere does not exist
            exit 69
            $ rabbitmqctl set_permissions -p curso ana ( .* .*
            Setting permissions for user "ana" in vhost "curso" ...
            ! Error:
            ! invalid_regexp: (: Parsing error at position 1: Opening parenthesis without closing parenthesis
            exit 69
            $ rabbitmqctl clear_permissions -p nowhere ana
            Clearing permissions for user "ana" in vhost "nowhere" ...
            ! Error:
            ! Virtual host nowhere does not exist
            exit 69
            $ rabbitmqctl list_permissions -p nowhere
            Listing permissions for vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            exit 65
            $ rabbitmqctl list_user_permissions nobody
            Listing permissions for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl list_permissions -p grupo1
            Listing permissions for vhost "grupo1" ...

        "#]],
    );
}

fn deletions(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl delete_vhost curso",
            "rabbitmqctl delete_vhost curso",
            "rabbitmqctl delete_user luis",
            "rabbitmqctl delete_user luis",
            "rabbitmqctl -q list_vhosts",
            "rabbitmqctl -q list_users",
            "rabbitmqctl -q list_user_permissions ana",
        ],
        expect![[r#"
            $ rabbitmqctl delete_vhost curso
            Deleting vhost "curso" ...
            $ rabbitmqctl delete_vhost curso
            Deleting vhost "curso" ...
            ! Virtual host 'curso' does not exist
            exit 65
            $ rabbitmqctl delete_user luis
            Deleting user "luis" ...
            $ rabbitmqctl delete_user luis
            Deleting user "luis" ...
            ! Error:
            ! User "luis" does not exist
            exit 67
            $ rabbitmqctl -q list_vhosts
            name
            /
            grupo1
            $ rabbitmqctl -q list_users
            user	tags
            ana	[management, policymaker]
            guest	[administrator]
            señor x	[]
            $ rabbitmqctl -q list_user_permissions ana
            vhost	configure	write	read
            /	^ana-	.*	.*
        "#]],
    );
}
