//! Policies and operator policies: who may, what can't be, and what queues and exchanges show of them.

use expect_test::expect;

use super::bench::Bench;

#[tokio::test]
async fn policies_are_set_shown_and_deleted() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /queues/%2F/q {"arguments":{"x-max-length":10}}
            guest PUT /exchanges/%2F/qx {"type":"fanout"}
            guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5,"dead-letter-exchange":"qx"},"priority":-1}
            guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5,"overflow":"reject-publish"},"priority":3}
            guest PUT /operator-policies/%2F/o {"pattern":"","apply-to":"classic_queues","definition":{"max-length":3,"expires":60000}}
            guest GET /policies
            guest GET /policies/%2F/p
            guest GET /operator-policies/%2F
            guest GET /operator-policies/%2F/o
            guest GET /queues/%2F/q?columns=arguments,policy,operator_policy,effective_policy_definition
            guest GET /exchanges/%2F/qx
            guest GET /exchanges/%2F/amq.direct
            guest DELETE /policies/%2F/p
            guest DELETE /policies/%2F/p
            guest DELETE /operator-policies/%2F/p
            guest GET /queues/%2F/q?columns=policy,operator_policy,effective_policy_definition
            guest GET /policies/%2F/p
            guest DELETE /operator-policies/%2F/o
            guest GET /queues/%2F/q?columns=policy,operator_policy,effective_policy_definition
            "#,
            &expect![[r#"
                guest PUT /queues/%2F/q {"arguments":{"x-max-length":10}}
                  201 
                guest PUT /exchanges/%2F/qx {"type":"fanout"}
                  201 
                guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5,"dead-letter-exchange":"qx"},"priority":-1}
                  201 
                guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5,"overflow":"reject-publish"},"priority":3}
                  204 
                guest PUT /operator-policies/%2F/o {"pattern":"","apply-to":"classic_queues","definition":{"max-length":3,"expires":60000}}
                  201 
                guest GET /policies
                  200 [{"vhost":"/","name":"p","pattern":"^q","apply-to":"all","definition":{"max-length":5,"overflow":"reject-publish"},"priority":3}]
                guest GET /policies/%2F/p
                  200 {"vhost":"/","name":"p","pattern":"^q","apply-to":"all","definition":{"max-length":5,"overflow":"reject-publish"},"priority":3}
                guest GET /operator-policies/%2F
                  200 [{"vhost":"/","name":"o","pattern":"","apply-to":"classic_queues","definition":{"expires":60000,"max-length":3},"priority":0}]
                guest GET /operator-policies/%2F/o
                  200 {"vhost":"/","name":"o","pattern":"","apply-to":"classic_queues","definition":{"expires":60000,"max-length":3},"priority":0}
                guest GET /queues/%2F/q?columns=arguments,policy,operator_policy,effective_policy_definition
                  200 {"arguments":{"x-max-length":10},"policy":"p","operator_policy":"o","effective_policy_definition":{"expires":60000,"max-length":3,"overflow":"reject-publish"}}
                guest GET /exchanges/%2F/qx
                  200 {"name":"qx","vhost":"/","type":"fanout","durable":false,"auto_delete":false,"internal":false,"arguments":{},"policy":"p","incoming":[],"outgoing":[]}
                guest GET /exchanges/%2F/amq.direct
                  200 {"name":"amq.direct","vhost":"/","type":"direct","durable":true,"auto_delete":false,"internal":false,"arguments":{},"incoming":[],"outgoing":[]}
                guest DELETE /policies/%2F/p
                  204 
                guest DELETE /policies/%2F/p
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /operator-policies/%2F/p
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /queues/%2F/q?columns=policy,operator_policy,effective_policy_definition
                  200 {"policy":null,"operator_policy":"o","effective_policy_definition":{"expires":60000,"max-length":3}}
                guest GET /policies/%2F/p
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /operator-policies/%2F/o
                  204 
                guest GET /queues/%2F/q?columns=policy,operator_policy,effective_policy_definition
                  200 {"policy":null,"operator_policy":null,"effective_policy_definition":{}}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn policies_belong_to_a_vhost() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest GET /policies/nope
            guest PUT /policies/nope/p {"pattern":"^q","definition":{"max-length":5}}
            guest DELETE /policies/%2F
            "#,
            &expect![[r#"
                guest GET /policies/nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest PUT /policies/nope/p {"pattern":"^q","definition":{"max-length":5}}
                  404 {"error":"not_found","reason":"vhost_not_found"}
                guest DELETE /policies/%2F
                  405 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_rabbitmqs_words() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /policies/%2F/p {}
            guest PUT /policies/%2F/p {"pattern":"^q","definition":{}}
            guest PUT /policies/%2F/p {"pattern":"^q","definition":7}
            guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":null}}
            guest PUT /policies/%2F/p {"pattern":"^q","definition":{"nonsense":"<&>","more":1}}
            guest PUT /policies/%2F/p {"pattern":"(","priority":"x","apply-to":"foo","definition":{"message-ttl":-1}}
            guest PUT /policies/%2F/p {"pattern":5,"definition":{"message-ttl":1}}
            guest PUT /operator-policies/%2F/p {"pattern":"^q","definition":{"dead-letter-exchange":"x"}}
            guest GET /policies
            "#,
            &expect![[r#"
                guest PUT /policies/%2F/p {}
                  400 {"error":"bad_request","reason":"[{key_missing,pattern},{key_missing,definition}]"}
                guest PUT /policies/%2F/p {"pattern":"^q","definition":{}}
                  400 {"error":"bad_request","reason":"Validation failed\n\nno policy provided\n"}
                guest PUT /policies/%2F/p {"pattern":"^q","definition":7}
                  400 {"error":"bad_request","reason":"Validation failed\n\ndefinition must be a dictionary: 7\n"}
                guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":null}}
                  400 {"error":"bad_request","reason":"Validation failed\n\nnull is not a valid maximum length\n"}
                guest PUT /policies/%2F/p {"pattern":"^q","definition":{"nonsense":"<&>","more":1}}
                  400 {"error":"bad_request","reason":"Validation failed\n\n[{&lt;&lt;\"more\"&gt;&gt;,1},{&lt;&lt;\"nonsense\"&gt;&gt;,&lt;&lt;\"&lt;&amp;&gt;\"&gt;&gt;}] are not recognised policy settings\n"}
                guest PUT /policies/%2F/p {"pattern":"(","priority":"x","apply-to":"foo","definition":{"message-ttl":-1}}
                  400 {"error":"bad_request","reason":"Validation failed\n\n-1 is not a valid message TTL\napply-to 'foo' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'\npattern should be regular expression but is invalid: Parsing error at position 1: Opening parenthesis without closing parenthesis\npriority should be a number, actually was &lt;&lt;\"x\"&gt;&gt;\n"}
                guest PUT /policies/%2F/p {"pattern":5,"definition":{"message-ttl":1}}
                  400 {"error":"bad_request","reason":"Validation failed\n\npattern should be a binary but was 5\n"}
                guest PUT /operator-policies/%2F/p {"pattern":"^q","definition":{"dead-letter-exchange":"x"}}
                  400 {"error":"bad_request","reason":"Validation failed\n\n[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings\n"}
                guest GET /policies
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn policymakers_set_policies_and_administrators_limits() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /vhosts/other {}
            guest PUT /users/maker {"tags":"policymaker","password":"pw"}
            guest PUT /permissions/%2F/maker {"configure":"","write":"","read":""}
            maker PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5}}
            maker GET /policies/%2F/p?columns=name
            maker PUT /policies/other/p {"pattern":"^q","definition":{"max-length":5}}
            maker GET /policies/other
            maker PUT /operator-policies/%2F/o {"pattern":"^q","definition":{"max-length":5}}
            maker GET /operator-policies/%2F/o
            maker GET /operator-policies
            manager GET /policies?columns=name
            manager GET /policies/%2F/p
            manager PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":6}}
            manager DELETE /policies/%2F/p
            maker DELETE /policies/%2F/p
            "#,
            &expect![[r#"
                guest PUT /vhosts/other {}
                  201 
                guest PUT /users/maker {"tags":"policymaker","password":"pw"}
                  201 
                guest PUT /permissions/%2F/maker {"configure":"","write":"","read":""}
                  201 
                maker PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5}}
                  201 
                maker GET /policies/%2F/p?columns=name
                  200 {"name":"p"}
                maker PUT /policies/other/p {"pattern":"^q","definition":{"max-length":5}}
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                maker GET /policies/other
                  401 {"error":"not_authorised","reason":"User not authorised to access virtual host"}
                maker PUT /operator-policies/%2F/o {"pattern":"^q","definition":{"max-length":5}}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker GET /operator-policies/%2F/o
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                maker GET /operator-policies
                  200 []
                manager GET /policies?columns=name
                  200 [{"name":"p"}]
                manager GET /policies/%2F/p
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                manager PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":6}}
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                manager DELETE /policies/%2F/p
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                maker DELETE /policies/%2F/p
                  204 
            "#]],
        )
        .await;
}
