/* A QEMU plugin: adds up the guest instructions that run, in the first 8 bytes of a file that others may read.
   Loaded as `-plugin count.so,count=PATH`. The declarations are those of QEMU's plugin interface; the header that has
   them is not in Debian's packages. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*executed)(unsigned int cpu, void *data);

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed, int flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

#define PUBLIC __attribute__((visibility("default")))

PUBLIC int qemu_plugin_version = INTERFACE;

static volatile uint64_t *count;

/* One virtual CPU, so no atomic addition is needed. */
static void add(unsigned int cpu, void *instructions)
{
    (void)cpu;
    *count += (uintptr_t)instructions;
}

static void block(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, add, 0, (void *)qemu_plugin_tb_n_insns(tb));
}

PUBLIC int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "count=", 6) != 0)
        return 1;
    int file = open(argv[0] + 6, O_RDWR);
    if (file < 0)
        return 1;
    void *page = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        return 1;
    count = page;
    qemu_plugin_register_vcpu_tb_trans_cb(id, block);
    return 0;
}
