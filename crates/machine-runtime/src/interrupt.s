# Interrupt entries. A device interrupt sets its bit and is acknowledged; nothing else happens in interrupt context.
# Only the general registers used here are saved: no vector state is touched. The interrupted code
# goes on with interrupts off (as it wants to be anyway: `interrupt_idle` enables them for one
# instruction), so that a pin that stays high until its device is served does not interrupt for ever.
#
# An interrupt that comes before the `hlt` instead of during it has ended the wait all the same, and
# the `hlt` is skipped: it would wait with interrupts off, which is for ever, and for Xen means that
# the machine is to be switched off. `sti` promises that none comes there; nested hypervisors under
# emulation have been seen to break that promise.

        # Fields of `machine::cpu::Cpu`, which checks them.
        .set CPU_PENDING, 0
        .set CPU_EOI_REGISTER, 8

        .altmacro
        .macro line_entry number
interrupt_line_\number:
        pushq %rax
        btsq $\number, boot_cpu+CPU_PENDING(%rip)
        jmp interrupt_acknowledge
        .endm

        .macro skip_halt rip            # one byte long
        cmpq $interrupt_halt, \rip
        jne 9f
        incq \rip
9:
        .endm

        .section .text.interrupt, "ax"
        .globl interrupt_idle           # waits for one interrupt
interrupt_idle:
        sti
        .globl interrupt_halt
interrupt_halt:
        hlt
        cli
        ret

        .set number, 0
        .rept 56
        line_entry %number
        .set number, number + 1
        .endr

        .globl interrupt_unclaimed      # of the local APIC, but nobody's: its priority is given back
interrupt_unclaimed:
        pushq %rax
interrupt_acknowledge:
        skip_halt 8(%rsp)
        andl $~0x200, 24(%rsp)          # IF in the saved flags, over rax, rip and cs
        movq boot_cpu+CPU_EOI_REGISTER(%rip), %rax
        testq %rax, %rax
        jz 1f
        movl $0, (%rax)                 # the local APIC's page
        popq %rax
        iretq
1:      pushq %rcx
        pushq %rdx
        movl $0x80b, %ecx               # the x2APIC's register
        xorl %eax, %eax
        xorl %edx, %edx
        wrmsr
        popq %rdx
        popq %rcx
        popq %rax
        .globl interrupt_ignored
interrupt_ignored:
        iretq

        .section .rodata.interrupt, "a"
        .balign 8
        .globl interrupt_entries
        .macro line_address number
        .quad interrupt_line_\number
        .endm
interrupt_entries:
        .set number, 0
        .rept 56
        line_address %number
        .set number, number + 1
        .endr
        .noaltmacro
