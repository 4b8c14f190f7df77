//! Topic exchanges: a trie of words.
//!
//! Keys are split at dots; `*` stands for exactly one word, `#` for any number of words. The empty key has no
//! word at all (so `#` matches it and `*` does not), `.` has two empty ones.
//!
//! ```text
//! a.#.b     root --a--> (1) --#--> (2) --b--> (3) targets
//! a.*       root --a--> (1) --*--> (4) targets
//! ```
//!
//! Matching keeps the list of nodes that the words so far can have led to. Each node is in that list at most
//! once and adjacent `#` are one, so that a key costs at most words x nodes on its way, whatever the patterns:
//! any number of `#` is safe. Bindings with other words are never looked at.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{BindingId, Target, Targets};

const ONE_WORD: &[u8] = b"*";
const ANY_WORDS: &[u8] = b"#";
const ROOT: NodeId = NodeId(0);

/// Bindings by the words of their keys.
#[derive(Clone, Debug)]
pub(crate) struct TopicRouter {
    /// Node 0 is the root. Nodes on `free` are unused.
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    /// The children over plain words, found by (parent, word). One table for the whole trie: most nodes have
    /// none or one child, a table each would cost more than the rest of the node.
    children: HashTable<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct NodeId(u32);

#[derive(Clone, Debug)]
struct Node {
    parent: NodeId,
    word: Box<[u8]>,
    /// Children over plain words.
    plain_children_count: u32,
    one_word: Option<NodeId>,
    any_words: Option<NodeId>,
    targets: Targets,
}

impl Default for TopicRouter {
    fn default() -> Self {
        Self { nodes: vec![Node::new(ROOT, b"")], free: Vec::new(), children: HashTable::new() }
    }
}

impl TopicRouter {
    pub(super) fn add(&mut self, id: BindingId, binding_key: &str, target: Target) {
        let mut at = ROOT;
        for word in pattern_words(binding_key) {
            at = self.child(at, word).unwrap_or_else(|| self.add_child(at, word));
        }
        self.node_mut(at).targets.add(id, target);
    }

    pub(super) fn remove(&mut self, id: BindingId, binding_key: &str) {
        let mut at = ROOT;
        for word in pattern_words(binding_key) {
            let Some(child) = self.child(at, word) else { return };
            at = child;
        }
        self.node_mut(at).targets.remove(id);
        while at != ROOT && self.node(at).is_unused() {
            let parent = self.node(at).parent;
            self.remove_child(parent, at);
            at = parent;
        }
    }

    pub(super) fn visit_matching<'a>(&'a self, routing_key: &[u8], visit: &mut dyn FnMut(&'a Target)) {
        let mut nodes = Vec::with_capacity(8);
        let mut next = Vec::with_capacity(8);
        self.reach(ROOT, &mut nodes);
        for word in words(routing_key) {
            for &id in &nodes {
                self.step(id, word, &mut next);
            }
            // A `#` node is reached from itself and from its parent.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut nodes, &mut next);
            next.clear();
            if nodes.is_empty() {
                return;
            }
        }
        for id in nodes {
            self.node(id).targets.visit(visit);
        }
    }

    /// The nodes that `word` leads to from `id`.
    fn step(&self, id: NodeId, word: &[u8], next: &mut Vec<NodeId>) {
        let node = self.node(id);
        if id != ROOT && *node.word == *ANY_WORDS {
            self.reach(id, next);
        }
        if let Some(child) = node.one_word {
            self.reach(child, next);
        }
        if node.plain_children_count > 0
            && let Some(child) = self.plain_child(id, word)
        {
            self.reach(child, next);
        }
    }

    /// Notes `id`, and the `#` below it, which may stand for no word. There is no `#` below a `#`.
    fn reach(&self, id: NodeId, next: &mut Vec<NodeId>) {
        next.push(id);
        next.extend(self.node(id).any_words);
    }

    fn child(&self, parent: NodeId, word: &[u8]) -> Option<NodeId> {
        match word {
            ONE_WORD => self.node(parent).one_word,
            ANY_WORDS => self.node(parent).any_words,
            _ => self.plain_child(parent, word),
        }
    }

    fn plain_child(&self, parent: NodeId, word: &[u8]) -> Option<NodeId> {
        let is_child = |id: &NodeId| self.node(*id).is_at(parent, word);
        self.children.find(hash_of(parent, word), is_child).copied()
    }

    fn add_child(&mut self, parent: NodeId, word: &[u8]) -> NodeId {
        let id = self.allocate(Node::new(parent, word));
        match word {
            ONE_WORD => self.node_mut(parent).one_word = Some(id),
            ANY_WORDS => self.node_mut(parent).any_words = Some(id),
            _ => {
                self.node_mut(parent).plain_children_count += 1;
                let nodes = &self.nodes;
                let rehash = |id: &NodeId| nodes[id.0 as usize].hash();
                self.children.insert_unique(hash_of(parent, word), id, rehash);
            }
        }
        id
    }

    fn remove_child(&mut self, parent: NodeId, child: NodeId) {
        match &*self.node(child).word {
            ONE_WORD => self.node_mut(parent).one_word = None,
            ANY_WORDS => self.node_mut(parent).any_words = None,
            _ => {
                self.node_mut(parent).plain_children_count -= 1;
                let hash = self.node(child).hash();
                if let Ok(entry) = self.children.find_entry(hash, |id| *id == child) {
                    entry.remove();
                }
            }
        }
        *self.node_mut(child) = Node::new(ROOT, b"");
        self.free.push(child);
    }

    fn allocate(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.free.pop() {
            *self.node_mut(id) = node;
            return id;
        }
        #[expect(clippy::expect_used, reason = "4 thousand million nodes do not fit in memory")]
        let id = NodeId(u32::try_from(self.nodes.len()).expect("memory ends before node numbers do"));
        self.nodes.push(node);
        id
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }
}

impl Node {
    fn new(parent: NodeId, word: &[u8]) -> Self {
        Self {
            parent,
            word: word.into(),
            plain_children_count: 0,
            one_word: None,
            any_words: None,
            targets: Targets::default(),
        }
    }

    fn is_at(&self, parent: NodeId, word: &[u8]) -> bool {
        self.parent == parent && *self.word == *word
    }

    fn is_unused(&self) -> bool {
        self.plain_children_count == 0
            && self.one_word.is_none()
            && self.any_words.is_none()
            && self.targets.is_empty()
    }

    fn hash(&self) -> u64 {
        hash_of(self.parent, &self.word)
    }
}

fn hash_of(parent: NodeId, word: &[u8]) -> u64 {
    FixedState::default().hash_one((parent, word))
}

/// The words of a key; none when it is empty.
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split(|byte| *byte == b'.').filter(move |_| !key.is_empty())
}

/// The words of a binding key, adjacent `#` as one: `#.#` means what `#` means.
fn pattern_words(binding_key: &str) -> impl Iterator<Item = &[u8]> {
    let mut is_after_any = false;
    words(binding_key.as_bytes()).filter(move |word| {
        let is_any = *word == ANY_WORDS;
        let is_repeated = is_any && is_after_any;
        is_after_any = is_any;
        !is_repeated
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::queue_id::QueueId;

    /// A router with binding `n` leading to queue `n`.
    fn router(binding_keys: &[&str]) -> TopicRouter {
        let mut router = TopicRouter::default();
        for (number, key) in (0..).zip(binding_keys) {
            router.add(BindingId(number), key, Target::Queue(QueueId(number)));
        }
        router
    }

    /// The numbers of the matching bindings, each as often as it was visited.
    fn matching(router: &TopicRouter, routing_key: &str) -> Vec<u64> {
        let mut found = Vec::new();
        router.visit_matching(routing_key.as_bytes(), &mut |target| {
            if let Target::Queue(QueueId(number)) = target {
                found.push(*number);
            }
        });
        found.sort_unstable();
        found
    }

    /// The rule in its plainest form; only for short keys.
    fn is_match(pattern: &[&[u8]], key: &[&[u8]]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&b"#", rest)), None) => is_match(rest, key),
            (Some((&b"#", rest)), Some((_, key_rest))) => is_match(rest, key) || is_match(pattern, key_rest),
            (Some((word, rest)), Some((key_word, key_rest))) => {
                (*word == b"*" || word == key_word) && is_match(rest, key_rest)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    #[test]
    fn wildcards_follow_the_table() {
        for (binding_key, routing_key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a", false),
            ("a.b", "a.b.c", false),
            ("*", "a", true),
            ("*", "a.b", false),
            ("#", "a.b.c", true),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.", true),
            ("a.#", "a", true),
            ("a.#", "a.", true),
            ("a.#", "b", false),
            ("a.#.b", "a.b", true),
            ("a.#.b", "a.x.y.b", true),
            ("a.#.b", "a.x.b.y", false),
            ("#.b", "b", true),
            ("#.*", "a", true),
            ("#.#", "a", true),
            ("*.#.*", "a", false),
            ("*.#.*", "a.b", true),
            // The empty key has no word, a dot stands between two.
            ("", "", true),
            ("", "a", false),
            ("#", "", true),
            ("#.#", "", true),
            ("*", "", false),
            ("#.*", "", false),
            ("#.*.#", "", false),
            ("*.#", "", false),
            (".", ".", true),
            ("*.*", ".", true),
            ("*", ".", false),
            // Wildcards are whole words, and mean nothing in a routing key.
            ("a*", "ab", false),
            ("a*", "a*", true),
            ("a#", "a", false),
            ("*", "*", true),
            ("#", "#", true),
            ("a", "#", false),
            ("a", "*", false),
        ] {
            let expected = if expected { vec![0] } else { vec![] };
            assert_eq!(
                matching(&router(&[binding_key]), routing_key),
                expected,
                "{binding_key} {routing_key}"
            );
        }
    }

    #[test]
    fn keys_are_bytes() {
        let mut found = 0;
        router(&["a.*"]).visit_matching(b"a.\xff\x00", &mut |_| found += 1);
        assert_eq!(found, 1);
    }

    #[test]
    fn equal_keys_are_kept_apart() {
        let mut router = router(&["a.#", "a.#", "a.#.#"]);
        assert_eq!(matching(&router, "a.b"), [0, 1, 2]);
        router.remove(BindingId(1), "a.#");
        assert_eq!(matching(&router, "a.b"), [0, 2]);
        router.remove(BindingId(2), "a.#.#");
        router.remove(BindingId(0), "a.#");
        assert_eq!(matching(&router, "a.b"), [0; 0]);
    }

    #[test]
    fn removing_gives_nodes_back() {
        let keys = ["a.b.c", "a.*.c", "a.#.c", "a", "#", "*"];
        let mut router = router(&keys);
        let nodes_count = router.nodes.len();
        for (number, key) in (0..).zip(keys) {
            router.remove(BindingId(number), key);
        }
        assert!(router.node(ROOT).is_unused());
        assert!(router.children.is_empty());
        assert_eq!(router.free.len(), nodes_count - 1);
        for (number, key) in (10..).zip(keys) {
            router.add(BindingId(number), key, Target::Queue(QueueId(number)));
        }
        assert_eq!(router.nodes.len(), nodes_count);
        assert_eq!(matching(&router, "a.b.c"), [10, 11, 12, 14]);
    }

    /// The longest keys there are, made of nothing but wildcards: what takes a naive matcher years is counted in
    /// visited nodes here, at most one per pattern word and key word.
    #[test]
    fn patterns_full_of_wildcards_stay_cheap() {
        let pattern = |words: &str| words.repeat(128)[..255].trim_end_matches('.').to_owned();
        let patterns = [
            pattern("#."),
            pattern("#.a."),
            pattern("#.*."),
            pattern("*.#."),
            format!("{}.b", pattern("#.a.")),
        ];
        let mut router = router(&patterns.each_ref().map(String::as_str));
        let key = pattern("a.");
        let mut steps_count = 0;
        let (mut nodes, mut next) = (Vec::new(), Vec::new());
        router.reach(ROOT, &mut nodes);
        for word in words(key.as_bytes()) {
            for id in &nodes {
                steps_count += 1;
                router.step(*id, word, &mut next);
            }
            next.sort_unstable();
            next.dedup();
            nodes = std::mem::take(&mut next);
        }
        assert!(steps_count <= 128 * router.nodes.len(), "{steps_count}");
        assert_eq!(matching(&router, &key), [0, 1, 2, 3]);
        for (number, key) in (0..).zip(&patterns) {
            router.remove(BindingId(number), key);
        }
        assert!(router.node(ROOT).is_unused());
    }

    fn key(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(words), 0..7).prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn trie_agrees_with_the_rule(
            binding_keys in proptest::collection::vec(key(&["a", "b", "", "*", "#", "#"]), 0..12),
            removed in proptest::collection::vec(any::<bool>(), 12),
            routing_key in key(&["a", "b", "c", "", "*", "#"]),
        ) {
            let binding_keys: Vec<&str> = binding_keys.iter().map(String::as_str).collect();
            let mut router = router(&binding_keys);
            let mut expected = Vec::new();
            let key: Vec<&[u8]> = words(routing_key.as_bytes()).collect();
            for ((number, binding_key), is_removed) in (0..).zip(binding_keys).zip(removed) {
                let pattern: Vec<&[u8]> = words(binding_key.as_bytes()).collect();
                if is_removed {
                    router.remove(BindingId(number), binding_key);
                } else if is_match(&pattern, &key) {
                    expected.push(number);
                }
            }
            prop_assert_eq!(matching(&router, &routing_key), expected);
        }
    }
}
