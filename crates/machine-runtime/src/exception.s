# Exception entries. Exceptions run on a stack of their own (the code they interrupt may use the red zone, and its
# stack may be what is broken) and end in Rust. The unwinding rules let a backtrace go on through
# the interrupted code.

        .altmacro
        .macro exception_entry vector, has_code
exception_\vector:
        .if \has_code == 0
        pushq $0
        .endif
        pushq $\vector
        jmp exception_common
        .endm

        .section .text.exception, "ax"
        .set vector, 0
        .rept 32
        .if (vector == 8) || (vector == 10) || (vector == 11) || (vector == 12) || (vector == 13) || (vector == 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
        exception_entry %vector, 1
        .else
        exception_entry %vector, 0
        .endif
        .set vector, vector + 1
        .endr

exception_common:
        .cfi_startproc simple
        .cfi_signal_frame
        # The frame ends 176 bytes up; the interrupted stack pointer is not that end, but in it. With
        # plain offsets the unwinder needs no evaluator of DWARF expressions, which would be 15 KB.
        .cfi_def_cfa %rsp, 176
        .cfi_offset %rip, -40
        .cfi_offset %rsp, -16
        .cfi_offset %rbx, -168
        .cfi_offset %rbp, -128
        .cfi_offset %r12, -88
        .cfi_offset %r13, -80
        .cfi_offset %r14, -72
        .cfi_offset %r15, -64
        subq $120, %rsp
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
        movq %rsp, %rdi
        call exception_report           # does not return
        ud2
        .cfi_endproc

        .section .rodata.exception, "a"
        .balign 8
        .globl exception_entries
        .macro exception_address vector
        .quad exception_\vector
        .endm
exception_entries:
        .set vector, 0
        .rept 32
        exception_address %vector
        .set vector, vector + 1
        .endr
        .noaltmacro
