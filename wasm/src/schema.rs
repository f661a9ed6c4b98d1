//! Schema: what `capnp compile -o-` says of files and all that they import (schema.capnp, `CodeGeneratorRequest`).

use crate::table::Table;
use capnp::message::{Reader, ReaderOptions};
use capnp::schema_capnp::{code_generator_request, field, method, node, type_};
use capnp::serialize::{self, OwnedSegments};

/// Types and interfaces by number, and those of the files that were asked for by name.
pub struct Schema {
    request: Reader<OwnedSegments>,
    /// Where each node is.
    places: Table<u32>,
    /// Interfaces by their names in the file, as `Calculator.Value`.
    interfaces: Vec<(String, u64)>,
}

/// A method of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// The interface that declares it.
    pub(crate) interface: u64,
    pub(crate) ordinal: u16,
    /// The structs of its parameters and results.
    pub(crate) params: u64,
    pub(crate) results: u64,
}

/// What is wrong with a schema, or with a name that is looked for in it.
pub(crate) type Problem = String;

impl Schema {
    /// From the bytes that `capnp compile -o- FILE.capnp` writes.
    ///
    /// # Errors
    /// They are not what it writes.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        // It is the application's own, however long.
        let mut options = ReaderOptions::new();
        options.traversal_limit_in_words(None);
        let request = serialize::read_message(bytes, options).map_err(text)?;
        let (mut places, mut interfaces) = (Table::default(), Vec::new());
        for (place, node) in (0..).zip(nodes(&request)?.iter()) {
            places.insert(node.get_id(), place);
            if let Ok(node::Interface(_)) = node.which() {
                interfaces.push((name_in_file(&node)?, node.get_id()));
            }
        }
        Ok(Self { request, places, interfaces })
    }

    /// The interface of a name.
    pub(crate) fn interface(&self, name: &str) -> Result<u64, Problem> {
        let known = || {
            let names: Vec<&str> = self.interfaces.iter().map(|(name, _)| &**name).collect();
            names.join(", ")
        };
        let found = self.interfaces.iter().find(|(own, _)| own == name);
        let id = found.map(|(_, id)| *id);
        id.ok_or_else(|| format!("no interface {name} in the schema, but {}", known()))
    }

    /// The name of an interface.
    pub(crate) fn interface_name(&self, id: u64) -> Option<String> {
        name_in_file(&self.node(id).ok()?).ok()
    }

    pub(crate) fn node(&self, id: u64) -> Result<node::Reader<'_>, Problem> {
        match self.places.get(id) {
            Some(place) => Ok(nodes(&self.request)?.get(*place)),
            None => Err(format!("the schema has no type {id:#018x}")),
        }
    }

    /// The method of a name, of an interface or of those that it extends.
    pub(crate) fn method(&self, interface: u64, name: &str) -> Result<Method, Problem> {
        let found = self.find(interface, |_, method| {
            method.get_name().is_ok_and(|own| own.to_str() == Ok(name))
        })?;
        let named = || self.interface_name(interface).unwrap_or_default();
        found.map(|(method, _)| method).ok_or_else(|| format!("{} has no method {name}", named()))
    }

    /// The method of a number, declared by `declarer`, and its name.
    pub(crate) fn method_by_number(
        &self,
        interface: u64,
        declarer: u64,
        ordinal: u16,
    ) -> Result<(Method, String), Problem> {
        let mut numbers = 0..;
        let found = self.find(interface, |id, _| {
            if id != declarer {
                return false;
            }
            numbers.next() == Some(ordinal)
        })?;
        found.ok_or_else(|| format!("no method {ordinal} of interface {declarer:#018x}"))
    }

    /// Pointer fields along names of fields, from a struct to a capability, and that one's interface if the schema says it.
    pub(crate) fn path<'a>(
        &self,
        mut id: u64,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(Vec<u16>, Option<u64>), Problem> {
        let (mut pointers, mut interface) = (Vec::new(), None);
        for name in names {
            let Ok(node::Struct(node)) = self.node(id)?.which() else {
                return Err(format!("nothing is inside of what {name} is of"));
            };
            let fields = node.get_fields().map_err(text)?;
            let named = |field: &field::Reader<'_>| {
                field.get_name().is_ok_and(|own| own.to_str() == Ok(name))
            };
            let field = fields.iter().find(named).ok_or_else(|| format!("no field {name}"))?;
            match field.which().map_err(text)? {
                field::Group(group) => id = group.get_type_id(),
                field::Slot(slot) => {
                    let offset = u16::try_from(slot.get_offset()).map_err(text)?;
                    pointers.push(offset);
                    match slot.get_type().and_then(|it| it.which().map_err(Into::into)) {
                        Ok(type_::Struct(of)) => id = of.get_type_id(),
                        Ok(type_::Interface(of)) => interface = Some(of.get_type_id()),
                        Ok(type_::AnyPointer(_)) => {}
                        _ => return Err(format!("{name} is no capability")),
                    }
                }
            }
        }
        Ok((pointers, interface))
    }

    /// The first method that matches, of an interface and those that it extends, each of which is looked at once.
    fn find(
        &self,
        interface: u64,
        mut matches: impl FnMut(u64, method::Reader<'_>) -> bool,
    ) -> Result<Option<(Method, String)>, Problem> {
        let (mut left, mut seen) = (vec![interface], Vec::new());
        while let Some(id) = left.pop() {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            let node = self.node(id)?;
            let Ok(node::Interface(node)) = node.which() else {
                return Err(format!("{id:#018x} is no interface"));
            };
            for (ordinal, method) in (0..).zip(node.get_methods().map_err(text)?.iter()) {
                if matches(id, method) {
                    let (params, results) =
                        (method.get_param_struct_type(), method.get_result_struct_type());
                    let found = Method { interface: id, ordinal, params, results };
                    let name = method.get_name().map_err(text)?.to_string().map_err(text)?;
                    return Ok(Some((found, name)));
                }
            }
            left.extend(node.get_superclasses().map_err(text)?.iter().map(|it| it.get_id()));
        }
        Ok(None)
    }
}

fn nodes(
    request: &Reader<OwnedSegments>,
) -> Result<capnp::struct_list::Reader<'_, node::Owned>, Problem> {
    let root: code_generator_request::Reader<'_> = request.get_root().map_err(text)?;
    root.get_nodes().map_err(text)
}

/// `Calculator.Value` of `schema/appliance.capnp:Calculator.Value`.
fn name_in_file(node: &node::Reader<'_>) -> Result<String, Problem> {
    let name = node.get_display_name().map_err(text)?.to_string().map_err(text)?;
    Ok(name.rsplit(':').next().unwrap_or_default().to_owned())
}

pub(crate) fn text(error: impl std::fmt::Display) -> Problem {
    error.to_string()
}
