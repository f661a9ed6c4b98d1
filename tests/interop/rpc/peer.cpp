// A Cap'n Proto peer in C++, for interoperability tests: `peer serve ADDRESS` serves a Demo,
// `peer check ADDRESS` calls everything of one, and `peer check-failed-only APPLIANCE ADDRESS` does
// so by way of an appliance, to one that has one kind of error only. Built from the schemas
// demo.capnp and appliance.capnp by
//   g++ -std=c++17 peer.cpp demo.capnp.c++ appliance.capnp.c++ -lcapnp-rpc -lcapnp -lkj-async -lkj
#include "appliance.capnp.h"
#include "demo.capnp.h"

#include <capnp/ez-rpc.h>
#include <capnp/message.h>
#include <kj/debug.h>
#include <chrono>
#include <deque>
#include <iostream>
#include <memory>
#include <string>
#include <unistd.h>

namespace {

constexpr unsigned LARGE_BYTES = 10u << 20;
constexpr unsigned MANY_CAPS = 1000;

struct DemoCounts {
  unsigned cancelled = 0;
  uint64_t pushed = 0;
};

// Messages of 10 MB and 1,000 capabilities pass what the readers allow by default.
capnp::ReaderOptions largeMessages() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 64u << 20;
  return options;
}

class DemoImpl final : public Demo::Server {
 public:
  DemoImpl(std::string name, std::shared_ptr<DemoCounts> counters)
      : name_(std::move(name)), counters_(std::move(counters)) {}

  kj::Promise<void> empty(EmptyContext) override { return kj::READY_NOW; }

  kj::Promise<void> echo(EchoContext context) override {
    context.getResults().setData(context.getParams().getData());
    return kj::READY_NOW;
  }

  kj::Promise<void> child(ChildContext context) override {
    context.getResults().setChild(
        kj::heap<DemoImpl>(context.getParams().getName().cStr(), counters_));
    return kj::READY_NOW;
  }

  kj::Promise<void> name(NameContext context) override {
    context.getResults().setName(name_.c_str());
    return kj::READY_NOW;
  }

  kj::Promise<void> callBack(CallBackContext context) override {
    auto params = context.getParams();
    return callBackFrom(context, params.getTo(), params.getTimes());
  }

  kj::Promise<void> fail(FailContext context) override {
    switch (context.getParams().getKind()) {
      case 0: kj::throwFatalException(KJ_EXCEPTION(FAILED, "as asked"));
      case 1: kj::throwFatalException(KJ_EXCEPTION(OVERLOADED, "as asked"));
      case 2: kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "as asked"));
      default: kj::throwFatalException(KJ_EXCEPTION(UNIMPLEMENTED, "as asked"));
    }
  }

  kj::Promise<void> never(NeverContext context) override {
    context.allowCancellation();
    auto counters = counters_;
    return kj::Promise<void>(kj::NEVER_DONE).attach(kj::defer([counters] {
      counters->cancelled++;
    }));
  }

  kj::Promise<void> cancelled(CancelledContext context) override {
    context.getResults().setCount(counters_->cancelled);
    return kj::READY_NOW;
  }

  kj::Promise<void> many(ManyContext context) override {
    auto count = context.getParams().getCount();
    auto caps = context.getResults().initCaps(count);
    for (unsigned i = 0; i < count; i++) {
      caps.set(i, kj::heap<DemoImpl>(std::to_string(i), counters_));
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> count(CountContext context) override {
    auto named = kj::heapArrayBuilder<kj::Promise<void>>(context.getParams().getCaps().size());
    for (auto cap : context.getParams().getCaps()) {
      named.add(cap.nameRequest().send().ignoreResult());
    }
    unsigned total = named.size();
    return kj::joinPromises(named.finish()).then([context, total]() mutable {
      context.getResults().setCount(total);
    });
  }

  kj::Promise<void> push(PushContext context) override {
    counters_->pushed += context.getParams().getData().size();
    return kj::READY_NOW;
  }

  kj::Promise<void> pushed(PushedContext context) override {
    context.getResults().setBytes(counters_->pushed);
    return kj::READY_NOW;
  }

  kj::Promise<void> tail(TailContext context) override {
    return context.tailCall(context.getParams().getTo().nameRequest());
  }

  kj::Promise<void> hangUp(HangUpContext context) override { _exit(0); }

 private:
  kj::Promise<void> callBackFrom(CallBackContext context, Demo::Client to, unsigned times) {
    if (times == 0) return kj::READY_NOW;
    return to.nameRequest().send().then([this, context, to, times](auto answer) mutable {
      context.getResults().setName(answer.getName());
      return callBackFrom(context, to, times - 1);
    });
  }

  std::string name_;
  std::shared_ptr<DemoCounts> counters_;
};

// Whether a call ends, in time, because its connection is gone.
template <typename Call>
bool isDisconnected(Call&& call, kj::WaitScope& wait) {
  KJ_IF_MAYBE(exception, kj::runCatchingExceptions([&] { call.wait(wait); })) {
    return exception->getType() == kj::Exception::Type::DISCONNECTED;
  }
  return false;
}

// Where a Demo is: at an address, or at another that an appliance relays to.
struct Place {
  const char* address;
  const char* relayedTo;

  Demo::Client demo(capnp::EzRpcClient& client) const {
    if (relayedTo == nullptr) return client.getMain<Demo>();
    auto request = client.getMain<Directory>().getRequest();
    request.setName(kj::str("relay ", relayedTo));
    return request.send().getService().castAs<Demo>();
  }
};

// A second connection breaks while the server is at work for it; the first sees that it noticed.
void ourEndInMidCall(Demo::Client demo, const Place& place, kj::WaitScope& wait) {
  auto before = demo.cancelledRequest().send().wait(wait).getCount();
  {
    capnp::EzRpcClient other(place.address, 0, largeMessages());
    auto there = place.demo(other);
    auto call = there.neverRequest().send();
    there.nameRequest().send().wait(wait);
  }
  auto start = std::chrono::steady_clock::now();
  while (demo.cancelledRequest().send().wait(wait).getCount() == before) {
    KJ_ASSERT(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
  }
  std::cout << "our end in mid-call: ok" << std::endl;
}

void theirEndInMidCall(Demo::Client demo, kj::WaitScope& wait) {
  auto never = demo.neverRequest().send();
  demo.nameRequest().send().wait(wait);
  auto last = demo.hangUpRequest().send();
  KJ_ASSERT(isDisconnected(never, wait));
  KJ_ASSERT(isDisconnected(last, wait));
  KJ_ASSERT(isDisconnected(demo.nameRequest().send(), wait));
  std::cout << "their end in mid-call: ok" << std::endl;
}

void check(Demo::Client demo, const Place& place, bool failedOnly, kj::WaitScope& wait) {
  for (unsigned length : {0u, 1u, 1000u, LARGE_BYTES}) {
    auto request = demo.echoRequest();
    auto data = request.initData(length);
    for (unsigned i = 0; i < length; i++) data[i] = i % 251;
    auto response = request.send().wait(wait);
    auto echoed = response.getData();
    KJ_ASSERT(echoed.size() == length);
    for (unsigned i = 0; i < length; i++) KJ_ASSERT(echoed[i] == i % 251);
  }
  std::cout << "echo: ok" << std::endl;

  auto at = demo;
  for (unsigned level = 0; level < 10; level++) {
    auto request = at.childRequest();
    request.setName(("child " + std::to_string(level)).c_str());
    at = request.send().getChild();
  }
  KJ_ASSERT(at.nameRequest().send().wait(wait).getName() == "child 9");
  std::cout << "pipelining: ok" << std::endl;

  auto counters = std::make_shared<DemoCounts>();
  Demo::Client ours = kj::heap<DemoImpl>("called back", counters);
  {
    auto request = demo.callBackRequest();
    request.setTo(ours);
    request.setTimes(5);
    KJ_ASSERT(request.send().wait(wait).getName() == "called back");
  }
  std::cout << "callbacks: ok" << std::endl;

  for (unsigned kind = 0; kind < 4; kind++) {
    auto request = demo.failRequest();
    request.setKind(kind);
    KJ_IF_MAYBE(exception, kj::runCatchingExceptions([&] { request.send().wait(wait); })) {
      unsigned expected = failedOnly ? 0 : kind;
      KJ_ASSERT(static_cast<unsigned>(exception->getType()) == expected, *exception);
    } else {
      KJ_FAIL_ASSERT("no exception", kind);
    }
  }
  std::cout << "errors: ok" << std::endl;

  auto before = demo.cancelledRequest().send().wait(wait).getCount();
  {
    auto call = demo.neverRequest().send();
    demo.nameRequest().send().wait(wait);
  }
  KJ_ASSERT(demo.cancelledRequest().send().wait(wait).getCount() == before + 1);
  std::cout << "cancellation: ok" << std::endl;

  {
    auto request = demo.manyRequest();
    request.setCount(MANY_CAPS);
    auto response = request.send().wait(wait);
    auto caps = response.getCaps();
    KJ_ASSERT(caps.size() == MANY_CAPS);
    auto counting = demo.countRequest();
    auto list = counting.initCaps(2 * MANY_CAPS);
    for (unsigned i = 0; i < MANY_CAPS; i++) {
      list.set(i, caps[i]);
      list.set(MANY_CAPS + i, kj::heap<DemoImpl>("ours", counters));
    }
    KJ_ASSERT(counting.send().wait(wait).getCount() == 2 * MANY_CAPS);
  }
  std::cout << "capabilities: ok" << std::endl;

  auto pushed = demo.pushedRequest().send().wait(wait).getBytes();
  for (unsigned i = 0; i < 100; i++) {
    auto request = demo.pushRequest();
    request.initData(8 << 10);
    request.send().wait(wait);
  }
  KJ_ASSERT(demo.pushedRequest().send().wait(wait).getBytes() - pushed == 100 * (8 << 10));
  std::cout << "streaming: ok" << std::endl;

  {
    auto request = demo.tailRequest();
    request.setTo(ours);
    KJ_ASSERT(request.send().wait(wait).getName() == "called back");
  }
  std::cout << "tail call: ok" << std::endl;
  ourEndInMidCall(demo, place, wait);
  theirEndInMidCall(demo, wait);
  std::cout << "all checked" << std::endl;
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void bench(Demo::Client demo, kj::WaitScope& wait) {
  demo.emptyRequest().send().wait(wait);
  constexpr unsigned CALLS = 100000, IN_FLIGHT = 12, LONE_CALLS = 20000, LARGE_CALLS = 300;
  auto start = std::chrono::steady_clock::now();
  std::deque<kj::Promise<void>> waiting;
  for (unsigned i = 0; i < CALLS; i++) {
    waiting.push_back(demo.emptyRequest().send().ignoreResult());
    if (waiting.size() == IN_FLIGHT) {
      waiting.front().wait(wait);
      waiting.pop_front();
    }
  }
  for (auto& call : waiting) call.wait(wait);
  std::cout << "calls_12_in_flight " << CALLS / since(start) << " per_s" << std::endl;
  start = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < LONE_CALLS; i++) demo.emptyRequest().send().wait(wait);
  std::cout << "lone_call " << since(start) * 1e6 / LONE_CALLS << " us" << std::endl;
  start = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < LARGE_CALLS; i++) {
    auto request = demo.echoRequest();
    request.initData(1 << 20);
    request.send().wait(wait);
  }
  std::cout << "echo_1_mib " << LARGE_CALLS / since(start) << " mib_per_s" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: peer serve|check|check-failed-only|bench ADDRESS [RELAYED_TO]" << std::endl;
    return 2;
  }
  std::string verb = argv[1];
  if (verb == "serve") {
    capnp::EzRpcServer server(
        kj::heap<DemoImpl>("demo", std::make_shared<DemoCounts>()), argv[2], 0, largeMessages());
    auto& wait = server.getWaitScope();
    std::cout << "listening on port " << server.getPort().wait(wait) << std::endl;
    kj::NEVER_DONE.wait(wait);
  }
  capnp::EzRpcClient client(argv[2], 0, largeMessages());
  Place place = {argv[2], argc == 4 ? argv[3] : nullptr};
  auto demo = place.demo(client);
  if (verb == "check") check(demo, place, false, client.getWaitScope());
  if (verb == "check-failed-only") check(demo, place, true, client.getWaitScope());
  if (verb == "bench") bench(demo, client.getWaitScope());
  return 0;
}
