//! Runtime parameters: settings of a component by name (<https://www.rabbitmq.com/docs/parameters>).
//!
//! A value is a JSON document, which is kept as text: only the edges read it.

use crate::model::name::Name;

/// A setting of a component in a vhost. All fields are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What it is a setting of.
    pub component: Name,
    /// Tells it from others of the component.
    pub name: Name,
    /// A JSON document.
    pub value: String,
}

/// A setting of the whole cluster. All fields are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalParameter {
    /// Tells it from others.
    pub name: Name,
    /// A JSON document.
    pub value: String,
}
