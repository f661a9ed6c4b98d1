//! JSON to contents of messages.

use crate::raw::{AnyStruct, RawBuilder, StructElementBuilder};
use crate::schema::{Problem, Schema, text};
use base64ct::{Base64, Encoding};
use capnp::private::layout::{
    ListBuilder, PointerBuilder, PrimitiveElement, StructBuilder, StructSize,
};
use capnp::schema_capnp::{field, node, type_, value};
use capnp::struct_list;
use capnp::traits::FromPointerBuilder;
use rpc::slot::Slot;
use serde_json::{Map, Value};

/// Writes JSON into a message. `slots` has the numbers of the page for the capabilities that [`capabilities`] found, in the
/// order of the message's table.
pub(crate) struct Encoder<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) slots: &'a [u64],
}

/// The numbers of all capabilities in JSON.
pub(crate) fn capabilities(value: &Value) -> Vec<u64> {
    let (mut left, mut found) = (vec![value], Vec::new());
    while let Some(value) = left.pop() {
        match value {
            Value::Object(object) => match number_of_capability(object) {
                Some(number) => found.push(number),
                None => left.extend(object.values()),
            },
            Value::Array(all) => left.extend(all),
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn number_of_capability(object: &Map<String, Value>) -> Option<u64> {
    object.get("$cap").and_then(Value::as_u64)
}

impl Encoder<'_> {
    /// Writes an object as a struct of this type.
    pub(crate) fn content(
        &self,
        content: capnp::any_pointer::Builder<'_>,
        id: u64,
        value: &Value,
    ) -> Result<(), Problem> {
        let RawBuilder(pointer) = content.get_as().map_err(text)?;
        self.new_structure(pointer, id, value)
    }

    fn new_structure(
        &self,
        pointer: PointerBuilder<'_>,
        id: u64,
        value: &Value,
    ) -> Result<(), Problem> {
        // As results of a stream's calls: nothing is in it.
        let size = self.size(id).unwrap_or(StructSize { data: 0, pointers: 0 });
        self.structure(pointer.init_struct(size), id, value)
    }

    fn size(&self, id: u64) -> Result<StructSize, Problem> {
        match self.schema.node(id)?.which().map_err(text)? {
            node::Struct(it) => {
                Ok(StructSize { data: it.get_data_word_count(), pointers: it.get_pointer_count() })
            }
            _ => Err(format!("{id:#x} is no struct")),
        }
    }

    fn structure(&self, mut to: StructBuilder<'_>, id: u64, value: &Value) -> Result<(), Problem> {
        let object = match value {
            Value::Object(object) => object,
            Value::Null => return Ok(()),
            other => return Err(format!("{other} is no object")),
        };
        for (name, value) in object {
            let node = self.schema.node(id)?;
            let Ok(node::Struct(node)) = node.which() else {
                return Err(format!("no field {name}"));
            };
            let fields = node.get_fields().map_err(text)?;
            let field = fields
                .iter()
                .find(|field| field.get_name().is_ok_and(|own| own.to_str() == Ok(name)));
            let field = field.ok_or_else(|| format!("there is no field {name}"))?;
            let discriminant = field.get_discriminant_value();
            if discriminant != field::NO_DISCRIMINANT {
                to.set_data_field(node.get_discriminant_offset() as usize, discriminant);
            }
            match field.which().map_err(text)? {
                field::Group(group) => self.structure(to.reborrow(), group.get_type_id(), value),
                field::Slot(slot) => self.slot(to.reborrow(), &slot, value),
            }
            .map_err(|problem| format!("{name}: {problem}"))?;
        }
        Ok(())
    }

    fn slot(
        &self,
        to: StructBuilder<'_>,
        slot: &field::slot::Reader<'_>,
        value: &Value,
    ) -> Result<(), Problem> {
        use value::Which as Default;
        let (at, of) = (slot.get_offset() as usize, slot.get_type().map_err(text)?);
        let default = slot.get_default_value().map_err(text)?.which().map_err(text)?;
        match (of.which().map_err(text)?, default) {
            (type_::Void(()), _) => {}
            (type_::Bool(()), Default::Bool(it)) => to.set_bool_field_mask(at, flag(value)?, it),
            (type_::Int8(()), Default::Int8(it)) => {
                to.set_data_field_mask(at, whole::<i8>(value)?, it);
            }
            (type_::Int16(()), Default::Int16(it)) => {
                to.set_data_field_mask(at, whole::<i16>(value)?, it);
            }
            (type_::Int32(()), Default::Int32(it)) => {
                to.set_data_field_mask(at, whole::<i32>(value)?, it);
            }
            (type_::Int64(()), Default::Int64(it)) => {
                to.set_data_field_mask(at, whole::<i64>(value)?, it);
            }
            (type_::Uint8(()), Default::Uint8(it)) => {
                to.set_data_field_mask(at, whole::<u8>(value)?, it);
            }
            (type_::Uint16(()), Default::Uint16(it)) => {
                to.set_data_field_mask(at, whole::<u16>(value)?, it);
            }
            (type_::Uint32(()), Default::Uint32(it)) => {
                to.set_data_field_mask(at, whole::<u32>(value)?, it);
            }
            (type_::Uint64(()), Default::Uint64(it)) => {
                to.set_data_field_mask(at, whole::<u64>(value)?, it);
            }
            (type_::Float32(()), Default::Float32(it)) => {
                to.set_data_field_mask(at, float(value)? as f32, it.to_bits());
            }
            (type_::Float64(()), Default::Float64(it)) => {
                to.set_data_field_mask(at, float(value)?, it.to_bits());
            }
            (type_::Enum(of), Default::Enum(it)) => {
                to.set_data_field_mask(at, self.enumerant(value, of.get_type_id())?, it);
            }
            _ => self.pointer(to.get_pointer_field(at), of, value)?,
        }
        Ok(())
    }

    fn pointer(
        &self,
        mut to: PointerBuilder<'_>,
        of: type_::Reader<'_>,
        value: &Value,
    ) -> Result<(), Problem> {
        if value.is_null() {
            return Ok(());
        }
        match of.which().map_err(text)? {
            type_::Text(()) => {
                to.set_text(value.as_str().ok_or_else(|| format!("{value} is no text"))?.into());
            }
            type_::Data(()) => to.set_data(&data(value)?),
            type_::Struct(of) => self.new_structure(to, of.get_type_id(), value)?,
            type_::List(of) => self.list(to, of.get_element_type().map_err(text)?, value)?,
            _ => self.capability(to, value)?,
        }
        Ok(())
    }

    fn capability(&self, mut to: PointerBuilder<'_>, value: &Value) -> Result<(), Problem> {
        let number = value.as_object().and_then(number_of_capability);
        let slot = number.and_then(|number| self.slots.binary_search(&number).ok());
        let slot = slot.ok_or_else(|| format!("{value} is no capability"))?;
        to.set_capability(Slot(slot).hook());
        Ok(())
    }

    fn list(
        &self,
        mut to: PointerBuilder<'_>,
        of: type_::Reader<'_>,
        value: &Value,
    ) -> Result<(), Problem> {
        let all = value.as_array().ok_or_else(|| format!("{value} is no list"))?;
        let count = u32::try_from(all.len()).map_err(text)?;
        match of.which().map_err(text)? {
            type_::Struct(of) => {
                to.reborrow().init_struct_list(count, self.size(of.get_type_id())?);
                // Elements stay as long as they were made.
                let list = struct_list::Builder::<AnyStruct>::get_from_pointer(to, None);
                let mut list = list.map_err(text)?;
                for (at, value) in (0..).zip(all) {
                    let StructElementBuilder(element) = list.reborrow().get(at);
                    self.structure(element, of.get_type_id(), value)?;
                }
            }
            type_::Void(()) => drop(to.init_list(<()>::element_size(), count)),
            type_::Bool(()) => fill_list::<bool>(to, all, flag)?,
            type_::Int8(()) => fill_list::<i8>(to, all, whole)?,
            type_::Int16(()) => fill_list::<i16>(to, all, whole)?,
            type_::Int32(()) => fill_list::<i32>(to, all, whole)?,
            type_::Int64(()) => fill_list::<i64>(to, all, whole)?,
            type_::Uint8(()) => fill_list::<u8>(to, all, whole)?,
            type_::Uint16(()) => fill_list::<u16>(to, all, whole)?,
            type_::Uint32(()) => fill_list::<u32>(to, all, whole)?,
            type_::Uint64(()) => fill_list::<u64>(to, all, whole)?,
            type_::Float32(()) => fill_list::<f32>(to, all, |it| float(it).map(|it| it as f32))?,
            type_::Float64(()) => fill_list::<f64>(to, all, float)?,
            type_::Enum(of) => {
                fill_list::<u16>(to, all, |it| self.enumerant(it, of.get_type_id()))?;
            }
            _ => {
                let mut list = to.init_list(capnp::private::layout::ElementSize::Pointer, count);
                for (at, value) in (0..).zip(all) {
                    self.pointer(list.reborrow().get_pointer_element(at), of, value)?;
                }
            }
        }
        Ok(())
    }

    fn enumerant(&self, value: &Value, id: u64) -> Result<u16, Problem> {
        let Some(name) = value.as_str() else { return whole(value) };
        let node = self.schema.node(id)?;
        let Ok(node::Enum(node)) = node.which() else { return Err(format!("{id:#x} is no enum")) };
        let enumerants = node.get_enumerants().map_err(text)?;
        let found = (0..)
            .zip(enumerants.iter())
            .find(|(_, it)| it.get_name().is_ok_and(|own| own.to_str() == Ok(name)));
        found.map(|(value, _)| value).ok_or_else(|| format!("there is no enumerant {name}"))
    }
}

fn fill_list<T: PrimitiveElement>(
    to: PointerBuilder<'_>,
    all: &[Value],
    read: impl Fn(&Value) -> Result<T, Problem>,
) -> Result<(), Problem> {
    let count = u32::try_from(all.len()).map_err(text)?;
    let list: ListBuilder<'_> = to.init_list(T::element_size(), count);
    for (at, value) in (0..).zip(all) {
        T::set(&list, at, read(value)?);
    }
    Ok(())
}

fn flag(value: &Value) -> Result<bool, Problem> {
    value.as_bool().ok_or_else(|| format!("{value} is neither true nor false"))
}

/// A whole number that fits, as a number or in `$int`.
fn whole<T: TryFrom<i128>>(value: &Value) -> Result<T, Problem> {
    let long = value.get("$int").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let short = || value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    // As JavaScript writes 1e21.
    let exact = || value.as_f64().filter(|it| it.fract() == 0.0).map(|it| it as i128);
    let number: Option<i128> = long.or_else(short).or_else(exact);
    let fitting = number.and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| format!("{value} is no whole number that fits"))
}

fn float(value: &Value) -> Result<f64, Problem> {
    let named = value.get("$float").and_then(Value::as_str);
    match (value.as_f64(), named) {
        (Some(number), _) => Ok(number),
        (None, Some("NaN")) => Ok(f64::NAN),
        (None, Some("Infinity")) => Ok(f64::INFINITY),
        (None, Some("-Infinity")) => Ok(f64::NEG_INFINITY),
        _ => Err(format!("{value} is no number")),
    }
}

fn data(value: &Value) -> Result<Vec<u8>, Problem> {
    let encoded = value.get("$data").and_then(Value::as_str);
    let bytes = encoded.and_then(|text| Base64::decode_vec(text).ok());
    bytes.ok_or_else(|| format!("{value} are no bytes"))
}
