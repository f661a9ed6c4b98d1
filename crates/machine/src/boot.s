# PVH entry: 32-bit protected mode, paging off, %ebx = physical address of hvm_start_info
# (Xen, docs/misc/pvh.pandoc). Everything here is position dependent and linked below 2 GiB.

        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 4, 18                  # name bytes, descriptor bytes, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .long pvh_start

        .section .text.boot, "ax"
        .code32
        .globl pvh_start
pvh_start:
        cld
        movl $boot_stack_end, %esp
        movl %ebx, start_info_address
        # Identity map of the first 4 GiB with 2 MiB pages, all permissions: `paging` replaces it.
        movl $(boot_pdpt + 3), boot_pml4
        movl $boot_pdpt, %edi
        movl $(boot_pd + 3), %eax
        movl $4, %ecx
1:      movl %eax, (%edi)
        addl $8, %edi
        addl $4096, %eax
        loop 1b
        movl $boot_pd, %edi
        movl $0x83, %eax                # present, writable, 2 MiB
        movl $2048, %ecx
2:      movl %eax, (%edi)
        addl $8, %edi
        addl $0x200000, %eax
        loop 2b
        movl %cr4, %eax
        orl $0x620, %eax                # PAE, OSFXSR, OSXMMEXCPT
        movl %eax, %cr4
        movl $boot_pml4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx          # EFER
        rdmsr
        orl $0x900, %eax                # LME, NXE
        wrmsr
        movl %cr0, %eax
        orl $0x80010022, %eax           # PG, WP, NE, MP
        andl $~0xc, %eax                # no emulation, no lazy switching of the vector unit
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $8, $3f
        .code64
3:      movl $16, %eax                  # as after an `iretq`: an emulator keeps code for each
        movl %eax, %ss                  # kind of stack segment apart, and would translate all anew
        xorl %eax, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %fs
        movl %eax, %gs
        xorl %ebp, %ebp                 # ends a walk over frames
        movl start_info_address, %edi
        call machine_start
4:      cli
        hlt
        jmp 4b

        .section .rodata.boot, "a"
        .balign 8
gdt_pointer:
        .word 5 * 8 - 1
        .quad gdt

        .section .data.boot, "aw"
        .balign 8
        .globl gdt
gdt:    .quad 0
        .quad 0x00af9a000000ffff        # 8: 64-bit code
        .quad 0x00cf92000000ffff        # 16: data
        .quad 0, 0                      # 24: task state segment, filled in by `exception`

        .section .bss.boot, "aw", @nobits
        .balign 4
start_info_address:
        .skip 4
        .balign 4096
boot_pml4:
        .skip 4096
boot_pdpt:
        .skip 4096
boot_pd:
        .skip 4 * 4096

        # Each stack grows down onto a page that `paging` leaves unmapped.
        .section .bss.stacks, "aw", @nobits
        .balign 4096
        .globl stack_guards, boot_stack_end, exception_stack_end, double_fault_stack_end
stack_guards:
        .skip 4096
        .skip 131072
boot_stack_end:
        .skip 4096
        .skip 16384
exception_stack_end:
        .skip 4096
        .skip 8192
double_fault_stack_end:
