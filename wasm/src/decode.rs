//! Contents of messages to JSON.

use crate::raw::{AnyStruct, RawReader, StructElement};
use crate::schema::{Problem, Schema, text};
use base64ct::{Base64, Encoding};
use capnp::private::layout::{
    ListReader, PointerReader, PointerType, PrimitiveElement, StructReader,
};
use capnp::schema_capnp::{field, node, type_, value};
use capnp::struct_list;
use capnp::traits::FromPointerReader;
use rpc::slot;
use serde_json::{Map, Value, json};

/// Makes JSON of a message's contents. `hand_out` gives the number by which the page knows an entry of the table of
/// capabilities, of this interface if the schema says one.
pub(crate) struct Decoder<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) hand_out: &'a mut dyn FnMut(usize, Option<u64>) -> Value,
}

impl Decoder<'_> {
    /// A struct of this type.
    pub(crate) fn content(
        &mut self,
        content: capnp::any_pointer::Reader<'_>,
        id: u64,
    ) -> Result<Value, Problem> {
        let RawReader(pointer) = content.get_as().map_err(text)?;
        self.structure(pointer.get_struct(None).map_err(text)?, id)
    }

    fn structure(&mut self, reader: StructReader<'_>, id: u64) -> Result<Value, Problem> {
        // What a stream's calls return has no fields, and need not be in the schema.
        let Ok(node) = self.schema.node(id) else { return Ok(json!({})) };
        let Ok(node::Struct(node)) = node.which() else {
            return Err(format!("{id:#x} is no struct"));
        };
        let chosen = reader.get_data_field::<u16>(node.get_discriminant_offset() as usize);
        let mut object = Map::new();
        for field in node.get_fields().map_err(text)?.iter() {
            let discriminant = field.get_discriminant_value();
            if discriminant != field::NO_DISCRIMINANT && discriminant != chosen {
                continue;
            }
            let value = match field.which().map_err(text)? {
                field::Group(group) => self.structure(reader, group.get_type_id())?,
                field::Slot(slot) => self.slot(reader, &slot)?,
            };
            object.insert(field.get_name().map_err(text)?.to_string().map_err(text)?, value);
        }
        Ok(Value::Object(object))
    }

    fn slot(
        &mut self,
        reader: StructReader<'_>,
        slot: &field::slot::Reader<'_>,
    ) -> Result<Value, Problem> {
        use value::Which as Default;
        let (at, of) = (slot.get_offset() as usize, slot.get_type().map_err(text)?);
        let default = slot.get_default_value().map_err(text)?.which().map_err(text)?;
        Ok(match (of.which().map_err(text)?, default) {
            (type_::Void(()), _) => Value::Null,
            (type_::Bool(()), Default::Bool(it)) => reader.get_bool_field_mask(at, it).into(),
            (type_::Int8(()), Default::Int8(it)) => reader.get_data_field_mask::<i8>(at, it).into(),
            (type_::Int16(()), Default::Int16(it)) => {
                reader.get_data_field_mask::<i16>(at, it).into()
            }
            (type_::Int32(()), Default::Int32(it)) => {
                reader.get_data_field_mask::<i32>(at, it).into()
            }
            (type_::Int64(()), Default::Int64(it)) => {
                long(reader.get_data_field_mask::<i64>(at, it))
            }
            (type_::Uint8(()), Default::Uint8(it)) => {
                reader.get_data_field_mask::<u8>(at, it).into()
            }
            (type_::Uint16(()), Default::Uint16(it)) => {
                reader.get_data_field_mask::<u16>(at, it).into()
            }
            (type_::Uint32(()), Default::Uint32(it)) => {
                reader.get_data_field_mask::<u32>(at, it).into()
            }
            (type_::Uint64(()), Default::Uint64(it)) => {
                long(reader.get_data_field_mask::<u64>(at, it))
            }
            (type_::Float32(()), Default::Float32(it)) => {
                float(reader.get_data_field_mask::<f32>(at, it.to_bits()).into())
            }
            (type_::Float64(()), Default::Float64(it)) => {
                float(reader.get_data_field_mask::<f64>(at, it.to_bits()))
            }
            (type_::Enum(of), Default::Enum(it)) => {
                self.enumerant(reader.get_data_field_mask::<u16>(at, it), of.get_type_id())?
            }
            (_, default) => {
                let pointer = or_default(reader.get_pointer_field(at), &default);
                if let (true, Default::Text(Ok(text))) = (pointer.is_null(), &default) {
                    return Ok(text.to_str().map_err(self::text)?.into());
                }
                self.pointer(pointer, of)?
            }
        })
    }

    fn pointer(
        &mut self,
        pointer: PointerReader<'_>,
        of: type_::Reader<'_>,
    ) -> Result<Value, Problem> {
        if pointer.is_null() {
            return Ok(Value::Null);
        }
        Ok(match of.which().map_err(text)? {
            type_::Text(()) => pointer.get_text(None).map_err(text)?.to_str().map_err(text)?.into(),
            type_::Data(()) => data(pointer.get_data(None).map_err(text)?),
            type_::Struct(of) => {
                self.structure(pointer.get_struct(None).map_err(text)?, of.get_type_id())?
            }
            type_::List(of) => self.list(pointer, of.get_element_type().map_err(text)?)?,
            type_::Interface(of) => self.capability(&pointer, Some(of.get_type_id()))?,
            // A type of its own has no JSON, unless it is a capability.
            _ => match pointer.get_pointer_type().map_err(text)? {
                PointerType::Capability => self.capability(&pointer, None)?,
                _ => Value::Null,
            },
        })
    }

    fn capability(
        &mut self,
        pointer: &PointerReader<'_>,
        interface: Option<u64>,
    ) -> Result<Value, Problem> {
        let hook = pointer.get_capability().map_err(text)?;
        Ok(slot::index_of(&*hook).map_or(Value::Null, |index| (self.hand_out)(index, interface)))
    }

    fn list(
        &mut self,
        pointer: PointerReader<'_>,
        of: type_::Reader<'_>,
    ) -> Result<Value, Problem> {
        if let type_::Struct(of) = of.which().map_err(text)? {
            let list = struct_list::Reader::<AnyStruct>::get_from_pointer(&pointer, None);
            let list = list.map_err(text)?;
            let all = list.iter().map(|StructElement(it)| self.structure(it, of.get_type_id()));
            return all.collect::<Result<Vec<_>, _>>().map(Value::Array);
        }
        let list = |size| pointer.get_list(size, None).map_err(text);
        Ok(match of.which().map_err(text)? {
            type_::Void(()) => elements::<()>(&list(<()>::element_size())?, |()| Value::Null),
            type_::Bool(()) => elements::<bool>(&list(bool::element_size())?, Value::from),
            type_::Int8(()) => elements::<i8>(&list(i8::element_size())?, Value::from),
            type_::Int16(()) => elements::<i16>(&list(i16::element_size())?, Value::from),
            type_::Int32(()) => elements::<i32>(&list(i32::element_size())?, Value::from),
            type_::Int64(()) => elements::<i64>(&list(i64::element_size())?, long),
            type_::Uint8(()) => elements::<u8>(&list(u8::element_size())?, Value::from),
            type_::Uint16(()) => elements::<u16>(&list(u16::element_size())?, Value::from),
            type_::Uint32(()) => elements::<u32>(&list(u32::element_size())?, Value::from),
            type_::Uint64(()) => elements::<u64>(&list(u64::element_size())?, long),
            type_::Float32(()) => {
                elements::<f32>(&list(f32::element_size())?, |it| float(it.into()))
            }
            type_::Float64(()) => elements::<f64>(&list(f64::element_size())?, float),
            type_::Enum(of) => {
                let list = list(u16::element_size())?;
                let all =
                    (0..list.len()).map(|at| self.enumerant(u16::get(&list, at), of.get_type_id()));
                Value::Array(all.collect::<Result<_, _>>()?)
            }
            _ => {
                // The crate has lists of pointers for each kind; that of any pointer shows them all.
                let list = capnp::any_pointer_list::Reader::get_from_pointer(&pointer, None);
                let mut all = Vec::new();
                for element in list.map_err(text)?.iter() {
                    let RawReader(pointer) = element.map_err(text)?.get_as().map_err(text)?;
                    all.push(self.pointer(pointer, of)?);
                }
                Value::Array(all)
            }
        })
    }

    fn enumerant(&self, value: u16, id: u64) -> Result<Value, Problem> {
        let node = self.schema.node(id)?;
        let Ok(node::Enum(node)) = node.which() else { return Err(format!("{id:#x} is no enum")) };
        let enumerants = node.get_enumerants().map_err(text)?;
        if u32::from(value) >= enumerants.len() {
            return Ok(value.into());
        }
        let name = enumerants.get(value.into()).get_name().map_err(text)?;
        Ok(name.to_str().map_err(text)?.into())
    }
}

/// The pointer, or the one to the default if it is null and there is one.
fn or_default<'a>(
    pointer: PointerReader<'a>,
    default: &value::WhichReader<'a>,
) -> PointerReader<'a> {
    let default = match default {
        value::Struct(it) | value::List(it) | value::AnyPointer(it) if pointer.is_null() => it,
        _ => return pointer,
    };
    default.get_as().map_or(pointer, |RawReader(default)| default)
}

fn elements<T: PrimitiveElement>(list: &ListReader<'_>, make: impl Fn(T) -> Value) -> Value {
    Value::Array((0..list.len()).map(|at| make(T::get(list, at))).collect())
}

/// JavaScript's numbers are exact to 53 bits.
fn long(value: impl ToString + Copy) -> Value {
    json!({ "$int": value.to_string() })
}

fn float(value: f64) -> Value {
    if value.is_finite() {
        return value.into();
    }
    let name = match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "Infinity",
        _ => "-Infinity",
    };
    json!({ "$float": name })
}

fn data(bytes: &[u8]) -> Value {
    json!({ "$data": Base64::encode_string(bytes) })
}
