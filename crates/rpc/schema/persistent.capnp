@0xc54937ec7f43ab3f;
# Persistent objects (level 2): they tell the reference that leads to them also after their connection has ended.
#
# On the wire this is `Persistent` of Cap'n Proto's own persistent.capnp, whose type parameters are pointers of any kind.
# A reference here is a Text, as sturdy.rs reads and prints it; mirage/capnp-rpc does the same.

interface Persistent @0xc8cb212fcd9f5691 {
  save @0 SaveParams -> SaveResults;

  struct SaveParams {
    sealFor @0 :AnyPointer;
    # For whom; nobody in particular here, since a reference is good for whoever knows it.
  }

  struct SaveResults {
    sturdyRef @0 :AnyPointer;
  }
}
