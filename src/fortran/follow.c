/* follow.c - makes Fortran programs known to the wrappers.
 *
 * Open MPI's Fortran libraries turn handles, statuses, LOGICALs and sentinels into C's and then call PMPI_Send and so on,
 * so wrappers of the C names never see them.  All three bindings (mpif.h, `use mpi`, `use mpi_f08`) end in these calls,
 * and each goes through an address that the dynamic loader has filled in.  Here the addresses of the calls that Belay
 * wraps are set to the wrappers, in those libraries only: a program's or a tool's own PMPI calls stay what they are.
 * So MPI's own conversions are used, whatever they are, each call is counted once, whatever the compiler calls it, and a
 * C program needs nothing of Fortran.
 *
 * MPICH needs none of it: its Fortran library calls MPI_Send.  A Fortran library linked statically is not followed; then
 * the wrapper of MPI_Init is not called either and belay_recover refuses.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mpi.h>

typedef void entry(void);
typedef struct wrapped {
    const char *name;
    entry *wrapper;
} wrapped;

static const wrapped calls[] = { /* in the order of calls.def */
#define CALL(name) { #name, (entry *)MPI_##name },
#include "mpi/calls.inc"
#undef CALL
};
enum { CALLS = sizeof calls / sizeof *calls };

static entry *wrapper_of(const char *symbol)
{
    if (strncmp(symbol, "PMPI_", 5) != 0) return NULL;
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].name[0] == symbol[5] && !strcmp(calls[i].name, symbol + 5)) return calls[i].wrapper;
    return NULL;
}

/* --- one loaded library --- */

typedef struct table {       /* of relocations */
    const char *at;
    size_t bytes, entry;
} table;

typedef struct library {
    uintptr_t base;
    uintptr_t sealed, sealed_end; /* what the loader has made read-only after it filled it in */
    const ElfW(Sym) *symbols;
    const char *names;
    table plt, data;
} library;

/* Most loaders have turned the addresses of the dynamic section into absolute ones, some leave them relative. */
static const void *address(const library *l, ElfW(Addr) value)
{
    return (const void *)(value < l->base ? l->base + value : value);
}

static void read_dynamic(library *l, const ElfW(Dyn) *d)
{
    int plt_has_addends = 1;
    for (; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
        case DT_SYMTAB: l->symbols = address(l, d->d_un.d_ptr); break;
        case DT_STRTAB: l->names = address(l, d->d_un.d_ptr); break;
        case DT_JMPREL: l->plt.at = address(l, d->d_un.d_ptr); break;
        case DT_PLTRELSZ: l->plt.bytes = d->d_un.d_val; break;
        case DT_PLTREL: plt_has_addends = d->d_un.d_val == DT_RELA; break;
        case DT_RELA: case DT_REL: l->data.at = address(l, d->d_un.d_ptr); break;
        case DT_RELASZ: case DT_RELSZ: l->data.bytes = d->d_un.d_val; break;
        case DT_RELAENT: case DT_RELENT: l->data.entry = d->d_un.d_val; break;
        default: break;
        }
    }
    l->plt.entry = plt_has_addends ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
}

static uintptr_t page_of(uintptr_t address)
{
    return address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

static int set(const library *l, uintptr_t slot, entry *to)
{
    void *page = (void *)page_of(slot);
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    int sealed = slot >= l->sealed && slot < l->sealed_end;
    if (sealed && mprotect(page, size, PROT_READ | PROT_WRITE)) return -1;
    *(entry **)slot = to;
    return sealed ? mprotect(page, size, PROT_READ) : 0;
}

#if __ELF_NATIVE_CLASS == 64
#define SYMBOL_OF(info) ELF64_R_SYM(info)
#else
#define SYMBOL_OF(info) ELF32_R_SYM(info)
#endif

/* A relocation that names a function of MPI is the address of that function, whatever its type; both kinds of entry begin
 * with an ElfW(Rel). */
static int follow_table(const library *l, const table *t)
{
    for (size_t at = 0; t->at && t->entry && at + t->entry <= t->bytes; at += t->entry) {
        const ElfW(Rel) *r = (const void *)(t->at + at);
        entry *to = wrapper_of(l->names + l->symbols[SYMBOL_OF(r->r_info)].st_name);
        if (to && set(l, l->base + r->r_offset, to)) return -1;
    }
    return 0;
}

static int follow_library(const struct dl_phdr_info *info)
{
    library l = { .base = info->dlpi_addr };
    const ElfW(Dyn) *dynamic = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_DYNAMIC) dynamic = (const void *)(l.base + p->p_vaddr);
        if (p->p_type != PT_GNU_RELRO) continue;
        l.sealed = page_of(l.base + p->p_vaddr);
        l.sealed_end = page_of(l.base + p->p_vaddr + p->p_memsz); /* the rest of its last page stays writable */
    }
    if (dynamic) read_dynamic(&l, dynamic);
    if (!l.symbols || !l.names) return 0;
    return follow_table(&l, &l.plt) || follow_table(&l, &l.data) ? -1 : 0;
}

/* --- all of them --- */

/* libmpi_mpifh.so.40, libmpi_usempif08.so.40, libmpi_ibm_mpifh.so ... */
static int is_fortran(const char *path)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    return !strncmp(file, "libmpi", 6) && (strstr(file, "_mpifh") || strstr(file, "_usempi"));
}

static int each_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    return is_fortran(info->dlpi_name) ? follow_library(info) : 0;
}

/* A program may load a part of it that is written in Fortran much later, as Python does, and its messages count from the
 * first one on.  So the library that it will need, which lies beside libmpi when there is one, is loaded now. */
static void load_early(void)
{
    char path[PATH_MAX];
    Dl_info mpi;
    if (!dladdr((void *)(uintptr_t)PMPI_Init, &mpi) || !mpi.dli_fname) return;
    const char *slash = strrchr(mpi.dli_fname, '/'), *rest = strstr(slash ? slash : mpi.dli_fname, "libmpi.so");
    if (!rest) return;
    int length = snprintf(path, sizeof path, "%.*slibmpi_mpifh%s", (int)(rest - mpi.dli_fname), mpi.dli_fname, rest + 6);
    if (length < (int)sizeof path && access(path, R_OK) == 0) dlopen(path, RTLD_LAZY | RTLD_GLOBAL | RTLD_NODELETE);
}

/* Before main: mpi_init_ is the first of the calls. */
__attribute__((constructor)) static void follow(void)
{
    load_early();
    if (dl_iterate_phdr(each_library, NULL))
        fprintf(stderr, "belay: MPI calls of Fortran code cannot be followed: %s\n", strerror(errno));
}
