//! Runtime parameters: who may, what can be one, and what is one besides.

use expect_test::expect;

use super::bench::Bench;

#[tokio::test]
async fn limits_and_operator_policies_are_parameters() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest GET /parameters
            guest PUT /vhost-limits/%2F/max-queues {"value":5}
            guest PUT /operator-policies/%2F/o {"pattern":"^q","definition":{"max-length":5},"apply-to":"queues"}
            guest GET /parameters
            guest GET /parameters/vhost-limits
            guest GET /parameters/operator_policy/%2F
            guest GET /parameters/operator_policy/%2F/o
            guest PUT /parameters/vhost-limits/%2F/limits {"value":{"max-connections":7}}
            guest GET /vhost-limits
            guest PUT /parameters/operator_policy/%2F/p {"value":{"pattern":"","definition":{"expires":1000},"priority":3,"apply-to":"all"}}
            guest GET /operator-policies/%2F/p
            guest DELETE /parameters/vhost-limits/%2F/limits
            guest DELETE /parameters/vhost-limits/%2F/limits
            guest DELETE /parameters/operator_policy/%2F/o
            guest DELETE /parameters/operator_policy/%2F/o
            guest GET /parameters?columns=name
            "#,
            &expect![[r#"
                guest GET /parameters
                  200 []
                guest PUT /vhost-limits/%2F/max-queues {"value":5}
                  204 
                guest PUT /operator-policies/%2F/o {"pattern":"^q","definition":{"max-length":5},"apply-to":"queues"}
                  201 
                guest GET /parameters
                  200 [{"value":{"max-queues":5},"vhost":"/","component":"vhost-limits","name":"limits"},{"value":{"pattern":"^q","definition":{"max-length":5},"priority":0,"apply-to":"queues"},"vhost":"/","component":"operator_policy","name":"o"}]
                guest GET /parameters/vhost-limits
                  200 [{"value":{"max-queues":5},"vhost":"/","component":"vhost-limits","name":"limits"}]
                guest GET /parameters/operator_policy/%2F
                  200 [{"value":{"pattern":"^q","definition":{"max-length":5},"priority":0,"apply-to":"queues"},"vhost":"/","component":"operator_policy","name":"o"}]
                guest GET /parameters/operator_policy/%2F/o
                  200 {"value":{"pattern":"^q","definition":{"max-length":5},"priority":0,"apply-to":"queues"},"vhost":"/","component":"operator_policy","name":"o"}
                guest PUT /parameters/vhost-limits/%2F/limits {"value":{"max-connections":7}}
                  204 
                guest GET /vhost-limits
                  200 [{"vhost":"/","value":{"max-connections":7}}]
                guest PUT /parameters/operator_policy/%2F/p {"value":{"pattern":"","definition":{"expires":1000},"priority":3,"apply-to":"all"}}
                  201 
                guest GET /operator-policies/%2F/p
                  200 {"vhost":"/","name":"p","pattern":"","apply-to":"all","definition":{"expires":1000},"priority":3}
                guest DELETE /parameters/vhost-limits/%2F/limits
                  204 
                guest DELETE /parameters/vhost-limits/%2F/limits
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /parameters/operator_policy/%2F/o
                  204 
                guest DELETE /parameters/operator_policy/%2F/o
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /parameters?columns=name
                  200 [{"name":"p"}]
            "#]],
        )
        .await;
}

#[tokio::test]
async fn what_can_be_no_parameter_is_refused_in_rabbitmqs_words() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /parameters/shovel/%2F/s {"value":{"a":1}}
            guest PUT /parameters/policy/%2F/p {"value":{"pattern":"","definition":{"expires":1000}}}
            guest PUT /parameters/vhost-limits/%2F/limits {"value":{"nope":5}}
            guest PUT /parameters/vhost-limits/%2F/limits {"value":{"max-queues":"x"}}
            guest PUT /parameters/vhost-limits/%2F/limits {"value":5}
            guest PUT /parameters/vhost-limits/%2F/other {"value":{"max-queues":5}}
            guest PUT /parameters/operator_policy/%2F/limits {"value":{"max-queues":5}}
            guest PUT /parameters/operator_policy/%2F/o {"value":{"pattern":"[","definition":{"nope":5},"priority":0}}
            guest PUT /parameters/nope/nowhere/x {"value":5}
            guest PUT /parameters/nope/%2F/x {}
            guest PUT /parameters/nope/%2F/x x
            guest GET /parameters/nope
            guest GET /parameters/nope/%2F
            guest GET /parameters/nope/%2F/x
            guest GET /parameters/vhost-limits/nowhere
            guest DELETE /parameters/nope/%2F/x
            guest DELETE /parameters/nope/nowhere/x
            guest POST /parameters
            guest POST /parameters/x/%2F/x
            "#,
            &expect![[r#"
                guest PUT /parameters/shovel/%2F/s {"value":{"a":1}}
                  400 {"error":"bad_request","reason":"Validation failed\n\ncomponent shovel not found\n"}
                guest PUT /parameters/policy/%2F/p {"value":{"pattern":"","definition":{"expires":1000}}}
                  400 {"error":"bad_request","reason":"policies may not be set using this method"}
                guest PUT /parameters/vhost-limits/%2F/limits {"value":{"nope":5}}
                  400 {"error":"bad_request","reason":"Validation failed\n\nUnrecognised terms [{&lt;&lt;\"nope\"&gt;&gt;,5}] in limits\n"}
                guest PUT /parameters/vhost-limits/%2F/limits {"value":{"max-queues":"x"}}
                  400 {"error":"bad_request","reason":"Validation failed\n\nmax-queues should be a number, actually was &lt;&lt;\"x\"&gt;&gt;\n"}
                guest PUT /parameters/vhost-limits/%2F/limits {"value":5}
                  400 {"error":"bad_request","reason":["not_an_object",5]}
                guest PUT /parameters/vhost-limits/%2F/other {"value":{"max-queues":5}}
                  400 {"error":"bad_request","reason":"Validation failed\n\nthe only parameter of component vhost-limits is 'limits'\n"}
                guest PUT /parameters/operator_policy/%2F/limits {"value":{"max-queues":5}}
                  400 {"error":"bad_request","reason":"Validation failed\n\nUnrecognised terms [{&lt;&lt;\"max-queues\"&gt;&gt;,5}] in limits\nKey \"definition\" not found in limits\nKey \"pattern\" not found in limits\nKey \"priority\" not found in limits\n"}
                guest PUT /parameters/operator_policy/%2F/o {"value":{"pattern":"[","definition":{"nope":5},"priority":0}}
                  400 {"error":"bad_request","reason":"Validation failed\n\n[{&lt;&lt;\"nope\"&gt;&gt;,5}] are not recognised policy settings\npattern should be regular expression but is invalid: Parsing error at position 1: Invalid character class\n"}
                guest PUT /parameters/nope/nowhere/x {"value":5}
                  404 {"error":"not_found","reason":"vhost_not_found"}
                guest PUT /parameters/nope/%2F/x {}
                  400 {"error":"bad_request","reason":"[{key_missing,value}]"}
                guest PUT /parameters/nope/%2F/x x
                  400 {"error":"bad_request","reason":"not_json"}
                guest GET /parameters/nope
                  200 []
                guest GET /parameters/nope/%2F
                  200 []
                guest GET /parameters/nope/%2F/x
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /parameters/vhost-limits/nowhere
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /parameters/nope/%2F/x
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /parameters/nope/nowhere/x
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /parameters
                  405 
                guest POST /parameters/x/%2F/x
                  405 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn policymakers_see_parameters_and_administrators_set_those_that_limit() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /users/maker {"tags":"policymaker","password":"pw"}
            guest PUT /permissions/%2F/maker {"configure":"","write":"","read":""}
            manager GET /parameters
            manager GET /global-parameters
            manager GET /parameters/vhost-limits/%2F
            watcher PUT /global-parameters/x {"value":1}
            maker GET /parameters
            maker PUT /parameters/vhost-limits/%2F/limits {"value":{"max-queues":5}}
            maker PUT /parameters/operator_policy/%2F/o {"value":{"pattern":"","definition":{"expires":1000},"priority":3}}
            maker DELETE /parameters/operator_policy/%2F/o
            maker PUT /global-parameters/x {"value":1}
            maker PUT /global-parameters/cluster_name {"value":"other"}
            maker DELETE /global-parameters/cluster_name
            maker PUT /cluster-name {"name":"c"}
            maker GET /cluster-name
            "#,
            &expect![[r#"
                guest PUT /users/maker {"tags":"policymaker","password":"pw"}
                  201 
                guest PUT /permissions/%2F/maker {"configure":"","write":"","read":""}
                  201 
                manager GET /parameters
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                manager GET /global-parameters
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                manager GET /parameters/vhost-limits/%2F
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                watcher PUT /global-parameters/x {"value":1}
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                maker GET /parameters
                  200 []
                maker PUT /parameters/vhost-limits/%2F/limits {"value":{"max-queues":5}}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker PUT /parameters/operator_policy/%2F/o {"value":{"pattern":"","definition":{"expires":1000},"priority":3}}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker DELETE /parameters/operator_policy/%2F/o
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker PUT /global-parameters/x {"value":1}
                  201 
                maker PUT /global-parameters/cluster_name {"value":"other"}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker DELETE /global-parameters/cluster_name
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker PUT /cluster-name {"name":"c"}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker GET /cluster-name
                  200 {"name":"rabbit@test"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn the_clusters_name_is_a_global_parameter() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest GET /cluster-name
            guest PUT /cluster-name {"name":"shop"}
            guest GET /overview?columns=cluster_name,node
            guest GET /global-parameters
            guest PUT /global-parameters/cluster_name {"value":"other"}
            guest GET /cluster-name
            guest PUT /cluster-name {}
            guest PUT /cluster-name {"name":5}
            guest POST /cluster-name
            guest PUT /global-parameters/g {"value":{"z":[1,null,2.5],"a":"ñ"}}
            guest PUT /global-parameters/g {"value":null}
            guest PUT /global-parameters/g {}
            guest GET /global-parameters/g
            guest DELETE /global-parameters/cluster_name
            guest DELETE /global-parameters/cluster_name
            guest GET /global-parameters/cluster_name
            guest GET /cluster-name
            "#,
            &expect![[r#"
                guest GET /cluster-name
                  200 {"name":"rabbit@test"}
                guest PUT /cluster-name {"name":"shop"}
                  204 
                guest GET /overview?columns=cluster_name,node
                  200 {"cluster_name":"shop","node":"rabbit@test"}
                guest GET /global-parameters
                  200 [{"name":"cluster_name","value":"shop"}]
                guest PUT /global-parameters/cluster_name {"value":"other"}
                  204 
                guest GET /cluster-name
                  200 {"name":"other"}
                guest PUT /cluster-name {}
                  400 {"error":"bad_request","reason":"[{key_missing,name}]"}
                guest PUT /cluster-name {"name":5}
                  400 {"error":"bad_request","reason":["not_string",5]}
                guest POST /cluster-name
                  405 
                guest PUT /global-parameters/g {"value":{"z":[1,null,2.5],"a":"ñ"}}
                  201 
                guest PUT /global-parameters/g {"value":null}
                  204 
                guest PUT /global-parameters/g {}
                  400 {"error":"bad_request","reason":"[{key_missing,value}]"}
                guest GET /global-parameters/g
                  200 {"value":null,"name":"g"}
                guest DELETE /global-parameters/cluster_name
                  204 
                guest DELETE /global-parameters/cluster_name
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /global-parameters/cluster_name
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /cluster-name
                  200 {"name":"rabbit@test"}
            "#]],
        )
        .await;
}
