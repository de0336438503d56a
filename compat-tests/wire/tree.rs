//! Any of the codec's messages as a tree of named values, so that two can be compared field by field. The codec's
//! structs have no other reflection than their `Debug` form, which is read here.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// A value of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A number, a text in quotes, an id, null.
    Leaf(String),
    /// An array.
    List(Vec<Tree>),
    /// Fields in their order.
    Struct(Vec<(String, Tree)>),
}

/// Fields that tell an element of an array from its neighbours, the best first.
const IDENTITIES: &[&str] = &[
    "name",
    "topic",
    "topic_id",
    "api_key",
    "group_id",
    "member_id",
    "resource_name",
    "key",
    "broker_id",
    "node_id",
    "partition_index",
    "partition_id",
    "partition",
    "index",
    "batch_index",
    "transactional_id",
    "producer_id",
];

/// The fields of a message.
pub fn of(message: &impl Debug) -> Tree {
    let text = format!("{message:?}");
    let mut parser = Parser { rest: &text };
    let tree = parser.value();
    assert_eq!(parser.rest, "", "all of it was read");
    tree
}

impl Tree {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Struct(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A leaf's text, without quotes.
    pub fn text(&self) -> Option<&str> {
        match self {
            Tree::Leaf(text) => Some(text.trim_matches('"')),
            _ => None,
        }
    }

    /// Visits this and everything below it.
    pub fn visit(&self, see: &mut impl FnMut(&Tree)) {
        see(self);
        match self {
            Tree::Leaf(_) => {}
            Tree::List(elements) => elements.iter().for_each(|element| element.visit(see)),
            Tree::Struct(fields) => fields.iter().for_each(|(_, value)| value.visit(see)),
        }
    }

    /// Every leaf by its path, as `topics[plain].partitions[0].error_code`; the order of an array's elements is a leaf
    /// of its own, `topics.order`.
    pub fn leaves(&self) -> BTreeMap<String, String> {
        let mut leaves = BTreeMap::new();
        self.collect(String::new(), &mut leaves);
        leaves
    }

    fn collect(&self, path: String, leaves: &mut BTreeMap<String, String>) {
        match self {
            Tree::Leaf(text) => drop(leaves.insert(path, text.clone())),
            Tree::List(elements) if elements.iter().any(|element| matches!(element, Tree::Struct(_))) => {
                let mut order = Vec::new();
                for element in elements {
                    let label = element.label();
                    let before = order.iter().filter(|other| **other == label).count();
                    order.push(label.clone());
                    let again = if before == 0 { String::new() } else { format!("#{}", before + 1) };
                    element.collect(format!("{path}[{label}{again}]"), leaves);
                }
                leaves.insert(format!("{path}.order"), order.join(" "));
            }
            Tree::List(elements) => {
                let texts: Vec<_> = elements.iter().filter_map(Tree::text).collect();
                leaves.insert(path, format!("[{}]", texts.join(", ")));
            }
            Tree::Struct(fields) => {
                for (name, value) in fields {
                    let dot = if path.is_empty() { "" } else { "." };
                    value.collect(format!("{path}{dot}{name}"), leaves);
                }
            }
        }
    }

    fn label(&self) -> String {
        const NOTHING: [&str; 3] = ["", "null", "00000000-0000-0000-0000-000000000000"];
        let identity = IDENTITIES.iter().find_map(|name| {
            let text = self.field(name)?.text()?;
            (!NOTHING.contains(&text)).then(|| text.to_owned())
        });
        identity.unwrap_or_default()
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Tree {
        match self.rest.as_bytes().first() {
            Some(b'[') => Tree::List(self.between("[", "]", Self::value)),
            Some(b'"') => Tree::Leaf(self.quoted().to_owned()),
            Some(b'{') => {
                let entries = self.between("{", "}", |entries| {
                    let key = entries.word().to_owned();
                    entries.skip(": ");
                    format!("{key}: {:?}", entries.value())
                });
                Tree::Leaf(format!("{{{}}}", entries.join(", ")))
            }
            _ if self.rest.starts_with("b\"") => {
                self.skip("b");
                Tree::Leaf(format!("b{}", self.quoted()))
            }
            _ => self.named(),
        }
    }

    /// A number, a unit, a tuple struct of one field (which is its field), or a struct.
    fn named(&mut self) -> Tree {
        let word = self.word();
        if self.rest.starts_with('(') {
            self.skip("(");
            let inner = self.value();
            self.skip(")");
            return inner;
        }
        if self.rest.starts_with(" {") {
            self.skip(" ");
            let fields = self.between("{ ", " }", |fields| {
                let name = fields.word().to_owned();
                fields.skip(": ");
                (name, fields.value())
            });
            let none_unknown = |(name, value): &(String, Tree)| {
                !(name == "unknown_tagged_fields" && *value == Tree::Leaf("{}".to_owned()))
            };
            return Tree::Struct(fields.into_iter().filter(none_unknown).collect());
        }
        Tree::Leaf(if word == "None" { "null" } else { word }.to_owned())
    }

    fn between<T>(&mut self, open: &str, close: &str, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut elements = Vec::new();
        self.skip(open);
        while !self.rest.starts_with(close) {
            elements.push(element(self));
            self.rest = self.rest.strip_prefix(", ").unwrap_or(self.rest);
        }
        self.skip(close);
        elements
    }

    fn quoted(&mut self) -> &'a str {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|&(_, character)| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        self.take(end.unwrap().0 + 1)
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|character: char| !(character.is_alphanumeric() || "_-.".contains(character)));
        self.take(end.unwrap_or(self.rest.len()))
    }

    fn take(&mut self, size: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(size);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, text: &str) {
        self.rest = self.rest.strip_prefix(text).unwrap_or_else(|| panic!("{text:?} before {:?}", self.rest));
    }
}

#[test]
fn messages_come_apart_by_name() {
    /// A message as `derive(Debug)` prints it.
    struct Printed(&'static str);
    impl Debug for Printed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }
    let whole = Printed(concat!(
        r#"Whole { parts: [Part { name: "a \"b\" [c]", broker: Id(-3), racks: [None, Some("x")] }, "#,
        r#"Part { name: "d", broker: Id(-3), racks: [None, Some("x")] }, "#,
        r#"Part { name: "d", broker: Id(-3), racks: [None, Some("x")] }], none: [], unknown_tagged_fields: {} }"#,
    ));
    let leaves = of(&whole).leaves();
    let leaves: Vec<_> = leaves.iter().map(|(path, value)| format!("{path} {value}")).collect();
    let expected = [
        "none []",
        "parts.order a \\\"b\\\" [c] d d",
        "parts[a \\\"b\\\" [c]].broker -3",
        "parts[a \\\"b\\\" [c]].name \"a \\\"b\\\" [c]\"",
        "parts[a \\\"b\\\" [c]].racks [null, x]",
        "parts[d#2].broker -3",
        "parts[d#2].name \"d\"",
        "parts[d#2].racks [null, x]",
        "parts[d].broker -3",
        "parts[d].name \"d\"",
        "parts[d].racks [null, x]",
    ];
    assert_eq!(leaves, expected);
}
