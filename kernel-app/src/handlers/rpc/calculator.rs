//! A sample service: calls to results that are not there yet, and calls back to the caller.

use crate::appliance_capnp::calculator::{self, Operator, function, value};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use capnp::Error;
use capnp::capability::FromClientHook;
use endpoints::rpc::Rpc;

/// Operands or values of one call; each operand costs a call of its own, each value an object.
const OPERANDS_MAX: u32 = 1024;

/// Makes values and functions.
pub(super) struct Calculator {
    rpc: Rpc,
}

impl Calculator {
    pub(super) fn new(rpc: &Rpc) -> Self {
        Self { rpc: rpc.clone() }
    }
}

impl calculator::Server for Calculator {
    async fn value(
        self: Rc<Self>,
        params: calculator::ValueParams,
        mut results: calculator::ValueResults,
    ) -> Result<(), Error> {
        results.get().set_value(self.rpc.client(Value(params.get()?.get_number())));
        Ok(())
    }

    /// Asks for all operands at once, and then the function.
    async fn apply(
        self: Rc<Self>,
        params: calculator::ApplyParams,
        mut results: calculator::ApplyResults,
    ) -> Result<(), Error> {
        let operands = params.get()?.get_operands()?;
        let count = bounded(operands.len())?;
        let mut reads = Vec::new();
        for operand in operands.iter() {
            reads.push(operand?.read_request().send().promise);
        }
        let mut call = params.get()?.get_function()?.call_request();
        let mut numbers = call.get().init_operands(count);
        for (index, read) in (0..).zip(reads) {
            numbers.set(index, read.await?.get()?.get_number());
        }
        let number = call.send().promise.await?.get()?.get_number();
        results.get().set_value(self.rpc.client(Value(number)));
        Ok(())
    }

    async fn values(
        self: Rc<Self>,
        params: calculator::ValuesParams,
        mut results: calculator::ValuesResults,
    ) -> Result<(), Error> {
        let numbers = params.get()?.get_numbers()?;
        let mut values = results.get().init_values(bounded(numbers.len())?);
        for (index, number) in (0..).zip(numbers.iter()) {
            let value: value::Client = self.rpc.client(Value(number));
            values.set(index, value.into_client_hook());
        }
        Ok(())
    }

    async fn function(
        self: Rc<Self>,
        params: calculator::FunctionParams,
        mut results: calculator::FunctionResults,
    ) -> Result<(), Error> {
        let function = Function(params.get()?.get_operator()?);
        results.get().set_function(self.rpc.client(function));
        Ok(())
    }

    async fn echo(
        self: Rc<Self>,
        params: calculator::EchoParams,
        mut results: calculator::EchoResults,
    ) -> Result<(), Error> {
        results.get().set_data(params.get()?.get_data()?);
        Ok(())
    }
}

fn bounded(count: u32) -> Result<u32, Error> {
    if count > OPERANDS_MAX {
        return Err(Error::overloaded(format!("{count} at once; at most {OPERANDS_MAX}")));
    }
    Ok(count)
}

struct Value(f64);

impl value::Server for Value {
    async fn read(
        self: Rc<Self>,
        _: value::ReadParams,
        mut results: value::ReadResults,
    ) -> Result<(), Error> {
        results.get().set_number(self.0);
        Ok(())
    }
}

struct Function(Operator);

impl function::Server for Function {
    async fn call(
        self: Rc<Self>,
        params: function::CallParams,
        mut results: function::CallResults,
    ) -> Result<(), Error> {
        let operands = params.get()?.get_operands()?;
        let apply = match self.0 {
            Operator::Add => |a, b| a + b,
            Operator::Subtract => |a, b| a - b,
            Operator::Multiply => |a, b| a * b,
            Operator::Divide => |a, b| a / b,
        };
        let Some(number) = operands.iter().reduce(apply) else {
            return Err(Error::failed("no operands".into()));
        };
        results.get().set_number(number);
        Ok(())
    }
}
