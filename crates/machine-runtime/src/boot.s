# PVH entry: 32-bit protected mode, paging off, %ebx = physical address of hvm_start_info
# (Xen, docs/misc/pvh.pandoc). Everything here is position dependent and linked below 2 GiB.

        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 4, 18                  # name bytes, descriptor bytes, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .long pvh_start

# The other entry: a boot loader's, by Multiboot2 (its specification 2.0, section 3.1). Same state of the CPU, but for what
# %eax and %ebx have.

        .section .multiboot, "a"
        .balign 8
multiboot_header:
        .long 0xe85250d6
        .long 0                         # for i386, in protected mode
        .long multiboot_header_end - multiboot_header
        .long -(0xe85250d6 + multiboot_header_end - multiboot_header)
        .word 3, 0                      # the entry's address
        .long 12
        .long multiboot_start
        .balign 8
        .word 6, 0                      # modules begin on pages
        .long 8
        .word 0, 0
        .long 8
multiboot_header_end:

        .section .text.boot, "ax"
        .code32

        # What the boot loader says (section 3.6), as `hvm_start_info` has it. Its map of memory has the same entries, and
        # stays where it is: until it is copied, nothing is written but the image, which the loader has kept free.
multiboot_start:
        cmpl $0x36d76289, %eax
        jne 7f
        cld
        movl %ebx, %ebp
        leal 8(%ebx), %esi
        movl $multiboot_info, %ebx
        movl $0x336ec578, (%ebx)
        movl $1, 4(%ebx)                # the version that has a map
1:      movl (%esi), %eax               # a tag: type, bytes, content
        testl %eax, %eax
        jz 8f
        decl %eax
        jz 2f                           # 1: the command line
        subl $2, %eax
        jz 3f                           # 3: a module
        subl $3, %eax
        jz 4f                           # 6: the map of memory
        subl $8, %eax
        jz 5f                           # 14: ACPI's root pointer
        decl %eax
        jz 5f                           # 15: that of version 2, which comes later
        jmp 6f
2:      leal 8(%esi), %eax
        movl %eax, 24(%ebx)
        jmp 6f
3:      cmpl $0, 12(%ebx)               # the first is the one
        jne 6f
        movl 8(%esi), %eax
        movl 12(%esi), %ecx
        subl %eax, %ecx
        movl %eax, multiboot_module
        movl %ecx, multiboot_module + 8
        movl $multiboot_module, 16(%ebx)
        incl 12(%ebx)
        jmp 6f
4:      cmpl $24, 8(%esi)               # bytes of an entry
        jne 6f
        leal 16(%esi), %eax
        movl %eax, 40(%ebx)
        movl 4(%esi), %eax
        subl $16, %eax
        xorl %edx, %edx
        divl 8(%esi)
        movl %eax, 48(%ebx)
        jmp 6f
5:      movl %esi, %edx                 # a copy, which is moved to where nothing else will be
        movl $36, %ecx
        addl $8, %esi
        movl $multiboot_rsdp, %edi
        movl %edi, 32(%ebx)
        rep movsb
        movl %edx, %esi
6:      movl 4(%esi), %eax
        leal 7(%esi, %eax), %esi
        andl $~7, %esi
        jmp 1b
7:      hlt
        jmp 7b
        # A loader puts a small module below 1 MiB, even into page 0, which is not mapped later. It is moved behind what was
        # loaded: less than 1 MiB, in a machine that has 8.
8:      movl multiboot_module, %esi
        movl multiboot_module + 8, %ecx
        movl packed_end, %edi
        testl %ecx, %ecx
        jz pvh_start                    # there is none
        testl %edi, %edi
        jz pvh_start                    # nothing is packed: not for boot loaders
        cmpl $0x100000, %esi
        jae pvh_start
        addl $4095, %edi
        andl $~4095, %edi
        leal (%edi, %ecx), %eax
        movl (%ebp), %edx               # the loader's information, which is read later
        addl %ebp, %edx
        cmpl %edx, %edi
        jae 9f
        cmpl %ebp, %eax
        jbe 9f
        leal 4095(%edx), %edi
        andl $~4095, %edi
9:      movl %edi, multiboot_module
        rep movsb
        jmp pvh_start

        .globl pvh_start
pvh_start:
        cld
        movl $boot_stack_end, %esp
        movl %ebx, start_info_address
        movl $0x80000000, %eax          # what is asked for next
        cpuid
        cmpl $0x80000001, %eax
        jb unfit
        movl $0x80000001, %eax
        cpuid
        andl $0x20100000, %edx          # long mode; pages that are not executed
        cmpl $0x20100000, %edx
        jne unfit
        # Identity map of the first 4 GiB with 2 MiB pages, all permissions: `machine`'s page tables replace it.
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
        # Whether one part of RAM has the whole image, as it is loaded and as it will be.
        movl start_info_address, %eax
        cmpl $0, 4(%rax)                # its version: the first has no memory map
        je 3f
        movl 48(%rax), %ecx             # entries of the map
        movq 40(%rax), %rsi
1:      decl %ecx
        js too_large
        movq (%rsi), %rax
        movq 8(%rsi), %rdx
        addq %rax, %rdx
        cmpl $1, 16(%rsi)               # RAM
        jne 2f
        cmpq $image_start, %rax
        ja 2f
        cmpq unpacked_end, %rdx
        jb 2f
        cmpq packed_end, %rdx
        jae 3f
2:      addq $24, %rsi
        jmp 1b
        # Whether a module, which loaders put at the end of RAM, reaches down into it.
3:      movl start_info_address, %eax
        cmpl $0, 12(%rax)               # modules
        je 3f
        movq 16(%rax), %rax
        movq (%rax), %rsi
        movq 8(%rax), %rdx
        addq %rsi, %rdx
        cmpq $image_start, %rdx
        jbe 3f
        cmpq unpacked_end, %rsi
        jb covered
        cmpq packed_end, %rsi
        jb covered
3:      movq packed_from, %rdi
        testq %rdi, %rdi
        jz 4f
        movq packed_end, %rsi
        movl $packed_sums, %edx
        call packed_is_whole
        testl %eax, %eax
        jz damaged
        movl $text_start, %edi
        movq packed_from, %rsi
        movq packed_block_end, %rdx
        call unpack
        cmpq unpacked_end, %rax
        jne damaged
4:      movl start_info_address, %edi
        call machine_start
5:      cli
        hlt
        jmp 5b

        # Says so, in 32 bits as well as in 64, on the serial port and on Xen's console port, and ends the machine as `power::fail` does, as far as that
        # needs no tables: QEMU's own port, pvpanic, the off state of QEMU's PCs, standing still.
unfit:
        movl $unfit_text, %esi
        jmp 1f
too_large:
        movl $too_large_text, %esi
        jmp 1f
covered:
        movl $covered_text, %esi
        jmp 1f
damaged:
        movl $damaged_text, %esi
1:      movl $0x3fd, %edx
        movl $1000000, %ecx             # polls of a transmitter that may be stuck
2:      inb %dx, %al
        testb $0x20, %al
        loopz 2b
        lodsb
        movl $0x3f8, %edx
        outb %al, %dx
        outb %al, $0xe9
        cmpb $10, %al
        jne 1b
        movl $0xf4, %edx
        movl $16, %eax
        outl %eax, %dx
        movl $0x505, %edx
        movb $1, %al
        outb %al, %dx
        movl $0x604, %edx
        movw $0x2000, %ax
        outw %ax, %dx
        jmp 5b
unfit_text:
        .ascii "the CPU has no 64-bit mode, or no pages that are not executed (NX)\n"
too_large_text:
        .ascii "too little memory for the image: give the machine 8 MiB or more, 16 MiB if the image is not packed\n"
covered_text:
        .ascii "too little memory for the image and its bundle, which lies over the image\n"
damaged_text:
        .ascii "the image is damaged: it does not unpack (firmware may have done it, with less than 8 MiB of memory)\n"

        .balign 8
gdt_pointer:
        .word 5 * 8 - 1
        .quad gdt

        # Filled in by `cargo xtask image`. Zeros, but for where the image ends: nothing is packed.
        .balign 8
        .globl packed
packed:
packed_from:
        .quad 0
packed_block_end:
        .quad 0
packed_end:                             # the same with padding: what the sums are about
        .quad 0
unpacked_end:
        .quad 0
packed_sums:
        .quad 0, 0, 0, 0

        .section .data.boot, "aw"
        .balign 8
        .globl gdt
gdt:    .quad 0
        .quad 0x00af9a000000ffff        # 8: 64-bit code
        .quad 0x00cf92000000ffff        # 16: data
        .quad 0, 0                      # 24: task state segment, filled in by `machine`

        .section .bss.boot, "aw", @nobits
        .balign 8
multiboot_info:
        .skip 56
multiboot_module:
        .skip 32
multiboot_rsdp:
        .skip 40
start_info_address:
        .skip 4
        .balign 4096
boot_pml4:
        .skip 4096
boot_pdpt:
        .skip 4096
boot_pd:
        .skip 4 * 4096

        # Each stack grows down onto a page that the page tables leave unmapped.
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
