@0xc1a2e77b7d1d3a55;
# What the simulation's calls and results carry.

struct Probe {
  stream @0 :UInt64;  # The reference that it was sent through.
  number @1 :UInt64;  # Counts the calls sent through it.
  call @2 :UInt64;    # The call, for the shadow.
  a @3 :AnyPointer;
  b @4 :AnyPointer;
  c @5 :AnyPointer;
}
