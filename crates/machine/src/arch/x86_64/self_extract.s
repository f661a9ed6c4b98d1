# The image's own unpacking. Position independent, uses no stack and nothing outside of this file: all other code is
# still packed. As few instructions as there can be, since every boot runs them a million times.

        .section .text.boot.unpack, "ax"
        .globl packed_is_whole, unpack

# bool packed_is_whole(const void *from %rdi, const void *end %rsi, const uint64_t sums[4] %rdx)
# Whether the bytes (a multiple of 64, at an address that is one of 16) have these sums: of their words in two lanes,
# and of the sums on the way, so that order counts.
packed_is_whole:
        pxor %xmm0, %xmm0
        pxor %xmm1, %xmm1
1:      .irp n, 0, 16, 32, 48
        paddq \n(%rdi), %xmm0
        paddq %xmm0, %xmm1
        .endr
        addq $64, %rdi
        cmpq %rsi, %rdi
        jb 1b
        movups (%rdx), %xmm2
        pcmpeqd %xmm2, %xmm0
        movups 16(%rdx), %xmm2
        pcmpeqd %xmm2, %xmm1
        pand %xmm1, %xmm0
        pmovmskb %xmm0, %ecx
        xorl %eax, %eax
        cmpl $0xffff, %ecx
        sete %al
        ret

# void *unpack(void *to %rdi, const void *from %rsi, const void *end %rdx)
# Unpacks an LZ4 block (lz4, doc/lz4_Block_format.md) that is known to be whole, and returns the end of what it wrote.
# Copies go by 16 and 32 bytes: up to 32 bytes behind either end are read, or written, too.
unpack:
        movzbl (%rsi), %eax             # a sequence: how many literals, how long a match
        movl %eax, %ecx
        shrl $4, %ecx
        cmpl $15, %ecx
        je unpack_many_literals
        movups 1(%rsi), %xmm0
        movups %xmm0, (%rdi)
        leaq 3(%rsi,%rcx), %rsi         # behind the literals and how far back the match is
        addq %rcx, %rdi
unpack_match:
        cmpq %rdx, %rsi
        ja unpack_end                   # the last sequence has no match
        movzwl -2(%rsi), %r8d
        andl $15, %eax
        cmpl $15, %eax
        je unpack_long_match
        cmpl $16, %r8d
        jb unpack_near_match
        negq %r8
        movups (%rdi,%r8), %xmm0
        movups %xmm0, (%rdi)
        movzwl 16(%rdi,%r8), %ecx
        movw %cx, 16(%rdi)
        leaq 4(%rdi,%rax), %rdi
        jmp unpack
unpack_end:
        movq %rdi, %rax
        ret

unpack_many_literals:
        incq %rsi
        movzbl (%rsi), %r8d
        addq %r8, %rcx
        cmpl $255, %r8d
        je unpack_many_literals
        leaq 3(%rsi,%rcx), %r8
        addq %rdi, %rcx
1:      movups 1(%rsi), %xmm0
        movups 17(%rsi), %xmm1
        movups %xmm0, (%rdi)
        movups %xmm1, 16(%rdi)
        addq $32, %rsi
        addq $32, %rdi
        cmpq %rcx, %rdi
        jb 1b
        movq %r8, %rsi
        movq %rcx, %rdi
        jmp unpack_match

unpack_long_match:
        movzbl (%rsi), %ecx
        incq %rsi
        addq %rcx, %rax
        cmpl $255, %ecx
        je unpack_long_match
        cmpl $16, %r8d
        jb unpack_near_match
        leaq 4(%rdi,%rax), %rcx
        negq %r8
1:      movups (%rdi,%r8), %xmm0
        movups %xmm0, (%rdi)
        addq $16, %rdi
        cmpq %rcx, %rdi
        jb 1b
        movq %rcx, %rdi
        jmp unpack

unpack_near_match:                      # it repeats bytes that it writes itself
        leaq 4(%rdi,%rax), %rcx
        negq %r8
1:      movzbl (%rdi,%r8), %eax
        movb %al, (%rdi)
        incq %rdi
        cmpq %rcx, %rdi
        jb 1b
        jmp unpack
