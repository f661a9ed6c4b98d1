# The entry of a sample: what is interrupted may be any code, which goes on with all its registers as they were, those of
# vectors among them, and with interrupts on. It runs on the stack of exceptions. The unwinding rules are those of
# `exception.s`, from the general registers on, at which %rbx points.

        .section .text.sample, "ax"
        .globl interrupt_sample
interrupt_sample:
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa %rbx, 176
        .cfi_offset %rip, -40
        .cfi_offset %rsp, -16
        .cfi_offset %rbx, -168
        .cfi_offset %rbp, -128
        .cfi_offset %r12, -88
        .cfi_offset %r13, -80
        .cfi_offset %r14, -72
        .cfi_offset %r15, -64
        subq $136, %rsp
        movq %rax, 0(%rsp)
        movq %rbx, 8(%rsp)
        movq %rcx, 16(%rsp)
        movq %rdx, 24(%rsp)
        movq %rsi, 32(%rsp)
        movq %rdi, 40(%rsp)
        movq %rbp, 48(%rsp)
        movq %r8, 56(%rsp)
        movq %r9, 64(%rsp)
        movq %r10, 72(%rsp)
        movq %r11, 80(%rsp)
        movq %r12, 88(%rsp)
        movq %r13, 96(%rsp)
        movq %r14, 104(%rsp)
        movq %r15, 112(%rsp)
        cld
        movq %rsp, %rbx
        subq $832, %rsp                 # x87, SSE and the header: 576 bytes; AVX: 256
        andq $-64, %rsp
        movq %cr4, %rax
        testl $0x40000, %eax            # OSXSAVE: `machine` has turned AVX on
        jz 1f
        xorl %eax, %eax
        movq %rax, 512(%rsp)            # what XSAVE leaves of the header has to be zero
        movq %rax, 520(%rsp)
        movq %rax, 528(%rsp)
        movq %rax, 536(%rsp)
        movq %rax, 544(%rsp)
        movq %rax, 552(%rsp)
        movq %rax, 560(%rsp)
        movq %rax, 568(%rsp)
        movl $7, %eax
        xorl %edx, %edx
        xsave64 (%rsp)
        call sample_taken
        movl $7, %eax
        xorl %edx, %edx
        xrstor64 (%rsp)
        jmp 2f
1:      fxsave64 (%rsp)
        call sample_taken
        fxrstor64 (%rsp)
2:      movq %rbx, %rsp
        movq 0(%rsp), %rax
        movq 8(%rsp), %rbx
        movq 16(%rsp), %rcx
        movq 24(%rsp), %rdx
        movq 32(%rsp), %rsi
        movq 40(%rsp), %rdi
        movq 48(%rsp), %rbp
        movq 56(%rsp), %r8
        movq 64(%rsp), %r9
        movq 72(%rsp), %r10
        movq 80(%rsp), %r11
        movq 88(%rsp), %r12
        movq 96(%rsp), %r13
        movq 104(%rsp), %r14
        movq 112(%rsp), %r15
        addq $136, %rsp
        iretq
        .cfi_endproc
