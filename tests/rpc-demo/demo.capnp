@0xe3a6c1b5f0d24c77;
# A service that shows every part of the protocol; C++ and Python peers use it too.

interface Demo {
  empty @0 ();
  echo @1 (data :Data) -> (data :Data);
  child @2 (name :Text) -> (child :Demo);
  name @3 () -> Named;
  # Calls `to.name()` so many times, and answers with the last name.
  callBack @4 (to :Demo, times :UInt32) -> (name :Text);
  # 0 failed, 1 overloaded, 2 disconnected, 3 unimplemented.
  fail @5 (kind :UInt16);
  # Does not return.
  never @6 ();
  # How many calls of `never` were cancelled.
  cancelled @7 () -> (count :UInt32);
  many @8 (count :UInt32) -> (caps :List(Demo));
  # Calls `name()` on each.
  count @9 (caps :List(Demo)) -> (count :UInt32);
  push @10 (data :Data) -> stream;
  pushed @11 () -> (bytes :UInt64);
  # Answers with what `to.name()` answers.
  tail @12 (to :Demo) -> Named;
  # Ends the server's process without an answer.
  hangUp @13 ();

  struct Named {
    name @0 :Text;
  }
}
