@0x95c4b1842df01ce3;
# What the appliance's vat serves. Its bootstrap is a Directory of what the peer may have; each service can also be
# restored by its token, and what everybody may have by its name.

interface Directory {
  list @0 () -> (services :List(Entry));
  # Fails for a name that is not in the list.
  get @1 (name :Text) -> (service :Capability);

  struct Entry {
    name @0 :Text;
    # What it is for, in a few words.
    about @1 :Text;
  }
}

# "admin": what the appliance is doing.
interface Admin {
  status @0 () -> Status;
  # At most so many, in no order, and how many there are.
  connections @1 (countMax :UInt32 = 1000) -> (connections :List(Connection), total :UInt32);
  # What happened since the start, and what there is now: the metrics as the admin port has them, without histograms.
  counters @2 () -> (counters :List(Counter));
  # The latest lines of the log, oldest first.
  logTail @3 (linesMax :UInt32 = 100) -> (lines :List(Text));
  # The references of the services that have one. They are secrets.
  references @4 () -> (references :List(Reference));

  struct Status {
    version @0 :Text;
    uptimeNanoseconds @1 :UInt64;
    # Since 1970-01-01 00:00 UTC.
    timeNanoseconds @2 :UInt64;
  }

  struct Connection {
    local @0 :Text;
    peer @1 :Text;
    # The name of RFC 9293.
    state @2 :Text;
    ageNanoseconds @3 :UInt64;
    silentNanoseconds @4 :UInt64;
    bytesIn @5 :UInt64;
    bytesOut @6 :UInt64;
    retransmits @7 :UInt32;
    # Zero before the first measurement.
    roundTripNanoseconds @8 :UInt64;
  }

  struct Reference {
    service @0 :Text;
    reference @1 :Text;
  }

  struct Counter {
    # In snake case, without unit and without a suffix for its kind.
    name @0 :Text;
    # Of a length of time, nanoseconds.
    value @1 :UInt64;
    # Which of several it is, as `service="http"`, with a comma between two; empty for the only one.
    labels @2 :Text;
    # "bytes", "seconds", or empty for things.
    unit @3 :Text;
    # It only grows.
    isCounter @4 :Bool;
    help @5 :Text;
  }
}

# "counters": the same metrics for who may have no more than these, told to an object of the caller's.
interface Counters {
  # Tells the watcher all of them at once, and again after each interval, of at least 100 ms; later if the watcher is behind.
  # Returns when the watcher fails; until then the caller ends it by dropping the call.
  follow @0 (watcher :Watcher, intervalMilliseconds :UInt32 = 1000) -> ();

  interface Watcher {
    update @0 (counters :List(Admin.Counter)) -> stream;
  }
}

# "calculator": a sample. Values and functions are objects, on either side.
interface Calculator {
  value @0 (number :Float64) -> (value :Value);
  # The operands may be values that are still being computed, and the function may be the
  # caller's own.
  apply @1 (function :Function, operands :List(Value)) -> (value :Value);
  function @2 (operator :Operator) -> (function :Function);
  echo @3 (data :Data) -> (data :Data);
  # Many at once.
  values @4 (numbers :List(Float64)) -> (values :List(Value));

  interface Value {
    read @0 () -> (number :Float64);
  }

  interface Function {
    call @0 (operands :List(Float64)) -> (number :Float64);
  }

  enum Operator {
    add @0;
    subtract @1;
    multiply @2;
    divide @3;
  }
}

# "names": who offers what. Who registers has to renew it; who reads is told of what changes.
interface Names {
  # Keeps services for the time of a lease, or longer if they are there already: the time that is given, which may be another.
  # Of those that are refused there is the reason, in the order of the services; it is empty for those that are kept.
  register @0 (services :List(Service), leaseMilliseconds :UInt32) -> (leaseMilliseconds :UInt32, refusals :List(Text));
  # Keeps no longer what this caller has registered.
  withdraw @1 (name :Text, host :Text) -> ();
  watch @2 () -> (watch :Watch);

  interface Watch {
    # What happened since the last call, as soon as something has; the first time all that there is. One call at a time.
    next @0 () -> Changes;
  }

  struct Service {
    name @0 :Text;
    host @1 :Text;
    # Protocol, ways and options, as a line of a file `names` has them.
    description @2 :Text;
  }

  struct Changes {
    # These are all services that there are.
    isAll @0 :Bool;
    offered @1 :List(Offered);
    renewed @2 :List(Renewed);
    dropped @3 :List(UInt64);
  }

  struct Offered {
    # The number of the service with this server, as long as that runs.
    id @0 :UInt64;
    service @1 :Service;
    leftMilliseconds @2 :UInt32;
  }

  struct Renewed {
    id @0 :UInt64;
    leftMilliseconds @1 :UInt32;
  }
}
