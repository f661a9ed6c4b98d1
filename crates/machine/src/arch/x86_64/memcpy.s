# void *bytes_copy(void *to %rdi, const void *from %rsi, size_t count %rdx), and so on: the System V
# calling convention; %rax returns `to`. Loads come before stores wherever both ends may overlap, so
# that a short copy is a move.

        .section .text.bytes, "ax"
        .globl bytes_copy, bytes_move, bytes_set, bytes_compare, bytes_length

        .macro copy_512 from
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups \from + 32 * \n(%rsi), %ymm\n
        .endr
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups %ymm\n, \from + 32 * \n(%rdi)
        .endr
        .endm

bytes_move:
        movq %rdi, %rax
        cmpq $64, %rdx
        jbe copy_short
        movq %rdi, %rcx
        subq %rsi, %rcx                 # backward only if `to` lies inside the source
        cmpq %rdx, %rcx
        jb copy_backward
        jmp copy_forward

bytes_copy:
        movq %rdi, %rax
        cmpq $64, %rdx
        ja copy_forward
copy_short:
        cmpq $16, %rdx
        jb copy_under_16
        cmpq $32, %rdx
        ja copy_33_to_64
        movups (%rsi), %xmm0
        movups -16(%rsi,%rdx), %xmm1
        movups %xmm0, (%rdi)
        movups %xmm1, -16(%rdi,%rdx)
        ret
copy_33_to_64:
        movups (%rsi), %xmm0
        movups 16(%rsi), %xmm1
        movups -32(%rsi,%rdx), %xmm2
        movups -16(%rsi,%rdx), %xmm3
        movups %xmm0, (%rdi)
        movups %xmm1, 16(%rdi)
        movups %xmm2, -32(%rdi,%rdx)
        movups %xmm3, -16(%rdi,%rdx)
        ret
copy_under_16:
        cmpq $8, %rdx
        jb copy_under_8
        movq (%rsi), %rcx
        movq -8(%rsi,%rdx), %r8
        movq %rcx, (%rdi)
        movq %r8, -8(%rdi,%rdx)
        ret
copy_under_8:
        cmpq $4, %rdx
        jb copy_under_4
        movl (%rsi), %ecx
        movl -4(%rsi,%rdx), %r8d
        movl %ecx, (%rdi)
        movl %r8d, -4(%rdi,%rdx)
        ret
copy_under_4:
        testq %rdx, %rdx
        jz 1f
        movzbl (%rsi), %ecx
        movzbl -1(%rsi,%rdx), %r8d
        movq %rdx, %r9
        shrq $1, %r9                    # the middle one of three, else one of the two
        movzbl (%rsi,%r9), %r10d
        movb %cl, (%rdi)
        movb %r10b, (%rdi,%r9)
        movb %r8b, -1(%rdi,%rdx)
1:      ret

copy_forward:
        cmpq $512, %rdx
        jae copy_forward_long
copy_forward_64:                        # %rdx above 64: the last 64 are kept for the end
        movups -64(%rsi,%rdx), %xmm4
        movups -48(%rsi,%rdx), %xmm5
        movups -32(%rsi,%rdx), %xmm6
        movups -16(%rsi,%rdx), %xmm7
        leaq (%rdi,%rdx), %r8
1:      movups (%rsi), %xmm0
        movups 16(%rsi), %xmm1
        movups 32(%rsi), %xmm2
        movups 48(%rsi), %xmm3
        movups %xmm0, (%rdi)
        movups %xmm1, 16(%rdi)
        movups %xmm2, 32(%rdi)
        movups %xmm3, 48(%rdi)
        addq $64, %rsi
        addq $64, %rdi
        subq $64, %rdx
        cmpq $64, %rdx
        ja 1b
        movups %xmm4, -64(%r8)
        movups %xmm5, -48(%r8)
        movups %xmm6, -32(%r8)
        movups %xmm7, -16(%r8)
        ret

copy_forward_long:                      # by 2048, then by 512: fewer steps between the moves
        cmpb $0, bytes_have_avx(%rip)
        je copy_forward_64
        cmpq $8192, %rdx                # for less, it takes an emulator longer to learn the large step
        jb 2f
1:      copy_512 0
        copy_512 512
        copy_512 1024
        copy_512 1536
        addq $2048, %rsi
        addq $2048, %rdi
        subq $2048, %rdx
        cmpq $2048, %rdx
        jae 1b
        cmpq $512, %rdx
        jb 3f
2:      copy_512 0
        addq $512, %rsi
        addq $512, %rdi
        subq $512, %rdx
        cmpq $512, %rdx
        jae 2b
3:      vzeroupper
        cmpq $64, %rdx
        jbe copy_short
        jmp copy_forward_64

copy_backward:                          # %rdx above 64: the first 64 are kept for the end
        movups (%rsi), %xmm4
        movups 16(%rsi), %xmm5
        movups 32(%rsi), %xmm6
        movups 48(%rsi), %xmm7
1:      movups -64(%rsi,%rdx), %xmm0
        movups -48(%rsi,%rdx), %xmm1
        movups -32(%rsi,%rdx), %xmm2
        movups -16(%rsi,%rdx), %xmm3
        movups %xmm0, -64(%rdi,%rdx)
        movups %xmm1, -48(%rdi,%rdx)
        movups %xmm2, -32(%rdi,%rdx)
        movups %xmm3, -16(%rdi,%rdx)
        subq $64, %rdx
        cmpq $64, %rdx
        ja 1b
        movups %xmm4, (%rdi)
        movups %xmm5, 16(%rdi)
        movups %xmm6, 32(%rdi)
        movups %xmm7, 48(%rdi)
        ret

bytes_set:
        movq %rdi, %rax
        movzbl %sil, %ecx
        movabsq $0x0101010101010101, %r8
        imulq %r8, %rcx
        cmpq $16, %rdx
        jb set_under_16
        movq %rcx, %xmm0
        punpcklqdq %xmm0, %xmm0
        leaq (%rdi,%rdx), %r8
        movups %xmm0, -16(%r8)
        cmpq $512, %rdx
        jae set_long
set_64: cmpq $64, %rdx
        jb 2f
1:      movups %xmm0, (%rdi)
        movups %xmm0, 16(%rdi)
        movups %xmm0, 32(%rdi)
        movups %xmm0, 48(%rdi)
        addq $64, %rdi
        subq $64, %rdx
        cmpq $64, %rdx
        jae 1b
2:      cmpq $16, %rdx
        jb 3f
        movups %xmm0, (%rdi)
        addq $16, %rdi
        subq $16, %rdx
        jmp 2b
3:      ret
set_long:
        cmpb $0, bytes_have_avx(%rip)
        je set_64
        vinsertf128 $1, %xmm0, %ymm0, %ymm0
1:
        .set at, 0
        .rept 16
        vmovups %ymm0, at(%rdi)
        .set at, at + 32
        .endr
        addq $512, %rdi
        subq $512, %rdx
        cmpq $512, %rdx
        jae 1b
        vzeroupper
        jmp set_64
set_under_16:
        cmpq $8, %rdx
        jb 1f
        movq %rcx, (%rdi)
        movq %rcx, -8(%rdi,%rdx)
        ret
1:      cmpq $4, %rdx
        jb 2f
        movl %ecx, (%rdi)
        movl %ecx, -4(%rdi,%rdx)
        ret
2:      testq %rdx, %rdx
        jz 3f
        movb %cl, (%rdi)
        movb %cl, -1(%rdi,%rdx)
        shrq $1, %rdx
        movb %cl, (%rdi,%rdx)
3:      ret

bytes_compare:
        cmpq $16, %rdx
        jb 2f
1:      movups (%rdi), %xmm0
        movups (%rsi), %xmm1
        pcmpeqb %xmm1, %xmm0
        pmovmskb %xmm0, %ecx
        xorl $0xffff, %ecx
        jnz 5f
        addq $16, %rdi
        addq $16, %rsi
        subq $16, %rdx
        cmpq $16, %rdx
        jae 1b
2:      cmpq $8, %rdx
        jb 3f
        movq (%rdi), %rax
        movq (%rsi), %rcx
        cmpq %rcx, %rax
        jne 6f
        addq $8, %rdi
        addq $8, %rsi
        subq $8, %rdx
3:      testq %rdx, %rdx
        jz 4f
        movzbl (%rdi), %eax
        movzbl (%rsi), %ecx
        incq %rdi
        incq %rsi
        decq %rdx
        subl %ecx, %eax
        jz 3b
        ret
4:      xorl %eax, %eax
        ret
5:      bsfl %ecx, %ecx
        movzbl (%rdi,%rcx), %eax
        movzbl (%rsi,%rcx), %edx
        subl %edx, %eax
        ret
6:      bswapq %rax                     # the first byte decides
        bswapq %rcx
        cmpq %rcx, %rax
        sbbl %eax, %eax
        orl $1, %eax
        ret

bytes_length:
        movq %rdi, %rax
1:      cmpb $0, (%rax)
        je 2f
        incq %rax
        jmp 1b
2:      subq %rdi, %rax
        ret

        .section .data.bytes, "aw"
        .globl bytes_have_avx
bytes_have_avx:
        .byte 0
