@0x8419d87ac6b4fb10;
# A network as objects, in the manner of MirageOS's signatures: what one appliance exports, another
# uses as its own. How an operation went is a result; the exception `disconnected` means that the
# connection to the object is lost.

struct Outcome {
  union {
    ok @0 :Void;
    # This side ended it before.
    closed @1 :Void;
    error @2 :Failure;
  }

  enum Failure {
    reset @0;
    timedOut @1;
    # The network below is down.
    down @2;
  }
}

# The directions of a byte stream are two objects: a write that waits holds back what is called after it
# on its object, and must not hold back reads. A flow of which both are released before it was closed is aborted.

interface Reader {
  # Waits for bytes, at most so many; `closed` when the other end finished. One at a time.
  read @0 (bytesMax :UInt32) -> (outcome :Outcome, data :Data);
  # Ends both directions at once, whatever waits in the other; the other end sees a reset.
  abort @1 () -> stream;
}

interface Writer {
  # Fails when the flow can take no more; `drain` then says why.
  write @0 (data :Data) -> stream;
  # Ends our direction after all writes before; reading goes on.
  close @1 () -> stream;
  # Ready when all writes before, and the end, were taken over by the other end's transport.
  drain @2 () -> (outcome :Outcome);
}

struct Opened {
  reader @0 :Reader;
  writer @3 :Writer;
  # The addresses of the other end and of this one, as text.
  peer @1 :Text;
  local @2 :Text;
}

interface Listener {
  # The next flow that somebody opened; `closed` or an error ends the listener. One at a time.
  accept @0 () -> (outcome :Outcome, opened :Opened);
  local @1 () -> (local :Text);
}

interface Connector {
  # "ADDRESS:PORT" or "NAME:PORT".
  connect @0 (target :Text) -> (failure :ConnectFailure, opened :Opened);
}

enum ConnectFailure {
  none @0;
  refused @1;
  timedOut @2;
  unreachable @3;
  notFound @4;
  exhausted @5;
  notAllowed @6;
}

# A network that others use, as far as it lets them.
interface Network {
  # At a port of all its addresses. Who listened there before by the same key gives way.
  listen @0 (port :UInt16) -> (failure :ListenFailure, listener :Listener);
  connector @1 () -> (connector :Connector);
}

enum ListenFailure {
  none @0;
  notAllowed @1;
  # Another listens there.
  inUse @2;
}

struct Setting {
  union {
    absent @0 :Void;
    value @1 :Data;
  }
}

# Settings by name. What a table does not take for its size fails as overloaded.
interface Conf {
  read @0 (key :Text) -> (setting :Setting);
  write @1 (key :Text, value :Data) -> ();
  delete @2 (key :Text) -> (existed :Bool);
  # Until the watch is released.
  watch @3 (key :Text) -> (watch :Watch);
}

interface Watch {
  # At first the setting as it is; then waits until it changed. Several changes may be one.
  next @0 () -> (setting :Setting);
}
