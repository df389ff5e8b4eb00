/* kernel - nothing per message asks the kernel for anything.
 *
 * A seccomp filter stops every system call of the thread; the handler looks who made it, then makes it itself.  Belay's are
 * those with a frame of libbelay or of this program nearer than any of another library, so that what MPI asks is not
 * counted, whatever Belay's wrapper called it.  No privilege is needed.
 *
 *     kernel [threads]     threads: under MPI_THREAD_MULTIPLE, with one
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include <belay.h>

enum { SKIPPED = 77, ROUNDS = 1000, WINDOW = 64 };

static int rank, next, before;

#ifdef __x86_64__
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

/* --- whose code is where --- */

enum { FRAMES = 64, RANGES = 64 };
enum who { OTHERS, OURS, LIBC };
static struct { uintptr_t from, to; enum who who; } range[RANGES];
static int ranges;

static int add_ranges(struct dl_phdr_info *info, size_t size, void *data)
{
    static int objects;
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
    enum who who = objects++ == 0 || !strncmp(name, "libbelay", 8) ? OURS : OTHERS; /* the program comes first */
    (void)size;
    (void)data;
    if (!strncmp(name, "libc.", 5) || !strncmp(name, "libpthread.", 11) || !strncmp(name, "ld-", 3) || strstr(name, "vdso")) who = LIBC;
    for (int i = 0; who != OTHERS && i < info->dlpi_phnum && ranges < RANGES; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        range[ranges].from = info->dlpi_addr + part->p_vaddr;
        range[ranges].to = range[ranges].from + part->p_memsz;
        range[ranges++].who = who;
    }
    return 0;
}

static enum who code_of(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    for (int i = 0; i < ranges; i++)
        if (at >= range[i].from && at < range[i].to) return range[i].who;
    return OTHERS;
}

/* --- the filter --- */

/* (number, six arguments): the one place whose system calls the filter lets pass. */
long raw_call(long number, ...);
extern char raw_call_made[];
__asm__(".text\n.globl raw_call, raw_call_made\n.hidden raw_call_made\n.type raw_call, @function\nraw_call:\n\t.cfi_startproc\n"
        "\tmov %rdi, %rax\n\tmov %rsi, %rdi\n\tmov %rdx, %rsi\n\tmov %rcx, %rdx\n\tmov %r8, %r10\n\tmov %r9, %r8\n"
        "\tmov 8(%rsp), %r9\n\tsyscall\nraw_call_made:\n\tret\n\t.cfi_endproc\n.size raw_call, .-raw_call\n");

static volatile int watching;
static volatile long asked, last_asked;

static int ours(const void *instruction)
{
    void *frame[FRAMES];
    int frames = backtrace(frame, FRAMES), i = 0;
    while (i < frames && frame[i] != instruction) i++; /* those before are the handler's */
    for (; i < frames; i++)
        if (code_of(frame[i]) != LIBC) return code_of(frame[i]) == OURS;
    return 1; /* nobody else's */
}

static void on_call(int number, siginfo_t *info, void *context)
{
    greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)number;
    if (watching && ours(info->si_call_addr)) {
        asked++;
        last_asked = info->si_syscall;
    }
    reg[REG_RAX] = raw_call(info->si_syscall, reg[REG_RDI], reg[REG_RSI], reg[REG_RDX], reg[REG_R10], reg[REG_R8], reg[REG_R9]);
}

/* What begins or ends a context, or sets the mask this one is restored with, cannot be made for another. */
static int stop_calls(void)
{
    static const unsigned passing[] = { SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_exit, SYS_exit_group, SYS_clone, SYS_clone3, SYS_vfork, SYS_fork };
    enum { PASSING = sizeof passing / sizeof *passing };
    uintptr_t made = (uintptr_t)raw_call_made;
    struct sock_filter code[PASSING + 8];
    unsigned short n = 0, many = PASSING + 7;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < PASSING; i++, n++)
        code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, passing[i], (uint8_t)(many - n - 2), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)made, 0, 2);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4);
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(made >> 32), 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { n, code };
    struct sigaction action = { .sa_flags = SA_SIGINFO };
    void *frame[FRAMES];
    action.sa_sigaction = on_call;
    backtrace(frame, FRAMES); /* it loads what it needs the first time */
    dl_iterate_phdr(add_ranges, NULL);
    return sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
#else
static volatile int watching;
static volatile long asked, last_asked;
static int stop_calls(void) { return -1; }
#endif

/* --- a little of everything that is counted --- */

static void completions(MPI_Request *persistent)
{
    MPI_Request r[2];
    int a = 1, b, flag, index, n, indices[2];
    MPI_Status status;
    MPI_Irecv(&b, 1, MPI_INT, MPI_ANY_SOURCE, 3, MPI_COMM_WORLD, &r[0]);
    MPI_Send(&a, 1, MPI_INT, next, 3, MPI_COMM_WORLD);
    MPI_Waitany(1, r, &index, &status);
    MPI_Isend(&a, 1, MPI_INT, next, 2, MPI_COMM_WORLD, &r[1]);
    MPI_Probe(before, 2, MPI_COMM_WORLD, &status);
    MPI_Irecv(&b, 1, MPI_INT, before, 2, MPI_COMM_WORLD, &r[0]);
    for (flag = 0; !flag;) MPI_Request_get_status(r[0], &flag, &status);
    MPI_Wait(&r[0], MPI_STATUS_IGNORE);
    for (flag = 0; !flag;) MPI_Test(&r[1], &flag, &status);
    MPI_Startall(2, persistent);
    MPI_Waitsome(2, persistent, &n, indices, MPI_STATUSES_IGNORE);
    for (flag = 0; !flag;) MPI_Testall(2, persistent, &flag, MPI_STATUSES_IGNORE);
    MPI_Irecv(&b, 1, MPI_INT, MPI_PROC_NULL, 2, MPI_COMM_WORLD, &r[0]);
    MPI_Wait(&r[0], &status);
}

static void round_of(MPI_Request *persistent)
{
    static int out[WINDOW], in[WINDOW];
    MPI_Request r[2 * WINDOW];
    for (int i = 0; i < WINDOW; i++) {
        MPI_Irecv(&in[i], 1, MPI_INT, before, 1, MPI_COMM_WORLD, &r[2 * i]);
        MPI_Isend(&out[i], 1, MPI_INT, next, 1, MPI_COMM_WORLD, &r[2 * i + 1]);
    }
    MPI_Waitall(2 * WINDOW, r, MPI_STATUSES_IGNORE);
    MPI_Sendrecv(out, 1, MPI_INT, next, 1, in, 1, MPI_INT, before, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    completions(persistent);
    MPI_Allreduce(out, in, WINDOW, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Ibcast(out, WINDOW, MPI_INT, 0, MPI_COMM_WORLD, r);
    MPI_Wait(r, MPI_STATUS_IGNORE);
    MPI_Barrier(MPI_COMM_WORLD);
}

static int said(const char *text, long many)
{
    printf("rank %d: %s, %ld system calls, the last is number %ld\n", rank, text, many, last_asked);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    int a = 1, b, ranks, level;
    MPI_Request p[2];
    MPI_Init_thread(&argc, &argv, argc > 1 ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    next = (rank + 1) % ranks;
    before = (rank + ranks - 1) % ranks;
    belay_recover(NULL);
    belay_checkpoint(NULL);
    if (stop_calls()) {
        printf("skipped: no seccomp filter here\n");
        fflush(stdout);
        MPI_Abort(MPI_COMM_WORLD, SKIPPED);
    }
    watching = 1;
    belay_checkpoint(NULL); /* the handler sees Belay: this writes a file */
    watching = 0;
    if (asked == 0) MPI_Abort(MPI_COMM_WORLD, said("WRONG: it does not see what a checkpoint asks of the kernel", asked) + 9);
    asked = 0;
    MPI_Send_init(&a, 1, MPI_INT, next, 4, MPI_COMM_WORLD, &p[0]);
    MPI_Recv_init(&b, 1, MPI_INT, before, 4, MPI_COMM_WORLD, &p[1]);
    round_of(p); /* the tables have their size */
    watching = 1;
    for (int i = 0; i < ROUNDS; i++) round_of(p);
    watching = 0;
    said(asked ? "WRONG: a message asks the kernel" : "nothing is asked of the kernel", asked);
    MPI_Request_free(&p[0]);
    MPI_Request_free(&p[1]);
    MPI_Finalize();
    return asked != 0;
}
