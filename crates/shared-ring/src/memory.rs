//! Memory: what a ring asks of memory that another side reads and writes at the same time.

/// Memory that another side reads and writes at the same time.
///
/// Offsets are in bytes from the control page's first; callers stay within [`bytes`](Self::bytes) and align words. Nothing
/// here gives a reference into the memory: what is in it may change under whoever looks.
pub trait SharedMemory {
    /// How many bytes there are.
    fn bytes(&self) -> usize;

    /// A word of 32 bits, read once; what the other side wrote before it stored that word is seen afterwards (acquire).
    fn load_word(&self, offset: usize) -> u32;

    /// Writes a word of 32 bits at once, after everything that was written before (release).
    fn store_word(&self, offset: usize, word: u32);

    /// A byte, read once (acquire).
    fn load_byte(&self, offset: usize) -> u8;

    /// Writes a byte (release).
    fn store_byte(&self, offset: usize, byte: u8);

    /// Sets bits of a byte, the others being left as they are: one step, in one order with all such steps
    /// (sequentially consistent).
    fn set_bits(&self, offset: usize, bits: u8);

    /// Clears bits of a byte, in the same way; what the byte was.
    fn clear_bits(&self, offset: usize, bits: u8) -> u8;

    /// Copies bytes out. They may be a mixture of what the other side writes meanwhile, but do not change afterwards.
    fn copy_out(&self, offset: usize, into: &mut [u8]);

    /// Copies bytes in.
    fn copy_in(&self, offset: usize, bytes: &[u8]);
}
