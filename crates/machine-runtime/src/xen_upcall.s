# Upcall entries: an event channel had an event (Xen, public/event_channel.h). The port's bit is set already; what is left is to make the interrupt
# go away: Xen repeats it while this byte is set.

        .section .text.interrupt, "ax"
        .globl xen_upcall_direct, xen_upcall_by_apic
xen_upcall_direct:
        movb $0, xen_shared_info(%rip)
        cmpq $interrupt_halt, (%rsp)    # see interrupt.s
        jne 1f
        incq (%rsp)
1:      iretq
xen_upcall_by_apic:
        movb $0, xen_shared_info(%rip)
        pushq %rax
        jmp interrupt_acknowledge
