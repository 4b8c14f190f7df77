//! Runtime parameters of vhosts, and those of the whole cluster.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    broker::{Broker, NoSuch},
    ticket::Ticket,
};
use crate::model::{
    definition::{Change, Definition, DefinitionKey},
    name::Name,
    parameter::{GlobalParameter, Parameter},
};

/// The global parameter whose value is how the cluster calls itself.
pub const CLUSTER_NAME: &str = "cluster_name";

/// Parameters behind their lock, which is taken after that of users and permissions.
#[derive(Debug, Default)]
pub(super) struct Parameters(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    /// By vhost, component and name.
    of_vhosts: BTreeMap<(Name, Name, Name), String>,
    global: BTreeMap<Name, String>,
}

impl Broker {
    /// The parameters of a vhost, by component and name.
    #[must_use]
    pub fn parameters(&self, vhost: &Name) -> Vec<Parameter> {
        let state = self.parameters.read();
        let of_vhost = state.of_vhosts.iter().filter(|((owner, ..), _)| owner == vhost);
        let parameter = |((_, component, name), value): (&(Name, Name, Name), &String)| Parameter {
            component: component.clone(),
            name: name.clone(),
            value: value.clone(),
        };
        of_vhost.map(parameter).collect()
    }

    /// Adds or replaces a parameter. Says whether it is new.
    pub fn put_parameter(
        &self,
        vhost: &Name,
        parameter: Parameter,
    ) -> Result<(bool, Option<Ticket>), NoSuch> {
        let _order = self.write_access();
        self.vhost(vhost).ok_or(NoSuch::Vhost)?;
        let Parameter { component, name, value } = parameter.clone();
        let mut state = self.parameters.write();
        let is_new = state.of_vhosts.insert((vhost.clone(), component, name), value).is_none();
        let definition = Definition::Parameter { vhost: vhost.clone(), parameter };
        Ok((is_new, self.submit(vec![Change::Put(definition)])))
    }

    /// Deletes a parameter. Says whether it was there.
    pub fn delete_parameter(&self, vhost: &Name, component: &Name, name: &Name) -> (bool, Option<Ticket>) {
        let mut state = self.parameters.write();
        let key = (vhost.clone(), component.clone(), name.clone());
        if state.of_vhosts.remove(&key).is_none() {
            return (false, None);
        }
        (true, self.submit(vec![Change::Delete(key_of(key))]))
    }

    /// All global parameters, by name.
    #[must_use]
    pub fn global_parameters(&self) -> Vec<GlobalParameter> {
        let state = self.parameters.read();
        let parameters = state.global.iter();
        parameters.map(|(name, value)| GlobalParameter { name: name.clone(), value: value.clone() }).collect()
    }

    /// The value of a global parameter.
    #[must_use]
    pub fn global_parameter(&self, name: &str) -> Option<String> {
        self.parameters.read().global.get(name).cloned()
    }

    /// How the cluster calls itself, if somebody said so.
    #[must_use]
    pub fn cluster_name(&self) -> Option<String> {
        serde_json::from_str(&self.global_parameter(CLUSTER_NAME)?).ok()
    }

    /// Adds or replaces a global parameter. Says whether it is new.
    pub fn put_global_parameter(&self, parameter: GlobalParameter) -> (bool, Option<Ticket>) {
        let mut state = self.parameters.write();
        let is_new = state.global.insert(parameter.name.clone(), parameter.value.clone()).is_none();
        (is_new, self.submit(vec![Change::Put(Definition::GlobalParameter(parameter))]))
    }

    /// Deletes a global parameter. Says whether it was there.
    pub fn delete_global_parameter(&self, name: &Name) -> (bool, Option<Ticket>) {
        let mut state = self.parameters.write();
        if state.global.remove(name).is_none() {
            return (false, None);
        }
        (true, self.submit(vec![Change::Delete(DefinitionKey::GlobalParameter(name.clone()))]))
    }

    /// Puts a parameter that was read from disk in its place.
    pub(super) fn restore_parameter(&self, vhost: Name, parameter: Parameter) -> bool {
        let is_known = self.vhost(&vhost).is_some();
        if is_known {
            let Parameter { component, name, value } = parameter;
            self.parameters.write().of_vhosts.insert((vhost, component, name), value);
        }
        is_known
    }

    /// Puts a global parameter that was read from disk in its place.
    pub(super) fn restore_global_parameter(&self, parameter: GlobalParameter) {
        self.parameters.write().global.insert(parameter.name, parameter.value);
    }
}

impl Parameters {
    /// Removes all parameters of a vhost; gives their keys.
    pub(super) fn remove_vhost(&self, vhost: &Name) -> Vec<DefinitionKey> {
        let mut state = self.write();
        let keys: Vec<_> = state.of_vhosts.keys().filter(|(owner, ..)| owner == vhost).cloned().collect();
        for key in &keys {
            state.of_vhosts.remove(key);
        }
        keys.into_iter().map(key_of).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of((vhost, component, name): (Name, Name, Name)) -> DefinitionKey {
    DefinitionKey::Parameter { vhost, component, name }
}
