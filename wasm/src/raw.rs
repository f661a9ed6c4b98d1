//! Pointers, structs and lists of structs whose types are known by a schema at run time: what the `capnp` crate's generated
//! code is given for types that it knows at compile time.

use capnp::Word;
use capnp::introspect::{Introspect, Type, TypeVariant};
use capnp::private::layout::{
    PointerBuilder, PointerReader, StructBuilder, StructReader, StructSize,
};
use capnp::traits::{
    FromPointerBuilder, FromPointerReader, HasStructSize, IntoInternalStructReader, OwnedStruct,
    SetterInput,
};

/// Where a pointer is read.
pub(crate) struct RawReader<'a>(pub(crate) PointerReader<'a>);

/// Where a pointer is written.
pub(crate) struct RawBuilder<'a>(pub(crate) PointerBuilder<'a>);

/// A struct of any type, as an element of a list.
pub(crate) struct AnyStruct;

pub(crate) struct StructElement<'a>(pub(crate) StructReader<'a>);

pub(crate) struct StructElementBuilder<'a>(pub(crate) StructBuilder<'a>);

impl<'a> FromPointerReader<'a> for RawReader<'a> {
    fn get_from_pointer(
        reader: &PointerReader<'a>,
        _default: Option<&'a [Word]>,
    ) -> capnp::Result<Self> {
        Ok(Self(*reader))
    }
}

impl<'a> FromPointerBuilder<'a> for RawBuilder<'a> {
    fn init_pointer(builder: PointerBuilder<'a>, _length: u32) -> Self {
        Self(builder)
    }

    fn get_from_pointer(
        builder: PointerBuilder<'a>,
        _default: Option<&'a [Word]>,
    ) -> capnp::Result<Self> {
        Ok(Self(builder))
    }
}

impl Introspect for AnyStruct {
    fn introspect() -> Type {
        // The schema is known elsewhere, and nobody asks here.
        TypeVariant::AnyPointer.into()
    }
}

impl OwnedStruct for AnyStruct {
    type Reader<'a> = StructElement<'a>;
    type Builder<'a> = StructElementBuilder<'a>;
}

impl<'a> From<StructReader<'a>> for StructElement<'a> {
    fn from(reader: StructReader<'a>) -> Self {
        Self(reader)
    }
}

impl<'a> IntoInternalStructReader<'a> for StructElement<'a> {
    fn into_internal_struct_reader(self) -> StructReader<'a> {
        self.0
    }
}

impl SetterInput<AnyStruct> for StructElement<'_> {
    fn set_pointer_builder(
        mut builder: PointerBuilder<'_>,
        input: Self,
        canonicalize: bool,
    ) -> capnp::Result<()> {
        builder.set_struct(&input.0, canonicalize)
    }
}

impl<'a> From<StructBuilder<'a>> for StructElementBuilder<'a> {
    fn from(builder: StructBuilder<'a>) -> Self {
        Self(builder)
    }
}

impl HasStructSize for StructElementBuilder<'_> {
    // Lists are made with the size that their schema says.
    const STRUCT_SIZE: StructSize = StructSize { data: 0, pointers: 0 };
}
