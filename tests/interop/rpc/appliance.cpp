// What the appliance's RPC port serves, from C++: `appliance ADDRESS` ends with "all checked". `appliance serve ADDRESS` serves
// a calculator that sends bytes back in reverse.
// Built by
//   capnp compile -oc++ --src-prefix=kernel-app/schema kernel-app/schema/appliance.capnp
//   g++ -std=c++17 appliance.cpp appliance.capnp.c++ -lcapnp-rpc -lcapnp -lkj-async -lkj
#include "appliance.capnp.h"

#include <capnp/ez-rpc.h>
#include <capnp/message.h>
#include <kj/debug.h>
#include <iostream>

namespace {

constexpr unsigned LARGE_BYTES = 10u << 20;
constexpr unsigned MANY_CAPS = 1000;
// Questions after which what happened elsewhere must have come through.
constexpr unsigned PATIENCE_CALLS = 100000;

using Type = kj::Exception::Type;
using Values = kj::Array<Calculator::Value::Client>;

capnp::ReaderOptions largeMessages() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 64u << 20;
  return options;
}

class ValueImpl final : public Calculator::Value::Server {
 public:
  explicit ValueImpl(double number) : number_(number) {}

  kj::Promise<void> read(ReadContext context) override {
    context.getResults().setNumber(number_);
    return kj::READY_NOW;
  }

 private:
  double number_;
};

class Multiply final : public Calculator::Function::Server {
 public:
  kj::Promise<void> call(CallContext context) override {
    double product = 1;
    for (auto operand : context.getParams().getOperands()) product *= operand;
    context.getResults().setNumber(product);
    return kj::READY_NOW;
  }
};

class Reversing final : public Calculator::Server {
 public:
  kj::Promise<void> echo(EchoContext context) override {
    auto data = context.getParams().getData();
    auto reversed = context.getResults().initData(data.size());
    for (size_t at = 0; at < data.size(); at++) reversed[data.size() - 1 - at] = data[at];
    return kj::READY_NOW;
  }
};

// A function of ours that does not return, and what became of it.
struct State {
  bool called = false;
  bool cancelled = false;
};

class Never final : public Calculator::Function::Server {
 public:
  explicit Never(State& state) : state_(state) {}

  kj::Promise<void> call(CallContext context) override {
    context.allowCancellation();
    state_.called = true;
    auto& state = state_;
    return kj::Promise<void>(kj::NEVER_DONE).attach(kj::defer([&state] {
      state.cancelled = true;
    }));
  }

 private:
  State& state_;
};

class Fails final : public Calculator::Function::Server {
 public:
  explicit Fails(Type type) : type_(type) {}

  kj::Promise<void> call(CallContext) override {
    return kj::Exception(type_, __FILE__, __LINE__, kj::str("as asked"));
  }

 private:
  Type type_;
};

// What a client calls.
class Checks {
 public:
  Checks(const char* address, Directory::Client directory, kj::WaitScope& wait)
      : address_(address),
        directory_(directory),
        calculator_(service(directory, "calculator").castAs<Calculator>()),
        wait_(wait) {}

  void all() {
    pipelining();
    callbacks();
    errors();
    cancellation();
    largeMessages();
    capabilities();
    disconnect();
    std::cout << "all checked" << std::endl;
  }

 private:
  static capnp::Capability::Client service(Directory::Client directory, const char* name) {
    auto request = directory.getRequest();
    request.setName(name);
    return request.send().getService();
  }

  static Calculator::Value::Client value(Calculator::Client calculator, double number) {
    auto request = calculator.valueRequest();
    request.setNumber(number);
    return request.send().getValue();
  }

  Calculator::Value::Client value(double number) { return value(calculator_, number); }

  Calculator::Function::Client add() {
    auto request = calculator_.functionRequest();
    request.setOperator(Calculator::Operator::ADD);
    return request.send().getFunction();
  }

  static capnp::RemotePromise<Calculator::ApplyResults> apply(
      Calculator::Client calculator, Calculator::Function::Client function,
      Values operands) {
    auto request = calculator.applyRequest();
    request.setFunction(function);
    auto list = request.initOperands(operands.size());
    for (unsigned i = 0; i < operands.size(); i++) list.set(i, operands[i]);
    return request.send();
  }

  static Values one(Calculator::Value::Client value) {
    auto values = kj::heapArrayBuilder<Calculator::Value::Client>(1);
    values.add(value);
    return values.finish();
  }

  static Values two(Calculator::Value::Client first, Calculator::Value::Client second) {
    auto values = kj::heapArrayBuilder<Calculator::Value::Client>(2);
    values.add(first);
    values.add(second);
    return values.finish();
  }

  double read(Calculator::Value::Client value) {
    return value.readRequest().send().wait(wait_).getNumber();
  }

  // Lets time pass, as the other side sees it.
  void until(const bool& fact) {
    for (unsigned i = 0; i < PATIENCE_CALLS && !fact; i++) read(value(0));
    KJ_ASSERT(fact, "it did not come through");
  }

  template <typename Call>
  void refused(Call&& call, Type type) {
    KJ_IF_MAYBE(exception, kj::runCatchingExceptions([&] { call.wait(wait_); })) {
      KJ_ASSERT(exception->getType() == type, *exception);
    } else {
      KJ_FAIL_ASSERT("no exception");
    }
  }

  void pipelining() {
    auto sum = value(1);
    for (unsigned i = 0; i < 50; i++) sum = apply(calculator_, add(), two(sum, value(2))).getValue();
    KJ_ASSERT(read(sum) == 101);
    std::cout << "pipelining: ok" << std::endl;
  }

  void callbacks() {
    Calculator::Function::Client ours = kj::heap<Multiply>();
    KJ_ASSERT(read(apply(calculator_, ours, two(value(6), value(7))).getValue()) == 42);
    std::cout << "callbacks: ok" << std::endl;
  }

  // Of the appliance's own making, and ours that it passes on.
  void errors() {
    refused(apply(calculator_, add(), nullptr), Type::FAILED);
    auto many = calculator_.valuesRequest();
    many.initNumbers(2000);
    refused(many.send(), Type::OVERLOADED);
    auto wrong = capnp::Capability::Client(calculator_).castAs<Admin>();
    refused(wrong.statusRequest().send(), Type::UNIMPLEMENTED);
    for (auto type : {Type::FAILED, Type::OVERLOADED, Type::DISCONNECTED, Type::UNIMPLEMENTED}) {
      refused(apply(calculator_, kj::heap<Fails>(type), one(value(1))), type);
    }
    std::cout << "errors: ok" << std::endl;
  }

  void cancellation() {
    State state;
    {
      auto call = apply(calculator_, kj::heap<Never>(state), one(value(1)));
      until(state.called);
    }
    until(state.cancelled);
    std::cout << "cancellation: ok" << std::endl;
  }

  void largeMessages() {
    auto request = calculator_.echoRequest();
    auto data = request.initData(LARGE_BYTES);
    for (unsigned i = 0; i < LARGE_BYTES; i++) data[i] = i % 251;
    auto answer = request.send().wait(wait_);
    auto echoed = answer.getData();
    KJ_ASSERT(echoed.size() == LARGE_BYTES);
    for (unsigned i = 0; i < LARGE_BYTES; i++) KJ_ASSERT(echoed[i] == i % 251);
    std::cout << "10 MB: ok" << std::endl;
  }

  void capabilities() {
    auto request = calculator_.valuesRequest();
    auto numbers = request.initNumbers(MANY_CAPS);
    for (unsigned i = 0; i < MANY_CAPS; i++) numbers.set(i, 1);
    auto answer = request.send().wait(wait_);
    auto theirs = kj::heapArrayBuilder<Calculator::Value::Client>(MANY_CAPS);
    auto ours = kj::heapArrayBuilder<Calculator::Value::Client>(MANY_CAPS);
    for (auto value : answer.getValues()) theirs.add(value);
    for (unsigned i = 0; i < MANY_CAPS; i++) ours.add(kj::heap<ValueImpl>(2));
    KJ_ASSERT(read(apply(calculator_, add(), theirs.finish()).getValue()) == MANY_CAPS);
    KJ_ASSERT(read(apply(calculator_, add(), ours.finish()).getValue()) == 2 * MANY_CAPS);
    std::cout << "capabilities: ok" << std::endl;
  }

  // Another connection breaks while the appliance is at work for it.
  void disconnect() {
    State state;
    {
      capnp::EzRpcClient other(address_, 0, ::largeMessages());
      auto calculator = service(other.getMain<Directory>(), "calculator").castAs<Calculator>();
      auto call = apply(calculator, kj::heap<Never>(state), one(value(calculator, 1)));
      until(state.called);
    }
    auto admin = service(directory_, "admin").castAs<Admin>();
    for (unsigned i = 0;; i++) {
      KJ_ASSERT(i < PATIENCE_CALLS, "the connection is not given up");
      auto answer = admin.countersRequest().send().wait(wait_);
      uint64_t connections = 0;
      for (auto counter : answer.getCounters()) {
        // In the clear, or by TLS through a proxy.
        bool isRpc = counter.getLabels() == "service=\"rpc\"" || counter.getLabels() == "service=\"vats\"";
        if (counter.getName() == "connections" && isRpc) connections += counter.getValue();
        if (counter.getName() == "task_panics") KJ_ASSERT(counter.getValue() == 0);
      }
      if (connections == 1) break;
    }
    std::cout << "disconnect: ok" << std::endl;
  }

  const char* address_;
  Directory::Client directory_;
  Calculator::Client calculator_;
  kj::WaitScope& wait_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && kj::StringPtr(argv[1]) == "serve") {
    capnp::EzRpcServer server(kj::heap<Reversing>(), argv[2]);
    kj::NEVER_DONE.wait(server.getWaitScope());
  }
  if (argc != 2) {
    std::cerr << "usage: appliance [serve] ADDRESS" << std::endl;
    return 2;
  }
  capnp::EzRpcClient client(argv[1], 0, largeMessages());
  Checks(argv[1], client.getMain<Directory>(), client.getWaitScope()).all();
  return 0;
}
